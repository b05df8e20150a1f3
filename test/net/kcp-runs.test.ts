import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeRuns, MAX_RUNS_BYTES, Runs } from '../../src/net/kcp-runs.ts';
import { createRandom } from './simulated-link.ts';

function encoded(runs: Runs, una: number): Uint8Array {
  const bytes = new Uint8Array(MAX_RUNS_BYTES);
  return bytes.subarray(0, runs.encode(bytes, 0, una));
}

function decoded(bytes: Uint8Array, una: number): [number, number][] {
  const runs: [number, number][] = [];
  decodeRuns(bytes, 0, bytes.length, una, (sn, count) => runs.push([sn, count]));
  return runs;
}

test('the bytes are skip and count, little-endian, from una and from the run before', () => {
  const runs = new Runs();
  for (const sn of [12, 13, 300, 15]) runs.add(sn);
  assert.deepEqual([...encoded(runs, 10)], [2, 0, 2, 0, 1, 0, 1, 0, 28, 1, 1, 0]);
});

test('whatever the order, the runs are those of the numbers, around the end of the circle too', () => {
  const random = createRandom(3);
  const una = 2 ** 32 - 40;
  const numbers = Array.from({ length: 100 }, (_, index) => index).filter(() => random() < 0.6);
  const shuffled = numbers.map((n) => ({ n, by: random() })).sort((a, b) => a.by - b.by);
  const runs = new Runs();
  for (const { n } of shuffled) assert.ok(runs.add((una + 1 + n) >>> 0));
  const told = decoded(encoded(runs, una), una).flatMap(([sn, count]) =>
    Array.from({ length: count }, (_, index) => (sn + index) >>> 0),
  );
  assert.deepEqual(
    told,
    numbers.map((n) => (una + 1 + n) >>> 0),
  );
});

test('what is in order is dropped', () => {
  const runs = new Runs();
  for (const sn of [2, 3, 7]) runs.add(sn);
  runs.dropBelow(4);
  assert.deepEqual(decoded(encoded(runs, 4), 4), [[7, 1]]);
  runs.dropBelow(8);
  assert.ok(runs.isEmpty);
});

test('there are at most 128 runs; those that are there still grow', () => {
  const runs = new Runs();
  for (let i = 0; i < 128; i++) assert.ok(runs.add(2 * i));
  assert.equal(runs.add(1_000), false);
  assert.ok(runs.add(255));
  assert.equal(runs.end, 256);
  assert.equal(encoded(runs, 0).length, MAX_RUNS_BYTES);
});

test('bytes left over are no run', () => {
  assert.deepEqual(decoded(Uint8Array.of(1, 0, 2, 0, 9, 9, 9), 5), [[6, 2]]);
});
