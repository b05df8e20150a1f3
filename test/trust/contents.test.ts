import { test } from 'node:test';
import { compareContents } from './contents.ts';

test('files hold what was written to them, by one mount and by two in turn', { timeout: 120_000 }, async (t) => {
  const seed = Math.floor(Math.random() * 2 ** 31);
  const seen = await compareContents({ seeds: [seed], operations: 6000, timeoutMs: 40_000 }, () => undefined);
  for (const line of seen) t.diagnostic(line);
});
