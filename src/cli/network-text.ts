/** What `status` says of the network and of the ways to each peer, in lines of at most 80 columns where it can be. */
import type { NetworkStatus, PathStatus, PeerStatus, WayStatus } from '../daemon/control-protocol.ts';
import { escapeControls } from '../log.ts';

const NAT = {
  none: 'none: this node is seen at its own address',
  cone: 'keeps one port for all: direct connections can be made',
  symmetric: 'another port for each destination: direct connections are hard',
  blocked: 'no datagram comes back: UDP is blocked here',
  unknown: 'not known: nobody outside was asked or answered',
} as const;

/** Lines about the node's own network. */
export function networkLines(network: NetworkStatus): string[] {
  const { nat, candidates, tor, dht, stun, turn, portMapping } = network;
  const row = (name: string, text: string) => `  ${name.padEnd(10)}${escapeControls(text)}`;
  const progress = tor.state === 'starting' ? ` ${tor.progress} %` : '';
  return [
    'network',
    row('router', NAT[nat]),
    ...candidates.map(({ type, address }, at) => row(at === 0 ? 'reachable' : '', `${address} (${type})`)),
    row('tor', `${tor.state}${progress}${tor.detail === '' ? '' : `: ${tor.detail}`}`),
    row('dht', dht.state === 'ready' ? `ready, ${dht.nodes} nodes` : dht.state),
    ...stun.map(({ server, seen }) => row('stun', `${server}: ${seen === null ? 'no answer' : `sees ${seen}`}`)),
    ...turn.map(({ server, relayed, fault }) =>
      row('turn', `${server}: ${relayed === null ? (fault ?? 'no answer yet') : `relays at ${relayed}`}`),
    ),
    row(
      'mapping',
      portMapping.external === null ? 'no port opened' : `${portMapping.external} by ${portMapping.by ?? ''}`,
    ),
  ];
}

/** Lines about each peer: its paths, and how each way of finding it fared. */
export function peerLines(peers: readonly PeerStatus[], now: number): string[] {
  return peers.flatMap((peer) => [
    `${escapeControls(peer.name)}: ${peer.state}${peer.slow ? ', slow (by Tor: nothing is read ahead)' : ''}`,
    ...peer.paths.map((path) => `  ${path.active ? '*' : ' '} ${pathText(path)}`),
    `    found by  ${peer.ways.map((way) => wayText(way, now)).join(', ')}`,
  ]);
}

function pathText({ kind, remote, rttMs, loss, bytesPerSecond }: PathStatus): string {
  const parts = [
    kind.padEnd(4),
    escapeControls(remote),
    rttMs === null ? '' : `${rttMs < 10 ? rttMs.toFixed(1) : rttMs.toFixed(0)} ms`,
    loss === null ? '' : `${(loss * 100).toFixed(1)} % loss`,
    `${rateText(bytesPerSecond)}`,
  ];
  return parts.filter((part) => part !== '').join('  ');
}

function rateText(bytesPerSecond: number): string {
  if (bytesPerSecond >= 1e6) return `${(bytesPerSecond / 1e6).toFixed(1)} MB/s`;
  return `${(bytesPerSecond / 1e3).toFixed(1)} kB/s`;
}

function wayText({ way, result, at }: WayStatus, now: number): string {
  const name = way === 'address' ? 'last address' : way === 'peer' ? 'peer in common' : way;
  return at === null ? `${name} ${result}` : `${name} ${result} ${agoText(now - Date.parse(at))}`;
}

function agoText(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3600) return `${Math.round(seconds / 60)} min ago`;
  return `${Math.round(seconds / 3600)} h ago`;
}
