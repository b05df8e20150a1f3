/**
 * The operations of a LocalTree on open files: opening, closing, room, holes. Runs on a disk thread. Reading, writing and
 * syncing go by descriptor on libuv's pool (src/fs/local-tree.ts).
 */
import type { ByteString } from '../bytestring.ts';
import { codeOf, PeerfsError } from '../errors.ts';
import { allocate, readAt, seek as seekTo, WHENCE } from '../sys/file-data.ts';
import { changeModeOpen, closeDescriptor, O, openAt, reopen, statDescriptor } from '../sys/files.ts';
import { FALLOCATE, OPEN, SEEK, type Attributes } from '../wire/schema.ts';
import { fileKey, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG } from './local-attributes.ts';
import { createOwned, settleOwner } from './local-names.ts';
import { attributesOfDescriptor, changing, createsExactly, permitted, type LocalState } from './local-state.ts';
import type { Handle, OpenOptions } from './tree.ts';

/** How often an open that creates is tried anew while others create and remove the name. */
const CREATE_RETRIES = 32;

export interface LocalOpen {
  readonly handle: Handle;
  readonly created: boolean;
  readonly attributes: Attributes;
  readonly firstBytes: Uint8Array;
  /** For reading and writing on other threads, until release. */
  readonly descriptor: number;
}

const NOTHING = new Uint8Array();

export function open(state: LocalState, path: ByteString, options: OpenOptions): LocalOpen {
  const changes = (options.flags & (OPEN.create | OPEN.truncate)) !== 0;
  const { descriptor, created } = changes
    ? state.watches.own([path], () => openOrCreate(state, path, options))
    : openOrCreate(state, path, options);
  let attributes: Attributes;
  let firstBytes = NOTHING;
  try {
    attributes = attributesOfDescriptor(state, descriptor);
    const wanted = Math.min(options.wantBytes, attributes.size);
    if (wanted > 0 && (options.flags & OPEN.read) !== 0) {
      const bytes = new Uint8Array(wanted);
      firstBytes = bytes.subarray(0, readAt(descriptor, bytes, 0));
    }
  } catch (error) {
    closeDescriptor(descriptor);
    throw error;
  }
  const file = fileKey(attributes);
  const handle = state.handles.add({ descriptor, flags: options.flags, isDirectory: false, file, cursor: 0n });
  state.quota?.opened(attributes);
  return { handle, created, attributes, firstBytes, descriptor };
}

/** To be run among the tree's own changes. @returns a descriptor that is the caller's. */
export function openOrCreate(
  state: LocalState,
  path: ByteString,
  options: Omit<OpenOptions, 'wantBytes'>,
): { descriptor: number; created: boolean } {
  const { flags } = options;
  for (let attempt = 0; ; attempt++) {
    try {
      if ((flags & OPEN.create) === 0 || (flags & OPEN.exclusive) === 0) {
        return { descriptor: openExisting(state, path, flags), created: false };
      }
    } catch (error) {
      if ((flags & OPEN.create) === 0 || codeOf(error) !== 'ENOENT') throw error;
    }
    if (!state.writable) throw new PeerfsError(exists(state, path) ? 'EEXIST' : 'EROFS');
    try {
      const create = (directory: number, name: ByteString) => createIn(state, directory, name, options);
      return { descriptor: state.root.inParent(path, 'EEXIST', create), created: true };
    } catch (error) {
      if ((flags & OPEN.exclusive) !== 0 || codeOf(error) !== 'EEXIST' || attempt >= CREATE_RETRIES) throw error;
    }
  }
}

function exists(state: LocalState, path: ByteString): boolean {
  try {
    return state.root.at(path, () => true);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return false;
    throw error;
  }
}

/** Access mode and append and sync modes in the kernel's numbers. */
function kernelFlags(flags: number): number {
  const mode = (flags & OPEN.write) === 0 ? O.RDONLY : (flags & OPEN.read) === 0 ? O.WRONLY : O.RDWR;
  return (
    mode |
    O.NOCTTY |
    ((flags & OPEN.append) === 0 ? 0 : O.APPEND) |
    ((flags & OPEN.sync) === 0 ? 0 : O.SYNC) |
    ((flags & OPEN.dataSync) === 0 ? 0 : O.DSYNC)
  );
}

function openExisting(state: LocalState, path: ByteString, flags: number): number {
  return state.root.at(path, (descriptor) => {
    const type = statDescriptor(descriptor).mode & S_IFMT;
    if (type === S_IFLNK) throw new PeerfsError('ELOOP', 'a link');
    if (type === S_IFDIR) throw new PeerfsError('EISDIR');
    // A FIFO would block the thread, a device would act.
    if (type !== S_IFREG) throw new PeerfsError('ENXIO', 'not a regular file');
    if (!state.writable && (flags & (OPEN.write | OPEN.truncate)) !== 0) throw new PeerfsError('EROFS');
    const truncates = (flags & OPEN.truncate) !== 0;
    const again = () => reopen(descriptor, kernelFlags(flags) | (truncates ? O.TRUNC : 0));
    return truncates && state.quota !== undefined ? state.quota.around(descriptor, again) : again();
  });
}

/**
 * Creates and opens a name that must be new. To be run among the tree's own changes.
 * @param directory a descriptor of it. @returns a descriptor that is the caller's.
 */
export function createIn(
  state: LocalState,
  directory: number,
  name: ByteString,
  options: Omit<OpenOptions, 'wantBytes'>,
): number {
  const mode = permitted(state, options.permissions);
  const exactly = createsExactly();
  let descriptor = -1;
  state.quota?.checkName();
  const asRoot = createOwned(state, options, () => {
    const flags = kernelFlags(options.flags) | O.CREAT | O.EXCL | O.NOFOLLOW;
    descriptor = openAt(directory, name, flags, mode);
  });
  try {
    state.quota?.made(statDescriptor(descriptor));
    settleOwner(directory, descriptor, options, asRoot);
    if (!exactly || asRoot) changeModeOpen(descriptor, mode);
    return descriptor;
  } catch (error) {
    closeDescriptor(descriptor);
    throw error;
  }
}

/** Reads and writes on the handle's descriptor must have ended. */
export function release(state: LocalState, handle: Handle): void {
  const open = state.handles.take(handle);
  if (open === undefined) return;
  state.locks.releaseHandle(open.file, handle);
  if (!open.isDirectory) state.quota?.released(open.file, open.descriptor);
  state.watches.ownClose((open.flags & OPEN.write) === 0 ? undefined : open.file, () =>
    closeDescriptor(open.descriptor),
  );
}

export function flush(state: LocalState, handle: Handle, lockOwner: bigint): void {
  state.locks.releaseOwner(state.handles.file(handle).file, lockOwner);
}

export function fallocate(state: LocalState, handle: Handle, mode: number, offset: number, length: number): void {
  const known = FALLOCATE.keepSize | FALLOCATE.punchHole | FALLOCATE.zeroRange;
  if ((mode & ~known) !== 0) throw new PeerfsError('EOPNOTSUPP');
  const open = state.handles.file(handle);
  // The protocol's modes have the numbers of fallocate(2).
  const set = () => allocate(open.descriptor, mode, offset, length);
  changing(state, [], () => (state.quota === undefined ? set() : state.quota.around(open.descriptor, set)));
}

export function seek(state: LocalState, handle: Handle, offset: number, whence: number): number {
  return seekTo(state.handles.file(handle).descriptor, offset, whence === SEEK.data ? WHENCE.DATA : WHENCE.HOLE);
}
