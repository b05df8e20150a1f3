/**
 * Watch: what happens in the node, for whoever looks on at the moment. Nothing is kept: who reads too slowly misses
 * events, and is told how many.
 */
import type { Clock } from '../clock.ts';
import type { WatchEvent } from './control-protocol.ts';

/** @returns false when the event was not taken, because too much waits to be read. */
export type WatchListener = (event: WatchEvent) => boolean;

export interface Watch {
  emit(event: Omit<WatchEvent, 'at'>): void;
  /** @returns a function that stops it. Idempotent. */
  subscribe(listener: WatchListener): () => void;
}

export function createWatch({ clock }: { readonly clock: Pick<Clock, 'wallMs'> }): Watch {
  /** With how many events each has missed since the last that it took. */
  const listeners = new Map<WatchListener, number>();

  /** @returns how many the listener has missed now. */
  const tell = (listener: WatchListener, event: WatchEvent, missed: number): number => {
    const gap: WatchEvent = {
      at: event.at,
      event: 'warning',
      text: `${missed} events were left out: they are read too slowly`,
      detail: { missed },
    };
    if (missed > 0 && !listener(gap)) return missed + 1;
    return listener(event) ? 0 : 1;
  };

  return {
    emit(event) {
      if (listeners.size === 0) return;
      const whole: WatchEvent = { at: new Date(clock.wallMs()).toISOString(), ...event };
      for (const [listener, missed] of [...listeners]) {
        const missing = tell(listener, whole, missed);
        // It may have been stopped by what it was told.
        if (listeners.has(listener)) listeners.set(listener, missing);
      }
    },
    subscribe(listener) {
      listeners.set(listener, 0);
      return () => void listeners.delete(listener);
    },
  };
}
