/** Ways: how each way of finding one peer fared last, for people to read and for the order of the next time. */
import type { Clock } from '../clock.ts';

export type Way = 'lan' | 'address' | 'dht' | 'peer' | 'tor';

/** As WayStatus of src/daemon/control-protocol.ts has it. */
export type WayResult = 'off' | 'untried' | 'trying' | 'found' | 'worked' | 'failed';

export interface WayState {
  readonly way: Way;
  readonly result: WayResult;
  /** Clock.wallMs(); undefined before the first. */
  readonly at: number | undefined;
}

export interface Ways {
  readonly list: readonly WayState[];
  note(way: Way, result: WayResult): void;
}

export function createWays(clock: Clock, inUse: readonly Way[]): Ways {
  const states = new Map<Way, WayState>();
  for (const way of ['lan', 'address', 'dht', 'peer', 'tor'] as const) {
    states.set(way, { way, result: inUse.includes(way) ? 'untried' : 'off', at: undefined });
  }
  return {
    get list() {
      return [...states.values()];
    },
    note(way, result) {
      if (states.get(way)?.result === 'off') return;
      states.set(way, { way, result, at: clock.wallMs() });
    },
  };
}
