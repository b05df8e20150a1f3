/**
 * In which order a program opens the files of a directory, found out from the first few: as they are listed (tar, find),
 * by inode number (cp -r) or by name (shells, rsync). Pure.
 */
import type { ByteString } from '../bytestring.ts';

/** Tuning. This far ahead of one that was opened lately still counts as the next: some are skipped, many run at once. */
const MAX_SKIP = 3;
const REMEMBERED = 16;
/** What an open says for an order in which it comes next, or soon; and how much of what earlier ones said stays. */
const NEXT = 2;
const SOON = 1;
const STAYS = 3 / 4;

/** A regular file of the directory, in the order of the listing. */
export interface WalkedFile {
  readonly name: ByteString;
  /** Inode number as programs see it; rounding does no harm. */
  readonly inode: number;
}

export const WALK_ORDERS = ['listed', 'inode', 'name'] as const;
export type WalkOrderName = (typeof WALK_ORDERS)[number];

/** One order of the files. */
export interface WalkSequence {
  readonly order: WalkOrderName;
  readonly names: readonly ByteString[];
  /** Index of each in `names`. */
  readonly positions: ReadonlyMap<ByteString, number>;
}

export class WalkOrder {
  readonly sequences: readonly WalkSequence[];
  readonly #scores: number[];
  #recent: ByteString[] = [];
  #chosen: WalkSequence | undefined;

  constructor(files: readonly WalkedFile[]) {
    const byInode = [...files].sort((a, b) => a.inode - b.inode);
    const byName = [...files].sort((a, b) => (a.name < b.name ? -1 : 1));
    this.sequences = [sequence('listed', files), sequence('inode', byInode), sequence('name', byName)];
    this.#scores = this.sequences.map(() => 0);
  }

  /** undefined while none is recognized. */
  get chosen(): WalkSequence | undefined {
    return this.#chosen;
  }

  /** Until opens say otherwise it is this one. */
  assume(order: WalkOrderName): void {
    this.#chosen ??= this.sequences.find((one) => one.order === order);
  }

  /** A file was opened. */
  opened(name: ByteString): void {
    let best = 0;
    for (const [index, { positions }] of this.sequences.entries()) {
      const at = positions.get(name);
      if (at === undefined) return;
      let says = 0;
      for (const earlier of this.#recent) {
        const ahead = at - (positions.get(earlier) ?? at);
        if (ahead > 0 && ahead <= MAX_SKIP) says = Math.max(says, ahead === 1 ? NEXT : SOON);
      }
      const score = (this.#scores[index] ?? 0) * STAYS + says;
      this.#scores[index] = score;
      best = Math.max(best, score);
    }
    this.#recent.push(name);
    if (this.#recent.length > REMEMBERED) this.#recent.shift();
    const current = this.#chosen === undefined ? -1 : this.sequences.indexOf(this.#chosen);
    if (best >= SOON && (this.#scores[current] ?? -1) < best) this.#chosen = this.sequences[this.#scores.indexOf(best)];
  }
}

/** Those of a sequence that are still to come, found without looking at all that are not. */
export class LeftFiles {
  readonly sequence: WalkSequence;
  /** From each position towards the next that is left: itself if it is. */
  readonly #next: Int32Array;

  constructor(sequence: WalkSequence, without: ReadonlySet<ByteString>) {
    this.sequence = sequence;
    this.#next = Int32Array.from({ length: sequence.names.length + 1 }, (_, index) => index);
    for (const name of without) {
      const at = sequence.positions.get(name);
      if (at !== undefined) this.remove(at);
    }
  }

  /** @returns the first position behind `position` that is left; the sequence's length if there is none. */
  after(position: number): number {
    let at = position + 1;
    for (let next = this.#next[at] ?? at; next !== at; next = this.#next[at] ?? at) {
      // Paths grow short by being walked.
      this.#next[at] = this.#next[next] ?? next;
      at = next;
    }
    return at;
  }

  remove(position: number): void {
    this.#next[position] = position + 1;
  }
}

function sequence(order: WalkOrderName, files: readonly WalkedFile[]): WalkSequence {
  const names = files.map(({ name }) => name);
  return { order, names, positions: new Map(names.map((name, index) => [name, index])) };
}
