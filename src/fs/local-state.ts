/**
 * What the operations of one LocalTree share on its disk thread: the confined root, what is allowed, the table of open
 * handles, locks and watches.
 */
import type { ByteString } from '../bytestring.ts';
import { PeerfsError } from '../errors.ts';
import { closeDescriptor, dropUmask, statDescriptor } from '../sys/files.ts';
import { mayHaveXattrs } from '../sys/xattrs.ts';
import type { Attributes } from '../wire/schema.ts';
import { attributesOf } from './local-attributes.ts';
import type { LockTable } from './local-locks.ts';
import type { LocalQuota } from './local-quota.ts';
import type { ShareRoot } from './local-root.ts';
import type { LocalWatches } from './local-watches.ts';
import type { Handle } from './tree.ts';

export interface OpenHandle {
  readonly descriptor: number;
  /** Bits of OPEN; of a directory: read. */
  readonly flags: number;
  readonly isDirectory: boolean;
  /** The same text for the same inode. */
  readonly file: string;
  /** Of a directory: where the kernel's position stands, to save a seek. */
  cursor: bigint;
}

export interface LocalState {
  readonly root: ShareRoot;
  readonly writable: boolean;
  /** Ids pass as they are. */
  readonly keepsIds: boolean;
  readonly handles: HandleTable;
  readonly locks: LockTable;
  readonly watches: LocalWatches;
  /** Undefined while nothing limits what the folder may hold. */
  quota: LocalQuota | undefined;
}

/** Whether this thread creates files with exactly the permissions asked for. */
let umaskIsDropped: boolean | undefined;
export function createsExactly(): boolean {
  umaskIsDropped ??= dropUmask();
  return umaskIsDropped;
}

export class HandleTable {
  readonly #open = new Map<Handle, OpenHandle>();
  readonly #free: Handle[] = [];
  readonly #limit: number;
  #next = 1;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get size(): number {
    return this.#open.size;
  }

  /** Takes over the descriptor; closes it when the table is full. */
  add(open: OpenHandle): Handle {
    if (this.#open.size >= this.#limit) {
      closeDescriptor(open.descriptor);
      throw new PeerfsError('EMFILE', `more than ${this.#limit} files open in one share`);
    }
    const handle = this.#free.pop() ?? this.#next++;
    this.#open.set(handle, open);
    return handle;
  }

  get(handle: Handle): OpenHandle {
    const open = this.#open.get(handle);
    if (open === undefined) throw new PeerfsError('EBADF', 'no such handle');
    return open;
  }

  find(handle: Handle): OpenHandle | undefined {
    return this.#open.get(handle);
  }

  /** @throws EISDIR */
  file(handle: Handle): OpenHandle {
    const open = this.get(handle);
    if (open.isDirectory) throw new PeerfsError('EISDIR');
    return open;
  }

  /** Forgets the handle; the caller closes the descriptor. */
  take(handle: Handle): OpenHandle | undefined {
    const open = this.#open.get(handle);
    if (open === undefined) return undefined;
    this.#open.delete(handle);
    this.#free.push(handle);
    return open;
  }

  all(): Handle[] {
    return [...this.#open.keys()];
  }
}

export function attributesOfDescriptor(state: LocalState, descriptor: number): Attributes {
  return attributesOf(statDescriptor(descriptor), mayHaveXattrs(descriptor), !state.keepsIds);
}

/** Runs `use` with a descriptor of the file: the handle's, or an O_PATH one of the path. */
export function withFile<T>(
  state: LocalState,
  path: ByteString,
  handle: Handle,
  use: (descriptor: number, open: OpenHandle | undefined) => T,
): T {
  if (handle === 0) return state.root.at(path, (descriptor) => use(descriptor, undefined));
  const open = state.handles.get(handle);
  return use(open.descriptor, open);
}

/** Runs what changes the tree: refused on read-only shares, and not told as somebody else's change to the paths. */
export function changing<T>(state: LocalState, paths: readonly ByteString[], change: () => T): T {
  if (!state.writable) throw new PeerfsError('EROFS', 'the share is read-only');
  return state.watches.own(paths, change);
}

/** Permission bits that a peer may set. */
export function permitted(state: LocalState, permissions: number): number {
  return permissions & (state.keepsIds ? 0o7777 : 0o1777);
}

const OWNER_LOOKS = 0o500;

/** The same for a directory: where there is a quota its owner, who counts, stays able to look into it. */
export function permittedDirectory(state: LocalState, permissions: number): number {
  return permitted(state, permissions) | (state.quota === undefined ? 0 : OWNER_LOOKS);
}
