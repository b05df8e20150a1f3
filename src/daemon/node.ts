/**
 * The composition root: makes a node of its parts, starts and ends them in order, and answers what the command line
 * asks. Owns no logic of its own beyond that.
 */
import { randomBytes } from 'node:crypto';
import { lookup } from 'node:dns/promises';
import { constants, rmSync } from 'node:fs';
import { access, stat } from 'node:fs/promises';
import { isIP } from 'node:net';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { Clock } from '../clock.ts';
import { useAead } from '../crypto/aead.ts';
import { fingerprintWords, peerIdOf } from '../crypto/identity.ts';
import { useInPlaceAead } from '../crypto/sodium.ts';
import { codeOf, PeerfsError } from '../errors.ts';
import { LeaseTable } from '../fs/leases.ts';
import type { Logger } from '../log.ts';
import { openEndpoint, type Endpoint } from '../net/endpoint.ts';
import { createLink } from '../net/link.ts';
import { formatAddress } from '../net/local-addresses.ts';
import { createMailbox } from '../net/mailbox.ts';
import { createWays } from '../net/ways.ts';
import type { PeerBook } from '../net/peer-book.ts';
import { tryLockFile } from '../sys/file-lock.ts';
import { opensslAead, opensslInPlace } from '../sys/openssl.ts';
import { toPetname, type Config } from './config.ts';
import { openControlSocket, type ControlHandlers } from './control.ts';
import type { MountStatus, NodeStatus, WatchEvent } from './control-protocol.ts';
import { reasonOf, type Home } from './home.ts';
import { createInvitations } from './invitations.ts';
import { startDiscovery } from './discovery.ts';
import { loadIdentity } from './keys.ts';
import type { MountRequest } from './launch.ts';
import { createMounts } from './mounts.ts';
import { checkPetname, directory, flag, optionalText, optionalTexts, positive, text } from './parameters.ts';
import { createPeers } from './peers.ts';
import { makeFolders } from './places.ts';
import { checkNetwork } from './network-check.ts';
import { startReach, waysInUse } from './reach.ts';
import { parseListen } from './setting-values.ts';
import { createShares, knownPeer } from './shares.ts';
import { openStore, type Store } from './store.ts';
import { createWatch } from './watch.ts';
import { packageVersion } from './version.ts';

const INODE_KEY_BYTES = 16;
const BOOT_ID_BYTES = 16;
const PURGE_EVERY_MS = 24 * 3600 * 1000;
/** Warnings kept for `status`. */
const WARNINGS = 20;
/** Sampling of the event loop's delay; the histogram counts it in. Milliseconds. */
const LOOP_SAMPLE_MS = 50;
/** Time for goodbyes to leave before the sockets close. Milliseconds. */
const GOODBYE_MS = 50;

export interface NodeOptions {
  readonly home: Home;
  readonly config: Config;
  readonly clock: Clock;
  readonly log: Logger;
  /** Somebody asked the node to stop. */
  readonly onStop: () => void;
  readonly onProgress: (text: string) => void;
}

export interface Node {
  /** host:port. */
  readonly listening: readonly string[];
  mount(request: MountRequest): Promise<MountStatus>;
  /** Sends what was written, unmounts, says goodbye. Idempotent. */
  stop(): Promise<void>;
}

/** @throws NODE_ALREADY_RUNNING, NODE_START_FAILED, ENVIRONMENT, CONFIG_INVALID */
export async function startNode(options: NodeOptions): Promise<Node> {
  const { home, config, clock, log } = options;
  const aead = opensslAead();
  if (aead !== undefined) useAead(aead);
  useInPlaceAead(opensslInPlace());
  const lock = tryLockFile(home.lockFile);
  if (lock === undefined) {
    throw new PeerfsError('NODE_ALREADY_RUNNING', `a node is already running for the home ${home.directory}`, {
      hint: 'peerfs status shows it; peerfs stop ends it.',
    });
  }
  // What has been started, to be ended in the reverse order.
  const ends: (() => Promise<void> | void)[] = [() => lock.release()];
  const endAll = async () => {
    for (const end of ends.splice(0).reverse()) {
      try {
        await end();
      } catch (error) {
        log.error('node.end', { code: codeOf(error) });
      }
    }
  };
  try {
    return await compose(options, ends, endAll);
  } catch (error) {
    await endAll();
    throw error;
  }

  async function compose(
    { onStop }: NodeOptions,
    toEnd: (() => Promise<void> | void)[],
    stop: () => Promise<void>,
  ): Promise<Node> {
    const startedAt = clock.wallMs();
    const warnings: string[] = [];
    const watch = createWatch({ clock });
    const warn = (warning: string) => {
      warnings.push(`${new Date(clock.wallMs()).toISOString()} ${warning}`);
      if (warnings.length > WARNINGS) warnings.shift();
      watch.emit({ event: 'warning', text: warning, detail: {} });
    };
    const identity = loadIdentity(home);
    const ownId = peerIdOf(identity.publicKey);
    const store = openStore(home.database, clock);
    toEnd.push(() => store.close());
    store.purge();
    const purge = setInterval(() => store.purge(), PURGE_EVERY_MS).unref();
    toEnd.push(() => clearInterval(purge));

    const inbox = config.inbox === '' ? home.inbox : config.inbox;
    await checkInbox(inbox);
    const shares = createShares({
      store,
      home,
      inbox,
      mountpoints: () => mounts.status().map((mount) => mount.directory),
      warn,
      clock,
      log,
    });
    toEnd.push(() => shares.close());
    const early = startReach({
      home,
      config,
      identity,
      store,
      clock,
      log,
      onNetworkChange: () => peers.networkChanged(),
      onHeard(peerId, way) {
        const peer = store.peer(peerId)?.name;
        const text_ = `said ${way === 'dht' ? 'in the DHT' : 'at a peer in common'} where it can be reached`;
        if (peer !== undefined) watch.emit({ event: 'peer', peer, text: text_, detail: { way } });
      },
      onChange: (event, text_) => watch.emit({ event, text: text_, detail: {} }),
    });
    toEnd.push(() => early.close());

    const book: PeerBook = {
      ...store,
      redeem: (redemption) =>
        store.redeem({ ...redemption, suggestedName: toPetname(redemption.suggestedName, 'peer') }),
    };
    /** The store's peers have changed. */
    const refresh = async () => {
      peers.refresh();
      reach.refresh();
      await shares.refresh();
    };
    const endpoint = await listen(config, store, (host, port) =>
      openEndpoint({
        identity,
        book,
        name: config.name,
        listen: { host, port },
        paths: config.paths,
        tor: early.tor,
        isRelayed: (at) => early.isRelayed(at),
        clock,
        log,
        onPath: (peerId, path) => peers.attach(peerId, path),
        onJoined: (peerId) => {
          log.info('peer.joined');
          const name = store.peer(peerId)?.name ?? '';
          watch.emit({ event: 'invitation', peer: name, text: 'accepted an invitation', detail: {} });
          peers.refresh();
          invitations.follow();
          reach.refresh();
          shares.refresh().catch((error: unknown) => log.error('shares.refresh', { code: codeOf(error) }));
          peers.link(peerId)?.wake();
        },
      }),
    );
    toEnd.push(() => endpoint.close());
    const reach = early.open(endpoint);
    toEnd.push(() => reach.close());
    const peers = createPeers({
      store,
      shares,
      leases: new LeaseTable({ clock }),
      bootId: randomBytes(BOOT_ID_BYTES),
      name: config.name,
      patienceMs: config.patienceMs,
      link: (peer, channel) =>
        createLink({ peer, endpoint, channel, book, ownId, clock, log, ways: createWays(clock, waysInUse(config)) }),
      signalling: (peer, channel, link) => reach.signalling(peer, channel, link),
      mailbox: createMailbox({ clock, allowed: () => config.mailbox }),
      commonPeers: reach.commonPeers,
      onEvent: (event) => watch.emit(event),
      clock,
      log,
    });
    toEnd.push(async () => {
      peers.close();
      await new Promise((resolve) => setTimeout(resolve, GOODBYE_MS));
    });

    const mounts = createMounts({
      peers,
      config,
      inodeKey: inodeKey(store),
      check: (place) => shares.checkMountpoint(place),
      onLost: (lost, reason) => warn(`the mount ${lost} ended by itself: ${reason}`),
      clock,
      log,
    });
    toEnd.push(() => mounts.close());
    // What peers may see stands before any of them is let in: to one that was in the middle of work it must not seem gone.
    await shares.refresh();
    await refresh();
    for (const share of shares.status()) if (share.fault !== null) warn(`share "${share.name}": ${share.fault}`);

    const discovery = config.lan
      ? await startDiscovery({ identity, book, endpoint, peers, store, clock, log }, warn)
      : undefined;
    toEnd.push(() => discovery?.close());
    const invitations = createInvitations({
      store,
      identity,
      name: config.name,
      endpoint,
      reach,
      discovery,
      isOnline: (peerId) => peers.isOnline(peerId),
      async onAccepted(peerId, { path }) {
        await refresh();
        const peer = store.peer(peerId)?.name ?? '';
        watch.emit({ event: 'invitation', peer, text: 'the invitation was accepted', detail: { path: path.kind } });
        peers.attach(peerId, path);
      },
      clock,
      log,
    });
    toEnd.push(() => invitations.close());
    invitations.resume();

    const loop = monitorEventLoopDelay({ resolution: LOOP_SAMPLE_MS });
    loop.enable();
    toEnd.push(() => void loop.disable());
    const listening = [formatAddress(endpoint.address.host, endpoint.address.port)];
    const version = packageVersion();

    const status = (): NodeStatus => {
      const { rss, heapUsed, external } = process.memoryUsage();
      const late = (nanoseconds: number) => Math.max(0, nanoseconds / 1e6 - LOOP_SAMPLE_MS);
      return {
        pid: process.pid,
        version,
        id: ownId,
        name: config.name,
        home: home.directory,
        startedAt: new Date(startedAt).toISOString(),
        listening,
        paths: config.paths,
        lan: config.lan,
        network: reach.status(),
        mounts: mounts.status(),
        peers: peers.status(),
        shares: store.shares().length,
        counters: { ...endpoint.counters, ...discovery?.counters, ...peers.counters() },
        eventLoopDelayMs: { mean: late(loop.mean), p99: late(loop.percentile(99)), max: late(loop.max) },
        memory: { rssBytes: rss, heapBytes: heapUsed, externalBytes: external },
        warnings,
      };
    };

    const handlers: ControlHandlers = {
      status: async () => status(),
      id: async () => ({ name: config.name, id: ownId, fingerprint: fingerprintWords(identity.publicKey) }),
      'network.check': async (_given, { progress }) =>
        checkNetwork({ reach, config, discovery, tell: (finding) => progress(JSON.stringify(finding)) }),
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
        }),
      shares: async () => {
        await shares.retryFaults();
        return shares.status();
      },
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
        const place = await mounts.unmount(
          given['directory'] === undefined ? undefined : directory(given, 'directory'),
        );
        watch.emit({ event: 'mount', text: `unmounted from ${place}`, detail: { directory: place } });
        return { directory: place };
      },
    };
    const control = await openControlSocket(home.socket, handlers, log);
    toEnd.push(() => {
      control.close();
      rmSync(home.pidFile, { force: true });
    });
    log.info('node.ready', { version });
    return {
      listening,
      mount: ({ directory: place, allowOther, readOnly }) =>
        mounts.mount({ directory: place, allowOther, readOnly }, options.onProgress),
      stop,
    };
  }
}

/** The configured port; for 0 the one chosen before, if it is free, else any, which is then kept. */
async function listen(
  config: Config,
  store: Store,
  open: (host: string, port: number) => Promise<Endpoint>,
): Promise<Endpoint> {
  const { host, port } = parseListen(config.listen) ?? { host: '::', port: 0 };
  const kept = port === 0 ? store.meta('port') : undefined;
  try {
    const numeric = isIP(host) === 0 ? (await lookup(host)).address : host;
    if (typeof kept === 'number') {
      try {
        return await open(numeric, kept);
      } catch (error) {
        if (nodeCode(error) !== 'EADDRINUSE') throw error;
      }
    }
    const endpoint = await open(numeric, port);
    if (port === 0) store.setMeta('port', endpoint.address.port);
    return endpoint;
  } catch (error) {
    throw new PeerfsError('NODE_START_FAILED', `cannot listen on ${config.listen}: ${reasonOf(error)}`, {
      hint: 'Choose another address or port with --listen, or: peerfs config set listen.',
      cause: error,
    });
  }
}

/** @throws ENVIRONMENT: peers would find no folder of theirs. */
async function checkInbox(inbox: string): Promise<void> {
  try {
    await makeFolders(inbox, 0o700);
    if (!(await stat(inbox)).isDirectory()) throw new PeerfsError('ENOTDIR', 'it is not a folder');
    await access(inbox, constants.W_OK | constants.X_OK);
  } catch (error) {
    throw new PeerfsError('ENVIRONMENT', `the inbox ${inbox} cannot be used: ${reasonOf(error)}`, {
      hint: 'Name another folder with --inbox, or: peerfs config set inbox.',
      cause: error,
    });
  }
}

/** The code of the system error behind it. */
function nodeCode(error: unknown): unknown {
  if (error instanceof PeerfsError) return nodeCode(error.cause);
  return error instanceof Error && 'code' in error ? error.code : undefined;
}

function address(text_: string): { host: string; port: number } {
  const parsed = parseListen(text_);
  if (parsed !== undefined && parsed.port > 0) return parsed;
  throw new PeerfsError('USAGE', `"${text_}" is not an address`, { hint: 'Write host:port.' });
}

/** Inode numbers stay the same over restarts: programs remember them. */
function inodeKey(store: Store): Uint8Array {
  const kept = store.meta('inodeKey');
  if (kept instanceof Uint8Array) return new Uint8Array(kept);
  const made = randomBytes(INODE_KEY_BYTES);
  store.setMeta('inodeKey', made);
  return made;
}
