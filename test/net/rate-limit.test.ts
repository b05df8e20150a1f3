import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createRateLimit } from '../../src/net/rate-limit.ts';
import { createManualClock } from '../manual-clock.ts';

const OPTIONS = { perSecond: 10, burst: 30, totalPerSecond: 200, totalBurst: 400 };
const address = (index: number) => `10.0.${index >> 8}.${index & 255}`;

test('a source has its burst and then its rate', () => {
  const clock = createManualClock();
  const limit = createRateLimit({ clock, ...OPTIONS });
  const taken = () => Array.from({ length: 100 }, () => limit.take('10.0.0.1')).filter(Boolean).length;
  assert.equal(taken(), 30);
  clock.advance(1000);
  assert.equal(taken(), 10);
  assert.ok(limit.take('10.0.0.2'), 'another has its own');
});

test('whoever comes new is looked at while a thousand that prove nothing use up all that such have', () => {
  const clock = createManualClock();
  const limit = createRateLimit({ clock, ...OPTIONS });
  const flood = (ms: number): number => {
    let looked = 0;
    for (let now = 0; now < ms; now += 1) {
      for (let turn = 0; turn < 2; turn += 1) {
        const host = address(Math.floor(2 * clock.now() + turn) % 1000);
        if (!limit.take(host)) continue;
        looked += 1;
        limit.wasted(host);
      }
      clock.advance(1);
    }
    return looked;
  };
  flood(5000);
  const looked = flood(1000);
  assert.ok(looked <= 201, `${looked} a second`);
  for (let guest = 0; guest < 100; guest += 1) assert.ok(limit.take(`10.9.0.${guest}`));
  // A minute later they are like any other.
  clock.advance(60_000);
  assert.ok(limit.take(address(1)));
});

test('sources without end are forgotten, and the total holds', () => {
  const clock = createManualClock();
  const limit = createRateLimit({ clock, ...OPTIONS });
  let looked = 0;
  for (let index = 0; index < 100_000; index += 1) {
    if (index % 100 === 0) clock.advance(1);
    const host = `10.${index >> 16}.${(index >> 8) & 255}.${index & 255}`;
    if (!limit.take(host)) continue;
    looked += 1;
    limit.wasted(host);
  }
  assert.ok(looked <= 400 + 200, `${looked} looked at in a second`);
});
