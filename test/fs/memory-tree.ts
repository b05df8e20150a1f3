/**
 * A Tree in memory with the semantics of Linux: the model that other trees are held against, and what stands under
 * the serving side in tests that need no disk. Deterministic: time comes from the clock given.
 *
 * `local` is the same tree as a program of that machine sees it: what is changed through it is told to the listeners
 * of onChange, as inotify would.
 */
import { isName, nameOf, parentOf, PATH_MAX_BYTES, type ByteString } from '../../src/bytestring.ts';
import { systemClock, type Clock } from '../../src/clock.ts';
import { codeOf, PeerfsError, type ErrorCode } from '../../src/errors.ts';
import { LockTable } from '../../src/fs/local-locks.ts';
import type * as tree from '../../src/fs/tree.ts';
import { ListingWriter } from '../../src/wire/listing.ts';
import {
  ATTRIBUTE_FLAGS,
  FALLOCATE,
  LIMITS,
  OPEN,
  RECALL,
  RENAME,
  SEEK,
  XATTR,
  type Attributes,
  type DirectoryEntry,
} from '../../src/wire/schema.ts';
import { MemoryData } from './memory-data.ts';

const S_IFMT = 0o170000;
const S_IFIFO = 0o010000;
const S_IFDIR = 0o040000;
const S_IFREG = 0o100000;
const S_IFLNK = 0o120000;

interface MemoryTreeOptions {
  readonly clock?: Clock;
  /** Default true. */
  readonly writable?: boolean;
  /** Default 'user': as LocalTree. */
  readonly idmap?: 'user' | 'none';
  /** Called before each operation; what it throws, the operation fails with. */
  readonly fault?: (method: keyof tree.Tree) => void;
  readonly maxHandles?: number;
}

interface Inode {
  readonly number: bigint;
  mode: number;
  uid: number;
  gid: number;
  nlink: number;
  atime: tree.FileTime;
  mtime: tree.FileTime;
  ctime: tree.FileTime;
  readonly birth: tree.FileTime;
  readonly data: MemoryData;
  /** Of a directory. */
  readonly names: Map<ByteString, { inode: Inode; cursor: bigint }>;
  readonly target: Uint8Array;
  readonly xattrs: Map<ByteString, Uint8Array>;
  parent: Inode | undefined;
}

interface OpenHandle {
  readonly inode: Inode;
  readonly flags: number;
  readonly directory: boolean;
}

export interface MemoryTree extends tree.WatchedTree {
  readonly local: tree.Tree;
  /** How many handles are open. */
  readonly handleCount: number;
}

export function createMemoryTree(options: MemoryTreeOptions = {}): MemoryTree {
  return new Memory(options);
}

const fail = (code: ErrorCode): never => {
  throw new PeerfsError(code);
};

class Memory implements MemoryTree {
  readonly local: tree.Tree;
  readonly #clock: Clock;
  readonly #writable: boolean;
  readonly #idmap: 'user' | 'none';
  readonly #fault: (method: keyof tree.Tree) => void;
  readonly #maxHandles: number;
  readonly #root: Inode;
  readonly #handles = new Map<tree.Handle, OpenHandle>();
  readonly #locks: LockTable;
  readonly #watches = new Map<ByteString, number>();
  readonly #listeners = new Set<(change: tree.TreeChange) => void>();
  #nextInode = 1n;
  #nextHandle = 1;
  #nextCursor = 1n;
  #ticks = 0;
  #byLocal = false;

  constructor(options: MemoryTreeOptions) {
    this.#clock = options.clock ?? systemClock;
    this.#writable = options.writable ?? true;
    this.#idmap = options.idmap ?? 'user';
    this.#fault = options.fault ?? (() => undefined);
    this.#maxHandles = options.maxHandles ?? 4096;
    this.#locks = new LockTable(this.#clock);
    this.#root = this.#newInode(S_IFDIR | 0o755, { uid: 1000, gid: 1000 });
    this.local = new Proxy<tree.Tree>(this, {
      get: (_target, key: keyof tree.Tree) => {
        const method = this[key] as (...args: unknown[]) => unknown;
        return (...args: unknown[]) => {
          this.#byLocal = true;
          try {
            return method.apply(this, args);
          } finally {
            this.#byLocal = false;
          }
        };
      },
    });
  }

  get handleCount(): number {
    return this.#handles.size;
  }

  async statfs(path: ByteString): Promise<tree.FileSystemStatus> {
    this.#fault('statfs');
    this.#find(path);
    const blocks = 2 ** 30;
    return {
      blockSize: 4096,
      blocks,
      blocksFree: blocks / 2,
      blocksAvailable: blocks / 2,
      files: 2 ** 24,
      filesFree: 2 ** 23,
      nameMax: 255,
    };
  }

  async getattr(path: ByteString, handle: tree.Handle): Promise<Attributes> {
    this.#fault('getattr');
    return attributesOf(this.#target(path, handle));
  }

  async setattr(path: ByteString, handle: tree.Handle, change: tree.AttributeChange): Promise<Attributes> {
    this.#begin('setattr');
    const inode = this.#target(path, handle);
    const now = this.#now();
    if (change.size !== undefined) {
      if (isDirectory(inode)) fail('EISDIR');
      if (isLink(inode)) fail('ELOOP');
      if ((inode.mode & S_IFMT) !== S_IFREG) fail('EINVAL');
      if (handle !== 0 && (this.#handle(handle).flags & OPEN.write) === 0) fail('EINVAL');
    }
    const owned = change.uid ?? change.gid;
    if (owned !== undefined && this.#idmap === 'user') {
      if ((change.uid ?? inode.uid) !== inode.uid || (change.gid ?? inode.gid) !== inode.gid) fail('EPERM');
    }
    if (change.mode !== undefined) {
      if (isLink(inode)) fail('EOPNOTSUPP');
      inode.mode = (inode.mode & S_IFMT) | this.#permitted(change.mode);
    }
    inode.uid = change.uid ?? inode.uid;
    inode.gid = change.gid ?? inode.gid;
    if (change.size !== undefined) {
      inode.data.truncate(change.size);
      inode.mtime = now;
    }
    if (change.atime !== undefined) inode.atime = change.atime === 'now' ? now : change.atime;
    if (change.mtime !== undefined) inode.mtime = change.mtime === 'now' ? now : change.mtime;
    inode.ctime = now;
    this.#told(path, change.size === undefined ? RECALL.attributes : RECALL.attributes | RECALL.contents);
    return attributesOf(inode);
  }

  async readlink(path: ByteString): Promise<Uint8Array> {
    this.#fault('readlink');
    const inode = this.#find(path);
    if (!isLink(inode)) fail('EINVAL');
    return inode.target.slice();
  }

  async mkdir(path: ByteString, permissions: number, owner: tree.Owner): Promise<Attributes> {
    this.#begin('mkdir');
    return attributesOf(this.#create(path, S_IFDIR | this.#permitted(permissions), owner));
  }

  async mknod(path: ByteString, permissions: number, owner: tree.Owner, fifo: boolean): Promise<Attributes> {
    this.#begin('mknod');
    return attributesOf(this.#create(path, (fifo ? S_IFIFO : S_IFREG) | this.#permitted(permissions), owner));
  }

  async symlink(path: ByteString, target: Uint8Array, owner: tree.Owner): Promise<Attributes> {
    this.#begin('symlink');
    if (target.length === 0) fail('ENOENT');
    if (target.length > PATH_MAX_BYTES) fail('ENAMETOOLONG');
    return attributesOf(this.#create(path, S_IFLNK | 0o777, owner, target.slice()));
  }

  async link(path: ByteString, handle: tree.Handle, newPath: ByteString): Promise<Attributes> {
    this.#begin('link');
    const inode = this.#target(path, handle);
    const directory = this.#directory(parentOf(newPath));
    const name = this.#lastName(newPath);
    if (directory.names.has(name)) fail('EEXIST');
    if (isDirectory(inode)) fail('EPERM');
    if (inode.nlink === 0) fail('ENOENT');
    inode.nlink++;
    inode.ctime = this.#now();
    this.#put(directory, name, inode);
    this.#toldEntry(newPath);
    return attributesOf(inode);
  }

  async unlink(path: ByteString): Promise<void> {
    this.#begin('unlink');
    const directory = this.#directory(parentOf(path));
    const name = this.#lastName(path, 'EISDIR');
    const inode = directory.names.get(name)?.inode ?? fail('ENOENT');
    if (isDirectory(inode)) fail('EISDIR');
    this.#remove(directory, name, inode);
    this.#toldEntry(path);
  }

  async rmdir(path: ByteString): Promise<void> {
    this.#begin('rmdir');
    const directory = this.#directory(parentOf(path));
    const name = this.#lastName(path, 'EBUSY');
    const inode = directory.names.get(name)?.inode ?? fail('ENOENT');
    if (!isDirectory(inode)) fail('ENOTDIR');
    if (inode.names.size > 0) fail('ENOTEMPTY');
    this.#remove(directory, name, inode);
    this.#toldEntry(path, true);
  }

  async rename(path: ByteString, newPath: ByteString, flags: number): Promise<void> {
    this.#begin('rename');
    if ((flags & RENAME.noReplace) !== 0 && (flags & RENAME.exchange) !== 0) fail('EINVAL');
    const source = this.#directory(parentOf(path));
    const target = this.#directory(parentOf(newPath));
    const from = this.#lastName(path, 'EBUSY');
    const to = this.#lastName(newPath, 'EBUSY');
    const inode = source.names.get(from)?.inode ?? fail('ENOENT');
    const present = target.names.get(to)?.inode;
    const exchanges = (flags & RENAME.exchange) !== 0;
    // In the kernel's order of judging.
    if (present !== undefined && (flags & RENAME.noReplace) !== 0) fail('EEXIST');
    if (present === undefined && exchanges) fail('ENOENT');
    if (isDirectory(inode) && isWithin(target, inode)) fail('EINVAL');
    if (present !== undefined && isWithin(source, present)) fail(exchanges ? 'EINVAL' : 'ENOTEMPTY');
    if (present === inode) return;
    if (present !== undefined && !exchanges) {
      if (isDirectory(inode) && !isDirectory(present)) fail('ENOTDIR');
      if (!isDirectory(inode) && isDirectory(present)) fail('EISDIR');
      if (present.names.size > 0) fail('ENOTEMPTY');
      this.#remove(target, to, present);
    }
    this.#take(source, from);
    if (present !== undefined && exchanges) {
      this.#take(target, to);
      this.#put(source, from, present);
      present.ctime = this.#now();
    }
    this.#put(target, to, inode);
    inode.ctime = this.#now();
    this.#toldEntry(path, isDirectory(inode));
    this.#toldEntry(newPath, isDirectory(inode));
  }

  async open(path: ByteString, options: tree.OpenOptions): Promise<tree.OpenedFile> {
    this.#fault('open');
    const { flags } = options;
    const writing = (flags & (OPEN.write | OPEN.append | OPEN.truncate | OPEN.create)) !== 0;
    let inode = this.#lookup(path);
    const created = inode === undefined;
    if (inode === undefined) {
      if ((flags & OPEN.create) === 0) fail('ENOENT');
      this.#refuseIfReadOnly();
      inode = this.#create(path, S_IFREG | this.#permitted(options.permissions), options);
    } else {
      if ((flags & OPEN.create) !== 0 && (flags & OPEN.exclusive) !== 0) fail('EEXIST');
      if (isLink(inode)) fail('ELOOP');
      if (isDirectory(inode)) fail('EISDIR');
      if ((inode.mode & S_IFMT) !== S_IFREG) fail('ENXIO');
      if (writing && (flags & (OPEN.write | OPEN.truncate)) !== 0) this.#refuseIfReadOnly();
      if ((flags & OPEN.truncate) !== 0) {
        inode.data.truncate(0);
        this.#modified(inode);
        this.#told(path, RECALL.attributes | RECALL.contents);
      }
    }
    const handle = this.#newHandle({ inode, flags, directory: false });
    const firstBytes =
      (flags & OPEN.read) === 0 || options.wantBytes === 0 ? new Uint8Array() : inode.data.read(0, options.wantBytes);
    return { handle, created, attributes: attributesOf(inode), firstBytes };
  }

  async createFile(
    path: ByteString,
    options: Omit<tree.OpenOptions, 'wantBytes'>,
    bytes: Uint8Array,
    change: tree.AttributeChange,
    wantsDirectory: boolean,
  ): Promise<tree.CreatedFile> {
    const { handle, created } = await this.open(path, { ...options, wantBytes: 0 });
    let failure: ErrorCode | undefined;
    try {
      if (bytes.length > 0) await this.write(handle, 0, bytes);
      if (Object.keys(change).length > 0) await this.setattr(path, handle, change);
    } catch (error) {
      failure = codeOf(error);
    }
    const directory = wantsDirectory ? await this.getattr(parentOf(path), 0) : undefined;
    return { handle, created, attributes: await this.getattr(path, handle), failure, directory };
  }

  async read(handle: tree.Handle, offset: number, length: number): Promise<Uint8Array> {
    this.#fault('read');
    const { inode, flags } = this.#file(handle);
    if ((flags & OPEN.read) === 0) fail('EBADF');
    return inode.data.read(offset, length);
  }

  async look(path: ByteString, room: number): Promise<tree.LookedAt> {
    this.#fault('getattr');
    const inode = this.#target(path, 0);
    const isSmall = (inode.mode & S_IFMT) === S_IFREG && inode.nlink === 1 && inode.data.size <= room;
    const contents = isSmall ? inode.data.read(0, inode.data.size) : new Uint8Array();
    return { attributes: attributesOf(inode), contents };
  }

  async readFiles(directory: ByteString, names: readonly ByteString[], room: number): Promise<tree.ReadFiles> {
    this.#fault('open');
    const { names: there } = this.#directory(directory);
    const files: tree.ReadFile[] = [];
    const parts: Uint8Array[] = [];
    let left = room;
    for (const [position, name] of names.entries()) {
      const inode = there.get(name)?.inode;
      if (inode === undefined || (inode.mode & S_IFMT) !== S_IFREG || inode.nlink > 1 || inode.data.size > left)
        continue;
      files.push({ position, attributes: attributesOf(inode) });
      parts.push(inode.data.read(0, inode.data.size));
      left -= inode.data.size;
    }
    return { files, bytes: Buffer.concat(parts) };
  }

  async write(handle: tree.Handle, offset: number, bytes: Uint8Array): Promise<tree.FinalWrite> {
    this.#begin('write');
    const { inode, flags } = this.#file(handle);
    if ((flags & OPEN.write) === 0) fail('EBADF');
    const start = (flags & OPEN.append) !== 0 ? inode.data.size : offset;
    if (start + bytes.length > Number.MAX_SAFE_INTEGER) fail('EFBIG');
    inode.data.write(start, bytes);
    this.#modified(inode);
    this.#toldInode(inode, RECALL.attributes | RECALL.contents);
    const { size, mtimeSec, mtimeNsec } = attributesOf(inode);
    return { size, mtimeSec, mtimeNsec, end: start + bytes.length };
  }

  async fsync(handle: tree.Handle, _dataOnly: boolean): Promise<void> {
    this.#fault('fsync');
    this.#handle(handle);
  }

  async flush(handle: tree.Handle, lockOwner: bigint): Promise<void> {
    this.#fault('flush');
    this.#locks.releaseOwner(keyOf(this.#file(handle).inode), lockOwner);
  }

  async release(handle: tree.Handle): Promise<void> {
    const open = this.#handles.get(handle);
    if (open === undefined) return;
    this.#handles.delete(handle);
    this.#locks.releaseHandle(keyOf(open.inode), handle);
  }

  async fallocate(handle: tree.Handle, mode: number, offset: number, length: number): Promise<void> {
    this.#begin('fallocate');
    const { inode, flags } = this.#file(handle);
    if ((flags & OPEN.write) === 0) fail('EBADF');
    if (length <= 0) fail('EINVAL');
    const keepSize = (mode & FALLOCATE.keepSize) !== 0;
    const punch = (mode & FALLOCATE.punchHole) !== 0;
    if ((punch && (!keepSize || (mode & FALLOCATE.zeroRange) !== 0)) || mode > 19) fail('EOPNOTSUPP');
    if (punch || (mode & FALLOCATE.zeroRange) !== 0) {
      inode.data.clear(offset, Math.min(offset + length, inode.data.size));
    }
    if (!keepSize) inode.data.truncate(Math.max(inode.data.size, offset + length));
    this.#modified(inode);
    this.#toldInode(inode, RECALL.attributes | RECALL.contents);
  }

  async seek(handle: tree.Handle, offset: number, whence: number): Promise<number> {
    this.#fault('seek');
    return this.#file(handle).inode.data.seek(offset, whence === SEEK.data) ?? fail('ENXIO');
  }

  async copyRange(
    source: tree.Handle,
    sourceOffset: number,
    target: tree.Handle,
    targetOffset: number,
    length: number,
  ): Promise<number> {
    this.#begin('copyRange');
    const from = this.#file(source);
    const to = this.#file(target);
    if ((from.flags & OPEN.read) === 0 || (to.flags & OPEN.write) === 0) fail('EBADF');
    if ((to.flags & OPEN.append) !== 0) fail('EBADF');
    if (from.inode === to.inode && Math.abs(sourceOffset - targetOffset) < length) fail('EINVAL');
    const bytes = from.inode.data.read(sourceOffset, length);
    to.inode.data.write(targetOffset, bytes);
    this.#modified(to.inode);
    this.#toldInode(to.inode, RECALL.attributes | RECALL.contents);
    return bytes.length;
  }

  async openDirectory(path: ByteString): Promise<tree.Handle> {
    this.#fault('openDirectory');
    const inode = this.#find(path);
    if (isLink(inode)) fail('ELOOP');
    if (!isDirectory(inode)) fail('ENOTDIR');
    return this.#newHandle({ inode, flags: OPEN.read, directory: true });
  }

  async readDirectory(handle: tree.Handle, cursor: bigint, maxEntries: number): Promise<tree.Listing> {
    this.#fault('readDirectory');
    const open = this.#handle(handle);
    if (!open.directory) fail('ENOTDIR');
    const entries: DirectoryEntry[] = [];
    for (const [name, row] of open.inode.names) {
      if (row.cursor <= cursor) continue;
      if (entries.length === maxEntries) return { entries, end: false };
      entries.push({ name, cursor: row.cursor, attributes: attributesOf(row.inode) });
    }
    return { entries, end: true };
  }

  async listDirectory(path: ByteString, maxEntries: number, keep: boolean): Promise<tree.ListedDirectory> {
    const handle = await this.openDirectory(path);
    const page = await this.readPage(handle, 0n, maxEntries);
    if (keep && !page.end) return { ...page, handle };
    await this.release(handle);
    return { ...page, handle: 0 };
  }

  async readPage(handle: tree.Handle, cursor: bigint, maxEntries: number): Promise<tree.ListingPage> {
    const { entries, end } = await this.readDirectory(handle, cursor, maxEntries);
    const writer = new ListingWriter(LIMITS.pieceBytes);
    writer.begin(LIMITS.pieceBytes);
    let next = cursor;
    for (const entry of entries) {
      if (!writer.add(entry)) return { bytes: writer.page(), count: writer.count, next, end: false };
      next = entry.cursor;
    }
    return { bytes: writer.page(), count: writer.count, next, end };
  }

  async getxattr(path: ByteString, name: ByteString): Promise<Uint8Array> {
    this.#fault('getxattr');
    const value = this.#find(path).xattrs.get(name) ?? fail('ENODATA');
    return value.slice();
  }

  async setxattr(path: ByteString, name: ByteString, value: Uint8Array, flags: number): Promise<void> {
    this.#begin('setxattr');
    const inode = this.#find(path);
    if (!name.startsWith('user.')) fail('EOPNOTSUPP');
    if (isLink(inode) || (inode.mode & S_IFMT) === S_IFIFO) fail('EPERM');
    if ((flags & XATTR.create) !== 0 && inode.xattrs.has(name)) fail('EEXIST');
    if ((flags & XATTR.replace) !== 0 && !inode.xattrs.has(name)) fail('ENODATA');
    inode.xattrs.set(name, value.slice());
    inode.ctime = this.#now();
    this.#told(path, RECALL.attributes);
  }

  async listxattr(path: ByteString): Promise<readonly ByteString[]> {
    this.#fault('listxattr');
    return [...this.#find(path).xattrs.keys()];
  }

  async removexattr(path: ByteString, name: ByteString): Promise<void> {
    this.#begin('removexattr');
    const inode = this.#find(path);
    if (!inode.xattrs.delete(name)) fail('ENODATA');
    inode.ctime = this.#now();
    this.#told(path, RECALL.attributes);
  }

  async lock(handle: tree.Handle, request: tree.LockRequest, waiting?: AbortSignal): Promise<void> {
    this.#fault('lock');
    await this.#locks.lock(keyOf(this.#file(handle).inode), handle, request, waiting);
  }

  async testLock(handle: tree.Handle, range: tree.LockRange): Promise<tree.LockRange | undefined> {
    this.#fault('testLock');
    return this.#locks.test(keyOf(this.#file(handle).inode), handle, range);
  }

  async watch(directory: ByteString): Promise<boolean> {
    const inode = this.#lookup(directory);
    if (inode === undefined || !isDirectory(inode)) return false;
    this.#watches.set(directory, (this.#watches.get(directory) ?? 0) + 1);
    return true;
  }

  unwatch(directory: ByteString): void {
    const count = this.#watches.get(directory) ?? 0;
    if (count > 1) this.#watches.set(directory, count - 1);
    else this.#watches.delete(directory);
  }

  onChange(listener: (change: tree.TreeChange) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async close(): Promise<void> {
    for (const handle of [...this.#handles.keys()]) await this.release(handle);
    this.#locks.close();
    this.#listeners.clear();
    this.#watches.clear();
  }

  /** The start of every operation that changes something. */
  #begin(method: keyof tree.Tree): void {
    this.#fault(method);
    this.#refuseIfReadOnly();
  }

  #refuseIfReadOnly(): void {
    if (!this.#writable) fail('EROFS');
  }

  #permitted(permissions: number): number {
    return permissions & (this.#idmap === 'user' ? 0o1777 : 0o7777);
  }

  /** Every call later than the one before, by a nanosecond at least. */
  #now(): tree.FileTime {
    const ms = Math.floor(this.#clock.wallMs());
    this.#ticks = (this.#ticks + 1) % 1_000_000;
    return { sec: Math.floor(ms / 1000), nsec: (ms % 1000) * 1_000_000 + this.#ticks };
  }

  #newInode(mode: number, owner: tree.Owner, target: Uint8Array = new Uint8Array()): Inode {
    const now = this.#now();
    const { uid, gid } = this.#idmap === 'user' ? { uid: 1000, gid: 1000 } : owner;
    return {
      number: this.#nextInode++,
      mode,
      uid,
      gid,
      nlink: (mode & S_IFMT) === S_IFDIR ? 2 : 1,
      atime: now,
      mtime: now,
      ctime: now,
      birth: now,
      data: new MemoryData(),
      names: new Map(),
      target,
      xattrs: new Map(),
      parent: undefined,
    };
  }

  #create(path: ByteString, mode: number, owner: tree.Owner, target?: Uint8Array): Inode {
    const directory = this.#directory(parentOf(path));
    const name = this.#lastName(path);
    if (directory.names.has(name)) fail('EEXIST');
    const inode = this.#newInode(mode, owner, target);
    this.#put(directory, name, inode);
    this.#toldEntry(path);
    return inode;
  }

  #put(directory: Inode, name: ByteString, inode: Inode): void {
    directory.names.set(name, { inode, cursor: this.#nextCursor++ });
    this.#modified(directory);
    if (!isDirectory(inode)) return;
    inode.parent = directory;
    directory.nlink++;
  }

  #take(directory: Inode, name: ByteString): void {
    const inode = directory.names.get(name)?.inode;
    directory.names.delete(name);
    this.#modified(directory);
    if (inode !== undefined && isDirectory(inode)) directory.nlink--;
  }

  #remove(directory: Inode, name: ByteString, inode: Inode): void {
    this.#take(directory, name);
    inode.nlink -= isDirectory(inode) ? 2 : 1;
    inode.ctime = this.#now();
  }

  #modified(inode: Inode): void {
    inode.mtime = this.#now();
    inode.ctime = inode.mtime;
  }

  #lastName(path: ByteString, ofRoot: ErrorCode = 'EEXIST'): ByteString {
    if (path === '') fail(ofRoot);
    const name = nameOf(path);
    if (name.length > 255) fail('ENAMETOOLONG');
    if (!isName(name)) fail('EINVAL');
    return name;
  }

  #lookup(path: ByteString): Inode | undefined {
    if (path === '') return this.#root;
    return this.#directory(parentOf(path)).names.get(this.#lastName(path))?.inode;
  }

  #find(path: ByteString): Inode {
    return this.#lookup(path) ?? fail('ENOENT');
  }

  #directory(path: ByteString): Inode {
    let inode = this.#root;
    if (path === '') return inode;
    for (const name of path.split('/') as ByteString[]) {
      if (name.length > 255) fail('ENAMETOOLONG');
      inode = inode.names.get(name)?.inode ?? fail('ENOENT');
      if (isLink(inode)) fail('ELOOP');
      if (!isDirectory(inode)) fail('ENOTDIR');
    }
    return inode;
  }

  #target(path: ByteString, handle: tree.Handle): Inode {
    return handle === 0 ? this.#find(path) : this.#handle(handle).inode;
  }

  #newHandle(open: OpenHandle): tree.Handle {
    if (this.#handles.size >= this.#maxHandles) fail('EMFILE');
    const handle = this.#nextHandle++;
    this.#handles.set(handle, open);
    return handle;
  }

  #handle(handle: tree.Handle): OpenHandle {
    return this.#handles.get(handle) ?? fail('EBADF');
  }

  #file(handle: tree.Handle): OpenHandle {
    const open = this.#handle(handle);
    return open.directory ? fail('EISDIR') : open;
  }

  #emit(path: ByteString, what: number): void {
    for (const listener of [...this.#listeners]) listener({ path, what });
  }

  /** A file changed under this path. */
  #told(path: ByteString, what: number): void {
    if (!this.#byLocal || !this.#watches.has(parentOf(path))) return;
    this.#emit(path, what);
  }

  #toldInode(inode: Inode, what: number): void {
    if (!this.#byLocal) return;
    for (const directory of this.#watches.keys()) {
      for (const [name, row] of this.#directory(directory).names) {
        if (row.inode === inode) this.#emit((directory === '' ? name : `${directory}/${name}`) as ByteString, what);
      }
    }
  }

  /** A name came or went. */
  #toldEntry(path: ByteString, wasDirectory = false): void {
    const told = this.#byLocal && this.#watches.has(parentOf(path));
    if (told) this.#emit(parentOf(path), RECALL.entries | RECALL.attributes);
    if (wasDirectory) {
      if (told || (this.#byLocal && this.#watches.has(path))) this.#emit(path, RECALL.subtree);
      for (const watch of [...this.#watches.keys()]) {
        if (watch === path || watch.startsWith(`${path}/`)) this.#watches.delete(watch);
      }
    } else if (told) {
      this.#emit(path, RECALL.attributes | RECALL.contents);
    }
  }
}

const isDirectory = (inode: Inode) => (inode.mode & S_IFMT) === S_IFDIR;
const isLink = (inode: Inode) => (inode.mode & S_IFMT) === S_IFLNK;
const keyOf = (inode: Inode) => inode.number.toString();

function isWithin(directory: Inode, ancestor: Inode): boolean {
  for (let at: Inode | undefined = directory; at !== undefined; at = at.parent) if (at === ancestor) return true;
  return false;
}

function attributesOf(inode: Inode): Attributes {
  return {
    inode: inode.number,
    device: 1n,
    mode: inode.mode,
    nlink: inode.nlink,
    uid: inode.uid,
    gid: inode.gid,
    size: isLink(inode) ? inode.target.length : isDirectory(inode) ? 4096 : inode.data.size,
    blocks: inode.data.blocks,
    blksize: 4096,
    atimeSec: inode.atime.sec,
    atimeNsec: inode.atime.nsec,
    mtimeSec: inode.mtime.sec,
    mtimeNsec: inode.mtime.nsec,
    ctimeSec: inode.ctime.sec,
    ctimeNsec: inode.ctime.nsec,
    birthSec: inode.birth.sec,
    birthNsec: inode.birth.nsec,
    flags: inode.xattrs.size > 0 ? ATTRIBUTE_FLAGS.hasXattrs : 0,
  };
}
