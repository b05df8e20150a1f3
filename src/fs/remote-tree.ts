/**
 * RemoteTree: the Tree over one share of a peer, cached as far as the peer's leases go. This file has the operations
 * on names and attributes; open files are in remote-files.ts, open directories in remote-directories.ts.
 */
import { fromBytes, nameOf, NAME_MAX_BYTES, parentOf, type ByteString } from '../bytestring.ts';
import { codeOf, PeerfsError } from '../errors.ts';
import type { CallResult } from '../net/channel.ts';
import { ATTRIBUTE_FLAGS, RENAME, SOLE, type Attributes } from '../wire/schema.ts';
import { ListingPrefetch } from './listing-prefetch.ts';
import { RemoteDirectories } from './remote-directories.ts';
import type { FileIdentity } from './remote-file.ts';
import { RemoteFileOperations, type OpenedRemoteFile } from './remote-files.ts';
import { RemoteHandles } from './remote-handles.ts';
import { FilePrefetch } from './remote-prefetch.ts';
import { setattrFields } from './remote-setattr.ts';
import {
  isRegular,
  RemoteShare,
  type InvalidateListener,
  type MadeListener,
  type RemoteShareOptions,
} from './remote-share.ts';
import type * as tree from './tree.ts';

export interface RemoteTree extends tree.Tree {
  readonly share: number;
  /** How long what is cached of the path holds without asking again, milliseconds; 0 if nothing is. */
  leaseOf(path: ByteString): number;
  /** What is cached of the path, under a lease: null if it does not exist, undefined if nothing is known. */
  known(path: ByteString): Attributes | null | undefined;
  /** Opens for reading a file that is at hand whole, without asking the peer. @returns undefined if it is not. */
  openKnown(path: ByteString, flags: number): OpenedRemoteFile | undefined;
  open(path: ByteString, options: tree.OpenOptions): Promise<OpenedRemoteFile>;
  /** What can be said of a file that was made here first, as long as the server has not heard of it. */
  held(path: ByteString): Attributes | undefined;
  /** How long what was read of an open directory holds, attributes and all, milliseconds; 0: each is to be asked for by known(). */
  listedLeaseMs(handle: tree.Handle): number;
  /** As read(), in parts that follow each other: for who can use them without putting them together. */
  readParts(handle: tree.Handle, offset: number, length: number): Promise<readonly Uint8Array[]>;
  /** Called when something cached was recalled, before the recall is answered. @returns a function that ends it. */
  onInvalidate(listener: InvalidateListener): () => void;
  /**
   * Called when a file that was made here first is at the server: what was said of it (isProvisional) and what it is.
   * @returns a function that ends it.
   */
  onMade(listener: MadeListener): () => void;
  /** Tells which inode numbers programs see: some open the files of a directory in their order. */
  shownInodes(shown: (identity: FileIdentity) => bigint): void;
  /** Settles when nothing is unwritten. */
  drained(): Promise<void>;
  /** A recall by the peer. */
  recalled(path: ByteString, what: number, change: number): Promise<void>;
  /** The peer's node is another one now: handles and leases are gone. */
  serverRestarted(): void;
}

export function createRemoteTree(options: RemoteShareOptions): RemoteTree {
  return new Remote(options);
}

class Remote implements RemoteTree {
  readonly share: number;
  readonly #share: RemoteShare;
  readonly #files: RemoteFileOperations;
  readonly #handles: RemoteHandles;
  readonly #prefetch: FilePrefetch;
  readonly #directories: RemoteDirectories;
  readonly #listings: ListingPrefetch;
  #lastHandle = 0;

  constructor(options: RemoteShareOptions) {
    this.share = options.share;
    this.#share = new RemoteShare(options);
    const nextHandle = () => (this.#lastHandle += 1);
    this.#handles = new RemoteHandles(this.#share, nextHandle);
    this.#prefetch = new FilePrefetch(this.#share);
    this.#files = new RemoteFileOperations(this.#share, this.#handles, this.#prefetch);
    this.#listings = new ListingPrefetch(this.#share);
    this.#listings.onListed = (path) => this.#prefetch.listed(path);
    this.#directories = new RemoteDirectories(this.#share, nextHandle, this.#listings);
  }

  leaseOf(path: ByteString): number {
    return this.#share.cache.leftMs(path);
  }

  known(path: ByteString): Attributes | null | undefined {
    const creation = this.#share.creations.at(path);
    if (creation !== undefined) return creation.isUntouched ? creation.attributes : undefined;
    const known = this.#share.cache.get(path);
    return known === undefined || known === null ? known : this.#share.withUnwritten(known);
  }

  held(path: ByteString): Attributes | undefined {
    const creation = this.#share.creations.at(path);
    return creation?.state === 'held' ? creation.attributes : undefined;
  }

  onMade(listener: MadeListener): () => void {
    return this.#share.onMade(listener);
  }

  onInvalidate(listener: InvalidateListener): () => void {
    return this.#share.onInvalidate(listener);
  }

  shownInodes(shown: (identity: FileIdentity) => bigint): void {
    this.#prefetch.shownInode = shown;
    this.#listings.shownInode = shown;
  }

  drained(): Promise<void> {
    this.#share.releases.flush();
    return this.#files.drainAll();
  }

  recalled(path: ByteString, what: number, change: number): Promise<void> {
    return this.#share.recalled(path, what, change);
  }

  serverRestarted(): void {
    this.#share.serverRestarted();
    this.#handles.serverRestarted();
    this.#prefetch.clear();
    this.#listings.clear();
    this.#directories.serverRestarted();
  }

  async statfs(path: ByteString): Promise<tree.FileSystemStatus> {
    const { reply } = await this.#share.call('statfs', { share: this.share, path });
    return reply;
  }

  getattr(path: ByteString, handle: tree.Handle): Promise<Attributes> {
    const open = this.#handles.find(handle);
    if (open !== undefined) return this.#files.getattr(open, path);
    if (handle !== 0 && !this.#directories.has(handle)) return Promise.reject(new PeerfsError('EBADF'));
    if (nameOf(path).length > NAME_MAX_BYTES) return Promise.reject(new PeerfsError('ENAMETOOLONG'));
    const creation = this.#share.creations.at(path);
    if (creation !== undefined)
      return creation.isUntouched ? Promise.resolve(creation.attributes) : this.#getattr(path);
    const known = this.#share.cache.get(path);
    if (known === null) return Promise.reject(new PeerfsError('ENOENT'));
    if (known !== undefined && this.#share.files.find(known)?.writes.isDirty !== true) return Promise.resolve(known);
    return this.#getattr(path);
  }

  async setattr(path: ByteString, handle: tree.Handle, change: tree.AttributeChange): Promise<Attributes> {
    // The kernel says by path, too, what a program does by descriptor.
    const creation = handle === 0 ? this.#share.creations.at(path) : this.#handles.find(handle)?.creation;
    if (creation?.set(change) === true) return creation.attributes;
    const open = handle === 0 ? undefined : await this.#files.beforeChange(handle);
    if (open === undefined) await this.#share.settled(path, false);
    const file = open?.file;
    if (file !== undefined && change.size !== undefined) this.#share.changedContents(file);
    const sentAt = this.#share.order.now;
    const request = { share: this.share, path, ...setattrFields(change) };
    const { reply } =
      open === undefined
        ? await this.#share.mutate('setattr', { ...request, handle: 0 })
        : await this.#handles.through(open, true, (number) =>
            this.#share.call('setattr', { ...request, handle: number }),
          );
    const changed = this.#share.files.find(reply.attributes);
    const isCurrent = this.#share.order.isCurrent(path, sentAt, reply.change);
    if (changed?.writes.isDirty === false) changed.version = reply.attributes;
    if (change.size !== undefined && changed !== undefined) {
      this.#share.changedContents(changed);
      changed.size = reply.attributes.size;
    }
    this.#share.changedFile(path);
    if (isCurrent && open === undefined) this.#share.learn(path, this.#share.order.now, reply);
    else if (isCurrent && open !== undefined && this.#files.isNamed(open, path, reply.attributes)) {
      this.#share.learn(path, this.#share.order.now, reply);
    }
    return reply.attributes;
  }

  async readlink(path: ByteString): Promise<Uint8Array> {
    const { reply } = await this.#share.call('readlink', { share: this.share, path });
    return reply.target;
  }

  async mkdir(path: ByteString, permissions: number, owner: tree.Owner): Promise<Attributes> {
    const sentAt = this.#share.order.now;
    const { reply } = await this.#share.mutate('mkdir', { share: this.share, path, permissions, ...owner });
    const isCurrent = this.#share.order.isListingCurrent(path, sentAt, reply.change);
    this.#share.made(path, sentAt, reply);
    if (isCurrent && (reply.sole & SOLE.made) !== 0) {
      this.#share.cache.putEmpty(path);
      this.#share.learnSole(path, this.#share.order.now, reply);
    }
    return reply.attributes;
  }

  async mknod(path: ByteString, permissions: number, owner: tree.Owner, fifo: boolean): Promise<Attributes> {
    const sentAt = this.#share.order.now;
    const { reply } = await this.#share.mutate('mknod', { share: this.share, path, permissions, ...owner, fifo });
    this.#share.made(path, sentAt, reply);
    return reply.attributes;
  }

  async symlink(path: ByteString, target: Uint8Array, owner: tree.Owner): Promise<Attributes> {
    const sentAt = this.#share.order.now;
    const { reply } = await this.#share.mutate('symlink', { share: this.share, path, target, ...owner });
    this.#share.made(path, sentAt, reply);
    return reply.attributes;
  }

  async link(path: ByteString, handle: tree.Handle, newPath: ByteString): Promise<Attributes> {
    const sentAt = this.#share.order.now;
    const request = { share: this.share, path, newPath };
    const { reply } =
      handle === 0
        ? await this.#share.mutate('link', { ...request, handle: 0 })
        : await this.#handles.through(this.#handles.get(handle), false, (number) =>
            this.#share.call('link', { ...request, handle: number }),
          );
    this.#share.made(newPath, sentAt, reply);
    this.#share.changedFile(path);
    return this.#share.withUnwritten(reply.attributes);
  }

  async unlink(path: ByteString): Promise<void> {
    await this.#handles.hold(path);
    const before = this.#share.before(parentOf(path));
    const { reply } = await this.#removing(() => this.#share.call('unlink', { share: this.share, path }));
    this.#share.removed(path, before, reply);
    this.#handles.removed(path);
  }

  async rmdir(path: ByteString): Promise<void> {
    const before = this.#share.before(parentOf(path));
    try {
      const { reply } = await this.#removing(() => this.#share.call('rmdir', { share: this.share, path }));
      this.#share.cache.forgetBelow(path);
      this.#share.removed(path, before, reply);
      this.#directories.removed(path);
    } catch (error) {
      this.#share.endedBelow(path);
      throw error;
    }
  }

  async rename(path: ByteString, newPath: ByteString, flags: number): Promise<void> {
    await this.#handles.hold(newPath);
    const before = this.#share.before(parentOf(path));
    try {
      const { reply } = await this.#share.mutate('rename', { share: this.share, path, newPath, flags });
      const isExchange = (flags & RENAME.exchange) !== 0;
      this.#share.renamed(path, newPath, isExchange, before, reply);
      this.#handles.renamed(path, newPath, isExchange);
      this.#directories.renamed(path, newPath, isExchange);
    } catch (error) {
      this.#share.endedBelow(path, newPath);
      throw error;
    }
  }

  openKnown(path: ByteString, flags: number): OpenedRemoteFile | undefined {
    return this.#files.openKnown(path, flags);
  }

  open(path: ByteString, options: tree.OpenOptions): Promise<OpenedRemoteFile> {
    return this.#files.open(path, options);
  }

  async read(handle: tree.Handle, offset: number, length: number): Promise<Uint8Array> {
    const parts = await this.#files.read(handle, offset, length);
    const [only] = parts;
    return parts.length === 1 && only !== undefined ? only : Buffer.concat(parts);
  }

  readParts(handle: tree.Handle, offset: number, length: number): Promise<readonly Uint8Array[]> {
    return this.#files.read(handle, offset, length);
  }

  write(handle: tree.Handle, offset: number, bytes: Uint8Array): Promise<tree.WriteResult> {
    return this.#files.write(handle, offset, bytes);
  }

  fsync(handle: tree.Handle, dataOnly: boolean): Promise<void> {
    return this.#directories.has(handle)
      ? this.#directories.fsync(handle, dataOnly)
      : this.#files.fsync(handle, dataOnly);
  }

  flush(handle: tree.Handle, lockOwner: bigint): Promise<void> {
    return this.#files.flush(handle, lockOwner);
  }

  release(handle: tree.Handle): Promise<void> {
    return this.#directories.has(handle) ? this.#directories.release(handle) : this.#files.release(handle);
  }

  fallocate(handle: tree.Handle, mode: number, offset: number, length: number): Promise<void> {
    return this.#files.fallocate(handle, mode, offset, length);
  }

  seek(handle: tree.Handle, offset: number, whence: number): Promise<number> {
    return this.#files.seek(handle, offset, whence);
  }

  copyRange(
    source: tree.Handle,
    sourceOffset: number,
    target: tree.Handle,
    targetOffset: number,
    length: number,
  ): Promise<number> {
    return this.#files.copyRange(source, sourceOffset, target, targetOffset, length);
  }

  openDirectory(path: ByteString): Promise<tree.Handle> {
    return this.#directories.open(path);
  }

  readDirectory(handle: tree.Handle, cursor: bigint, maxEntries: number): Promise<tree.Listing> {
    return this.#directories.read(handle, cursor, maxEntries);
  }

  listedLeaseMs(handle: tree.Handle): number {
    return this.#directories.leaseMs(handle);
  }

  async getxattr(path: ByteString, name: ByteString): Promise<Uint8Array> {
    if (this.#hasNoXattrs(path)) throw new PeerfsError('ENODATA');
    const { reply } = await this.#share.call('getxattr', { share: this.share, path, name });
    return reply.value;
  }

  async setxattr(path: ByteString, name: ByteString, value: Uint8Array, flags: number): Promise<void> {
    await this.#share.mutate('setxattr', { share: this.share, path, name, value, flags });
    this.#share.changedFile(path);
  }

  async listxattr(path: ByteString): Promise<readonly ByteString[]> {
    if (this.#hasNoXattrs(path)) return [];
    const { reply } = await this.#share.call('listxattr', { share: this.share, path });
    return fromBytes(reply.names)
      .split('\0')
      .filter((name) => name !== '') as ByteString[];
  }

  async removexattr(path: ByteString, name: ByteString): Promise<void> {
    await this.#share.mutate('removexattr', { share: this.share, path, name });
    this.#share.changedFile(path);
  }

  lock(handle: tree.Handle, request: tree.LockRequest, waiting?: AbortSignal): Promise<void> {
    return this.#files.lock(handle, request, waiting);
  }

  testLock(handle: tree.Handle, range: tree.LockRange): Promise<tree.LockRange | undefined> {
    return this.#files.testLock(handle, range);
  }

  async #getattr(path: ByteString): Promise<Attributes> {
    const share = this.#share;
    await share.settled(path, true);
    const sentAt = share.order.now;
    try {
      const { reply, payload } = await this.#look(path);
      // An empty file comes with no more than its attributes: whether it may be read is not known.
      if (payload.length > 0) share.learnContents(path, sentAt, reply, payload, false);
      else share.learn(path, sentAt, reply);
      if (isRegular(reply.attributes)) this.#prefetch.looked(path);
      return share.withUnwritten(reply.attributes);
    } catch (error) {
      const parent = path.slice(0, Math.max(0, path.lastIndexOf('/'))) as ByteString;
      const isKnownMissing = codeOf(error) === 'ENOENT' && share.cache.isLeased(parent);
      if (isKnownMissing && share.order.isCurrent(path, sentAt, undefined)) share.cache.put(path, null);
      throw error;
    }
  }

  /** Asks for attributes, and for contents too if they are likely to be needed next. */
  #look(path: ByteString): Promise<CallResult<'look'>> {
    const wantBytes = this.#prefetch.lookBytes;
    if (wantBytes > 0) {
      return this.#share.call('look', { share: this.share, path, wantBytes }).then((looked) => {
        if (looked.payload.length <= wantBytes) return looked;
        throw new PeerfsError('EIO', 'the peer sent more than was asked for');
      });
    }
    return this.#share.call('getattr', { share: this.share, path, handle: 0 });
  }

  #hasNoXattrs(path: ByteString): boolean {
    const known = this.#share.cache.get(path);
    return known !== null && known !== undefined && (known.flags & ATTRIBUTE_FLAGS.hasXattrs) === 0;
  }

  /** Removing twice is as good as once: if the peer restarted meanwhile it is done again. */
  async #removing<T>(remove: () => Promise<T>): Promise<T> {
    try {
      return await remove();
    } catch (error) {
      if (codeOf(error) !== 'OUTCOME_UNKNOWN') throw error;
    }
    try {
      return await remove();
    } catch (error) {
      // Whether it was us or somebody else, it is gone; but the caller must not be told a lie.
      throw codeOf(error) === 'ENOENT' ? new PeerfsError('EIO', 'outcome unknown', { cause: error }) : error;
    }
  }
}
