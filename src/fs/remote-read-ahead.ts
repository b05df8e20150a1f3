/**
 * Read-ahead of one open file: while it is read in order, pieces ahead of the reader are on their way or at hand.
 * Owns when and how far to read ahead; does not own how (the `fetch` it is given) or when contents become stale
 * (drop() is called).
 *
 * The window starts when a second read continues the first (or at the beginning of the file) and doubles with each read
 * that continues. A read elsewhere ends it. Pieces end at multiples of their size, so that most reads lie in one piece
 * and are answered with a view of it. On a slow path nothing is asked for but what was read.
 *
 * The memory of pieces goes back to the frame pool once they are behind the reader; views of it hold until the event
 * loop's next turn.
 */
import type { Clock } from '../clock.ts';
import { recycle } from '../frame-pool.ts';
import { LIMITS } from '../wire/schema.ts';

/** Tuning, bytes. */
const PIECE = LIMITS.pieceBytes;
const FIRST_WINDOW = 256 * 1024;
const MAX_WINDOW = 8 * 1024 * 1024;
/** What lies this far behind the reader is kept: requests of the kernel overtake each other. */
const KEEP_BEHIND = 512 * 1024;
/** A skip ahead of this much still counts as in order; a first read of less may be the only one. */
const MAX_SKIP = 128 * 1024;
/** Without a lease, what was read ahead is not believed longer, milliseconds. */
const UNLEASED_MS = 1000;

interface Piece {
  readonly start: number;
  /** Asked for up to here; what came may be shorter. */
  readonly end: number;
  readonly fetchedAt: number;
  bytes: Uint8Array | undefined;
  readonly arrival: Promise<Uint8Array>;
  /** Who else looks at its bytes: reads that put it together with others. */
  gathering: number;
  /** Nobody will ask for it any more. */
  isBehind: boolean;
}

export interface ReadAheadOptions {
  /** Reads from the server; shorter than asked at the end of the file. */
  readonly fetch: (offset: number, length: number) => Promise<Uint8Array>;
  /** Whether contents are promised to be recalled. */
  readonly isLeased: () => boolean;
  /** Whether bytes that may not be needed cost too much. */
  readonly isSlow: () => boolean;
  readonly clock: Clock;
}

export class ReadAhead {
  readonly #fetch: ReadAheadOptions['fetch'];
  readonly #isLeased: () => boolean;
  readonly #isSlow: () => boolean;
  readonly #clock: Clock;
  /** Ascending, without gaps. */
  #pieces: Piece[] = [];
  /** Where the next read in order begins. */
  #expected = 0;
  #window = 0;

  constructor({ fetch, isLeased, isSlow, clock }: ReadAheadOptions) {
    this.#fetch = fetch;
    this.#isLeased = isLeased;
    this.#isSlow = isSlow;
    this.#clock = clock;
  }

  /** Puts in the beginning of the file that came with its opening: the whole file if fewer bytes than wanted came. */
  seed(bytes: Uint8Array, wanted: number): void {
    // Whoever opened the file has the bytes, too: their memory is never given back.
    if (bytes.length > 0) this.#pieces = [{ ...this.#piece(0, wanted, Promise.resolve(bytes), bytes), gathering: 1 }];
  }

  /** What is at hand or under way is stale. */
  drop(): void {
    for (const piece of this.#pieces.splice(0)) leaveBehind(piece);
    this.#window = 0;
  }

  /**
   * @param size of the file as far as known, bytes: nothing is read ahead behind it.
   * @returns views that hold until the event loop's next turn, in order; shorter together than `length` only at the end
   * of the file.
   */
  read(offset: number, length: number, size: number): Promise<readonly Uint8Array[]> {
    const end = offset + length;
    const first = this.#pieces[0];
    if (first !== undefined && this.#clock.now() - first.fetchedAt > UNLEASED_MS && !this.#isLeased()) this.drop();
    if (this.#isSlow()) return this.#sparingly(offset, end, size);
    const skip = offset - this.#expected;
    const isInOrder = (skip >= 0 && skip <= MAX_SKIP) || (skip < 0 && this.#has(offset, Math.min(end, size)));
    if (!isInOrder) {
      this.drop();
      this.#expected = end;
      return this.#exactly(offset, length);
    }
    if (end > this.#expected) this.#expected = end;
    if (offset === 0 && length < MAX_SKIP) {
      // It may be a look at the header only.
      return this.#has(0, Math.min(end, size)) ? this.#take(0, end) : this.#exactly(0, length);
    }
    this.#window = Math.min(MAX_WINDOW, Math.max(FIRST_WINDOW, this.#window * 2));
    this.#advance(offset, Math.min(size, end + this.#window), end);
    return this.#take(offset, end);
  }

  /** What is at hand or under way is used; of the rest only what is read. */
  async #sparingly(offset: number, end: number, size: number): Promise<readonly Uint8Array[]> {
    this.#expected = end;
    this.#window = 0;
    if (this.#has(offset, Math.min(end, size))) return this.#take(offset, end);
    const atHand = this.#pieces.at(-1)?.end ?? 0;
    if (!this.#has(offset, offset + 1)) {
      this.drop();
      return this.#exactly(offset, end - offset);
    }
    const tail = await this.#exactly(atHand, end - atHand);
    const head = await this.#take(offset, atHand);
    return lengthOf(head) < atHand - offset ? head : [...head, ...tail];
  }

  #has(start: number, end: number): boolean {
    const first = this.#pieces[0];
    const last = this.#pieces.at(-1);
    return first !== undefined && last !== undefined && first.start <= start && end <= last.end;
  }

  /** Sends for pieces up to `target`, and at least for what the read itself needs. */
  #advance(offset: number, target: number, end: number): void {
    const keepFrom = offset - KEEP_BEHIND;
    for (let first = this.#pieces[0]; first !== undefined && first.end <= keepFrom; first = this.#pieces[0]) {
      this.#pieces.shift();
      leaveBehind(first);
    }
    const last = this.#pieces.at(-1);
    if (last === undefined || last.end < offset || (this.#pieces[0]?.start ?? 0) > offset) {
      for (const piece of this.#pieces.splice(0)) leaveBehind(piece);
    }
    let start = this.#pieces.at(-1)?.end ?? offset;
    while (start < target || start < end) {
      const tail = this.#pieces.at(-1);
      // Behind a piece that came short there is nothing.
      if (tail?.bytes !== undefined && tail.bytes.length < tail.end - tail.start) return;
      const next = (Math.floor(start / PIECE) + 1) * PIECE;
      const arrival = this.#fetch(start, next - start);
      const piece = this.#piece(start, next, arrival, undefined);
      this.#pieces.push(piece);
      arrival.then(
        (bytes) => {
          piece.bytes = bytes;
          if (piece.isBehind) giveBack(piece);
        },
        () => this.#failed(piece),
      );
      start = next;
    }
  }

  #piece(start: number, end: number, arrival: Promise<Uint8Array>, bytes: Uint8Array | undefined): Piece {
    return { start, end, fetchedAt: this.#clock.now(), arrival, bytes, gathering: 0, isBehind: false };
  }

  /** The reader who waits for it is told; whoever comes later asks again. */
  #failed(piece: Piece): void {
    const index = this.#pieces.indexOf(piece);
    if (index < 0) return;
    for (const behind of this.#pieces.splice(index)) leaveBehind(behind);
  }

  #take(offset: number, end: number): Promise<readonly Uint8Array[]> {
    const pieces = this.#pieces.filter((piece) => piece.start < end && piece.end > offset);
    const [only] = pieces;
    if (only === undefined) return this.#exactly(offset, end - offset);
    if (only.start > offset) return this.#exactly(offset, end - offset);
    if (pieces.length === 1) {
      const from = offset - only.start;
      const to = end - only.start;
      if (only.bytes !== undefined) return Promise.resolve([only.bytes.subarray(from, to)]);
      return only.arrival.then((bytes) => [bytes.subarray(from, to)]);
    }
    return gather(pieces, offset, end);
  }

  async #exactly(offset: number, length: number): Promise<readonly Uint8Array[]> {
    if (length <= PIECE) return [await this.#fetch(offset, length)];
    const starts = Array.from({ length: Math.ceil(length / PIECE) }, (_, index) => index * PIECE);
    const parts = await Promise.all(
      starts.map((start) => this.#fetch(offset + start, Math.min(PIECE, length - start))),
    );
    const whole: Uint8Array[] = [];
    for (const [index, part] of parts.entries()) {
      whole.push(part);
      if (part.length < Math.min(PIECE, length - index * PIECE)) break;
    }
    return whole;
  }
}

function lengthOf(parts: readonly Uint8Array[]): number {
  return parts.reduce((sum, part) => sum + part.length, 0);
}

async function gather(pieces: readonly Piece[], offset: number, end: number): Promise<readonly Uint8Array[]> {
  const parts: Uint8Array[] = [];
  for (const piece of pieces) piece.gathering += 1;
  try {
    for (const { start, end: pieceEnd, bytes: atHand, arrival } of pieces) {
      const bytes = atHand ?? (await arrival);
      parts.push(bytes.subarray(Math.max(0, offset - start), end - start));
      if (bytes.length < pieceEnd - start) break;
    }
    return parts;
  } finally {
    for (const piece of pieces) {
      piece.gathering -= 1;
      if (piece.isBehind) giveBack(piece);
    }
  }
}

function leaveBehind(piece: Piece): void {
  piece.isBehind = true;
  giveBack(piece);
}

/** Memory of pieces that nobody will ask for; readers who have just got views of it look at them in this turn. */
let behind: Uint8Array[] = [];

/** Once a piece: afterwards its memory is somebody else's. */
function giveBack(piece: Piece): void {
  const { bytes, gathering } = piece;
  if (bytes === undefined || gathering > 0) return;
  piece.bytes = undefined;
  if (behind.length === 0) setImmediate(recycleBehind);
  behind.push(bytes);
}

function recycleBehind(): void {
  for (const bytes of behind) recycle(bytes);
  behind = [];
}
