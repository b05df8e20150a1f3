import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KEEPALIVE_MOST_MS } from '../../src/net/keepalive.ts';
import { Liveness } from '../../src/net/liveness.ts';

test('an idle peer is asked after the keepalive interval', () => {
  const liveness = new Liveness(0);
  assert.equal(liveness.judge(KEEPALIVE_MOST_MS - 1), 'fine');
  assert.equal(liveness.judge(KEEPALIVE_MOST_MS), 'ask');
});

test('a peer that was at work and falls silent is asked once soon, then as an idle one', () => {
  const liveness = new Liveness(0);
  liveness.heard(100, true);
  assert.equal(liveness.judge(2099), 'fine');
  assert.equal(liveness.judge(2100), 'ask');
  liveness.asked(2100);
  liveness.heard(2110);
  assert.equal(liveness.judge(2110 + KEEPALIVE_MOST_MS - 1), 'fine');
});

test('a peer that was at work and does not answer is given up within seconds', () => {
  const liveness = new Liveness(0);
  liveness.heard(0, true);
  for (let now = 0; now < 10_000; now += 50) {
    const verdict = liveness.judge(now);
    if (verdict === 'ask') liveness.asked(now);
    if (verdict !== 'dead') continue;
    assert.ok(now <= 6000, `${now} ms`);
    return;
  }
  assert.fail('never');
});

test('somebody who has a silent peer asked all the time does not put off its end', () => {
  const liveness = new Liveness(0);
  liveness.waiting(0);
  for (let now = 0; now < 10_000; now += 50) {
    if (liveness.judge(now) === 'dead') {
      assert.ok(now >= 3000 && now <= 4000, `${now} ms`);
      return;
    }
    if (now % 250 === 0) liveness.asked(now);
  }
  assert.fail('never');
});
