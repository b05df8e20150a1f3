/**
 * PathMtu: how long datagrams on a path may be. Begins low, probes upwards, and falls back when time-outs suggest
 * that long datagrams vanish. Pure: says which probes to send and when. Lengths are those of UDP payload, bytes.
 */

/** Passes nearly everywhere; and what passes everywhere (IPv4's 576 less the longest headers, DESIGN section 4). */
const BASE_BYTES = 1_200;
const FLOOR_BYTES = 548;
/** Ethernet's 1,500 less IPv6 and UDP headers, and lower rungs for tunnels. */
const RUNGS = [1_452, 1_400, 1_300] as const;
export const LONGEST_DATAGRAM_BYTES = RUNGS[0];
/** Probes are repeated after these times, then at the last interval. Milliseconds. */
const PROBE_INTERVALS_MS = [250, 1_000, 5_000, 60_000] as const;
/** Time-outs in a row that make a long length suspect, and the base length too. */
const SUSPECT_TIMEOUTS = 3;
const FLOOR_TIMEOUTS = 5;

export class PathMtu {
  /** Length in use. */
  bytes: number = BASE_BYTES;
  /** When probes() is due. */
  probeAt: number;
  #attempts = 0;

  constructor(now: number) {
    this.probeAt = now;
  }

  /** Lengths to probe now, longest first. */
  probes(now: number): readonly number[] {
    if (now < this.probeAt) return [];
    const wanted = RUNGS.filter((rung) => rung > this.bytes);
    const wait = PROBE_INTERVALS_MS[Math.min(this.#attempts++, PROBE_INTERVALS_MS.length - 1)] ?? Infinity;
    this.probeAt = wanted.length === 0 ? Infinity : now + wait;
    return this.bytes < BASE_BYTES ? [...wanted, BASE_BYTES] : wanted;
  }

  /** A probe of this length arrived. @returns whether `bytes` changed. */
  answered(bytes: number): boolean {
    if (bytes <= this.bytes || bytes > LONGEST_DATAGRAM_BYTES) return false;
    this.bytes = bytes;
    if (bytes === LONGEST_DATAGRAM_BYTES) this.probeAt = Infinity;
    return true;
  }

  /** @param timeouts without anything delivered in between. @returns whether `bytes` changed. */
  suspect(timeouts: number, now: number): boolean {
    if (timeouts < SUSPECT_TIMEOUTS) return false;
    const bytes = timeouts < FLOOR_TIMEOUTS ? BASE_BYTES : FLOOR_BYTES;
    if (bytes >= this.bytes) return false;
    this.restart(bytes, now);
    return true;
  }

  /** The peer has moved: what was known of the way there is void. */
  moved(now: number): void {
    this.restart(Math.min(this.bytes, BASE_BYTES), now);
  }

  restart(bytes: number, now: number): void {
    this.bytes = bytes;
    this.#attempts = 0;
    this.probeAt = now + PROBE_INTERVALS_MS[1];
  }
}
