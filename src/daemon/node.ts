/**
 * The composition root: makes a node of its parts, and starts and ends them in order. Owns no logic of its own beyond
 * that; what the command line asks is answered in handlers.ts.
 */
import { randomBytes } from 'node:crypto';
import { constants, rmSync } from 'node:fs';
import { access, stat } from 'node:fs/promises';
import { toText } from '../bytestring.ts';
import type { Clock } from '../clock.ts';
import { useAead } from '../crypto/aead.ts';
import { peerIdOf } from '../crypto/identity.ts';
import { useInPlaceAead } from '../crypto/sodium.ts';
import { codeOf, PeerfsError } from '../errors.ts';
import { LeaseTable } from '../fs/leases.ts';
import type { Quota } from '../fs/quota.ts';
import { HandleBudget } from '../fs/served-handles.ts';
import { formatHostPort } from '../host-port.ts';
import type { Logger } from '../log.ts';
import { openEndpoint } from '../net/endpoint.ts';
import { createLink } from '../net/link.ts';
import { createMailbox } from '../net/mailbox.ts';
import type { PeerBook } from '../net/peer-book.ts';
import { createWays } from '../net/ways.ts';
import { tryLockFile } from '../sys/file-lock.ts';
import { descriptorLimit, keepMemoryPrivate } from '../sys/process-limits.ts';
import { opensslAead, opensslInPlace } from '../sys/openssl.ts';
import { toPetname, type Config } from './config.ts';
import { createConflictCopies } from './conflict-copies.ts';
import { openControlSocket } from './control.ts';
import type { MountStatus, NodeStatus } from './control-protocol.ts';
import { startDiscovery } from './discovery.ts';
import { createHandlers } from './handlers.ts';
import { reasonOf, type Home } from './home.ts';
import { createInvitations } from './invitations.ts';
import { loadIdentity } from './keys.ts';
import type { MountRequest } from './launch.ts';
import { listen } from './listening.ts';
import { watchLoad } from './load.ts';
import { createMounts } from './mounts.ts';
import { createPeers } from './peers.ts';
import { makeFolders } from './places.ts';
import { startReach, waysInUse } from './reach.ts';
import type { Bound } from './setting-values.ts';
import { createShares } from './shares.ts';
import { openStore, type Store } from './store.ts';
import { packageVersion } from './version.ts';
import { createWatch } from './watch.ts';

const INODE_KEY_BYTES = 16;
const BOOT_ID_BYTES = 16;
const PURGE_EVERY_MS = 24 * 3600 * 1000;
/** Warnings kept for `status`. */
const WARNINGS = 20;
/** Time for goodbyes to leave before the sockets close. Milliseconds. */
const GOODBYE_MS = 50;

export interface NodeOptions {
  readonly home: Home;
  readonly config: Config;
  /** Of a sealed identity. */
  readonly passphrase?: string | undefined;
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
  keepMemoryPrivate();
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
    const identity = await loadIdentity(home, options.passphrase);
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
      inboxQuota: inboxQuota(config),
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
        isRelayed: (at, peerId) => early.isRelayed(at, peerId),
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
    const conflicts = createConflictCopies({
      directory: home.conflicts,
      clock,
      log,
      onCopy: (petname, name) =>
        warn(
          `others changed ${toText(name)} of ${petname} before what was written to it arrived: that is kept in ${home.conflicts}`,
        ),
      onFailure: (petname, name, code) =>
        warn(`what was written to ${toText(name)} of ${petname} could be kept in part only, or not at all: ${code}`),
    });
    const peers = createPeers({
      store,
      shares,
      leases: new LeaseTable({ clock }),
      budget: new HandleBudget(descriptorLimit()),
      bootId: randomBytes(BOOT_ID_BYTES),
      name: config.name,
      patienceMs: config.patienceMs,
      link: (peer, channel) =>
        createLink({ peer, endpoint, channel, book, ownId, clock, log, ways: createWays(clock, waysInUse(config)) }),
      signalling: (peer, channel, link) => reach.signalling(peer, channel, link),
      mailbox: createMailbox({ clock, allowed: () => config.mailbox }),
      commonPeers: reach.commonPeers,
      onRefused: conflicts.keep,
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

    const listening = [formatHostPort(endpoint.address.host, endpoint.address.port)];
    const version = packageVersion();

    const load = watchLoad();
    toEnd.push(() => load.close());
    const status = (): NodeStatus => ({
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
      ...load.status(),
      conflicts: { directory: conflicts.directory, copies: conflicts.count() },
      warnings,
    });

    const handlers = createHandlers({
      identity,
      config,
      store,
      shares,
      peers,
      invitations,
      mounts,
      reach,
      discovery,
      watch,
      status,
      refresh,
      clock,
      onStop,
    });
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

function inboxQuota({ 'inbox.quota': bytes, 'inbox.files': names }: Config): Quota | undefined {
  if (bytes === 'none' && names === 'none') return undefined;
  const limit = (bound: Bound) => (bound === 'none' ? Number.MAX_SAFE_INTEGER : bound);
  return { bytes: limit(bytes), names: limit(names) };
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

/** Inode numbers stay the same over restarts: programs remember them. */
function inodeKey(store: Store): Uint8Array {
  const kept = store.meta('inodeKey');
  if (kept instanceof Uint8Array) return new Uint8Array(kept);
  const made = randomBytes(INODE_KEY_BYTES);
  store.setMeta('inodeKey', made);
  return made;
}
