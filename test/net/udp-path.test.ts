import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Session } from '../../src/crypto/session.ts';
import type { Lane, PathEnd } from '../../src/net/path.ts';
import { createUdpPath, type UdpPath } from '../../src/net/udp-path.ts';
import { sameAddress, type UdpAddress } from '../../src/net/udp-port.ts';
import { createManualClock, type ManualClock } from '../manual-clock.ts';
import { createSessionEnd } from './session-pair.ts';
import { createRandom } from './simulated-link.ts';

const DELAY_MS = 5;

interface End {
  readonly path: UdpPath;
  readonly session: Session;
  readonly frames: { lane: Lane; frame: Uint8Array }[];
  readonly ends: PathEnd[];
  readonly writable: Lane[];
  address: UdpAddress;
}

interface World {
  readonly clock: ManualClock;
  readonly a: End;
  readonly b: End;
  /** Whether the network swallows this datagram. */
  drop: (datagram: Uint8Array) => boolean;
  longest: number;
  run(ms: number): Promise<void>;
}

function createWorld(): World {
  const clock = createManualClock();
  const world: World = {
    clock,
    drop: () => false,
    longest: 0,
    a: createEnd(true, { host: '10.0.0.1', port: 1 }, { host: '10.0.0.2', port: 2 }),
    b: createEnd(false, { host: '10.0.0.2', port: 2 }, { host: '10.0.0.1', port: 1 }),
    run: (ms) => clock.run(ms),
  };
  function createEnd(first: boolean, address: UdpAddress, remote: UdpAddress): End {
    const session = createSessionEnd(first);
    const send = (bytes: Uint8Array, to: UdpAddress): void => {
      world.longest = Math.max(world.longest, bytes.length);
      if (world.drop(bytes)) return;
      const copy = bytes.slice();
      const from = end.address;
      clock.after(DELAY_MS, () => {
        for (const other of [world.a, world.b]) {
          if (!sameAddress(other.address, to)) continue;
          const plain = other.session.openDatagram(copy);
          if (plain !== undefined) other.path.input(plain, from);
        }
      });
    };
    const path = createUdpPath({
      session,
      remote,
      clock,
      port: {
        send,
        sendBatch(bytes, segment, to) {
          for (let at = 0; at < bytes.length; at += segment) send(bytes.subarray(at, at + segment), to);
        },
      },
      defer: (run) => queueMicrotask(run),
    });
    const end: End = { path, session, address, frames: [], ends: [], writable: [] };
    return end;
  }
  for (const { path, frames, ends, writable } of [world.a, world.b]) {
    path.start({
      frame: (lane, frame) => frames.push({ lane, frame }),
      writable: (lane) => writable.push(lane),
      end: (reason) => ends.push(reason),
    });
  }
  return world;
}

test('frames of all lengths arrive whole, in order within their lane', async () => {
  const { a, b, run } = createWorld();
  const lengths = [0, 1, 1_000, 1_147, 1_148, 5_000, 288 * 1024];
  for (const lane of [0, 1] as const) {
    lengths.forEach((length, i) => a.path.send(lane, [new Uint8Array(length).fill(i)]));
  }
  await run(500);
  for (const lane of [0, 1] as const) {
    const got = b.frames.filter((frame) => frame.lane === lane);
    assert.deepEqual(
      got.map(({ frame }) => frame.length),
      lengths,
    );
    assert.ok(got.every(({ frame }, i) => frame.every((byte) => byte === i)));
  }
});

test('a frame in pieces arrives as one', async () => {
  const { a, b, run } = createWorld();
  a.path.send(0, [Uint8Array.of(1, 2), Uint8Array.of(), Uint8Array.of(3)]);
  await run(50);
  assert.deepEqual([...(b.frames[0]?.frame ?? [])], [1, 2, 3]);
});

test('lane 0 overtakes what lane 1 has queued', async () => {
  const { a, b, run } = createWorld();
  for (let i = 0; i < 20; i++) a.path.send(1, [new Uint8Array(256 * 1024)]);
  await run(12);
  a.path.send(0, [Uint8Array.of(9)]);
  await run(12);
  assert.equal(b.frames.filter(({ lane }) => lane === 0).length, 1);
  assert.ok(b.frames.filter(({ lane }) => lane === 1).length < 20);
});

test('send says when a lane is full, and writable follows', async () => {
  const { a, b, run } = createWorld();
  let sent = 0;
  do sent++;
  while (a.path.send(1, [new Uint8Array(256 * 1024)]));
  assert.equal(sent, 16);
  assert.equal(a.path.send(0, [Uint8Array.of(1)]), true);
  await run(3_000);
  assert.deepEqual(a.writable, [1]);
  assert.equal(b.frames.length, 17);
});

test('the round trip is measured', async () => {
  const { a, run } = createWorld();
  a.path.probe();
  await run(100);
  assert.ok(Math.abs((a.path.statistics.rttMs ?? 0) - 2 * DELAY_MS) < 1);
});

test('the MTU rises to what passes', async () => {
  const world = createWorld();
  world.drop = (datagram) => datagram.length > 1_420;
  await world.run(100);
  world.longest = 0;
  world.a.path.send(1, [new Uint8Array(100_000)]);
  await world.run(100);
  assert.equal(world.longest, 1_400);
});

test('when long datagrams begin to vanish, what is under way arrives in fragments', async () => {
  const world = createWorld();
  await world.run(100);
  world.a.path.send(1, [new Uint8Array(50_000)]);
  world.drop = (datagram) => datagram.length > 1_250;
  await world.run(2_500);
  assert.equal(world.b.frames[0]?.frame.length, 50_000);
  assert.deepEqual(world.a.ends, []);
});

test('an idle path stays alive for an hour', async () => {
  const { a, b, run } = createWorld();
  await run(3_600_000);
  assert.deepEqual([a.ends, b.ends], [[], []]);
  assert.ok(a.path.statistics.bytesSent < 60_000);
});

test('a peer that falls silent is noticed: in seconds with data under way, else after the keepalive', async () => {
  for (const [withData, earliest, latest] of [
    [true, 2_000, 4_000],
    [false, 20_000, 24_000],
  ] as const) {
    const world = createWorld();
    await world.run(1_000);
    world.drop = () => true;
    if (withData) world.a.path.send(0, [Uint8Array.of(1)]);
    await world.run(earliest);
    assert.deepEqual(world.a.ends, []);
    await world.run(latest - earliest);
    assert.deepEqual(world.a.ends, ['timeout']);
  }
});

test('an outage of two seconds is survived', async () => {
  const world = createWorld();
  await world.run(100);
  world.drop = () => true;
  world.a.path.send(1, [new Uint8Array(100_000)]);
  await world.run(2_000);
  world.drop = () => false;
  await world.run(2_000);
  assert.equal(world.b.frames.length, 1);
  assert.deepEqual(world.a.ends, []);
});

test('close tells the peer, and what was sent just before still arrives', async () => {
  const { a, b, run } = createWorld();
  await run(100);
  a.path.send(0, [Uint8Array.of(5)]);
  a.path.close();
  a.path.close();
  await run(100);
  assert.equal(b.frames.length, 1);
  assert.deepEqual([a.ends, b.ends], [[], ['closed-by-peer']]);
});

test('the path follows a peer whose address changes, after a challenge', async () => {
  const world = createWorld();
  await world.run(100);
  world.b.address = { host: '10.9.9.9', port: 7 };
  world.b.path.send(0, [Uint8Array.of(1)]);
  await world.run(200);
  assert.deepEqual(world.a.path.remoteAddress, { host: '10.9.9.9', port: 7 });
  world.a.path.send(0, [Uint8Array.of(2)]);
  await world.run(1_000);
  assert.equal(world.a.frames.length, 1);
  assert.equal(world.b.frames.length, 1);
});

test('a copy from elsewhere does not move the path when the challenge is not answered there', async () => {
  const world = createWorld();
  await world.run(100);
  const elsewhere = { host: '6.6.6.6', port: 6 };
  const packet = Uint8Array.of(2, 1, 0, 0, 0); // a ping
  world.a.path.input(packet, elsewhere);
  await world.run(500);
  assert.deepEqual(world.a.path.remoteAddress, world.b.address);
});

test('a packet of a new handshake is handed over as it is', async () => {
  const clock = createManualClock();
  const got: number[][] = [];
  const sent: Uint8Array[] = [];
  const session = createSessionEnd(true);
  const path = createUdpPath({
    session,
    clock,
    remote: { host: '10.0.0.2', port: 2 },
    port: { send: () => undefined, sendBatch: (bytes) => void sent.push(bytes.slice()) },
    onRekey: (body) => got.push([...body]),
    defer: (run) => queueMicrotask(run),
  });
  path.sendRekey(Uint8Array.of(1, 2, 3));
  const far = createSessionEnd(false);
  const plain = far.openDatagram(sent[0] ?? new Uint8Array(0));
  path.input(plain ?? new Uint8Array(0), { host: '10.0.0.2', port: 2 });
  assert.deepEqual(got, [[1, 2, 3]]);
  path.close();
  far.close();
});

test('generated junk from the peer is counted or ends the path, and never throws', async () => {
  const random = createRandom(3);
  for (let round = 0; round < 20; round++) {
    const { a, b, run } = createWorld();
    for (let i = 0; i < 300; i++) {
      const bytes = new Uint8Array(random() * 60);
      for (let at = 0; at < bytes.length; at++) bytes[at] = random() * 256;
      bytes[0] = random() * 12;
      if (bytes.length > 25 && bytes[0] === 1) bytes.set([1 + random() * 2, 0, 0, 0, 81], 1);
      a.path.input(bytes, b.address);
    }
    await run(10);
  }
});

test('a frame longer than the limit breaks the path', async () => {
  const { a, b, run } = createWorld();
  a.path.send(1, [new Uint8Array(288 * 1024 + 1)]);
  await run(500);
  assert.deepEqual(b.ends, ['broken']);
});

test('a router that forgets an idle binding is noticed by the challenge, and is kept busy from then on', async () => {
  const world = createWorld();
  const { a, b, clock, run } = world;
  let heardAt = 0;
  let rebounds = 0;
  world.drop = () => {
    // The router of `a` has another port for it after 18 s of silence.
    if (clock.now() - heardAt > 18_000) {
      rebounds += 1;
      a.address = { host: a.address.host, port: a.address.port + 1 };
    }
    heardAt = clock.now();
    return false;
  };
  await run(600_000);
  assert.deepEqual([a.ends, b.ends], [[], []]);
  assert.ok(rebounds >= 1 && rebounds <= 3, `${rebounds} times`);
});
