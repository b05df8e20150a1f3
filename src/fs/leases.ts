/**
 * The lease table of a node: which peers were promised to be told before what they know of a directory stops being
 * true. Owns leases, change numbers, and the waiting for recalls to be acknowledged.
 * Does not own: what a call does to a tree (src/fs/serve.ts tells) or what a peer does with a lease (remote-cache.ts).
 *
 * The unit is a directory: its names (also those that do not exist), the attributes of the files they stand for and
 * the contents of those files. The attributes of the root itself belong to the root's own lease. A file with several
 * hard links is not covered (its other names may stand in directories without a lease): callers give leaseMs 0 for it.
 *
 * A change of one file is recalled for that file only, once, until the holder looks at it again; a change of names ends
 * the lease of the whole directory for all but the one who made it.
 *
 * Order: the number of a reply is taken before the lease is granted, and that before the tree is read; a change is counted
 * after the tree was changed. So a holder that read the old state under number n gets the recall, and its number is above n.
 */
import { isBelow, nameOf, parentOf, type ByteString } from '../bytestring.ts';
import type { Clock } from '../clock.ts';
import { RECALL } from '../wire/schema.ts';
import { FollowedFiles } from './followed-files.ts';
import type { LeaseHolder } from './lease-holder.ts';
import type { TermLengths } from './lease-term.ts';
import { SoleLeases } from './sole-leases.ts';
import type { TreeChange, WatchedTree } from './tree.ts';

/** Tuning. Milliseconds, by the pace of the path: where asking anew takes seconds, what is known lasts longer. */
const LEASE_MS: TermLengths = { fast: 15_000, slow: 60_000 };
const DIRECTORIES_PER_HOLDER = 4096;
/** A directory that could not be watched is not tried again for so long, milliseconds. */
const WATCH_RETRY_MS = 2000;

interface Lease {
  /** Names of files that were recalled and not looked at since. */
  recalled: Set<ByteString> | undefined;
}

interface LeasedDirectory {
  readonly holders: Map<LeaseHolder, Lease>;
}

interface PendingRecall {
  readonly holder: LeaseHolder;
  readonly path: ByteString;
  readonly settled: Promise<void>;
}

export interface LeaseTableOptions {
  readonly clock: Clock;
  /** How long a lease lives after the last call of its holder. */
  readonly leaseMs?: TermLengths;
}

export class LeaseTable {
  readonly leaseMs: TermLengths;
  readonly #clock: Clock;
  readonly #trees = new Map<WatchedTree, TreeLeases>();

  constructor(options: LeaseTableOptions) {
    this.#clock = options.clock;
    this.leaseMs = options.leaseMs ?? LEASE_MS;
  }

  of(tree: WatchedTree): TreeLeases {
    let leases = this.#trees.get(tree);
    if (leases === undefined) {
      leases = new TreeLeases(tree, this.#clock);
      this.#trees.set(tree, leases);
    }
    return leases;
  }

  /** The tree is shared no more. */
  forget(tree: WatchedTree): void {
    this.#trees.get(tree)?.close();
    this.#trees.delete(tree);
  }
}

export class TreeLeases {
  /** Counts changes; replies carry the number from before the tree was read. */
  change = 1;
  /** Grows when programs of this computer may have moved a name, made or removed one: which is not said. */
  namings = 0;
  readonly followed = new FollowedFiles();
  /** What calls of peers concern, and who may answer for names itself. */
  readonly soles: SoleLeases;
  readonly #tree: WatchedTree;
  readonly #clock: Clock;
  readonly #directories = new Map<ByteString, LeasedDirectory>();
  readonly #byHolder = new Map<LeaseHolder, Set<ByteString>>();
  readonly #unwatchable = new Map<ByteString, number>();
  readonly #pending = new Set<PendingRecall>();
  readonly #stopListening: () => void;
  #order = 0;
  /** Grows when watches may have ended while one was being set. */
  #watchEpoch = 0;

  constructor(tree: WatchedTree, clock: Clock) {
    this.#tree = tree;
    this.#clock = clock;
    this.soles = new SoleLeases(clock, () => (this.change += 1));
    this.#stopListening = tree.onChange((change) => this.#changedOutside(change));
  }

  close(): void {
    this.#stopListening();
    for (const holder of [...this.#byHolder.keys()]) this.dropHolder(holder);
  }

  /**
   * Promises `holder` to be told of changes in the directory. The change number that the reply carries is taken before:
   * a recall that ends this very lease, before its holder was told of it, is newer.
   * @param looksAt name whose attributes or contents are about to be read; undefined: of all names.
   * @returns milliseconds, 0 if the promise cannot be kept; a promise only while a watch is being set.
   */
  grant(holder: LeaseHolder, directory: ByteString, looksAt?: ByteString): number | Promise<number> {
    const leased = this.#directories.get(directory);
    if (leased === undefined) return this.#watchAndGrant(holder, directory, looksAt);
    const lease = leased.holders.get(holder);
    if (lease === undefined) this.#add(holder, directory, leased);
    else if (looksAt === undefined) lease.recalled = undefined;
    else lease.recalled?.delete(looksAt);
    return holder.term.tell();
  }

  /** The holder looks at the file again: if it has a lease, it is told of the next change too. @returns whether it has. */
  rearm(holder: LeaseHolder, directory: ByteString, name: ByteString): boolean {
    const lease = this.#directories.get(directory)?.holders.get(holder);
    lease?.recalled?.delete(name);
    return lease !== undefined;
  }

  /**
   * Promises the holder to be alone in the directory if it alone has a lease on it and nobody else is there.
   * @returns milliseconds since it was last heard; 0 for no promise.
   */
  grantSole(holder: LeaseHolder, directory: ByteString): number {
    const holders = this.#directories.get(directory)?.holders;
    if (holders?.size !== 1 || !holders.has(holder)) return 0;
    return this.soles.grant(holder, directory, holder.term.tell());
  }

  /** A number for what is about to be read of directories: whoever reads later has a higher one. */
  nextOrder(): number {
    this.#order += 1;
    return this.#order;
  }

  /**
   * Counts a change that is done and recalls what others were promised about it.
   * @param by who made it; it is not told.
   * @returns undefined if nobody had to be told, else settles when all have acknowledged or their leases have ended.
   */
  changed(by: LeaseHolder | undefined, changes: readonly TreeChange[]): Promise<void> | undefined {
    this.change += 1;
    this.followed.changed(by, changes, this.#clock.now());
    if (this.#directories.size === 0 && this.#pending.size === 0) return undefined;
    const waiting: Promise<void>[] = [];
    for (const recall of this.#pending) {
      if (recall.holder === by) continue;
      const related = changes.some(
        ({ path }) => isBelow(path, recall.path) || isBelow(recall.path, path) || parentOf(path) === recall.path,
      );
      if (related) waiting.push(recall.settled);
    }
    for (const change of changes) this.#affect(by, change, waiting);
    if (waiting.length === 0) return undefined;
    return Promise.all(waiting).then(() => undefined);
  }

  /** The holder is gone, or its leases have expired: nothing is promised to it any more. */
  dropHolder(holder: LeaseHolder): void {
    for (const directory of this.#byHolder.get(holder) ?? []) this.#remove(holder, directory, true);
    this.soles.dropHolder(holder);
    this.#byHolder.delete(holder);
  }

  async #watchAndGrant(holder: LeaseHolder, directory: ByteString, looksAt?: ByteString): Promise<number> {
    const retryAt = this.#unwatchable.get(directory);
    if (retryAt !== undefined) {
      if (this.#clock.now() < retryAt) return 0;
      this.#unwatchable.delete(directory);
    }
    const epoch = this.#watchEpoch;
    const isWatched = await this.#tree.watch(directory).catch(() => false);
    if (!isWatched) {
      if (this.#unwatchable.size >= DIRECTORIES_PER_HOLDER) this.#unwatchable.clear();
      this.#unwatchable.set(directory, this.#clock.now() + WATCH_RETRY_MS);
      return 0;
    }
    if (epoch !== this.#watchEpoch || this.#directories.has(directory)) {
      // Another call was first, or the watch may have ended with its directory.
      this.#tree.unwatch(directory);
      return this.#directories.has(directory) ? this.grant(holder, directory, looksAt) : 0;
    }
    // What programs did here unwatched may have moved names.
    this.namings += 1;
    const leased: LeasedDirectory = { holders: new Map() };
    this.#directories.set(directory, leased);
    this.#add(holder, directory, leased);
    return holder.term.tell();
  }

  #add(holder: LeaseHolder, directory: ByteString, leased: LeasedDirectory): void {
    leased.holders.set(holder, { recalled: undefined });
    let held = this.#byHolder.get(holder);
    if (held === undefined) {
      held = new Set();
      this.#byHolder.set(holder, held);
    }
    held.add(directory);
    if (held.size > DIRECTORIES_PER_HOLDER) {
      for (const oldest of held) {
        this.#remove(holder, oldest, false);
        void this.#tell(holder, oldest, RECALL.entries);
        break;
      }
    }
  }

  /** @param isOwn by the holder's own doing: it knows. */
  #remove(holder: LeaseHolder, directory: ByteString, isOwn: boolean): void {
    const leased = this.#directories.get(directory);
    if (leased?.holders.delete(holder) !== true) return;
    if (isOwn) this.soles.drop(holder, directory);
    else this.soles.recall(holder, directory);
    this.#byHolder.get(holder)?.delete(directory);
    if (leased.holders.size === 0) {
      this.#directories.delete(directory);
      this.#tree.unwatch(directory);
    }
  }

  #changedOutside({ path, what }: TreeChange): void {
    if (what !== (RECALL.attributes | RECALL.contents)) this.namings += 1;
    // A change of names changes the directory's own times too.
    const full = what & RECALL.entries ? what | RECALL.attributes : what;
    void this.changed(undefined, [{ path, what: full }]);
  }

  #affect(by: LeaseHolder | undefined, { path, what }: TreeChange, waiting: Promise<void>[]): void {
    const told = new Map<LeaseHolder, number>();
    const tell = (holder: LeaseHolder, bits: number) => {
      if (holder !== by) told.set(holder, (told.get(holder) ?? 0) | bits);
    };
    const ofFile = what & (RECALL.attributes | RECALL.contents);
    if (ofFile !== 0) {
      const name = nameOf(path);
      for (const [holder, lease] of this.#directories.get(parentOf(path))?.holders ?? []) {
        if (holder === by || lease.recalled?.has(name) === true) continue;
        (lease.recalled ??= new Set()).add(name);
        tell(holder, ofFile);
      }
    }
    if (what & RECALL.entries) {
      for (const holder of [...(this.#directories.get(path)?.holders.keys() ?? [])]) {
        if (holder === by) continue;
        this.#remove(holder, path, false);
        tell(holder, RECALL.entries);
      }
    }
    if (what & RECALL.subtree) {
      this.#watchEpoch += 1;
      for (const [directory, leased] of [...this.#directories]) {
        if (!isBelow(directory, path)) continue;
        for (const holder of [...leased.holders.keys()]) {
          this.#remove(holder, directory, holder === by);
          tell(holder, what);
        }
      }
    }
    for (const [holder, bits] of told) {
      const settled = this.#tell(holder, path, bits);
      if (settled !== undefined) waiting.push(settled);
    }
  }

  /** @returns undefined if the holder's leases have ended by time. */
  #tell(holder: LeaseHolder, path: ByteString, what: number): Promise<void> | undefined {
    const leftMs = holder.term.endsAt - this.#clock.now();
    if (leftMs <= 0) {
      this.dropHolder(holder);
      return undefined;
    }
    const settled = new Promise<void>((resolve) => {
      const timer = this.#clock.after(leftMs, resolve);
      // If it cannot be told, it may trust what it has until its lease ends.
      holder.recall(path, what, this.change).then(
        () => {
          timer.cancel();
          resolve();
        },
        () => undefined,
      );
    });
    const pending: PendingRecall = { holder, path, settled };
    this.#pending.add(pending);
    void settled.then(() => this.#pending.delete(pending));
    return settled;
  }
}
