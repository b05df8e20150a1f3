/**
 * Which directories a program that walks through a tree will open next, as far as it can be told: those of each directory
 * after it and before what follows it (depth first), in the order given. Pure; owns the sequence, not what becomes of it.
 *
 * Programs that go another way (breadth first, several at once) find what they want in it as well, only earlier or later.
 */
import type { ByteString } from '../bytestring.ts';

/** Tuning. Directories planned at most. */
const MAX_PLANNED = 16_384;
/** A directory is left out for good when so many behind it were opened. */
const MAX_PASSED = 16;

interface Stop {
  readonly path: ByteString;
  /** planned: nobody asked for it. asked: it was given out by next(). opened: the walk is here. */
  state: 'planned' | 'asked' | 'opened';
  /** How many behind it were opened. */
  passed: number;
  before: Stop | undefined;
  after: Stop | undefined;
}

export class WalkPlan {
  readonly #stops = new Map<ByteString, Stop>();
  readonly #maxPlanned: number;
  #first: Stop | undefined;
  /** Where the search for the next begins: none before it is only planned. */
  #frontier: Stop | undefined;

  constructor(maxPlanned = MAX_PLANNED) {
    this.#maxPlanned = maxPlanned;
  }

  get size(): number {
    return this.#stops.size;
  }

  has(path: ByteString): boolean {
    return this.#stops.has(path);
  }

  /** Begins anew at the directory; `following` come after it and all that it has. */
  start(path: ByteString, following: readonly ByteString[]): void {
    this.#stops.clear();
    const stop: Stop = { path, state: 'opened', passed: 0, before: undefined, after: undefined };
    this.#stops.set(path, stop);
    this.#first = stop;
    this.#frontier = undefined;
    this.#insert(stop, following);
  }

  /** The directory's own directories have become known; they come right after it. */
  listed(path: ByteString, directories: readonly ByteString[]): void {
    const stop = this.#stops.get(path);
    if (stop !== undefined) this.#insert(stop, directories);
  }

  /**
   * The walk has come to the directory.
   * @returns those that were asked for, lie before it, and will hardly be opened any more; undefined if it was not planned.
   */
  opened(path: ByteString): ByteString[] | undefined {
    const stop = this.#stops.get(path);
    if (stop === undefined) return undefined;
    const left: ByteString[] = [];
    for (let at = this.#first; at !== undefined && at !== stop;) {
      const { after } = at;
      at.passed += 1;
      // What is behind the walk is over; it stays for a moment, because its own directories may become known late.
      if (at.passed > MAX_PASSED) {
        if (at.state === 'asked') left.push(at.path);
        this.#remove(at);
      }
      at = after;
    }
    stop.state = 'opened';
    stop.passed = 0;
    return left;
  }

  /** @returns the next directory that nobody asked for yet, which counts as asked for from now on. */
  next(): ByteString | undefined {
    let at = this.#frontier;
    while (at !== undefined && at.state !== 'planned') at = at.after;
    this.#frontier = at;
    if (at === undefined) return undefined;
    at.state = 'asked';
    return at.path;
  }

  clear(): void {
    this.#stops.clear();
    this.#first = undefined;
    this.#frontier = undefined;
  }

  #insert(after: Stop, paths: readonly ByteString[]): void {
    let before = after;
    for (const path of paths) {
      if (this.#stops.size >= this.#maxPlanned) break;
      if (this.#stops.has(path)) continue;
      const stop: Stop = { path, state: 'planned', passed: 0, before, after: before.after };
      if (before.after !== undefined) before.after.before = stop;
      before.after = stop;
      this.#stops.set(path, stop);
      before = stop;
    }
    // Those of a directory come before what follows it: the search goes back to them.
    this.#frontier = this.#first;
  }

  #remove(stop: Stop): void {
    this.#stops.delete(stop.path);
    if (stop.before === undefined) this.#first = stop.after;
    else stop.before.after = stop.after;
    if (stop.after !== undefined) stop.after.before = stop.before;
    if (this.#frontier === stop) this.#frontier = stop.after;
  }
}
