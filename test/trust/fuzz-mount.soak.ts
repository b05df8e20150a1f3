import { fuzzMount } from './fuzz-mount.ts';
import type { Soak } from './soak.ts';

export const soak: Soak = {
  about: 'a thousand programs in the folder of a server that answers with nonsense',
  run: (say) => fuzzMount({ rounds: 1000, seed: 11, say }),
};
