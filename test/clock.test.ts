import assert from 'node:assert/strict';
import { test } from 'node:test';
import { awakeAndAsleep, systemClock } from '../src/clock.ts';

function createFixture() {
  const time = { monotonic: 5000, wall: 1_700_000_000_000, boot: 90_000 };
  const { now, slept } = awakeAndAsleep({
    monotonic: () => time.monotonic,
    wall: () => time.wall,
    sinceBoot: () => Math.floor(time.boot / 1000) * 1000,
  });
  const pass = (ms: number) => {
    time.monotonic += ms;
    time.wall += ms;
    time.boot += ms;
  };
  const sleep = (ms: number) => {
    time.wall += ms;
    time.boot += ms;
  };
  return { time, now, slept, pass, sleep };
}

test('time passes while the computer sleeps', () => {
  const { now, slept, pass, sleep } = createFixture();
  const start = now();
  pass(1500);
  assert.equal(now() - start, 1500);
  assert.equal(slept(), 0);
  for (const [count, ms] of [3_600_000, 20_000, 40_000].entries()) {
    const before = now();
    sleep(ms);
    const passed = now() - before;
    assert.ok(Math.abs(passed - ms) <= 2000, `sleep ${count}: ${passed} ms of ${ms}`);
    pass(700);
    assert.equal(now() - before, passed + 700);
  }
  assert.equal(now() - start, 1500 + 3 * 700 + slept());
});

test('a wall clock that is set is no sleep, and time never goes back', () => {
  const { time, now, pass } = createFixture();
  const start = now();
  for (const ms of [86_400_000, -90_000_000, 3000, 3_600_000]) {
    time.wall += ms;
    assert.equal(now(), start);
  }
  pass(10);
  assert.equal(now() - start, 10);
});

test("the system's clock goes on evenly", async () => {
  const start = systemClock.now();
  await new Promise((resolve) => setTimeout(resolve, 60));
  const passed = systemClock.now() - start;
  assert.ok(passed >= 58 && passed < 5000, `${passed} ms`);
});
