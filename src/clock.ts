/**
 * Time as a dependency. Protocol code takes `now` as an argument; code that must wait takes a Clock, so that a
 * test can run it under a manual one (test/manual-clock.ts).
 */
import { uptime } from 'node:os';

export interface Timer {
  /** Idempotent; after it the callback does not run. */
  cancel(): void;
}

export interface Clock {
  /** Milliseconds with fractions, monotonic, from an arbitrary origin; goes on while the computer sleeps. */
  now(): number;
  /** How much of now() the computer slept, milliseconds; timers do not count it. */
  slept(): number;
  /** Milliseconds since the Unix epoch; may jump. */
  wallMs(): number;
  /** Runs `expired` once after `delayMs`; does not keep the process alive. */
  after(delayMs: number, expired: () => void): Timer;
}

/** What a clock that goes on through sleep is made of, milliseconds. */
export interface TimeSources {
  /** Cheap; stands still while the computer sleeps. */
  monotonic(): number;
  /** Cheap; jumps when it is set. */
  wall(): number;
  /** Goes on while the computer sleeps; in steps of up to a second. */
  sinceBoot(): number;
}

/** The wall clock and the monotonic one drift apart by less between two looks, unless one of them stood or was set. */
const DRIFT_MS = 1000;

/**
 * Node's clock is CLOCK_MONOTONIC, which does not count a laptop's sleep, while leases at a peer end. That
 * the wall clock got ahead says that something happened; the time since boot says how much of it was sleep.
 */
export function awakeAndAsleep({ monotonic, wall, sinceBoot }: TimeSources): Pick<Clock, 'now' | 'slept'> {
  let ahead = wall() - monotonic();
  const bootAhead = sinceBoot() - monotonic();
  let slept = 0;
  const now = () => {
    const time = monotonic();
    const drift = wall() - time - ahead;
    if (drift > DRIFT_MS || drift < -DRIFT_MS) {
      ahead += drift;
      const away = sinceBoot() - time - bootAhead;
      // Never backwards, and nothing for the steps that it goes by.
      if (away > slept + DRIFT_MS) slept = away;
    }
    return time + slept;
  };
  return {
    now,
    slept: () => {
      now();
      return slept;
    },
  };
}

export const systemClock: Clock = {
  ...awakeAndAsleep({
    monotonic: () => performance.now(),
    wall: () => Date.now(),
    sinceBoot: () => uptime() * 1000,
  }),
  wallMs: () => Date.now(),
  after(delayMs, expired) {
    const timer = setTimeout(expired, delayMs);
    timer.unref();
    return { cancel: () => clearTimeout(timer) };
  },
};
