/** That invitations are made known while they are open, and not a moment longer than the bound. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { createIdentity } from '../../src/crypto/identity.ts';
import { createInvitations, type Invitations } from '../../src/daemon/invitations.ts';
import { openStore, type Store } from '../../src/daemon/store.ts';
import { silentLogger } from '../../src/log.ts';
import { createManualClock, type ManualClock } from '../manual-clock.ts';
import { temporaryFolder } from './temporary-home.ts';

const HOUR = 3_600_000;
const ONION = `${'b'.repeat(56)}.onion`;

interface World {
  readonly clock: ManualClock;
  readonly store: Store;
  readonly invitations: Invitations;
  /** Tokens that are made known now, in hex. */
  readonly announced: ReadonlySet<string>;
  invite(lifeMs?: number): Promise<string>;
}

function createWorld(t: TestContext, announced = new Set<string>(), store?: Store): World {
  const clock = createManualClock();
  const kept = store ?? openStore(join(temporaryFolder(t), 'state.sqlite'), clock);
  const invitations = createInvitations({
    store: kept,
    identity: createIdentity(),
    name: 'alice',
    endpoint: {
      paths: [],
      relays: [],
      address: { host: '::', port: 1 },
      connect: () => Promise.reject(new Error('nobody dials here')),
    },
    reach: {
      invite(token) {
        const key = Buffer.from(token).toString('hex');
        announced.add(key);
        return { addresses: [{ host: ONION, port: 1 }], close: () => announced.delete(key) };
      },
      seekCreator: () => ({ seek: () => undefined, rest: () => undefined, close: () => undefined }),
    },
    discovery: undefined,
    isOnline: () => false,
    onAccepted: async () => undefined,
    clock,
    log: silentLogger,
  });
  if (store === undefined) t.after(() => kept.close());
  t.after(() => invitations.close());
  return {
    clock,
    store: kept,
    invitations,
    announced,
    invite: async (lifeMs = HOUR) => (await invitations.invite({ name: undefined, lifeMs, addresses: undefined })).id,
  };
}

test('an open invitation is made known, also after a restart of the node', async (t) => {
  const world = createWorld(t);
  await world.invite();
  assert.equal(world.announced.size, 1);
  world.invitations.close();
  assert.equal(world.announced.size, 0);
  const next = createWorld(t, new Set(), world.store);
  next.invitations.resume();
  assert.equal(next.announced.size, 1);
});

test('one that was used is no longer made known', async (t) => {
  const world = createWorld(t);
  const id = await world.invite();
  await world.invite();
  const [row] = world.store.tokens().filter(({ inviteId }) => inviteId === id);
  assert.ok(row !== undefined);
  const publicKey = new Uint8Array(32).fill(3);
  const redemption = { inviteId: id, peerId: 'p', publicKey, pairSecret: new Uint8Array(32), suggestedName: 'bob' };
  assert.equal(world.store.redeem(redemption), 'joined');
  world.invitations.follow();
  assert.ok(!world.announced.has(Buffer.from(row.token).toString('hex')));
  assert.equal(world.announced.size, 1);
});

test('one that was revoked is no longer made known', async (t) => {
  const world = createWorld(t);
  world.invitations.revoke(await world.invite());
  assert.equal(world.announced.size, 0);
});

test('one that has expired is no longer made known', async (t) => {
  const world = createWorld(t);
  world.invitations.resume();
  await world.invite(60_000);
  await world.clock.run(59_000);
  assert.equal(world.announced.size, 1);
  await world.clock.run(12_000);
  assert.equal(world.announced.size, 0);
});

test('one that could not be made is not made known', async (t) => {
  const world = createWorld(t);
  const long = Array.from({ length: 16 }, () => ({ host: 'x'.repeat(300), port: 1 }));
  await assert.rejects(world.invitations.invite({ name: undefined, lifeMs: HOUR, addresses: long }));
  assert.equal(world.announced.size, 0);
});
