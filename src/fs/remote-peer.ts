/**
 * RemotePeer: what one peer gives to us: its list of shares, a RemoteTree for each, and the answering of its recalls.
 * One for each known peer of the node, whether anything is mounted or not.
 */
import type { Clock } from '../clock.ts';
import type { Logger } from '../log.ts';
import type { Channel, Handlers, PushHandlers } from '../net/channel.ts';
import type { ShareInfo } from '../wire/schema.ts';
import { ContentsMemory } from './contents-memory.ts';
import { PeerLease } from './remote-lease.ts';
import type { RefusedWrite } from './remote-share.ts';
import { createRemoteTree, type RemoteTree } from './remote-tree.ts';

export interface RemotePeerOptions {
  readonly channel: Channel;
  /** Told of writes that were refused after they were answered for. */
  readonly refused?: (write: RefusedWrite) => void;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface RemotePeer {
  readonly channel: Channel;
  /** To be merged with Serving.handlers. */
  readonly handlers: Pick<Handlers, 'recall'>;
  readonly pushHandlers: PushHandlers;
  /** The list as last heard; asks the peer if it was never heard or may have changed since. EHOSTDOWN when offline. */
  shares(): Promise<readonly ShareInfo[]>;
  /** The list as last heard, without asking; empty before. */
  knownShares(): readonly ShareInfo[];
  /** The tree of a share; the same object each time. */
  tree(share: number): RemoteTree;
  /** The list may have changed, or has been heard anew. */
  onSharesChanged(listener: () => void): () => void;
  /** Settles when nothing is unwritten. */
  drained(): Promise<void>;
  /** Stops listening. Idempotent. */
  close(): void;
}

/** Usage: `channel.serve({ ...serving.handlers, ...remotePeer.handlers }, remotePeer.pushHandlers)`. */
export function createRemotePeer({ channel, refused, clock, log }: RemotePeerOptions): RemotePeer {
  const trees = new Map<number, RemoteTree>();
  const listeners = new Set<() => void>();
  const contents = new ContentsMemory();
  const lease = new PeerLease(clock, async () => {
    const sentAt = clock.now();
    const { reply } = await channel.call('renewLeases', {});
    lease.heard(sentAt);
    lease.learn(reply.leaseMs, sentAt);
  });
  let known: readonly ShareInfo[] = [];
  let isKnown = false;
  let asking: Promise<readonly ShareInfo[]> | undefined;

  const changed = () => {
    isKnown = false;
    for (const listener of listeners) listener();
  };
  const ask = async (): Promise<readonly ShareInfo[]> => {
    try {
      isKnown = true;
      const sentAt = clock.now();
      const { reply } = await channel.call('listShares', {});
      lease.heard(sentAt);
      known = reply.shares;
      return known;
    } catch (error) {
      isKnown = false;
      throw error;
    } finally {
      asking = undefined;
    }
  };
  const stops = [
    channel.onRestart(() => {
      lease.end();
      for (const tree of trees.values()) tree.serverRestarted();
      changed();
    }),
    channel.onState((state) => {
      if (state === 'offline') lease.end();
      // It may have been reinstalled or reconfigured while nobody could tell us.
      if (state !== 'reconnecting') changed();
    }),
  ];

  return {
    channel,
    handlers: {
      recall: async ({ share, path, what, change }) => {
        await trees.get(share)?.recalled(path, what, change);
        return { reply: {} };
      },
    },
    pushHandlers: { sharesChanged: changed },
    shares: () => (isKnown && asking === undefined ? Promise.resolve(known) : (asking ??= ask())),
    knownShares: () => known,
    tree: (share) => {
      let tree = trees.get(share);
      if (tree === undefined) {
        tree = createRemoteTree({ channel, share, lease, contents, refused, clock, log });
        trees.set(share, tree);
      }
      return tree;
    },
    onSharesChanged: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    drained: async () => {
      await Promise.all([...trees.values()].map((tree) => tree.drained()));
    },
    close: () => {
      for (const stop of stops) stop();
      listeners.clear();
    },
  };
}
