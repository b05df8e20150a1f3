/**
 * The boundary between the mount (src/fs/mount*.ts, which implements KernelFileSystem) and a FUSE binding, which
 * turns the kernel's requests into calls of it and its changes into notifications. Two bindings exist:
 * src/fs/fuse/ (the kernel's protocol over /dev/fuse) and src/fs/fuse-native.ts.
 *
 * Inode-based, as the kernel's protocol is. Methods reject with PeerfsError; the binding turns the code into an errno.
 */
import type { ByteString } from '../bytestring.ts';
import type { Logger } from '../log.ts';
import type { AttributeChange, FileSystemStatus, Handle, LockRange, LockRequest } from './tree.ts';

/** Numbers the file system gives to inodes while the kernel knows them; 1 is the root; at most 2^53 - 1. */
export type NodeId = number;
export const ROOT_NODE: NodeId = 1;

/** Who makes a request, and whether it is still wanted. */
export interface RequestContext {
  readonly uid: number;
  readonly gid: number;
  readonly pid: number;
  /** Aborted when the kernel interrupts the request for a signal that ends the caller (or for a lock wait, any signal). */
  readonly signal: InterruptSignal;
}

/** What is used of an AbortSignal, which is one of these; a request's own is cheaper to make. */
export interface InterruptSignal {
  readonly aborted: boolean;
  addEventListener(type: 'abort', listener: () => void, options?: { readonly once: true }): void;
  removeEventListener(type: 'abort', listener: () => void): void;
}

export interface KernelAttributes {
  /** st_ino, 64 bits. */
  readonly inode: bigint;
  /** Type and permissions as in st_mode. */
  readonly mode: number;
  readonly nlink: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  /** Units of 512 bytes. */
  readonly blocks: number;
  readonly blksize: number;
  readonly atimeSec: number;
  readonly atimeNsec: number;
  readonly mtimeSec: number;
  readonly mtimeNsec: number;
  readonly ctimeSec: number;
  readonly ctimeNsec: number;
}

export interface AttributesReply {
  readonly attributes: KernelAttributes;
  /** How long the kernel may keep them, milliseconds. */
  readonly attributesMs: number;
}

/** A name found. The kernel's lookup count of `node` grows by one with each that is delivered to it. */
export interface EntryReply extends AttributesReply {
  readonly node: NodeId;
  /** Changes when a node number is used anew. */
  readonly generation: number;
  /** How long the kernel may keep the name, milliseconds. */
  readonly entryMs: number;
}

/** A name that does not exist, which the kernel may remember for `entryMs`. */
export interface NegativeReply {
  readonly node: 0;
  readonly entryMs: number;
}

export interface OpenReply {
  readonly handle: Handle;
  /** Pages that the kernel has of the file are still good. */
  readonly keepCache: boolean;
  /** Reads and writes bypass the kernel's page cache. */
  readonly directIo: boolean;
  /** For directories: the kernel may keep the listing. */
  readonly cacheDirectory: boolean;
}

export interface DirectoryRow {
  readonly name: ByteString;
  /** Where the listing goes on after this row; not 0. */
  readonly cursor: bigint;
  /** With attributes if a listing with them was asked for; `.` and `..` have none. */
  readonly entry: EntryReply | undefined;
  readonly inode: bigint;
  /** File type bits of st_mode. */
  readonly type: number;
}

/** Adds a row to the reply. @returns false if it no longer fits: the row was not added. */
export type AddRow = (row: DirectoryRow) => boolean;

/** Linux open(2) flags as the kernel passes them (x86 and arm64 numbers are the binding's affair). */
export interface OpenIntent {
  readonly read: boolean;
  readonly write: boolean;
  readonly append: boolean;
  readonly truncate: boolean;
  readonly exclusive: boolean;
  readonly sync: boolean;
  readonly dataSync: boolean;
  readonly direct: boolean;
  /** With `truncate`: set-user-id and set-group-id bits go, as in setattr. */
  readonly killPrivileges?: boolean;
}

export interface KernelFileSystem {
  lookup(parent: NodeId, name: ByteString, context: RequestContext): Promise<EntryReply | NegativeReply>;
  /** The kernel drops `count` of its references to the node. Synchronous, never fails. */
  forget(node: NodeId, count: number): void;
  getattr(node: NodeId, handle: Handle | undefined, context: RequestContext): Promise<AttributesReply>;
  /** `killPrivileges`: set-user-id and set-group-id bits go, as after a write by an ordinary user. */
  setattr(
    node: NodeId,
    change: AttributeChange & { readonly handle?: Handle; readonly killPrivileges?: boolean },
    context: RequestContext,
  ): Promise<AttributesReply>;
  readlink(node: NodeId, context: RequestContext): Promise<Uint8Array>;
  mkdir(parent: NodeId, name: ByteString, permissions: number, context: RequestContext): Promise<EntryReply>;
  /** `mode` with type bits as in mknod(2). */
  mknod(parent: NodeId, name: ByteString, mode: number, context: RequestContext): Promise<EntryReply>;
  symlink(parent: NodeId, name: ByteString, target: Uint8Array, context: RequestContext): Promise<EntryReply>;
  link(node: NodeId, newParent: NodeId, newName: ByteString, context: RequestContext): Promise<EntryReply>;
  unlink(parent: NodeId, name: ByteString, context: RequestContext): Promise<void>;
  rmdir(parent: NodeId, name: ByteString, context: RequestContext): Promise<void>;
  /** `flags` as in renameat2(2): 1 no-replace, 2 exchange. */
  rename(
    parent: NodeId,
    name: ByteString,
    newParent: NodeId,
    newName: ByteString,
    flags: number,
    context: RequestContext,
  ): Promise<void>;

  open(node: NodeId, intent: OpenIntent, context: RequestContext): Promise<OpenReply>;
  create(
    parent: NodeId,
    name: ByteString,
    permissions: number,
    intent: OpenIntent,
    context: RequestContext,
  ): Promise<{ readonly entry: EntryReply; readonly open: OpenReply }>;
  /** @returns a view that stays unchanged until it has been written to the device; shorter than `length` only at the end. */
  /** @returns parts that follow each other; they hold until the event loop's next turn. */
  read(handle: Handle, offset: number, length: number, context: RequestContext): Promise<readonly Uint8Array[]>;
  /**
   * `bytes` is the binding's and valid until the promise settles. `killPrivileges` as in setattr.
   * @returns bytes written: all of them.
   */
  write(
    handle: Handle,
    offset: number,
    bytes: Uint8Array,
    killPrivileges: boolean,
    context: RequestContext,
  ): Promise<number>;
  fsync(handle: Handle, dataOnly: boolean, context: RequestContext): Promise<void>;
  flush(handle: Handle, lockOwner: bigint, context: RequestContext): Promise<void>;
  release(handle: Handle): Promise<void>;
  fallocate(handle: Handle, mode: number, offset: number, length: number, context: RequestContext): Promise<void>;
  /** `whence` 3 (SEEK_DATA) or 4 (SEEK_HOLE). */
  lseek(handle: Handle, offset: number, whence: number, context: RequestContext): Promise<number>;
  copyFileRange(
    source: Handle,
    sourceOffset: number,
    target: Handle,
    targetOffset: number,
    length: number,
    context: RequestContext,
  ): Promise<number>;

  opendir(node: NodeId, context: RequestContext): Promise<OpenReply>;
  /** Calls `add` for rows from `cursor` on until it returns false or the directory ends. `plus`: rows carry entries. */
  readdir(handle: Handle, cursor: bigint, plus: boolean, add: AddRow, context: RequestContext): Promise<void>;
  fsyncdir(handle: Handle, dataOnly: boolean, context: RequestContext): Promise<void>;
  releasedir(handle: Handle): Promise<void>;

  statfs(node: NodeId, context: RequestContext): Promise<FileSystemStatus>;
  getxattr(node: NodeId, name: ByteString, context: RequestContext): Promise<Uint8Array>;
  setxattr(node: NodeId, name: ByteString, value: Uint8Array, flags: number, context: RequestContext): Promise<void>;
  listxattr(node: NodeId, context: RequestContext): Promise<readonly ByteString[]>;
  removexattr(node: NodeId, name: ByteString, context: RequestContext): Promise<void>;
  getlk(handle: Handle, range: LockRange, context: RequestContext): Promise<LockRange | undefined>;
  /** With `wait` it settles when the lock is had, or rejects EINTR when context.signal aborts. */
  setlk(handle: Handle, request: LockRequest, wait: boolean, context: RequestContext): Promise<void>;
}

/**
 * What a mount can tell the kernel. All return at once: they are queued (bounded; a full queue falls back to
 * invalidating the whole inode or entry later) and written off the serving thread, because the kernel may wait for
 * requests in flight before it takes them.
 */
export interface KernelNotifier {
  /** Attributes (and, if `length` is not negative, pages from `offset` on; 0 length: to the end) are stale. */
  invalidateInode(node: NodeId, offset: number, length: number): void;
  invalidateEntry(parent: NodeId, name: ByteString): void;
  /** The name is gone; unlike invalidateEntry this also tells inotify watchers. */
  deleteEntry(parent: NodeId, child: NodeId, name: ByteString): void;
  /**
   * Puts the whole contents of a file into the kernel's cache, before this returns. Only while nobody has the file open
   * and with `keepCache` in the answer to an open that is under way.
   * @returns false if the kernel did not take them.
   */
  store?(node: NodeId, contents: Uint8Array): boolean;
  /** Settles when the kernel has taken what was told so far, or after a short while: it may be waiting for us. */
  settled?(): Promise<void>;
}

export interface MountOptions {
  readonly mountpoint: string;
  readonly readOnly: boolean;
  readonly allowOther: boolean;
  readonly log: Logger;
  /** Called once, when the mount has ended for whatever reason. */
  readonly onEnd: (reason: string) => void;
}

export interface MountHandle {
  readonly notifier: KernelNotifier;
  /** Unmounts; falls back to detaching when busy. Idempotent; settles when the kernel has let go. */
  unmount(): Promise<void>;
}

export type MountFileSystem = (fileSystem: KernelFileSystem, options: MountOptions) => Promise<MountHandle>;
