import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PeerfsError } from '../../src/errors.ts';
import { formatHostPort } from '../../src/host-port.ts';
import { silentLogger } from '../../src/log.ts';
import type { Endpoint } from '../../src/net/endpoint.ts';
import type { DialTarget } from '../../src/net/handshaker.ts';
import { createLink, type Link } from '../../src/net/link.ts';
import type { PeerChannel } from '../../src/net/channel.ts';
import { createPeerChannel } from '../../src/net/peer-channel.ts';
import type { PathKind } from '../../src/net/path.ts';
import { createManualClock, type ManualClock } from '../manual-clock.ts';
import { createMemoryPathPair, type MemoryPathPair } from './memory-path.ts';
import { createMemoryPeerBook } from './memory-peer-book.ts';

interface Side {
  readonly id: string;
  readonly channel: PeerChannel;
  /** When it dialled what, Clock.now(). */
  readonly dials: { readonly at: number; readonly kind: PathKind; readonly host: string }[];
  link: Link | undefined;
}

interface World {
  readonly clock: ManualClock;
  readonly sides: readonly [Side, Side];
  /** What becomes of a dial; a path to the other side unless a test says otherwise. */
  reachable: (target: DialTarget) => boolean;
  /** How long a dial that reaches nobody takes. */
  silentMs: number;
  readonly pairs: MemoryPathPair[];
  link(side: 0 | 1, addresses?: readonly string[], paths?: readonly PathKind[]): Link;
  close(): void;
}

function createWorld(): World {
  const clock = createManualClock();
  const side = (id: string, peerId: string, boot: number): Side => ({
    id,
    channel: createPeerChannel({ peerId, bootId: new Uint8Array(16).fill(boot), name: id, clock, log: silentLogger }),
    dials: [],
    link: undefined,
  });
  const sides = [side('a', 'b', 1), side('b', 'a', 2)] as const;
  const world: World = {
    clock,
    sides,
    reachable: () => true,
    silentMs: 0,
    pairs: [],
    link(at, addresses = ['10.0.0.1'], paths = ['tcp', 'udp']) {
      const own = sides[at];
      const other = sides[at === 0 ? 1 : 0];
      const peer = { peerId: other.id, publicKey: new Uint8Array(32), pairSecret: new Uint8Array(32) };
      const book = createMemoryPeerBook();
      book.put(peer);
      for (const host of addresses) book.rememberAddress(other.id, 'tcp', host, 1);
      const endpoint: Pick<Endpoint, 'paths' | 'connect' | 'relays' | 'address'> = {
        paths,
        relays: [],
        address: { host: '::', port: 1 },
        async connect(target) {
          const { kind, host } = target;
          own.dials.push({ at: clock.now(), kind, host });
          if (!world.reachable(target)) {
            if (world.silentMs > 0) await new Promise<void>((resolve) => clock.after(world.silentMs, resolve));
            throw new PeerfsError('EHOSTDOWN', 'nobody there');
          }
          const pair = createMemoryPathPair({ clock, kind, remote: formatHostPort(host, 1) });
          world.pairs.push(pair);
          other.link?.attach(pair.ends[1]);
          return { path: pair.ends[0], name: other.id };
        },
      };
      own.link = createLink({
        peer,
        endpoint,
        channel: own.channel,
        book,
        ownId: own.id,
        clock,
        log: silentLogger,
        random: () => 0.5,
      });
      return own.link;
    },
    close() {
      for (const { link, channel } of sides) {
        link?.close();
        channel.close('shutting-down');
      }
    },
  };
  return world;
}

test('a link dials the preferred kind first, and the peers are live', async () => {
  const world = createWorld();
  world.link(1, []);
  world.link(0);
  await world.clock.run(2000);
  assert.deepEqual(world.sides[0].dials, [{ at: 0, kind: 'tcp', host: '10.0.0.1' }]);
  assert.deepEqual([world.sides[0].channel.state, world.sides[1].channel.state], ['live', 'live']);
  world.close();
});

test('where one kind of path is not to be had, the other serves', async () => {
  const world = createWorld();
  world.reachable = ({ kind }) => kind === 'udp';
  world.link(1, []);
  world.link(0);
  await world.clock.run(2000);
  assert.equal(world.sides[0].channel.activePath?.kind, 'udp');
  world.close();
});

test('a peer that cannot be reached is dialled less and less often, down to once a minute', async () => {
  const world = createWorld();
  world.reachable = () => false;
  world.link(0, ['10.0.0.1'], ['tcp']);
  await world.clock.run(600_000);
  const { dials } = world.sides[0];
  const late = dials.filter(({ at }) => at > 300_000);
  assert.ok(late.length >= 3 && late.length <= 8, `${late.length} dials in five minutes`);
  const early = dials.filter(({ at }) => at <= 60_000);
  assert.ok(early.length >= 5 && early.length <= 20, `${early.length} dials in the first minute`);
  world.close();
});

test('a sign of life makes it dial at once, at the new address', async () => {
  const world = createWorld();
  world.reachable = ({ host }) => host === '10.0.0.9';
  world.link(1, []);
  const link = world.link(0);
  await world.clock.run(400_000);
  const before = world.clock.now();
  link.hint('tcp', '10.0.0.9', 1);
  await world.clock.run(1000);
  assert.ok(world.sides[0].dials.some(({ at, host }) => host === '10.0.0.9' && at === before));
  assert.equal(world.sides[0].channel.state, 'live');
  world.close();
});

test('a lost path is replaced at once', async () => {
  const world = createWorld();
  world.link(1, []);
  world.link(0);
  await world.clock.run(10_000);
  world.pairs[0]?.cut();
  await world.clock.run(500);
  assert.equal(world.pairs.length, 2);
  assert.equal(world.sides[0].channel.state, 'live');
  world.close();
});

test('when both sides dial at once, one path stays, and stays the same', async () => {
  const world = createWorld();
  world.link(0);
  world.link(1);
  await world.clock.run(20_000);
  const kept = world.sides[0].channel.paths;
  assert.equal(kept.length, 1);
  assert.equal(world.sides[1].channel.paths.length, 1);
  const dialled = world.pairs.length;
  await world.clock.run(300_000);
  assert.deepEqual(world.sides[0].channel.paths, kept);
  assert.equal(world.pairs.length, dialled);
  assert.deepEqual([world.sides[0].channel.state, world.sides[1].channel.state], ['live', 'live']);
  world.close();
});

/** Both sides have a path that a, who chooses, began; then b comes by another one. */
async function createRivals(): Promise<{ world: World; rival: MemoryPathPair; settled: () => boolean }> {
  const world = createWorld();
  world.link(1, []);
  world.link(0);
  await world.clock.run(10_000);
  world.reachable = () => false;
  const rival = createMemoryPathPair({ clock: world.clock, kind: 'tcp' });
  const settled = () =>
    world.sides.every(({ channel }, at) => channel.paths.length === 1 && channel.paths[0] === rival.ends[at]);
  return { world, rival, settled };
}

test('a peer that moved is kept by its new path, whoever began the old one', async () => {
  const { world, rival, settled } = await createRivals();
  // What b had is dead, and nobody has noticed.
  for (const pair of world.pairs) pair.silent = true;
  world.sides[0].link?.attach(rival.ends[0]);
  world.sides[1].link?.attach(rival.ends[1]);
  await world.clock.run(10_000);
  assert.ok(settled());
  assert.deepEqual([world.sides[0].channel.state, world.sides[1].channel.state], ['live', 'live']);
  world.close();
});

test('a peer that restarted is kept by its new path', async () => {
  const { world, rival } = await createRivals();
  for (const pair of world.pairs) pair.silent = true;
  const [a] = world.sides;
  const { clock } = world;
  const bootId = new Uint8Array(16).fill(9);
  const reborn = createPeerChannel({ peerId: 'a', bootId, name: 'b', clock, log: silentLogger });
  let restarts = 0;
  a.channel.onRestart(() => (restarts += 1));
  a.link?.attach(rival.ends[0]);
  reborn.attach(rival.ends[1], 0);
  await clock.run(10_000);
  assert.deepEqual([a.channel.paths, reborn.paths, restarts], [[rival.ends[0]], [rival.ends[1]], 1]);
  assert.deepEqual([a.channel.state, reborn.state], ['live', 'live']);
  await clock.run(60_000);
  assert.deepEqual(a.channel.paths, [rival.ends[0]]);
  reborn.close('shutting-down');
  world.close();
});

test('of two paths that live both sides keep the same, the one that the lower id began', async () => {
  const { world, rival } = await createRivals();
  world.sides[0].link?.attach(rival.ends[0]);
  world.sides[1].link?.attach(rival.ends[1]);
  await world.clock.run(10_000);
  const [first] = world.pairs;
  assert.deepEqual(world.sides[0].channel.paths, [first?.ends[0]]);
  assert.deepEqual(world.sides[1].channel.paths, [first?.ends[1]]);
  world.close();
});

test('of two that the other side began both sides keep the newest', async () => {
  const { world, rival } = await createRivals();
  for (const pair of world.pairs) pair.cut();
  const newer = createMemoryPathPair({ clock: world.clock, kind: 'tcp' });
  for (const pair of [rival, newer]) {
    world.sides[0].link?.attach(pair.ends[0]);
    world.sides[1].link?.attach(pair.ends[1]);
  }
  await world.clock.run(10_000);
  assert.deepEqual(world.sides[0].channel.paths, [newer.ends[0]]);
  assert.deepEqual(world.sides[1].channel.paths, [newer.ends[1]]);
  world.close();
});

test('where none of two paths answers, neither is closed for the other', async () => {
  const { world, rival } = await createRivals();
  world.sides[0].link?.attach(rival.ends[0]);
  world.sides[1].link?.attach(rival.ends[1]);
  rival.silent = true;
  for (const pair of world.pairs) pair.silent = true;
  await world.clock.run(9_000);
  assert.equal(world.sides[0].channel.paths.length, 2);
  world.close();
});

test('a closed link dials no more', async () => {
  const world = createWorld();
  world.reachable = () => false;
  const link = world.link(0);
  await world.clock.run(5000);
  link.close();
  const { length } = world.sides[0].dials;
  link.wake();
  link.hint('tcp', '10.0.0.9', 1);
  await world.clock.run(120_000);
  assert.equal(world.sides[0].dials.length, length);
  world.close();
});

test('when the better of two paths is lost, it is dialled again at once beside the other, and then again and again', async () => {
  const world = createWorld();
  world.reachable = ({ kind }) => kind === 'udp';
  world.link(1, []);
  world.link(0, ['10.0.0.1'], ['udp', 'tor']);
  await world.clock.run(1000);
  const tor = createMemoryPathPair({ clock: world.clock, kind: 'tor' });
  world.sides[0].link?.attach(tor.ends[0]);
  world.sides[1].link?.attach(tor.ends[1]);
  await world.clock.run(1000);
  world.reachable = () => false;
  const before = world.clock.now();
  world.pairs[0]?.cut();
  await world.clock.run(25_000);
  const later = world.sides[0].dials.filter(({ at }) => at >= before).map(({ at }) => at - before);
  assert.ok((later[0] ?? Infinity) <= 100 && later.length >= 3, later.join());
  world.reachable = () => true;
  await world.clock.run(15_000);
  assert.equal(world.sides[0].channel.activePath?.kind, 'udp');
  world.close();
});

test('over the internet datagrams go before connections, on the own network connections first', async () => {
  for (const [host, kinds] of [
    ['198.51.100.1', ['udp', 'tcp']],
    ['192.168.1.2', ['tcp', 'udp']],
  ] as const) {
    const world = createWorld();
    world.reachable = () => false;
    world.link(0, [host]);
    await world.clock.run(100);
    assert.deepEqual(
      world.sides[0].dials.slice(0, 2).map(({ kind }) => kind),
      kinds,
    );
    world.close();
  }
});

test('a path on the own network is the best there is, whatever its family', async () => {
  for (const host of ['192.168.1.2', 'fd00::2']) {
    const world = createWorld();
    world.link(1, []);
    world.link(0, [host]);
    await world.clock.run(180_000);
    assert.equal(world.sides[0].channel.state, 'live');
    assert.deepEqual(new Set(world.sides[0].dials.map(({ kind }) => kind)), new Set(['tcp']), host);
    world.close();
  }
});

test('a path that is lost while a better one is still being tried for is replaced at once', async () => {
  const world = createWorld();
  // Connections are neither made nor refused for five seconds, as with a far end that drops them.
  world.reachable = ({ kind }) => kind === 'udp';
  world.silentMs = 5000;
  world.link(1, []);
  world.link(0, ['10.0.0.1']);
  await world.clock.run(1000);
  assert.equal(world.pairs.length, 1);
  world.pairs[0]?.cut();
  await world.clock.run(1000);
  assert.equal(world.pairs.length, 2);
  assert.equal(world.sides[0].channel.state, 'live');
  world.close();
});
