import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { test } from 'node:test';
import { systemClock } from '../../src/clock.ts';
import type { Lane, Path, PathEnd } from '../../src/net/path.ts';
import { acknowledgedBytes } from '../../src/sys/tcp-info.ts';
import { LIMITS } from '../../src/wire/schema.ts';
import { createManualClock, settle } from '../manual-clock.ts';
import { testPathContract } from './path-contract.ts';
import { createTcpPair } from './tcp-pair.ts';

testPathContract('tcp', async () => {
  const pair = await createTcpPair(systemClock);
  return { ends: pair.paths, pass: settle, close: async () => pair.close() };
});

interface Seen {
  readonly frames: [Lane, Uint8Array][];
  readonly ends: PathEnd[];
}

function start(path: Path): Seen {
  const seen: Seen = { frames: [], ends: [] };
  path.start({
    frame: (lane, frame) => seen.frames.push([lane, frame]),
    writable: () => undefined,
    end: (reason) => seen.ends.push(reason),
  });
  return seen;
}

/** Sockets work in real time: gives them some, until `holds`. */
async function until(what: string, holds: () => boolean): Promise<void> {
  const limit = performance.now() + 5000;
  while (!holds()) {
    assert.ok(performance.now() < limit, `never: ${what}`);
    await settle();
  }
}

test('a small frame overtakes the bulk that waits', async () => {
  const pair = await createTcpPair(systemClock);
  try {
    const [, b] = pair.paths.map(start);
    const bulk = 200;
    for (let i = 0; i < bulk; i++) pair.paths[0].send(1, [Buffer.alloc(LIMITS.frameBytes)]);
    pair.paths[0].send(0, [Buffer.from('small')]);
    await until('the small frame', () => b?.frames.some(([lane]) => lane === 0) === true);
    const before = b?.frames.findIndex(([lane]) => lane === 0) ?? -1;
    assert.ok(before < bulk / 2, `${before} frames came before it`);
    await until('all', () => b?.frames.length === bulk + 1);
  } finally {
    pair.close();
  }
});

test('bytes that were not sealed by the peer end the path', async () => {
  const pair = await createTcpPair(systemClock);
  try {
    const [a, b] = pair.paths.map(start);
    pair.sockets[0].write(randomBytes(1000));
    await until('the end', () => b?.ends.length === 1);
    assert.deepEqual(b?.ends, ['broken']);
    assert.deepEqual(a?.frames, []);
  } finally {
    pair.close();
  }
});

test('a connection that is cut ends both ends', async () => {
  const pair = await createTcpPair(systemClock);
  try {
    const [a, b] = pair.paths.map(start);
    await settle();
    pair.sockets[0].resetAndDestroy();
    await until('the ends', () => a?.ends.length === 1 && b?.ends.length === 1);
    assert.deepEqual([a?.ends, b?.ends], [['broken'], ['broken']]);
  } finally {
    pair.close();
  }
});

test('a peer that does not answer a probe is given up after 5 seconds, one that does is not', async () => {
  const clock = createManualClock();
  const pair = await createTcpPair(clock);
  try {
    const [a, b] = pair.paths.map(start);
    await until('both were heard', () => pair.paths.every((path) => path.statistics.rttMs !== undefined));
    clock.advance(4000);
    pair.paths[0].probe();
    for (let i = 0; i < 50; i++) await settle();
    clock.advance(8000);
    assert.deepEqual(a?.ends, []);
    // Nothing more is read: as if the peer's host were gone.
    pair.sockets[1].pause();
    pair.paths[0].probe();
    clock.advance(4900);
    assert.deepEqual(a.ends, []);
    clock.advance(2000);
    assert.deepEqual(a.ends, ['timeout']);
    assert.deepEqual(b?.ends, []);
  } finally {
    pair.close();
  }
});

test('a ping behind much bulk on a slow line does not end the path; a line that stands still does', async () => {
  const clock = createManualClock();
  const pair = await createTcpPair(clock);
  try {
    const [a] = pair.paths.map(start);
    await until('both were heard', () => pair.paths.every((path) => path.statistics.rttMs !== undefined));
    const [near, far] = pair.sockets;
    far.on('data', () => far.pause());
    /**
     * The far end takes bytes until its kernel acknowledges more: like a slow line, and unlike a slow reader, whose
     * kernel opens a closed window again only when a good part of its buffer is free.
     */
    const take = async (): Promise<void> => {
      const before = acknowledgedBytes(near) ?? 0;
      await until('more was acknowledged', () => {
        far.resume();
        return (acknowledgedBytes(near) ?? 0) >= before + 64 * 1024;
      });
      far.pause();
    };
    far.pause();
    for (let i = 0; i < 200; i++) pair.paths[0].send(1, [Buffer.alloc(LIMITS.frameBytes)]);
    await settle();
    pair.paths[0].probe();
    for (let second = 0; second < 30; second++) {
      await take();
      clock.advance(1000);
    }
    assert.deepEqual(a?.ends, []);
    const { rttMs, lastHeardAt } = pair.paths[0].statistics;
    assert.ok(clock.now() - lastHeardAt <= 5000);
    assert.ok((rttMs ?? 0) > 5000 / 8, 'the ping did not wait'); // a smoothed one
    pair.paths[0].probe();
    clock.advance(8000);
    assert.deepEqual(a.ends, ['timeout']);
  } finally {
    pair.close();
  }
});

test('what the kernel of a far end takes that does not answer says nothing of the peer', async () => {
  const clock = createManualClock();
  const pair = await createTcpPair(clock);
  try {
    for (const path of pair.paths) start(path);
    await until('both were heard', () => pair.paths.every((path) => path.statistics.rttMs !== undefined));
    const [, socket] = pair.sockets;
    for (const [near, path] of pair.paths.entries()) {
      const write = async (seconds: number) => {
        for (let second = 0; second < seconds; second++) {
          path.send(1, [Buffer.alloc(5000)]);
          await new Promise((resolve) => setTimeout(resolve, 20));
          clock.advance(1000);
        }
      };
      await write(10);
      assert.equal(path.statistics.isOverdue, false, 'it answers');
      const far = near === 0 ? socket : pair.sockets[0];
      far.pause();
      await write(6);
      assert.equal(path.statistics.isOverdue, true, 'it does not answer');
      far.resume();
      await write(3);
      assert.equal(path.statistics.isOverdue, false, 'it answers again');
    }
  } finally {
    pair.close();
  }
});

test('over Tor an answer may take many seconds; a stream that stands still is given up after 20', async () => {
  const clock = createManualClock();
  const pair = await createTcpPair(clock, 'tor');
  try {
    assert.equal(pair.paths[0].kind, 'tor');
    const [a] = pair.paths.map(start);
    await until('both were heard', () => pair.paths.every((path) => path.statistics.rttMs !== undefined));
    pair.sockets[1].pause();
    pair.paths[0].probe();
    clock.advance(15_000);
    pair.sockets[1].resume();
    await until('the answer', () => (pair.paths[0].statistics.rttMs ?? 0) > 1000);
    assert.deepEqual(a?.ends, []);
    pair.sockets[1].pause();
    pair.paths[0].probe();
    clock.advance(19_000);
    assert.deepEqual(a.ends, []);
    clock.advance(3_000);
    assert.deepEqual(a.ends, ['timeout']);
  } finally {
    pair.close();
  }
});

test('a slow path hands little to the socket ahead of time: what is small waits behind little', async () => {
  const clock = createManualClock();
  const pair = await createTcpPair(clock, 'tor');
  try {
    pair.paths.map(start);
    pair.sockets[1].pause();
    for (let i = 0; i < 400; i++) pair.paths[0].send(1, [Buffer.alloc(LIMITS.frameBytes / 8)]);
    await settle();
    assert.ok(pair.sockets[0].writableLength <= 64 * 1024 + LIMITS.frameBytes);
  } finally {
    pair.close();
  }
});

test('a process that did not run for minutes does not take its own absence for silence', async () => {
  const clock = createManualClock();
  const now = clock.now;
  let skippedMs = 0;
  clock.now = () => now() + skippedMs;
  const pair = await createTcpPair(clock);
  try {
    const [a] = pair.paths.map(start);
    await until('both were heard', () => pair.paths.every((path) => path.statistics.rttMs !== undefined));
    pair.sockets[1].pause();
    pair.paths[0].probe();
    clock.advance(2000);
    skippedMs = 600_000;
    clock.advance(3000);
    assert.deepEqual(a?.ends, []);
    pair.sockets[1].resume();
    await until('the answer', () => clock.now() - pair.paths[0].statistics.lastHeardAt < 3000);
    clock.advance(5000);
    assert.deepEqual(a.ends, []);
  } finally {
    pair.close();
  }
});

test('what is small goes out before a path closes, however much bulk waits', async () => {
  const pair = await createTcpPair(systemClock);
  try {
    const [, b] = pair.paths.map(start);
    for (let i = 0; i < 200; i++) pair.paths[0].send(1, [Buffer.alloc(LIMITS.frameBytes)]);
    pair.paths[0].send(0, [Buffer.from('last words')]);
    pair.paths[0].close();
    await until('the end', () => b?.ends.length === 1);
    assert.deepEqual(b?.ends, ['closed-by-peer']);
    assert.ok(b.frames.some(([lane, frame]) => lane === 0 && Buffer.from(frame).toString() === 'last words'));
    assert.ok(b.frames.length < 50, `${b.frames.length} frames came`);
    await until('both sockets are gone', () => pair.sockets.every(({ destroyed }) => destroyed));
  } finally {
    pair.close();
  }
});

test('a far end that takes nothing does not keep a closed path open for long', async () => {
  const clock = createManualClock();
  const pair = await createTcpPair(clock);
  try {
    pair.paths.map(start);
    pair.sockets[1].pause();
    for (let i = 0; i < 200; i++) pair.paths[0].send(1, [Buffer.alloc(LIMITS.frameBytes)]);
    await settle();
    pair.paths[0].close();
    await settle();
    assert.equal(pair.sockets[0].destroyed, false);
    clock.advance(1000);
    assert.equal(pair.sockets[0].destroyed, true);
  } finally {
    pair.close();
  }
});

test('an idle path is kept alive by pings, and its end is noticed', async () => {
  const clock = createManualClock();
  const pair = await createTcpPair(clock);
  try {
    const [a] = pair.paths.map(start);
    await until('both were heard', () => pair.paths.every((path) => path.statistics.rttMs !== undefined));
    for (let i = 0; i < 60; i++) {
      clock.advance(1000);
      await settle();
      await settle();
    }
    assert.deepEqual(a?.ends, []);
    assert.ok(clock.now() - pair.paths[0].statistics.lastHeardAt < 25_000);
    pair.sockets[1].pause();
    for (let i = 0; i < 30; i++) {
      clock.advance(1000);
      await settle();
    }
    assert.deepEqual(a.ends, ['timeout']);
  } finally {
    pair.close();
  }
});

test('keys are replaced every two minutes of use while frames go both ways', async () => {
  const clock = createManualClock();
  const pair = await createTcpPair(clock);
  try {
    const seen = pair.paths.map(start);
    const hashes = new Set<string>();
    let sent = 0;
    for (let i = 0; i < 500; i++) {
      for (const path of pair.paths) path.send(i % 2 === 0 ? 0 : 1, [Buffer.from(`frame ${i}`)]);
      sent += 1;
      clock.advance(1000);
      await settle();
      hashes.add(Buffer.from(pair.streams[0].handshakeHash).toString('hex'));
    }
    await until('all frames', () => seen.every(({ frames }) => frames.length === sent));
    assert.ok(hashes.size >= 4, `${hashes.size} sets of keys`);
    assert.deepEqual(pair.streams[0].handshakeHash, pair.streams[1].handshakeHash);
    for (const { frames, ends } of seen) {
      assert.deepEqual(ends, []);
      const numbers = frames.map(([, frame]) => Number(Buffer.from(frame).toString().slice(6)));
      assert.deepEqual(
        numbers.toSorted((x, y) => x - y),
        numbers.map((_, i) => i),
      );
    }
  } finally {
    pair.close();
  }
});

test('pings of a far end that reads nothing do not fill the memory', async () => {
  const pair = await createTcpPair(systemClock);
  try {
    const [asking, answering] = pair.sockets;
    start(pair.paths[1]);
    await settle();
    asking.pause();
    for (let round = 0; round < 400; round++) {
      const pings = Array.from({ length: 1000 }, () => pair.streams[0].sealFrame([Uint8Array.of(2)]));
      if (!asking.write(Buffer.concat(pings))) await Promise.race([once(asking, 'drain'), settle()]);
    }
    const { bytesReceived } = pair.paths[1].statistics;
    await until(
      'all pings came',
      () => pair.paths[1].statistics.bytesReceived > bytesReceived || asking.writableLength === 0,
    );
    await until('all was written', () => asking.writableLength === 0);
    assert.ok(answering.writableLength < 3 * 1024 * 1024, `${answering.writableLength} bytes wait`);
  } finally {
    pair.close();
  }
});
