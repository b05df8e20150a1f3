/**
 * Flight: the log of a path's data transmissions until each is delivered or given up, shared by all conversations
 * of the path. Owns loss detection (packet and time threshold, probe timeout, after RFC 9002 and RFC 8985), the
 * round-trip estimate (RFC 6298), and feeds Congestion. Does not know segments: an owner is told the sequence number.
 *
 * Every transmission has a number of its own, so that a segment sent twice is no riddle.
 */
import { Congestion, type SendStamp } from './congestion.ts';

/** Packets that may overtake one before it counts as lost; grows where the network reorders. */
const REORDER_PACKETS = 3;
const REORDER_PACKETS_MAX = 512;
/** A packet overtaken by another counts as lost after this many round trips. */
const TIME_THRESHOLD = 9 / 8;
/** Time-outs, milliseconds. The floor covers the far end's event loop. */
const INITIAL_TIMEOUT_MS = 300;
const MIN_TIMEOUT_MS = 30;
const MAX_TIMEOUT_MS = 400;
const GRANULARITY_MS = 1;
/**
 * Segments sent again at a time-out, whatever the window says; twice as many at each that follows, up to a bound: where
 * many are lost in a row, two at a time would take seconds to come to the end of it.
 */
const PROBE_SEGMENTS = 2;
const PROBE_SEGMENTS_MAX = 8;
const INITIAL_CAPACITY = 1_024;

/** Told that a transmission of its segment counts as lost. */
export interface Sender {
  lost(sn: number): void;
}

const OUTSTANDING = 1;

export class Flight {
  readonly congestion = new Congestion();
  /** Segments sent again so far. */
  retransmissions = 0;
  #owners: (Sender | undefined)[] = [];
  #sn = new Uint32Array(INITIAL_CAPACITY);
  #bytes = new Uint16Array(INITIAL_CAPACITY);
  #state = new Uint8Array(INITIAL_CAPACITY);
  #limited = new Uint8Array(INITIAL_CAPACITY);
  #sentAt = new Float64Array(INITIAL_CAPACITY);
  #delivered = new Float64Array(INITIAL_CAPACITY);
  #deliveredAt = new Float64Array(INITIAL_CAPACITY);
  #firstSentAt = new Float64Array(INITIAL_CAPACITY);
  #mask = INITIAL_CAPACITY - 1;
  /** Numbers of the oldest transmission that may be outstanding, and of the next one. */
  #head = 0;
  #tail = 0;
  #largestDelivered = -1;
  #newest = -1;
  #arrived = false;
  #reorderPackets = REORDER_PACKETS;
  #rttMs: number | undefined;
  #rttVariation = 0;
  #latestRttMs = 0;
  #lossAt = Infinity;
  #lastSentAt = 0;
  #timeouts = 0;
  #probes = 0;
  readonly #stamp: SendStamp = {
    sentAt: 0,
    delivered: 0,
    deliveredAt: 0,
    firstSentAt: 0,
    applicationLimited: false,
  };

  /** Smoothed round trip, milliseconds. */
  get rttMs(): number | undefined {
    return this.#rttMs;
  }

  get outstanding(): boolean {
    return this.congestion.inFlight > 0;
  }

  /** Whether settle() has something to do. */
  get hasNews(): boolean {
    return this.#arrived;
  }

  /** Time-outs in a row without anything delivered. */
  get timeouts(): number {
    return this.#timeouts;
  }

  /** Whether window and pacing let a packet go now. */
  maySend(now: number): boolean {
    if (this.#probes > 0) return true;
    return this.congestion.hasRoom && this.congestion.delayMs(now) === 0;
  }

  /** @returns the transmission's number. */
  sent(owner: Sender, sn: number, bytes: number, now: number): number {
    if (this.#tail - this.#head > this.#mask) this.#grow();
    const { congestion } = this;
    congestion.onSent(bytes, now);
    const number = this.#tail++;
    const at = number & this.#mask;
    this.#owners[at] = owner;
    this.#sn[at] = sn;
    this.#bytes[at] = bytes;
    this.#state[at] = OUTSTANDING;
    this.#limited[at] = congestion.applicationLimited ? 1 : 0;
    this.#sentAt[at] = now;
    this.#delivered[at] = congestion.delivered;
    this.#deliveredAt[at] = congestion.deliveredAt;
    this.#firstSentAt[at] = congestion.firstSentAt;
    this.#lastSentAt = now;
    if (this.#probes > 0) this.#probes--;
    return number;
  }

  /**
   * A segment arrived whose last transmission is this one.
   * @param certain this very transmission arrived, and not perhaps an earlier one of the same segment.
   */
  arrived(number: number, certain: boolean): void {
    if (certain && number > this.#newest) this.#newest = number;
    this.#arrived = true;
    const at = number & this.#mask;
    if (number < this.#head || this.#state[at] !== OUTSTANDING) return;
    this.#state[at] = 0;
    this.congestion.onDelivered(this.#bytes[at] ?? 0);
  }

  /** A segment was sent again for nothing: the network reorders more than was allowed for. */
  spurious(): void {
    this.#reorderPackets = Math.min(this.#reorderPackets * 2, REORDER_PACKETS_MAX);
  }

  /** After all acknowledgements at hand were told to arrived(): estimates, and tells owners of losses. */
  settle(now: number): void {
    if (!this.#arrived) return;
    this.#arrived = false;
    this.#timeouts = 0;
    this.#probes = 0;
    const newest = this.#newest;
    if (newest > this.#largestDelivered && newest >= this.#head) {
      this.#largestDelivered = newest;
      const at = newest & this.#mask;
      const stamp = this.#stamp;
      stamp.sentAt = this.#sentAt[at] ?? 0;
      stamp.delivered = this.#delivered[at] ?? 0;
      stamp.deliveredAt = this.#deliveredAt[at] ?? 0;
      stamp.firstSentAt = this.#firstSentAt[at] ?? 0;
      stamp.applicationLimited = this.#limited[at] === 1;
      const rttMs = Math.max(now - stamp.sentAt, 0.01);
      this.measured(rttMs);
      this.congestion.onAcknowledgement(stamp, rttMs, now);
    }
    this.#detectLoss(now);
  }

  /** A round trip was measured, here or by a ping. */
  measured(rttMs: number): void {
    this.#latestRttMs = rttMs;
    if (this.#rttMs === undefined) {
      this.#rttMs = rttMs;
      this.#rttVariation = rttMs / 2;
    } else {
      this.#rttVariation += (Math.abs(this.#rttMs - rttMs) - this.#rttVariation) / 4;
      this.#rttMs += (rttMs - this.#rttMs) / 8;
    }
  }

  /** When expire() is due; Infinity for never. */
  deadline(): number {
    return this.outstanding ? Math.min(this.#lossAt, this.#timeoutAt()) : Infinity;
  }

  /** Acts on deadlines that have passed; owners may be told of losses. */
  expire(now: number): void {
    const { congestion } = this;
    if (congestion.inFlight > 0 && now >= this.#lossAt) this.#detectLoss(now);
    if (congestion.inFlight === 0 || now < this.#timeoutAt()) return;
    this.#timeouts++;
    const probes = Math.min(PROBE_SEGMENTS * 2 ** (this.#timeouts - 1), PROBE_SEGMENTS_MAX);
    this.#probes = probes;
    this.#lastSentAt = now;
    let left = probes;
    for (let number = this.#head; number < this.#tail && left > 0; number++) {
      if (this.#state[number & this.#mask] !== OUTSTANDING) continue;
      this.#lose(number & this.#mask);
      left--;
    }
  }

  #timeoutAt(): number {
    const base =
      this.#rttMs === undefined
        ? INITIAL_TIMEOUT_MS
        : Math.max(this.#rttMs + Math.max(4 * this.#rttVariation, GRANULARITY_MS), MIN_TIMEOUT_MS);
    return this.#lastSentAt + Math.min(base * 2 ** Math.min(this.#timeouts, 8), base + MAX_TIMEOUT_MS);
  }

  #detectLoss(now: number): void {
    const patience = TIME_THRESHOLD * Math.max(this.#rttMs ?? 0, this.#latestRttMs, GRANULARITY_MS);
    this.#lossAt = Infinity;
    while (this.#head < this.#tail) {
      const at = this.#head & this.#mask;
      if (this.#state[at] === OUTSTANDING) {
        if (this.#head >= this.#largestDelivered) return;
        const dueAt = (this.#sentAt[at] ?? 0) + patience;
        if (this.#largestDelivered - this.#head < this.#reorderPackets && dueAt > now) {
          this.#lossAt = dueAt;
          return;
        }
        this.#lose(at);
      }
      this.#owners[at] = undefined;
      this.#head++;
    }
  }

  #lose(at: number): void {
    this.#state[at] = 0;
    this.congestion.onLost(this.#bytes[at] ?? 0);
    this.retransmissions++;
    this.#owners[at]?.lost(this.#sn[at] ?? 0);
  }

  #grow(): void {
    const capacity = 2 * (this.#mask + 1);
    const move = <T extends Uint8Array | Uint16Array | Uint32Array | Float64Array>(from: T, to: T): T => {
      for (let number = this.#head; number < this.#tail; number++) {
        to[number & (capacity - 1)] = from[number & this.#mask] ?? 0;
      }
      return to;
    };
    const owners: (Sender | undefined)[] = new Array<Sender | undefined>(capacity);
    for (let n = this.#head; n < this.#tail; n++) owners[n & (capacity - 1)] = this.#owners[n & this.#mask];
    this.#owners = owners;
    this.#sn = move(this.#sn, new Uint32Array(capacity));
    this.#bytes = move(this.#bytes, new Uint16Array(capacity));
    this.#state = move(this.#state, new Uint8Array(capacity));
    this.#limited = move(this.#limited, new Uint8Array(capacity));
    this.#sentAt = move(this.#sentAt, new Float64Array(capacity));
    this.#delivered = move(this.#delivered, new Float64Array(capacity));
    this.#deliveredAt = move(this.#deliveredAt, new Float64Array(capacity));
    this.#firstSentAt = move(this.#firstSentAt, new Float64Array(capacity));
    this.#mask = capacity - 1;
  }
}
