/**
 * Tree: one file system with a root, seen by path and handle. The serving side answers from a LocalTree, the
 * mounting side asks a RemoteTree, tests use a MemoryTree; test/fs/tree-contract.ts holds for all of them.
 *
 * Paths are ByteStrings relative to the root (src/bytestring.ts) that the caller has checked with isPath().
 * Every method rejects with a PeerfsError whose code is a POSIX name. Links are never followed: an operation that
 * would need the target of a symbolic link fails with ELOOP.
 */
import type { ByteString } from '../bytestring.ts';
import type { ErrorCode } from '../errors.ts';
import type { Attributes, DirectoryEntry } from '../wire/schema.ts';

/** A number that stands for an open file or directory of one Tree; never 0; reused after release. */
export type Handle = number;

export interface FileSystemStatus {
  /** Bytes. */
  readonly blockSize: number;
  readonly blocks: number;
  readonly blocksFree: number;
  readonly blocksAvailable: number;
  readonly files: number;
  readonly filesFree: number;
  readonly nameMax: number;
}

/** Who owns what an operation creates; honoured only by trees that map ids as they are. */
export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** Which attributes to set; absent fields stay. `now` means the serving side's clock. */
export interface AttributeChange {
  /** Permission bits. */
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  /** Bytes. */
  readonly size?: number;
  readonly atime?: FileTime | 'now';
  readonly mtime?: FileTime | 'now';
}

export interface FileTime {
  readonly sec: number;
  readonly nsec: number;
}

export interface OpenOptions extends Owner {
  /** Bits of OPEN in src/wire/schema.ts. */
  readonly flags: number;
  /** For a file that is created. */
  readonly permissions: number;
  /** How much of the beginning the caller would like to have at once, bytes. */
  readonly wantBytes: number;
}

export interface OpenedFile {
  readonly handle: Handle;
  readonly created: boolean;
  readonly attributes: Attributes;
  /** The beginning of the file, at most `wantBytes`; empty if not asked for or not at hand. The caller's to keep. */
  readonly firstBytes: Uint8Array;
}

/** By which it is told whether the contents of a file are those of before. */
export interface Version {
  /** Bytes. */
  readonly size: number;
  readonly mtimeSec: number;
  readonly mtimeNsec: number;
}

export interface WriteResult {
  /** Size of the file after the write, bytes. */
  readonly size: number;
  /** Position behind the last byte written (it differs from offset + length for appends), bytes. */
  readonly end: number;
}

/** What was written is the file's. */
export interface FinalWrite extends WriteResult, Version {}

export interface Listing {
  readonly entries: readonly DirectoryEntry[];
  readonly end: boolean;
}

export interface LockRange {
  /** Whose lock. Unique within one caller of the Tree. */
  readonly owner: bigint;
  /** LOCK_TYPE: 0 read, 1 write, 2 unlock. */
  readonly type: number;
  /** First and last byte. */
  readonly start: bigint;
  readonly end: bigint;
  readonly pid: number;
}

export interface LockRequest extends LockRange {
  /** LOCK_KIND: 0 POSIX, 1 flock (start and end are ignored). */
  readonly kind: number;
}

/**
 * What changed under a Tree without its caller's doing, or through another caller: `what` are bits of RECALL in
 * src/wire/schema.ts.
 */
export interface TreeChange {
  readonly path: ByteString;
  readonly what: number;
}

export interface Tree {
  statfs(path: ByteString): Promise<FileSystemStatus>;
  /** @param handle an open handle of the file, used instead of the path; 0 for none. */
  getattr(path: ByteString, handle: Handle): Promise<Attributes>;
  setattr(path: ByteString, handle: Handle, change: AttributeChange): Promise<Attributes>;
  readlink(path: ByteString): Promise<Uint8Array>;
  mkdir(path: ByteString, permissions: number, owner: Owner): Promise<Attributes>;
  /** A regular file, or a FIFO. */
  mknod(path: ByteString, permissions: number, owner: Owner, fifo: boolean): Promise<Attributes>;
  symlink(path: ByteString, target: Uint8Array, owner: Owner): Promise<Attributes>;
  link(path: ByteString, handle: Handle, newPath: ByteString): Promise<Attributes>;
  unlink(path: ByteString): Promise<void>;
  rmdir(path: ByteString): Promise<void>;
  /** @param flags bits of RENAME. */
  rename(path: ByteString, newPath: ByteString, flags: number): Promise<void>;

  open(path: ByteString, options: OpenOptions): Promise<OpenedFile>;
  /**
   * @returns bytes that stay as they are until the event loop's next turn (a LocalTree's are the caller's to keep);
   * shorter than `length` only at the end of the file.
   */
  read(handle: Handle, offset: number, length: number): Promise<Uint8Array>;
  /** Writes all or rejects. `bytes` must stay unchanged until the promise settles. */
  write(handle: Handle, offset: number, bytes: Uint8Array): Promise<WriteResult>;
  fsync(handle: Handle, dataOnly: boolean): Promise<void>;
  /** A descriptor was closed: waits for buffered writes, reports their error, drops the owner's POSIX locks. */
  flush(handle: Handle, lockOwner: bigint): Promise<void>;
  /** Never fails; the handle is gone at once. */
  release(handle: Handle): Promise<void>;
  fallocate(handle: Handle, mode: number, offset: number, length: number): Promise<void>;
  /** @param whence SEEK: 0 data, 1 hole. @returns the position; ENXIO behind the end. */
  seek(handle: Handle, offset: number, whence: number): Promise<number>;
  /** Copies within the tree; may copy less. @returns bytes copied. */
  copyRange(
    source: Handle,
    sourceOffset: number,
    target: Handle,
    targetOffset: number,
    length: number,
  ): Promise<number>;

  openDirectory(path: ByteString): Promise<Handle>;
  /** @param cursor 0 for the beginning, else the cursor of the last entry had. */
  readDirectory(handle: Handle, cursor: bigint, maxEntries: number): Promise<Listing>;

  /** Only user.* exist; others are ENODATA (get, remove) or EOPNOTSUPP (set). */
  getxattr(path: ByteString, name: ByteString): Promise<Uint8Array>;
  setxattr(path: ByteString, name: ByteString, value: Uint8Array, flags: number): Promise<void>;
  listxattr(path: ByteString): Promise<readonly ByteString[]>;
  removexattr(path: ByteString, name: ByteString): Promise<void>;

  /** Takes or drops a lock. EAGAIN at a conflict, unless `waiting` is given: then it waits until had or aborted (EINTR). */
  lock(handle: Handle, request: LockRequest, waiting?: AbortSignal): Promise<void>;
  /** The first POSIX lock in the way, or undefined. */
  testLock(handle: Handle, range: LockRange): Promise<LockRange | undefined>;
}

/** What looking at a file told. */
export interface LookedAt {
  readonly attributes: Attributes;
  /** All of them, or empty. */
  readonly contents: Uint8Array;
}

/** A small file, read whole. */
export interface ReadFile {
  /** Of its name among those asked for. */
  readonly position: number;
  readonly attributes: Attributes;
}

export interface ReadFiles {
  /** Positions ascending. */
  readonly files: readonly ReadFile[];
  /** Their contents one after the other, each as long as its attributes say. */
  readonly bytes: Uint8Array;
}

/** A file that was opened and written by one call. */
export interface CreatedFile extends Omit<OpenedFile, 'firstBytes'> {
  /** What failed after the opening: writing, or setting attributes. */
  readonly failure: ErrorCode | undefined;
  /** What became of its directory, if that was asked for. */
  readonly directory: Attributes | undefined;
}

/** Entries of a directory as src/wire/listing.ts lays them out. */
export interface ListingPage {
  readonly bytes: Uint8Array;
  /** Entries in it. */
  readonly count: number;
  /** Where the listing goes on after them: a cursor as entries have. */
  readonly next: bigint;
  readonly end: boolean;
}

export interface ListedDirectory extends ListingPage {
  /** 0 if all was listed, or nothing is to be kept open. */
  readonly handle: Handle;
}

/** A Tree over real (or remembered) files that others may change behind its back, and that tells of it. */
export interface WatchedTree extends Tree {
  write(handle: Handle, offset: number, bytes: Uint8Array): Promise<FinalWrite>;
  /** As getattr, with the contents of a regular file that has one name and at most `room` bytes, and can be read. */
  look(path: ByteString, room: number): Promise<LookedAt>;
  /**
   * Reads files of a directory whole. Those that cannot be given are left out: missing, no regular files, with
   * several names, not to be read, too large for what is left of `room` (bytes).
   */
  readFiles(directory: ByteString, names: readonly ByteString[], room: number): Promise<ReadFiles>;
  /**
   * open, write at the beginning, and setattr by the handle, with nobody else in between.
   * @param options `flags` have `create`. @param bytes must stay unchanged until the promise settles.
   * @param change without owner, group and size.
   */
  createFile(
    path: ByteString,
    options: Omit<OpenOptions, 'wantBytes'>,
    bytes: Uint8Array,
    change: AttributeChange,
    wantsDirectory: boolean,
  ): Promise<CreatedFile>;
  /**
   * Opens a directory and lists its first entries.
   * @param keep leave it open if these are not all.
   */
  listDirectory(path: ByteString, maxEntries: number, keep: boolean): Promise<ListedDirectory>;
  /** The same entries as readDirectory, and the same parameters. */
  readPage(handle: Handle, cursor: bigint, maxEntries: number): Promise<ListingPage>;
  /**
   * Begins to tell of changes that others than this tree's callers make to the directory, to the names in it and to
   * the files those stand for. Calls are counted: as many unwatch() end it.
   * @returns false if such changes cannot be told (no watches left, no such directory).
   */
  watch(directory: ByteString): Promise<boolean>;
  unwatch(directory: ByteString): void;
  /**
   * Changes made through the tree itself are not told (its caller knows them). When a directory is renamed or removed
   * its watches and those below end; the change told has RECALL.subtree. After losing events: RECALL.subtree of the root.
   * @returns a function that ends the listening.
   */
  onChange(listener: (change: TreeChange) => void): () => void;
  /** Releases every handle, lock and watch. Idempotent. */
  close(): Promise<void>;
}
