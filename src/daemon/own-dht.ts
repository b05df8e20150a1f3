/** The DHT as the settings ask for it, and its nodes kept from one run to the next. */
import type { Clock } from '../clock.ts';
import type { Logger } from '../log.ts';
import { openDht, type Dht } from '../net/dht.ts';
import type { SharedPort } from '../net/shared-port.ts';
import type { UdpAddress } from '../net/udp-port.ts';
import type { Config } from './config.ts';
import type { Store } from './store.ts';

/** In the store. */
const NODES_KEY = 'dhtNodes';

export interface OwnDhtOptions {
  readonly port: SharedPort | undefined;
  readonly config: Pick<Config, 'dht' | 'dht.bootstrap'>;
  readonly store: Pick<Store, 'meta' | 'noteMeta'>;
  readonly clock: Clock;
  /** 0 to 1. */
  readonly random: () => number;
  readonly log: Logger;
  /** A node of the DHT says how it sees this one. */
  readonly onVote: (voter: UdpAddress, seen: UdpAddress) => void;
}

/** @returns undefined where it is not wanted, or there is no UDP. */
export function openOwnDht({ port, config, store, ...rest }: OwnDhtOptions): Dht | undefined {
  if (!config.dht || port === undefined) return undefined;
  return openDht({
    ...rest,
    port,
    bootstrap: config['dht.bootstrap'],
    savedNodes: readNodes(store.meta(NODES_KEY)),
    onNodes: (nodes) => store.noteMeta(NODES_KEY, JSON.stringify(nodes)),
  });
}

/** What cannot be understood is as good as none: others are found. */
export function readNodes(saved: unknown): UdpAddress[] {
  if (typeof saved !== 'string') return [];
  try {
    const nodes: unknown = JSON.parse(saved);
    return Array.isArray(nodes) ? nodes.filter(isAddress).map(({ host, port }) => ({ host, port })) : [];
  } catch {
    return [];
  }
}

function isAddress(value: unknown): value is UdpAddress {
  if (typeof value !== 'object' || value === null || !('host' in value) || !('port' in value)) return false;
  return typeof value.host === 'string' && Number.isInteger(value.port);
}
