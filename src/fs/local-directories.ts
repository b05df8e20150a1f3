/** The operations of a LocalTree on open directories. Runs on a disk thread. */
import type { ByteString } from '../bytestring.ts';
import { codeOf, PeerfsError } from '../errors.ts';
import { readRows, seekRows } from '../sys/file-data.ts';
import { closeDescriptor, statAt, statDescriptor } from '../sys/files.ts';
import { mayHaveXattrs } from '../sys/xattrs.ts';
import { ListingWriter } from '../wire/listing.ts';
import { LIMITS, OPEN } from '../wire/schema.ts';
import { attributesOf, fileKey } from './local-attributes.ts';
import type { LocalState } from './local-state.ts';
import type { Handle, ListedDirectory, ListingPage } from './tree.ts';

/** What a record of getdents64 takes at least with a short name, bytes. */
const ROW_BYTES = 24;
const writer = new ListingWriter(LIMITS.pieceBytes);

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

/** Opens a directory and lists its first entries. @param keep leave it open if these are not all. */
export function listDirectory(
  state: LocalState,
  path: ByteString,
  maxEntries: number,
  keep: boolean,
): ListedDirectory & { readonly descriptor: number } {
  const { handle, descriptor } = openDirectory(state, path);
  let isKept = false;
  try {
    const page = readPage(state, handle, 0n, maxEntries, LIMITS.pieceBytes);
    isKept = keep && !page.end;
    return { ...page, handle: isKept ? handle : 0, descriptor };
  } finally {
    if (!isKept && state.handles.take(handle) !== undefined) closeDescriptor(descriptor);
  }
}

/** @param maxBytes of the page; one entry always has room. */
export function readPage(
  state: LocalState,
  handle: Handle,
  cursor: bigint,
  maxEntries: number,
  maxBytes: number,
): ListingPage {
  const open = state.handles.get(handle);
  if (!open.isDirectory) throw new PeerfsError('ENOTDIR');
  const { descriptor } = open;
  writer.begin(maxBytes);
  if (maxEntries === 0) return { bytes: writer.page(), count: 0, next: cursor, end: false };
  if (open.cursor !== cursor || cursor === 0n) seekRows(descriptor, cursor);
  let position = cursor;
  let end = false;
  let isFull = false;
  while (!isFull && !end) {
    const rows = readRows(descriptor, Math.max((maxEntries - writer.count) * ROW_BYTES, 1024));
    end = rows === undefined;
    for (const { name, cursor: next } of rows ?? []) {
      isFull = writer.count === maxEntries || !addEntry(state, descriptor, name, next);
      if (isFull) {
        seekRows(descriptor, position);
        break;
      }
      position = next;
    }
    isFull ||= writer.count === maxEntries;
  }
  open.cursor = position;
  return { bytes: writer.page(), count: writer.count, next: position, end };
}

/** @returns false if the page is full. Left out are names that are gone meanwhile, and roots of mounts that are not shared. */
function addEntry(state: LocalState, directory: number, name: ByteString, cursor: bigint): boolean {
  try {
    const status = statAt(directory, name);
    if (status.isMountRoot && !state.root.crossMounts) return true;
    const attributes = attributesOf(status, mayHaveXattrs(directory, name), !state.keepsIds);
    return writer.add({ name, cursor, attributes });
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return true;
    throw error;
  }
}
