import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PrefetchWindow } from '../../src/fs/prefetch-window.ts';

const KIB = 1024;

test('the window doubles with each of its fillings that was of use, up to its limit', () => {
  const window = new PrefetchWindow();
  const sizes: number[] = [];
  for (let round = 0; round < 8; round++) {
    const { room } = window;
    sizes.push(room);
    window.asked(room);
    assert.equal(window.room, 0);
    window.used(room);
  }
  assert.deepEqual(
    sizes.map((size) => size / KIB),
    [96, 192, 384, 768, 1536, 3072, 4096, 4096],
  );
});

test('nothing is asked for until a quarter of the window is free', () => {
  const window = new PrefetchWindow();
  window.asked(96 * KIB);
  window.notGiven(24 * KIB - 1);
  assert.equal(window.room, 0);
  window.notGiven(1);
  assert.equal(window.room, 24 * KIB);
});

test('what is wasted stays within the first window and what was of use', () => {
  const window = new PrefetchWindow();
  let useful = 0;
  let wasted = 0;
  for (let round = 0; round < 40; round++) {
    const { room } = window;
    window.asked(room);
    const good = round < 10 ? room : Math.floor(room / 3);
    window.used(good);
    useful += good;
    window.wasted(room - good);
    if (round >= 10) wasted += room - good;
  }
  assert.equal(window.outstanding, 0);
  assert.ok(wasted < useful * 2, `${wasted} wasted, ${useful} useful`);
  // Guesses that are mostly wrong bring it back to where it began.
  assert.ok(window.room <= 96 * KIB * 2);
});

test('what nobody will use any more is given up', () => {
  const window = new PrefetchWindow();
  window.asked(96 * KIB);
  window.reset();
  assert.equal(window.room, 96 * KIB);
});
