import { corpusFolder, readCorpus } from './frame-corpus.ts';
import { fuzz } from './fuzzing.ts';
import type { Soak } from './soak.ts';

const FRAMES = 1_000_000;
const SEED = 14;

export const soak: Soak = {
  about: '1,000,000 frames that no peer should send, from one with a valid key',
  run: (say) =>
    fuzz({ frames: FRAMES, seed: SEED, corpus: readCorpus(corpusFolder()), foundFolder: corpusFolder(), say }),
};
