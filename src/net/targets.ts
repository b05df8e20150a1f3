/**
 * Targets: what can be dialled to reach the candidates of a peer: by which kind of path, to which address, and by which
 * relay of ours. ICE's candidate pairs (RFC 8445 section 6.1.2), without those that cannot differ: all datagrams of
 * ours leave from one port. Pure.
 */
import { isIP, isIPv4, isIPv6 } from 'node:net';
import { CANDIDATE_TRANSPORT, CANDIDATE_TYPE, type WireCandidate } from '../wire/candidate.ts';
import { isPublic } from './candidates.ts';
import type { PathKind } from './path.ts';
import type { KnownAddress } from './peer-book.ts';
import type { Relay } from './relay.ts';
import type { Way } from './ways.ts';

export interface Target {
  readonly kind: PathKind;
  readonly host: string;
  readonly port: number;
  /** A relay of ours that carries it. */
  readonly via?: Relay;
  /** What told of it. */
  readonly way?: Way;
}

export const targetKey = ({ kind, host, port, via }: Target): string =>
  `${kind} ${host} ${port} ${via === undefined ? '' : via.server + via.transport}`;

export interface TargetOptions {
  /** In use, in the order of preference. */
  readonly kinds: readonly PathKind[];
  readonly relays: readonly Relay[];
}

/** In the order of the kinds, and in it in that of the candidates; each once. */
export function targetsOf(
  candidates: readonly (WireCandidate & { readonly way?: Way })[],
  { kinds, relays }: TargetOptions,
): Target[] {
  const allocated = relays.filter(({ address }) => address !== undefined);
  const found = candidates.flatMap((candidate): Target[] => {
    const { type, transports, host, port, way } = candidate;
    const to = { host, port, ...(way === undefined ? {} : { way }) };
    if (type === CANDIDATE_TYPE.onion) return [{ kind: 'tor', ...to }];
    const targets: Target[] = [];
    const takesDatagrams = (transports & CANDIDATE_TRANSPORT.udp) !== 0;
    if (type === CANDIDATE_TYPE.relayed) targets.push({ kind: 'turn', ...to });
    else {
      if ((transports & CANDIDATE_TRANSPORT.tcp) !== 0) targets.push({ kind: 'tcp', ...to });
      if (takesDatagrams) targets.push({ kind: 'udp', ...to });
    }
    if (takesDatagrams && isPublic(candidate)) {
      for (const via of allocated) {
        if (isIPv6(via.address?.host ?? '') === isIPv6(host)) targets.push({ kind: 'turn', ...to, via });
      }
    }
    return targets;
  });
  const seen = new Set<string>();
  return kinds.flatMap((kind) =>
    found.filter((target) => target.kind === kind && seen.size < seen.add(targetKey(target)).size),
  );
}

/** An address from before, or that somebody named: good for every kind, since a node listens on one port for all. */
export function candidateOf({ host, port }: Pick<KnownAddress, 'host' | 'port'>): WireCandidate {
  const isOnion = host.endsWith('.onion');
  return {
    type: isOnion ? CANDIDATE_TYPE.onion : CANDIDATE_TYPE.host,
    transports: CANDIDATE_TRANSPORT.tcp | (isOnion ? 0 : CANDIDATE_TRANSPORT.udp),
    host,
    port,
  };
}

/** Whether a socket bound there can send to that address at all. */
export function reaches(listenHost: string, host: string): boolean {
  if (listenHost === '::') return true;
  return isIPv4(listenHost) ? !isIPv6(host) : !isIPv4(host);
}

/** Lets what comes from a peer's addresses through our relays: whoever dials by them must be let in before. */
export function permitThrough(relays: readonly Relay[], candidates: readonly WireCandidate[]): void {
  for (const candidate of candidates) {
    if (isIP(candidate.host) === 0 || !isPublic(candidate)) continue;
    for (const relay of relays) relay.permit(candidate.host);
  }
}
