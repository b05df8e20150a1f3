/**
 * The peers of the running node: for each in the store a channel, what it gives (RemotePeer), what it is given
 * (Serving) and a link that keeps it reachable. Keeps these in step with the store. Implements PeerDirectory for the
 * mount.
 */
import { fromText } from '../bytestring.ts';
import type { Clock } from '../clock.ts';
import type { LeaseTable } from '../fs/leases.ts';
import type { HandleBudget } from '../fs/served-handles.ts';
import type { MountedPeer, PeerDirectory } from '../fs/mount-peers.ts';
import { createRemotePeer } from '../fs/remote-peer.ts';
import type { RefusedWrite } from '../fs/remote-share.ts';
import { createServing } from '../fs/serve.ts';
import type { ShareProvider } from '../fs/shared-folder.ts';
import type { Logger } from '../log.ts';
import type { Link } from '../net/link.ts';
import { SLOW_PATHS, type Path } from '../net/path.ts';
import type { CloseReason, PeerChannel } from '../net/channel.ts';
import { createPeerChannel } from '../net/peer-channel.ts';
import type { CommonPeers } from '../net/common-peers.ts';
import type { Mailbox } from '../net/mailbox.ts';
import type { Signalling } from '../net/signalling.ts';
import type { RequestOf } from '../wire/schema.ts';
import { createPathRates, type PathRates } from './path-rates.ts';
import type { PeerStatus } from './control-protocol.ts';
import type { PeerRecord, Store } from './store.ts';

/** Tuning: how often `last seen` of a live peer is written down, milliseconds. */
const SEEN_EVERY_MS = 60_000;

export interface PeersOptions {
  readonly store: Store;
  readonly shares: ShareProvider;
  readonly leases: LeaseTable;
  /** What all peers together may have open. */
  readonly budget: HandleBudget;
  /** 16 random bytes, new at each start. */
  readonly bootId: Uint8Array;
  /** What this node calls itself. */
  readonly name: string;
  readonly patienceMs: number;
  /** Keeps the peer reachable from now on, until it is closed. */
  readonly link: (peer: PeerRecord, channel: PeerChannel) => Link;
  /** Tells the peer where this node is, and the link where the peer is, until it is closed. */
  readonly signalling: (peer: PeerRecord, channel: PeerChannel, link: Link) => Signalling;
  /** Carries signals between our peers. */
  readonly mailbox: Mailbox;
  /** Who of our peers carries signals for us. */
  readonly commonPeers: CommonPeers;
  /** What was written to a peer's file cannot go there any more. */
  readonly onRefused: (petname: string, write: RefusedWrite) => void;
  /** Something happened that `watch` tells. */
  readonly onEvent: (event: PeerEvent) => void;
  readonly clock: Clock;
  readonly log: Logger;
}

/** A change of a peer's state, or of the path that it is reached by. */
export interface PeerEvent {
  readonly event: 'peer' | 'path';
  readonly peer: string;
  readonly text: string;
  readonly detail: Readonly<Record<string, string | number | boolean | null>>;
}

export interface Peers extends PeerDirectory {
  /** Makes the running peers match the store. */
  refresh(): void;
  link(peerId: string): Link | undefined;
  /** This computer has other addresses: paths may be dead that do not know it yet. */
  networkChanged(): void;
  isOnline(peerId: string): boolean;
  /** Takes a path that a handshake made; closes it when the peer is not known (any more). */
  attach(peerId: string, path: Path): void;
  status(): PeerStatus[];
  /** Frames and calls that were dropped, summed over all peers. */
  counters(): Record<string, number>;
  /** Says goodbye to all. */
  close(): void;
}

interface RunningPeer {
  readonly record: PeerRecord;
  readonly channel: PeerChannel;
  readonly link: Link;
  readonly signalling: Signalling;
  readonly rates: PathRates;
  readonly mounted: MountedPeer;
  end(reason: CloseReason): void;
}

export function createPeers(options: PeersOptions): Peers {
  const { store, shares, leases, budget, clock, log } = options;
  const running = new Map<string, RunningPeer>();
  const listeners = new Set<() => void>();
  let list: readonly MountedPeer[] = [];

  const start = (record: PeerRecord): RunningPeer => {
    const channel = createPeerChannel({
      peerId: record.peerId,
      bootId: options.bootId,
      name: options.name,
      patienceMs: options.patienceMs,
      clock,
      log,
    });
    const refused = (write: RefusedWrite) => options.onRefused(record.name, write);
    const remote = createRemotePeer({ channel, refused, clock, log });
    const serving = createServing({ channel, shares, leases, budget, clock, log });
    const link = options.link(record, channel);
    const signalling = options.signalling(record, channel, link);
    const door = options.mailbox.open(record.peerId, (left) => channel.push('signalLeft', left));
    const helper = options.commonPeers.add(channel);
    const pushHandlers = {
      ...remote.pushHandlers,
      signal: signalling.received,
      signalLeft: (left: RequestOf<'signalLeft'>) => helper.signalLeft(left),
    };
    channel.serve({ ...serving.handlers, ...remote.handlers, ...door.handlers }, pushHandlers);
    const stopSeen = noteSeen(record.peerId, channel);
    return {
      record,
      channel,
      link,
      signalling,
      rates: createPathRates(channel, clock),
      mounted: { petname: fromText(record.name), peerId: record.peerId, remote },
      end(reason) {
        signalling.close();
        helper.close();
        door.close();
        link.close();
        stopSeen();
        channel.close(reason);
        serving.close();
        remote.close();
      },
    };
  };

  /** Writes down when the peer was last there: at each change of its state, and now and then while it is live. */
  const noteSeen = (peerId: string, channel: PeerChannel): (() => void) => {
    let state = channel.state;
    let timer = clock.after(SEEN_EVERY_MS, expiredSeen);
    function expiredSeen() {
      if (channel.state === 'live') store.seenPeer(peerId);
      timer = clock.after(SEEN_EVERY_MS, expiredSeen);
    }
    const stop = channel.onState((now) => {
      if (now === 'live' || state === 'live') store.seenPeer(peerId);
      state = now;
      log.info('peer.state', { state: now });
      tell(peerId, 'peer', now, { state: now });
    });
    let path: string | undefined;
    const stopPath = channel.onActivePath((active) => {
      const before = path;
      path = active?.kind;
      if (path === before || active === undefined) return;
      const text = before === undefined ? `reached by ${active.kind}` : `moved from ${before} to ${active.kind}`;
      tell(peerId, 'path', text, { path: active.kind, before: before ?? null, remote: active.remote });
    });
    return () => {
      timer.cancel();
      stop();
      stopPath();
    };
  };

  const tell = (peerId: string, event: 'peer' | 'path', text: string, detail: PeerEvent['detail']): void => {
    const peer = store.peer(peerId)?.name;
    if (peer !== undefined) options.onEvent({ event, peer, text, detail });
  };

  const lastSeen = (record: PeerRecord, channel: PeerChannel): string | null => {
    const at = channel.state === 'live' ? clock.wallMs() : store.peer(record.peerId)?.lastSeenAt;
    return at === undefined ? null : new Date(at).toISOString();
  };

  return {
    refresh() {
      const records = store.peers();
      for (const [peerId, peer] of running) {
        if (records.some((record) => record.peerId === peerId)) continue;
        running.delete(peerId);
        peer.end('removed');
      }
      for (const record of records) {
        const before = running.get(record.peerId);
        if (before === undefined) running.set(record.peerId, start(record));
        else if (before.record.name !== record.name) {
          const mounted = { ...before.mounted, petname: fromText(record.name) };
          running.set(record.peerId, { ...before, record, mounted });
        }
      }
      list = records.flatMap((record) => running.get(record.peerId)?.mounted ?? []);
      for (const listener of listeners) listener();
    },
    isOnline: (peerId) => running.get(peerId)?.channel.state === 'live',
    attach(peerId, path) {
      const peer = running.get(peerId);
      if (peer === undefined) path.close();
      else peer.link.attach(path);
    },
    link: (peerId) => running.get(peerId)?.link,
    networkChanged() {
      for (const { link, channel, signalling } of running.values()) {
        // What is sent from a new address moves the path there, if no router stands in the way.
        for (const path of channel.paths) path.probe();
        link.networkChanged();
        signalling.networkChanged();
      }
    },
    list: () => list,
    onChange(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    status: () =>
      store.peers().map((record): PeerStatus => {
        const peer = running.get(record.peerId);
        const channel = peer?.channel;
        const path = channel?.activePath;
        return {
          name: record.name,
          id: record.peerId,
          state: channel?.state ?? 'offline',
          path: path?.kind ?? null,
          slow: path !== undefined && SLOW_PATHS.has(path.kind),
          paths: peer?.rates.status() ?? [],
          ways: (peer?.link.ways.list ?? []).map(({ way, result, at }) => ({
            way,
            result,
            at: at === undefined ? null : new Date(at).toISOString(),
          })),
          rttMs: path?.statistics.rttMs ?? null,
          lastSeenAt: channel === undefined ? null : lastSeen(record, channel),
        };
      }),
    counters() {
      const sum: Record<string, number> = {};
      for (const { channel } of running.values()) {
        for (const [name, count] of Object.entries(channel.statistics)) sum[name] = (sum[name] ?? 0) + Number(count);
      }
      const add = (prefix: string, counters: object): void => {
        for (const [name, count] of Object.entries(counters)) {
          sum[`${prefix}${name.charAt(0).toUpperCase()}${name.slice(1)}`] = Number(count);
        }
      };
      add('mailbox', options.mailbox.counters);
      add('signals', options.commonPeers.counters);
      return sum;
    },
    close() {
      for (const peer of running.values()) peer.end('shutting-down');
      running.clear();
    },
  };
}
