import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LeaseHolder } from '../../src/fs/lease-holder.ts';
import { LeaseTable } from '../../src/fs/leases.ts';
import { RECALL } from '../../src/wire/schema.ts';
import { createManualClock } from '../manual-clock.ts';
import { createMemoryTree } from './memory-tree.ts';
import { p } from './remote-fixture.ts';

const OWNER = { uid: 0, gid: 0 };
const { attributes, contents, entries, subtree } = RECALL;

async function createFixture() {
  const clock = createManualClock();
  const tree = createMemoryTree({ clock });
  for (const path of ['d', 'd/e', 'x']) await tree.mkdir(p(path), 0o755, OWNER);
  const leases = new LeaseTable({ clock }).of(tree);
  const holder = (): LeaseHolder & { told: string[] } => {
    const told: string[] = [];
    return {
      told,
      term: { heardAt: clock.now(), endsAt: clock.now() + 15_000, tell: () => 15_000 },
      recall: async (path, what) => void told.push(`${path} ${what}`),
    };
  };
  return { clock, tree, leases, holder };
}

test('a change of a file is told once to each holder, until it looks again', async () => {
  const { leases, holder } = await createFixture();
  const [a, b] = [holder(), holder()];
  await leases.grant(a, p('d'));
  await leases.grant(b, p('d'));
  const change = [{ path: p('d/f'), what: attributes | contents }];
  await leases.changed(b, change);
  assert.equal(leases.changed(b, change), undefined);
  assert.deepEqual([a.told, b.told], [['d/f 6'], []]);
  leases.rearm(a, p('d'), p('f'));
  await leases.changed(b, change);
  assert.equal(a.told.length, 2);
  assert.equal(leases.changed(b, [{ path: p('x/f'), what: attributes }]), undefined);
});

test('a change of names ends the lease of all but the one who made it', async () => {
  const { leases, holder } = await createFixture();
  const [a, b] = [holder(), holder()];
  await leases.grant(a, p('d'));
  await leases.grant(a, p(''));
  await leases.grant(b, p('d'));
  await leases.changed(b, [{ path: p('d'), what: entries | attributes }]);
  assert.deepEqual(a.told, [`d ${entries | attributes}`]);
  assert.equal(leases.changed(b, [{ path: p('d/f'), what: attributes }]), undefined);
  await leases.changed(a, [{ path: p('d/f'), what: attributes }]);
  assert.deepEqual(b.told, [`d/f ${attributes}`]);
});

test('the end of a subtree ends every lease in it', async () => {
  const { leases, holder } = await createFixture();
  const a = holder();
  for (const path of ['', 'd', 'd/e', 'x']) await leases.grant(a, p(path));
  await leases.changed(undefined, [{ path: p('d'), what: subtree }]);
  assert.deepEqual(a.told, [`d ${subtree}`]);
  assert.equal(leases.changed(undefined, [{ path: p('d/e/f'), what: attributes }]), undefined);
  assert.notEqual(leases.changed(undefined, [{ path: p('x/f'), what: attributes }]), undefined);
});

test('a directory that cannot be watched is not leased, and tried again later', async () => {
  const { clock, leases, holder, tree } = await createFixture();
  const a = holder();
  assert.equal(await leases.grant(a, p('new')), 0);
  await tree.mkdir(p('new'), 0o755, OWNER);
  assert.equal(await leases.grant(a, p('new')), 0);
  clock.advance(2001);
  assert.ok((await leases.grant(a, p('new'))) > 0);
});

test('change numbers grow with every change, also of what nobody holds', async () => {
  const { leases } = await createFixture();
  const before = leases.change;
  void leases.changed(undefined, [{ path: p('d/f'), what: attributes }]);
  assert.equal(leases.change, before + 1);
});

test('the oldest lease of a holder goes when it has too many, and it is told', async () => {
  const { leases, holder, tree } = await createFixture();
  const a = holder();
  await leases.grant(a, p('d'));
  for (let index = 0; index < 4096; index++) {
    await tree.mkdir(p(`x/${index}`), 0o755, OWNER);
    await leases.grant(a, p(`x/${index}`));
  }
  assert.deepEqual(a.told, [`d ${entries}`]);
});
