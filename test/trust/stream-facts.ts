/** What a stream-program.ts said was acknowledged, and whether a folder on the serving side's disk is as it must be then. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { faultOf, tagOf } from './stream-contents.ts';

interface StreamFile {
  /** Of the contents that were written last. */
  tag: string;
  /** fsync has returned for so many bytes. */
  synced: number;
  /** close has returned; of so many bytes. */
  closed: number | undefined;
}

interface ReplacedFile {
  /** Of the last rename that returned; 0: none has. */
  version: number;
  /** Of the last rename that was called. */
  attempted: number;
  /** Lengths by version. */
  readonly lengths: Map<number, number>;
}

export class StreamFacts {
  /** Acknowledgements so far: of fsync, close and rename. */
  acknowledged = 0;
  /** Errors that the program was told, as `call code`. */
  readonly failures: string[] = [];
  hasEnded = false;
  readonly #files = new Map<string, StreamFile>();
  readonly #replaced = new Map<string, ReplacedFile>();

  /** @param line as the program wrote it. */
  add(line: string): void {
    const [what, file = '', value, code] = JSON.parse(line) as readonly [string, string?, (string | number)?, string?];
    const known = this.#files.get(file);
    switch (what) {
      case 'begun':
        this.#files.set(file, { tag: String(value), synced: 0, closed: undefined });
        return;
      case 'synced':
        this.acknowledged += 1;
        if (known !== undefined) known.synced = Number(value);
        return;
      case 'closed':
        this.acknowledged += 1;
        if (known !== undefined) known.closed = Number(value);
        return;
      case 'replacing': {
        const before = this.#replaced.get(file) ?? { version: 0, attempted: 0, lengths: new Map<number, number>() };
        before.attempted = Number(value);
        before.lengths.set(before.attempted, this.#files.get(`${file}.new`)?.closed ?? NaN);
        this.#replaced.set(file, before);
        return;
      }
      case 'replaced': {
        this.acknowledged += 1;
        const replaced = this.#replaced.get(file);
        if (replaced !== undefined) replaced.version = Number(value);
        return;
      }
      case 'failed':
        this.failures.push(`${String(value)} ${code ?? ''}`);
        return;
      default:
        this.hasEnded = true;
    }
  }

  /** @returns what is not as it must be, a line each. */
  faults(folder: string): readonly string[] {
    const faults: string[] = [];
    const names = new Set(readdirSync(folder));
    for (const name of names) {
      if (!this.#files.has(name) && !this.#replaced.has(name)) faults.push(`${name}: nobody made this`);
    }
    for (const [name, file] of this.#files) {
      // Its contents are judged under the name that they were put at.
      if (name.endsWith('.new')) continue;
      const found = names.has(name) ? readFileSync(join(folder, name)) : undefined;
      const needed = file.closed ?? file.synced;
      if (found === undefined) {
        if (needed > 0) faults.push(`${name}: missing, ${needed} bytes were acknowledged`);
        continue;
      }
      const fault = faultOf(found, file.tag, needed);
      if (fault !== undefined) faults.push(`${name}: ${fault}`);
      else if (file.closed !== undefined && found.length !== file.closed) {
        faults.push(`${name}: ${found.length} bytes, closed with ${file.closed}`);
      }
    }
    for (const [name, replaced] of this.#replaced) {
      const fault = names.has(name)
        ? faultOfReplaced(readFileSync(join(folder, name)), name, replaced)
        : replaced.version > 0
          ? `missing, version ${replaced.version} was acknowledged`
          : undefined;
      if (fault !== undefined) faults.push(`${name}: ${fault}`);
    }
    return faults;
  }
}

function faultOfReplaced(found: Buffer, name: string, replaced: ReplacedFile): string | undefined {
  const tag = tagOf(found);
  const version = Number(tag?.slice(name.length + 1));
  if (tag === undefined || !(version >= replaced.version && version <= replaced.attempted)) {
    return `is ${tag ?? 'nothing known'}, acknowledged ${replaced.version}, attempted ${replaced.attempted}`;
  }
  const length = replaced.lengths.get(version) ?? NaN;
  return found.length === length
    ? faultOf(found, tag, length)
    : `${found.length} bytes, version ${version} has ${length}`;
}
