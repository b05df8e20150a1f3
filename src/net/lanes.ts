/**
 * Lanes: the KCP conversations of one path. Lane 0 goes first whenever something may be sent; congestion control is
 * shared (flight.ts). Owns framing, packing of small segments into packets, and the high-water marks.
 */
import { LIMITS } from '../wire/schema.ts';
import { DATAGRAM_TYPES } from '../wire/datagram.ts';
import type { DatagramBatch } from './datagram-batch.ts';
import type { Flight } from './flight.ts';
import { encodeFrameLength, FrameReader } from './frame-reader.ts';
import { Kcp } from './kcp.ts';
import { readU32 } from './kcp-segment.ts';
import { LONGEST_DATAGRAM_BYTES } from './path-mtu.ts';
import { LANES, type Lane } from './path.ts';

const TYPE_BYTES = 1;
/** Segments in flight and out of order, each lane: 16,384 of 1,400 bytes are 100 MB/s at 200 ms. */
const WINDOW_SEGMENTS = [1_024, 16_384] as const;
/** Bytes not sent yet above which send() says to wait. */
const HIGH_WATER_BYTES = [1 << 20, 4 << 20] as const;
/** What of lane 0 leaves before the path closes, whatever congestion says. */
const LAST_SEGMENTS = 64;

interface LaneState {
  readonly lane: Lane;
  readonly kcp: Kcp;
  readonly reader: FrameReader;
  readonly highWaterBytes: number;
  waiting: boolean;
}

export class Lanes {
  readonly #flight: Flight;
  readonly #batch: DatagramBatch;
  readonly #lanes: readonly LaneState[];
  /** A packet of small segments that is being put together. */
  readonly #packet = new Uint8Array(LONGEST_DATAGRAM_BYTES);
  #packed = TYPE_BYTES;

  constructor(flight: Flight, batch: DatagramBatch) {
    this.#flight = flight;
    this.#batch = batch;
    this.#packet[0] = DATAGRAM_TYPES.kcp;
    const emit = (bytes: Uint8Array, start: number, length: number): void => this.#emit(bytes, start, length);
    const lanes: readonly Lane[] = [0, 1];
    this.#lanes = lanes.map((lane) => ({
      lane,
      kcp: new Kcp({
        conversation: lane + 1,
        output: emit,
        maxSegmentBytes: LONGEST_DATAGRAM_BYTES - TYPE_BYTES,
        sendWindowSegments: WINDOW_SEGMENTS[lane],
        receiveWindowSegments: WINDOW_SEGMENTS[lane],
        stream: true,
        acknowledgeRuns: true,
        headroomBytes: TYPE_BYTES,
        flight,
      }),
      reader: new FrameReader(LIMITS.frameBytes),
      highWaterBytes: HIGH_WATER_BYTES[lane],
      waiting: false,
    }));
    this.setPacketBytes(batch.limitBytes);
  }

  /** Longest plain packet from now on. */
  setPacketBytes(bytes: number): void {
    for (const { kcp } of this.#lanes) kcp.setSegmentBytes(bytes - TYPE_BYTES);
  }

  /** @param pieces one frame. @returns whether the lane has room for more. */
  queue(lane: Lane, pieces: readonly Uint8Array[]): boolean {
    const state = this.#lane(lane);
    let length = 0;
    for (const piece of pieces) length += piece.length;
    state.kcp.send(encodeFrameLength(length));
    for (const piece of pieces) state.kcp.send(piece);
    if (state.kcp.queuedBytes < state.highWaterBytes) return true;
    state.waiting = true;
    return false;
  }

  /** Takes a packet of segments, type byte included; own() must follow. @returns false if it is malformed. */
  input(packet: Uint8Array): boolean {
    let at = TYPE_BYTES;
    while (at < packet.length) {
      const conversation = readU32(packet, at);
      if (conversation < 1 || conversation > LANES) return false;
      at = this.#lane(conversation - 1).kcp.inputSegment(packet, at);
      if (at < 0) return false;
    }
    return true;
  }

  /** Whether acknowledgements are due that should not wait. */
  get acknowledgementUrgent(): boolean {
    return this.#lanes.some(({ kcp }) => kcp.acknowledgementUrgent);
  }

  /** The bytes of the packet given to input() become somebody else's. */
  own(): void {
    for (const { kcp } of this.#lanes) kcp.own();
  }

  /** Gives out all frames that are whole. @returns false if the peer broke the framing. */
  deliver(frame: (lane: Lane, frame: Uint8Array) => void): boolean {
    for (const { lane, kcp, reader } of this.#lanes) {
      const give = (bytes: Uint8Array): void => frame(lane, bytes);
      for (let bytes = kcp.receive(); bytes !== undefined; bytes = kcp.receive()) {
        if (!reader.push(bytes, give)) return false;
      }
    }
    return true;
  }

  /** Sends what may be sent, lane 0 first. */
  flush(now: number): void {
    let pending = false;
    // Acknowledgements of all lanes in one packet: those of one alone would make the others' segments seem overtaken.
    for (const { kcp } of this.#lanes) kcp.flushControl(now);
    for (const { kcp } of this.#lanes) {
      kcp.flushData(now);
      this.#closePacket();
      pending ||= kcp.pending;
    }
    const { congestion } = this.#flight;
    if (!pending && congestion.hasRoom) congestion.onIdle();
  }

  /** Sends what waits in lane 0 at once, for the path is about to close: a goodbye, say. */
  flushLast(now: number): void {
    this.#lane(0).kcp.flushData(now, LAST_SEGMENTS);
    this.#closePacket();
  }

  /** When flush is due again if nothing happens. */
  check(now: number): number {
    let due = Infinity;
    for (const { kcp } of this.#lanes) due = Math.min(due, kcp.check(now));
    return due;
  }

  /** Tells of lanes that were over their high-water mark and have fallen to half of it. */
  tellWritable(writable: (lane: Lane) => void): void {
    for (const state of this.#lanes) {
      if (!state.waiting || state.kcp.queuedBytes * 2 > state.highWaterBytes) continue;
      state.waiting = false;
      writable(state.lane);
    }
  }

  #lane(lane: number): LaneState {
    const state = this.#lanes[lane];
    if (state === undefined) throw new Error('no such lane');
    return state;
  }

  #emit(bytes: Uint8Array, start: number, length: number): void {
    const limit = Math.min(this.#batch.limitBytes, this.#packet.length);
    if (length * 2 > limit) {
      // Its own packet, where it lies: data segments have room for the type byte before them.
      bytes[start - TYPE_BYTES] = DATAGRAM_TYPES.kcp;
      this.#batch.add(bytes.subarray(start - TYPE_BYTES, start + length));
      return;
    }
    if (this.#packed + length > limit) this.#closePacket();
    this.#packet.set(bytes.subarray(start, start + length), this.#packed);
    this.#packed += length;
  }

  #closePacket(): void {
    if (this.#packed === TYPE_BYTES) return;
    this.#batch.add(this.#packet.subarray(0, this.#packed));
    this.#packed = TYPE_BYTES;
  }
}
