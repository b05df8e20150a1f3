import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SleepWatch } from '../../src/net/sleep-watch.ts';
import { createManualClock } from '../manual-clock.ts';

test('a sleep of the computer counts for 15 s', () => {
  const clock = createManualClock();
  const watch = new SleepWatch(clock);
  clock.advance(3_600_000);
  assert.equal(watch.wokeLately(), false, 'nobody asked for an hour');
  clock.sleep(600_000);
  assert.equal(watch.wokeLately(), true);
  clock.advance(14_999);
  assert.equal(watch.wokeLately(), true);
  clock.advance(1);
  assert.equal(watch.wokeLately(), false);
});

test('a timer that comes much too late is a sleep too; a nap, or a calendar that is set, is not', () => {
  const clock = createManualClock();
  const watch = new SleepWatch(clock);
  assert.equal(watch.wokeLately(4_999), false);
  clock.sleep(2_000);
  assert.equal(watch.wokeLately(), false);
  const wall = clock.wallMs;
  clock.wallMs = () => wall() + 3_600_000;
  assert.equal(watch.wokeLately(), false);
  assert.equal(watch.wokeLately(5_000), true);
});
