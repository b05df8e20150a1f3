/**
 * The receiving half of a KCP conversation: puts segments in order, remembers what is to be acknowledged, and gives
 * out the data. Holds views of the packets it was given, until it is told to own them, and at most a window of them.
 */
import { serial } from './kcp-segment.ts';

/** Out-of-order arrivals to acknowledge one by one; more are left to `una` and the sender's patience. */
const MAX_PENDING = 2_048;
/** Segments of one packet that are remembered as views of it; more are copied at once. */
const MAX_BORROWED = 64;

export class Receiver {
  /** The next number expected. */
  next = 0;
  /** Segments dropped because they had come before, or lay beyond the window. */
  refused = 0;
  readonly #mask: number;
  readonly #data: (Uint8Array | undefined)[];
  readonly #fragment: Uint8Array;
  /** The next number to give out. */
  #read = 0;
  /** Acknowledgements due: numbers and clocks of segments out of order, and of the newest in order. */
  readonly #pendingSn = new Uint32Array(MAX_PENDING);
  readonly #pendingTs = new Uint32Array(MAX_PENDING);
  #pending = 0;
  /** Numbers of segments that are views of a packet. */
  readonly #borrowed = new Uint32Array(MAX_BORROWED);
  #borrowedCount = 0;
  #inOrder = false;
  #inOrderSn = 0;
  #inOrderTs = 0;

  /** @param windowSegments a power of two. */
  constructor(windowSegments: number) {
    this.#mask = windowSegments - 1;
    this.#data = new Array<Uint8Array | undefined>(windowSegments).fill(undefined);
    this.#fragment = new Uint8Array(windowSegments);
  }

  /** Segments that there is room for, from `next` on. */
  get room(): number {
    return this.#mask + 1 - ((this.next - this.#read) >>> 0);
  }

  get acknowledgementDue(): boolean {
    return this.#inOrder || this.#pending > 0;
  }

  /** @param data is kept until it is given out, or copied by own(). */
  push(sn: number, ts: number, fragment: number, data: Uint8Array): void {
    const ahead = serial(sn, this.next);
    if (ahead >= this.room) {
      this.refused++;
      return;
    }
    const at = sn & this.#mask;
    if (ahead === 0) {
      this.#inOrder = true;
      this.#inOrderSn = sn;
      this.#inOrderTs = ts;
      this.#keep(sn, data);
      this.#fragment[at] = fragment;
      do this.next = (this.next + 1) >>> 0;
      while (this.room > 0 && this.#data[this.next & this.#mask] !== undefined);
      return;
    }
    if (this.#pending < MAX_PENDING) {
      this.#pendingSn[this.#pending] = sn;
      this.#pendingTs[this.#pending++] = ts;
    }
    if (ahead < 0 || this.#data[at] !== undefined) {
      this.refused++;
      return;
    }
    this.#keep(sn, data);
    this.#fragment[at] = fragment;
  }

  #keep(sn: number, data: Uint8Array): void {
    const isFull = this.#borrowedCount === MAX_BORROWED;
    if (!isFull) this.#borrowed[this.#borrowedCount++] = sn;
    this.#data[sn & this.#mask] = isFull ? Uint8Array.prototype.slice.call(data) : data;
  }

  /** Copies what was not given out yet. */
  own(): void {
    for (let i = 0; i < this.#borrowedCount; i++) {
      const at = (this.#borrowed[i] ?? 0) & this.#mask;
      const data = this.#data[at];
      if (data !== undefined) this.#data[at] = Uint8Array.prototype.slice.call(data);
    }
    this.#borrowedCount = 0;
  }

  /** Calls for each acknowledgement due, the newest last, and forgets them. `una` covers all else in order. */
  acknowledge(each: (sn: number, ts: number) => void): void {
    for (let i = 0; i < this.#pending; i++) each(this.#pendingSn[i] ?? 0, this.#pendingTs[i] ?? 0);
    if (this.#inOrder) each(this.#inOrderSn, this.#inOrderTs);
    this.#pending = 0;
    this.#inOrder = false;
  }

  /** The data of the next segment in order. */
  take(): Uint8Array | undefined {
    if (this.#read === this.next) return undefined;
    const at = this.#read & this.#mask;
    const data = this.#data[at];
    this.#data[at] = undefined;
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
