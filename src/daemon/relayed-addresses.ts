/** Addresses that peers said they have at relays: what comes from there is a relayed path, and is told apart by this. */
import type { UdpAddress } from '../net/udp-port.ts';
import { CANDIDATE_TYPE, type WireCandidate } from '../wire/candidate.ts';

/** Known again; the oldest go first. */
const MAX_RELAYED = 1024;

export interface RelayedAddresses {
  note(candidates: readonly WireCandidate[]): void;
  has(address: UdpAddress): boolean;
}

export function createRelayedAddresses(): RelayedAddresses {
  const known = new Set<string>();
  return {
    note(candidates) {
      for (const { type, host, port } of candidates) {
        if (type === CANDIDATE_TYPE.relayed) known.add(`${host} ${port}`);
      }
      for (const oldest of known) {
        if (known.size <= MAX_RELAYED) break;
        known.delete(oldest);
      }
    },
    has: ({ host, port }) => known.has(`${host} ${port}`),
  };
}
