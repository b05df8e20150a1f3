/**
 * Addresses that peers said they have at relays: what a peer sends from there is a relayed path, and is told apart by
 * this. What one peer says counts for itself alone.
 */
import type { UdpAddress } from '../net/udp-port.ts';
import { CANDIDATE_TYPE, type WireCandidate } from '../wire/candidate.ts';

/** Known again of one peer; the oldest go first. */
const MAX_RELAYED = 16;

export interface RelayedAddresses {
  note(peerId: string, candidates: readonly WireCandidate[]): void;
  /** @param peerId of whom it is; undefined: of anybody. */
  has(address: UdpAddress, peerId: string | undefined): boolean;
}

export function createRelayedAddresses(): RelayedAddresses {
  const known = new Map<string, Set<string>>();
  return {
    note(peerId, candidates) {
      const own = known.get(peerId) ?? new Set<string>();
      for (const { type, host, port } of candidates) {
        if (type !== CANDIDATE_TYPE.relayed) continue;
        const key = `${host} ${port}`;
        own.delete(key);
        own.add(key);
      }
      for (const oldest of own) {
        if (own.size <= MAX_RELAYED) break;
        own.delete(oldest);
      }
      if (own.size > 0) known.set(peerId, own);
    },
    has({ host, port }, peerId) {
      const key = `${host} ${port}`;
      if (peerId !== undefined) return known.get(peerId)?.has(key) === true;
      return [...known.values()].some((own) => own.has(key));
    },
  };
}
