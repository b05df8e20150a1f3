import { test } from 'node:test';
import { flood, FLOODS } from './flood.ts';

for (const each of FLOODS) {
  test(
    `a flood of handshakes from ${each.name} takes half of a session's rate at most, and a new peer joins`,
    { timeout: 120_000 },
    async () => {
      for (const line of await flood({ ...each, seconds: 15, rateMs: 2000 })) console.log(`# ${line}`);
    },
  );
}
