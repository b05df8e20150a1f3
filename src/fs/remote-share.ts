/**
 * What all operations on one share of a peer have in common: calls that count for its lease, the cache, the order of
 * changes, the open files. remote-tree.ts, remote-files.ts and remote-directories.ts are built on it.
 */
import { nameOf, parentOf, type ByteString } from '../bytestring.ts';
import type { Clock } from '../clock.ts';
import { codeOf, PeerfsError } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { CallOptions, CallResult, Channel } from '../net/channel.ts';
import { RECALL, SOLE, type Attributes, type CallName, type ReplyOf, type RequestOf } from '../wire/schema.ts';
import type { Creation } from './creation.ts';
import { DirectoryCache } from './remote-cache.ts';
import { ContentsMemory } from './contents-memory.ts';
import { RemoteContents, SMALL_FILE_BYTES } from './remote-contents.ts';
import { takeCensus } from './remote-census.ts';
import { RemoteCreations } from './remote-creations.ts';
import { dropContents, RemoteFiles, type RemoteFile } from './remote-file.ts';
import { ChangeOrder, DirectoryOrder, type PeerLease } from './remote-lease.ts';
import { RemoteReleases } from './remote-releases.ts';

/** Tuning: with more than this unwritten, a look at a file by name does not wait for the writes, bytes. */
const WAIT_FOR_WRITES = 1024 * 1024;

/** `what`: bits of RECALL, what of the path is no longer known. The recall is answered when all have settled. */
/** @param isMoved by our own rename: the kernel knows already what stands under the name itself. */
export type InvalidateListener = (path: ByteString, what: number, isMoved?: boolean) => void | Promise<void>;

export interface RemoteShareOptions {
  readonly channel: Channel;
  readonly share: number;
  /** The peer's; all its shares have one. */
  readonly lease: PeerLease;
  /** For contents of small files; all shares of the peer have one. */
  readonly contents?: ContentsMemory;
  readonly refused?: ((write: RefusedWrite) => void) | undefined;
  readonly clock: Clock;
  readonly log: Logger;
}

/** What a program wrote, was answered for, and is lost to the file: another stands there, or others have changed it. */
export interface RefusedWrite {
  readonly share: number;
  /** Within the share. */
  readonly path: ByteString;
  /** The same object for all writes to one file while it is open. */
  readonly file: object;
  readonly offset: number;
  /** The receiver's to keep. */
  readonly bytes: Uint8Array;
}

/** What the reply to a change of names says of their directories. */
export interface LearnedDirectories {
  readonly change: number;
  readonly directories: readonly Attributes[];
  readonly order: number;
  /** Bits of SOLE, and how long they hold. */
  readonly sole: number;
  readonly soleMs: number;
}

/** How things stood when a change of names was sent. */
export interface ChangeBefore {
  /** ChangeOrder.now. */
  readonly sentAt: number;
  /** DirectoryCache.knowledge. */
  readonly knowledge: object | undefined;
}

/** Tells that a file, known by what it was said to be at first, is at the server. */
export type MadeListener = (first: Attributes, now: Attributes) => void;

/** Calls that make or remove names, but `open`: see remote-files.ts. */
const NAME_CALLS: ReadonlySet<CallName> = new Set<CallName>([
  'mkdir',
  'mknod',
  'symlink',
  'link',
  'unlink',
  'rmdir',
  'rename',
]);

/** What a reply says of a file. */
export interface LearnedAttributes {
  readonly attributes: Attributes;
  readonly change: number;
  readonly leaseMs: number;
}

const S_IFMT = 0o170000;
const S_IFDIR = 0o040000;
const S_IFREG = 0o100000;

export const isRegular = ({ mode }: Attributes): boolean => (mode & S_IFMT) === S_IFREG;

export class RemoteShare {
  readonly share: number;
  readonly channel: Channel;
  readonly lease: PeerLease;
  readonly clock: Clock;
  readonly log: Logger;
  readonly cache: DirectoryCache;
  readonly contents: RemoteContents;
  readonly order = new ChangeOrder();
  readonly files = new RemoteFiles();
  readonly releases: RemoteReleases;
  readonly creations: RemoteCreations;
  readonly #directoryOrder = new DirectoryOrder();
  readonly #listeners = new Set<InvalidateListener>();
  readonly #madeListeners = new Set<MadeListener>();

  readonly #refused: ((write: RefusedWrite) => void) | undefined;

  constructor({ channel, share, lease, contents, refused, clock, log }: RemoteShareOptions) {
    this.#refused = refused;
    this.channel = channel;
    this.share = share;
    this.lease = lease;
    this.clock = clock;
    this.log = log;
    this.contents = new RemoteContents(contents ?? new ContentsMemory());
    this.cache = new DirectoryCache(lease, this.contents);
    this.releases = new RemoteReleases(clock, (handles) => this.call('release', { handles }));
    this.creations = new RemoteCreations({
      share,
      cache: this.cache,
      order: this.order,
      clock,
      isLive: () => channel.state === 'live',
      send: (request, payload) => this.releases.opening(() => this.call('createFile', request, { payload })),
      failed: (creation) => this.#creationFailed(creation),
    });
  }

  call<M extends CallName>(name: M, request: RequestOf<M>, options?: CallOptions<M>): Promise<CallResult<M>> {
    const held = this.creations.before(name, request);
    const run = () =>
      held === undefined ? this.send(name, request, options) : held.then(() => this.send(name, request, options));
    return NAME_CALLS.has(name) ? this.creations.changing(request, run) : run();
  }

  /** As call(), also before what is held back has arrived. */
  send<M extends CallName>(name: M, request: RequestOf<M>, options?: CallOptions<M>): Promise<CallResult<M>> {
    const sentAt = this.clock.now();
    return this.channel.call(name, request, options).then((result) => {
      this.lease.heard(sentAt);
      const { reply } = result;
      if ('leaseMs' in reply && typeof reply.leaseMs === 'number') this.lease.learn(reply.leaseMs, sentAt);
      return result;
    });
  }

  /** A call that changes names: nobody can say what became of it if the peer restarted meanwhile. */
  async mutate<M extends CallName>(name: M, request: RequestOf<M>): Promise<CallResult<M>> {
    try {
      return await this.call(name, request);
    } catch (error) {
      if (codeOf(error) !== 'OUTCOME_UNKNOWN') throw error;
      this.log.warn('outcome-unknown', { call: name });
      throw new PeerfsError('EIO', 'the peer was restarted while it had the call', { cause: error });
    }
  }

  /** Remembers attributes if they are still true; `sentAt` is order.now from when the call was sent. */
  learn(path: ByteString, sentAt: number, { attributes, change, leaseMs }: LearnedAttributes): void {
    const file = this.files.find(attributes);
    if (leaseMs === 0 || file?.writes.isDirty === true) {
      this.cache.forgetAttributes(path);
    } else if (this.order.isCurrent(path, sentAt, change)) {
      if (file !== undefined) {
        file.size = attributes.size;
        file.version = attributes;
      }
      this.cache.put(path, attributes);
    }
  }

  /**
   * The same with what may be the whole contents of a small file.
   * @param bytes are copied, if that is what they are.
   */
  learnContents(
    path: ByteString,
    sentAt: number,
    learned: LearnedAttributes,
    bytes: Uint8Array,
    isUsed: boolean,
  ): void {
    this.learn(path, sentAt, learned);
    const { attributes } = learned;
    if (!isRegular(attributes) || bytes.length !== attributes.size || bytes.length > SMALL_FILE_BYTES) return;
    const [directory, name] = [parentOf(path), nameOf(path)];
    // That they are known now, and are these, says that nothing happened to the file meanwhile.
    if (this.cache.find(directory, name) === attributes) this.contents.put(directory, name, attributes, bytes, isUsed);
  }

  /** A name was made by us. */
  made(path: ByteString, sentAt: number, reply: LearnedAttributes & LearnedDirectories): void {
    const isCurrent = this.order.isCurrent(path, sentAt, reply.change);
    const isNamed = reply.leaseMs > 0 && this.order.isNameCurrent(path, sentAt, reply.change);
    this.changedName(path);
    if (isCurrent && reply.leaseMs > 0) this.cache.put(path, reply.attributes);
    else if (isNamed) this.cache.putName(path);
    else this.cache.forget(path);
    this.#learnDirectories([parentOf(path)], sentAt, reply);
  }

  /** A file that was held back is at the server. */
  arrived(creation: Creation, sentAt: number, reply: ReplyOf<'createFile'>): void {
    const first = creation.attributes;
    if (reply.created) this.made(creation.path, sentAt, reply);
    else this.changedFile(creation.path);
    for (const listener of this.#madeListeners) listener(first, reply.attributes);
  }

  #creationFailed({ path, error }: Creation): void {
    const code = codeOf(error);
    this.log.debug('creation-failed', { code });
    // Others that are made here first would fail alike.
    if (code !== 'EEXIST') this.lease.endSole();
    this.changedName(path);
    this.cache.forget(path);
    for (const listener of this.#listeners) void listener(path, RECALL.subtree);
  }

  /**
   * What the reply to a change of names is to be compared with. Without a lease from before the server did it, nobody
   * would have told what became of the name since.
   */
  before(directory: ByteString): ChangeBefore {
    return { sentAt: this.order.now, knowledge: this.cache.knowledge(directory) };
  }

  #isSince({ sentAt, knowledge }: ChangeBefore, path: ByteString, change: number): boolean {
    const wasLeased = knowledge !== undefined && knowledge === this.cache.knowledge(parentOf(path));
    return wasLeased && this.order.isCurrent(path, sentAt, change);
  }

  /** A name was removed by us. */
  removed(path: ByteString, before: ChangeBefore, reply: LearnedDirectories): void {
    const isCurrent = this.#isSince(before, path, reply.change);
    this.changedName(path);
    if (isCurrent) this.cache.removed(path);
    else this.cache.forget(path);
    this.#learnDirectories([parentOf(path)], before.sentAt, reply);
  }

  /** Two names were changed by us. */
  renamed(
    from: ByteString,
    to: ByteString,
    isExchange: boolean,
    before: ChangeBefore,
    reply: LearnedDirectories,
  ): void {
    const isCurrent = this.#isSince(before, from, reply.change);
    // A rename onto another name of the same file does nothing: both stay.
    const isOnlyName = from !== to && this.cache.get(from)?.nlink === 1;
    this.#endedBelow([from, to], true);
    for (const path of [from, to]) {
      this.order.saw(path, RECALL.attributes, undefined);
      this.changedName(path);
      this.cache.forget(path);
    }
    if (isCurrent && !isExchange && isOnlyName) this.cache.removed(from);
    this.#learnDirectories([parentOf(from), parentOf(to)], before.sentAt, reply);
  }

  /** We asked for a change that ends our leases on all below these directories, whether it was done or not. */
  endedBelow(...paths: readonly ByteString[]): void {
    this.#endedBelow(paths, false);
  }

  #endedBelow(paths: readonly ByteString[], isMoved: boolean): void {
    for (const path of paths) {
      const known = this.cache.get(path);
      this.order.saw(path, RECALL.subtree, undefined);
      this.cache.forgetBelow(path);
      if (known && (known.mode & S_IFMT) !== S_IFDIR) continue;
      // The kernel waits for this very change and takes what it is told after it.
      for (const listener of this.#listeners) void listener(path, RECALL.subtree, isMoved);
    }
  }

  /** We changed what stands under a name, and with it the directory's own attributes. */
  changedName(path: ByteString): void {
    const directory = parentOf(path);
    this.order.saw(path, RECALL.attributes | RECALL.subtree, undefined);
    this.order.sawOwnName(directory);
    this.cache.forgetAttributes(directory);
  }

  /** @param paths of the directories whose names the call changed. */
  #learnDirectories(paths: readonly ByteString[], sentAt: number, reply: LearnedDirectories): void {
    const { directories, order, change } = reply;
    for (const [index, directory] of [...new Set(paths)].entries()) {
      const attributes = directories[index];
      if (attributes === undefined || !this.#directoryOrder.isNewest(directory, order)) continue;
      const isCovered = this.cache.isLeased(parentOf(directory));
      if (isCovered && this.order.isDirectoryCurrent(directory, sentAt, change)) this.cache.put(directory, attributes);
    }
    const last = paths.at(-1);
    if (last !== undefined && (reply.sole & SOLE.parent) !== 0) this.learnSole(last, sentAt, reply);
  }

  /** We were told to be alone in the directory, which is under a lease. */
  learnSole(directory: ByteString, sentAt: number, { change, soleMs }: LearnedDirectories): void {
    this.lease.learnSole(soleMs);
    if (!this.order.isNameCurrent(directory, sentAt, change)) return;
    this.cache.putSole(directory);
    void takeCensus(this, directory);
  }

  /** We changed the file at `path`; its attributes are not known now. */
  changedFile(path: ByteString): void {
    this.order.saw(path, RECALL.attributes, undefined);
    this.cache.forgetAttributes(path);
  }

  /** We change the contents of a file: nothing read before counts. */
  changedContents(file: RemoteFile): void {
    file.changes += 1;
    for (const handle of file.handles) {
      dropContents(handle);
      this.changedFile(handle.path);
    }
  }

  /** What a program wrote cannot go where it was written to any more. */
  refused(write: Omit<RefusedWrite, 'share'>): void {
    this.log.warn('write-refused', { bytes: write.bytes.length });
    this.#refused?.({ ...write, share: this.share });
  }

  /** Waits until nothing of the files open at `path` is unwritten, unless that is much and `isUrgent`. */
  async settled(path: ByteString, isUrgent: boolean): Promise<void> {
    for (const file of this.files.at(path)) {
      if (file.writes.isDirty && !(isUrgent && file.writes.bufferedBytes > WAIT_FOR_WRITES)) {
        await file.writes.drained();
      }
    }
  }

  /** The attributes as they will be when what is on its way has arrived. */
  withUnwritten(attributes: Attributes): Attributes {
    const file = this.files.find(attributes);
    if (file?.writes.isDirty !== true) return attributes;
    const size = Math.max(attributes.size, file.writes.dirtyEnd);
    return size === attributes.size ? attributes : { ...attributes, size };
  }

  async recalled(path: ByteString, what: number, change: number): Promise<void> {
    this.order.saw(path, what, change);
    this.cache.recalled(path, what);
    for (const file of this.files.all()) {
      for (const handle of file.handles) {
        const isBelow = path === '' || handle.path === path || handle.path.startsWith(`${path}/`);
        if (!isBelow) continue;
        if ((what & RECALL.contents) !== 0 && (handle.path === path || what & RECALL.subtree)) dropContents(handle);
        const wasNamed = (what & RECALL.entries) !== 0 && parentOf(handle.path) === path;
        if (wasNamed || what & RECALL.subtree) handle.isLeased = false;
      }
    }
    for (const told of [...this.#listeners].map((listener) => listener(path, what))) await told;
    // From here on nothing more is held back there.
    if (what & RECALL.sole) await this.creations.settled(path);
  }

  /** The peer's node is another one now: nothing that the old one said counts. */
  serverRestarted(): void {
    this.cache.clear();
    this.releases.forget();
    this.#directoryOrder.clear();
  }

  onMade(listener: MadeListener): () => void {
    this.#madeListeners.add(listener);
    return () => this.#madeListeners.delete(listener);
  }

  onInvalidate(listener: InvalidateListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}
