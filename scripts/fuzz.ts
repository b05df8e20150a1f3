/**
 * The fuzzer: a peer with a valid key sends a real node mutated frames and watches it (test/trust/fuzzing.ts).
 *
 *     fuzz [--frames N] [--seed S] [--corpus FOLDER]    default: 100,000 frames, a seed by chance, test/trust/corpus
 *     fuzz --seeds [--corpus FOLDER]                    writes the corpus's frames of every message anew
 *
 * When the node fails, the last frames are kept in the corpus as found-SEED.frames: cut them down to what matters, say in a
 * remark what it did, and leave them there.
 */
import { randomInt } from 'node:crypto';
import { parseArgs } from 'node:util';
import { corpusFolder, readCorpus, writeSeeds } from '../test/trust/frame-corpus.ts';
import { fuzz } from '../test/trust/fuzzing.ts';

const { values: flags } = parseArgs({
  options: {
    frames: { type: 'string', default: '100000' },
    seed: { type: 'string', default: String(randomInt(2 ** 31)) },
    corpus: { type: 'string', default: corpusFolder() },
    seeds: { type: 'boolean', default: false },
  },
});
const frames = Number(flags.frames);
const seed = Number(flags.seed);
if (!Number.isInteger(frames) || frames < 1 || !Number.isInteger(seed)) {
  console.error('fuzz: --frames and --seed take whole numbers');
  process.exit(2);
}
if (flags.seeds) writeSeeds(flags.corpus);
else {
  try {
    const say = (line: string) => console.error(`fuzz: ${line}`);
    await fuzz({ frames, seed, corpus: readCorpus(flags.corpus), foundFolder: flags.corpus, say });
  } catch (error) {
    console.error(error);
    process.exit(1);
  }
}
