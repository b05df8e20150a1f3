/**
 * Kcp: one conversation of the KCP protocol, wire-compatible with the reference implementation (kcp-segment.ts has
 * the bytes). Pure: no sockets, no timers; time comes in as an argument. Retransmission and pacing follow the
 * Flight, which all conversations of a path share, instead of the reference's rules: those do not cross the wire.
 *
 * Differences that a reference peer does not notice: segments in order are acknowledged once a flush (by `una` and
 * one acknowledgement for the newest), segments out of order one by one, or where both ends are ours by runs
 * (kcp-runs.ts).
 */
import { Flight } from './flight.ts';
import { Receiver } from './kcp-receiver.ts';
import { decodeRuns, MAX_RUNS_BYTES, type Runs } from './kcp-runs.ts';
import { Sender, type EmitSegment } from './kcp-sender.ts';
import {
  ACKNOWLEDGE,
  MAX_WINDOW,
  PUSH,
  readU32,
  SEGMENT_HEADER_BYTES,
  WINDOW_ASK,
  WINDOW_TELL,
  writeU16,
  writeU32,
} from './kcp-segment.ts';

/** A closed window is asked after, at growing intervals. Milliseconds. */
const PROBE_FIRST_MS = 200;
const PROBE_LONGEST_MS = 10_000;

const DEFAULT_WINDOW_SEGMENTS = 1_024;
const DEFAULT_SEGMENT_BYTES = 1_400;

export interface KcpOptions {
  /** Unsigned 32 bits, the same at both ends. */
  readonly conversation: number;
  /**
   * Takes one encoded segment, `length` bytes from `start` on; the bytes may be used during the call only. Several
   * segments may share a datagram.
   */
  readonly output: EmitSegment;
  /** Largest segment that will ever be sent, header included. Default 1,400. */
  readonly maxSegmentBytes?: number;
  /** Powers of two, 256 to 32,768. Default 1,024. */
  readonly sendWindowSegments?: number;
  readonly receiveWindowSegments?: number;
  /** Bytes are a stream: borders between messages are not kept. Default false. */
  readonly stream?: boolean;
  /**
   * What comes out of order is acknowledged by runs instead of one by one: a peer that does not know runs learns of it
   * only when it is in order. Default false.
   */
  readonly acknowledgeRuns?: boolean;
  /** Bytes that `output` may overwrite before each data segment. Default 0. */
  readonly headroomBytes?: number;
  /** Shared by the conversations of a path. Default: one of its own. */
  readonly flight?: Flight;
}

export interface KcpStatistics {
  /** Packets that were no KCP segments of this conversation. */
  readonly malformed: number;
  /** Segments that came twice or beyond the window. */
  readonly refused: number;
}

export class Kcp {
  readonly conversation: number;
  readonly flight: Flight;
  readonly #output: EmitSegment;
  readonly #sender: Sender;
  readonly #receiver: Receiver;
  readonly #stream: boolean;
  readonly #control: Uint8Array;
  readonly #controlStart: number;
  readonly #acknowledgeRun = (sn: number, count: number): void => this.#sender.acknowledgeRun(sn, count);
  #malformed = 0;
  #windowAsked = false;
  #announcedWindow: number;
  #probeAt = Infinity;
  #probeAfterMs = PROBE_FIRST_MS;

  constructor(options: KcpOptions) {
    const receiveWindow = options.receiveWindowSegments ?? DEFAULT_WINDOW_SEGMENTS;
    const headroomBytes = options.headroomBytes ?? 0;
    this.conversation = options.conversation;
    this.flight = options.flight ?? new Flight();
    this.#output = options.output;
    this.#stream = options.stream ?? false;
    this.#sender = new Sender({
      conversation: options.conversation,
      windowSegments: options.sendWindowSegments ?? DEFAULT_WINDOW_SEGMENTS,
      maxDataBytes: (options.maxSegmentBytes ?? DEFAULT_SEGMENT_BYTES) - SEGMENT_HEADER_BYTES,
      headroomBytes,
      stream: this.#stream,
      flight: this.flight,
    });
    this.#receiver = new Receiver(receiveWindow, options.acknowledgeRuns ?? false);
    this.#announcedWindow = receiveWindow;
    this.#controlStart = headroomBytes;
    this.#control = new Uint8Array(headroomBytes + SEGMENT_HEADER_BYTES + MAX_RUNS_BYTES);
  }

  get statistics(): KcpStatistics {
    return { malformed: this.#malformed, refused: this.#receiver.refused };
  }

  /** Bytes given to send() that the far end has not acknowledged. */
  get unacknowledgedBytes(): number {
    return this.#sender.queuedBytes + this.#sender.unacknowledgedBytes;
  }

  /** Bytes given to send() that have not been sent yet. */
  get queuedBytes(): number {
    return this.#sender.queuedBytes;
  }

  /** Whether something would be sent if flight and window allow. */
  get pending(): boolean {
    return this.#sender.pending;
  }

  /** Largest segment from now on, header included; segments that have a number keep their length. */
  setSegmentBytes(bytes: number): void {
    this.#sender.dataBytes = bytes - SEGMENT_HEADER_BYTES;
  }

  /**
   * Queues a message (in stream mode: bytes). They must not change until they are sent; memory of the frame pool is then
   * given back.
   * @returns false when the message would need more than 256 fragments.
   */
  send(message: Uint8Array): boolean {
    return this.#sender.queue(message);
  }

  /**
   * The next message that is whole (in stream mode: the next bytes), a view of an input packet where it can be. It holds
   * until the next call, or until own().
   */
  receive(): Uint8Array | undefined {
    return this.#stream ? this.#receiver.take() : this.#receiver.takeMessage();
  }

  /** Takes a packet: segments of this conversation. Its bytes are the conversation's from then on. */
  input(packet: Uint8Array, now: number): void {
    let at = 0;
    while (at < packet.length) {
      const next = readU32(packet, at) === this.conversation ? this.inputSegment(packet, at) : -1;
      if (next < 0) {
        this.#malformed++;
        break;
      }
      at = next;
    }
    this.flight.settle(now);
  }

  /**
   * Takes the segment at `at`, whose conversation was looked at. flight.settle() must follow after the last one.
   * @returns where the segment ends; -1 if it is malformed.
   */
  inputSegment(packet: Uint8Array, at: number): number {
    const dataAt = at + SEGMENT_HEADER_BYTES;
    if (dataAt > packet.length) return -1;
    const command = packet[at + 4] ?? 0;
    const end = dataAt + readU32(packet, at + 20);
    if (end > packet.length || command < PUSH || command > WINDOW_TELL) return -1;
    const sender = this.#sender;
    const ts = readU32(packet, at + 8);
    const sn = readU32(packet, at + 12);
    sender.remoteWindow = (packet[at + 6] ?? 0) | ((packet[at + 7] ?? 0) << 8);
    // The acknowledgement goes first: unlike `una` it tells which transmission arrived.
    const una = readU32(packet, at + 16);
    if (command === ACKNOWLEDGE) {
      sender.acknowledge(sn, ts);
      if (end > dataAt) decodeRuns(packet, dataAt, end, una, this.#acknowledgeRun);
    }
    sender.acknowledgeBelow(una);
    if (command === PUSH) this.#receiver.push(sn, ts, packet[at + 5] ?? 0, packet.subarray(dataAt, end));
    else if (command === WINDOW_ASK) this.#windowAsked = true;
    return end;
  }

  /**
   * To be called before the bytes of a packet given to inputSegment() become somebody else's: copies what of it receive()
   * has not given out.
   */
  own(): void {
    this.#receiver.own();
  }

  /** Whether an acknowledgement is due that should not wait. */
  get acknowledgementUrgent(): boolean {
    return this.#windowAsked || this.#receiver.acknowledgementUrgent;
  }

  /** Sends what may be sent. */
  flush(now: number): void {
    this.flushControl(now);
    this.flushData(now);
    if (!this.pending && this.flight.congestion.hasRoom) this.flight.congestion.onIdle();
  }

  /** Sends acknowledgements and window probes; neither waits for congestion. */
  flushControl(now: number): void {
    const receiver = this.#receiver;
    if (receiver.acknowledgementDue)
      receiver.acknowledge((sn, ts, runs) => this.#emitControl(ACKNOWLEDGE, sn, ts, runs));
    // A window that was nearly closed and opens again is told unasked, so that the far end need not probe.
    const opened = this.#announcedWindow === 0 && receiver.room > 0;
    if (this.#windowAsked || opened) this.#emitControl(WINDOW_TELL, 0, Math.trunc(now) >>> 0);
    this.#windowAsked = false;
    if (!this.#sender.blockedByPeer) {
      this.#probeAt = Infinity;
      this.#probeAfterMs = PROBE_FIRST_MS;
    } else if (this.#probeAt === Infinity) {
      this.#probeAt = now + this.#probeAfterMs;
    } else if (now >= this.#probeAt) {
      this.#emitControl(WINDOW_ASK, 0, Math.trunc(now) >>> 0);
      this.#probeAfterMs = Math.min(this.#probeAfterMs * 2, PROBE_LONGEST_MS);
      this.#probeAt = now + this.#probeAfterMs;
    }
  }

  /**
   * Sends data as far as window, congestion and pacing let it.
   * @param regardless of congestion and pacing this many segments may go: last words, since nothing follows them.
   */
  flushData(now: number, regardless = 0): void {
    const { flight } = this;
    const sender = this.#sender;
    const una = this.#receiver.next;
    const window = Math.min(this.#receiver.room, MAX_WINDOW);
    for (let sent = 0; sent < regardless || flight.maySend(now); sent++) {
      if (!sender.emitNext(this.#output, window, una, now)) break;
      this.#announcedWindow = window;
    }
  }

  /** Acts on deadlines and sends what may be sent. */
  update(now: number): void {
    this.flight.expire(now);
    this.flush(now);
  }

  /** When update() is due next: `now` or earlier for at once, Infinity for not before the next input or send. */
  check(now: number): number {
    if (this.#receiver.acknowledgementDue || this.#windowAsked) return now;
    const { congestion } = this.flight;
    const mayAt = this.#sender.sendable && congestion.hasRoom ? now + congestion.delayMs(now) : Infinity;
    return Math.min(mayAt, this.#probeAt, this.flight.deadline());
  }

  #emitControl(command: number, sn: number, ts: number, runs?: Runs): void {
    const bytes = this.#control;
    const start = this.#controlStart;
    this.#announcedWindow = Math.min(this.#receiver.room, MAX_WINDOW);
    writeU32(bytes, start, this.conversation);
    bytes[start + 4] = command;
    bytes[start + 5] = 0;
    writeU16(bytes, start + 6, this.#announcedWindow);
    writeU32(bytes, start + 8, ts);
    writeU32(bytes, start + 12, sn);
    const una = this.#receiver.next;
    const dataAt = start + SEGMENT_HEADER_BYTES;
    const end = runs?.encode(bytes, dataAt, una) ?? dataAt;
    writeU32(bytes, start + 16, una);
    writeU32(bytes, start + 20, end - dataAt);
    this.#output(bytes, start, end - start);
  }
}
