import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LeaseHolder } from '../../src/fs/lease-holder.ts';
import { LeaseTable } from '../../src/fs/leases.ts';
import { RECALL } from '../../src/wire/schema.ts';
import { createManualClock, settle } from '../manual-clock.ts';
import { createMemoryTree } from './memory-tree.ts';
import { p } from './remote-fixture.ts';

const OWNER = { uid: 0, gid: 0 };
const LEASE_MS = 15_000;
const SOLE_MS = 5000;

async function createFixture() {
  const clock = createManualClock();
  const tree = createMemoryTree({ clock });
  for (const path of ['d', 'd/e', 'x']) await tree.mkdir(p(path), 0o755, OWNER);
  const leases = new LeaseTable({ clock }).of(tree);
  const holder = () => {
    const told: string[] = [];
    let heardAt = clock.now();
    const made: LeaseHolder & { told: string[]; answer: () => void; hear: () => void } = {
      told,
      answer: () => undefined,
      hear: () => (heardAt = clock.now()),
      term: {
        get heardAt() {
          return heardAt;
        },
        get endsAt() {
          return heardAt + LEASE_MS;
        },
        tell: () => LEASE_MS,
      },
      recall: (path, what) => {
        told.push(`${path} ${what}`);
        return what === RECALL.sole ? new Promise((resolve) => (made.answer = resolve)) : Promise.resolve();
      },
    };
    return made;
  };
  /** A call of a peer that visits `directories`; `done` says whether it has run. */
  const visit = (by: LeaseHolder, directories: string[], subtrees: string[] = []) => {
    const state = { done: false, end: () => {} };
    const until = new Promise<void>((resolve) => (state.end = resolve));
    void leases.soles.visiting(by, { directories: directories.map(p), subtrees: subtrees.map(p) }, () => {
      state.done = true;
      return until;
    });
    return state;
  };
  return { clock, leases, holder, visit };
}

test('who alone has a lease is promised to be alone, and another has to wait for its answer', async () => {
  const { leases, holder, visit } = await createFixture();
  const [a, b] = [holder(), holder()];
  await leases.grant(a, p('d'));
  const before = leases.change;
  assert.equal(leases.grantSole(a, p('d')), SOLE_MS);
  assert.equal(leases.grantSole(a, p('x')), 0, 'no lease, no promise');
  const own = visit(a, ['d']);
  const other = visit(b, ['d']);
  const second = visit(b, ['', 'd']);
  const elsewhere = visit(b, ['x']);
  await settle();
  assert.deepEqual([own.done, other.done, second.done, elsewhere.done], [true, false, false, true]);
  assert.deepEqual(a.told, [`d ${RECALL.sole}`]);
  assert.ok(leases.change > before, 'replies made before are older than the recall');
  a.answer();
  await settle();
  assert.deepEqual([other.done, second.done], [true, true]);
});

test('nobody is promised to be alone where others have a lease or visit', async () => {
  const { leases, holder, visit } = await createFixture();
  const [a, b] = [holder(), holder()];
  await leases.grant(a, p('d'));
  const visitor = visit(b, ['d']);
  assert.equal(leases.grantSole(a, p('d')), 0);
  visitor.end();
  await settle();
  const renaming = visit(b, [''], ['']);
  assert.equal(leases.grantSole(a, p('d')), 0, 'what stands above may be on the move');
  renaming.end();
  await settle();
  const own = visit(a, ['d']);
  await settle();
  assert.equal(leases.grantSole(a, p('d')), SOLE_MS, 'own calls do not count');
  own.end();
  await leases.grant(b, p('x'));
  await leases.grant(a, p('x'));
  assert.equal(leases.grantSole(a, p('x')), 0);
});

test('while a promise is being recalled it is not given again', async () => {
  const { leases, holder, visit } = await createFixture();
  const [a, b] = [holder(), holder()];
  await leases.grant(a, p('d'));
  leases.grantSole(a, p('d'));
  const first = visit(b, ['d']);
  await settle();
  assert.equal(leases.grantSole(a, p('d')), 0);
  a.answer();
  await settle();
  assert.equal(leases.grantSole(a, p('d')), 0, 'the visitor is there');
  first.end();
  await settle();
  assert.equal(leases.grantSole(a, p('d')), SOLE_MS);
});

test('a holder that does not answer is waited for until its time is over, longer while it is heard', async () => {
  const { clock, leases, holder, visit } = await createFixture();
  const [a, b] = [holder(), holder()];
  await leases.grant(a, p('d'));
  leases.grantSole(a, p('d'));
  await clock.run(1000);
  const other = visit(b, ['d']);
  await clock.run(3000);
  a.hear();
  await clock.run(4999);
  assert.equal(other.done, false);
  await clock.run(2);
  assert.equal(other.done, true);
  other.end();
  await settle();

  a.hear();
  leases.grantSole(a, p('d'));
  const third = visit(b, ['d']);
  for (let second = 0; second < 59; second++) {
    await clock.run(1000);
    a.hear();
  }
  assert.equal(third.done, false);
  await clock.run(1001);
  assert.equal(third.done, true, 'not for ever');
});

test('one whose time is over is not asked', async () => {
  const { clock, leases, holder, visit } = await createFixture();
  const [a, b] = [holder(), holder()];
  await leases.grant(a, p('d'));
  leases.grantSole(a, p('d'));
  await clock.run(SOLE_MS + 1);
  const other = visit(b, ['d']);
  await settle();
  assert.equal(other.done, true);
  assert.deepEqual(a.told, []);
});

test('a change by others or by local programs ends the promise; who visits next waits for the answer', async () => {
  const { leases, holder, visit } = await createFixture();
  const [a, b] = [holder(), holder()];
  await leases.grant(a, p('d'));
  leases.grantSole(a, p('d'));
  await leases.changed(undefined, [{ path: p('d'), what: RECALL.entries | RECALL.attributes }]);
  assert.deepEqual(a.told.sort(), [`d ${RECALL.entries}`, `d ${RECALL.sole}`]);
  const other = visit(b, ['d']);
  await settle();
  assert.equal(other.done, false);
  a.answer();
  await settle();
  assert.equal(other.done, true);
});

test('a rename from above asks all who are alone below; their own renames end it without a word', async () => {
  const { leases, holder, visit } = await createFixture();
  const [a, b] = [holder(), holder()];
  await leases.grant(a, p('d/e'));
  leases.grantSole(a, p('d/e'));
  const other = visit(b, [''], ['d', 'z']);
  await settle();
  assert.equal(other.done, false);
  a.answer();
  await settle();
  assert.equal(other.done, true);
  other.end();
  await settle();

  leases.grantSole(a, p('d/e'));
  await leases.changed(a, [{ path: p('d'), what: RECALL.subtree }]);
  const next = visit(b, ['d/e']);
  await settle();
  assert.equal(next.done, true);
  assert.equal(a.told.length, 1);
});

test('nobody waits for a holder that is gone', async () => {
  const { leases, holder, visit } = await createFixture();
  const [a, b] = [holder(), holder()];
  await leases.grant(a, p('d'));
  leases.grantSole(a, p('d'));
  const other = visit(b, ['d']);
  await settle();
  assert.equal(other.done, false);
  leases.dropHolder(a);
  await settle();
  assert.equal(other.done, true);
});
