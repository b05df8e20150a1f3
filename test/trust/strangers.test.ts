import { test } from 'node:test';
import { strangers } from './strangers.ts';

test('strangers get silence, and cost neither memory nor the session of others', { timeout: 120_000 }, async () => {
  await strangers({ datagrams: 10_000, say: (line) => console.log(`# ${line.replaceAll('\n', '\n# ')}`) });
});
