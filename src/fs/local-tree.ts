/**
 * LocalTree: the Tree over a folder of this machine that is shared, seen from the main thread. What touches names runs
 * on a disk thread (src/fs/local-core.ts says how, src/fs/local-root.ts how it is confined); data goes by descriptor
 * through libuv's pool without crossing threads.
 *
 * Owns: the order of data and release on each handle, appends, and which changes to files are our own writes.
 */
import * as fs from 'node:fs';
import { promisify } from 'node:util';
import { fromText, parentOf, type ByteString } from '../bytestring.ts';
import { systemClock, type Clock } from '../clock.ts';
import { codeOf, PeerfsError, type ErrorCode } from '../errors.ts';
import { recycle, takeFrame } from '../frame-pool.ts';
import { silentLogger, type Logger } from '../log.ts';
import { copyRange, isInMemory, readAt, readCached, seek, WHENCE } from '../sys/file-data.ts';
import { versionOf } from '../sys/files.ts';
import { ListingReader, MAX_RECORD_BYTES } from '../wire/listing.ts';
import { FALLOCATE, LIMITS, OPEN, RECALL, type Attributes } from '../wire/schema.ts';
import { openDiskTree, type DiskTree } from './disk-thread.ts';
import { fileKey, PACKED_NUMBERS, unpackAttributes } from './local-attributes.ts';
import { LocalWrites } from './local-writes.ts';
import { packRequest, unpackAnswer } from './packed-creation.ts';
import { QuotaWords, type Quota } from './quota.ts';
import type {
  AttributeChange,
  CreatedFile,
  FileSystemStatus,
  Handle,
  ListedDirectory,
  Listing,
  ListingPage,
  LockRange,
  LockRequest,
  LookedAt,
  OpenedFile,
  OpenOptions,
  Owner,
  ReadFile,
  ReadFiles,
  TreeChange,
  WatchedTree,
  FinalWrite,
} from './tree.ts';
import { WriteRoom } from './write-room.ts';

/** Open files and directories of one tree, of all who use it: a last bound, those of peers are src/fs/served-handles.ts's. */
const MAX_HANDLES = 65_536;
/** inotify tells of a write up to this long after it, milliseconds. */
const OWN_WRITE_MS = 100;
/** Reads up to this size are tried at once: copying them is cheaper than asking another thread. Bytes. */
const CACHED_BYTES = 64 * 1024;
/** Small files that the disk thread reads before others have their turn. */
const FILES_AT_ONCE = 16;
/** Entries of a directory that the disk thread lists before others have their turn. */
const ENTRIES_AT_ONCE = 512;
/** Files made by one call up to this size are written by the thread that opens them, bytes. */
const CREATED_BYTES = 64 * 1024;
/** Reads up to this size take their memory from Node's pool, bytes. */
const POOLED_BYTES = 4096;

export interface LocalTreeOptions {
  /** Absolute path of the folder, as the user gave it. */
  readonly root: string;
  readonly writable: boolean;
  /** user: files belong to the serving user, no set-id bits, no chown. none: numeric ids pass as they are (root only). */
  readonly idmap: 'user' | 'none';
  /** Whether file systems mounted below the folder are part of it. Default false. */
  readonly crossMounts?: boolean;
  readonly clock?: Clock;
  readonly log?: Logger;
  readonly maxHandles?: number;
  /** What the folder may hold. Default: as much as the disk. */
  readonly quota?: Quota | undefined;
  /** For tests: resolve paths as on a kernel without openat2. */
  readonly walkOnly?: boolean;
}

export interface LocalTree extends WatchedTree {
  /** @param quota undefined: none any more. */
  setQuota(quota: Quota | undefined): Promise<void>;
  /** What the folder holds, as far as it is known; undefined where there is no quota. */
  readonly used: Quota | undefined;
}

/** Stands for no quota in a folder that had one. */
const NO_QUOTA: Quota = { bytes: Number.MAX_SAFE_INTEGER, names: Number.MAX_SAFE_INTEGER };

/** @throws PeerfsError ENOENT, ENOTDIR, EACCES if the folder cannot be opened. */
export async function createLocalTree(options: LocalTreeOptions): Promise<LocalTree> {
  const tree = new Local(options);
  await tree.start();
  return tree;
}

const readFd = promisify(fs.read);
const writeFd = promisify(fs.write);
const fsyncFd = promisify(fs.fsync);
const fdatasyncFd = promisify(fs.fdatasync);

interface LocalHandle {
  readonly descriptor: number;
  readonly flags: number;
  /** Same text for the same inode; '' for directories. */
  readonly file: string;
  /** Calls that use the descriptor now. */
  running: number;
  /** Set when the handle is released while calls run: called with the last. */
  idle: (() => void) | undefined;
  /** How to read without waiting: as the kernel says what it has, at once, or not at all. */
  reads: 'cached' | 'at once' | 'elsewhere';
  /** Since the first write. */
  writes: LocalWrites | undefined;
  /** The last append, after which the next begins. */
  appended: Promise<unknown>;
}

/** Reads on this thread what can be read without waiting. @returns bytes read; 0 if it is better done elsewhere. */
function readNow(open: LocalHandle, bytes: Uint8Array, offset: number): number {
  if (open.reads === 'cached') {
    const done = readCached(open.descriptor, bytes, offset);
    if (done !== undefined) return done;
    open.reads = isInMemory(open.descriptor) ? 'at once' : 'elsewhere';
  }
  return open.reads === 'at once' ? readAt(open.descriptor, bytes, offset) : 0;
}

class Local implements LocalTree {
  readonly #options: LocalTreeOptions;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #handles = new Map<Handle, LocalHandle>();
  readonly #listeners = new Set<(change: TreeChange) => void>();
  /** Files we write: how many writes run, and when the last ended. */
  readonly #writes = new Map<string, { running: number; endedAt: number }>();
  #disk: DiskTree | undefined;
  #quota: { readonly words: QuotaWords; readonly room: WriteRoom } | undefined;

  constructor(options: LocalTreeOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#log = options.log ?? silentLogger;
  }

  async start(): Promise<void> {
    const { root, writable, idmap, crossMounts = false, maxHandles = MAX_HANDLES, walkOnly = false } = this.#options;
    this.#disk = await openDiskTree(
      { root: fromText(root), writable, keepsIds: idmap === 'none', crossMounts, maxHandles, walkOnly },
      (change, file) => this.#changed(change, file),
    );
    if (this.#options.quota !== undefined) await this.setQuota(this.#options.quota);
  }

  async setQuota(quota: Quota | undefined): Promise<void> {
    if (this.#quota !== undefined) this.#quota.words.limit = quota ?? NO_QUOTA;
    if (this.#quota !== undefined || quota === undefined) return;
    const words = new QuotaWords();
    words.limit = quota;
    const disk = this.#open;
    this.#quota = { words, room: new WriteRoom(words, disk) };
    await disk.call('limit', [words.memory]);
    // Nobody waits for it: a large folder takes its time, and whoever must know asks again.
    disk.call('recount', []).catch((error: unknown) => this.#log.debug('quota.count', { code: codeOf(error) }));
  }

  get used(): Quota | undefined {
    return this.#quota?.words.isCounted === true ? this.#quota.words.used : undefined;
  }

  async statfs(path: ByteString): Promise<FileSystemStatus> {
    if (this.#quota !== undefined) {
      const counted = this.#open.call('recount', []);
      // Small folders are counted before the next call; of a large one the last count is told.
      if (this.#quota.words.isCounted) counted.catch(() => undefined);
      else await counted;
    }
    return this.#open.call('statfs', [path]);
  }

  async getattr(path: ByteString, handle: Handle): Promise<Attributes> {
    return unpackAttributes(await this.#open.call('getattr', [path, handle]));
  }

  async setattr(path: ByteString, handle: Handle, change: AttributeChange): Promise<Attributes> {
    const set = () => this.#open.call('setattr', [path, handle, change]);
    const open = this.#handles.get(handle);
    return unpackAttributes(await (open === undefined ? set() : this.#writing(open, set)));
  }

  readlink(path: ByteString): Promise<Uint8Array> {
    return this.#open.call('readlink', [path]);
  }

  async mkdir(path: ByteString, permissions: number, owner: Owner): Promise<Attributes> {
    return unpackAttributes(await this.#open.call('mkdir', [path, permissions, owner]));
  }

  async mknod(path: ByteString, permissions: number, owner: Owner, fifo: boolean): Promise<Attributes> {
    return unpackAttributes(await this.#open.call('mknod', [path, permissions, owner, fifo]));
  }

  async symlink(path: ByteString, target: Uint8Array, owner: Owner): Promise<Attributes> {
    return unpackAttributes(await this.#open.call('symlink', [path, target, owner]));
  }

  async link(path: ByteString, handle: Handle, newPath: ByteString): Promise<Attributes> {
    return unpackAttributes(await this.#open.call('link', [path, handle, newPath]));
  }

  unlink(path: ByteString): Promise<void> {
    return this.#open.call('unlink', [path]);
  }

  rmdir(path: ByteString): Promise<void> {
    return this.#open.call('rmdir', [path]);
  }

  rename(path: ByteString, newPath: ByteString, flags: number): Promise<void> {
    return this.#open.call('rename', [path, newPath, flags]);
  }

  async open(path: ByteString, options: OpenOptions): Promise<OpenedFile> {
    const opened = await this.#open.call('open', [path, options]);
    const attributes = unpackAttributes(opened.attributes);
    this.#remember(opened.handle, opened.descriptor, options.flags, fileKey(attributes));
    return { handle: opened.handle, created: opened.created, attributes, firstBytes: opened.firstBytes };
  }

  async createFile(
    path: ByteString,
    options: Omit<OpenOptions, 'wantBytes'>,
    bytes: Uint8Array,
    change: AttributeChange,
    wantsDirectory: boolean,
  ): Promise<CreatedFile> {
    if (bytes.length > CREATED_BYTES) return this.#createLargeFile(path, options, bytes, change, wantsDirectory);
    // A copy of its own size: a view would cross with all of the memory that it is of.
    const whole = Uint8Array.prototype.slice.call(bytes);
    const request = packRequest({ options, change, wantsDirectory });
    const made = unpackAnswer(await this.#open.call('createFile', [path, request, whole]));
    this.#remember(made.handle, made.descriptor, options.flags, fileKey(made.attributes));
    return made;
  }

  async #createLargeFile(
    path: ByteString,
    options: Omit<OpenOptions, 'wantBytes'>,
    bytes: Uint8Array,
    change: AttributeChange,
    wantsDirectory: boolean,
  ): Promise<CreatedFile> {
    const { handle, created } = await this.open(path, { ...options, wantBytes: 0 });
    let failure: ErrorCode | undefined;
    try {
      await this.write(handle, 0, bytes);
      if (Object.keys(change).length > 0) await this.setattr(path, handle, change);
    } catch (error) {
      failure = codeOf(error);
    }
    try {
      const directory = wantsDirectory ? await this.getattr(parentOf(path), 0) : undefined;
      return { handle, created, attributes: await this.getattr(path, handle), failure, directory };
    } catch (error) {
      await this.release(handle);
      throw error;
    }
  }

  async read(handle: Handle, offset: number, length: number): Promise<Uint8Array> {
    const open = this.#handle(handle);
    if ((open.flags & OPEN.read) === 0) throw new PeerfsError('EBADF', 'not open for reading');
    const bytes = length <= POOLED_BYTES ? Buffer.allocUnsafe(length) : takeFrame(length);
    let done = length <= CACHED_BYTES ? readNow(open, bytes, offset) : 0;
    const isAll = done === length || (length <= CACHED_BYTES && open.reads === 'at once');
    if (!isAll && (done === 0 || offset + done < versionOf(open.descriptor).size)) {
      // Regular files alone are opened: less than asked for means the end.
      done = await this.#using(open, async () => (await readFd(open.descriptor, bytes, 0, length, offset)).bytesRead);
    }
    // A view keeps all of its memory: a short answer is worth a copy.
    if (done * 2 >= length) return bytes.subarray(0, done);
    const short = Uint8Array.prototype.slice.call(bytes, 0, done);
    recycle(bytes);
    return short;
  }

  async look(path: ByteString, room: number): Promise<LookedAt> {
    const { attributes, contents } = await this.#open.call('look', [path, room]);
    return { attributes: unpackAttributes(attributes), contents };
  }

  async readFiles(directory: ByteString, names: readonly ByteString[], room: number): Promise<ReadFiles> {
    const files: ReadFile[] = [];
    const parts: Uint8Array[] = [];
    let left = room;
    for (let from = 0; from < names.length; from += FILES_AT_ONCE) {
      const some = names.slice(from, from + FILES_AT_ONCE);
      const { positions, numbers, bytes } = await this.#open.call('readSmallFiles', [directory, some, left]);
      for (const [index, position] of positions.entries()) {
        files.push({ position: from + position, attributes: unpackAttributes(numbers, index * PACKED_NUMBERS) });
      }
      parts.push(bytes);
      left -= bytes.length;
    }
    const [only] = parts;
    return { files, bytes: parts.length === 1 && only !== undefined ? only : Buffer.concat(parts) };
  }

  async write(handle: Handle, offset: number, bytes: Uint8Array): Promise<FinalWrite> {
    const open = this.#handle(handle);
    if ((open.flags & OPEN.write) === 0) throw new PeerfsError('EBADF', 'not open for writing');
    const appends = (open.flags & OPEN.append) !== 0;
    const put = async () => {
      if (appends) return this.#append(open, bytes);
      open.writes ??= new LocalWrites(open.descriptor);
      await open.writes.write(offset, bytes);
      return { ...versionOf(open.descriptor), end: offset + bytes.length };
    };
    return this.#writing(open, this.#within(handle, open, appends ? undefined : offset, bytes.length, put));
  }

  async fsync(handle: Handle, dataOnly: boolean): Promise<void> {
    const open = this.#handle(handle);
    await this.#using(open, () => (dataOnly ? fdatasyncFd : fsyncFd)(open.descriptor));
  }

  flush(handle: Handle, lockOwner: bigint): Promise<void> {
    return this.#open.call('flush', [handle, lockOwner]);
  }

  async release(handle: Handle): Promise<void> {
    const open = this.#handles.get(handle);
    if (open === undefined) return;
    this.#handles.delete(handle);
    if (open.running > 0) await new Promise<void>((resolve) => (open.idle = resolve));
    await this.#disk?.call('release', [handle]).catch((error: unknown) => {
      this.#log.debug('local-release-failed', { code: codeOf(error) });
    });
  }

  async fallocate(handle: Handle, mode: number, offset: number, length: number): Promise<void> {
    const open = this.#handle(handle);
    const allocate = () => this.#open.call('fallocate', [handle, mode, offset, length]);
    const punches = (mode & FALLOCATE.punchHole) !== 0;
    await this.#writing(open, punches ? allocate : this.#within(handle, open, offset, length, allocate));
  }

  async seek(handle: Handle, offset: number, whence: number): Promise<number> {
    const open = this.#handle(handle);
    return this.#using(open, () => this.#open.call('seek', [handle, offset, whence]));
  }

  async copyRange(
    source: Handle,
    sourceOffset: number,
    target: Handle,
    targetOffset: number,
    length: number,
  ): Promise<number> {
    const from = this.#handle(source);
    const to = this.#handle(target);
    if (!this.#options.writable) throw new PeerfsError('EROFS');
    const copy = () => copyRange(from.descriptor, sourceOffset, to.descriptor, targetOffset, length);
    return this.#using(from, () => this.#writing(to, this.#within(target, to, targetOffset, length, copy)));
  }

  async openDirectory(path: ByteString): Promise<Handle> {
    const { handle, descriptor } = await this.#open.call('openDirectory', [path]);
    this.#remember(handle, descriptor, OPEN.read, '');
    return handle;
  }

  async readDirectory(handle: Handle, cursor: bigint, maxEntries: number): Promise<Listing> {
    const { bytes, count, end } = await this.readPage(handle, cursor, maxEntries);
    return { entries: new ListingReader(bytes, count).read(count), end };
  }

  async listDirectory(path: ByteString, maxEntries: number, keep: boolean): Promise<ListedDirectory> {
    const most = Math.min(maxEntries, ENTRIES_AT_ONCE);
    const wantsMore = maxEntries > most;
    const { handle, descriptor, ...first } = await this.#open.call('listDirectory', [path, most, keep || wantsMore]);
    if (handle === 0) return { ...first, handle };
    this.#remember(handle, descriptor, OPEN.read, '');
    let page: ListingPage;
    try {
      page = await this.#fill(handle, first, maxEntries);
    } catch (error) {
      await this.release(handle);
      throw error;
    }
    if (keep && !page.end) return { ...page, handle };
    await this.release(handle);
    return { ...page, handle: 0 };
  }

  async readPage(handle: Handle, cursor: bigint, maxEntries: number): Promise<ListingPage> {
    const open = this.#handle(handle);
    const empty = { bytes: new Uint8Array(0), count: 0, next: cursor, end: false };
    return this.#using(open, () => this.#fill(handle, empty, maxEntries));
  }

  /** Adds entries to a page until it is full, some at a time, so that others have their turn on the disk thread. */
  async #fill(handle: Handle, first: ListingPage, maxEntries: number): Promise<ListingPage> {
    const parts = first.count === 0 ? [] : [first.bytes];
    let { count, next, end } = first;
    let room = LIMITS.pieceBytes - first.bytes.length;
    let isFull = false;
    while (!end && !isFull && count < maxEntries && room >= MAX_RECORD_BYTES) {
      const most = Math.min(maxEntries - count, ENTRIES_AT_ONCE);
      const page = await this.#open.call('readPage', [handle, next, most, room]);
      parts.push(page.bytes);
      room -= page.bytes.length;
      count += page.count;
      isFull = page.count < most;
      ({ next, end } = page);
    }
    const [only] = parts;
    return { bytes: parts.length === 1 && only !== undefined ? only : Buffer.concat(parts), count, next, end };
  }

  getxattr(path: ByteString, name: ByteString): Promise<Uint8Array> {
    return this.#open.call('getxattr', [path, name]);
  }

  setxattr(path: ByteString, name: ByteString, value: Uint8Array, flags: number): Promise<void> {
    return this.#open.call('setxattr', [path, name, value, flags]);
  }

  listxattr(path: ByteString): Promise<readonly ByteString[]> {
    return this.#open.call('listxattr', [path]);
  }

  removexattr(path: ByteString, name: ByteString): Promise<void> {
    return this.#open.call('removexattr', [path, name]);
  }

  async lock(handle: Handle, request: LockRequest, waiting?: AbortSignal): Promise<void> {
    this.#handle(handle);
    if (waiting === undefined) return this.#open.call('lock', [handle, request, false]);
    if (waiting.aborted) throw new PeerfsError('EINTR');
    const disk = this.#open;
    let id = 0;
    const aborted = () => void disk.call('cancel', [id]).catch(() => undefined);
    const done = disk.call('lock', [handle, request, true], (callId) => (id = callId));
    waiting.addEventListener('abort', aborted);
    return done.finally(() => waiting.removeEventListener('abort', aborted));
  }

  testLock(handle: Handle, range: LockRange): Promise<LockRange | undefined> {
    return this.#open.call('testLock', [handle, range]);
  }

  async watch(directory: ByteString): Promise<boolean> {
    return this.#open.call('watch', [directory]);
  }

  unwatch(directory: ByteString): void {
    void this.#disk?.call('unwatch', [directory]).catch(() => undefined);
  }

  onChange(listener: (change: TreeChange) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async close(): Promise<void> {
    const disk = this.#disk;
    if (disk === undefined) return;
    await Promise.all([...this.#handles.keys()].map((handle) => this.release(handle)));
    this.#disk = undefined;
    this.#listeners.clear();
    await disk.close();
  }

  get #open(): DiskTree {
    if (this.#disk === undefined) throw new PeerfsError('ESTALE', 'the share is closed');
    return this.#disk;
  }

  #handle(handle: Handle): LocalHandle {
    const open = this.#handles.get(handle);
    if (open === undefined) throw new PeerfsError('EBADF', 'no such handle');
    return open;
  }

  #remember(handle: Handle, descriptor: number, flags: number, file: string): void {
    this.#handles.set(handle, {
      descriptor,
      flags,
      file,
      running: 0,
      idle: undefined,
      reads: 'cached',
      writes: undefined,
      appended: Promise.resolve(),
    });
  }

  /** Runs what uses the descriptor, which stays open until it is done. */
  async #using<T>(open: LocalHandle, use: () => Promise<T>): Promise<T> {
    open.running++;
    try {
      return await use();
    } catch (error) {
      throw error instanceof PeerfsError ? error : new PeerfsError(codeOf(error), codeOf(error), { cause: error });
    } finally {
      open.running--;
      if (open.running === 0) open.idle?.();
    }
  }

  /** The same for what changes the file, so that inotify's word of it is known for our own. */
  async #writing<T>(open: LocalHandle, use: () => Promise<T>): Promise<T> {
    let writes = this.#writes.get(open.file);
    if (writes === undefined) this.#writes.set(open.file, (writes = { running: 0, endedAt: 0 }));
    writes.running++;
    try {
      return await this.#using(open, use);
    } finally {
      writes.running--;
      writes.endedAt = this.#clock.now();
      if (this.#writes.size > 64) this.#forgetWrites();
    }
  }

  /** What writes to an open file, as it runs where there is a quota. @param offset undefined: at the end. */
  #within<T>(
    handle: Handle,
    { descriptor }: LocalHandle,
    offset: number | undefined,
    length: number,
    write: () => Promise<T>,
  ): () => Promise<T> {
    const room = this.#quota?.room;
    return room === undefined ? write : () => room.using({ handle, descriptor, offset, length }, write);
  }

  #forgetWrites(): void {
    const limit = this.#clock.now() - OWN_WRITE_MS;
    for (const [file, { running, endedAt }] of this.#writes) {
      if (running === 0 && endedAt < limit) this.#writes.delete(file);
    }
  }

  /** One after the other, because the position after it is asked of the descriptor. */
  async #append(open: LocalHandle, bytes: Uint8Array): Promise<FinalWrite> {
    const append = async () => {
      let done = 0;
      while (done < bytes.length) {
        done += (await writeFd(open.descriptor, bytes, done, bytes.length - done, null)).bytesWritten;
      }
      return { ...versionOf(open.descriptor), end: seek(open.descriptor, 0, WHENCE.CURRENT) };
    };
    const result = open.appended.then(append);
    open.appended = result.catch(() => undefined);
    return result;
  }

  #changed(change: TreeChange, writtenFile: string | undefined): void {
    const writes = writtenFile === undefined ? undefined : this.#writes.get(writtenFile);
    const isOwn = writes !== undefined && (writes.running > 0 || this.#clock.now() - writes.endedAt < OWN_WRITE_MS);
    if (isOwn) return;
    if ((change.what & RECALL.subtree) !== 0 && change.path === '') this.#log.warn('watch-overflow');
    for (const listener of [...this.#listeners]) listener(change);
  }
}
