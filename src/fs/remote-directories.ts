/**
 * RemoteTree's open directories: listings from the cache where they are known whole, else from the server, page by page,
 * the next asked for while one is read, and taken into the cache when they come under a lease. Bounded: of a directory
 * that is open no more than two pages are held here.
 */
import type { ByteString } from '../bytestring.ts';
import { codeOf, PeerfsError } from '../errors.ts';
import { recycle } from '../frame-pool.ts';
import type { CallResult } from '../net/channel.ts';
import { ListingReader } from '../wire/listing.ts';
import { LIMITS, type DirectoryEntry } from '../wire/schema.ts';
import type { ListingPrefetch } from './listing-prefetch.ts';
import type { CachedListing, KnownEntry } from './remote-cache.ts';
import type { RemoteShare } from './remote-share.ts';
import type { Handle, Listing } from './tree.ts';

/** Tuning, entries. A first page has what the server lists in about a round trip, pages after it twice as much each. */
const FIRST_PAGE = 1024;
const ENTRIES_PER_MS = 100;
/** Nothing is known of a round trip yet, milliseconds. */
const UNKNOWN_ROUND_TRIP_MS = 20;
/** Names of one directory that are believed: a peer may go on for ever. */
const MAX_NAMES = 2 ** 22;
/** A directory with so few entries is listed in no time. */
const FEW = 64;

/** Entries that came, read bit by bit. */
interface Page {
  readonly bytes: Uint8Array;
  readonly reader: ListingReader;
  /** Where the listing goes on after them. */
  readonly next: bigint;
  readonly end: boolean;
  /** The bytes were given back. */
  isReturned: boolean;
}

interface OpenDirectory {
  path: ByteString;
  /** The server's number; 0 while none is needed. */
  number: number;
  /** From the cache; cursors are positions in it. */
  snapshot: readonly KnownEntry[] | undefined;
  /** What is left of it follows `position`. */
  page: Page | undefined;
  /** Cursor of the last entry that was read. */
  position: bigint;
  /** Names read since the beginning. */
  count: number;
  /** Of the page to be asked for next. */
  pageEntries: number;
  /** The page after `page`. */
  ahead: Promise<Page> | undefined;
  /** Where what was read is remembered. */
  cached: CachedListing | undefined;
  isLeased: boolean;
  sentAt: number;
  /** It was read from its beginning. */
  isBegun: boolean;
  /** We removed it. */
  isGone: boolean;
  readonly change: number;
  readonly epoch: number;
}

export class RemoteDirectories {
  readonly #share: RemoteShare;
  readonly #handles = new Map<Handle, OpenDirectory>();
  readonly #nextHandle: () => Handle;
  readonly #prefetch: ListingPrefetch;
  #roundTripMs = UNKNOWN_ROUND_TRIP_MS;

  constructor(share: RemoteShare, nextHandle: () => Handle, prefetch: ListingPrefetch) {
    this.#share = share;
    this.#nextHandle = nextHandle;
    this.#prefetch = prefetch;
  }

  has(handle: Handle): boolean {
    return this.#handles.has(handle);
  }

  async open(path: ByteString): Promise<Handle> {
    const { order, lease, cache, creations, clock } = this.#share;
    const held = creations.settled(path);
    if (held !== undefined) await held;
    this.#prefetch.opened(path);
    const arriving = this.#prefetch.arriving(path);
    if (arriving !== undefined) await arriving;
    const sentAt = order.now;
    const snapshot = cache.listing(path);
    const handle = this.#nextHandle();
    const pageEntries = this.#firstPage;
    const fresh = {
      path,
      snapshot,
      page: undefined,
      position: 0n,
      count: 0,
      ahead: undefined,
      cached: undefined,
      sentAt,
      pageEntries,
      isBegun: false,
      isGone: false,
    };
    if (snapshot !== undefined) {
      this.#handles.set(handle, { ...fresh, number: 0, isLeased: true, change: 0, epoch: lease.epoch });
      return handle;
    }
    const openedAt = clock.now();
    const { reply, payload } = await this.#opened(path, pageEntries);
    if (reply.count <= FEW) this.#roundTripMs = Math.min(2 * this.#roundTripMs, clock.now() - openedAt);
    const { handle: number, change } = reply;
    const open: OpenDirectory = { ...fresh, number, isLeased: reply.leaseMs > 0, change, epoch: lease.epoch };
    // A reply that is sent again comes without its payload.
    if (payload.length > 0 || reply.count === 0) open.page = pageOf(reply, payload);
    open.cached = this.#beginCaching(open);
    this.#handles.set(handle, open);
    return handle;
  }

  async read(handle: Handle, cursor: bigint, maxEntries: number): Promise<Listing> {
    const open = this.#get(handle);
    if (cursor === 0n) await this.#begin(open);
    if (open.isGone) return { entries: [], end: true };
    if (open.snapshot !== undefined) return this.#fromSnapshot(open.snapshot, cursor, maxEntries);
    let { page } = open;
    if (cursor !== open.position || page === undefined) {
      open.ahead = undefined;
      // From anywhere else than where it stopped, what is read is not all that there is.
      open.cached = cursor === 0n ? this.#beginCaching(open) : undefined;
      if (cursor === 0n) open.count = 0;
      page = await this.#page(open, cursor);
    } else if (page.reader.left === 0 && !page.end) {
      const { next } = page;
      page = await (open.ahead ?? this.#page(open, next)).catch(() => this.#page(open, next));
      open.ahead = undefined;
    }
    open.page = page;
    if (open.ahead === undefined && !page.end && this.#share.channel.pace === 'fast') {
      open.ahead = this.#page(open, page.next);
      open.ahead.catch(() => undefined);
    }
    const entries = page.reader.read(maxEntries);
    open.count += entries.length;
    if (open.count > MAX_NAMES) throw new PeerfsError('EIO', 'a directory with too many names');
    open.position = entries.at(-1)?.cursor ?? cursor;
    const end = page.end && page.reader.left === 0;
    if (page.reader.left === 0 && !page.isReturned) {
      page.isReturned = true;
      recycle(page.bytes);
    }
    this.#learn(open, entries, end);
    return { entries: this.#withUnwritten(entries), end };
  }

  /** Milliseconds for which what was read holds, attributes and all; 0 if some of it is in doubt. */
  leaseMs(handle: Handle): number {
    const open = this.#handles.get(handle);
    const { creations, files, lease } = this.#share;
    if (open === undefined || !creations.isEmpty || files.isAnyDirty() || !this.#isCurrent(open)) return 0;
    return lease.leftMs(open.epoch);
  }

  async fsync(handle: Handle, dataOnly: boolean): Promise<void> {
    const open = this.#get(handle);
    await this.#through(open, (number) => this.#share.call('fsync', { handle: number, dataOnly }));
  }

  async release(handle: Handle): Promise<void> {
    const open = this.#handles.get(handle);
    if (open === undefined) return;
    this.#handles.delete(handle);
    // What is asked for ahead still needs it.
    void (open.ahead ?? Promise.resolve())
      .catch(() => undefined)
      .then(() => {
        if (open.number !== 0) this.#share.releases.add(open.number);
      });
  }

  /** Our own rename: directories are open under other names, or under none. */
  renamed(from: ByteString, to: ByteString, isExchange: boolean): void {
    for (const open of this.#handles.values()) {
      const path = movedPath(open.path, from, to) ?? (isExchange ? movedPath(open.path, to, from) : undefined);
      if (path !== undefined) open.path = path;
      else if (open.path === to) open.isGone = true;
    }
  }

  /** Our own rmdir. */
  removed(path: ByteString): void {
    for (const open of this.#handles.values()) if (open.path === path) open.isGone = true;
  }

  /** The server restarted: its handles are gone. */
  serverRestarted(): void {
    for (const open of this.#handles.values()) {
      open.number = 0;
      open.cached = undefined;
    }
  }

  /**
   * From the beginning, what is listed is what stands there now: what came with the opening, if no name has changed since
   * and it was not read yet.
   */
  async #begin(open: OpenDirectory): Promise<void> {
    const { order, cache, creations } = this.#share;
    const held = open.isGone ? undefined : creations.settled(open.path);
    if (held !== undefined) await held;
    const isFresh = !open.isBegun && order.areNamesCurrent(open.path, open.sentAt, open.change);
    open.isBegun = true;
    if (isFresh || open.isGone) return;
    open.page = undefined;
    open.position = 0n;
    open.sentAt = order.now;
    // A lease may have ended with a change that was seen meanwhile.
    open.isLeased = false;
    if (open.snapshot !== undefined) open.snapshot = cache.listing(open.path);
  }

  get #firstPage(): number {
    if (this.#share.channel.pace === 'slow') return FIRST_PAGE;
    return Math.min(LIMITS.entriesPerReply, Math.max(FIRST_PAGE, Math.round(this.#roundTripMs * ENTRIES_PER_MS)));
  }

  #get(handle: Handle): OpenDirectory {
    const open = this.#handles.get(handle);
    if (open === undefined) throw new PeerfsError('EBADF', 'no such handle');
    return open;
  }

  #fromSnapshot(snapshot: readonly KnownEntry[], cursor: bigint, maxEntries: number): Listing {
    const from = Number(cursor);
    const entries = snapshot
      .slice(from, from + maxEntries)
      .map(({ name, attributes }, index) => ({ name, attributes, cursor: BigInt(from + index + 1) }));
    return { entries: this.#withUnwritten(entries), end: from + entries.length >= snapshot.length };
  }

  #opened(path: ByteString, maxEntries: number): Promise<CallResult<'openDirectory'>> {
    const { share, releases } = this.#share;
    const late = ({ reply: { handle } }: CallResult<'openDirectory'>) => {
      if (handle !== 0) releases.add(handle);
    };
    return releases.opening(() => this.#share.call('openDirectory', { share, path, maxEntries }, { late }));
  }

  async #page(open: OpenDirectory, cursor: bigint): Promise<Page> {
    const maxEntries = Math.min(LIMITS.entriesPerReply, 2 * open.pageEntries);
    open.pageEntries = maxEntries;
    const { reply, payload } = await this.#through(open, (handle) =>
      this.#share.call('readDirectory', { handle, cursor, maxEntries }),
    );
    if (!reply.end && reply.next === cursor) throw new PeerfsError('EIO', 'a listing that does not go on');
    return pageOf(reply, payload);
  }

  /** With what is unwritten of files that are open. */
  #withUnwritten(entries: readonly DirectoryEntry[]): readonly DirectoryEntry[] {
    if (!this.#share.files.isAnyDirty()) return entries;
    return entries.map((entry) => ({ ...entry, attributes: this.#share.withUnwritten(entry.attributes) }));
  }

  #isCurrent({ isLeased, epoch, path, sentAt, change }: OpenDirectory): boolean {
    return isLeased && epoch === this.#share.lease.epoch && this.#share.order.isListingCurrent(path, sentAt, change);
  }

  #beginCaching(open: OpenDirectory): CachedListing | undefined {
    return this.#isCurrent(open) ? this.#share.cache.beginListing(open.path) : undefined;
  }

  /** What was listed so far is good under the lease already: else the kernel would ask for each file again. */
  #learn(open: OpenDirectory, entries: readonly DirectoryEntry[], end: boolean): void {
    if (open.cached === undefined) return;
    const { cache, files } = this.#share;
    const goesOn = this.#isCurrent(open) && cache.addListed(open.cached, open.path, files.asKept(entries), end);
    if (!goesOn || end) open.cached = undefined;
    if (goesOn && end) this.#prefetch.listed(open.path);
  }

  async #through<T>(open: OpenDirectory, run: (number: number) => Promise<T>): Promise<T> {
    if (open.number !== 0) {
      try {
        return await run(open.number);
      } catch (error) {
        const code = codeOf(error);
        if (code !== 'EBADF' && code !== 'ESTALE') throw error;
      }
    }
    const { reply } = await this.#opened(open.path, 0);
    open.number = reply.handle;
    open.cached = undefined;
    return run(open.number);
  }
}

/** Where a path leads after a rename; undefined if it was not moved. */
function movedPath(path: ByteString, from: ByteString, to: ByteString): ByteString | undefined {
  if (path !== from && !path.startsWith(`${from}/`)) return undefined;
  return (to + path.slice(from.length)) as ByteString;
}

function pageOf(reply: CallResult<'readDirectory'>['reply'], payload: Uint8Array): Page {
  const { count, next, end } = reply;
  return { bytes: payload, reader: new ListingReader(payload, count), next, end, isReturned: false };
}
