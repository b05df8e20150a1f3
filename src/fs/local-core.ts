/**
 * A LocalTree as it runs on a disk thread: one synchronous method for each operation (locks wait as promises). Knows
 * nothing of threads; src/fs/disk-worker.ts calls it by message.
 */
import type { ByteString } from '../bytestring.ts';
import type { Clock } from '../clock.ts';
import type { Attributes } from '../wire/schema.ts';
import { createFile } from './local-creation.ts';
import * as directories from './local-directories.ts';
import * as files from './local-files.ts';
import { createLockBackend } from './local-lock-backend.ts';
import { LockTable } from './local-locks.ts';
import * as names from './local-names.ts';
import { LocalQuota } from './local-quota.ts';
import { ShareRoot } from './local-root.ts';
import { look, readSmallFiles, type PackedFiles } from './local-small-files.ts';
import { HandleTable, type LocalState } from './local-state.ts';
import { LocalWatches, type WatchListener } from './local-watches.ts';
import * as xattrs from './local-xattrs.ts';
import { packAnswer, unpackRequest } from './packed-creation.ts';
import { QuotaWords } from './quota.ts';
import type {
  AttributeChange,
  FileSystemStatus,
  Handle,
  ListingPage,
  LockRange,
  LockRequest,
  LookedAt,
  OpenOptions,
  Owner,
} from './tree.ts';

/** Crosses to the disk thread as it is. */
export interface CoreOptions {
  /** Absolute path. */
  readonly root: ByteString;
  readonly writable: boolean;
  readonly keepsIds: boolean;
  readonly crossMounts: boolean;
  readonly maxHandles: number;
  /** For tests: resolve paths as on a kernel without openat2. */
  readonly walkOnly: boolean;
}

export interface LocalCore {
  statfs(path: ByteString): FileSystemStatus;
  getattr(path: ByteString, handle: Handle): Attributes;
  setattr(path: ByteString, handle: Handle, change: AttributeChange): Attributes;
  readlink(path: ByteString): Uint8Array;
  mkdir(path: ByteString, permissions: number, owner: Owner): Attributes;
  mknod(path: ByteString, permissions: number, owner: Owner, fifo: boolean): Attributes;
  symlink(path: ByteString, target: Uint8Array, owner: Owner): Attributes;
  link(path: ByteString, handle: Handle, newPath: ByteString): Attributes;
  unlink(path: ByteString): void;
  rmdir(path: ByteString): void;
  rename(path: ByteString, newPath: ByteString, flags: number): void;
  open(path: ByteString, options: OpenOptions): files.LocalOpen;
  /** Request and answer as src/fs/packed-creation.ts has them. */
  createFile(path: ByteString, request: readonly number[], bytes: Uint8Array): readonly number[];
  look(path: ByteString, room: number): LookedAt;
  readSmallFiles(directory: ByteString, names: readonly ByteString[], room: number): PackedFiles;
  flush(handle: Handle, lockOwner: bigint): void;
  release(handle: Handle): void;
  fallocate(handle: Handle, mode: number, offset: number, length: number): void;
  seek(handle: Handle, offset: number, whence: number): number;
  openDirectory(path: ByteString): { handle: Handle; descriptor: number };
  listDirectory(path: ByteString, maxEntries: number, keep: boolean): ReturnType<typeof directories.listDirectory>;
  readPage(handle: Handle, cursor: bigint, maxEntries: number, maxBytes: number): ListingPage;
  getxattr(path: ByteString, name: ByteString): Uint8Array;
  setxattr(path: ByteString, name: ByteString, value: Uint8Array, flags: number): void;
  listxattr(path: ByteString): readonly ByteString[];
  removexattr(path: ByteString, name: ByteString): void;
  lock(handle: Handle, request: LockRequest, waiting: AbortSignal | undefined): Promise<void>;
  testLock(handle: Handle, range: LockRange): LockRange | undefined;
  /** From now on the folder has a quota. @param memory of QuotaWords. */
  limit(memory: SharedArrayBuffer): void;
  /** Ends when the folder has been counted, if that is due. */
  recount(): Promise<void>;
  /** Writes through these handles have ended. */
  settle(handles: readonly Handle[]): void;
  watch(directory: ByteString): boolean;
  unwatch(directory: ByteString): void;
  close(): void;
}

/** @throws PeerfsError if the folder cannot be opened. */
export function createLocalCore(options: CoreOptions, clock: Clock, onChange: WatchListener): LocalCore {
  const root = new ShareRoot(options.root, options.crossMounts, options.walkOnly);
  const watches = new LocalWatches(root, clock, onChange);
  const handles = new HandleTable(options.maxHandles);
  const backend = createLockBackend(handles, options.writable, (file, close) => watches.ownClose(file, close));
  const locks = new LockTable(clock, backend);
  const { writable, keepsIds } = options;
  const state: LocalState = { root, writable, keepsIds, handles, locks, watches, quota: undefined };
  return {
    statfs: (path) => names.statfs(state, path),
    getattr: (path, handle) => names.getattr(state, path, handle),
    setattr: (path, handle, change) => names.setattr(state, path, handle, change),
    readlink: (path) => names.readlink(state, path),
    mkdir: (path, permissions, owner) => names.mkdir(state, path, permissions, owner),
    mknod: (path, permissions, owner, fifo) => names.mknod(state, path, permissions, owner, fifo),
    symlink: (path, target, owner) => names.symlink(state, path, target, owner),
    link: (path, handle, newPath) => names.link(state, path, handle, newPath),
    unlink: (path) => names.unlink(state, path),
    rmdir: (path) => names.rmdir(state, path),
    rename: (path, newPath, flags) => names.rename(state, path, newPath, flags),
    open: (path, openOptions) => files.open(state, path, openOptions),
    createFile: (path, request, bytes) => packAnswer(createFile(state, path, unpackRequest(request), bytes)),
    look: (path, room) => look(state, path, room),
    readSmallFiles: (directory, list, room) => readSmallFiles(state, directory, list, room),
    flush: (handle, lockOwner) => files.flush(state, handle, lockOwner),
    release: (handle) => files.release(state, handle),
    fallocate: (handle, mode, offset, length) => files.fallocate(state, handle, mode, offset, length),
    seek: (handle, offset, whence) => files.seek(state, handle, offset, whence),
    openDirectory: (path) => directories.openDirectory(state, path),
    listDirectory: (path, maxEntries, keep) => directories.listDirectory(state, path, maxEntries, keep),
    readPage: (handle, cursor, maxEntries, room) => directories.readPage(state, handle, cursor, maxEntries, room),
    getxattr: (path, name) => xattrs.getxattr(state, path, name),
    setxattr: (path, name, value, flags) => xattrs.setxattr(state, path, name, value, flags),
    listxattr: (path) => xattrs.listxattr(state, path),
    removexattr: (path, name) => xattrs.removexattr(state, path, name),
    lock: (handle, request, waiting) => locks.lock(handles.file(handle).file, handle, request, waiting),
    testLock: (handle, range) => locks.test(handles.file(handle).file, handle, range),
    limit(memory) {
      state.quota ??= new LocalQuota(root, handles, new QuotaWords(memory), clock);
    },
    recount: async () => state.quota?.recount(),
    settle: (settled) => state.quota?.settle(settled),
    watch: (directory) => watches.add(directory),
    unwatch: (directory) => watches.remove(directory),
    close() {
      state.quota?.close();
      for (const handle of handles.all()) files.release(state, handle);
      locks.close();
      backend.close();
      watches.close();
      root.close();
    },
  };
}
