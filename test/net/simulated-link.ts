/**
 * One direction of a simulated link: rate with a bounded queue, delay, loss, reordering and duplicates, all drawn
 * from a seed. Time is the caller's.
 */
export interface LinkOptions {
  readonly delayMs: number;
  /** Bytes per millisecond; Infinity for no limit. */
  readonly rate?: number;
  /** Bytes that may wait before the link; more are dropped. */
  readonly queueBytes?: number;
  /** Probabilities, 0 to 1. */
  readonly loss?: number;
  readonly reorder?: number;
  readonly duplicate?: number;
}

interface Arrival {
  readonly at: number;
  readonly bytes: Uint8Array;
}

/** Mulberry32: a small generator for tests. @returns numbers from 0 up to 1. */
export function createRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Headers of Ethernet, IP and UDP, bytes. */
const HEADER_BYTES = 42;

export class SimulatedLink {
  dropped = 0;
  sent = 0;
  /** The longest that a packet waited in the queue, milliseconds; may be reset. */
  longestWaitMs = 0;
  readonly #options: LinkOptions;
  readonly #random: () => number;
  readonly #arrivals: Arrival[] = [];
  #busyUntil = 0;

  constructor(options: LinkOptions, seed: number) {
    this.#options = options;
    this.#random = createRandom(seed);
  }

  /** When the next packet arrives; Infinity for none under way. */
  get nextAt(): number {
    return this.#arrivals[0]?.at ?? Infinity;
  }

  /** How long a packet that is sent now would wait in the queue, milliseconds. */
  waitMs(now: number): number {
    return Math.max(0, this.#busyUntil - now);
  }

  send(bytes: Uint8Array, now: number): void {
    const { delayMs, rate = Infinity, queueBytes = Infinity, loss = 0, reorder = 0, duplicate = 0 } = this.#options;
    this.sent++;
    const begin = Math.max(now, this.#busyUntil);
    if ((begin - now) * rate > queueBytes) {
      this.dropped++;
      return;
    }
    this.longestWaitMs = Math.max(this.longestWaitMs, begin - now);
    this.#busyUntil = begin + (bytes.length + HEADER_BYTES) / rate;
    if (this.#random() < loss) {
      this.dropped++;
      return;
    }
    const late = this.#random() < reorder ? this.#random() * delayMs * 0.5 : 0;
    const copy = bytes.slice();
    this.#insert({ at: this.#busyUntil + delayMs + late, bytes: copy });
    if (this.#random() < duplicate) this.#insert({ at: this.#busyUntil + delayMs * 1.2, bytes: copy.slice() });
  }

  /** The packets that have arrived by `now`. */
  take(now: number): Uint8Array[] {
    let count = 0;
    while (count < this.#arrivals.length && (this.#arrivals[count]?.at ?? Infinity) <= now) count++;
    return this.#arrivals.splice(0, count).map((arrival) => arrival.bytes);
  }

  #insert(arrival: Arrival): void {
    let at = this.#arrivals.length;
    while (at > 0 && (this.#arrivals[at - 1]?.at ?? 0) > arrival.at) at--;
    this.#arrivals.splice(at, 0, arrival);
  }
}
