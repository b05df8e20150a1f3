/**
 * Endpoint: where a node meets the network: its one UDP port (udp-endpoint.ts) and its TCP listener (tcp-endpoint.ts)
 * under the same number, a listener for Tor, relays, with one Handshaker for all. Gives Paths of finished handshakes, both those it began (connect) and
 * those it answered (onPath). When to dial is the Link's affair (link.ts).
 */
import type { Clock } from '../clock.ts';
import type { Identity } from '../crypto/identity.ts';
import { PeerfsError } from '../errors.ts';
import type { Logger } from '../log.ts';
import { createHandshaker, type Dialled, type DialTarget, type HandshakerCounters } from './handshaker.ts';
import type { Path, PathKind } from './path.ts';
import type { PeerBook } from './peer-book.ts';
import type { Relay } from './relay.ts';
import type { SharedPort } from './shared-port.ts';
import { openTcpEndpoint, type TcpEndpoint } from './tcp-endpoint.ts';
import { connectTcp } from './tcp-port.ts';
import type { Tor } from './tor.ts';
import { openUdpEndpoint, type UdpEndpoint } from './udp-endpoint.ts';
import { openUdpPort, type UdpAddress } from './udp-port.ts';

/** Free UDP ports that are tried until TCP has the same one free. */
const PORT_ATTEMPTS = 10;

export interface EndpointOptions {
  readonly identity: Identity;
  readonly book: PeerBook;
  /** What this node calls itself, told to peers in handshakes. */
  readonly name: string;
  /** Numeric address; '::' and '0.0.0.0' for all. Port 0: any free one. UDP and TCP have the same. */
  readonly listen: { readonly host: string; readonly port: number };
  readonly paths: readonly PathKind[];
  /** For paths of kind tor; without it there are none. */
  readonly tor?: Pick<Tor, 'dial'> | undefined;
  /** Whether this peer (undefined: any) said that it has this address at a relay: its path from there is of kind turn. */
  readonly isRelayed?: ((address: UdpAddress, peerId: string | undefined) => boolean) | undefined;
  readonly clock: Clock;
  readonly log: Logger;
  /** A peer reached us; the path is the receiver's from now on. */
  readonly onPath: (peerId: string, path: Path) => void;
  /** Somebody came by an invitation: the book has a new or renewed peer. Before its onPath. */
  readonly onJoined: (peerId: string) => void;
}

export interface EndpointCounters extends HandshakerCounters {
  /** Datagrams that were nothing to us. */
  readonly datagramsDropped: number;
  readonly connectionsDropped: number;
  /** 1 if datagrams go and come in batches, 0 if one by one or not at all. */
  readonly udpBatched: number;
}

export interface Endpoint {
  /** Where it listens; the port is the same for UDP and TCP. */
  readonly address: { readonly host: string; readonly port: number };
  readonly paths: readonly PathKind[];
  readonly counters: EndpointCounters;
  /** The UDP port for other protocols that share it; undefined when UDP is not in use. */
  readonly sharedPort: SharedPort | undefined;
  /** Port on 127.0.0.1 to which Tor hands connections; undefined without Tor. */
  readonly torPort: number | undefined;
  /** Relays to dial by; what comes by them is taken. */
  readonly relays: readonly Relay[];
  /** Its closing stays the caller's affair. */
  admitRelay(relay: Relay): void;
  /** Opens our router's way for datagrams from there. */
  punch(to: UdpAddress): void;
  /**
   * Makes a path to a peer. Rejects ETIMEDOUT or EHOSTDOWN when nobody answers, INVITE_USED, INVITE_REVOKED or
   * INVITE_EXPIRED when the peer says so, CANCELLED when aborted, ENVIRONMENT for a kind that is not in use.
   */
  connect(target: DialTarget, signal: AbortSignal): Promise<Dialled>;
  /** Ends the sockets and all paths. Idempotent. */
  close(): Promise<void>;
}

/** @throws PeerfsError ENVIRONMENT when the address cannot be bound. */
export async function openEndpoint(options: EndpointOptions): Promise<Endpoint> {
  const { identity, book, name, listen, paths, clock, onJoined } = options;
  let udp: UdpEndpoint | undefined;
  let tcp: TcpEndpoint | undefined;
  let tor: TcpEndpoint | undefined;
  const relays: Relay[] = [];
  let closed = false;
  const port = () => udp?.port ?? tcp?.port ?? 0;
  const handshaker = createHandshaker({ identity, book, name, port, clock, onJoined });

  /** The peer said where it can be dialled: so that whichever of the two restarts finds the other at once. */
  const onPath = (peerId: string, path: Path, home: { readonly host: string; readonly port: number }): void => {
    if (home.port !== 0 && home.host !== '') book.rememberAddress(peerId, path.kind, home.host, home.port);
    options.onPath(peerId, path);
  };
  const openUdp = () =>
    openUdpEndpoint({
      listen,
      openPort: openUdpPort,
      identity,
      handshaker,
      clock,
      onPath,
      direct: paths.includes('udp'),
      isRelayed: options.isRelayed,
    });
  const openTcp = () =>
    openTcpEndpoint({
      kind: 'tcp',
      connect: connectTcp,
      listen: { ...listen, port: udp?.port ?? listen.port },
      identity,
      handshaker,
      clock,
      onPath,
    });
  const openTor = ({ dial }: Pick<Tor, 'dial'>) =>
    openTcpEndpoint({
      kind: 'tor',
      connect: dial,
      listen: { host: '127.0.0.1', port: 0 },
      identity,
      handshaker,
      clock,
      onPath,
    });

  // A free UDP port is asked for, and TCP takes the same; another is tried when that one is taken.
  const attempts = listen.port === 0 && paths.includes('udp') && paths.includes('tcp') ? PORT_ATTEMPTS : 1;
  for (let attempt = 1; ; attempt++) {
    try {
      if (paths.includes('udp') || paths.includes('turn')) udp = await openUdp();
      if (paths.includes('tcp')) tcp = await openTcp();
      if (paths.includes('tor') && options.tor !== undefined) tor = await openTor(options.tor);
      break;
    } catch (error) {
      await Promise.all([udp?.close(), tcp?.close()]);
      udp = undefined;
      tcp = undefined;
      if (attempt >= attempts) throw error;
    }
  }

  return {
    paths,
    get address() {
      return { host: listen.host, port: port() };
    },
    get counters() {
      return {
        ...handshaker.counters,
        datagramsDropped: udp?.dropped ?? 0,
        connectionsDropped: (tcp?.dropped ?? 0) + (tor?.dropped ?? 0),
        udpBatched: udp?.batched === true ? 1 : 0,
      };
    },
    get sharedPort() {
      return udp?.shared;
    },
    get torPort() {
      return tor?.port;
    },
    relays,
    admitRelay(relay) {
      relays.push(relay);
      udp?.admitRelay(relay);
    },
    punch(to) {
      udp?.punch(to);
    },
    async connect(target, signal) {
      if (closed) throw new PeerfsError('CANCELLED', 'the node is stopping');
      if (signal.aborted) throw new PeerfsError('CANCELLED', 'no longer wanted');
      const half = { udp, tcp, turn: udp, tor }[target.kind];
      if (half === undefined || !paths.includes(target.kind))
        throw new PeerfsError('ENVIRONMENT', `paths of kind ${target.kind} are not in use`);
      return half.connect(target, signal);
    },
    async close() {
      if (closed) return;
      closed = true;
      await Promise.all([tor?.close(), tcp?.close(), udp?.close()]);
    },
  };
}
