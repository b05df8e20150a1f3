/**
 * Copies of what could not be written to a peer any more, because others changed or replaced the file while it waited.
 * One file for each that was open, with the bytes at the places where they were to go and holes between them. Owns the
 * folder and its bound; removing copies is the user's affair.
 */
import { closeSync, constants, lstatSync, mkdirSync, openSync, readdirSync, writeSync } from 'node:fs';
import { nameOf, toBytes, type ByteString } from '../bytestring.ts';
import type { Clock } from '../clock.ts';
import { codeOf, PeerfsError } from '../errors.ts';
import type { RefusedWrite } from '../fs/remote-share.ts';
import type { Logger } from '../log.ts';

/** All copies together: what disk they may take, and how many there may be. */
const MOST_BYTES = 1024 ** 3;
const MOST_COPIES = 1000;
/** Of the file's name, so that date and number still fit into 255 bytes. */
const NAME_BYTES = 120;

export interface ConflictCopies {
  /** Absolute. */
  readonly directory: string;
  /** How many there are. */
  count(): number;
  /** Never throws. */
  keep(petname: string, write: RefusedWrite): void;
}

export interface ConflictCopiesOptions {
  readonly directory: string;
  readonly clock: Clock;
  readonly log: Logger;
  /** The copy of a file was begun. @param name of the file. */
  readonly onCopy: (petname: string, name: ByteString) => void;
  /** Something of a file could not be kept; told once for each. */
  readonly onFailure: (petname: string, name: ByteString, code: string) => void;
}

export function createConflictCopies({
  directory,
  clock,
  log,
  onCopy,
  onFailure,
}: ConflictCopiesOptions): ConflictCopies {
  const copies = new WeakMap<object, Buffer>();
  /** Of which something could not be kept. */
  const failed = new WeakSet<object>();

  /** A path below the folder. */
  const within = (name: Uint8Array) => Buffer.concat([Buffer.from(`${directory}/`), name]);

  const names = (): readonly Buffer[] => {
    try {
      return readdirSync(directory, 'buffer');
    } catch {
      return [];
    }
  };

  /** Of all copies, as counted when the newest was begun, and what was written since. */
  let usedBytes = 0;

  /** @throws EDQUOT. */
  function takeRoom(bytes: number): void {
    if (usedBytes + bytes > MOST_BYTES) throw new PeerfsError('EDQUOT', 'the copies take too much room');
    usedBytes += bytes;
  }

  function put(copy: Buffer, offset: number, bytes: Uint8Array): void {
    const descriptor = openSync(copy, constants.O_WRONLY | constants.O_NOFOLLOW);
    try {
      for (let done = 0; done < bytes.length;) {
        done += writeSync(descriptor, bytes, done, bytes.length - done, offset + done);
      }
    } finally {
      closeSync(descriptor);
    }
  }

  /** Path of a new file. @throws EDQUOT. */
  function begin(petname: string, path: ByteString): Buffer {
    const there = names();
    if (there.length >= MOST_COPIES) throw new PeerfsError('EDQUOT', 'too many copies');
    usedBytes = there.reduce((sum, name) => sum + lstatSync(within(name)).blocks * 512, 0);
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    const when = new Date(clock.wallMs()).toISOString().replaceAll(':', '.');
    const name = toBytes(nameOf(path)).subarray(0, NAME_BYTES);
    for (let number = 1; ; number += 1) {
      const copy = within(Buffer.concat([Buffer.from(`${petname} ${when} ${number} `), name]));
      try {
        closeSync(openSync(copy, constants.O_CREAT | constants.O_EXCL | constants.O_WRONLY, 0o600));
        return copy;
      } catch (error) {
        if (codeOf(error) !== 'EEXIST') throw error;
      }
    }
  }

  return {
    directory,
    count: () => names().length,
    keep(petname, { file, path, offset, bytes }) {
      const known = copies.get(file);
      try {
        const copy = known ?? begin(petname, path);
        takeRoom(bytes.length);
        put(copy, offset, bytes);
        copies.set(file, copy);
        if (known === undefined) onCopy(petname, nameOf(path));
      } catch (error) {
        const code = codeOf(error);
        log.warn('conflict-copy-failed', { code, bytes: bytes.length });
        if (failed.has(file)) return;
        failed.add(file);
        onFailure(petname, nameOf(path), code);
      }
    },
  };
}
