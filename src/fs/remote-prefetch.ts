/**
 * Fetching small files before they are opened: when a program opens the files of a directory one after another, those
 * that come next are asked for, many in one call, several calls at once. Owns what is guessed and how much; what
 * comes is kept in remote-contents.ts, and is as true as anything under a lease. Where whole trees are walked through
 * (listing-prefetch.ts) directories that are only about to be opened have their files fetched, too.
 *
 * Nothing is fetched without a lease, on a slow path, or from a directory whose names are not known.
 */
import { join, type ByteString } from '../bytestring.ts';
import { recycle } from '../frame-pool.ts';
import type { CallResult } from '../net/channel.ts';
import { LIMITS, type Attributes } from '../wire/schema.ts';
import { LookForesight } from './look-foresight.ts';
import { PrefetchWindow } from './prefetch-window.ts';
import { SMALL_FILE_BYTES } from './remote-contents.ts';
import { isRegular, type RemoteShare } from './remote-share.ts';
import { LeftFiles, WALK_ORDERS, WalkOrder, type WalkedFile, type WalkOrderName } from './walk-order.ts';

/** Tuning. */
/** Contents of one call, bytes: the first of them are to be here soon. */
const CALL_BYTES = 128 * 1024;
const CALLS_AT_ONCE = 32;
/** A file costs so much beside its contents, bytes. */
const FILE_COST = 1024;
/** Directories with more files are not looked at, and so many files of all of them are remembered. */
const MAX_FILES = 16_384;
const REMEMBERED_FILES = 65_536;
/** Inode numbers as programs see them are computed for so many files before the event loop has its turn. */
const FILES_AT_ONCE = 1024;
/** So many guesses that came true are trusted in the next directory, too, for a while (milliseconds). */
const TRUSTED_AFTER = 4;
const TRUST_MS = 3000;
/** As good as that: the first file of so many directories in a row was opened first. */
const FIRSTS_TRUSTED = 3;
/** In directories with more files one opening says nothing. */
const MAX_FIRST_OF = 64;
/** Directories that wait for room in the window. */
const MAX_PENDING = 1024;
/** What was not used for so long will not be, milliseconds. */
const STALE_MS = 3000;

type KnownNames = ReadonlyMap<ByteString, Attributes | null | undefined>;

/** A directory in which files are opened. */
interface Walk {
  readonly directory: ByteString;
  readonly names: KnownNames;
  /** undefined until more than one was opened. */
  order: WalkOrder | undefined;
  isBuilding: boolean;
  /** Opened before `order` was there. */
  readonly early: ByteString[];
  /** Opened or asked for: not asked for again. */
  readonly done: Set<ByteString>;
  left: LeftFiles | undefined;
  /** Asked for and not used yet: what each counts in the window. */
  readonly guesses: Map<ByteString, number>;
  readonly opened: Set<ByteString>;
  position: number;
}

export class FilePrefetch {
  readonly #share: RemoteShare;
  readonly #window = new PrefetchWindow();
  readonly #looks = new LookForesight();
  readonly #walks = new Map<ByteString, Walk>();
  readonly #arriving = new Map<ByteString, Promise<unknown>>();
  #calls = 0;
  #remembered = 0;
  #lastHitAt = Number.NEGATIVE_INFINITY;
  #lastAskedAt = Number.NEGATIVE_INFINITY;
  #trusted: WalkOrderName | undefined;
  /** Guesses that came true since one was wrong. */
  #hits = 0;
  readonly #firsts: Record<WalkOrderName, number> = { listed: 0, inode: 0, name: 0 };
  /** Directories that were listed, which a walk is likely to come to in this order. */
  readonly #pending: { readonly directory: ByteString; readonly at: number }[] = [];
  /** Inode number of a file as programs see it. */
  shownInode: (attributes: Attributes) => bigint = ({ inode }) => inode;

  constructor(share: RemoteShare) {
    this.#share = share;
    share.contents.onUnused = (directory, name) => this.#unused(directory, name);
  }

  /** How much of a file is wanted with a look at its attributes, because it is likely to be opened next, bytes. */
  get lookBytes(): number {
    return this.#share.channel.pace === 'slow' ? 0 : this.#looks.wantBytes;
  }

  /** The attributes of a regular file were asked for. */
  looked(path: ByteString): void {
    this.#looks.looked(path);
  }

  /** Settles when the contents of the file are there or will not come; undefined if they are not on their way. */
  arriving(path: ByteString): Promise<unknown> | undefined {
    return this.#arriving.get(path);
  }

  /** A file was opened for reading. */
  opened(directory: ByteString, name: ByteString): void {
    if (this.#share.channel.pace === 'slow') return;
    this.#looks.opened(join(directory, name));
    const walk = this.#walkOf(directory);
    if (walk === undefined) return;
    this.#hit(walk, name);
    if (walk.opened.has(name)) {
      // Once more from the beginning, and what was fetched for the last time is gone.
      if (!this.#share.contents.has(directory, name) && !this.#arriving.has(join(directory, name))) {
        walk.opened.clear();
        walk.done.clear();
        walk.left = undefined;
      }
    }
    walk.opened.add(name);
    walk.done.add(name);
    if (walk.order === undefined) {
      walk.early.push(name);
      if (walk.early.length > 1 || this.#isTrusting || walk.names.size <= MAX_FIRST_OF) this.#build(walk);
      return;
    }
    walk.order.opened(name);
    this.#advance(walk, name);
  }

  /** All names of a directory have become known. */
  listed(directory: ByteString): void {
    if (this.#share.channel.pace === 'slow') return;
    this.#pending.push({ directory, at: this.#share.clock.now() });
    if (this.#pending.length > MAX_PENDING) this.#pending.shift();
    this.#begin();
  }

  /** The server restarted. */
  clear(): void {
    this.#walks.clear();
    this.#pending.length = 0;
    this.#remembered = 0;
    this.#window.reset();
  }

  get #isTrusting(): boolean {
    return this.#trusted !== undefined && this.#share.clock.now() - this.#lastHitAt < TRUST_MS;
  }

  #walkOf(directory: ByteString): Walk | undefined {
    const names = this.#share.cache.listed(directory);
    const known = this.#walks.get(directory);
    if (known !== undefined && known.names === names) return known;
    if (known !== undefined) this.#forget(known);
    if (names === undefined || names.size > MAX_FILES) return undefined;
    const walk: Walk = {
      directory,
      names,
      order: undefined,
      isBuilding: false,
      early: [],
      done: new Set(),
      left: undefined,
      guesses: new Map(),
      opened: new Set(),
      position: -1,
    };
    this.#walks.set(directory, walk);
    this.#remembered += names.size;
    for (const oldest of this.#walks.values()) {
      if (this.#remembered <= REMEMBERED_FILES || oldest === walk) break;
      this.#forget(oldest);
    }
    return walk;
  }

  #forget(walk: Walk): void {
    this.#walks.delete(walk.directory);
    this.#remembered -= walk.names.size;
    for (const amount of walk.guesses.values()) this.#window.wasted(amount);
    walk.guesses.clear();
  }

  #hit(walk: Walk, name: ByteString): void {
    const amount = walk.guesses.get(name);
    if (amount === undefined) return;
    walk.guesses.delete(name);
    this.#window.used(amount);
    this.#lastHitAt = this.#share.clock.now();
    this.#hits += 1;
    if (this.#hits >= TRUSTED_AFTER) this.#trusted = walk.order?.chosen?.order ?? this.#trusted;
  }

  /** Has files of directories fetched that were listed lately and not looked into yet. */
  #begin(): void {
    if (!this.#isTrusting) return;
    while (this.#window.room > 0 && this.#calls < CALLS_AT_ONCE) {
      const next = this.#pending.shift();
      if (next === undefined) return;
      if (this.#share.clock.now() - next.at > TRUST_MS) continue;
      const walk = this.#walkOf(next.directory);
      if (walk?.opened.size === 0) this.#build(walk);
    }
  }

  /** A file was opened first of all in its directory. */
  #openedFirst(order: WalkOrder, name: ByteString): void {
    let most = 0;
    for (const { order: one, positions, names } of order.sequences) {
      const isFirst = positions.get(name) === 0 && names.length <= MAX_FIRST_OF;
      this.#firsts[one] = isFirst ? this.#firsts[one] + 1 : 0;
      most = Math.max(most, this.#firsts[one]);
    }
    if (most < FIRSTS_TRUSTED || this.#isTrusting) return;
    this.#trusted = WALK_ORDERS.find((one) => this.#firsts[one] === most);
    this.#lastHitAt = this.#share.clock.now();
  }

  /** Contents that were fetched are no longer true, or had to make room, before anybody looked at them. */
  #unused(directory: ByteString, name: ByteString): void {
    const walk = this.#walks.get(directory);
    const amount = walk?.guesses.get(name);
    if (walk === undefined || amount === undefined) return;
    walk.guesses.delete(name);
    this.#window.wasted(amount);
    this.#hits = 0;
  }

  #build(walk: Walk): void {
    if (walk.isBuilding) return;
    walk.isBuilding = true;
    const files: WalkedFile[] = [];
    const names = walk.names.entries();
    const some = () => {
      if (this.#walks.get(walk.directory) !== walk) return;
      for (let count = 0; count < FILES_AT_ONCE; count++) {
        const next = names.next();
        if (next.done === true) {
          this.#built(walk, new WalkOrder(files));
          return;
        }
        const [name, attributes] = next.value;
        if (attributes && isRegular(attributes)) {
          files.push({ name, inode: Number(this.shownInode(attributes)) });
        }
      }
      this.#share.clock.after(0, some);
    };
    some();
  }

  #built(walk: Walk, order: WalkOrder): void {
    walk.order = order;
    const [first] = walk.early;
    if (first !== undefined) this.#openedFirst(order, first);
    if (this.#isTrusting && this.#trusted !== undefined) order.assume(this.#trusted);
    for (const name of walk.early) order.opened(name);
    this.#advance(walk, walk.early.at(-1));
    walk.early.length = 0;
  }

  /** Asks for what comes after `name` (or what is opened first). */
  #advance(walk: Walk, name: ByteString | undefined): void {
    const sequence = walk.order?.chosen;
    if (sequence === undefined) return;
    const at = name === undefined ? -1 : sequence.positions.get(name);
    if (at === undefined) return;
    walk.position = at;
    let room = this.#window.room;
    if (room === 0 && this.#share.clock.now() - Math.max(this.#lastHitAt, this.#lastAskedAt) > STALE_MS) {
      for (const { guesses } of this.#walks.values()) guesses.clear();
      this.#window.reset();
      ({ room } = this.#window);
    }
    if (walk.left?.sequence !== sequence) walk.left = new LeftFiles(sequence, walk.done);
    const { left } = walk;
    let names: ByteString[] = [];
    let bytes = 0;
    let index = at;
    while (room > 0 && this.#calls < CALLS_AT_ONCE) {
      index = left.after(index);
      const next = sequence.names[index];
      if (next === undefined) break;
      left.remove(index);
      walk.done.add(next);
      const attributes = walk.names.get(next);
      if (!attributes || attributes.size > SMALL_FILE_BYTES) continue;
      if (this.#share.contents.has(walk.directory, next)) continue;
      if (names.length === LIMITS.filesPerCall || bytes + attributes.size > CALL_BYTES) {
        this.#fetch(walk, names, bytes);
        names = [];
        bytes = 0;
      }
      const amount = attributes.size + FILE_COST;
      walk.guesses.set(next, amount);
      this.#window.asked(amount);
      room -= amount;
      bytes += attributes.size;
      names.push(next);
    }
    if (names.length > 0) this.#fetch(walk, names, bytes);
    this.#begin();
  }

  #fetch(walk: Walk, names: readonly ByteString[], room: number): void {
    const { directory } = walk;
    const share = this.#share;
    const sentAt = share.order.now;
    this.#calls += 1;
    this.#lastAskedAt = share.clock.now();
    const request = { share: share.share, directory, names: names.map((name) => ({ name })), room };
    const arrival = share.call('readFiles', request).then(
      (result) => this.#arrived(walk, names, sentAt, result),
      () => undefined,
    );
    const paths = names.map((name) => join(directory, name));
    const done = arrival.then(() => {
      this.#calls -= 1;
      for (const path of paths) if (this.#arriving.get(path) === done) this.#arriving.delete(path);
      for (const name of names) {
        const amount = walk.guesses.get(name);
        if (amount === undefined || share.contents.has(directory, name)) continue;
        walk.guesses.delete(name);
        this.#window.notGiven(amount);
      }
      const at = walk.order?.chosen?.names[walk.position];
      if (this.#walks.get(directory) === walk) this.#advance(walk, at);
      else this.#begin();
    });
    for (const path of paths) this.#arriving.set(path, done);
  }

  /** Keeps what is still true. A reply that is not what was asked for is worth nothing. */
  #arrived(
    { directory }: Walk,
    names: readonly ByteString[],
    sentAt: number,
    { reply, payload }: CallResult<'readFiles'>,
  ): void {
    const share = this.#share;
    let at = 0;
    let last = -1;
    for (const { position, attributes } of reply.files) {
      const name = names[position];
      if (name === undefined || position <= last || at + attributes.size > payload.length) break;
      last = position;
      const bytes = payload.subarray(at, at + attributes.size);
      at += attributes.size;
      share.learnContents(join(directory, name), sentAt, { ...reply, attributes }, bytes, false);
    }
    recycle(payload);
  }
}
