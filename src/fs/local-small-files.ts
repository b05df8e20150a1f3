/**
 * Many small files of one directory read at once, whole: what a LocalTree does for a peer that walks through it. Runs on
 * a disk thread. A name that cannot be given (missing, a link, no regular file, too large, not readable, changed
 * while it was read) is left out.
 */
import type { ByteString } from '../bytestring.ts';
import { readAt } from '../sys/file-data.ts';
import { closeDescriptor, O, reopen, statDescriptor, type FileStatus } from '../sys/files.ts';
import { mayHaveXattrs } from '../sys/xattrs.ts';
import { LIMITS } from '../wire/schema.ts';
import { attributesOf, packAttributes, PACKED_NUMBERS, S_IFMT, S_IFREG } from './local-attributes.ts';
import type { LocalState } from './local-state.ts';
import type { LookedAt } from './tree.ts';

/** In the flat form that crosses threads. */
export interface PackedFiles {
  /** Positions of the given names, ascending. */
  readonly positions: readonly number[];
  /** PACKED_NUMBERS for each. */
  readonly numbers: Float64Array;
  /** Contents, one after the other; as long as the attributes say. */
  readonly bytes: Uint8Array;
}

const NOTHING = new Uint8Array();
const scratch = new Uint8Array(LIMITS.pieceBytes);
const numbers = new Float64Array(LIMITS.filesPerCall * PACKED_NUMBERS);

/** Attributes, and the contents if they are small and can be read; else none. */
export function look(state: LocalState, path: ByteString, room: number): LookedAt {
  return state.root.at(path, (found) => {
    const whole = readWhole(found, scratch.subarray(0, room));
    const attributes = attributesOf(whole ?? statDescriptor(found), mayHaveXattrs(found), !state.keepsIds);
    return { attributes, contents: whole === undefined ? NOTHING : scratch.slice(0, whole.size) };
  });
}

/** @param room for all contents together, bytes; what does not fit is left out. */
export function readSmallFiles(
  state: LocalState,
  directory: ByteString,
  names: readonly ByteString[],
  room: number,
): PackedFiles {
  const positions: number[] = [];
  let used = 0;
  state.root.at(directory, (base) => {
    for (const [position, name] of names.entries()) {
      const left = Math.min(room, scratch.length) - used;
      if (positions.length === LIMITS.filesPerCall || left < 0) return;
      const length = readOne(state, base, name, scratch.subarray(used, used + left), positions.length * PACKED_NUMBERS);
      if (length === undefined) continue;
      used += length;
      positions.push(position);
    }
  });
  return { positions, numbers: numbers.slice(0, positions.length * PACKED_NUMBERS), bytes: scratch.slice(0, used) };
}

/** @returns how much of `to` is the file's contents; undefined if they are not to be had. */
function readOne(
  state: LocalState,
  base: number,
  name: ByteString,
  to: Uint8Array,
  numbersAt: number,
): number | undefined {
  let found: number | undefined;
  try {
    found = state.root.openChild(base, name);
    const status = readWhole(found, to);
    if (status === undefined) return undefined;
    packAttributes(attributesOf(status, mayHaveXattrs(found), !state.keepsIds), numbers, numbersAt);
    return status.size;
  } catch {
    // Whoever opens it by itself is told why it cannot be read.
    return undefined;
  } finally {
    if (found !== undefined) closeDescriptor(found);
  }
}

/**
 * @param found an O_PATH descriptor.
 * @returns what it is, with the length of its contents at the beginning of `to`; undefined if they are not to be had.
 */
function readWhole(found: number, to: Uint8Array): FileStatus | undefined {
  const before = statDescriptor(found);
  // A FIFO would block the thread, a device would act. A file with other names is not covered by a lease.
  if ((before.mode & S_IFMT) !== S_IFREG || before.nlink > 1 || before.size > to.length) return undefined;
  let open: number | undefined;
  try {
    open = reopen(found, O.RDONLY | O.NOCTTY);
    const length = before.size === 0 ? 0 : readAt(open, to.subarray(0, before.size), 0);
    const after = statDescriptor(open);
    return length !== before.size || isChanged(before, after) ? undefined : after;
  } catch {
    return undefined;
  } finally {
    if (open !== undefined) closeDescriptor(open);
  }
}

const isChanged = (before: FileStatus, after: FileStatus): boolean =>
  before.size !== after.size ||
  before.mtimeSec !== after.mtimeSec ||
  before.mtimeNsec !== after.mtimeNsec ||
  before.ctimeSec !== after.ctimeSec ||
  before.ctimeNsec !== after.ctimeNsec;
