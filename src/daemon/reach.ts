/**
 * Reach: all by which peers find this node and it finds them, made of its parts: Tor and the onion services, the DHT, a
 * peer in common, STUN, relays, the router's port mapping, and the candidates that come of them. Owns their beginning
 * and end, and what goes from one to the other; each part's own logic is in src/net.
 */
import { randomBytes } from 'node:crypto';
import type { Clock } from '../clock.ts';
import { peerIdOf, type Identity } from '../crypto/identity.ts';
import type { Logger } from '../log.ts';
import { createAddressRules } from '../net/address-rules.ts';
import { createCandidates } from '../net/candidates.ts';
import type { PeerChannel } from '../net/channel.ts';
import { createCommonPeers, type CommonPeers } from '../net/common-peers.ts';
import type { Dht } from '../net/dht.ts';
import type { Endpoint } from '../net/endpoint.ts';
import type { Link } from '../net/link.ts';
import type { KnownPeer } from '../net/peer-book.ts';
import { openPortMapping, type PortMapping } from '../net/port-mapping.ts';
import type { Rendezvous } from '../net/rendezvous.ts';
import { createSignalling, type Signalling } from '../net/signalling.ts';
import { createStunClient } from '../net/stun.ts';
import { watchReflexive, type ReflexiveWatch } from '../net/stun-servers.ts';
import type { Tor } from '../net/tor.ts';
import type { UdpAddress } from '../net/udp-port.ts';
import type { Way } from '../net/ways.ts';
import { CANDIDATE_TRANSPORT, CANDIDATE_TYPE } from '../wire/candidate.ts';
import type { Config } from './config.ts';
import type { NetworkStatus } from './control-protocol.ts';
import type { Home } from './home.ts';
import { createInvitationMeeting, type InvitationMeeting } from './invitation-meeting.ts';
import { createOnions } from './onions.ts';
import { createOutsideView } from './outside-view.ts';
import { watchOwnAddresses } from './own-addresses.ts';
import { openOwnDht } from './own-dht.ts';
import { openOwnRelays } from './own-relays.ts';
import { openOwnTor } from './own-tor.ts';
import { reachStatus } from './reach-status.ts';
import { createRelayedAddresses, type RelayedAddresses } from './relayed-addresses.ts';
import { resolveHost } from './resolve-host.ts';
import type { Store } from './store.ts';

export interface ReachOptions {
  readonly home: Home;
  readonly config: Config;
  readonly identity: Identity;
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Logger;
  /** This computer's addresses have changed, or it slept. */
  readonly onNetworkChange: () => void;
  /** A peer said where it can be reached, at a rendezvous. */
  readonly onHeard: (peerId: string, way: Way) => void;
  /** Something that status tells has changed. */
  readonly onChange: (what: 'tor' | 'dht' | 'network', text: string) => void;
}

/** What must be there before the endpoint is open. */
export interface EarlyReach {
  readonly tor: Tor | undefined;
  /** @param peerId of whom it is to be; undefined: of anybody. */
  isRelayed(address: UdpAddress, peerId: string | undefined): boolean;
  /** Never waits for anybody else's computer. */
  open(endpoint: Endpoint): Reach;
  /** After the Reach that was opened. */
  close(): Promise<void>;
}

export interface Reach extends InvitationMeeting {
  readonly commonPeers: CommonPeers;
  readonly dht: Dht | undefined;
  readonly mapping: PortMapping | undefined;
  readonly stun: ReflexiveWatch | undefined;
  /** Tells a peer where this node is, and its link where it is. */
  signalling(peer: KnownPeer, channel: PeerChannel, link: Link): Signalling;
  /** The peers are others than before. */
  refresh(): void;
  status(): NetworkStatus;
  /** Idempotent. */
  close(): Promise<void>;
}

/** @throws CONFIG_INVALID */
export function startReach(options: ReachOptions): EarlyReach {
  const { onChange } = options;
  const relayed = createRelayedAddresses();
  const tor = openOwnTor(options);
  const stopTor = tor?.onStatus(({ state, detail }) =>
    onChange('tor', `Tor: ${state}${detail === '' ? '' : `, ${detail}`}`),
  );
  return {
    tor,
    isRelayed: (address, peerId) => relayed.has(address, peerId),
    open: (endpoint) => openReach({ ...options, endpoint, tor, relayed }),
    async close() {
      stopTor?.();
      await tor?.close();
    },
  };
}

interface OpenOptions extends ReachOptions {
  readonly endpoint: Endpoint;
  readonly tor: Tor | undefined;
  readonly relayed: RelayedAddresses;
}

function openReach(options: OpenOptions): Reach {
  const { config, identity, store, clock, log, endpoint, tor, relayed, onChange } = options;
  const { sharedPort, address: listening } = endpoint;
  const random = Math.random;
  const protocols = (['udp', 'tcp'] as const).filter((kind) => endpoint.paths.includes(kind));
  const transports = protocols.reduce((sum, protocol) => sum | CANDIDATE_TRANSPORT[protocol], 0);
  const candidates = createCandidates(createAddressRules(config['addresses.allow'], config['addresses.deny']));
  const outside = createOutsideView({ candidates, transports: transports & CANDIDATE_TRANSPORT.udp, clock });
  const own = watchOwnAddresses({
    candidates,
    listening,
    transports,
    clock,
    onChange(slept) {
      log.info('network.changed', { slept });
      onChange('network', slept ? 'the computer was asleep' : `addresses now: ${own.hosts.join(', ') || 'none'}`);
      outside.forget();
      stun?.networkChanged();
      dht?.networkChanged();
      mapping?.networkChanged();
      for (const relay of relays) relay.networkChanged();
      options.onNetworkChange();
    },
  });
  const stun =
    sharedPort === undefined || config['stun.servers'].length === 0
      ? undefined
      : watchReflexive({
          client: createStunClient({ port: sharedPort, clock, randomBytes }),
          servers: config['stun.servers'],
          resolve: resolveHost,
          clock,
          random,
          onSeen: (server, seen) => outside.answered(server, seen),
        });
  const relays = openOwnRelays({
    endpoint,
    candidates,
    servers: config['turn.servers'],
    clock,
    log,
    onChange: (text) => onChange('network', text),
  });
  const mapping =
    config.portMapping && transports !== 0
      ? openPortMapping({
          port: listening.port,
          protocols,
          clock,
          random,
          log,
          onChange() {
            const { external, protocols: mapped = [] } = mapping?.status ?? {};
            const by = mapped.reduce((sum, protocol) => sum | CANDIDATE_TRANSPORT[protocol], 0);
            candidates.set(
              'mapped',
              external === undefined ? [] : [{ type: CANDIDATE_TYPE.mapped, transports: by, ...external }],
            );
          },
        })
      : undefined;
  const dht = openOwnDht({ port: sharedPort, config, store, clock, random, log, onVote: outside.vote });
  dht?.onStatus(({ state, nodes }) => onChange('dht', `DHT: ${state}, ${nodes} nodes`));
  const commonPeers = createCommonPeers({ clock, random, log });
  const rendezvous: Rendezvous[] = [commonPeers, ...(dht === undefined ? [] : [dht])];
  const onions =
    tor === undefined || endpoint.torPort === undefined
      ? undefined
      : createOnions({ tor, identity, store, targetPort: endpoint.torPort });
  if (onions !== undefined) candidates.set('onion', [onions.candidate]);
  onions?.refresh();

  return {
    ...createInvitationMeeting({ endpoint, candidates, rendezvous, onions, clock }),
    commonPeers,
    dht,
    mapping,
    stun,
    signalling: (peer, channel, link) =>
      createSignalling({
        channel,
        peerId: peer.peerId,
        secret: { secret: peer.pairSecret, side: peerIdOf(identity.publicKey) < peer.peerId ? 0 : 1 },
        rendezvous,
        candidates,
        preferred() {
          const last = store.meta(`way ${peer.peerId}`);
          return rendezvous.find(({ way }) => way === last)?.way;
        },
        ways: link.ways,
        clock,
        onCandidates(found, way) {
          if (way !== undefined) {
            store.noteMeta(`way ${peer.peerId}`, way);
            options.onHeard(peer.peerId, way);
          }
          relayed.note(peer.peerId, found);
          onions?.learn(peer.peerId, found);
          link.hear(found, way);
        },
        onObserved: (seen, voter) => outside.vote({ host: voter, port: 0 }, seen),
      }),
    refresh: () => onions?.refresh(),
    status: () =>
      reachStatus({
        nat: outside.natKind(own.hosts, dht?.status.state === 'ready'),
        candidates,
        tor,
        dht,
        stunServers: config['stun.servers'],
        seenBy: (server) => outside.seenBy(server),
        relays,
        mapping,
      }),
    async close() {
      own.close();
      stun?.close();
      onions?.close();
      dht?.close();
      await Promise.all([mapping?.close(), ...relays.map((relay) => relay.close())]);
    },
  };
}

/** By which ways peers are looked for under these settings. */
export function waysInUse({ lan, dht, tor, paths }: Pick<Config, 'lan' | 'dht' | 'tor' | 'paths'>): Way[] {
  return [
    ...(lan ? (['lan'] as const) : []),
    ...(dht ? (['dht'] as const) : []),
    ...(tor !== 'off' && paths.includes('tor') ? (['tor'] as const) : []),
    'address',
    'peer',
  ];
}
