import assert from 'node:assert/strict';
import { test } from 'node:test';
import { recycle, takeFrame } from '../../src/frame-pool.ts';
import { ReadAhead } from '../../src/fs/remote-read-ahead.ts';
import { createManualClock } from '../manual-clock.ts';

const KIB = 1024;
const MIB = 1024 * KIB;

function createFixture(size: number) {
  const asked: [number, number][] = [];
  const contents = Buffer.alloc(size);
  for (let at = 0; at + 4 <= size; at += 4) contents.writeUInt32LE(at, at);
  const clock = createManualClock();
  const state = { isLeased: true, isSlow: false, fail: false };
  const ahead = new ReadAhead({
    fetch: async (offset, length) => {
      asked.push([offset, length]);
      if (state.fail) throw new Error('gone');
      // As the network gives them: memory that is used again once it was given back.
      const bytes = takeFrame(Math.max(0, Math.min(length, size - offset)));
      bytes.set(contents.subarray(offset, offset + bytes.length));
      return bytes;
    },
    isLeased: () => state.isLeased,
    isSlow: () => state.isSlow,
    clock,
  });
  const read = async (offset: number, length: number) => {
    const bytes = Buffer.concat(await ahead.read(offset, length, size));
    assert.equal(Buffer.compare(bytes, contents.subarray(offset, offset + length)), 0, `${length} at ${offset}`);
  };
  return { ahead, asked, read, clock, state };
}

const bytesAsked = (asked: readonly [number, number][]) => asked.reduce((sum, [, length]) => sum + length, 0);

test('reading in order asks for each byte once, ahead of the reader, with a window that grows to 8 MiB', async () => {
  const { asked, read } = createFixture(32 * MIB);
  let most = 0;
  for (let at = 0; at < 32 * MIB; at += 128 * KIB) {
    await read(at, 128 * KIB);
    const [start = 0, length = 0] = asked.at(-1) ?? [];
    most = Math.max(most, start + length - at);
  }
  assert.equal(bytesAsked(asked), 32 * MIB);
  assert.ok(most >= 8 * MIB && most <= 9 * MIB, `${most}`);
});

test('reads that are not in order are asked for exactly', async () => {
  const { asked, read } = createFixture(32 * MIB);
  for (const at of [20 * MIB, 3 * MIB, 11 * MIB, 7 * MIB]) await read(at, 4 * KIB);
  assert.deepEqual(
    asked.map(([, length]) => length),
    [4096, 4096, 4096, 4096],
  );
});

test('a small file that came with its opening is not asked for', async () => {
  const { ahead, asked } = createFixture(100);
  ahead.seed(Buffer.alloc(100, 1), 128 * KIB);
  assert.equal(Buffer.concat(await ahead.read(0, 4096, 100)).length, 100);
  assert.deepEqual(asked, []);
});

test('reads of every size and overlap give the right bytes at every boundary', async () => {
  const size = MIB + 7;
  for (const step of [1000, 4096, 128 * KIB - 1, 128 * KIB, 256 * KIB, 256 * KIB + 1, 600 * KIB]) {
    const { read } = createFixture(size);
    for (let at = 0; at < size + step; at += step) await read(at, step);
  }
});

test('what was read ahead is dropped when told, and after a second without a lease', async () => {
  const { ahead, asked, read, clock, state } = createFixture(4 * MIB);
  await read(0, 128 * KIB);
  await read(128 * KIB, 128 * KIB);
  const before = asked.length;
  ahead.drop();
  await read(256 * KIB, 128 * KIB);
  assert.ok(asked.length > before);
  clock.advance(5000);
  const leased = asked.length;
  await read(384 * KIB, 64 * KIB);
  assert.ok(asked.slice(leased).every(([start]) => start > 384 * KIB));
  state.isLeased = false;
  clock.advance(1001);
  await read(448 * KIB, 64 * KIB);
  assert.ok(asked.some(([start]) => start === 448 * KIB));
});

test('a piece that failed is asked for again by the next reader', async () => {
  const { read, ahead, state } = createFixture(4 * MIB);
  state.fail = true;
  await assert.rejects(ahead.read(0, 128 * KIB, 4 * MIB));
  state.fail = false;
  await read(0, 128 * KIB);
  await read(128 * KIB, 512 * KIB);
});

test('memory of what is behind the reader is used again, and nobody sees it change', async () => {
  const { ahead, read } = createFixture(64 * MIB);
  const memory = new Set<ArrayBufferLike>();
  let at = 0;
  for (; at < 32 * MIB; at += 640 * KIB) {
    // Several at once, as the kernel asks, over the edges of pieces.
    await Promise.all([0, 1, 2, 3, 4].map((index) => read(at + index * 128 * KIB, 128 * KIB)));
    for (const part of await ahead.read(at + 512 * KIB, 128 * KIB, 64 * MIB)) memory.add(part.buffer);
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.ok(memory.size <= 48, `${memory.size} buffers`);
});

test('memory that is given back twice is lent once', () => {
  const frame = takeFrame(256 * KIB);
  recycle(frame);
  recycle(frame.subarray(10));
  assert.notEqual(takeFrame(256 * KIB).buffer, takeFrame(256 * KIB).buffer);
});
