/** What `status` tells of how this node can be reached: the shapes of control-protocol.ts, from the parts of Reach. */
import { formatHostPort } from '../host-port.ts';
import type { Candidates } from '../net/candidates.ts';
import type { Dht } from '../net/dht.ts';
import type { PortMapping } from '../net/port-mapping.ts';
import type { Relay } from '../net/relay.ts';
import type { Tor } from '../net/tor.ts';
import type { UdpAddress } from '../net/udp-port.ts';
import type { NetworkStatus } from './control-protocol.ts';

export interface ReachStatusOptions {
  readonly nat: NetworkStatus['nat'];
  readonly candidates: Candidates;
  readonly tor: Tor | undefined;
  readonly dht: Dht | undefined;
  /** STUN servers, as the user named them. */
  readonly stunServers: readonly string[];
  /** What each saw last. */
  readonly seenBy: (server: string) => UdpAddress | undefined;
  readonly relays: readonly Relay[];
  readonly mapping: PortMapping | undefined;
}

export function reachStatus(options: ReachStatusOptions): NetworkStatus {
  const { nat, candidates, tor, dht, stunServers, seenBy, relays, mapping } = options;
  return {
    nat,
    candidates: candidates.list.map(({ type, host, port }) => ({
      type: typeName(type),
      address: formatHostPort(host, port),
    })),
    tor: tor?.status ?? { state: 'off', progress: 0, detail: '' },
    dht: dht?.status ?? { state: 'off', nodes: 0 },
    stun: stunServers.map((server) => ({ server, seen: inText(seenBy(server)) })),
    turn: relays.map(({ server, address, fault }) => ({ server, relayed: inText(address), fault: fault ?? null })),
    portMapping: { by: mapping?.status.by ?? null, external: inText(mapping?.status.external) },
  };
}

function typeName(type: number): NetworkStatus['candidates'][number]['type'] {
  return (['host', 'reflexive', 'mapped', 'relayed', 'onion'] as const)[type] ?? 'host';
}

function inText(address: UdpAddress | undefined): string | null {
  return address === undefined ? null : formatHostPort(address.host, address.port);
}
