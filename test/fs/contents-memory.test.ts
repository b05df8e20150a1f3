import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ContentsMemory, type Contents } from '../../src/fs/contents-memory.ts';

const BLOCK = 256 * 1024;
const filled = (bytes: number, value: number) => new Uint8Array(bytes).fill(value);
const never = () => assert.fail('made room without need');

test('contents are copies that stay as they are while they are kept', () => {
  const memory = new ContentsMemory(4);
  const given = filled(1000, 1);
  const kept = memory.keep(given, never);
  given.fill(2);
  assert.deepEqual(kept?.bytes, filled(1000, 1));
  for (let index = 0; index < 200; index++) memory.keep(filled(1000, 3), never);
  assert.deepEqual(kept.bytes, filled(1000, 1));
});

test('what is needed longest ago makes room', () => {
  const memory = new ContentsMemory(2);
  const gone: number[] = [];
  const keep = (index: number) => memory.keep(filled(BLOCK / 2, index), () => gone.push(index));
  const [first] = [keep(0), keep(1), keep(2), keep(3)];
  assert.ok(first);
  memory.used(first);
  keep(4);
  assert.deepEqual(gone, [1, 2, 3], 'a block is free when all of its files went');
  assert.deepEqual(first.bytes, filled(BLOCK / 2, 0));
  assert.equal(memory.takenBytes, 2 * BLOCK);
});

test('a block is not filled anew while somebody holds a part of it', () => {
  const memory = new ContentsMemory(1);
  const held = memory.keep(filled(BLOCK / 2, 1), () => undefined);
  assert.ok(held);
  held.hold();
  memory.keep(filled(BLOCK / 2, 2), () => undefined);
  assert.equal(
    memory.keep(filled(10, 3), () => undefined),
    undefined,
    'no room',
  );
  assert.deepEqual(held.bytes, filled(BLOCK / 2, 1));
  held.letGo();
  const again = memory.keep(filled(10, 4), () => undefined);
  assert.deepEqual(again?.bytes, filled(10, 4));
  assert.equal(memory.takenBytes, BLOCK);
});

test('what was dropped is used again, without more memory', () => {
  const memory = new ContentsMemory(100);
  let kept: Contents[] = [];
  for (let round = 0; round < 50; round++) {
    for (const contents of kept) memory.drop(contents);
    kept = [];
    for (let index = 0; index < 64; index++) {
      const contents = memory.keep(filled(4096, round), never);
      assert.ok(contents);
      kept.push(contents);
    }
    for (const { bytes } of kept) assert.deepEqual(bytes, filled(4096, round));
  }
  assert.ok(memory.takenBytes <= 3 * BLOCK, `${memory.takenBytes} bytes`);
});

test('dropping twice, or after it made room, changes nothing', () => {
  const memory = new ContentsMemory(1);
  const one = memory.keep(filled(BLOCK, 1), () => undefined);
  assert.ok(one);
  const two = memory.keep(filled(BLOCK, 2), () => undefined);
  memory.drop(one);
  memory.drop(one);
  const three = memory.keep(filled(10, 3), () => undefined);
  assert.ok(two && three);
  assert.equal(memory.takenBytes, BLOCK);
});

test('empty files cost no room and are kept', () => {
  const memory = new ContentsMemory(1);
  const empty = memory.keep(new Uint8Array(0), never);
  assert.equal(empty?.bytes.length, 0);
});
