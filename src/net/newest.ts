/**
 * Newest: passes on what somebody says, but not more often than it may be said. Of what comes too fast the newest of
 * each kind is kept until its time comes. Owns the time and one value of each kind; what is done with them is the
 * caller's.
 */
import type { Clock, Timer } from '../clock.ts';

export interface NewestOptions<K, V> {
  readonly clock: Clock;
  /** So many may come at once after a pause. */
  readonly burst: number;
  /** And after them one in so many milliseconds. */
  readonly everyMs: number;
  readonly onValue: (kind: K, value: V) => void;
}

export interface Newest<K, V> {
  /** At once if it may; else later, unless a newer one of its kind comes before. */
  put(kind: K, value: V): void;
  /** Nothing is passed on any more. Idempotent. */
  close(): void;
}

export function createNewest<K, V>({ clock, burst, everyMs, onValue }: NewestOptions<K, V>): Newest<K, V> {
  const waiting = new Map<K, V>();
  let tokens = burst;
  let filledAt = clock.now();
  let timer: Timer | undefined;
  let closed = false;

  const pass = (): void => {
    const now = clock.now();
    tokens = Math.min(burst, tokens + (now - filledAt) / everyMs);
    filledAt = now;
    for (const [kind, value] of [...waiting]) {
      if (tokens < 1) break;
      tokens -= 1;
      waiting.delete(kind);
      onValue(kind, value);
    }
    if (closed || waiting.size === 0) return;
    timer ??= clock.after(Math.ceil((1 - tokens) * everyMs), () => {
      timer = undefined;
      pass();
    });
  };

  return {
    put(kind, value) {
      if (closed) return;
      waiting.set(kind, value);
      if (timer === undefined) pass();
    },
    close() {
      closed = true;
      timer?.cancel();
      waiting.clear();
    },
  };
}
