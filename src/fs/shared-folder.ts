/** Folders that are shared, as the part of the node that keeps shares tells them to serving. */
import type { ByteString } from '../bytestring.ts';
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
  /** What the peer may see now, the inbox (share 0) among it. */
  list(peerId: string): readonly SharedFolder[];
  /** @returns a function that ends the listening. */
  onChange(listener: () => void): () => void;
}
