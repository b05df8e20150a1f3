/** Watch: what happens in the node, for whoever looks on at the moment. Nothing is kept. */
import type { Clock } from '../clock.ts';
import type { WatchEvent } from './control-protocol.ts';

export interface Watch {
  emit(event: Omit<WatchEvent, 'at'>): void;
  /** @returns a function that stops it. */
  subscribe(listener: (event: WatchEvent) => void): () => void;
}

export function createWatch({ clock }: { readonly clock: Pick<Clock, 'wallMs'> }): Watch {
  const listeners = new Set<(event: WatchEvent) => void>();
  return {
    emit(event) {
      if (listeners.size === 0) return;
      const whole: WatchEvent = { at: new Date(clock.wallMs()).toISOString(), ...event };
      for (const listener of [...listeners]) listener(whole);
    },
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}
