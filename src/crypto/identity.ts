/**
 * Who a node is: an Ed25519 key pair, the X25519 pair derived from it, and the names people use for them (peer id,
 * fingerprint words). Does not store anything.
 */
import { randomBytes } from 'node:crypto';
import { encodeBase32 } from './base32.ts';
import { blake2b, ed25519FromSeed, x25519OfEd25519Public, x25519OfEd25519Secret } from './sodium.ts';
import { WORDS } from './wordlist.ts';
import { importDhSecret, type DhKeyPair } from './x25519.ts';

/** Bytes. */
export const PUBLIC_KEY_BYTES = 32;
export const SEED_BYTES = 32;

const FINGERPRINT_WORDS = 6;

/** The keys of this node. Secrets are not properties, so that printing one shows none. */
export interface Identity {
  /** Ed25519, 32 bytes. */
  readonly publicKey: Uint8Array;
  /** Ed25519, 64 bytes (libsodium's form: seed, public key); its first 32 are what to store. */
  readonly secretKey: Uint8Array;
  /** X25519, 32 bytes, derived from the Ed25519 pair. */
  readonly dhPublicKey: Uint8Array;
  readonly dhSecretKey: Uint8Array;
  /** The X25519 pair as node:crypto takes it. */
  readonly dhKeyPair: DhKeyPair;
}

class SeededIdentity implements Identity {
  readonly publicKey: Uint8Array;
  readonly dhPublicKey: Uint8Array;
  readonly #secretKey: Uint8Array;
  readonly #dhSecretKey: Uint8Array;
  readonly #dhKeyPair: DhKeyPair;

  constructor(seed: Uint8Array) {
    const { publicKey, secretKey } = ed25519FromSeed(seed);
    this.publicKey = publicKey;
    this.#secretKey = secretKey;
    this.#dhSecretKey = x25519OfEd25519Secret(secretKey);
    this.#dhKeyPair = importDhSecret(this.#dhSecretKey);
    this.dhPublicKey = this.#dhKeyPair.publicKey;
  }

  get secretKey(): Uint8Array {
    return this.#secretKey;
  }

  get dhSecretKey(): Uint8Array {
    return this.#dhSecretKey;
  }

  get dhKeyPair(): DhKeyPair {
    return this.#dhKeyPair;
  }
}

export function createIdentity(): Identity {
  const seed = randomBytes(SEED_BYTES);
  try {
    return identityFromSeed(seed);
  } finally {
    seed.fill(0);
  }
}

/** The identity that a 32-byte seed stands for; `seed` is copied. */
export function identityFromSeed(seed: Uint8Array): Identity {
  return new SeededIdentity(seed);
}

/** Lower-case base32 (RFC 4648) of the public key, without padding: 52 characters. */
export function peerIdOf(publicKey: Uint8Array): string {
  return encodeBase32(publicKey);
}

/** X25519 public key of an Ed25519 one; undefined if that is not a valid key. */
export function dhKeyOf(publicKey: Uint8Array): Uint8Array | undefined {
  return publicKey.length === PUBLIC_KEY_BYTES ? x25519OfEd25519Public(publicKey) : undefined;
}

/** Six words to compare aloud: 77 bits of a hash of the key. */
export function fingerprintWords(publicKey: Uint8Array): string[] {
  const hash = blake2b(64, publicKey, Buffer.from('peerfs 1 fingerprint'));
  // Each word takes 64 bits of which 12.9 are kept: the bias of the remainder is below 2^-51.
  const view = new DataView(hash.buffer, hash.byteOffset);
  return Array.from({ length: FINGERPRINT_WORDS }, (_, i) => {
    const index = Number(view.getBigUint64(i * 8) % BigInt(WORDS.length));
    return WORDS[index] ?? '';
  });
}
