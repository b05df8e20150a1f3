/**
 * What an open directory of the mount has read so far. A row's cursor is its position here, so that it stays the same while
 * the directory is open. Owns which rows are held: of a large directory the last few thousand; what was before is read
 * again from the tree if somebody goes back there.
 */
import type { DirectoryEntry } from '../wire/schema.ts';
import type { MountNode } from './mount-node.ts';

/** Tuning: rows held, and those that stay when these are too many. */
const MAX_HELD = 8192;
const STAY = 4096;

/** Rows before those of the tree. */
export type OwnRow =
  | { readonly kind: 'self' }
  | { readonly kind: 'parent' }
  /** A peer's folder, or a share in one. */
  | { readonly kind: 'node'; readonly name: DirectoryEntry['name']; readonly node: MountNode };

/** Where the tree's rows from a position on begin. */
interface Mark {
  readonly position: number;
  readonly cursor: bigint;
}

export class MountListing {
  #own: OwnRow[] = [{ kind: 'self' }, { kind: 'parent' }];
  #isOwnComplete = false;
  /** Rows of the tree from position `#from` on. */
  #held: DirectoryEntry[] = [];
  #from = 2;
  #marks: Mark[] = [];
  #cursor = 0n;
  #isComplete = false;
  /** Grows when reading begins elsewhere: what was on its way then is not wanted. */
  #version = 0;
  /** On its way. */
  next: Promise<void> | undefined;
  /** The kernel has asked for a name of the directory since it was opened: somebody looks at what is listed. */
  isLookedAt = false;

  /** Whether anything was read. */
  get isBegun(): boolean {
    return this.#isOwnComplete;
  }

  /** Where the tree goes on. */
  get cursor(): bigint {
    return this.#cursor;
  }

  get version(): number {
    return this.#version;
  }

  /** undefined: it is to be read (see wants), or there is none. */
  row(position: number): OwnRow | DirectoryEntry | undefined {
    return position < this.#own.length ? this.#own[position] : this.#held[position - this.#from];
  }

  /** Whether more must be read for the row at the position, from `cursor` on. */
  wants(position: number): boolean {
    if (position < this.#from && position >= this.#own.length) this.#goBack(position);
    return position >= this.#from + this.#held.length && !this.#isComplete;
  }

  addOwn(rows: readonly OwnRow[]): void {
    this.#own.push(...rows);
    this.#from = this.#own.length;
    this.#isOwnComplete = true;
  }

  /** What the tree has from `cursor` on. */
  add(entries: readonly DirectoryEntry[], isEnd: boolean): void {
    const last = entries.at(-1);
    this.#isComplete = isEnd || last === undefined;
    if (last === undefined) return;
    this.#marks.push({ position: this.#from + this.#held.length, cursor: this.#cursor });
    this.#cursor = last.cursor;
    this.#held.push(...entries);
    if (this.#held.length <= MAX_HELD) return;
    const gone = this.#held.length - STAY;
    this.#held.splice(0, gone);
    this.#from += gone;
  }

  /** There are no rows of a tree. */
  end(): void {
    this.#isComplete = true;
  }

  /** From the beginning, as if it had just been opened. */
  restart(): void {
    this.#own = [{ kind: 'self' }, { kind: 'parent' }];
    this.#isOwnComplete = false;
    this.#held = [];
    this.#from = 2;
    this.#marks = [];
    this.#cursor = 0n;
    this.#isComplete = false;
    this.#version += 1;
  }

  #goBack(position: number): void {
    while ((this.#marks.at(-1)?.position ?? 0) > position) this.#marks.pop();
    const mark = this.#marks.pop();
    this.#held = [];
    this.#from = mark?.position ?? this.#own.length;
    this.#cursor = mark?.cursor ?? 0n;
    this.#isComplete = false;
    this.#version += 1;
  }
}
