import assert from 'node:assert/strict';
import { setTimeout as pause } from 'node:timers/promises';
import { test } from 'node:test';
import { watchLoad } from '../../src/daemon/load.ts';

const block = (ms: number): void => {
  const until = performance.now() + ms;
  while (performance.now() < until);
};

test('a block of the event loop is seen whole, also a short one in a process that works', async (t) => {
  const load = watchLoad();
  t.after(() => load.close());
  await pause(120);
  block(200);
  await pause(60);
  const { max } = load.status().eventLoopDelayMs;
  assert.ok(max >= 150, `${max} ms`);

  const busy = watchLoad();
  t.after(() => busy.close());
  for (let until = performance.now() + 1300; performance.now() < until;) {
    block(1);
    await pause(3);
  }
  for (let times = 0; times < 5; times += 1) {
    block(20);
    await pause(30);
  }
  const delay = busy.status().eventLoopDelayMs;
  assert.ok(delay.max >= 15, `${delay.max} ms`);
  assert.ok(delay.mean < delay.p99 && delay.p99 <= delay.max, JSON.stringify(delay));
});
