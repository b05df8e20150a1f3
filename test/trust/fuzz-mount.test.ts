import { test } from 'node:test';
import { fuzzMount } from './fuzz-mount.ts';

const ROUNDS = 30;
const SEED = 11;

test(
  `a server that answers with nonsense neither ends nor fills nor holds up the node that mounts (seed ${SEED})`,
  { timeout: 180_000 },
  async () => {
    await fuzzMount({ rounds: ROUNDS, seed: SEED, say: (line) => console.log(`# ${line}`) });
  },
);
