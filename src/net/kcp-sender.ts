/**
 * The sending half of a KCP conversation: the queue of data, the window of numbered segments, and what of it must
 * be sent again. When something may be sent, and what counts as lost, is the flight's to say (flight.ts).
 */
import { recycle } from '../frame-pool.ts';
import type { Flight, Sender as FlightSender } from './flight.ts';
import { MAX_FRAGMENTS, PUSH, SEGMENT_HEADER_BYTES, serial, writeU16, writeU32 } from './kcp-segment.ts';
import { Slots } from './kcp-slots.ts';

/** What a segment costs below KCP, for the rate: sealing, UDP and IP headers. Bytes. */
const LOWER_OVERHEAD_BYTES = 57;

const EMPTY = new Uint8Array(0);

const FREE = 0;
const IN_FLIGHT = 1;
const LOST = 2;

export interface SenderOptions {
  readonly conversation: number;
  /** A power of two. */
  readonly windowSegments: number;
  /** Largest data of a segment ever, bytes. */
  readonly maxDataBytes: number;
  /** Bytes kept free before each segment, for the layer below. */
  readonly headroomBytes: number;
  /** Whether the borders of what is sent are forgotten. */
  readonly stream: boolean;
  readonly flight: Flight;
}

/** A segment to be sent lies in `bytes` from `start` on, with the headroom before it. */
export type EmitSegment = (bytes: Uint8Array, start: number, length: number) => void;

export class Sender implements FlightSender {
  /** The oldest number not acknowledged, and the next one to be given. */
  una = 0;
  next = 0;
  /** Data that no segment holds yet, bytes. */
  queuedBytes = 0;
  /** Data in segments that are not acknowledged yet, bytes. */
  unacknowledgedBytes = 0;
  /** Segments that the far end has room for, from `una` on. The reference begins with 128 too. */
  remoteWindow = 128;
  /** Largest data of a new segment, bytes. */
  dataBytes: number;
  readonly #options: SenderOptions;
  readonly #mask: number;
  readonly #slots: Slots;
  readonly #slot: Int32Array;
  readonly #length: Uint16Array;
  readonly #state: Uint8Array;
  readonly #ts: Uint32Array;
  readonly #number: Float64Array;
  readonly #sentBefore: Uint8Array;
  /** Numbers to send again: a ring, each number at most once. */
  readonly #lost: Uint32Array;
  #lostHead = 0;
  #lostTail = 0;
  #queue: Uint8Array[] = [];
  #queueHead = 0;
  /** Bytes of the first queued piece that are in segments already. */
  #consumed = 0;
  /** Data of each segment of the message that is being cut; 0 between messages. */
  #cutBytes = 0;

  constructor(options: SenderOptions) {
    const { windowSegments } = options;
    this.#options = options;
    this.dataBytes = options.maxDataBytes;
    this.#mask = windowSegments - 1;
    this.#slots = new Slots(options.headroomBytes + SEGMENT_HEADER_BYTES + options.maxDataBytes);
    this.#slot = new Int32Array(windowSegments);
    this.#length = new Uint16Array(windowSegments);
    this.#state = new Uint8Array(windowSegments);
    this.#ts = new Uint32Array(windowSegments);
    this.#number = new Float64Array(windowSegments);
    this.#sentBefore = new Uint8Array(windowSegments);
    this.#lost = new Uint32Array(windowSegments);
  }

  /** Whether anything waits to be sent for the first time or again. */
  get pending(): boolean {
    return this.queuedBytes > 0 || this.#lostHead !== this.#lostTail;
  }

  /** Whether a segment could go if congestion let it: the far end's window has room, or one is to be sent again. */
  get sendable(): boolean {
    if (this.#lostHead !== this.#lostTail) return true;
    const used = serial(this.next, this.una);
    return this.queuedBytes > 0 && used <= this.#mask && used < this.remoteWindow;
  }

  /** Whether data wait only for room at the far end. */
  get blockedByPeer(): boolean {
    return this.remoteWindow === 0 && this.queuedBytes > 0;
  }

  /**
   * @param piece belongs to the conversation until it is in segments; memory of the frame pool is given back then. In
   * message mode it is one message.
   * @returns false if it is a message of too many fragments.
   */
  queue(piece: Uint8Array): boolean {
    if (!this.#options.stream && piece.length > MAX_FRAGMENTS * this.dataBytes) return false;
    if (piece.length === 0) return true;
    this.#queue.push(piece);
    this.queuedBytes += piece.length;
    return true;
  }

  /** Sends one segment if there is one to send: lost ones first. `window` and `una` are our receiving half's. */
  emitNext(emit: EmitSegment, window: number, una: number, now: number): boolean {
    const sn = this.#nextNumber();
    if (sn < 0) return false;
    const at = sn & this.#mask;
    const { flight, headroomBytes } = this.#options;
    const slot = this.#slot[at] ?? 0;
    const bytes = this.#slots.slab(slot);
    const start = this.#slots.offset(slot) + headroomBytes;
    const length = SEGMENT_HEADER_BYTES + (this.#length[at] ?? 0);
    const ts = Math.trunc(now) >>> 0;
    writeU16(bytes, start + 6, window);
    writeU32(bytes, start + 8, ts);
    writeU32(bytes, start + 16, una);
    this.#state[at] = IN_FLIGHT;
    this.#ts[at] = ts;
    this.#number[at] = flight.sent(this, sn, length + LOWER_OVERHEAD_BYTES, now);
    emit(bytes, start, length);
    return true;
  }

  /** The far end has everything below `una`. */
  acknowledgeBelow(una: number): void {
    const count = serial(una, this.una);
    if (count <= 0 || count > serial(this.next, this.una)) return;
    for (; this.una !== una; this.una = (this.una + 1) >>> 0) this.#arrived(this.una, -1);
  }

  /** The far end has segment `sn`, in the transmission that carried `ts`. */
  acknowledge(sn: number, ts: number): void {
    if (serial(sn, this.una) < 0 || serial(sn, this.next) >= 0) return;
    this.#arrived(sn, ts);
    while (this.una !== this.next && this.#state[this.una & this.#mask] === FREE) this.una = (this.una + 1) >>> 0;
  }

  /** The far end has `count` segments from `first` on. */
  acknowledgeRun(first: number, count: number): void {
    const from = Math.max(0, serial(this.una, first));
    const to = Math.min(count, serial(this.next, first));
    for (let i = from; i < to; i++) {
      const sn = (first + i) >>> 0;
      if (this.#state[sn & this.#mask] !== FREE) this.#arrived(sn, -1);
    }
  }

  lost(sn: number): void {
    const at = sn & this.#mask;
    if (serial(sn, this.una) < 0 || this.#state[at] !== IN_FLIGHT) return;
    this.#state[at] = LOST;
    this.#sentBefore[at] = 1;
    this.#lost[this.#lostTail++ & this.#mask] = sn;
  }

  /** @param ts -1 when it is not known which transmission arrived. */
  #arrived(sn: number, ts: number): void {
    const at = sn & this.#mask;
    if (this.#state[at] === FREE) return;
    const again = this.#sentBefore[at] === 1;
    const certain = !again || this.#ts[at] === ts;
    if (again && ts >= 0 && !certain) this.#options.flight.spurious();
    this.#state[at] = FREE;
    this.unacknowledgedBytes -= this.#length[at] ?? 0;
    this.#slots.release(this.#slot[at] ?? 0);
    this.#options.flight.arrived(this.#number[at] ?? 0, certain);
  }

  #nextNumber(): number {
    while (this.#lostHead !== this.#lostTail) {
      const sn = this.#lost[this.#lostHead++ & this.#mask] ?? 0;
      if (serial(sn, this.una) >= 0 && this.#state[sn & this.#mask] === LOST) return sn;
    }
    if (this.queuedBytes === 0) return -1;
    const used = serial(this.next, this.una);
    if (used > this.#mask || used >= this.remoteWindow) return -1;
    return this.#cut();
  }

  /** Makes the next segment of the queue. @returns its number. */
  #cut(): number {
    const { conversation, headroomBytes, stream } = this.#options;
    const sn = this.next;
    const at = sn & this.#mask;
    const slot = this.#slots.take();
    const bytes = this.#slots.slab(slot);
    const start = this.#slots.offset(slot) + headroomBytes;
    let fragment = 0;
    let room = this.dataBytes;
    if (!stream) {
      const left = (this.#queue[this.#queueHead]?.length ?? 0) - this.#consumed;
      if (this.#cutBytes === 0) this.#cutBytes = this.dataBytes;
      room = Math.min(this.#cutBytes, left);
      fragment = Math.ceil(left / this.#cutBytes) - 1;
      if (fragment === 0) this.#cutBytes = 0;
    }
    const length = this.#fill(bytes, start + SEGMENT_HEADER_BYTES, room);
    writeU32(bytes, start, conversation);
    bytes[start + 4] = PUSH;
    bytes[start + 5] = fragment;
    writeU32(bytes, start + 12, sn);
    writeU32(bytes, start + 20, length);
    this.#slot[at] = slot;
    this.#length[at] = length;
    this.#sentBefore[at] = 0;
    this.unacknowledgedBytes += length;
    this.next = (sn + 1) >>> 0;
    return sn;
  }

  /** Moves up to `room` bytes from the queue. @returns how many. */
  #fill(bytes: Uint8Array, from: number, room: number): number {
    let at = from;
    const end = from + room;
    while (at < end) {
      const piece = this.#queue[this.#queueHead];
      if (piece === undefined) break;
      const count = Math.min(end - at, piece.length - this.#consumed);
      bytes.set(piece.subarray(this.#consumed, this.#consumed + count), at);
      at += count;
      this.#consumed += count;
      if (this.#consumed === piece.length) this.#dropFirst();
    }
    this.queuedBytes -= at - from;
    return at - from;
  }

  /** It was copied into segments. */
  #dropFirst(): void {
    this.#consumed = 0;
    const piece = this.#queue[this.#queueHead];
    if (piece !== undefined) recycle(piece);
    this.#queue[this.#queueHead++] = EMPTY; // lets the piece go
    if (this.#queueHead < 256 && this.#queueHead < this.#queue.length) return;
    this.#queue.splice(0, this.#queueHead);
    this.#queueHead = 0;
  }
}
