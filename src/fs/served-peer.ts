/**
 * ServedPeer: one peer as the serving side knows it. Owns which shares it sees and may write, its handles and lock owners,
 * how long its leases last, and the end of all that. What its calls do stands in serve-names.ts, serve-attributes.ts and
 * serve-files.ts.
 */
import { parentOf, ROOT } from '../bytestring.ts';
import type { Clock } from '../clock.ts';
import { PeerfsError } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { Answer, CallContext, Channel, Handlers } from '../net/channel.ts';
import type { CallName, MailboxCall, RequestOf } from '../wire/schema.ts';
import type { LeaseHolder } from './lease-holder.ts';
import { LeaseTerm } from './lease-term.ts';
import type { LeaseTable } from './leases.ts';
import { contentsChanged, subtreeChanged } from './served-changes.ts';
import {
  HandleBudget,
  ServedHandles,
  type HandlePlace,
  type ServedFolder,
  type ServedHandle,
} from './served-handles.ts';
import type { SharedFolder, ShareProvider } from './shared-folder.ts';
import type { Visit } from './sole-leases.ts';
import { Turnstile } from './turnstile.ts';
import type { Handle, TreeChange } from './tree.ts';

export interface ServingOptions {
  readonly channel: Channel;
  readonly shares: ShareProvider;
  /** One table for all peers of the node. */
  readonly leases: LeaseTable;
  /** One for all peers of the node. Default: one of its own, as large as any. */
  readonly budget?: HandleBudget;
  readonly clock: Clock;
  readonly log: Logger;
}

/** All calls but the mounting side's `recall` (RemotePeer.handlers) and the mailbox's: together they are a Handlers. */
export type ServedCall = Exclude<CallName, 'recall' | MailboxCall>;
export type ServedHandlers<M extends ServedCall = ServedCall> = Pick<Handlers, M>;

interface ShareVisit extends Visit {
  readonly share: number;
}

type ByPath = Pick<RequestOf<'getattr'>, 'share' | 'path'> & Partial<Pick<RequestOf<'rename'>, 'newPath'>>;
type OfDirectory = Pick<RequestOf<'readFiles'>, 'share' | 'directory'>;
const isByPath = (request: object): request is ByPath => 'share' in request && 'path' in request;
const isOfDirectory = (request: object): request is OfDirectory => 'share' in request && 'directory' in request;

/** What a call by path concerns; those by handle see to it themselves. */
function visitOf(request: object): ShareVisit | undefined {
  if (isOfDirectory(request)) return { share: request.share, directories: [request.directory] };
  if (!isByPath(request)) return undefined;
  const { share, path, newPath } = request;
  if (newPath === undefined) return { share, directories: [parentOf(path), path] };
  return {
    share,
    directories: [parentOf(path), parentOf(newPath)],
    // A rename; of a file that gets another name there is nothing below.
    subtrees: [path, newPath],
  };
}

/** Tuning: how many calls of a peer may keep a thread each. */
const SLOW_CALLS_AT_ONCE = 4;

/** Without a path for less is a path that moved. Milliseconds. */
const AWAY_MS = 5000;

/** Grows with each peer served: lock owners of different peers differ by it. */
let peersServed = 0;

export class ServedPeer {
  readonly #channel: Channel;
  readonly #shares: ShareProvider;
  readonly #leaseTable: LeaseTable;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #folders = new Map<number, ServedFolder>();
  readonly handles: ServedHandles;
  /** Copying, syncing and allocating keep a thread of the pool that all peers share for long. */
  readonly slowCalls = new Turnstile(SLOW_CALLS_AT_ONCE);
  readonly #ownerTag: bigint;
  readonly #stops: (() => void)[];
  readonly term: LeaseTerm;
  #closed = false;
  /** Since when no path leads to the peer, Clock.now(); Infinity while one does. */
  #leftAt = Infinity;
  /** When it last left for longer than a moment. */
  #wasAwayFrom = Number.NEGATIVE_INFINITY;

  constructor({ channel, shares, leases, budget, clock, log }: ServingOptions) {
    this.handles = new ServedHandles(budget ?? new HandleBudget(Number.MAX_SAFE_INTEGER));
    this.#channel = channel;
    this.#shares = shares;
    this.#leaseTable = leases;
    this.term = new LeaseTerm(leases.leaseMs, () => channel.pace);
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
        const now = clock.now();
        if (state === 'live' && now - this.#leftAt >= AWAY_MS) this.#wasAwayFrom = this.#leftAt;
        if (state === 'live') this.#leftAt = Infinity;
        else this.#leftAt = Math.min(this.#leftAt, now);
        if (state === 'offline') this.#goneAfterLease();
      }),
    ];
    this.#refreshShares();
  }

  /** Releases handles, locks, leases. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const stop of this.#stops) stop();
    this.#forgetPeer('closed');
  }

  /** What the peer may see now. */
  shares(): readonly SharedFolder[] {
    return this.#shares.list(this.#channel.peerId);
  }

  /**
   * Every call renews the peer's leases, or finds that they have ended, and runs when no other peer may be answering for
   * the names that it is about.
   */
  heard<M extends ServedCall>(
    handler: (request: RequestOf<M>, context: CallContext) => Promise<Answer<M>>,
  ): (request: RequestOf<M>, context: CallContext) => Promise<Answer<M>> {
    return async (request, context) => {
      if (this.#closed) throw new PeerfsError('EHOSTDOWN', 'closing');
      const now = this.#clock.now();
      const { heardAt } = this.term;
      if (this.term.heard(now)) this.#leasesEnded(heardAt);
      const visit = visitOf(request);
      const served = visit === undefined ? undefined : this.#folders.get(visit.share);
      if (visit === undefined || served === undefined) return handler(request, context);
      const { era } = this.handles;
      return served.leases.soles.visiting(served.holder, visit, () => {
        if (era !== this.handles.era) throw new PeerfsError('ESTALE', 'the peer has gone meanwhile');
        return handler(request, context);
      });
    };
  }

  /** Waits for a change to be done, then for those whom it concerns; also when it failed: half may be done. */
  async changing<T>(served: ServedFolder, changes: readonly TreeChange[], done: Promise<T>): Promise<T> {
    const { era } = this.handles;
    try {
      return await done;
    } finally {
      // Of what it had asked for before, a peer that restarted knows nothing.
      await served.leases.changed(era === this.handles.era ? served.holder : undefined, changes);
    }
  }

  /** The same of what is done to an open file. */
  async writing<T>(open: ServedHandle, done: Promise<T>, change = contentsChanged): Promise<T> {
    const { leases, holder } = open.served;
    try {
      return await done;
    } finally {
      // Who does not know where the file stands now is told of its own change, too.
      const told = leases.changed(open.isMoved ? undefined : holder, [change(open.path)]);
      if (told !== undefined) await told;
      // Under which other name the file is known, and to whom, nobody can say: all are told to look anew.
      if (await open.isElsewhere()) await leases.changed(undefined, [subtreeChanged(ROOT)]);
    }
  }

  served(share: number): ServedFolder {
    const served = this.#folders.get(share);
    if (served === undefined) throw new PeerfsError('ESTALE', 'no such share');
    return served;
  }

  /**
   * After an await: the share or the peer may have gone, and with it whoever would release the handle.
   * @param changes made by opening it: others are told of them all the same.
   * @returns undefined if both are there; else rejects with ESTALE.
   */
  goneMeanwhile(
    served: ServedFolder,
    handle: Handle,
    place: HandlePlace,
    changes: readonly TreeChange[] = [],
  ): Promise<never> | undefined {
    if (!this.#closed && this.#folders.get(served.share) === served && !place.isStale()) return undefined;
    void served.tree.release(handle).catch(() => undefined);
    const told = Promise.resolve(served.leases.changed(undefined, changes));
    return told.then(() => Promise.reject(new PeerfsError('ESTALE', 'the share or its peer has gone meanwhile')));
  }

  writable(share: number): ServedFolder {
    const served = this.served(share);
    if (!served.isWritable) throw new PeerfsError('EROFS', 'the share is read-only');
    return served;
  }

  file(handle: number, of?: ServedFolder): ServedHandle {
    const open = this.handles.get(handle);
    if (open.isDirectory) throw new PeerfsError('EISDIR', 'a directory');
    if (of !== undefined && open.served !== of) throw new PeerfsError('EBADF', 'a handle of another share');
    return open;
  }

  writableFile(handle: number): ServedHandle {
    const open = this.file(handle);
    if (!open.served.isWritable) throw new PeerfsError('EROFS', 'the share is read-only');
    return open;
  }

  owner(owner: bigint): bigint {
    return this.#ownerTag | owner;
  }

  /** Whether a lock owner as the tree has it is this peer's. */
  isOwn(owner: bigint): boolean {
    return owner >> 64n === this.#ownerTag >> 64n;
  }

  async release(number: number): Promise<void> {
    const open = this.handles.remove(number);
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
      term: this.term,
      recall: async (path, what, change) => {
        await this.#channel.call('recall', { share, path, what, change });
      },
    };
    return { share, isWritable: writable, tree, leases: this.#leaseTable.of(tree), holder };
  }

  #dropShare(served: ServedFolder): void {
    this.#folders.delete(served.share);
    served.leases.dropHolder(served.holder);
    for (const [number, open] of this.handles.entries()) if (open.served === served) void this.release(number);
  }

  /** Whoever was merely silent writes on as it likes; who was away may have writes from before. */
  #leasesEnded(heardAt: number): void {
    this.#dropLeases();
    if (this.#wasAwayFrom < heardAt) return;
    for (const { leases, holder } of this.#folders.values()) leases.followed.overtaken(holder, heardAt);
  }

  #dropLeases(): void {
    for (const served of this.#folders.values()) served.leases.dropHolder(served.holder);
  }

  #forgetPeer(reason: string): void {
    this.#dropLeases();
    this.term.forget();
    const numbers = this.handles.forgotten();
    for (const number of numbers) void this.release(number);
    if (numbers.length > 0) this.#log.debug('handles released', { count: numbers.length, reason });
  }

  /** Handles and locks live as long as leases do; whoever comes back later opens them again. */
  #goneAfterLease(): void {
    const leftMs = Math.max(0, this.term.endsAt - this.#clock.now());
    this.#clock.after(leftMs + 1, () => {
      if (!this.#closed && this.#channel.state === 'offline' && this.#clock.now() > this.term.endsAt) {
        this.#forgetPeer('the peer is gone');
      }
    });
  }
}
