import { checkCounting } from './quota-counting.ts';
import type { Soak } from './soak.ts';

const SEEDS = 10;
const STEPS = 10_000;

export const soak: Soak = {
  about: 'quotas: after random operations as much is counted as is there',
  async run(say) {
    for (let seed = 1; seed <= SEEDS; seed++) {
      await checkCounting(seed, STEPS);
      say(`seed ${seed}: ${STEPS} operations`);
    }
    return [`${SEEDS} seeds of ${STEPS} operations on two folders: 0 bytes and 0 names counted wrongly`];
  },
};
