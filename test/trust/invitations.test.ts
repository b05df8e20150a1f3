/** What an invitation is worth to whom: wrong contacts, clocks set back, and whoever finds its text. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { describe, it, test, type TestContext } from 'node:test';
import { ARGON2 } from '../../src/crypto/code-key.ts';
import { CODE_WORDS, generateCode } from '../../src/crypto/code.ts';
import { WORDS } from '../../src/crypto/wordlist.ts';
import { openStore, type Store } from '../../src/daemon/store.ts';
import { codeOf } from '../../src/errors.ts';
import { temporaryFolder } from '../daemon/temporary-home.ts';
import { openLab } from '../e2e/lab.ts';
import { at, withNodes } from '../net/endpoint-node.ts';

const NEVER = new AbortController().signal;
const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const NOW = 1_700_000_000_000;

describe('wrong contacts', () => {
  it(
    'three with another token hear nothing and burn nothing, and the right one gets in',
    { timeout: 60_000 },
    async () => {
      await withNodes(5, async (_a, creator, ...guests) => {
        const token = randomBytes(16);
        creator.book.putToken({ inviteId: 'i', token, state: 'open' });
        const wrong = guests.map((guest) =>
          guest.endpoint.connect(at(creator, 'udp', randomBytes(16), 'invitation'), NEVER).then(() => 'in', codeOf),
        );
        assert.deepEqual(await Promise.all(wrong), ['ETIMEDOUT', 'ETIMEDOUT', 'ETIMEDOUT']);
        assert.equal(creator.book.tokens()[0]?.state, 'open');
        const [guest] = guests;
        (await guest?.endpoint.connect(at(creator, 'udp', token, 'invitation'), NEVER))?.path.close();
        assert.deepEqual(creator.joined, [guest?.peerId]);
      });
    },
  );

  it('are slowed: of a hundred in a row from one address, most are not looked at', async () => {
    await withNodes(3, async (_a, creator, guest) => {
      creator.book.putToken({ inviteId: 'i', token: randomBytes(16), state: 'open' });
      const stop = new AbortController();
      const tries = Array.from({ length: 100 }, () =>
        guest.endpoint.connect(at(creator, 'udp', randomBytes(16), 'invitation'), stop.signal).catch(codeOf),
      );
      // They take a moment to make, on a busy machine.
      for (let turn = 0; turn < 30 && creator.endpoint.counters.handshakesLimited < 60; turn += 1) {
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
      const { handshakesLimited } = creator.endpoint.counters;
      stop.abort();
      await Promise.all(tries);
      assert.ok(handshakesLimited >= 60, `${handshakesLimited} were not looked at`);
    });
  });

  it('three wrong codes cost the guest a slow key each and burn nothing', { timeout: 60_000 }, async () => {
    const lab = openLab(['alice', 'bob'], true);
    try {
      const [alice, bob] = [lab.host('alice'), lab.host('bob')];
      await alice.start();
      await bob.start();
      const made = (await alice.json(['invite', '--name', 'bob'])) as { invitation: string; code: string };
      for (let turn = 0; turn < 3; turn += 1) {
        const refused = await bob.peerfs(['accept', made.invitation], { env: { PEERFS_CODE: generateCode() } });
        assert.notEqual(refused.status, 0);
        assert.match(refused.stderr, /code/);
      }
      await bob.json(['accept', made.invitation], { env: { PEERFS_CODE: made.code }, timeoutMs: 30_000 });
    } finally {
      await lab.close();
    }
  });
});

/** A clock that is set as one likes, whose monotonic part goes on all the same. */
function createCalendar() {
  return {
    wall: NOW,
    run: 0,
    now: () => 0,
    slept: () => 0,
    after: () => ({ cancel: () => undefined }),
    wallMs: () => 0,
  };
}

function openWorld(t: TestContext, file = join(temporaryFolder(t), 'state.sqlite')) {
  const calendar = createCalendar();
  const clock = { ...calendar, now: () => calendar.run, wallMs: () => calendar.wall };
  let store = openStore(file, clock);
  t.after(() => store.close());
  const current = (): Store => store;
  return {
    store: current,
    restart() {
      store.close();
      calendar.run = 0;
      store = openStore(file, clock);
    },
    pass(ms: number) {
      calendar.run += ms;
      calendar.wall += ms;
    },
    setBack: (ms: number) => void (calendar.wall -= ms),
    invite(id: string, lifeMs: number) {
      const expiresAt = calendar.wall + lifeMs;
      current().addInvitation({ id, token: randomBytes(16), name: undefined, replaces: undefined, expiresAt });
    },
    state: (id: string) =>
      current()
        .tokens()
        .find(({ inviteId }) => inviteId === id)?.state,
    redeem: (id: string) =>
      current().redeem({
        inviteId: id,
        peerId: `peer ${id}`,
        publicKey: randomBytes(32),
        pairSecret: randomBytes(32),
        suggestedName: 'guest',
      }),
  };
}

describe('a clock set back', () => {
  it('does not bring back what has expired, with or without a restart', (t) => {
    const world = openWorld(t);
    world.invite('i', HOUR);
    world.pass(HOUR);
    assert.equal(world.state('i'), 'expired');
    world.setBack(DAY);
    assert.equal(world.state('i'), 'expired');
    assert.equal(world.redeem('i'), 'expired');
    world.restart();
    assert.equal(world.state('i'), 'expired');
    assert.equal(world.redeem('i'), 'expired');
  });

  it('makes no life longer while the node runs', (t) => {
    const world = openWorld(t);
    world.invite('i', HOUR);
    world.pass(HOUR / 2);
    assert.equal(world.state('i'), 'open');
    world.setBack(DAY);
    world.pass(HOUR / 2 - 1);
    assert.equal(world.state('i'), 'open');
    world.pass(1);
    assert.equal(world.redeem('i'), 'expired');
  });

  it('makes it longer by a minute at most when the node is started anew', (t) => {
    const world = openWorld(t);
    world.invite('i', HOUR);
    for (let minutes = 0; minutes < 50; minutes += 0.5) {
      world.pass(30_000);
      world.state('i');
    }
    world.setBack(30 * DAY);
    world.restart();
    assert.equal(world.state('i'), 'open');
    for (let minutes = 0; minutes < 11; minutes += 0.5) {
      world.pass(30_000);
      world.state('i');
    }
    assert.equal(world.redeem('i'), 'expired');
  });

  it('behind the making of an invitation leaves it its life, and a later one its own', (t) => {
    const world = openWorld(t);
    world.invite('old', HOUR);
    world.setBack(DAY);
    world.invite('new', HOUR);
    world.pass(HOUR - 1);
    assert.deepEqual([world.state('old'), world.state('new')], ['open', 'open']);
    world.pass(1);
    assert.deepEqual([world.state('old'), world.state('new')], ['expired', 'expired']);
  });

  it('does not bring back what was revoked or used', (t) => {
    const world = openWorld(t);
    world.invite('revoked', HOUR);
    world.invite('used', HOUR);
    assert.equal(world.redeem('used'), 'joined');
    assert.ok(world.store().revokeInvitation('revoked'));
    world.setBack(DAY);
    world.restart();
    assert.equal(world.redeem('revoked'), 'revoked');
    assert.equal(world.redeem('used'), 'used');
  });
});

test('the text without its code is worth an offline search of 75 bits, at 64 MiB and three passes a guess', () => {
  assert.ok(CODE_WORDS * Math.log2(new Set(WORDS).size) >= 75);
  // RFC 9106, section 4, second recommended option: 64 MiB, three passes.
  const guess: { readonly memoryBytes: number; readonly passes: number } = ARGON2;
  assert.ok(guess.memoryBytes >= 64 * 2 ** 20 && guess.passes >= 3);
});
