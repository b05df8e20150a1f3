/** The operations of a LocalTree on open directories. Runs on a disk thread. */
import type { ByteString } from '../bytestring.ts';
import { codeOf, PeerfsError } from '../errors.ts';
import { readRows, seekRows } from '../sys/file-data.ts';
import { closeDescriptor, statAt, statDescriptor } from '../sys/files.ts';
import { mayHaveXattrs } from '../sys/xattrs.ts';
import { LIMITS, OPEN } from '../wire/schema.ts';
import { attributesOf, fileKey, packAttributes, PACKED_NUMBERS } from './local-attributes.ts';
import type { LocalState } from './local-state.ts';
import type { Handle } from './tree.ts';

/** Entries in the flat form that crosses threads: names joined by '/', and ENTRY_NUMBERS numbers for each. */
export interface PackedListing {
  readonly names: string;
  readonly numbers: Float64Array;
  readonly end: boolean;
}

/** Packed attributes, then the upper and lower half of the cursor. */
export const ENTRY_NUMBERS = PACKED_NUMBERS + 2;
/** Of one answer. */
const MAX_ENTRIES = LIMITS.entriesPerReply;
const numbers = new Float64Array(MAX_ENTRIES * ENTRY_NUMBERS);
/** What a record of getdents64 takes at least with a short name, bytes. */
const ROW_BYTES = 24;

export function openDirectory(state: LocalState, path: ByteString): { handle: Handle; descriptor: number } {
  const descriptor = state.root.openDirectory(path);
  let file: string;
  try {
    file = fileKey(statDescriptor(descriptor));
  } catch (error) {
    closeDescriptor(descriptor);
    throw error;
  }
  const handle = state.handles.add({ descriptor, flags: OPEN.read, isDirectory: true, file, cursor: 0n });
  return { handle, descriptor };
}

export function readDirectory(state: LocalState, handle: Handle, cursor: bigint, maxEntries: number): PackedListing {
  const open = state.handles.get(handle);
  if (!open.isDirectory) throw new PeerfsError('ENOTDIR');
  if (open.cursor !== cursor || cursor === 0n) seekRows(open.descriptor, cursor);
  const names: ByteString[] = [];
  const limit = Math.min(maxEntries, MAX_ENTRIES);
  let position = cursor;
  let end = false;
  while (names.length < limit) {
    const rows = readRows(open.descriptor, Math.max((limit - names.length) * ROW_BYTES, 1024));
    if (rows === undefined) {
      end = true;
      break;
    }
    for (const { name, cursor: next } of rows) {
      if (names.length === limit) {
        seekRows(open.descriptor, position);
        break;
      }
      position = next;
      if (!packEntry(state, open.descriptor, name, numbers, names.length * ENTRY_NUMBERS)) continue;
      numbers[names.length * ENTRY_NUMBERS + PACKED_NUMBERS] = Number(BigInt.asIntN(32, next >> 32n));
      numbers[names.length * ENTRY_NUMBERS + PACKED_NUMBERS + 1] = Number(BigInt.asUintN(32, next));
      names.push(name);
    }
  }
  open.cursor = position;
  return { names: names.join('/'), numbers: numbers.slice(0, names.length * ENTRY_NUMBERS), end };
}

/** @returns false for a name that is gone meanwhile, or is the root of another mount that is not part of the share. */
function packEntry(state: LocalState, directory: number, name: ByteString, to: Float64Array, at: number): boolean {
  try {
    const status = statAt(directory, name);
    if (status.isMountRoot && !state.root.crossMounts) return false;
    packAttributes(attributesOf(status, mayHaveXattrs(directory, name), !state.keepsIds), to, at);
    return true;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return false;
    throw error;
  }
}
