/**
 * Serving: answers one peer's calls from the trees that are shared with it. Owns who may do what (which shares the peer
 * sees, which it may write), the peer's handles and lock owners, and which leases a call grants or recalls.
 * Does not own: confinement to the folder (the tree's), leases themselves (leases.ts), exactly-once (the channel's).
 */
import { parentOf, nameOf, toBytes, type ByteString } from '../bytestring.ts';
import type { Clock } from '../clock.ts';
import { PeerfsError } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { Answer, CallContext, Channel, Handlers } from '../net/channel.ts';
import {
  LIMITS,
  OPEN,
  RECALL,
  RENAME,
  SETATTR,
  type Attributes,
  type CallName,
  type DirectoryEntry,
  type MailboxCall,
  type RequestOf,
} from '../wire/schema.ts';
import { LeaseTerm } from './lease-term.ts';
import type { LeaseHolder, LeaseTable } from './leases.ts';
import { ServedHandle, ServedHandles, type ServedFolder } from './served-handles.ts';
import type { AttributeChange, Handle, LockRange, TreeChange, WatchedTree } from './tree.ts';

const S_IFMT = 0o170000;
const S_IFDIR = 0o040000;

/** A folder as one peer sees it. */
export interface SharedFolder {
  /** Stable for the life of the share; 0 is the peer's inbox. */
  readonly share: number;
  /** '' for the inbox. */
  readonly name: ByteString;
  readonly writable: boolean;
  readonly idmap: 'user' | 'none';
  /** One tree for all peers that see the folder: leases between them are kept by tree. */
  readonly tree: WatchedTree;
}

export interface ShareProvider {
  /** What the peer may see now, the inbox (share 0) among it. */
  list(peerId: string): readonly SharedFolder[];
  /** @returns a function that ends the listening. */
  onChange(listener: () => void): () => void;
}

export interface ServingOptions {
  readonly channel: Channel;
  readonly shares: ShareProvider;
  /** One table for all peers of the node. */
  readonly leases: LeaseTable;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface Serving {
  /** All calls but the mounting side's `recall` (RemotePeer.handlers) and the mailbox's: together they are a Handlers. */
  readonly handlers: Omit<Handlers, 'recall' | MailboxCall>;
  /** Releases handles, locks, leases. Idempotent. */
  close(): void;
}

/** Grows with each peer served: lock owners of different peers differ by it. */
let peersServed = 0;

type ServedCall = Exclude<CallName, 'recall' | MailboxCall>;

export function createServing(options: ServingOptions): Serving {
  const serving = new PeerServing(options);
  return { handlers: serving.handlers(), close: () => serving.close() };
}

class PeerServing {
  readonly #channel: Channel;
  readonly #shares: ShareProvider;
  readonly #leaseTable: LeaseTable;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #folders = new Map<number, ServedFolder>();
  readonly #handles = new ServedHandles();
  readonly #ownerTag: bigint;
  readonly #stops: (() => void)[];
  readonly #term: LeaseTerm;
  #closed = false;

  constructor({ channel, shares, leases, clock, log }: ServingOptions) {
    this.#channel = channel;
    this.#shares = shares;
    this.#leaseTable = leases;
    this.#term = new LeaseTerm(leases.leaseMs, () => channel.pace);
    this.#clock = clock;
    this.#log = log;
    peersServed += 1;
    this.#ownerTag = BigInt(peersServed) << 64n;
    this.#stops = [
      shares.onChange(() => {
        this.#refreshShares();
        channel.push('sharesChanged', {});
      }),
      channel.onRestart(() => this.#forgetPeer('the peer restarted')),
      channel.onState((state) => {
        if (state === 'offline') this.#goneAfterLease();
      }),
    ];
    this.#refreshShares();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const stop of this.#stops) stop();
    this.#forgetPeer('closed');
  }

  handlers(): Omit<Handlers, 'recall' | MailboxCall> {
    return {
      listShares: this.#heard(async () => ({
        reply: {
          shares: this.#shares.list(this.#channel.peerId).map(({ share, name, writable, idmap }) => ({
            share,
            name,
            writable,
            idmap: idmap === 'none' ? 1 : 0,
          })),
        },
      })),
      statfs: this.#heard(async ({ share, path }) => ({ reply: await this.#served(share).tree.statfs(path) })),
      getattr: this.#heard((request) => this.#getattr(request)),
      setattr: this.#heard((request) => this.#setattr(request)),
      readlink: this.#heard(async ({ share, path }) => ({
        reply: { target: await this.#served(share).tree.readlink(path) },
      })),
      mkdir: this.#heard(({ share, path, permissions, uid, gid }) =>
        this.#create(share, path, (tree) => tree.mkdir(path, permissions, { uid, gid })),
      ),
      mknod: this.#heard(({ share, path, permissions, uid, gid, fifo }) =>
        this.#create(share, path, (tree) => tree.mknod(path, permissions, { uid, gid }, fifo)),
      ),
      symlink: this.#heard(({ share, path, target, uid, gid }) =>
        this.#create(share, path, (tree) => tree.symlink(path, target, { uid, gid })),
      ),
      link: this.#heard(({ share, path, handle, newPath }) => {
        const open = handle === 0 ? undefined : this.#file(handle, this.#served(share));
        return this.#create(share, newPath, (tree) => tree.link(path, open?.handle ?? 0, newPath), {
          path: open?.path ?? path,
          what: RECALL.attributes,
        });
      }),
      unlink: this.#heard(async ({ share, path }) => {
        const served = this.#writable(share);
        const { change } = served.leases;
        await this.#changing(served, [...namesIn(path), file(path)], served.tree.unlink(path));
        return { reply: { change } };
      }),
      rmdir: this.#heard(async ({ share, path }) => {
        const served = this.#writable(share);
        const { change } = served.leases;
        await this.#changing(served, [...namesIn(path), { path, what: RECALL.subtree }], served.tree.rmdir(path));
        return { reply: { change } };
      }),
      rename: this.#heard((request) => this.#rename(request)),
      open: this.#heard((request) => this.#open(request)),
      read: this.#heard((request) => this.#read(request)),
      write: this.#heard((request, { payload }) => this.#write(request, payload)),
      fsync: this.#heard(async ({ handle, dataOnly }) => {
        const open = this.#handles.get(handle);
        const { change } = open.served.leases;
        await open.served.tree.fsync(open.handle, dataOnly);
        return { reply: { change } };
      }),
      flush: this.#heard(async ({ handle, lockOwner }) => {
        const open = this.#file(handle);
        await open.served.tree.flush(open.handle, this.#owner(lockOwner));
        return this.#attributesOf(open);
      }),
      release: this.#heard(async ({ handle }) => {
        await this.#release(handle);
        return { reply: {} };
      }),
      openDirectory: this.#heard((request) => this.#openDirectory(request)),
      readDirectory: this.#heard((request) => this.#readDirectory(request)),
      fallocate: this.#heard(async ({ handle, mode, offset, length }) => {
        const open = this.#writing(handle);
        const { tree } = open.served;
        await this.#changing(open.served, [contents(open.path)], tree.fallocate(open.handle, mode, offset, length));
        return this.#attributesOf(open);
      }),
      seek: this.#heard(async ({ handle, offset, whence }) => {
        const open = this.#file(handle);
        return { reply: { offset: await open.served.tree.seek(open.handle, offset, whence) } };
      }),
      copyRange: this.#heard((request) => this.#copyRange(request)),
      getxattr: this.#heard(async ({ share, path, name }) => ({
        reply: { value: await this.#served(share).tree.getxattr(path, name) },
      })),
      setxattr: this.#heard(async ({ share, path, name, value, flags }) => {
        const served = this.#writable(share);
        const { change } = served.leases;
        await this.#changing(served, [file(path)], served.tree.setxattr(path, name, value, flags));
        return { reply: { change } };
      }),
      listxattr: this.#heard(async ({ share, path }) => {
        const names = await this.#served(share).tree.listxattr(path);
        return { reply: { names: Buffer.concat(names.map((name) => toBytes(`${name}\0` as ByteString))) } };
      }),
      removexattr: this.#heard(async ({ share, path, name }) => {
        const served = this.#writable(share);
        const { change } = served.leases;
        await this.#changing(served, [file(path)], served.tree.removexattr(path, name));
        return { reply: { change } };
      }),
      lock: this.#heard(async ({ handle, wait, ...request }, { signal }) => {
        const open = this.#file(handle);
        const locked = { ...request, owner: this.#owner(request.owner) };
        await open.served.tree.lock(open.handle, locked, wait ? signal : undefined);
        return { reply: {} };
      }),
      testLock: this.#heard(async ({ handle, ...range }) => {
        const open = this.#file(handle);
        const asked: LockRange = { ...range, owner: this.#owner(range.owner), pid: 0 };
        const held = await open.served.tree.testLock(open.handle, asked);
        if (held === undefined) return { reply: { type: 2, start: 0n, end: 0n, pid: 0 } };
        const isOwn = held.owner >> 64n === this.#ownerTag >> 64n;
        return { reply: { type: held.type, start: held.start, end: held.end, pid: isOwn ? held.pid : 0 } };
      }),
      renewLeases: this.#heard(async (_, { callId }) => ({ reply: { leaseMs: this.#term.renew(callId) } })),
    };
  }

  /** Every call renews the peer's leases, or finds that they have ended. */
  #heard<M extends ServedCall>(
    handler: (request: RequestOf<M>, context: CallContext) => Promise<Answer<M>>,
  ): (request: RequestOf<M>, context: CallContext) => Promise<Answer<M>> {
    return async (request, context) => {
      if (this.#closed) throw new PeerfsError('EHOSTDOWN', 'closing');
      const now = this.#clock.now();
      if (this.#term.heard(now)) this.#dropLeases();
      return handler(request, context);
    };
  }

  async #getattr({ share, path, handle }: RequestOf<'getattr'>): Promise<Answer<'getattr'>> {
    const served = this.#served(share);
    const open = handle === 0 ? undefined : this.#file(handle, served);
    const granted = served.leases.grant(served.holder, parentOf(path), nameOf(path));
    const leaseMs = typeof granted === 'number' ? granted : await granted;
    const { change } = served.leases;
    const attributes = await served.tree.getattr(path, open?.handle ?? 0);
    return { reply: { attributes, change, leaseMs: isCovered(attributes) ? leaseMs : 0 } };
  }

  async #setattr(request: RequestOf<'setattr'>): Promise<Answer<'setattr'>> {
    const { share, handle, valid } = request;
    const served = this.#writable(share);
    const open = handle === 0 ? undefined : this.#file(handle, served);
    const path = open?.path ?? request.path;
    const leaseMs = await served.leases.grant(served.holder, parentOf(request.path), nameOf(request.path));
    const { change } = served.leases;
    const what = (valid & SETATTR.size) === 0 ? file(path) : contents(path);
    const attributes = await this.#changing(
      served,
      [what],
      served.tree.setattr(request.path, open?.handle ?? 0, attributeChange(request)),
    );
    return { reply: { attributes, change, leaseMs: isCovered(attributes) ? leaseMs : 0 } };
  }

  /** The attributes of an open file after a call that ended writing. */
  async #attributesOf(open: ServedHandle): Promise<Answer<'flush'>> {
    const { served, directory, name, path } = open;
    const leaseMs = await served.leases.grant(served.holder, directory, name);
    const { change } = served.leases;
    const attributes = await served.tree.getattr(path, open.handle);
    return { reply: { attributes, change, leaseMs: isCovered(attributes) ? leaseMs : 0 } };
  }

  async #create(
    share: number,
    path: ByteString,
    make: (tree: WatchedTree) => Promise<Attributes>,
    also?: TreeChange,
  ): Promise<Answer<'mkdir'>> {
    const served = this.#writable(share);
    const leaseMs = await served.leases.grant(served.holder, parentOf(path), nameOf(path));
    const { change } = served.leases;
    const changes = also === undefined ? namesIn(path) : [...namesIn(path), also];
    const attributes = await this.#changing(served, changes, make(served.tree));
    // A new directory is leased with its first call, so that its maker knows that it is empty.
    if (isDirectory(attributes)) await served.leases.grant(served.holder, path);
    return { reply: { attributes, change, leaseMs: isCovered(attributes) ? leaseMs : 0 } };
  }

  async #rename({ share, path, newPath, flags }: RequestOf<'rename'>): Promise<Answer<'rename'>> {
    const served = this.#writable(share);
    const { change } = served.leases;
    const changes = [...namesIn(path), ...namesIn(newPath), subtree(path), subtree(newPath)];
    const renamed = served.tree.rename(path, newPath, flags).then(() => {
      served.leases.renamed(path, newPath, (flags & RENAME.exchange) !== 0);
    });
    await this.#changing(served, changes, renamed);
    return { reply: { change } };
  }

  async #open({ share, path, flags, permissions, uid, gid, wantBytes }: RequestOf<'open'>): Promise<Answer<'open'>> {
    const writes = OPEN.write | OPEN.append | OPEN.create | OPEN.truncate;
    const served = (flags & writes) === 0 ? this.#served(share) : this.#writable(share);
    this.#handles.reserve();
    try {
      const leaseMs = await served.leases.grant(served.holder, parentOf(path), nameOf(path));
      const { change } = served.leases;
      const opened = await served.tree.open(path, { flags, permissions, uid, gid, wantBytes });
      const { attributes, created, firstBytes } = opened;
      this.#checkServed(served, opened.handle);
      const handle = this.#handles.add(new ServedHandle(served, opened.handle, path, false));
      const changes = created ? namesIn(path) : flags & OPEN.truncate ? [contents(path)] : undefined;
      if (changes !== undefined) await served.leases.changed(served.holder, changes);
      const reply = { handle, created, attributes, change, leaseMs: isCovered(attributes) ? leaseMs : 0 };
      return { reply, payload: firstBytes };
    } catch (error) {
      this.#handles.unreserve();
      throw error;
    }
  }

  async #read({ handle, offset, length }: RequestOf<'read'>): Promise<Answer<'read'>> {
    const open = this.#file(handle);
    const { leases, holder, tree } = open.served;
    leases.rearm(holder, open.directory, open.name);
    const { change } = leases;
    return { reply: { change }, payload: await tree.read(open.handle, offset, length) };
  }

  async #write({ handle, offset }: RequestOf<'write'>, payload: Uint8Array): Promise<Answer<'write'>> {
    const open = this.#writing(handle);
    const { served } = open;
    const { change } = served.leases;
    let written;
    try {
      written = await served.tree.write(open.handle, offset, payload);
    } finally {
      const told = served.leases.changed(served.holder, [contents(open.path)]);
      if (told !== undefined) await told;
    }
    return { reply: { size: written.size, end: written.end, change } };
  }

  async #openDirectory({ share, path }: RequestOf<'openDirectory'>): Promise<Answer<'openDirectory'>> {
    const served = this.#served(share);
    this.#handles.reserve();
    try {
      const leaseMs = await served.leases.grant(served.holder, path);
      const { change } = served.leases;
      const opened = await served.tree.openDirectory(path);
      this.#checkServed(served, opened);
      const handle = this.#handles.add(new ServedHandle(served, opened, path, true));
      return { reply: { handle, change, leaseMs } };
    } catch (error) {
      this.#handles.unreserve();
      throw error;
    }
  }

  async #readDirectory({ handle, cursor, maxEntries }: RequestOf<'readDirectory'>): Promise<Answer<'readDirectory'>> {
    const open = this.#handles.get(handle);
    if (!open.isDirectory) throw new PeerfsError('ENOTDIR', 'not a directory');
    const { leases, holder, tree } = open.served;
    // Attributes of all its files are read: each is to be recalled again.
    if (cursor === 0n) await leases.grant(holder, open.path);
    const { change } = leases;
    const listing = await tree.readDirectory(open.handle, cursor, maxEntries);
    const entries = fitting(listing.entries);
    return { reply: { entries, end: listing.end && entries.length === listing.entries.length, change } };
  }

  async #copyRange(request: RequestOf<'copyRange'>): Promise<Answer<'copyRange'>> {
    const source = this.#file(request.source);
    const target = this.#writing(request.target);
    // Handles of two shares over one tree would copy, too, but the kernel never asks for it.
    if (source.served !== target.served) throw new PeerfsError('EXDEV', 'files of two shares');
    const { served } = target;
    const { change } = served.leases;
    const { sourceOffset, targetOffset, length } = request;
    const copied = await this.#changing(
      served,
      [contents(target.path)],
      served.tree.copyRange(source.handle, sourceOffset, target.handle, targetOffset, length),
    );
    const { size } = await served.tree.getattr(target.path, target.handle);
    return { reply: { copied, size, change } };
  }

  /** Waits for a change to be done, then for those whom it concerns; also when it failed: half may be done. */
  async #changing<T>(served: ServedFolder, changes: readonly TreeChange[], done: Promise<T>): Promise<T> {
    try {
      return await done;
    } finally {
      await served.leases.changed(served.holder, changes);
    }
  }

  #served(share: number): ServedFolder {
    const served = this.#folders.get(share);
    if (served === undefined) throw new PeerfsError('ESTALE', 'no such share');
    return served;
  }

  /** After an await: the share may have gone, and with it whoever would release the handle. */
  #checkServed(served: ServedFolder, handle: Handle): void {
    if (!this.#closed && this.#folders.get(served.share) === served) return;
    void served.tree.release(handle).catch(() => undefined);
    throw new PeerfsError('ESTALE', 'no such share');
  }

  #writable(share: number): ServedFolder {
    const served = this.#served(share);
    if (!served.isWritable) throw new PeerfsError('EROFS', 'the share is read-only');
    return served;
  }

  #file(handle: number, of?: ServedFolder): ServedHandle {
    const open = this.#handles.get(handle);
    if (open.isDirectory) throw new PeerfsError('EISDIR', 'a directory');
    if (of !== undefined && open.served !== of) throw new PeerfsError('EBADF', 'a handle of another share');
    return open;
  }

  #writing(handle: number): ServedHandle {
    const open = this.#file(handle);
    if (!open.served.isWritable) throw new PeerfsError('EROFS', 'the share is read-only');
    return open;
  }

  #owner(owner: bigint): bigint {
    return this.#ownerTag | owner;
  }

  async #release(number: number): Promise<void> {
    const open = this.#handles.remove(number);
    await open?.served.tree.release(open.handle).catch(() => undefined);
  }

  #refreshShares(): void {
    const listed = this.#shares.list(this.#channel.peerId);
    const seen = new Set<number>();
    for (const folder of listed) {
      seen.add(folder.share);
      const served = this.#folders.get(folder.share);
      if (served?.tree === folder.tree) served.isWritable = folder.writable;
      else {
        if (served !== undefined) this.#dropShare(served);
        this.#folders.set(folder.share, this.#serve(folder));
      }
    }
    for (const served of [...this.#folders.values()]) if (!seen.has(served.share)) this.#dropShare(served);
  }

  #serve(folder: SharedFolder): ServedFolder {
    const { share, tree, writable } = folder;
    const holder: LeaseHolder = {
      term: this.#term,
      recall: async (path, what, change) => {
        await this.#channel.call('recall', { share, path, what, change });
      },
    };
    return { share, isWritable: writable, tree, leases: this.#leaseTable.of(tree), holder };
  }

  #dropShare(served: ServedFolder): void {
    this.#folders.delete(served.share);
    served.leases.dropHolder(served.holder);
    for (const [number, open] of this.#handles.entries()) if (open.served === served) void this.#release(number);
  }

  #dropLeases(): void {
    for (const served of this.#folders.values()) served.leases.dropHolder(served.holder);
  }

  #forgetPeer(reason: string): void {
    this.#dropLeases();
    this.#term.forget();
    const numbers = this.#handles.numbers();
    for (const number of numbers) void this.#release(number);
    if (numbers.length > 0) this.#log.debug('handles released', { count: numbers.length, reason });
  }

  /** Handles and locks live as long as leases do; whoever comes back later opens them again. */
  #goneAfterLease(): void {
    const leftMs = Math.max(0, this.#term.endsAt - this.#clock.now());
    this.#clock.after(leftMs + 1, () => {
      if (!this.#closed && this.#channel.state === 'offline' && this.#clock.now() > this.#term.endsAt) {
        this.#forgetPeer('the peer is gone');
      }
    });
  }
}

/** An entry in a reply takes this and its name, with room for fields to come. Bytes. */
const ENTRY_BYTES = 160;

/** As many entries from the first on as fit into one frame. */
function fitting(entries: readonly DirectoryEntry[]): readonly DirectoryEntry[] {
  let room = LIMITS.frameBytes - 1024;
  for (const [index, { name }] of entries.entries()) {
    room -= ENTRY_BYTES + name.length;
    if (room < 0) return entries.slice(0, index);
  }
  return entries;
}

const file = (path: ByteString): TreeChange => ({ path, what: RECALL.attributes });
const contents = (path: ByteString): TreeChange => ({ path, what: RECALL.attributes | RECALL.contents });
const subtree = (path: ByteString): TreeChange => ({ path, what: RECALL.subtree });
/** A name came, went or changed in the directory of `path`. */
const namesIn = (path: ByteString): TreeChange[] => [
  { path: parentOf(path), what: RECALL.entries | RECALL.attributes },
];

const isDirectory = ({ mode }: Attributes) => (mode & S_IFMT) === S_IFDIR;
/** Whether a lease can promise anything about the file: not if it has names elsewhere. */
const isCovered = (attributes: Attributes) => attributes.nlink <= 1 || isDirectory(attributes);

function attributeChange(request: RequestOf<'setattr'>): AttributeChange {
  const { valid } = request;
  return {
    ...(valid & SETATTR.mode ? { mode: request.mode } : {}),
    ...(valid & SETATTR.uid ? { uid: request.uid } : {}),
    ...(valid & SETATTR.gid ? { gid: request.gid } : {}),
    ...(valid & SETATTR.size ? { size: request.size } : {}),
    ...(valid & SETATTR.atimeNow
      ? { atime: 'now' as const }
      : valid & SETATTR.atime
        ? { atime: { sec: request.atimeSec, nsec: request.atimeNsec } }
        : {}),
    ...(valid & SETATTR.mtimeNow
      ? { mtime: 'now' as const }
      : valid & SETATTR.mtime
        ? { mtime: { sec: request.mtimeSec, nsec: request.mtimeNsec } }
        : {}),
  };
}
