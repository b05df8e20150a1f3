/**
 * A KernelFileSystem in memory with the semantics of Linux, to hold bindings against. It counts what the kernel knows
 * of it, and names that begin with `hang-` have reads that end only when aborted.
 */
import { type ByteString } from '../../../src/bytestring.ts';
import { PeerfsError, type ErrorCode } from '../../../src/errors.ts';
import type {
  AttributesReply,
  InterruptSignal,
  EntryReply,
  KernelAttributes,
  KernelFileSystem,
  NegativeReply,
  NodeId,
  OpenIntent,
  OpenReply,
  RequestContext,
} from '../../../src/fs/kernel.ts';
import { ROOT_NODE } from '../../../src/fs/kernel.ts';
import type { FileSystemStatus, FileTime, Handle, LockRange, LockRequest } from '../../../src/fs/tree.ts';
import { MemoryLocks } from './memory-locks.ts';

const S_IFMT = 0o170000;
const S_IFDIR = 0o040000;
const S_IFREG = 0o100000;
const S_IFLNK = 0o120000;
const BLOCK_BYTES = 4096;
const FALLOC_FL_KEEP_SIZE = 1;
const FALLOC_FL_PUNCH_HOLE = 2;
const SEEK_DATA = 3;
const RENAME_NOREPLACE = 1;
const RENAME_EXCHANGE = 2;
const INODE_BASE = 0xffff_0000_0000_0000n;

interface Node {
  readonly id: NodeId;
  mode: number;
  uid: number;
  gid: number;
  nlink: number;
  /** Of a regular file: blocks by index; absent ones are holes. */
  readonly blocks: Map<number, Uint8Array>;
  size: number;
  readonly target: Uint8Array;
  readonly children: Map<ByteString, { readonly node: Node; readonly cursor: bigint }>;
  parent: Node | undefined;
  atime: FileTime;
  mtime: FileTime;
  ctime: FileTime;
  readonly xattrs: Map<ByteString, Uint8Array>;
  lookups: number;
  opens: number;
}

interface OpenFile {
  readonly node: Node;
  readonly intent: OpenIntent | undefined;
}

const fail = (code: ErrorCode): never => {
  throw new PeerfsError(code);
};
const DIRECTORY_INTENT = undefined;

export interface MemoryOptions {
  /** How long the kernel may keep names and attributes, milliseconds. */
  readonly validMs: number;
  readonly directIo: boolean;
}

export class MemoryKernelFileSystem implements KernelFileSystem {
  readonly #options: MemoryOptions;
  readonly #nodes = new Map<NodeId, Node>();
  readonly #handles = new Map<Handle, OpenFile>();
  #reads = 0;
  readonly #locks = new MemoryLocks();
  readonly #root: Node;
  #nextNode = ROOT_NODE;
  #nextHandle = 1;
  #nextCursor = 3n;

  constructor(options: MemoryOptions) {
    this.#options = options;
    this.#root = this.#create(S_IFDIR | 0o755, { uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0 });
  }

  // What tests look at.

  /** Sum of the kernel's references to nodes, root excepted, and what is open. */
  counts(): { lookups: number; nodes: number; handles: number; reads: number } {
    let lookups = 0;
    for (const node of this.#nodes.values()) if (node.id !== ROOT_NODE) lookups += node.lookups;
    return { lookups, nodes: this.#nodes.size, handles: this.#handles.size, reads: this.#reads };
  }

  /** The node of a name in the root; one that does not exist if there is none. */
  nodeOf(name: string): NodeId {
    return this.#root.children.get(name as ByteString)?.node.id ?? Number.MAX_SAFE_INTEGER;
  }

  /** Changes a file in the root behind the kernel's back. @returns its node. */
  change(name: string, text: string): NodeId {
    const node = this.#child(this.#root, name as ByteString);
    node.blocks.clear();
    node.size = 0;
    this.#put(node, 0, Buffer.from(text));
    return node.id;
  }

  /** Takes a name in the root away behind the kernel's back. @returns its node. */
  vanish(name: string): NodeId {
    const node = this.#child(this.#root, name as ByteString);
    this.#detach(this.#root, name as ByteString);
    return node.id;
  }

  // KernelFileSystem.

  async lookup(parent: NodeId, name: ByteString): Promise<EntryReply | NegativeReply> {
    const found = this.#node(parent).children.get(name);
    if (found === undefined) return { node: 0, entryMs: this.#options.validMs };
    return this.#entry(found.node);
  }

  forget(id: NodeId, count: number): void {
    const node = this.#node(id);
    if (node.id === ROOT_NODE) return;
    node.lookups -= count;
    if (node.lookups < 0) throw new Error('forgotten more often than looked up');
    this.#drop(node);
  }

  async getattr(id: NodeId, handle: Handle | undefined): Promise<AttributesReply> {
    return this.#attributes(handle === undefined ? this.#node(id) : this.#open(handle).node);
  }

  async setattr(
    id: NodeId,
    change: Parameters<KernelFileSystem['setattr']>[1],
    context: RequestContext,
  ): Promise<AttributesReply> {
    const node = this.#node(id);
    const now = currentTime();
    if (context.uid !== 0 && context.uid !== node.uid && change.mode !== undefined) fail('EPERM');
    if (change.mode !== undefined) node.mode = (node.mode & S_IFMT) | change.mode;
    if (change.uid !== undefined) node.uid = change.uid;
    if (change.gid !== undefined) node.gid = change.gid;
    if (change.size !== undefined) this.#resize(node, change.size);
    if (change.killPrivileges === true) killPrivileges(node);
    if (change.atime !== undefined) node.atime = change.atime === 'now' ? now : change.atime;
    if (change.mtime !== undefined) node.mtime = change.mtime === 'now' ? now : change.mtime;
    node.ctime = now;
    return this.#attributes(node);
  }

  async readlink(id: NodeId): Promise<Uint8Array> {
    return this.#node(id).target;
  }

  async mkdir(parent: NodeId, name: ByteString, permissions: number, owner: RequestContext): Promise<EntryReply> {
    return this.#entry(this.#make(parent, name, S_IFDIR | permissions, owner));
  }

  async mknod(parent: NodeId, name: ByteString, mode: number, owner: RequestContext): Promise<EntryReply> {
    return this.#entry(this.#make(parent, name, mode, owner));
  }

  async symlink(parent: NodeId, name: ByteString, target: Uint8Array, owner: RequestContext): Promise<EntryReply> {
    return this.#entry(this.#make(parent, name, S_IFLNK | 0o777, owner, target));
  }

  async link(id: NodeId, newParent: NodeId, newName: ByteString): Promise<EntryReply> {
    const node = this.#node(id);
    this.#attach(this.#directory(newParent), newName, node);
    node.nlink += 1;
    node.ctime = currentTime();
    return this.#entry(node);
  }

  async unlink(parent: NodeId, name: ByteString): Promise<void> {
    this.#detach(this.#node(parent), name);
  }

  async rmdir(parent: NodeId, name: ByteString): Promise<void> {
    const directory = this.#node(parent);
    if (this.#child(directory, name).children.size > 0) fail('ENOTEMPTY');
    this.#detach(directory, name);
  }

  async rename(from: NodeId, name: ByteString, to: NodeId, newName: ByteString, flags: number): Promise<void> {
    const [source, target] = [this.#directory(from), this.#directory(to)];
    const node = this.#child(source, name);
    const old = target.children.get(newName)?.node;
    if ((flags & RENAME_EXCHANGE) !== 0) {
      if (old === undefined) return fail('ENOENT');
      source.children.delete(name);
      target.children.delete(newName);
      this.#attach(source, name, old);
      this.#attach(target, newName, node);
      return;
    }
    if (old === node) return;
    if (old !== undefined) {
      if ((flags & RENAME_NOREPLACE) !== 0) fail('EEXIST');
      if (old.children.size > 0) fail('ENOTEMPTY');
      this.#detach(target, newName);
    }
    source.children.delete(name);
    this.#attach(target, newName, node);
    node.ctime = currentTime();
  }

  async open(id: NodeId, intent: OpenIntent): Promise<OpenReply> {
    const node = this.#node(id);
    if (intent.truncate) this.#resize(node, 0);
    if (intent.killPrivileges === true) killPrivileges(node);
    return this.#opened(node, intent);
  }

  async create(
    parent: NodeId,
    name: ByteString,
    permissions: number,
    intent: OpenIntent,
    owner: RequestContext,
  ): Promise<{ entry: EntryReply; open: OpenReply }> {
    const existing = this.#directory(parent).children.get(name)?.node;
    if (existing !== undefined && intent.exclusive) fail('EEXIST');
    const node = existing ?? this.#make(parent, name, S_IFREG | permissions, owner);
    return { entry: this.#entry(node), open: this.#opened(node, intent) };
  }

  async read(handle: Handle, offset: number, length: number, context: RequestContext): Promise<readonly Uint8Array[]> {
    this.#reads += 1;
    const bytes = await this.#read(handle, offset, length, context);
    const half = bytes.length >> 1;
    // Gone a turn later, so that a binding that looks at them too late is found out.
    setImmediate(() => bytes.fill(0xee));
    return [bytes.subarray(0, half), bytes.subarray(half)];
  }

  async #read(handle: Handle, offset: number, length: number, context: RequestContext): Promise<Uint8Array> {
    const { node } = this.#open(handle);
    const hangs = [...(node.parent?.children ?? [])].some(
      ([name, row]) => row.node === node && name.startsWith('hang-'),
    );
    if (hangs) await untilAborted(context.signal);
    const end = Math.min(offset + length, node.size);
    if (end <= offset) return new Uint8Array(0);
    const result = Buffer.alloc(end - offset);
    for (let at = offset; at < end;) {
      const within = at % BLOCK_BYTES;
      const step = Math.min(BLOCK_BYTES - within, end - at);
      const block = node.blocks.get(Math.floor(at / BLOCK_BYTES));
      if (block !== undefined) result.set(block.subarray(within, within + step), at - offset);
      at += step;
    }
    return result;
  }

  async write(handle: Handle, offset: number, bytes: Uint8Array, kill: boolean): Promise<number> {
    const { node, intent } = this.#open(handle);
    const start = intent?.append === true ? node.size : offset;
    // A turn later, so that a binding that reuses the bytes too early is found out.
    await new Promise((resolve) => setImmediate(resolve));
    this.#put(node, start, bytes);
    if (kill) killPrivileges(node);
    return bytes.length;
  }

  async fsync(): Promise<void> {}

  async fsyncdir(): Promise<void> {}

  async flush(handle: Handle, lockOwner: bigint): Promise<void> {
    this.#locks.dropOwner(this.#open(handle).node.id, lockOwner);
  }

  async release(handle: Handle): Promise<void> {
    const { node } = this.#open(handle);
    this.#handles.delete(handle);
    node.opens -= 1;
    this.#drop(node);
  }

  releasedir(handle: Handle): Promise<void> {
    return this.release(handle);
  }

  async fallocate(handle: Handle, mode: number, offset: number, length: number): Promise<void> {
    const { node } = this.#open(handle);
    if ((mode & FALLOC_FL_PUNCH_HOLE) !== 0) {
      const end = Math.min(offset + length, node.size);
      this.#put(node, offset, new Uint8Array(Math.max(0, end - offset)));
      for (let index = Math.ceil(offset / BLOCK_BYTES); (index + 1) * BLOCK_BYTES <= end; index += 1) {
        node.blocks.delete(index);
      }
      return;
    }
    if ((mode & FALLOC_FL_KEEP_SIZE) === 0) node.size = Math.max(node.size, offset + length);
  }

  async lseek(handle: Handle, offset: number, whence: number): Promise<number> {
    const { node } = this.#open(handle);
    if (offset >= node.size) fail('ENXIO');
    const wanted = whence === SEEK_DATA;
    for (let at = offset; at < node.size; at = (Math.floor(at / BLOCK_BYTES) + 1) * BLOCK_BYTES) {
      if (node.blocks.has(Math.floor(at / BLOCK_BYTES)) === wanted) return at;
    }
    return wanted ? fail('ENXIO') : node.size;
  }

  async copyFileRange(
    source: Handle,
    sourceOffset: number,
    target: Handle,
    targetOffset: number,
    length: number,
    context: RequestContext,
  ): Promise<number> {
    const bytes = await this.#read(source, sourceOffset, Math.min(length, 1 << 20), context);
    this.#put(this.#open(target).node, targetOffset, bytes);
    return bytes.length;
  }

  async opendir(id: NodeId): Promise<OpenReply> {
    return this.#opened(this.#node(id), DIRECTORY_INTENT);
  }

  async readdir(
    handle: Handle,
    cursor: bigint,
    plus: boolean,
    add: Parameters<KernelFileSystem['readdir']>[3],
  ): Promise<void> {
    const { node } = this.#open(handle);
    const dots: readonly [string, bigint, Node][] = [
      ['.', 1n, node],
      ['..', 2n, node.parent ?? node],
    ];
    for (const [name, at, target] of dots) {
      const row = { name: name as ByteString, cursor: at, entry: undefined, inode: inodeOf(target), type: S_IFDIR };
      if (at > cursor && !add(row)) return;
    }
    for (const [name, { node: child, cursor: at }] of node.children) {
      if (at <= cursor) continue;
      const entry = plus ? this.#reply(child) : undefined;
      if (!add({ name, cursor: at, entry, inode: inodeOf(child), type: child.mode & S_IFMT })) return;
      if (plus) child.lookups += 1;
    }
  }

  async statfs(): Promise<FileSystemStatus> {
    return {
      blockSize: BLOCK_BYTES,
      blocks: 3_000_000_000,
      blocksFree: 2_000_000_000,
      blocksAvailable: 1_900_000_000,
      files: 5_000_000_000,
      filesFree: 4_999_999_999,
      nameMax: 255,
    };
  }

  async getxattr(id: NodeId, name: ByteString): Promise<Uint8Array> {
    return this.#node(id).xattrs.get(name) ?? fail('ENODATA');
  }

  async setxattr(id: NodeId, name: ByteString, value: Uint8Array, flags: number): Promise<void> {
    const { xattrs } = this.#node(id);
    if (flags === 1 && xattrs.has(name)) fail('EEXIST');
    if (flags === 2 && !xattrs.has(name)) fail('ENODATA');
    xattrs.set(name, value);
  }

  async listxattr(id: NodeId): Promise<readonly ByteString[]> {
    return [...this.#node(id).xattrs.keys()];
  }

  async removexattr(id: NodeId, name: ByteString): Promise<void> {
    if (!this.#node(id).xattrs.delete(name)) fail('ENODATA');
  }

  async getlk(handle: Handle, range: LockRange): Promise<LockRange | undefined> {
    return this.#locks.conflict(this.#open(handle).node.id, { ...range, kind: 0 });
  }

  setlk(handle: Handle, request: LockRequest, wait: boolean, context: RequestContext): Promise<void> {
    return this.#locks.set(this.#open(handle).node.id, request, wait ? context.signal : undefined);
  }

  // Inner works.

  #node(id: NodeId): Node {
    return this.#nodes.get(id) ?? fail('ESTALE');
  }

  #directory(id: NodeId): Node {
    const node = this.#node(id);
    return node.nlink === 0 ? fail('ENOENT') : node;
  }

  #open(handle: Handle): OpenFile {
    return this.#handles.get(handle) ?? fail('EBADF');
  }

  #child(directory: Node, name: ByteString): Node {
    return directory.children.get(name)?.node ?? fail('ENOENT');
  }

  #create(mode: number, owner: { uid: number; gid: number }, target: Uint8Array = new Uint8Array(0)): Node {
    const now = currentTime();
    const node: Node = {
      id: this.#nextNode++,
      mode,
      uid: owner.uid,
      gid: owner.gid,
      nlink: 1,
      blocks: new Map(),
      size: target.length,
      target,
      children: new Map(),
      parent: undefined,
      atime: now,
      mtime: now,
      ctime: now,
      xattrs: new Map(),
      lookups: 0,
      opens: 0,
    };
    this.#nodes.set(node.id, node);
    return node;
  }

  #make(parent: NodeId, name: ByteString, mode: number, owner: RequestContext, target?: Uint8Array): Node {
    const directory = this.#directory(parent);
    if (directory.children.has(name)) fail('EEXIST');
    const node = this.#create(mode, owner, target);
    this.#attach(directory, name, node);
    return node;
  }

  #attach(directory: Node, name: ByteString, node: Node): void {
    directory.children.set(name, { node, cursor: this.#nextCursor++ });
    node.parent = directory;
    directory.mtime = directory.ctime = currentTime();
  }

  #detach(directory: Node, name: ByteString): void {
    const node = this.#child(directory, name);
    directory.children.delete(name);
    directory.mtime = directory.ctime = node.ctime = currentTime();
    node.nlink -= 1;
    this.#drop(node);
  }

  #drop(node: Node): void {
    if (node.nlink === 0 && node.lookups === 0 && node.opens === 0) this.#nodes.delete(node.id);
  }

  #opened(node: Node, intent: OpenIntent | undefined): OpenReply {
    const handle = this.#nextHandle++;
    this.#handles.set(handle, { node, intent });
    node.opens += 1;
    const directIo = intent !== undefined && (intent.append || this.#options.directIo);
    return { handle, keepCache: !directIo, directIo, cacheDirectory: false };
  }

  #entry(node: Node): EntryReply {
    node.lookups += 1;
    return this.#reply(node);
  }

  #reply(node: Node): EntryReply {
    return { ...this.#attributes(node), node: node.id, generation: 1, entryMs: this.#options.validMs };
  }

  #attributes(node: Node): AttributesReply {
    const attributes: KernelAttributes = {
      inode: inodeOf(node),
      mode: node.mode,
      nlink: (node.mode & S_IFMT) === S_IFDIR ? 2 : node.nlink,
      uid: node.uid,
      gid: node.gid,
      size: node.size,
      blocks: node.blocks.size * (BLOCK_BYTES / 512),
      blksize: BLOCK_BYTES,
      atimeSec: node.atime.sec,
      atimeNsec: node.atime.nsec,
      mtimeSec: node.mtime.sec,
      mtimeNsec: node.mtime.nsec,
      ctimeSec: node.ctime.sec,
      ctimeNsec: node.ctime.nsec,
    };
    return { attributes, attributesMs: this.#options.validMs };
  }

  #put(node: Node, offset: number, bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length;) {
      const at = offset + done;
      const index = Math.floor(at / BLOCK_BYTES);
      const within = at % BLOCK_BYTES;
      const step = Math.min(BLOCK_BYTES - within, bytes.length - done);
      const block = node.blocks.get(index) ?? new Uint8Array(BLOCK_BYTES);
      block.set(bytes.subarray(done, done + step), within);
      node.blocks.set(index, block);
      done += step;
    }
    node.size = Math.max(node.size, offset + bytes.length);
    node.mtime = node.ctime = currentTime();
  }

  #resize(node: Node, size: number): void {
    if (size < node.size) {
      const whole = Math.ceil(size / BLOCK_BYTES);
      for (const index of [...node.blocks.keys()]) if (index >= whole) node.blocks.delete(index);
      node.blocks.get(Math.floor(size / BLOCK_BYTES))?.fill(0, size % BLOCK_BYTES);
    }
    node.size = size;
    node.mtime = currentTime();
  }
}

function inodeOf(node: Node): bigint {
  return INODE_BASE + BigInt(node.id);
}

function killPrivileges(node: Node): void {
  node.mode &= ~0o4000;
  if ((node.mode & 0o10) !== 0) node.mode &= ~0o2000;
}

function currentTime(): FileTime {
  const ms = Date.now();
  return { sec: Math.floor(ms / 1000), nsec: (ms % 1000) * 1_000_000 };
}

function untilAborted(signal: InterruptSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    const stop = (): void => reject(new PeerfsError('EINTR'));
    if (signal.aborted) stop();
    signal.addEventListener('abort', stop);
  });
}
