/**
 * Runs of segments that have come beyond a gap, and how an acknowledgement tells of them. The reference implementation
 * skips what data an acknowledgement has, so these are an addition that it does not notice:
 *
 *     (skip u16, count u16)...    little-endian; `count` segments have arrived, after `skip` that are missing;
 *                                 counted from `una`, then from the end of the run before
 *
 * All runs are told each time: one acknowledgement that is lost costs nothing.
 */
import { serial } from './kcp-segment.ts';

/** What more runs there are is acknowledged one by one. */
const MAX_RUNS = 128;
const RUN_BYTES = 4;
export const MAX_RUNS_BYTES = MAX_RUNS * RUN_BYTES;

export class Runs {
  /** First numbers, and those behind the last, in order. */
  readonly #starts: number[] = [];
  readonly #ends: number[] = [];

  get isEmpty(): boolean {
    return this.#starts.length === 0;
  }

  /** The number behind the last that has come; only if there are runs. */
  get end(): number {
    return this.#ends.at(-1) ?? 0;
  }

  /**
   * @param sn one that has not come before.
   * @returns false when there are too many runs to remember one more.
   */
  add(sn: number): boolean {
    const [starts, ends] = [this.#starts, this.#ends];
    const next = (sn + 1) >>> 0;
    let at = starts.length; // the first run behind it
    while (at > 0 && serial(starts[at - 1] ?? 0, sn) > 0) at--;
    const extendsBefore = at > 0 && ends[at - 1] === sn;
    const extendsBehind = starts[at] === next;
    if (extendsBefore && extendsBehind) {
      ends[at - 1] = ends[at] ?? 0;
      starts.splice(at, 1);
      ends.splice(at, 1);
    } else if (extendsBefore) ends[at - 1] = next;
    else if (extendsBehind) starts[at] = sn;
    else if (starts.length === MAX_RUNS) return false;
    else {
      starts.splice(at, 0, sn);
      ends.splice(at, 0, next);
    }
    return true;
  }

  /** Everything below `una` is in order. */
  dropBelow(una: number): void {
    let count = 0;
    while (count < this.#ends.length && serial(this.#ends[count] ?? 0, una) <= 0) count++;
    if (count === 0) return;
    this.#starts.splice(0, count);
    this.#ends.splice(0, count);
  }

  /** Writes the runs, at most MAX_RUNS_BYTES, from `at` on. @returns where they end. */
  encode(bytes: Uint8Array, at: number, una: number): number {
    let from = una;
    for (let i = 0; i < this.#starts.length; i++) {
      const [start, end] = [this.#starts[i] ?? 0, this.#ends[i] ?? 0];
      const [skip, count] = [serial(start, from), serial(end, start)];
      bytes[at] = skip;
      bytes[at + 1] = skip >>> 8;
      bytes[at + 2] = count;
      bytes[at + 3] = count >>> 8;
      at += RUN_BYTES;
      from = end;
    }
    return at;
  }
}

/** Calls for each run that the bytes from `at` to `end` tell. What is no run there is passed over. */
export function decodeRuns(
  bytes: Uint8Array,
  at: number,
  end: number,
  una: number,
  each: (sn: number, count: number) => void,
): void {
  let from = una;
  for (; at + RUN_BYTES <= end; at += RUN_BYTES) {
    const skip = (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8);
    const count = (bytes[at + 2] ?? 0) | ((bytes[at + 3] ?? 0) << 8);
    const start = (from + skip) >>> 0;
    each(start, count);
    from = (start + count) >>> 0;
  }
}
