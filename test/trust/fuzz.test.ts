/** The short run of scripts/fuzz: the whole corpus, then some thousand frames made up. */
import assert from 'node:assert/strict';
import { tmpdir } from 'node:os';
import { test } from 'node:test';
import { decodeFrame } from '../../src/wire/frame.ts';
import { MESSAGES } from '../../src/wire/schema.ts';
import { corpusFolder, readCorpus } from './frame-corpus.ts';
import { fuzz } from './fuzzing.ts';

const FRAMES = 20_000;
const SEED = 1;

test('the corpus has every message of the protocol', () => {
  const tags = new Set<number>();
  for (const bytes of readCorpus(corpusFolder())) {
    const frame = decodeFrame(bytes);
    if (frame !== undefined && frame !== 'unknown') tags.add(frame.tag);
  }
  const missing = Object.entries(MESSAGES).filter(([, { tag }]) => !tags.has(tag));
  assert.deepEqual(
    missing.map(([name]) => name),
    [],
    'scripts/fuzz --seeds writes them',
  );
});

test(
  'a peer that sends what no peer should neither ends the node nor holds up others',
  { timeout: 120_000 },
  async () => {
    const corpus = readCorpus(corpusFolder());
    const say = (line: string) => console.log(`# ${line.replaceAll('\n', '\n# ')}`);
    await fuzz({ frames: FRAMES, seed: SEED, corpus, foundFolder: tmpdir(), say });
  },
);
