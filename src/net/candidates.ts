/**
 * Candidates: where this node can be reached, put together from all that find out about it, filtered by the user's
 * rules and put in order; and the same filter for what peers tell. Owns the list and its order; finding out is the
 * affair of local-addresses.ts, stun-servers.ts, address-votes.ts, port-mapping.ts, turn.ts and tor.ts.
 */
import { isIPv6 } from 'node:net';
import { CANDIDATE_TRANSPORT, CANDIDATE_TYPE, MAX_CANDIDATES, type WireCandidate } from '../wire/candidate.ts';
import { isHostAddress, isLocalAddress, isLoopback, type AddressRules } from './address-rules.ts';

export type CandidateType = keyof typeof CANDIDATE_TYPE;

const ONION = /^[a-z2-7]{56}\.onion$/;
const ALL_TRANSPORTS = CANDIDATE_TRANSPORT.udp | CANDIDATE_TRANSPORT.tcp;

/**
 * In which order candidates are tried (RFC 8445 section 5.1.2 in spirit): those of the own network before those through
 * a router, IPv6 (which has none) before IPv4, and what needs a server last.
 */
function rank({ type, host }: WireCandidate): number {
  switch (type) {
    case CANDIDATE_TYPE.host:
      return isIPv6(host) ? 0 : 1;
    case CANDIDATE_TYPE.mapped:
      return 2;
    case CANDIDATE_TYPE.reflexive:
      return 3;
    case CANDIDATE_TYPE.relayed:
      return 4;
    default:
      return 5;
  }
}

export interface Candidates {
  /** At most MAX_CANDIDATES, the best first. */
  readonly list: readonly WireCandidate[];
  /** Replaces what one source knows. `host:port` of the same type may come from several sources. */
  set(source: string, found: readonly WireCandidate[]): void;
  /** What is sound and allowed of what a peer tells, in its order. */
  accept(told: readonly WireCandidate[]): WireCandidate[];
  /** The list is another than before. @returns a function that stops it. */
  onChange(listener: () => void): () => void;
}

export function createCandidates(rules: AddressRules): Candidates {
  const sources = new Map<string, readonly WireCandidate[]>();
  const listeners = new Set<() => void>();
  let list: readonly WireCandidate[] = [];

  const isSound = ({ type, host, port, transports }: WireCandidate): boolean => {
    if (port === 0 || (transports & ALL_TRANSPORTS) === 0) return false;
    if (type === CANDIDATE_TYPE.onion) return ONION.test(host);
    return type < CANDIDATE_TYPE.onion && isHostAddress(host) && rules.allows(host);
  };

  const gather = (): WireCandidate[] => {
    const byPlace = new Map<string, WireCandidate>();
    for (const candidate of [...sources.values()].flat().sort((a, b) => rank(a) - rank(b))) {
      if (!isSound(candidate)) continue;
      const place = `${candidate.host} ${candidate.port}`;
      const before = byPlace.get(place);
      const transports = candidate.transports | (before?.transports ?? 0);
      byPlace.set(place, { ...(before ?? candidate), transports });
    }
    return [...byPlace.values()].slice(0, MAX_CANDIDATES);
  };

  return {
    get list() {
      return list;
    },
    set(source, found) {
      sources.set(source, found);
      const now = gather();
      if (JSON.stringify(now) === JSON.stringify(list)) return;
      list = now;
      for (const listener of listeners) listener();
    },
    accept: (told) => {
      // Of this computer itself only who listens there alone has peers.
      const onLoopback = list.some(({ host }) => isLoopback(host));
      return told.slice(0, MAX_CANDIDATES).filter((one) => isSound(one) && (onLoopback || !isLoopback(one.host)));
    },
    onChange(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

/** Whether datagrams from elsewhere can get there: not so for addresses of somebody's own network. */
export function isPublic({ host, type }: Pick<WireCandidate, 'host' | 'type'>): boolean {
  return type !== CANDIDATE_TYPE.host || !isLocalAddress(host);
}
