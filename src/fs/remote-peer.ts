/**
 * RemotePeer: what one peer gives to us: its list of shares, a RemoteTree for each, and the answering of its recalls.
 * One for each known peer of the node, whether anything is mounted or not.
 */
import type { Clock } from '../clock.ts';
import { PeerfsError } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { Channel, Handlers, PushHandlers } from '../net/channel.ts';
import type { ShareInfo } from '../wire/schema.ts';
import type { RemoteTree } from './remote-tree.ts';

export interface RemotePeerOptions {
  readonly channel: Channel;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface RemotePeer {
  readonly channel: Channel;
  /** To be merged with Serving.handlers. */
  readonly handlers: Pick<Handlers, 'recall'>;
  readonly pushHandlers: PushHandlers;
  /** The list as last heard; asks the peer if it was never heard or has changed since. EHOSTDOWN when offline and never heard. */
  shares(): Promise<readonly ShareInfo[]>;
  /** The tree of a share; the same object each time. */
  tree(share: number): RemoteTree;
  onSharesChanged(listener: () => void): () => void;
  /** Drops caches and handles. Idempotent. */
  close(): void;
}

/** Usage: `channel.serve({ ...serving.handlers, ...remotePeer.handlers }, remotePeer.pushHandlers)`. */
export function createRemotePeer(options: RemotePeerOptions): RemotePeer {
  throw new PeerfsError('ENOSYS', options.channel.peerId);
}
