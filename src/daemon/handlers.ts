/**
 * What the node answers on its control socket: each method checks what it was given and makes one call on the part whose
 * affair it is. Owns no state.
 */
import type { Clock } from '../clock.ts';
import { fingerprintWords, peerIdOf, type Identity } from '../crypto/identity.ts';
import { PeerfsError } from '../errors.ts';
import { parseHostPort } from '../host-port.ts';
import type { UdpAddress } from '../net/udp-port.ts';
import type { Config } from './config.ts';
import type { ControlHandlers } from './control.ts';
import type { NodeStatus, WatchEvent } from './control-protocol.ts';
import type { Discovery } from './discovery.ts';
import type { Invitations } from './invitations.ts';
import type { Mounts } from './mounts.ts';
import { checkNetwork } from './network-check.ts';
import { checkPetname, directory, flag, optionalText, optionalTexts, positive, text } from './parameters.ts';
import type { Peers } from './peers.ts';
import type { Reach } from './reach.ts';
import { knownPeer, type Shares } from './shares.ts';
import type { Store } from './store.ts';
import type { Watch } from './watch.ts';

export interface HandlersOptions {
  readonly identity: Identity;
  readonly config: Config;
  readonly store: Store;
  readonly shares: Shares;
  readonly peers: Peers;
  readonly invitations: Invitations;
  readonly mounts: Mounts;
  readonly reach: Reach;
  readonly discovery: Discovery | undefined;
  readonly watch: Watch;
  readonly status: () => NodeStatus;
  /** The store's peers have changed. */
  readonly refresh: () => Promise<void>;
  readonly clock: Clock;
  /** Somebody asked the node to stop. */
  readonly onStop: () => void;
}

export function createHandlers(options: HandlersOptions): ControlHandlers {
  const { identity, config, store, shares, peers, invitations, mounts, reach, discovery, watch, clock } = options;
  const { status, refresh, onStop } = options;
  return {
    status: async () => status(),
    id: async () => ({
      name: config.name,
      id: peerIdOf(identity.publicKey),
      fingerprint: fingerprintWords(identity.publicKey),
    }),
    'network.check': async (_given, { progress }) =>
      checkNetwork({ reach, config, discovery, clock, tell: (finding) => progress(JSON.stringify(finding)) }),
    watch: (_given, { progress, signal }) =>
      new Promise((resolve) => {
        const send = (event: WatchEvent) => progress(JSON.stringify(event));
        const stopWatching = watch.subscribe(send);
        signal.addEventListener('abort', () => {
          stopWatching();
          resolve({});
        });
        const at = new Date(clock.wallMs()).toISOString();
        for (const { name, state, path } of peers.status()) {
          send({ at, event: 'peer', peer: name, text: state, detail: { state, path } });
        }
        const { nat, tor, dht } = reach.status();
        const text = `router ${nat}, Tor ${tor.state}, DHT ${dht.state}`;
        send({ at, event: 'network', text, detail: { nat, tor: tor.state, dht: dht.state } });
      }),
    stop: async () => {
      setImmediate(onStop);
      return { pid: process.pid };
    },
    peers: async () => peers.status(),
    'peers.rename': async (given) => {
      const peer = knownPeer(store, text(given, 'name'));
      const name = checkPetname(text(given, 'newName'));
      const other = store.peerNamed(name);
      if (other !== undefined && other.peerId !== peer.peerId) {
        throw new PeerfsError('NAME_CLASH', `another peer is named "${name}" already`, {
          hint: 'Choose another name.',
        });
      }
      await shares.renameInbox(peer, name);
      store.renamePeer(peer.peerId, name);
      await refresh();
      return { name };
    },
    'peers.remove': async (given) => {
      const peer = knownPeer(store, text(given, 'name'));
      store.removePeer(peer.peerId);
      await refresh();
      return { name: peer.name };
    },
    invite: async (given) => {
      const name = optionalText(given, 'name');
      return invitations.invite({
        name: name === undefined ? undefined : checkPetname(name),
        lifeMs: positive(given, 'lifeMs'),
        addresses: optionalTexts(given, 'addresses')?.map(address),
      });
    },
    'invite.list': async () => invitations.list(),
    'invite.revoke': async (given) => {
      const id = text(given, 'id');
      invitations.revoke(id);
      return { id };
    },
    accept: async (given, { progress }) => {
      const name = optionalText(given, 'name');
      return invitations.accept(
        text(given, 'invitation'),
        text(given, 'code'),
        name === undefined ? undefined : checkPetname(name),
        progress,
      );
    },
    share: async (given) =>
      shares.add({
        directory: directory(given, 'directory'),
        name: optionalText(given, 'name'),
        to: optionalTexts(given, 'to'),
        writable: flag(given, 'writable'),
        idmap: given['idmap'] === 'none' ? 'none' : 'user',
        quota: given['quota'] === undefined ? undefined : positive(given, 'quota'),
      }),
    shares: async () => {
      await shares.retryFaults();
      return shares.status();
    },
    'shares.quota': async (given) =>
      shares.setQuota(text(given, 'name'), given['bytes'] === undefined ? undefined : positive(given, 'bytes')),
    unshare: async (given) => {
      const name = text(given, 'name');
      await shares.remove(name);
      return { name };
    },
    mount: async (given, { progress }) => {
      const place = given['directory'] === undefined ? undefined : directory(given, 'directory');
      const request = { directory: place, allowOther: flag(given, 'allowOther'), readOnly: flag(given, 'readOnly') };
      const made = await mounts.mount(request, progress);
      watch.emit({ event: 'mount', text: `mounted at ${made.directory}`, detail: { directory: made.directory } });
      return made;
    },
    unmount: async (given) => {
      const place = await mounts.unmount(given['directory'] === undefined ? undefined : directory(given, 'directory'));
      watch.emit({ event: 'mount', text: `unmounted from ${place}`, detail: { directory: place } });
      return { directory: place };
    },
  };
}

/** As ADDRESS in src/wire/packets.ts has it; names are ASCII. */
const MAX_HOST_BYTES = 255;

function address(text_: string): UdpAddress {
  const parsed = parseHostPort(text_);
  if (parsed !== undefined && parsed.port > 0 && parsed.host.length <= MAX_HOST_BYTES) return parsed;
  throw new PeerfsError('USAGE', `"${text_}" is not an address`, { hint: 'Write host:port.' });
}
