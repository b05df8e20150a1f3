import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createReplayWindow, REPLAY_WINDOW } from '../../src/crypto/replay.ts';

test('the window is at least 2048 counters wide', () => {
  assert.ok(REPLAY_WINDOW >= 2048);
});

test('a counter is new once, in any order', () => {
  const window = createReplayWindow();
  for (const counter of [0, 5, 3, 4, 1, 2, 31, 32, 33, 64]) {
    assert.ok(window.isNew(counter), `${counter} before`);
    window.note(counter);
    assert.ok(!window.isNew(counter), `${counter} after`);
  }
  assert.ok(window.isNew(6));
});

test('asking changes nothing', () => {
  const window = createReplayWindow();
  assert.ok(window.isNew(2 ** 40));
  assert.ok(window.isNew(0));
});

for (const highest of [REPLAY_WINDOW, REPLAY_WINDOW + 17, 2 ** 32 + 5, 2 ** 45 + 31]) {
  test(`the lower edge lies exactly at the window's width below ${highest}`, () => {
    const window = createReplayWindow();
    window.note(highest);
    const oldest = highest - REPLAY_WINDOW + 1;
    assert.ok(!window.isNew(oldest - 1));
    assert.ok(window.isNew(oldest));
    assert.ok(window.isNew(oldest + 1));
    window.note(oldest);
    assert.ok(!window.isNew(oldest));
    assert.ok(window.isNew(oldest + 1));
  });
}

test('it agrees with a set that remembers everything', () => {
  const window = createReplayWindow();
  const seen = new Set<number>();
  let highest = -1;
  let state = 12345;
  const random = (below: number): number => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  for (let i = 0; i < 50_000; i++) {
    const jump = random(100) === 0 ? random(3 * REPLAY_WINDOW) : random(60);
    const counter = Math.max(0, highest + jump - (random(50) === 0 ? random(REPLAY_WINDOW + 100) : 30));
    const expected = !seen.has(counter) && counter > highest - REPLAY_WINDOW;
    assert.equal(window.isNew(counter), expected, `counter ${counter}, highest ${highest}`);
    if (!expected) continue;
    window.note(counter);
    seen.add(counter);
    highest = Math.max(highest, counter);
  }
});
