import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WriteBuffer } from '../../src/fs/remote-write-buffer.ts';
import { createManualClock, settle } from '../manual-clock.ts';

const KIB = 1024;

function createFixture() {
  const contents = Buffer.alloc(64 * 1024 * KIB);
  const sent: { start: number; end: number; finish: (error?: Error) => void }[] = [];
  let cleaned = 0;
  const clock = createManualClock();
  const buffer = new WriteBuffer<string>(
    clock,
    (_, offset, bytes) =>
      new Promise((resolve, reject) => {
        const piece = {
          start: offset,
          end: offset + bytes.length,
          finish: (error?: Error) => {
            sent.splice(sent.indexOf(piece), 1);
            if (error !== undefined) reject(error);
            else {
              contents.set(bytes, offset);
              resolve();
            }
          },
        };
        for (const other of sent) assert.ok(other.end <= piece.start || piece.end <= other.start, 'overlap in flight');
        sent.push(piece);
      }),
    () => (cleaned += 1),
  );
  return { buffer, sent, contents, cleaned: () => cleaned };
}

test('the first write leaves at once, those that follow it are merged while it is on its way', async () => {
  const { buffer, sent } = createFixture();
  for (let index = 0; index < 65; index++) buffer.write('a', index * 4096, Buffer.alloc(4096));
  assert.deepEqual(
    sent.map(({ start, end }) => end - start),
    [4096, 256 * KIB],
  );
  await settle();
});

test('overlapping writes arrive in order, whatever the order of answers', async () => {
  const { buffer, sent, contents } = createFixture();
  let seed = 12345;
  const random = (below: number) => (seed = (Math.imul(seed, 1103515245) + 12345) >>> 0) % below;
  const expected = Buffer.alloc(contents.length);
  for (let index = 1; index < 500; index++) {
    const start = random(2000 * KIB);
    const bytes = Buffer.alloc(1 + random(300 * KIB), index);
    expected.set(bytes, start);
    void buffer.write('a', start, bytes);
    while (sent.length > 0 && (random(3) === 0 || buffer.bufferedBytes > 8 * 1024 * KIB)) {
      sent[random(sent.length)]?.finish();
      await settle();
    }
  }
  const drained = buffer.drained();
  while (sent.length > 0) {
    sent[random(sent.length)]?.finish();
    await settle();
  }
  await drained;
  assert.equal(Buffer.compare(contents, expected), 0);
  assert.equal(buffer.isDirty, false);
});

test('a writer waits when too much is on its way', async () => {
  const { buffer, sent } = createFixture();
  assert.equal(buffer.write('a', 0, Buffer.alloc(8 * 1024 * KIB)), undefined);
  const waiting = buffer.write('a', 8 * 1024 * KIB, Buffer.alloc(1));
  assert.ok(waiting !== undefined);
  sent[0]?.finish();
  await waiting;
});

test('an error is told to the handle that wrote, once, and not to others', async () => {
  const { buffer, sent, cleaned } = createFixture();
  void buffer.write('a', 0, Buffer.alloc(1));
  void buffer.write('b', 100, Buffer.alloc(1));
  sent[0]?.finish(new Error('full'));
  await settle();
  sent[0]?.finish();
  await buffer.drained();
  assert.equal(cleaned(), 1);
  buffer.throwError('b');
  assert.throws(() => buffer.write('a', 0, Buffer.alloc(1)), /full/);
  buffer.throwError('a');
});
