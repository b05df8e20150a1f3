/**
 * Read-ahead of one open file: while it is read in order, pieces ahead of the reader are on their way or at hand.
 * Owns when and how far to read ahead; does not own how (the `fetch` it is given) or when contents become stale
 * (drop() is called).
 *
 * The window starts when a second read continues the first (or at the beginning of the file) and doubles with each read
 * that continues. A read elsewhere ends it. Pieces end at multiples of their size, so that most reads lie in one piece
 * and are answered with a view of it. On a slow path nothing is asked for but what was read.
 */
import type { Clock } from '../clock.ts';
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
    if (bytes.length > 0) this.#pieces = [this.#piece(0, wanted, Promise.resolve(bytes), bytes)];
  }

  /** What is at hand or under way is stale. */
  drop(): void {
    this.#pieces = [];
    this.#window = 0;
  }

  /**
   * @param size of the file as far as known, bytes: nothing is read ahead behind it.
   * @returns bytes that nobody changes; shorter than `length` only at the end of the file.
   */
  read(offset: number, length: number, size: number): Promise<Uint8Array> {
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
  async #sparingly(offset: number, end: number, size: number): Promise<Uint8Array> {
    this.#expected = end;
    this.#window = 0;
    if (this.#has(offset, Math.min(end, size))) return this.#take(offset, end);
    const atHand = this.#pieces.at(-1)?.end ?? 0;
    if (!this.#has(offset, offset + 1)) {
      this.#pieces = [];
      return this.#exactly(offset, end - offset);
    }
    const [head, tail] = await Promise.all([this.#take(offset, atHand), this.#exactly(atHand, end - atHand)]);
    return head.length < atHand - offset ? head : Buffer.concat([head, tail]);
  }

  #has(start: number, end: number): boolean {
    const first = this.#pieces[0];
    const last = this.#pieces.at(-1);
    return first !== undefined && last !== undefined && first.start <= start && end <= last.end;
  }

  /** Sends for pieces up to `target`, and at least for what the read itself needs. */
  #advance(offset: number, target: number, end: number): void {
    const keepFrom = offset - KEEP_BEHIND;
    while (this.#pieces.length > 0 && (this.#pieces[0]?.end ?? 0) <= keepFrom) this.#pieces.shift();
    const last = this.#pieces.at(-1);
    if (last === undefined || last.end < offset || (this.#pieces[0]?.start ?? 0) > offset) this.#pieces = [];
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
        (bytes) => (piece.bytes = bytes),
        () => this.#failed(piece),
      );
      start = next;
    }
  }

  #piece(start: number, end: number, arrival: Promise<Uint8Array>, bytes: Uint8Array | undefined): Piece {
    return { start, end, fetchedAt: this.#clock.now(), arrival, bytes };
  }

  /** The reader who waits for it is told; whoever comes later asks again. */
  #failed(piece: Piece): void {
    const index = this.#pieces.indexOf(piece);
    if (index >= 0) this.#pieces.length = index;
  }

  #take(offset: number, end: number): Promise<Uint8Array> {
    const pieces = this.#pieces.filter((piece) => piece.start < end && piece.end > offset);
    const [only] = pieces;
    if (only === undefined) return this.#exactly(offset, end - offset);
    if (only.start > offset) return this.#exactly(offset, end - offset);
    if (pieces.length === 1) {
      const from = offset - only.start;
      const to = end - only.start;
      if (only.bytes !== undefined) return Promise.resolve(only.bytes.subarray(from, to));
      return only.arrival.then((bytes) => bytes.subarray(from, to));
    }
    return gather(pieces, offset, end);
  }

  async #exactly(offset: number, length: number): Promise<Uint8Array> {
    if (length <= PIECE) return this.#fetch(offset, length);
    const starts = Array.from({ length: Math.ceil(length / PIECE) }, (_, index) => index * PIECE);
    const parts = await Promise.all(
      starts.map((start) => this.#fetch(offset + start, Math.min(PIECE, length - start))),
    );
    const whole: Uint8Array[] = [];
    for (const [index, part] of parts.entries()) {
      whole.push(part);
      if (part.length < Math.min(PIECE, length - index * PIECE)) break;
    }
    return Buffer.concat(whole);
  }
}

async function gather(pieces: readonly Piece[], offset: number, end: number): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for (const { start, end: pieceEnd, bytes: atHand, arrival } of pieces) {
    const bytes = atHand ?? (await arrival);
    parts.push(bytes.subarray(Math.max(0, offset - start), end - start));
    if (bytes.length < pieceEnd - start) break;
  }
  const [only] = parts;
  return parts.length === 1 && only !== undefined ? only : Buffer.concat(parts);
}
