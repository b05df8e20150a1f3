/**
 * The receiving half of a KCP conversation: puts segments in order, remembers what is to be acknowledged, and gives
 * out the data. Holds views of the packets it was given, until it is told to own them, and at most a window of them.
 */
import { Runs } from './kcp-runs.ts';
import { serial } from './kcp-segment.ts';
import { Slots } from './kcp-slots.ts';

/** Out-of-order arrivals to acknowledge one by one; more are left to `una` and the sender's patience. */
const MAX_PENDING = 2_048;
/** So many segments in order are acknowledged at once, fewer may wait for more. Tuning. */
const EAGER_SEGMENTS = 8;
/** Segments of one packet that are remembered as views of it; more are copied at once. */
const MAX_BORROWED = 64;
/** Data of a segment that fits into a datagram; longer ones come in fragments of it, if at all. Bytes. */
const SLOT_BYTES = 1_472;
/** Shorter data are no reason to keep a slot. */
const SLOT_LEAST_BYTES = 512;
const NO_SLOT = -1;

export class Receiver {
  /** The next number expected. */
  next = 0;
  /** Segments dropped because they had come before, or lay beyond the window. */
  refused = 0;
  readonly #mask: number;
  readonly #data: (Uint8Array | undefined)[];
  /** Where data was copied to, if it was. */
  readonly #slots = new Slots(SLOT_BYTES);
  readonly #slot: Int32Array;
  readonly #fragment: Uint8Array;
  /** The next number to give out. */
  #read = 0;
  /** The slot of what was given out last. */
  #lent = NO_SLOT;
  /** Acknowledgements due: numbers and clocks of segments that are told of one by one, and of the newest. */
  readonly #pendingSn = new Uint32Array(MAX_PENDING);
  readonly #pendingTs = new Uint32Array(MAX_PENDING);
  #pending = 0;
  /** Numbers of segments that are views of a packet. */
  readonly #borrowed = new Uint32Array(MAX_BORROWED);
  #borrowedCount = 0;
  #newest = false;
  #newestSn = 0;
  #newestTs = 0;
  #arrivals = 0;
  readonly #runs: Runs | undefined;

  /**
   * @param windowSegments a power of two.
   * @param tellsRuns acknowledgements have data that say what has come out of order.
   */
  constructor(windowSegments: number, tellsRuns: boolean) {
    this.#runs = tellsRuns ? new Runs() : undefined;
    this.#mask = windowSegments - 1;
    this.#data = new Array<Uint8Array | undefined>(windowSegments).fill(undefined);
    this.#slot = new Int32Array(windowSegments).fill(NO_SLOT);
    this.#fragment = new Uint8Array(windowSegments);
  }

  /** Segments that there is room for, from `next` on. */
  get room(): number {
    return this.#mask + 1 - ((this.next - this.#read) >>> 0);
  }

  get acknowledgementDue(): boolean {
    return this.#newest || this.#pending > 0;
  }

  /** Whether the acknowledgement should not wait for more to acknowledge: much has come, or something is missing. */
  get acknowledgementUrgent(): boolean {
    return this.#arrivals >= EAGER_SEGMENTS || this.#pending > 0 || this.#runs?.isEmpty === false;
  }

  /** @param data is kept until it is given out, or copied by own(). */
  push(sn: number, ts: number, fragment: number, data: Uint8Array): void {
    const ahead = serial(sn, this.next);
    if (ahead >= this.room) {
      this.refused++;
      return;
    }
    if (ahead < 0 || this.#data[sn & this.#mask] !== undefined) {
      this.#tellOf(sn, ts);
      this.refused++;
      return;
    }
    this.#arrivals++;
    this.#fragment[sn & this.#mask] = fragment;
    this.#keep(sn, data);
    if (ahead > 0) this.#note(sn, ts);
    else this.#advance(sn, ts);
  }

  /** The next one expected has come. */
  #advance(sn: number, ts: number): void {
    do this.next = (this.next + 1) >>> 0;
    while (this.room > 0 && this.#data[this.next & this.#mask] !== undefined);
    const runs = this.#runs;
    if (runs === undefined || runs.isEmpty) {
      this.#isNewest(sn, ts);
      return;
    }
    this.#tellOf(sn, ts); // it was missing: its clock tells which transmission came
    runs.dropBelow(this.next);
  }

  /** One beyond a gap has come. */
  #note(sn: number, ts: number): void {
    const runs = this.#runs;
    const isLate = runs !== undefined && !runs.isEmpty && serial(sn, runs.end) < 0;
    if (runs?.add(sn) !== true || isLate) this.#tellOf(sn, ts);
    else this.#isNewest(sn, ts);
  }

  #isNewest(sn: number, ts: number): void {
    this.#newest = true;
    this.#newestSn = sn;
    this.#newestTs = ts;
  }

  #tellOf(sn: number, ts: number): void {
    if (this.#pending === MAX_PENDING) return;
    this.#pendingSn[this.#pending] = sn;
    this.#pendingTs[this.#pending++] = ts;
  }

  #keep(sn: number, data: Uint8Array): void {
    this.#data[sn & this.#mask] = data;
    if (this.#borrowedCount === MAX_BORROWED) this.#copy(sn & this.#mask, data);
    else this.#borrowed[this.#borrowedCount++] = sn;
  }

  /** Memory of our own, not new memory: where something is lost, all that follows comes here. */
  #copy(at: number, data: Uint8Array): void {
    if (data.length > SLOT_BYTES || data.length < SLOT_LEAST_BYTES) {
      this.#data[at] = Uint8Array.prototype.slice.call(data);
      return;
    }
    const slot = this.#slots.take();
    const from = this.#slots.offset(slot);
    const copy = this.#slots.slab(slot).subarray(from, from + data.length);
    copy.set(data);
    this.#data[at] = copy;
    this.#slot[at] = slot;
  }

  /** Copies what was not given out yet. */
  own(): void {
    for (let i = 0; i < this.#borrowedCount; i++) {
      const at = (this.#borrowed[i] ?? 0) & this.#mask;
      const data = this.#data[at];
      if (data !== undefined) this.#copy(at, data);
    }
    this.#borrowedCount = 0;
  }

  /**
   * Calls for each acknowledgement due, the newest last, and forgets them. `una` covers all else in order; `runs` is to be
   * told with that one.
   */
  acknowledge(each: (sn: number, ts: number, runs: Runs | undefined) => void): void {
    const runs = this.#runs?.isEmpty === false ? this.#runs : undefined;
    const last = this.#newest ? -1 : this.#pending - 1;
    for (let i = 0; i < this.#pending; i++) {
      each(this.#pendingSn[i] ?? 0, this.#pendingTs[i] ?? 0, i === last ? runs : undefined);
    }
    if (this.#newest) each(this.#newestSn, this.#newestTs, runs);
    this.#pending = 0;
    this.#arrivals = 0;
    this.#newest = false;
  }

  /** The data of the next segment in order; they hold until the next call. */
  take(): Uint8Array | undefined {
    if (this.#lent !== NO_SLOT) this.#slots.release(this.#lent);
    this.#lent = NO_SLOT;
    if (this.#read === this.next) return undefined;
    const at = this.#read & this.#mask;
    const data = this.#data[at];
    this.#data[at] = undefined;
    this.#lent = this.#slot[at] ?? NO_SLOT;
    this.#slot[at] = NO_SLOT;
    this.#read = (this.#read + 1) >>> 0;
    return data;
  }

  /** The next whole message: one segment's data as it is, or its fragments joined. */
  takeMessage(): Uint8Array | undefined {
    const inOrder = (this.next - this.#read) >>> 0;
    if (inOrder === 0) return undefined;
    const parts = (this.#fragment[this.#read & this.#mask] ?? 0) + 1;
    if (parts > inOrder) return undefined;
    if (parts === 1) return this.take();
    let length = 0;
    for (let i = 0; i < parts; i++) length += this.#data[(this.#read + i) & this.#mask]?.length ?? 0;
    const message = new Uint8Array(length);
    let at = 0;
    for (let i = 0; i < parts; i++) {
      const part = this.take() ?? new Uint8Array(0);
      message.set(part, at);
      at += part.length;
    }
    return message;
  }
}
