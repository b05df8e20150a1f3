/**
 * Time as a dependency. Protocol code takes `now` as an argument; code that must wait takes a Clock, so that a
 * test can run it under a manual one (test/manual-clock.ts).
 */

export interface Timer {
  /** Idempotent; after it the callback does not run. */
  cancel(): void;
}

export interface Clock {
  /** Milliseconds with fractions, monotonic, from an arbitrary origin. */
  now(): number;
  /** Milliseconds since the Unix epoch; may jump. */
  wallMs(): number;
  /** Runs `expired` once after `delayMs`; does not keep the process alive. */
  after(delayMs: number, expired: () => void): Timer;
}

export const systemClock: Clock = {
  now: () => performance.now(),
  wallMs: () => Date.now(),
  after(delayMs, expired) {
    const timer = setTimeout(expired, delayMs);
    timer.unref();
    return { cancel: () => clearTimeout(timer) };
  },
};
