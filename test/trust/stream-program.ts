/**
 * A program that writes into a folder of a mount until it is told to stop, and says on standard output what was
 * acknowledged: run by kill-rounds.ts as `stream-program.js FOLDER SEED STOPFILE STUBBORN`. Each line is a JSON array and
 * written when the call before it has returned. `STUBBORN` 1: after an error it goes on with other files; 0: it ends.
 *
 *     ["begun", file, tag]             the file is about to be made
 *     ["synced", file, bytes]          fsync has returned: so many bytes are safe
 *     ["closed", file, bytes]          close has returned
 *     ["replacing", file, version]     rename of a new version over the file is about to be called
 *     ["replaced", file, version]      it has returned
 *     ["failed", file, call, code]     a call has failed
 *     ["ended"]
 */
import { closeSync, existsSync, fsyncSync, openSync, renameSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { createRandom } from '../net/simulated-link.ts';
import { contentsOf } from './stream-contents.ts';

const [folder = '', seedText = '0', stopFile = '', stubborn = '0'] = process.argv.slice(2);
const random = createRandom(Number(seedText));
const below = (limit: number): number => Math.floor(random() * limit);
const say = (...fact: readonly (string | number)[]): void => void writeSync(1, `${JSON.stringify(fact)}\n`);

/** Largest write, and most writes to a file. */
const WRITE_BYTES = 200_000;
const WRITES = 8;
/** Files that are replaced again and again. */
const REPLACED = 4;

/** Makes a call; says so if it fails. */
function attempt<T>(file: string, call: string, run: () => T): T {
  try {
    return run();
  } catch (error) {
    say('failed', file, call, error instanceof Error && 'code' in error ? String(error.code) : String(error));
    throw error;
  }
}

/** Writes some random length with some fsyncs. @returns whether all of it, and the close, succeeded. */
function writeFile(file: string, tag: string, flags: string): boolean {
  const path = join(folder, file);
  let descriptor: number | undefined;
  try {
    const opened = attempt(file, 'open', () => openSync(path, flags));
    descriptor = opened;
    let length = 0;
    for (let count = 1 + below(WRITES); count > 0; count -= 1) {
      const end = length + 1 + below(below(2) === 0 ? 5000 : WRITE_BYTES);
      const bytes = contentsOf(tag, length, end);
      for (let at = 0; at < bytes.length;) {
        at += attempt(file, 'write', () => writeSync(opened, bytes, at, bytes.length - at, length + at));
      }
      length = end;
      if (below(4) === 0) {
        attempt(file, 'fsync', () => fsyncSync(opened));
        say('synced', file, length);
      }
    }
    descriptor = undefined;
    attempt(file, 'close', () => closeSync(opened));
    say('closed', file, length);
    return true;
  } catch {
    return false;
  } finally {
    try {
      if (descriptor !== undefined) closeSync(descriptor);
    } catch {
      // What failed before was said.
    }
  }
}

function replace(file: string, version: number): boolean {
  const fresh = `${file}.new`;
  const tag = `${file}.${version}`;
  say('begun', fresh, tag);
  if (!writeFile(fresh, tag, 'w')) return false;
  say('replacing', file, version);
  try {
    attempt(file, 'rename', () => renameSync(join(folder, fresh), join(folder, file)));
  } catch {
    return false;
  }
  say('replaced', file, version);
  return true;
}

/** Kept open from beginning to end. */
function openLog(): ((bytes: number) => void) | undefined {
  say('begun', 'log', 'log');
  let descriptor: number;
  try {
    descriptor = attempt('log', 'open', () => openSync(join(folder, 'log'), 'wx'));
  } catch {
    return undefined;
  }
  let length = 0;
  return (bytes) => {
    writeSync(descriptor, contentsOf('log', length, length + bytes), 0, bytes, length);
    length += bytes;
    if (below(3) > 0) return;
    fsyncSync(descriptor);
    say('synced', 'log', length);
  };
}

let log = openLog();
const versions = new Array<number>(REPLACED).fill(0);
for (let count = 0; !existsSync(stopFile); count += 1) {
  let isFine = true;
  const kind = below(10);
  if (kind < 4) {
    const number = below(REPLACED);
    const version = (versions[number] ?? 0) + 1;
    versions[number] = version;
    isFine = replace(`r${number}`, version);
  } else if (kind < 6 && log !== undefined) {
    try {
      log(1 + below(3000));
    } catch (error) {
      say('failed', 'log', 'write', error instanceof Error && 'code' in error ? String(error.code) : String(error));
      // What a log lost is not to be found out through the same descriptor: it ends here.
      log = undefined;
      isFine = false;
    }
  } else {
    const file = `f${count}`;
    say('begun', file, file);
    isFine = writeFile(file, file, 'wx');
  }
  if (!isFine && stubborn !== '1') break;
}
say('ended');
process.exit(0);
