import { test } from 'node:test';
import { cutSqlite } from './sqlite-cuts.ts';

test('a database keeps what it committed when its writer or a node is killed', { timeout: 180_000 }, async (t) => {
  const seed = Math.floor(Math.random() * 2 ** 31);
  for (const line of await cutSqlite({ cuts: 3, seed }, () => undefined)) t.diagnostic(line);
});
