/**
 * Serving: answers one peer's calls from the trees that are shared with it.
 */
import type { ByteString } from '../bytestring.ts';
import type { Clock } from '../clock.ts';
import { PeerfsError } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { Channel, Handlers } from '../net/channel.ts';
import type { LeaseTable } from './leases.ts';
import type { WatchedTree } from './tree.ts';

/** A folder as one peer sees it. */
export interface SharedFolder {
  /** Stable for the life of the share; 0 is the peer's inbox. */
  readonly share: number;
  /** '' for the inbox. */
  readonly name: ByteString;
  readonly writable: boolean;
  readonly idmap: 'user' | 'none';
  /** One tree for all peers that see the folder: leases between them are kept by tree. */
  readonly tree: WatchedTree;
}

export interface ShareProvider {
  /** What the peer may see now, the inbox (share 0) among it; the same objects as long as nothing changed. */
  list(peerId: string): readonly SharedFolder[];
  /** @returns a function that ends the listening. */
  onChange(listener: () => void): () => void;
}

export interface ServingOptions {
  readonly channel: Channel;
  readonly shares: ShareProvider;
  /** One table for all peers of the node. */
  readonly leases: LeaseTable;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface Serving {
  /** All calls but the mounting side's `recall` (RemotePeer.handlers): together they are a Handlers. */
  readonly handlers: Omit<Handlers, 'recall'>;
  /** Releases handles, locks, leases. Idempotent. */
  close(): void;
}

export function createServing(options: ServingOptions): Serving {
  throw new PeerfsError('ENOSYS', options.channel.peerId);
}
