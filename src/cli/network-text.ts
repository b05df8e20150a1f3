/** What `status` and `doctor --network` say of the network and of the ways to each peer, in lines of 80 columns. */
import type { NetworkFinding, NetworkStatus, PathStatus, PeerStatus, WayStatus } from '../daemon/control-protocol.ts';
import { escapeControls } from '../log.ts';
import { ago, columns, listed, rate, roundTrip, wrapped } from './layout.ts';

const NAT = {
  none: 'none: this node is seen at its own address',
  cone: 'keeps one port for all: direct connections can be made',
  symmetric: 'another port for each destination: direct connections are hard',
  blocked: 'no datagram comes back: UDP is blocked here',
  unknown: 'not known: nobody outside was asked or answered',
} as const;

const CANDIDATE = {
  host: 'its own',
  reflexive: 'as seen from outside',
  mapped: 'opened by the router',
  relayed: 'relayed by TURN',
  onion: 'by Tor',
} as const;

const WAY = {
  lan: 'local network',
  address: 'last address',
  dht: 'DHT',
  peer: 'peer in common',
  tor: 'Tor',
} as const;

/** Lines about the node's own network. */
export function networkLines({ nat, candidates, tor, dht, stun, turn, portMapping }: NetworkStatus): string[] {
  const progress = tor.state === 'starting' ? ` ${tor.progress} %` : '';
  const mapping =
    portMapping.external === null ? 'no port opened' : `${portMapping.external} by ${portMapping.by ?? 'the router'}`;
  return [
    'network',
    ...rows('router', [NAT[nat]]),
    ...rows(
      'reachable',
      candidates.length === 0
        ? ['at no address']
        : candidates.map(({ type, address }) => `${address} (${CANDIDATE[type]})`),
    ),
    ...rows('Tor', [`${tor.state}${progress}${tor.detail === '' ? '' : `: ${tor.detail}`}`]),
    ...rows('DHT', [dht.state === 'ready' ? `ready, ${dht.nodes} nodes` : dht.state]),
    ...rows(
      'STUN',
      stun.length === 0
        ? ['no servers are asked']
        : stun.map(({ server, seen }) => `${server}: ${seen === null ? 'no answer' : `sees ${seen}`}`),
    ),
    ...rows(
      'TURN',
      turn.length === 0
        ? ['no servers are set']
        : turn.map(
            ({ server, relayed, fault }) =>
              `${server}: ${relayed === null ? (fault ?? 'no answer yet') : `relays at ${relayed}`}`,
          ),
    ),
    ...rows('mapping', [mapping]),
  ];
}

/** A name before the first line, and room for it before the others. */
function rows(name: string, texts: readonly string[]): string[] {
  return texts.flatMap((text, at) => wrapped(`  ${(at === 0 ? name : '').padEnd(11)}`, escapeControls(text)));
}

/**
 * Lines about each peer: its paths, and how each way of finding it fared.
 * @param now milliseconds since 1970.
 */
export function peerLines(peers: readonly PeerStatus[], now: number): string[] {
  return peers.flatMap((peer) => [
    `${escapeControls(peer.name)}: ${stateText(peer, now)}`,
    ...(peer.slow ? wrapped('    slow: ', 'over Tor nothing is read ahead, and what changes there is seen later') : []),
    ...columns(peer.paths.map(pathCells)),
    ...(peer.ways.length === 0 ? [] : wrapped('    ways: ', listed(peer.ways.map((way) => wayText(way, now))))),
  ]);
}

function stateText({ state, path, lastSeenAt }: PeerStatus, now: number): string {
  if (state === 'live') return path === null ? state : `live by ${path}`;
  return `${state}, ${lastSeenAt === null ? 'never seen' : `last seen ${ago(now - Date.parse(lastSeenAt))}`}`;
}

/** The address is last: it may be as long as an onion's. */
function pathCells({ kind, active, remote, rttMs, loss, bytesPerSecond }: PathStatus): string[] {
  return [
    `  ${active ? '*' : ' '} ${kind}`,
    roundTrip(rttMs).padStart(8),
    (loss === null ? '-' : `${(loss * 100).toFixed(1)} % loss`).padStart(12),
    rate(bytesPerSecond).padStart(10),
    escapeControls(remote),
  ];
}

function wayText({ way, result, at }: WayStatus, now: number): string {
  return `${WAY[way]} ${result}${at === null ? '' : ` ${ago(now - Date.parse(at))}`}`;
}

/** One finding: a mark and the way, what was found, and what would help. */
export function findingLines({ way, works, detail, advice }: NetworkFinding): string[] {
  const mark = works === null ? '--' : works ? 'ok' : 'FAIL';
  return [
    ...wrapped(mark.padEnd(6), escapeControls(`${way}: ${detail}`)),
    ...(advice === '' ? [] : wrapped('      ', escapeControls(advice))),
  ];
}

/** Whether any way works; that this computer has an address reaches nobody. */
export function reachesOthers(findings: readonly NetworkFinding[]): boolean {
  return findings.some(({ way, works }) => works === true && way !== 'This computer');
}
