import { test } from 'node:test';
import { badNetwork } from './bad-network.ts';

const SEED = 3;

test(`no byte is wrong and no session dies on a bad network (seed ${SEED})`, { timeout: 300_000 }, async () => {
  await badNetwork({ mib: 3, seed: SEED, say: (line) => console.log(`# ${line}`) });
});
