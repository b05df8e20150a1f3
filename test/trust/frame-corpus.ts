/**
 * A corpus of frames: files of lines, each a frame in hexadecimal, or a remark behind #. One file a message has what
 * `seedFrames` makes of it; `found-*` files have what broke a node once.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { MESSAGES } from '../../src/wire/schema.ts';
import { createRandom } from '../wire/samples.ts';
import { seedFrames } from './frame-maker.ts';

const SUFFIX = '.frames';
/** Longer frames are left to chance: the corpus is read by people. Bytes. */
const LONGEST_BYTES = 1200;

/** The project's own. */
export function corpusFolder(): string {
  let at = import.meta.dirname;
  while (!existsSync(join(at, 'package.json'))) at = dirname(at);
  return join(at, 'test', 'trust', 'corpus');
}

/** All frames of a folder, in order of the files' names. */
export function readCorpus(folder: string): Buffer[] {
  const files = readdirSync(folder).filter((file) => file.endsWith(SUFFIX));
  return files.sort().flatMap((file) =>
    readFileSync(join(folder, file), 'utf8')
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('#'))
      .map((line) => Buffer.from(line, 'hex')),
  );
}

export function writeFrames(
  folder: string,
  name: string,
  frames: readonly { what: string; bytes: Uint8Array }[],
): string {
  mkdirSync(folder, { recursive: true });
  const lines = frames.map(({ what, bytes }) => `# ${what}\n${Buffer.from(bytes).toString('hex')}\n`);
  const file = join(folder, `${name}${SUFFIX}`);
  writeFileSync(file, lines.join(''));
  return file;
}

/** Writes the seeds of every message: the same each time. */
export function writeSeeds(folder: string): void {
  for (const [name, message] of Object.entries(MESSAGES)) {
    const seeds = seedFrames(name, message, createRandom(message.tag));
    writeFrames(
      folder,
      name,
      seeds.filter(({ bytes }) => bytes.length <= LONGEST_BYTES),
    );
  }
}
