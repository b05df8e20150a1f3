/** FrameReader: finds frames in a stream of bytes, each after its length (u32 little-endian). */

import { takeFrame } from '../frame-pool.ts';

const LENGTH_BYTES = 4;

export class FrameReader {
  readonly #limit: number;
  #header = 0;
  #headerBytes = 0;
  #frame: Uint8Array | undefined;
  #filled = 0;

  /** @param limit longest legal frame, bytes. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /**
   * Takes the next bytes, which are copied, and calls `frame` for each frame that is whole; the frame is the
   * callee's to keep, from the frame pool if it is large.
   * @returns false if a frame is longer than the limit; the stream is then of no use any more.
   */
  push(bytes: Uint8Array, frame: (frame: Uint8Array) => void): boolean {
    let at = 0;
    while (at < bytes.length) {
      if (this.#frame === undefined) {
        this.#header |= (bytes[at++] ?? 0) << (8 * this.#headerBytes++);
        if (this.#headerBytes < LENGTH_BYTES) continue;
        const length = this.#header >>> 0;
        this.#header = 0;
        this.#headerBytes = 0;
        if (length > this.#limit) return false;
        this.#frame = takeFrame(length);
        this.#filled = 0;
      }
      const whole = this.#frame;
      const count = Math.min(whole.length - this.#filled, bytes.length - at);
      whole.set(at === 0 && count === bytes.length ? bytes : bytes.subarray(at, at + count), this.#filled);
      at += count;
      this.#filled += count;
      if (this.#filled === whole.length) {
        this.#frame = undefined;
        frame(whole);
      }
    }
    return true;
  }
}

/** What stands before a frame of this length. */
export function encodeFrameLength(length: number): Uint8Array {
  return new Uint8Array([length, length >>> 8, length >>> 16, length >>> 24]);
}
