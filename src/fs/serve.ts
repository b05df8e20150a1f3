/**
 * Serving: answers one peer's calls from the trees that are shared with it. The calls stand in serve-names.ts,
 * serve-attributes.ts and serve-files.ts, by what they are about; served-peer.ts knows the peer.
 * Does not own: confinement to the folder (the tree's), leases themselves (leases.ts), exactly-once (the channel's).
 */
import { attributeHandlers } from './serve-attributes.ts';
import { creationHandlers } from './serve-creation.ts';
import { fileHandlers } from './serve-files.ts';
import { listingHandlers } from './serve-listings.ts';
import { nameHandlers } from './serve-names.ts';
import { ServedPeer, type ServedHandlers, type ServingOptions } from './served-peer.ts';

export interface Serving {
  readonly handlers: ServedHandlers;
  /** Releases handles, locks, leases. Idempotent. */
  close(): void;
}

export function createServing(options: ServingOptions): Serving {
  const peer = new ServedPeer(options);
  const handlers: ServedHandlers = {
    listShares: peer.heard(async () => ({
      reply: {
        shares: peer.shares().map(({ share, name, writable, idmap }) => ({
          share,
          name,
          writable,
          idmap: idmap === 'none' ? 1 : 0,
        })),
      },
    })),
    renewLeases: peer.heard(async (_, { callId }) => ({ reply: { leaseMs: peer.term.renew(callId) } })),
    ...nameHandlers(peer),
    ...attributeHandlers(peer),
    ...creationHandlers(peer),
    ...fileHandlers(peer),
    ...listingHandlers(peer),
  };
  return { handlers, close: () => peer.close() };
}
