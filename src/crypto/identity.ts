/**
 * Who a node is: an Ed25519 key pair, the X25519 pair derived from it, and the names people use for them (peer id,
 * fingerprint words). Does not store anything.
 */

/** The keys of this node. Secrets are not enumerable, so that printing one shows none. */
export interface Identity {
  /** Ed25519, 32 bytes. */
  readonly publicKey: Uint8Array;
  /** Ed25519, 64 bytes (libsodium's form: seed, public key); its first 32 are what to store. */
  readonly secretKey: Uint8Array;
  /** X25519, 32 bytes, derived from the Ed25519 pair. */
  readonly dhPublicKey: Uint8Array;
  readonly dhSecretKey: Uint8Array;
}

export function createIdentity(): Identity {
  throw new Error('not built yet');
}

/** The identity that a 32-byte seed stands for; `seed` is copied. */
export function identityFromSeed(seed: Uint8Array): Identity {
  void seed;
  throw new Error('not built yet');
}

/** Lower-case base32 (RFC 4648) of the public key, without padding: 52 characters. */
export function peerIdOf(publicKey: Uint8Array): string {
  void publicKey;
  throw new Error('not built yet');
}

/** The reverse of peerIdOf; undefined if it is not one. */
export function publicKeyOf(peerId: string): Uint8Array | undefined {
  void peerId;
  throw new Error('not built yet');
}

/** X25519 public key of an Ed25519 one; undefined if that is not a valid key. */
export function dhKeyOf(publicKey: Uint8Array): Uint8Array | undefined {
  void publicKey;
  throw new Error('not built yet');
}

/** Six words to compare aloud. */
export function fingerprintWords(publicKey: Uint8Array): string[] {
  void publicKey;
  throw new Error('not built yet');
}
