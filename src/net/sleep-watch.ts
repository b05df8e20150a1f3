/**
 * SleepWatch: whether this computer, or this process, was asleep lately. Then peers may have given us up, and silence
 * says nothing yet. It is asked now and then, and sets no timers.
 */
import type { Clock } from '../clock.ts';

/** Between two looks so much was lost: milliseconds. */
const SLEPT_MS = 5_000;
/** So long after waking peers are being found again. Milliseconds. */
const LATELY_MS = 15_000;

export class SleepWatch {
  readonly #clock: Clock;
  #sleptMs: number;
  #wokeAt = -Infinity;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#sleptMs = clock.slept();
  }

  /** @param lateMs by which a timer came too late, of whoever asks. */
  wokeLately(lateMs = 0): boolean {
    const now = this.#clock.now();
    const sleptMs = this.#clock.slept();
    if (lateMs >= SLEPT_MS || sleptMs - this.#sleptMs >= SLEPT_MS) this.#wokeAt = now;
    this.#sleptMs = sleptMs;
    return now - this.#wokeAt < LATELY_MS;
  }
}
