/**
 * Writes of one file on their way to the server: adjacent ones are merged into pieces, many pieces are in flight, and
 * two that overlap never are at the same time. Owns order, merging and back-pressure; an error is kept until the
 * handle that wrote is asked for it (write, fsync, flush).
 *
 * What a write leaves here is lost if this node dies before it has reached the server, as it is with a local file if the
 * machine dies before fsync(2).
 */
import type { Clock } from '../clock.ts';
import { LIMITS } from '../wire/schema.ts';

/** Tuning, bytes. */
const PIECE = LIMITS.pieceBytes;
/** Written and not yet at the server, of one file. */
const MAX_BUFFERED = 8 * 1024 * 1024;

/** Whole pieces kept to be filled again; making and collecting them is a tenth of the cost of a write. */
const MAX_IDLE_PIECES = 32;

const idlePieces: Uint8Array[] = [];

function takePiece(bytes: number): Uint8Array {
  return (bytes === PIECE ? idlePieces.pop() : undefined) ?? Buffer.allocUnsafeSlow(bytes);
}

/**
 * The server has answered for it. A copy of the call may still wait on a path that the answer did not come by; the
 * server knows it by its number and does not look at its bytes.
 */
function recycle(bytes: Uint8Array): void {
  if (bytes.length === PIECE && idlePieces.length < MAX_IDLE_PIECES) idlePieces.push(bytes);
}

interface Piece<H> {
  readonly by: H;
  readonly start: number;
  end: number;
  readonly bytes: Uint8Array;
  /** When its first byte was written, Clock.now(). */
  readonly at: number;
}

/** @param H the handle that writes. */
export class WriteBuffer<H> {
  readonly #send: (by: H, offset: number, bytes: Uint8Array) => Promise<void>;
  /** Being filled. */
  #open: Piece<H> | undefined;
  /** To be sent in this order. */
  #queue: Piece<H>[] = [];
  readonly #inFlight = new Set<Piece<H>>();
  readonly #errors = new Map<H, unknown>();
  #bufferedBytes = 0;
  #whenRoom: (() => void)[] = [];
  #whenDrained: (() => void)[] = [];

  readonly #clock: Clock;
  readonly #onClean: () => void;

  /** @param onClean called each time the last byte has reached the server or failed. */
  constructor(clock: Clock, send: (by: H, offset: number, bytes: Uint8Array) => Promise<void>, onClean: () => void) {
    this.#clock = clock;
    this.#send = send;
    this.#onClean = onClean;
  }

  get isDirty(): boolean {
    return this.#bufferedBytes > 0;
  }

  get bufferedBytes(): number {
    return this.#bufferedBytes;
  }

  /** When the oldest of what is not at the server yet was written, Clock.now(); undefined if there is none. */
  get oldestAt(): number | undefined {
    // They are sent in the order in which they were begun.
    for (const { at } of this.#inFlight) return at;
    return (this.#queue[0] ?? this.#open)?.at;
  }

  /** Position behind the last byte that is not at the server yet; 0 if there is none. */
  get dirtyEnd(): number {
    let end = this.#open?.end ?? 0;
    for (const piece of this.#queue) end = Math.max(end, piece.end);
    for (const piece of this.#inFlight) end = Math.max(end, piece.end);
    return end;
  }

  /**
   * Copies `bytes`. @returns undefined when there was room, else settles when there is again.
   * @throws the error of an earlier write of this handle.
   */
  write(by: H, offset: number, bytes: Uint8Array): Promise<void> | undefined {
    this.throwError(by);
    let position = 0;
    while (position < bytes.length) {
      let piece = this.#open;
      if (piece === undefined || piece.by !== by || piece.end !== offset + position) {
        this.#closePiece();
        const start = offset + position;
        // A small write gets a small buffer unless more is likely to follow.
        const room = this.#inFlight.size === 0 ? Math.min(PIECE, bytes.length - position) : PIECE;
        piece = { by, start, end: start, bytes: takePiece(room), at: this.#clock.now() };
        this.#open = piece;
      }
      const used = piece.end - piece.start;
      const taken = Math.min(piece.bytes.length - used, bytes.length - position);
      piece.bytes.set(bytes.subarray(position, position + taken), used);
      piece.end += taken;
      position += taken;
      this.#bufferedBytes += taken;
      if (piece.end - piece.start === piece.bytes.length) this.#closePiece();
    }
    if (this.#inFlight.size === 0) this.#closePiece();
    this.#pump();
    if (this.#bufferedBytes <= MAX_BUFFERED) return undefined;
    return new Promise((resolve) => this.#whenRoom.push(resolve));
  }

  /** Settles when all that was written so far is at the server or has failed; never rejects. */
  drained(): Promise<void> {
    if (this.#bufferedBytes === 0) return Promise.resolve();
    this.#closePiece();
    this.#pump();
    return new Promise((resolve) => this.#whenDrained.push(resolve));
  }

  /** @throws the error that a write of the handle met since it was last asked. */
  throwError(by: H): void {
    if (this.#errors.size === 0 || !this.#errors.has(by)) return;
    const error = this.#errors.get(by);
    this.#errors.delete(by);
    throw error;
  }

  /** What the handle wrote before it came here has failed. */
  fail(by: H, error: unknown): void {
    if (!this.#errors.has(by)) this.#errors.set(by, error);
  }

  /** The handle is gone, its errors with it. */
  forget(by: H): void {
    this.#errors.delete(by);
  }

  #closePiece(): void {
    if (this.#open === undefined) return;
    this.#queue.push(this.#open);
    this.#open = undefined;
  }

  #pump(): void {
    for (let head = this.#queue[0]; head !== undefined; head = this.#queue[0]) {
      const { start, end, bytes, by } = head;
      for (const other of this.#inFlight) if (other.start < end && start < other.end) return;
      this.#queue.shift();
      const piece = head;
      this.#inFlight.add(piece);
      this.#send(by, start, end - start === bytes.length ? bytes : bytes.subarray(0, end - start)).then(
        () => {
          recycle(bytes);
          this.#done(piece);
        },
        (error: unknown) => {
          if (!this.#errors.has(by)) this.#errors.set(by, error);
          this.#done(piece);
        },
      );
    }
  }

  #done(piece: Piece<H>): void {
    this.#inFlight.delete(piece);
    this.#bufferedBytes -= piece.end - piece.start;
    if (this.#inFlight.size === 0 && this.#queue.length === 0) this.#closePiece();
    this.#pump();
    if (this.#bufferedBytes <= MAX_BUFFERED && this.#whenRoom.length > 0) {
      const waiting = this.#whenRoom;
      this.#whenRoom = [];
      for (const resolve of waiting) resolve();
    }
    if (this.#bufferedBytes > 0) return;
    this.#onClean();
    if (this.#whenDrained.length > 0) {
      const waiting = this.#whenDrained;
      this.#whenDrained = [];
      for (const resolve of waiting) resolve();
    }
  }
}
