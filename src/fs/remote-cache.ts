/**
 * What is known of the directories of one share: attributes by name, names that do not exist, whole listings.
 * Nothing is believed longer than its lease (remote-lease.ts). Bounded; the directories used longest ago go first.
 * Contents (remote-contents.ts) go with the attributes that they belong to.
 */
import { nameOf, parentOf, ROOT, type ByteString } from '../bytestring.ts';
import { RECALL, type Attributes } from '../wire/schema.ts';
import type { RemoteContents } from './remote-contents.ts';
import type { ListedEntry } from './remote-file.ts';
import type { PeerLease } from './remote-lease.ts';

/** Tuning: names remembered of one share. */
const MAX_ENTRIES = 200_000;
/** Larger directories are not kept whole, entries. */
const MAX_LISTING = 131_072;

const S_IFMT = 0o170000;
const S_IFDIR = 0o040000;

interface KnownDirectory {
  /** null: there is no such name; undefined: it exists, more is not known. */
  readonly entries: Map<ByteString, Attributes | null | undefined>;
  /** `entries` holds every name there is. */
  complete: boolean;
  /** Lease epoch in which all of it was learned. */
  epoch: number;
  /** Sole epoch in which we were told to be alone there; 0: we were not. */
  soleEpoch: number;
  /** Names that were made or removed by us while we were alone there. */
  ownChanges: number;
  /** Names of which it is not known any more whether they exist. */
  forgotten: number;
}

/** All names of a directory, being asked for: how things stood when it began. */
export interface CensusBefore {
  readonly knowledge: object;
  readonly forgotten: number;
}

/** A listing that is being taken in. */
export type CachedListing = Pick<KnownDirectory, 'epoch'>;

export interface KnownEntry {
  readonly name: ByteString;
  readonly attributes: Attributes;
}

/** A file with other names may be changed where no lease of ours reaches. */
export const isCacheable = ({ mode, nlink }: Attributes): boolean => nlink <= 1 || (mode & S_IFMT) === S_IFDIR;

export class DirectoryCache {
  readonly #lease: PeerLease;
  readonly #directories = new Map<ByteString, KnownDirectory>();
  readonly #contents: RemoteContents;
  #size = 0;

  constructor(lease: PeerLease, contents: RemoteContents) {
    this.#lease = lease;
    this.#contents = contents;
  }

  /** @returns null if it is known not to exist, undefined if nothing is known. */
  get(path: ByteString): Attributes | null | undefined {
    return this.find(parentOf(path), nameOf(path));
  }

  /** The same of a name in a directory. */
  find(directory: ByteString, name: ByteString): Attributes | null | undefined {
    const known = this.#valid(directory);
    if (known === undefined) return undefined;
    const attributes = known.entries.get(name);
    if (attributes === undefined && known.complete && name !== ROOT && !known.entries.has(name)) return null;
    return attributes;
  }

  /** Milliseconds for which get() may be believed, 0 if it knows nothing. */
  leftMs(path: ByteString): number {
    return this.get(path) === undefined ? 0 : this.#lease.leftMs(this.#lease.epoch);
  }

  /** Whether the directory's names are under a lease, so that absence may be remembered. */
  isLeased(directory: ByteString): boolean {
    return this.#valid(directory) !== undefined;
  }

  /** What stands for all that is known of the directory now: as long as it is the same, the lease was not lost. */
  knowledge(directory: ByteString): object | undefined {
    return this.#valid(directory);
  }

  /** We were told to be alone in the directory, which is under a lease. */
  putSole(directory: ByteString): void {
    const known = this.#valid(directory);
    if (known === undefined) return;
    known.soleEpoch = this.#lease.soleEpoch;
    known.ownChanges += 1;
  }

  /** @returns undefined if the names need not be asked for: they are known, or this is not the second of our changes. */
  beginCensus(directory: ByteString): CensusBefore | undefined {
    const known = this.#valid(directory);
    if (known === undefined || known.complete || known.ownChanges !== 2) return undefined;
    return { knowledge: known, forgotten: known.forgotten };
  }

  /** @param names all there were, at some time since it began; none was changed by others meanwhile. */
  endCensus(directory: ByteString, before: CensusBefore, names: readonly ByteString[]): void {
    const known = this.#valid(directory);
    if (known === undefined || known !== before.knowledge || known.forgotten !== before.forgotten) return;
    for (const name of names) {
      if (known.entries.has(name)) continue;
      known.entries.set(name, undefined);
      this.#size += 1;
    }
    known.complete = true;
    if (this.#size > MAX_ENTRIES) this.#evict();
  }

  endSole(directory: ByteString): void {
    const known = this.#directories.get(directory);
    if (known !== undefined) known.soleEpoch = 0;
  }

  /** Milliseconds for which nobody else looks at or changes names in the directory, 0 or less if that is not known. */
  soleLeftMs(directory: ByteString): number {
    return this.#valid(directory)?.soleEpoch === this.#lease.soleEpoch ? this.#lease.soleLeftMs() : 0;
  }

  /** The name exists, more is not known. */
  putName(path: ByteString): void {
    const known = this.#valid(parentOf(path));
    if (known === undefined) return;
    if (!known.entries.has(nameOf(path))) this.#size += 1;
    known.entries.set(nameOf(path), undefined);
  }

  /** Remembers what a reply under a lease said. null: no such name (only where isLeased). */
  put(path: ByteString, attributes: Attributes | null): void {
    const known = this.#known(parentOf(path));
    const name = nameOf(path);
    if (!known.entries.has(name)) this.#size += 1;
    const kept = attributes === null || isCacheable(attributes) ? attributes : undefined;
    known.entries.set(name, kept);
    this.#contents.heard(path, kept);
    if (this.#size > MAX_ENTRIES) this.#evict();
  }

  /** Begins to take in a listing that is read under a lease, from its beginning. */
  beginListing(directory: ByteString): CachedListing {
    const own = directory === ROOT ? this.get(ROOT) : undefined;
    // What was known before goes; contents stay with the attributes that are heard once more.
    const before = this.#valid(directory);
    if (before !== undefined) this.#remove(directory);
    const known = this.#known(directory);
    known.soleEpoch = before?.soleEpoch ?? 0;
    if (own !== undefined) known.entries.set(ROOT, own);
    this.#size += known.entries.size;
    return known;
  }

  /**
   * @param entries that follow those before. @param isEnd nothing follows them.
   * @returns whether more may be added: not when the directory was recalled meanwhile, or is too large.
   */
  addListed(listing: CachedListing, directory: ByteString, entries: readonly ListedEntry[], isEnd: boolean): boolean {
    const known = this.#valid(directory);
    if (known === undefined || known !== listing) return false;
    if (known.entries.size + entries.length > MAX_LISTING) {
      this.#remove(directory);
      return false;
    }
    const before = known.entries.size;
    for (const { name, attributes } of entries) {
      known.entries.set(name, attributes !== undefined && isCacheable(attributes) ? attributes : undefined);
    }
    this.#size += known.entries.size - before;
    if (isEnd) {
      known.complete = true;
      this.#contents.heardAll(directory, (name) => known.entries.get(name));
    }
    if (this.#size > MAX_ENTRIES) this.#evict();
    return true;
  }

  /** A directory that was just made, under a lease. */
  putEmpty(directory: ByteString): void {
    this.forgetDirectory(directory);
    this.#known(directory).complete = true;
  }

  /** All names of the directory with all their attributes, if they are known. */
  listing(directory: ByteString): readonly KnownEntry[] | undefined {
    const known = this.#valid(directory);
    if (known?.complete !== true) return undefined;
    const found: KnownEntry[] = [];
    for (const [name, attributes] of known.entries) {
      if (attributes === null || name === ROOT) continue;
      if (attributes === undefined) return undefined;
      found.push({ name, attributes });
    }
    return found;
  }

  /** The names as they stand here: null for names that are gone, undefined for those of which no more is known. */
  listed(directory: ByteString): ReadonlyMap<ByteString, Attributes | null | undefined> | undefined {
    const known = this.#valid(directory);
    return known?.complete === true ? known.entries : undefined;
  }

  /** The name is known to be gone, by our own doing. */
  removed(path: ByteString): void {
    this.#contents.forget(path);
    const known = this.#valid(parentOf(path));
    if (known === undefined) return;
    if (known.complete) {
      if (known.entries.delete(nameOf(path))) this.#size -= 1;
    } else this.put(path, null);
  }

  /** The file changed; its name still stands. */
  forgetAttributes(path: ByteString): void {
    this.#contents.forget(path);
    const known = this.#directories.get(parentOf(path));
    const name = nameOf(path);
    if (known?.entries.has(name) === true) known.entries.set(name, undefined);
  }

  /** Nothing is known of the path itself any more. */
  forget(path: ByteString): void {
    this.#contents.forget(path);
    const known = this.#directories.get(parentOf(path));
    if (known === undefined) return;
    if (known.entries.delete(nameOf(path))) this.#size -= 1;
    if (path === ROOT) return;
    known.complete = false;
    known.forgotten += 1;
  }

  forgetDirectory(directory: ByteString): void {
    this.#contents.forgetDirectory(directory);
    this.#remove(directory);
  }

  #remove(directory: ByteString): void {
    const known = this.#directories.get(directory);
    if (known === undefined) return;
    this.#size -= known.entries.size;
    this.#directories.delete(directory);
  }

  /** As a recall says: bits of RECALL. */
  recalled(path: ByteString, what: number): void {
    if (what & (RECALL.attributes | RECALL.contents)) this.forgetAttributes(path);
    if (what & RECALL.sole) this.endSole(path);
    if (what & RECALL.entries) this.forgetDirectory(path);
    if (what & RECALL.subtree) this.forgetBelow(path);
  }

  forgetBelow(path: ByteString): void {
    for (const directory of [...this.#directories.keys()]) {
      if (path === ROOT || directory === path || directory.startsWith(`${path}/`)) this.forgetDirectory(directory);
    }
  }

  clear(): void {
    this.#directories.clear();
    this.#contents.clear();
    this.#size = 0;
  }

  #valid(directory: ByteString): KnownDirectory | undefined {
    const known = this.#directories.get(directory);
    if (known === undefined) return undefined;
    if (this.#lease.leftMs(known.epoch) > 0) return known;
    this.forgetDirectory(directory);
    return undefined;
  }

  #known(directory: ByteString): KnownDirectory {
    const known = this.#valid(directory);
    if (known !== undefined) return known;
    this.forgetDirectory(directory);
    const fresh: KnownDirectory = {
      entries: new Map(),
      complete: false,
      epoch: this.#lease.epoch,
      soleEpoch: 0,
      ownChanges: 0,
      forgotten: 0,
    };
    this.#directories.set(directory, fresh);
    return fresh;
  }

  #evict(): void {
    for (const directory of this.#directories.keys()) {
      if (this.#size <= MAX_ENTRIES) return;
      this.forgetDirectory(directory);
    }
  }
}
