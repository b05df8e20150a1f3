/** A Clock that stands still until it is told to go on: timers run in order of time, then of creation. */
import type { Clock, Timer } from '../src/clock.ts';

export interface ManualClock extends Clock {
  /** Timers that have not expired. */
  readonly pending: number;
  /** Runs everything that expires within the next `ms`, at its own time. */
  advance(ms: number): void;
  /** As advance, but lets promises and setImmediate run before the first and after each timer. */
  run(ms: number): Promise<void>;
  /** Goes to the next timer, if there is one no later than `limitMs` from now. @returns whether there was. */
  step(limitMs?: number): boolean;
  /** The computer sleeps: time passes, and no timer's. */
  sleep(ms: number): void;
}

interface Entry {
  readonly at: number;
  readonly order: number;
  readonly expired: () => void;
}

/** Lets all that is ready run: promises and what they start. */
export function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** @param wallMs the calendar time at the beginning. */
export function createManualClock(wallMs = 1_700_000_000_000): ManualClock {
  /** A binary heap: the root is the next to expire. */
  const heap: Entry[] = [];
  const cancelled = new Set<Entry>();
  /** Without sleep: the time of timers. */
  let now = 0;
  let slept = 0;
  let order = 0;

  const before = (a: Entry, b: Entry): boolean => a.at < b.at || (a.at === b.at && a.order < b.order);

  function swap(i: number, j: number): void {
    const [a, b] = [heap[i], heap[j]];
    if (a === undefined || b === undefined) return;
    heap[i] = b;
    heap[j] = a;
  }

  function isBefore(i: number, j: number): boolean {
    const [a, b] = [heap[i], heap[j]];
    return a !== undefined && b !== undefined && before(a, b);
  }

  function insert(entry: Entry): void {
    let i = heap.push(entry) - 1;
    for (let up = (i - 1) >> 1; i > 0 && isBefore(i, up); up = (i - 1) >> 1) {
      swap(i, up);
      i = up;
    }
  }

  function removeRoot(): void {
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    heap[0] = last;
    for (let i = 0; ;) {
      let least = i;
      for (const child of [2 * i + 1, 2 * i + 2]) if (child < heap.length && isBefore(child, least)) least = child;
      if (least === i) return;
      swap(i, least);
      i = least;
    }
  }

  /** Drops what was cancelled from the root. */
  function next(): Entry | undefined {
    for (let root = heap[0]; root !== undefined; root = heap[0]) {
      if (!cancelled.delete(root)) return root;
      removeRoot();
    }
    return undefined;
  }

  function step(limitMs = Infinity): boolean {
    const entry = next();
    if (entry === undefined || entry.at > now + limitMs) return false;
    removeRoot();
    now = Math.max(now, entry.at);
    entry.expired();
    return true;
  }

  return {
    now: () => now + slept,
    slept: () => slept,
    sleep: (ms) => void (slept += ms),
    wallMs: () => wallMs + Math.floor(now + slept),
    after(delayMs, expired): Timer {
      let done = false;
      const entry: Entry = {
        at: now + Math.max(0, delayMs),
        order: order++,
        expired: () => {
          done = true;
          expired();
        },
      };
      insert(entry);
      return {
        cancel() {
          if (!done) cancelled.add(entry);
          done = true;
        },
      };
    },
    get pending() {
      return heap.length - cancelled.size;
    },
    step,
    advance(ms) {
      const until = now + ms;
      while (step(until - now));
      now = until;
    },
    async run(ms) {
      const until = now + ms;
      await settle();
      while (step(until - now)) await settle();
      now = until;
    },
  };
}
