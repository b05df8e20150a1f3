/**
 * PeerBook: what the network must know of peers and invitations, kept by somebody else (src/daemon/store.ts; in
 * memory for tests). All of it is synchronous; blobs are copies.
 */

export interface KnownPeer {
  readonly peerId: string;
  /** Ed25519, 32 bytes. */
  readonly publicKey: Uint8Array;
  readonly pairSecret: Uint8Array;
}

export type TokenState = 'open' | 'used' | 'revoked' | 'expired';

export interface InvitationToken {
  readonly inviteId: string;
  /** 16 bytes. */
  readonly token: Uint8Array;
  readonly state: TokenState;
}

/** Somebody proved an invitation's token. */
export interface Redemption {
  readonly inviteId: string;
  readonly peerId: string;
  readonly publicKey: Uint8Array;
  readonly pairSecret: Uint8Array;
  /** What it calls itself, as it came. */
  readonly suggestedName: string;
}

export interface KnownAddress {
  readonly kind: string;
  readonly host: string;
  readonly port: number;
}

export interface PeerBook {
  peers(): readonly KnownPeer[];
  peer(peerId: string): KnownPeer | undefined;
  /** Stores a time stamp heard from a peer. @returns false for one not above all before it: a replay. */
  acceptTimestamp(peerId: string, timestampMs: number): boolean;
  /** A time stamp above all that were sent to this peer. */
  nextTimestamp(peerId: string): number;
  /** Open invitations and those that are remembered. */
  tokens(): readonly InvitationToken[];
  /** Burns the token in one transaction. The same key may redeem again (its answer was lost). */
  redeem(redemption: Redemption): 'joined' | 'used' | 'revoked' | 'expired';
  /** Where the peer was reached, the last good first. */
  addresses(peerId: string): readonly KnownAddress[];
  rememberAddress(peerId: string, kind: string, host: string, port: number): void;
}
