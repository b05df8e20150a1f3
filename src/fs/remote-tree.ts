/**
 * RemoteTree: the Tree over one share of a peer, cached as far as the peer's leases go.
 */
import type { ByteString } from '../bytestring.ts';
import type { Tree } from './tree.ts';

/** Bits of RECALL: what of the path is no longer known. */
export type InvalidateListener = (path: ByteString, what: number) => void;

export interface RemoteTree extends Tree {
  readonly share: number;
  /** How long what is cached of the path holds without asking again, milliseconds; 0 if nothing is. */
  leaseOf(path: ByteString): number;
  /** Called when something cached was recalled, before the recall is answered. @returns a function that ends it. */
  onInvalidate(listener: InvalidateListener): () => void;
}
