/**
 * Listing directories before they are opened: when a program walks through a tree (find, du, cp -r, rm -r), the directories
 * that come next are asked for, many at once. Owns what is guessed and how much; what comes is kept in remote-cache.ts, as
 * true as anything under a lease.
 *
 * Nothing is listed without a lease, or on a slow path.
 */
import { join, parentOf, type ByteString } from '../bytestring.ts';
import type { CallResult } from '../net/channel.ts';
import { ListingReader } from '../wire/listing.ts';
import type { Attributes } from '../wire/schema.ts';
import { PrefetchWindow } from './prefetch-window.ts';
import type { RemoteShare } from './remote-share.ts';
import { nextIn, ORDERS, type WalkOrderName, type WalkedName } from './walk-step.ts';
import { WalkPlan } from './walk-plan.ts';

/** Tuning. */
/** Larger directories are left to those who open them, entries. */
const MAX_ENTRIES = 1024;
const CALLS_AT_ONCE = 64;
/** What a directory counts in the window, and what each entry that came, bytes. */
const DIRECTORY_COST = 4096;
const ENTRY_COST = 64;
/** So many steps from one directory to another that belong together are a walk, if they follow each other so soon (milliseconds). */
const STEPS_OF_A_WALK = 2;
const SOON_MS = 3000;
/** Directories opened lately that are remembered. */
const REMEMBERED = 64;
/** Among more directories so many steps are looked at to tell their order, among fewer all. */
const MANY = 512;
const STEPS_AMONG_MANY = 8;

const S_IFMT = 0o170000;
const S_IFDIR = 0o040000;

export class ListingPrefetch {
  readonly #share: RemoteShare;
  readonly #window = new PrefetchWindow();
  readonly #plan = new WalkPlan();
  /** Asked for and not opened yet: what each counts in the window. */
  readonly #guesses = new Map<ByteString, number>();
  readonly #arriving = new Map<ByteString, Promise<void>>();
  /** Opened lately, and which of its directories last. */
  readonly #recent = new Map<ByteString, ByteString | undefined>();
  #openedAt = Number.NEGATIVE_INFINITY;
  #steps = 0;
  #order: WalkOrderName = 'listed';
  readonly #scores: Record<WalkOrderName, number> = { listed: 0, inode: 0, name: 0 };
  #stepsAmongMany = 0;
  /** Called with each directory of which all names have become known. */
  onListed: (path: ByteString) => void = () => undefined;
  /** Inode number of a file as programs see it. */
  shownInode: (attributes: Attributes) => bigint = ({ inode }) => inode;

  constructor(share: RemoteShare) {
    this.#share = share;
  }

  /** Settles when the listing is in the cache or will not come; undefined if it is not on its way. */
  arriving(path: ByteString): Promise<void> | undefined {
    return this.#arriving.get(path);
  }

  /** A program has opened the directory. */
  opened(path: ByteString): void {
    if (this.#share.channel.pace === 'slow') return;
    const now = this.#share.clock.now();
    if (now - this.#openedAt > SOON_MS) this.#rest();
    this.#openedAt = now;
    this.#used(path);
    const parent = parentOf(path);
    const isStep = path !== parent && this.#recent.has(parent);
    if (isStep) this.#stepped(parent, path);
    this.#remember(path);
    const left = this.#plan.opened(path);
    if (left === undefined) {
      this.#steps = isStep ? this.#steps + 1 : 0;
      if (this.#steps < STEPS_OF_A_WALK) return;
      this.#plan.start(path, this.#following(path));
    } else for (const one of left) this.#wasted(one);
    this.#advance();
  }

  /** All names of the directory have become known. */
  listed(path: ByteString): void {
    this.onListed(path);
    if (!this.#plan.has(path)) return;
    const directories = this.#directoriesIn(path);
    if (directories.length === 0) return;
    this.#plan.listed(path, directories);
    this.#advance();
  }

  /** The server restarted. */
  clear(): void {
    this.#rest();
  }

  /** The walk is over. */
  #rest(): void {
    this.#plan.clear();
    this.#guesses.clear();
    this.#window.reset();
    this.#recent.clear();
    this.#steps = 0;
    this.#stepsAmongMany = 0;
    for (const order of ORDERS) this.#scores[order] = 0;
  }

  #remember(path: ByteString): void {
    const child = this.#recent.get(path);
    this.#recent.delete(path);
    this.#recent.set(path, child);
    for (const oldest of this.#recent.keys()) {
      if (this.#recent.size <= REMEMBERED) return;
      this.#recent.delete(oldest);
    }
  }

  /** A directory in `parent` was opened: in what order are they? */
  #stepped(parent: ByteString, path: ByteString): void {
    const last = this.#recent.get(parent);
    this.#recent.delete(parent);
    this.#recent.set(parent, path);
    if (last === undefined || last === path || this.#stepsAmongMany >= STEPS_AMONG_MANY) return;
    const names = this.#namesIn(parent);
    if (names.length > MANY) this.#stepsAmongMany += 1;
    for (const order of ORDERS) if (nextIn(names, order, last) === path) this.#scores[order] += 1;
    const best = ORDERS.reduce((a, b) => (this.#scores[b] > this.#scores[a] ? b : a), this.#order);
    if (best === this.#order) return;
    this.#order = best;
    if (this.#plan.size > 0) this.#plan.start(path, this.#following(path));
  }

  /** What comes after the directory and all that it has: those after it in its parent, then those after its parent. */
  #following(path: ByteString): ByteString[] {
    const following: ByteString[] = [];
    for (let at = path; ;) {
      const parent = parentOf(at);
      if (parent === at || !this.#recent.has(parent)) return following;
      const directories = this.#directoriesIn(parent);
      following.push(...directories.slice(directories.indexOf(at) + 1));
      at = parent;
    }
  }

  #directoriesIn(path: ByteString): ByteString[] {
    const names = this.#namesIn(path);
    const order = this.#order;
    if (order === 'inode') names.sort((a, b) => a.inode - b.inode);
    else if (order === 'name') names.sort((a, b) => (a.path < b.path ? -1 : 1));
    return names.map((name) => name.path);
  }

  #namesIn(directory: ByteString): WalkedName[] {
    const found: WalkedName[] = [];
    for (const [name, attributes] of this.#share.cache.listed(directory) ?? []) {
      if (!attributes || (attributes.mode & S_IFMT) !== S_IFDIR || name === '') continue;
      found.push({ path: join(directory, name), inode: Number(this.shownInode(attributes)) });
    }
    return found;
  }

  #used(path: ByteString): void {
    const amount = this.#guesses.get(path);
    if (amount === undefined) return;
    this.#guesses.delete(path);
    this.#window.used(amount);
  }

  #wasted(path: ByteString): void {
    const amount = this.#guesses.get(path);
    if (amount === undefined) return;
    this.#guesses.delete(path);
    this.#window.wasted(amount);
  }

  #advance(): void {
    let { room } = this.#window;
    while (room > 0 && this.#arriving.size < CALLS_AT_ONCE) {
      const path = this.#plan.next();
      if (path === undefined) return;
      if (this.#share.cache.listed(path) !== undefined) {
        // From an earlier walk: what it has comes next all the same.
        this.#plan.listed(path, this.#directoriesIn(path));
        continue;
      }
      this.#guesses.set(path, DIRECTORY_COST);
      this.#window.asked(DIRECTORY_COST);
      room -= DIRECTORY_COST;
      this.#list(path);
    }
  }

  #list(path: ByteString): void {
    const share = this.#share;
    const sentAt = share.order.now;
    const arrival = share
      .call('listDirectory', { share: share.share, path, maxEntries: MAX_ENTRIES })
      .then((result) => this.#arrived(path, sentAt, result))
      .catch(() => false)
      .then((isKept) => {
        this.#arriving.delete(path);
        if (isKept) this.listed(path);
        else this.#notGiven(path);
        this.#advance();
      });
    this.#arriving.set(path, arrival);
  }

  /** @returns whether the listing is in the cache now. @throws PeerfsError PROTOCOL */
  #arrived(path: ByteString, sentAt: number, { reply, payload }: CallResult<'listDirectory'>): boolean {
    const { cache, files, order } = this.#share;
    if (!reply.end || reply.leaseMs === 0 || !order.isListingCurrent(path, sentAt, reply.change)) return false;
    const entries = new ListingReader(payload, reply.count).read(reply.count);
    const amount = this.#guesses.get(path);
    if (amount !== undefined) {
      const cost = DIRECTORY_COST + entries.length * ENTRY_COST;
      this.#guesses.set(path, cost);
      this.#window.asked(cost - amount);
    }
    return cache.addListed(cache.beginListing(path), path, files.asKept(entries), true);
  }

  #notGiven(path: ByteString): void {
    const amount = this.#guesses.get(path);
    if (amount === undefined) return;
    this.#guesses.delete(path);
    this.#window.notGiven(amount);
  }
}
