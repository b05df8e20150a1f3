import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { createIdentity, peerIdOf, type Identity } from '../../src/crypto/identity.ts';
import { codeOf } from '../../src/errors.ts';
import { createHandshaker, type DialTarget } from '../../src/net/handshaker.ts';
import { openUdpEndpoint, type UdpEndpoint } from '../../src/net/udp-endpoint.ts';
import type { UdpPath } from '../../src/net/udp-path.ts';
import { DATAGRAM_TYPES } from '../../src/wire/datagram.ts';
import { createManualClock, type ManualClock } from '../manual-clock.ts';
import { createMemoryPeerBook, type MemoryPeerBook } from './memory-peer-book.ts';
import { createSimulatedNetwork, type Conditions, type SimulatedNetwork } from './simulated-network.ts';

const SECRET = new Uint8Array(32).fill(7);
const NEVER = new AbortController().signal;
/** After this a session is due for new keys. */
const REKEY_MS = 120_000;

interface Side {
  readonly identity: Identity;
  readonly endpoint: UdpEndpoint;
  readonly arrived: UdpPath[];
  readonly book: MemoryPeerBook;
  /** Datagrams that were tried as the answer to a handshake of its own, counted for each handshake. */
  readonly trials: () => number;
}

interface World {
  readonly clock: ManualClock;
  readonly network: SimulatedNetwork;
  readonly a: Side;
  readonly b: Side;
  readonly toB: DialTarget;
}

async function createWorld(seed: number, conditions: Partial<Conditions> = {}): Promise<World> {
  const clock = createManualClock();
  const network = createSimulatedNetwork({ clock, seed, conditions });
  const identities = [createIdentity(), createIdentity()] as const;
  const open = async (at: 0 | 1): Promise<Side> => {
    const identity = identities[at];
    const { publicKey } = identities[at === 0 ? 1 : 0];
    const book = createMemoryPeerBook();
    book.put({ peerId: peerIdOf(publicKey), publicKey, pairSecret: SECRET });
    const arrived: UdpPath[] = [];
    let trials = 0;
    const handshaker = createHandshaker({ identity, book, name: 'n', port: () => 1, clock, onJoined: () => undefined });
    const endpoint = await openUdpEndpoint({
      listen: { host: `10.0.0.${at + 1}`, port: 1 },
      openPort: async (asked) => network.openPort(asked),
      identity,
      handshaker: {
        ...handshaker,
        begin(target, index) {
          const initiation = handshaker.begin(target, index);
          return { ...initiation, finish: (message2) => ((trials += 1), initiation.finish(message2)) };
        },
      },
      clock,
      direct: true,
      onPath: (_peerId, path) => arrived.push(path),
    });
    return { identity, endpoint, arrived, book, trials: () => trials };
  };
  const [a, b] = [await open(0), await open(1)];
  const { publicKey } = b.identity;
  const toB: DialTarget = { publicKey, psk: SECRET, purpose: 'known', kind: 'udp', host: '10.0.0.2', port: 1 };
  return { clock, network, a, b, toB };
}

/** A path from a to b, and b's end of it. */
async function dial({ clock, a, b, toB }: World): Promise<readonly [UdpPath, UdpPath]> {
  const dialling = a.endpoint.connect(toB, NEVER);
  await clock.run(5000);
  const { path } = await dialling;
  path.start({ frame: () => undefined, writable: () => undefined, end: () => undefined });
  path.send(0, [Buffer.from('first')]);
  await clock.run(1000);
  const [other] = b.arrived;
  assert.ok(other !== undefined && b.arrived.length === 1 && 'session' in path);
  return [path as UdpPath, other];
}

const hashOf = (path: UdpPath) => Buffer.from(path.session.handshakeHash).toString('hex');

for (const [name, conditions] of [
  ['a good network', {}],
  ['loss', { lossRate: 0.3, duplicateRate: 0.1 }],
  ['loss and datagrams that come seconds late', { lossRate: 0.1, reorderRate: 0.3, reorderMs: 4000 }],
] as const) {
  test(`${name}: keys change every two minutes while frames go both ways, and old ones are forgotten`, async () => {
    const world = await createWorld(3);
    const { clock, network, a, b, toB } = world;
    const dialling = a.endpoint.connect(toB, NEVER);
    await clock.run(100);
    const { path } = await dialling;
    assert.ok('session' in path);
    const got: string[][] = [[], []];
    const ends: string[] = [];
    const start = (side: 0 | 1, one: UdpPath): void =>
      one.start({
        frame: (_lane, frame) => got[side]?.push(Buffer.from(frame).toString()),
        writable: () => undefined,
        end: (reason) => ends.push(reason),
      });
    const near = path as UdpPath;
    start(0, near);
    near.send(0, [Buffer.from('first')]);
    await clock.run(100);
    const [far] = b.arrived;
    assert.ok(far !== undefined);
    start(1, far);
    Object.assign(network.conditions, conditions);

    const hashes = new Set<string>();
    const sent = ['first'];
    const seconds = 1200;
    for (let second = 0; second < seconds; second++) {
      sent.push(`frame ${second}`);
      for (const one of [near, far]) one.send(0, [Buffer.from(`frame ${second}`)]);
      await clock.run(1000);
      hashes.add(hashOf(near));
      for (const { endpoint } of [a, b]) {
        assert.ok(endpoint.sessions.indices <= 3, `${endpoint.sessions.indices} indices`);
        assert.equal(endpoint.sessions.size, 1);
      }
    }
    Object.assign(network.conditions, { lossRate: 0, duplicateRate: 0, reorderRate: 0 });
    await clock.run(60_000);
    assert.deepEqual(ends, []);
    assert.deepEqual(got[1], sent);
    assert.deepEqual(got[0], sent.slice(1));
    const most = Math.floor((seconds * 1000) / REKEY_MS) + 1;
    assert.ok(hashes.size >= most * 0.8 && hashes.size <= most + 1, `${hashes.size} sets of keys`);
    assert.equal(hashOf(near), hashOf(far));
    // Late datagrams under the former keys are not waited for any more.
    assert.deepEqual([a.endpoint.sessions.indices, b.endpoint.sessions.indices], [1, 1]);
    near.close();
    await clock.run(1000);
    for (const { endpoint } of [a, b]) {
      assert.deepEqual([endpoint.sessions.size, endpoint.sessions.indices], [0, 0]);
      await endpoint.close();
    }
  });
}

test('a request for new keys that comes late, after a newer one, changes nothing', async () => {
  const world = await createWorld(4);
  const { clock, a, b } = world;
  const [near, far] = await dial(world);
  far.start({ frame: () => undefined, writable: () => undefined, end: () => undefined });
  const held: [Uint8Array, { host: string; port: number }][] = [];
  // The first message of a handshake is kept back; its padding is random.
  const input = far.input.bind(far);
  far.input = (plain, from) => {
    if (plain[0] === DATAGRAM_TYPES.rekey && plain.length > 100 && held.length === 0) held.push([plain, from]);
    else input(plain, from);
  };
  const before = hashOf(near);
  for (let second = 0; second < 130 && hashOf(near) === before; second++) await clock.run(1000);
  const between = hashOf(near);
  assert.equal(held.length, 1);
  for (const [plain, from] of held) input(plain, from);
  near.send(0, [Buffer.from('after')]);
  await clock.run(20_000);
  assert.equal(hashOf(near), between);
  assert.equal(hashOf(far), between);
  assert.deepEqual([a.endpoint.sessions.size, b.endpoint.sessions.size], [1, 1]);
  await Promise.all([a.endpoint.close(), b.endpoint.close()]);
});

test('a lost handshake is made anew, and leaves no session behind', async () => {
  const world = await createWorld(5, { lossRate: 1 });
  const { clock, network, a, b, toB } = world;
  const dialling = a.endpoint.connect(toB, NEVER);
  await clock.run(600);
  network.conditions.lossRate = 0;
  await clock.run(2000);
  const { path } = await dialling;
  path.close();
  await clock.run(20_000);
  assert.deepEqual([a.endpoint.sessions.size, b.endpoint.sessions.size], [0, 0]);
  await Promise.all([a.endpoint.close(), b.endpoint.close()]);
});

test('an answered session that nobody uses is forgotten', async () => {
  const world = await createWorld(6);
  const { clock, a, b, toB } = world;
  const stop = new AbortController();
  const dialling = a.endpoint.connect(toB, stop.signal);
  dialling.catch(() => undefined);
  stop.abort();
  await clock.run(1000);
  assert.deepEqual([b.endpoint.sessions.size, b.arrived.length], [1, 0]);
  await clock.run(10_000);
  assert.deepEqual([b.endpoint.sessions.size, b.endpoint.sessions.indices], [0, 0]);
  await assert.rejects(dialling, (error) => codeOf(error) === 'CANCELLED');
  await Promise.all([a.endpoint.close(), b.endpoint.close()]);
});

test('nobody there: dialling ends with ETIMEDOUT', async () => {
  const { clock, a, b, toB } = await createWorld(7);
  const dialling = a.endpoint.connect({ ...toB, port: 2 }, NEVER);
  const failed = assert.rejects(dialling, (error) => codeOf(error) === 'ETIMEDOUT');
  await clock.run(10_000);
  await failed;
  await Promise.all([a.endpoint.close(), b.endpoint.close()]);
});

test('a book that cannot be written fails handshakes of both directions, and nothing else', async () => {
  const world = await createWorld(1);
  const { clock, a, b, toB } = world;
  const full = () => {
    throw new Error('disk full');
  };
  const nextTimestamp = a.book.nextTimestamp.bind(a.book);
  // The answering side: silence.
  b.book.acceptTimestamp = full;
  const unanswered = a.endpoint.connect(toB, NEVER).catch(codeOf);
  await clock.run(10_000);
  assert.equal(await unanswered, 'ETIMEDOUT');
  // The dialling side, when it repeats itself.
  let made = 0;
  a.book.nextTimestamp = (peerId) => (made++ === 0 ? nextTimestamp(peerId) : full());
  const failed = a.endpoint
    .connect(toB, NEVER)
    .catch((error: unknown) => (error instanceof Error ? error.message : ''));
  await clock.run(10_000);
  assert.equal(await failed, 'disk full');
});

test('a peer that is said to be everywhere leaves room to dial others', async () => {
  const { clock, a, toB } = await createWorld(9);
  const stranger = createIdentity();
  a.book.put({ peerId: peerIdOf(stranger.publicKey), publicKey: stranger.publicKey, pairSecret: SECRET });
  const everywhere = Array.from({ length: 300 }, (_, i) =>
    a.endpoint
      .connect({ ...toB, publicKey: stranger.publicKey, host: `10.9.${i >> 8}.${i & 255}` }, NEVER)
      .then(() => 'reached', codeOf),
  );
  const dialling = a.endpoint.connect(toB, NEVER).then(() => 'reached', codeOf);
  await clock.run(10_000);
  assert.equal(await dialling, 'reached');
  assert.deepEqual(new Set(await Promise.all(everywhere)), new Set(['ETIMEDOUT']));
});

test('noise while as many handshakes of ours are under way as may be costs little, and their answers are taken', async () => {
  const { clock, network, a, toB } = await createWorld(10);
  const stranger = createIdentity();
  a.book.put({ peerId: peerIdOf(stranger.publicKey), publicKey: stranger.publicKey, pairSecret: SECRET });
  const everywhere = Array.from({ length: 120 }, (_, i) =>
    a.endpoint.connect({ ...toB, publicKey: stranger.publicKey, host: `10.9.0.${i}` }, NEVER).catch(codeOf),
  );
  const noisy = network.openPort({ host: '10.0.0.3', port: 1, onDatagram: () => undefined });
  for (let count = 0; count < 2000; count += 1) noisy.send(randomBytes(200), { host: '10.0.0.1', port: 1 });
  await clock.run(100);
  assert.ok(a.trials() <= 5600, `${a.trials()} trials instead of 240,000 for each on all of them`);
  const dialling = a.endpoint.connect(toB, NEVER).then(() => 'reached', codeOf);
  for (let count = 0; count < 2000; count += 1) noisy.send(randomBytes(200), { host: '10.0.0.1', port: 1 });
  await clock.run(10_000);
  assert.equal(await dialling, 'reached');
  await Promise.all(everywhere);
  await a.endpoint.close();
});
