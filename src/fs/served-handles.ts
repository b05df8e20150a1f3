/**
 * The handles that one peer has open at us: numbers on the wire to handles of trees. Bounded.
 */
import { nameOf, parentOf, type ByteString } from '../bytestring.ts';
import { PeerfsError } from '../errors.ts';
import type { LeaseHolder } from './lease-holder.ts';
import type { FollowedPath, TreeLeases } from './leases.ts';
import type { Handle, WatchedTree } from './tree.ts';

/** Tuning: open files and directories of one peer. */
export const HANDLES_PER_PEER = 4096;

/** A share while the peer may see it. */
export interface ServedFolder {
  readonly share: number;
  isWritable: boolean;
  readonly tree: WatchedTree;
  readonly leases: TreeLeases;
  readonly holder: LeaseHolder;
}

export class ServedHandle implements FollowedPath {
  readonly served: ServedFolder;
  /** The tree's own number. */
  readonly handle: Handle;
  readonly isDirectory: boolean;
  directory: ByteString;
  name: ByteString;
  #path: ByteString;

  constructor(served: ServedFolder, handle: Handle, path: ByteString, isDirectory: boolean) {
    this.served = served;
    this.handle = handle;
    this.isDirectory = isDirectory;
    this.#path = path;
    this.directory = parentOf(path);
    this.name = nameOf(path);
  }

  get path(): ByteString {
    return this.#path;
  }

  set path(path: ByteString) {
    this.#path = path;
    this.directory = parentOf(path);
    this.name = nameOf(path);
  }
}

export class ServedHandles {
  readonly #open = new Map<number, ServedHandle>();
  #next = 1;
  /** Numbers promised to opens that are under way. */
  #reserved = 0;

  /** To be called before opening. @throws PeerfsError EMFILE. */
  reserve(): void {
    if (this.#open.size + this.#reserved >= HANDLES_PER_PEER) throw new PeerfsError('EMFILE', 'too many open files');
    this.#reserved += 1;
  }

  unreserve(): void {
    this.#reserved -= 1;
  }

  /** Takes what reserve() promised. */
  add(handle: ServedHandle): number {
    this.#reserved -= 1;
    while (this.#open.has(this.#next)) this.#next = this.#next >= 0xffff_ffff ? 1 : this.#next + 1;
    const number = this.#next;
    this.#next = number >= 0xffff_ffff ? 1 : number + 1;
    this.#open.set(number, handle);
    if (!handle.isDirectory) handle.served.leases.followed.add(handle);
    return number;
  }

  /** @throws PeerfsError EBADF for a number that is not open (any more). */
  get(number: number): ServedHandle {
    const handle = this.#open.get(number);
    if (handle === undefined) throw new PeerfsError('EBADF', 'no such handle');
    return handle;
  }

  remove(number: number): ServedHandle | undefined {
    const handle = this.#open.get(number);
    if (handle === undefined) return undefined;
    this.#open.delete(number);
    handle.served.leases.followed.delete(handle);
    return handle;
  }

  numbers(): number[] {
    return [...this.#open.keys()];
  }

  entries(): [number, ServedHandle][] {
    return [...this.#open];
  }
}
