/** Two channels under one manual clock with UDP paths through simulated networks, one network a path, to be stopped. */
import type { PeerChannel } from '../../src/net/channel.ts';
import type { Handlers } from '../../src/net/channel.ts';
import { createManualClock, type ManualClock } from '../manual-clock.ts';
import { createChannel, handlersOf } from './channel-pair.ts';
import { createMemoryPathPair, type MemoryPathPair } from './memory-path.ts';
import { createSimulatedNetwork, type Conditions, type SimulatedNetwork } from './simulated-network.ts';
import { createUdpLink } from './udp-link.ts';
import type { UdpPath } from '../../src/net/udp-path.ts';

export interface MovingPath {
  readonly network: SimulatedNetwork;
  /** The client's end, the server's end. */
  readonly ends: readonly [UdpPath, UdpPath];
  /** While true nothing arrives at either end, and nobody is told. */
  dark: boolean;
}

export interface MovingPair {
  readonly clock: ManualClock;
  readonly client: PeerChannel;
  readonly server: PeerChannel;
  /** A path through a network of its own, attached to both. */
  udp(preference: number, conditions?: Partial<Conditions>): MovingPath;
  /** A slow path of a second each way. */
  tor(preference: number): MemoryPathPair;
  /** Runs in steps, a pause of `stepMs` at a time, until `holds` or `mostMs` are over. @returns how long it took. */
  until(holds: () => boolean, mostMs: number, stepMs?: number): Promise<number>;
}

export function createMovingPair(
  seed: number,
  ofServer: Partial<Handlers>,
  ofClient: Partial<Handlers> = {},
): MovingPair {
  const clock = createManualClock();
  const client = createChannel(clock, 1, ofClient);
  const server = createChannel(clock, 2, ofServer);
  client.serve(handlersOf(ofClient), {});
  let made = 0;
  return {
    clock,
    client,
    server,
    udp(preference, conditions = {}) {
      made += 1;
      const network = createSimulatedNetwork({ clock, seed: seed + made, conditions: { delayMs: 10, ...conditions } });
      const ends = createUdpLink(network, clock, seed + made);
      client.attach(ends[0], preference);
      server.attach(ends[1], preference);
      return {
        network,
        ends,
        get dark() {
          return network.conditions.lossRate === 1;
        },
        set dark(dark) {
          network.conditions.lossRate = dark ? 1 : (conditions.lossRate ?? 0);
        },
      };
    },
    tor(preference) {
      const pair = createMemoryPathPair({ clock, kind: 'tor', delayMs: 1000 });
      client.attach(pair.ends[0], preference);
      server.attach(pair.ends[1], preference);
      return pair;
    },
    async until(holds, mostMs, stepMs = 10) {
      const start = clock.now();
      while (!holds() && clock.now() - start < mostMs) await clock.run(stepMs);
      return clock.now() - start;
    },
  };
}
