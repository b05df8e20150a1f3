import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createNewest } from '../../src/net/newest.ts';
import { createManualClock } from '../manual-clock.ts';

function start() {
  const clock = createManualClock();
  const passed: [string, number, number][] = [];
  const newest = createNewest<string, number>({
    clock,
    burst: 2,
    everyMs: 1000,
    onValue: (kind, value) => passed.push([kind, value, clock.now()]),
  });
  return { clock, passed, newest };
}

test('what comes seldom is passed on at once', () => {
  const { clock, passed, newest } = start();
  for (let i = 0; i < 5; i++) {
    newest.put('a', i);
    clock.advance(1000);
  }
  assert.deepEqual(
    passed.map(([, value, at]) => [value, at]),
    [0, 1, 2, 3, 4].map((i) => [i, 1000 * i]),
  );
  assert.equal(clock.pending, 0);
});

test('of what comes too fast the newest is passed on when its time comes', () => {
  const { clock, passed, newest } = start();
  for (let i = 0; i < 10_000; i++) newest.put('a', i);
  assert.equal(clock.pending, 1);
  clock.advance(10_000);
  assert.deepEqual(passed, [
    ['a', 0, 0],
    ['a', 1, 0],
    ['a', 9999, 1000],
  ]);
});

test('each kind has its turn, the one that waits longest first', () => {
  const { clock, passed, newest } = start();
  newest.put('a', 0);
  newest.put('a', 1);
  for (let i = 2; i < 100; i++) {
    newest.put('a', i);
    newest.put('b', i);
  }
  clock.advance(10_000);
  assert.deepEqual(passed.slice(2), [
    ['a', 99, 1000],
    ['b', 99, 2000],
  ]);
});

test('after its end nothing is passed on', () => {
  const { clock, passed, newest } = start();
  for (let i = 0; i < 5; i++) newest.put('a', i);
  newest.close();
  newest.close();
  newest.put('a', 9);
  clock.advance(10_000);
  assert.equal(passed.length, 2);
  assert.equal(clock.pending, 0);
});
