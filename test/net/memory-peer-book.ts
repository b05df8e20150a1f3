/** A PeerBook in memory, with the rules of the node's own (src/daemon/store.ts). */
import type { InvitationToken, KnownAddress, KnownPeer, PeerBook, Redemption } from '../../src/net/peer-book.ts';

export interface MemoryPeerBook extends PeerBook {
  put(peer: KnownPeer): void;
  remove(peerId: string): void;
  /** Adds an invitation or changes its state. */
  putToken(token: InvitationToken): void;
  readonly redemptions: readonly Redemption[];
}

export function createMemoryPeerBook(): MemoryPeerBook {
  const peers = new Map<string, KnownPeer>();
  const tokens = new Map<string, InvitationToken>();
  const redeemedBy = new Map<string, string>();
  const received = new Map<string, number>();
  const sent = new Map<string, number>();
  const addresses = new Map<string, KnownAddress[]>();
  const redemptions: Redemption[] = [];
  return {
    redemptions,
    put: (peer) => void peers.set(peer.peerId, peer),
    remove: (peerId) => void peers.delete(peerId),
    putToken: (token) => void tokens.set(token.inviteId, token),
    peers: () => [...peers.values()],
    peer: (peerId) => peers.get(peerId),
    acceptTimestamp(peerId, timestampMs) {
      if (timestampMs <= (received.get(peerId) ?? 0)) return false;
      received.set(peerId, timestampMs);
      return true;
    },
    nextTimestamp(peerId) {
      const next = Math.max(Date.now(), (sent.get(peerId) ?? 0) + 1);
      sent.set(peerId, next);
      return next;
    },
    tokens: () => [...tokens.values()],
    redeem(redemption) {
      const { inviteId, peerId } = redemption;
      const token = tokens.get(inviteId);
      const again = redeemedBy.get(inviteId) === peerId && peers.has(peerId);
      if (token === undefined) return 'expired';
      if (token.state !== 'open' && !(token.state === 'used' && again)) return token.state;
      tokens.set(inviteId, { ...token, state: 'used' });
      redeemedBy.set(inviteId, peerId);
      redemptions.push(redemption);
      peers.set(peerId, redemption);
      return 'joined';
    },
    addresses: (peerId) => addresses.get(peerId) ?? [],
    rememberAddress(peerId, kind, host, port) {
      const others = (addresses.get(peerId) ?? []).filter(
        (known) => known.kind !== kind || known.host !== host || known.port !== port,
      );
      addresses.set(peerId, [{ kind, host, port }, ...others]);
    },
  };
}
