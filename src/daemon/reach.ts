/**
 * Reach: all by which peers find this node and it finds them, made of its parts: Tor and the onion services, the DHT, a
 * peer in common, STUN, relays, the router's port mapping, and the candidates that come of them. Owns their beginning
 * and end, and what goes from one to the other; each part's own logic is in src/net.
 */
import { randomBytes } from 'node:crypto';
import { lookup } from 'node:dns/promises';
import { join } from 'node:path';
import type { Clock } from '../clock.ts';
import { peerIdOf, type Identity } from '../crypto/identity.ts';
import type { Logger } from '../log.ts';
import { createAddressRules } from '../net/address-rules.ts';
import { AddressVotes } from '../net/address-votes.ts';
import { createCandidates, type Candidates } from '../net/candidates.ts';
import { createCommonPeers, type CommonPeers } from '../net/common-peers.ts';
import { openDht, type Dht } from '../net/dht.ts';
import type { Endpoint } from '../net/endpoint.ts';
import { formatAddress, localAddresses } from '../net/local-addresses.ts';
import { openPortMapping, type PortMapping } from '../net/port-mapping.ts';
import type { Link } from '../net/link.ts';
import type { PeerChannel } from '../net/channel.ts';
import type { KnownPeer } from '../net/peer-book.ts';
import type { Relay } from '../net/relay.ts';
import type { Rendezvous } from '../net/rendezvous.ts';
import { createSeeker, createSignalling, type Seeker, type Signalling } from '../net/signalling.ts';
import { createStunClient } from '../net/stun.ts';
import { watchReflexive, type ReflexiveWatch } from '../net/stun-servers.ts';
import { permitThrough } from '../net/targets.ts';
import type { Tor } from '../net/tor.ts';
import { openTor, type TorMode } from '../net/tor-client.ts';
import { openRelay } from '../net/turn.ts';
import { parseTurnUrl } from '../net/turn-url.ts';
import type { UdpAddress } from '../net/udp-port.ts';
import type { Way } from '../net/ways.ts';
import { CANDIDATE_TRANSPORT, CANDIDATE_TYPE, type WireCandidate } from '../wire/candidate.ts';
import type { Config } from './config.ts';
import type { NetworkStatus } from './control-protocol.ts';
import type { Home } from './home.ts';
import { createOnions, type Onions } from './onions.ts';
import type { Store } from './store.ts';
import { readSecret, readTurnServers } from './turn-servers.ts';

/** This computer's addresses are looked at this often. Tuning, milliseconds. */
const LOOK_EVERY_MS = 2000;
/** A look that comes so much later than it should: the computer slept, and may be elsewhere now. */
const SLEPT_MS = 15_000;
/** Datagrams that open our router's way for the guest of an invitation: so many, so far apart. Tuning. */
const PUNCHES = 12;
const PUNCH_EVERY_MS = 250;
/** Addresses at relays that peers told of and that are known again. */
const MAX_RELAYED = 1024;

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
  isRelayed(address: UdpAddress): boolean;
  /** Never waits for anybody else's computer. */
  open(endpoint: Endpoint): Reach;
  /** After the Reach that was opened. */
  close(): Promise<void>;
}

export interface Reach {
  readonly candidates: Candidates;
  readonly rendezvous: readonly Rendezvous[];
  readonly commonPeers: CommonPeers;
  readonly onions: Onions | undefined;
  readonly dht: Dht | undefined;
  readonly mapping: PortMapping | undefined;
  readonly stun: ReflexiveWatch | undefined;
  /** Tells a peer where this node is, and its link where it is. */
  signalling(peer: KnownPeer, channel: PeerChannel, link: Link): Signalling;
  /** Makes an invitation of ours known beyond the addresses that it names. */
  invite(token: Uint8Array): { readonly addresses: readonly UdpAddress[]; close(): void };
  /** Looks for the creator of somebody's invitation until it is closed. */
  seekCreator(token: Uint8Array, onCandidates: (candidates: readonly WireCandidate[]) => void): Seeker;
  /** The peers are others than before. */
  refresh(): void;
  status(): NetworkStatus;
  /** Idempotent. */
  close(): Promise<void>;
}

export function startReach(options: ReachOptions): EarlyReach {
  const { home, config, clock, log, onChange } = options;
  const relayed = new Set<string>();
  const tor =
    config.tor === 'off' || !config.paths.includes('tor')
      ? undefined
      : openTor({
          mode: torMode(config.tor),
          dataDirectory: join(home.directory, 'tor'),
          configLines: config['tor.config'],
          bridges: config['tor.bridges'],
          passwordFile: secretFile(config['tor.passwordFile']),
          clock,
          log,
        });
  const stopTor = tor?.onStatus(({ state, detail }) =>
    onChange('tor', `Tor: ${state}${detail === '' ? '' : `, ${detail}`}`),
  );
  return {
    tor,
    isRelayed: ({ host, port }) => relayed.has(`${host} ${port}`),
    open(endpoint) {
      return openReach({ ...options, endpoint, tor, relayed });
    },
    async close() {
      stopTor?.();
      await tor?.close();
    },
  };
}

interface OpenOptions extends ReachOptions {
  readonly endpoint: Endpoint;
  readonly tor: Tor | undefined;
  readonly relayed: Set<string>;
}

function openReach(options: OpenOptions): Reach {
  const { config, identity, store, clock, log, endpoint, tor, relayed, onChange } = options;
  const { sharedPort } = endpoint;
  const random = Math.random;
  const candidates = createCandidates(createAddressRules(config['addresses.allow'], config['addresses.deny']));
  const votes = new AddressVotes();
  /** What each STUN server saw last. */
  const seenBy = new Map<string, UdpAddress | undefined>();
  const listenHost = endpoint.address.host;
  const { port } = endpoint.address;
  const direct =
    (endpoint.paths.includes('udp') ? CANDIDATE_TRANSPORT.udp : 0) |
    (endpoint.paths.includes('tcp') ? CANDIDATE_TRANSPORT.tcp : 0);

  // ---- candidates ----------------------------------------------------------------------------------------------

  let hosts: readonly string[] = [];
  const tellLocal = (): void => {
    hosts = localAddresses(listenHost).map(({ host }) => host);
    // Without a network two nodes on one computer can still meet.
    candidates.set(
      'local',
      (hosts.length > 0 ? hosts : ['127.0.0.1']).map((host) => ({
        type: CANDIDATE_TYPE.host,
        transports: direct,
        host,
        port,
      })),
    );
  };
  const tellReflexive = (): void => {
    const voted = ([4, 6] as const).flatMap((family) => votes.current(clock.now(), family) ?? []);
    const seen = [...[...seenBy.values()].flatMap((address) => address ?? []), ...voted];
    const transports = direct & CANDIDATE_TRANSPORT.udp;
    candidates.set(
      'reflexive',
      seen.map(({ host, port: at }) => ({ type: CANDIDATE_TYPE.reflexive, transports, host, port: at })),
    );
  };
  const vote = (voter: UdpAddress, seen: UdpAddress): void => {
    votes.vote(voter, seen, clock.now());
    tellReflexive();
  };
  const noteRelayed = (found: readonly WireCandidate[]): void => {
    for (const { type, host, port: at } of found) {
      if (type === CANDIDATE_TYPE.relayed) relayed.add(`${host} ${at}`);
    }
    for (const oldest of relayed) {
      if (relayed.size <= MAX_RELAYED) break;
      relayed.delete(oldest);
    }
  };
  const networkChanged = (): void => {
    votes.forget();
    seenBy.clear();
    tellLocal();
    tellReflexive();
    stun?.networkChanged();
    dht?.networkChanged();
    mapping?.networkChanged();
    options.onNetworkChange();
  };
  tellLocal();
  let lookedAt = clock.wallMs();
  const lookTimer = setInterval(() => {
    const now = clock.wallMs();
    const slept = now - lookedAt > LOOK_EVERY_MS + SLEPT_MS;
    lookedAt = now;
    const before = hosts.join();
    tellLocal();
    if (!slept && before === hosts.join()) return;
    log.info('network.changed', { slept });
    onChange('network', slept ? 'the computer was asleep' : `addresses now: ${hosts.join(', ') || 'none'}`);
    networkChanged();
  }, LOOK_EVERY_MS).unref();

  // ---- servers that the user named -----------------------------------------------------------------------------

  const stun =
    sharedPort === undefined || config['stun.servers'].length === 0
      ? undefined
      : watchReflexive({
          client: createStunClient({ port: sharedPort, clock, randomBytes }),
          servers: config['stun.servers'],
          resolve,
          clock,
          random,
          onSeen(server, address) {
            seenBy.set(server, address);
            tellReflexive();
          },
        });
  const tellRelayed = (): void => {
    const found = endpoint.relays.flatMap(({ address }) => address ?? []);
    candidates.set(
      'relayed',
      found.map((at) => ({ type: CANDIDATE_TYPE.relayed, transports: CANDIDATE_TRANSPORT.udp, ...at })),
    );
  };
  const relays: Relay[] = [];
  if (sharedPort !== undefined && endpoint.paths.includes('turn')) {
    for (const { url, username, password } of readTurnServers(config['turn.servers'])) {
      const server = { ...parseTurnUrl(url), username, password };
      const relay = openRelay({ server, port: sharedPort, resolve, clock, randomBytes, log });
      relay.onChange(() => {
        tellRelayed();
        onChange('network', relay.address === undefined ? `${url}: ${relay.fault ?? 'lost'}` : `${url}: ready`);
      });
      endpoint.admitRelay(relay);
      relays.push(relay);
    }
  }
  const mapping =
    config.portMapping && direct !== 0
      ? openPortMapping({
          port,
          protocols: (['udp', 'tcp'] as const).filter((kind) => endpoint.paths.includes(kind)),
          clock,
          random,
          log,
          onChange() {
            const { external, protocols = [] } = mapping?.status ?? {};
            const transports = protocols.reduce((sum, protocol) => sum | CANDIDATE_TRANSPORT[protocol], 0);
            candidates.set(
              'mapped',
              external === undefined ? [] : [{ type: CANDIDATE_TYPE.mapped, transports, ...external }],
            );
          },
        })
      : undefined;

  // ---- rendezvous ----------------------------------------------------------------------------------------------

  const savedNodes = store.meta('dhtNodes');
  const dht =
    config.dht && sharedPort !== undefined
      ? openDht({
          port: sharedPort,
          bootstrap: config['dht.bootstrap'],
          savedNodes: typeof savedNodes === 'string' ? (JSON.parse(savedNodes) as UdpAddress[]) : [],
          onNodes: (nodes) => store.setMeta('dhtNodes', JSON.stringify(nodes)),
          clock,
          random,
          log,
          onVote: vote,
        })
      : undefined;
  dht?.onStatus(({ state, nodes }) => onChange('dht', `DHT: ${state}, ${nodes} nodes`));
  const commonPeers = createCommonPeers({ clock, random, log });
  const rendezvous: Rendezvous[] = [commonPeers, ...(dht === undefined ? [] : [dht])];
  const onions =
    tor === undefined || endpoint.torPort === undefined
      ? undefined
      : createOnions({ tor, identity, store, targetPort: endpoint.torPort });
  if (onions !== undefined) candidates.set('onion', [onions.candidate]);
  onions?.refresh();

  const natKind = (): NetworkStatus['nat'] => {
    const seen = [...seenBy.values()].flatMap((address) => address ?? []);
    const voted = votes.current(clock.now());
    const external = [...seen, ...(voted === undefined ? [] : [voted])];
    if (external.some(({ host }) => hosts.includes(host))) return 'none';
    const v4 = seen.filter(({ host }) => !host.includes(':'));
    if (new Set(v4.map(({ host, port: at }) => `${host} ${at}`)).size > 1 || voted?.portsDiffer === true)
      return 'symmetric';
    if (v4.length > 1 || voted?.portsDiffer === false) return 'cone';
    if (external.length > 0) return 'unknown';
    const isAnswered = [...seenBy.values()].some((address) => address !== undefined) || dht?.status.state === 'ready';
    return seenBy.size > 0 && !isAnswered ? 'blocked' : 'unknown';
  };

  return {
    candidates,
    rendezvous,
    commonPeers,
    onions,
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
            store.setMeta(`way ${peer.peerId}`, way);
            options.onHeard(peer.peerId, way);
          }
          noteRelayed(found);
          onions?.learn(peer.peerId, found);
          link.hear(found, way);
        },
        onObserved: (seen, voter) => vote({ host: voter, port: 0 }, seen),
      }),
    invite(token) {
      const service = onions?.invite(token);
      const seeker = createSeeker({
        secret: { secret: token, side: 0 },
        rendezvous,
        candidates,
        clock,
        // Who comes is not known yet, and cannot be dialled; it dials, and our router must let it in.
        onSignal(found) {
          permitThrough(endpoint.relays, found);
          const guests = found.filter(
            ({ type, transports }) => type < CANDIDATE_TYPE.relayed && (transports & 1) !== 0,
          );
          punch(endpoint, guests, clock);
        },
      });
      seeker.seek();
      const reachable = candidates.list.filter(({ type }) => type !== CANDIDATE_TYPE.onion);
      // A guest whose network lets nothing out but connections comes by the relay that both use, or not at all.
      for (const relay of relays) if (relay.address !== undefined) relay.permit(relay.address.host);
      const named = [...reachable, ...(service === undefined ? [] : [service])];
      return {
        addresses: named.map(({ host, port: at }) => ({ host, port: at })),
        close() {
          seeker.close();
          service?.close();
        },
      };
    },
    seekCreator(token, onCandidates) {
      const seeker = createSeeker({
        secret: { secret: token, side: 1 },
        rendezvous,
        candidates,
        clock,
        onSignal: (found) => onCandidates(found),
      });
      seeker.seek();
      return seeker;
    },
    refresh: () => onions?.refresh(),
    status: () => ({
      nat: natKind(),
      candidates: candidates.list.map(({ type, host, port: at }) => ({
        type: typeName(type),
        address: formatAddress(host, at),
      })),
      tor: tor?.status ?? { state: 'off', progress: 0, detail: '' },
      dht: dht?.status ?? { state: 'off', nodes: 0 },
      stun: config['stun.servers'].map((server) => {
        const seen = seenBy.get(server);
        return { server, seen: seen === undefined ? null : formatAddress(seen.host, seen.port) };
      }),
      turn: relays.map(({ server, address, fault }) => ({
        server,
        relayed: address === undefined ? null : formatAddress(address.host, address.port),
        fault: fault ?? null,
      })),
      portMapping: {
        by: mapping?.status.by ?? null,
        external:
          mapping?.status.external === undefined
            ? null
            : formatAddress(mapping.status.external.host, mapping.status.external.port),
      },
    }),
    async close() {
      clearInterval(lookTimer);
      stun?.close();
      onions?.close();
      dht?.close();
      await Promise.all([mapping?.close(), ...relays.map((relay) => relay.close())]);
    },
  };
}

/** By which ways peers are looked for under these settings. */
export function waysInUse(config: Config): Way[] {
  const { lan, dht, tor, paths } = config;
  return [
    ...(lan ? (['lan'] as const) : []),
    ...(dht ? (['dht'] as const) : []),
    ...(tor !== 'off' && paths.includes('tor') ? (['tor'] as const) : []),
    'address',
    'peer',
  ];
}

/** @returns undefined for none. @throws CONFIG_INVALID for one that others can read. */
function secretFile(file: string): string | undefined {
  if (file === '') return undefined;
  readSecret(file);
  return file;
}

function torMode(setting: string): TorMode {
  if (setting === 'auto' || setting === 'off') return setting;
  const control = setting.startsWith('control:') ? setting.slice('control:'.length) : undefined;
  return control === undefined ? { program: setting } : { control };
}

function punch(endpoint: Endpoint, guests: readonly WireCandidate[], clock: Clock, left = PUNCHES): void {
  for (const { host, port } of guests) endpoint.punch({ host, port });
  if (left > 1 && guests.length > 0) clock.after(PUNCH_EVERY_MS, () => punch(endpoint, guests, clock, left - 1));
}

function typeName(type: number): NetworkStatus['candidates'][number]['type'] {
  return (['host', 'reflexive', 'mapped', 'relayed', 'onion'] as const)[type] ?? 'host';
}

/** Addresses of a host that a user named. Empty when it has none, or nobody could be asked. */
async function resolve(host: string): Promise<readonly string[]> {
  try {
    return (await lookup(host, { all: true })).map(({ address }) => address);
  } catch {
    return [];
  }
}
