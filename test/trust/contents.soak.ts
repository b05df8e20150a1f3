import { compareContents } from './contents.ts';
import type { Soak } from './soak.ts';

export const soak: Soak = {
  about: 'contents of files against a model: 10 seeds of 100,000 random operations, through one mount and two',
  run: (say) =>
    compareContents({ seeds: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10], operations: 100_000, timeoutMs: 3_600_000 }, say),
};
