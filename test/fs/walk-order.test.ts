import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fromText } from '../../src/bytestring.ts';
import { LeftFiles, WalkOrder, type WalkedFile } from '../../src/fs/walk-order.ts';

/** Names, inode numbers and the listing have orders that have nothing to do with each other. */
const files: readonly WalkedFile[] = Array.from({ length: 97 }, (_, index) => ({
  name: fromText(`f${String((index * 37) % 97).padStart(2, '0')}`),
  inode: ((index * 53) % 97) * 2 ** 50,
}));
const inOrder = {
  listed: files.map(({ name }) => name),
  inode: [...files].sort((a, b) => a.inode - b.inode).map(({ name }) => name),
  name: files.map(({ name }) => name).sort(),
} as const;

for (const order of ['listed', 'inode', 'name'] as const) {
  test(`two files opened one after the other show the order: ${order}`, () => {
    const walk = new WalkOrder(files);
    walk.opened(inOrder[order][10] ?? fromText('x'));
    assert.equal(walk.chosen?.order, undefined);
    walk.opened(inOrder[order][11] ?? fromText('x'));
    const { chosen } = walk;
    assert.equal(chosen?.order, order);
    assert.deepEqual(chosen.names, inOrder[order]);
  });
}

test('some may be skipped, and eight programs may each take a part', () => {
  const walk = new WalkOrder(files);
  for (const at of [0, 2, 5]) walk.opened(inOrder.inode[at] ?? fromText('x'));
  assert.equal(walk.chosen?.order, 'inode');
  const parallel = new WalkOrder(files);
  for (let step = 0; step < 3; step++) {
    for (let part = 0; part < 8; part++) parallel.opened(inOrder.name[part * 12 + step] ?? fromText('x'));
  }
  assert.equal(parallel.chosen?.order, 'name');
});

test('files opened in no order show none, and unknown ones nothing', () => {
  const walk = new WalkOrder(files);
  for (const at of [0, 40, 20, 60, 30, 80, 10, 70]) walk.opened(inOrder.listed[at] ?? fromText('x'));
  for (const name of ['new1', 'new2']) walk.opened(fromText(name));
  assert.equal(walk.chosen, undefined);
});

test('an order that was assumed is left when another is seen', () => {
  const walk = new WalkOrder(files);
  walk.assume('inode');
  walk.opened(inOrder.inode[0] ?? fromText('x'));
  assert.equal(walk.chosen?.order, 'inode');
  for (const at of [50, 51, 52]) walk.opened(inOrder.name[at] ?? fromText('x'));
  assert.equal(walk.chosen.order, 'name');
});

test('a long walk is not doubted by an open or two that are out of it', () => {
  const walk = new WalkOrder(files);
  for (let at = 0; at < 20; at++) walk.opened(inOrder.name[at] ?? fromText('x'));
  for (const at of [60, 61]) walk.opened(inOrder.inode[at] ?? fromText('x'));
  assert.equal(walk.chosen?.order, 'name');
});

test('those left are found in order, whatever was taken before', () => {
  const walk = new WalkOrder(files);
  walk.assume('name');
  const sequence = walk.chosen;
  assert.ok(sequence);
  const done = new Set(inOrder.name.filter((_, index) => index % 3 === 0));
  const left = new LeftFiles(sequence, done);
  const seen: number[] = [];
  for (let at = left.after(-1); at < 97; at = left.after(at)) {
    seen.push(at);
    left.remove(at);
  }
  assert.deepEqual(
    seen,
    Array.from(Array(97).keys()).filter((index) => index % 3 !== 0),
  );
  assert.equal(left.after(-1), 97);
  assert.equal(left.after(96), 97);
});
