/**
 * The boundary to libsodium: the one file that imports it. Owns the typed primitives and libsodium's memory; knows
 * nothing of protocols. Importing it waits until libsodium is ready, so that all else may call it at once.
 *
 * The wrapped functions of libsodium-wrappers allocate and copy several times a call. What runs for every datagram
 * uses the compiled module behind them instead, with keys and scratch that stay in its memory; tests hold both
 * against each other and against node:crypto.
 */
import sodium from 'libsodium-wrappers-sumo';

await sodium.ready;

/** The compiled module. Addresses are plain numbers; 64-bit lengths are passed as two halves. */
interface Module {
  /** All its memory; replaced when it grows, so never keep it. */
  readonly HEAPU8: Uint8Array;
  _malloc(bytes: number): number;
  _free(address: number): void;
  _crypto_aead_chacha20poly1305_ietf_encrypt(
    cipherAt: number,
    cipherLengthAt: number,
    plainAt: number,
    plainLength: number,
    plainLengthHigh: number,
    additionalAt: number,
    additionalLength: number,
    additionalLengthHigh: number,
    unused: number,
    nonceAt: number,
    keyAt: number,
  ): number;
  _crypto_aead_chacha20poly1305_ietf_decrypt(
    plainAt: number,
    plainLengthAt: number,
    unused: number,
    cipherAt: number,
    cipherLength: number,
    cipherLengthHigh: number,
    additionalAt: number,
    additionalLength: number,
    additionalLengthHigh: number,
    nonceAt: number,
    keyAt: number,
  ): number;
  _crypto_shorthash(outAt: number, inAt: number, length: number, lengthHigh: number, keyAt: number): number;
}

const { libsodium: module } = sodium as unknown as { readonly libsodium: Module };

/** Of ChaCha20-Poly1305 (RFC 8439), XChaCha20-Poly1305, SipHash-2-4. Bytes. */
export const TAG_BYTES = 16;
export const KEY_BYTES = 32;
export const NONCE_BYTES = 12;
export const XNONCE_BYTES = 24;
export const SHORT_KEY_BYTES = 16;

// libsodium's memory

/** All of libsodium's memory; ask anew after every call that may allocate. */
export function memory(): Uint8Array {
  return module.HEAPU8;
}

/** Reserves memory of libsodium's, zeroed; give it back with release(). */
export function reserve(bytes: number): number {
  const address = module._malloc(bytes);
  if (address === 0) throw new Error('libsodium is out of memory');
  module.HEAPU8.fill(0, address, address + bytes);
  return address;
}

/** Wipes and frees what reserve() gave. */
export function release(address: number, bytes: number): void {
  module.HEAPU8.fill(0, address, address + bytes);
  module._free(address);
}

/** ChaCha20-Poly1305 within one stretch of memory; places are offsets in it. */
export interface InPlaceAead {
  /** Seals `length` bytes at `at`; the tag follows them. */
  seal(memory: Uint8Array, at: number, length: number, nonceAt: number, keyAt: number): void;
  /** @returns false if the `sealedLength` bytes, tag included, do not authenticate. */
  open(memory: Uint8Array, at: number, sealedLength: number, nonceAt: number, keyAt: number): boolean;
  /** Wipes what is left of the last key. */
  forget(): void;
}

const libsodiumInPlace: InPlaceAead = {
  seal(_memory, at, length, nonceAt, keyAt) {
    module._crypto_aead_chacha20poly1305_ietf_encrypt(at, 0, at, length, 0, 0, 0, 0, 0, nonceAt, keyAt);
  },
  open: (_memory, at, sealedLength, nonceAt, keyAt) =>
    module._crypto_aead_chacha20poly1305_ietf_decrypt(at, 0, 0, at, sealedLength, 0, 0, 0, 0, nonceAt, keyAt) === 0,
  forget: () => undefined,
};

let inPlace = libsodiumInPlace;

/** From now on sealInPlace and openInPlace are done by this, on libsodium's memory; undefined: by libsodium again. */
export function useInPlaceAead(implementation: InPlaceAead | undefined): void {
  inPlace = implementation ?? libsodiumInPlace;
}

/** ChaCha20-Poly1305 over `length` bytes at `at`, in place; the tag follows them. */
export function sealInPlace(at: number, length: number, nonceAt: number, keyAt: number): void {
  inPlace.seal(module.HEAPU8, at, length, nonceAt, keyAt);
}

/**
 * The reverse, over `sealedLength` bytes (tag included).
 * @returns false if it does not authenticate; what stands at `at` is then undefined.
 */
export function openInPlace(at: number, sealedLength: number, nonceAt: number, keyAt: number): boolean {
  return inPlace.open(module.HEAPU8, at, sealedLength, nonceAt, keyAt);
}

/** A key that sealInPlace and openInPlace were given is not used any more. */
export function forgetKeyInPlace(): void {
  inPlace.forget();
}

/** SipHash-2-4 of `length` bytes; 8 bytes to `outAt`. */
export function shortHash(outAt: number, inAt: number, length: number, keyAt: number): void {
  module._crypto_shorthash(outAt, inAt, length, 0, keyAt);
}

// Primitives on byte arrays: results are fresh arrays, the caller's

/** BLAKE2b of `bytes` under `key` (up to 64 bytes; empty for none), `length` bytes of 16 to 64. */
export function blake2b(length: number, bytes: Uint8Array, key?: Uint8Array): Uint8Array {
  return sodium.crypto_generichash(length, bytes, key ?? null);
}

/** BLAKE2b keyed by `key` over a label and the bytes after it: one key made from another. */
export function deriveKey(key: Uint8Array, label: string, length: number = KEY_BYTES, rest?: Uint8Array): Uint8Array {
  const name = Buffer.from(`peerfs 1 ${label}\0`, 'utf8');
  return blake2b(length, rest === undefined ? name : Buffer.concat([name, rest]), key);
}

/** ChaCha20-Poly1305 (RFC 8439): ciphertext and tag. */
export function chachaSeal(plain: Uint8Array, additional: Uint8Array, nonce: Uint8Array, key: Uint8Array): Uint8Array {
  return sodium.crypto_aead_chacha20poly1305_ietf_encrypt(plain, additional, null, nonce, key);
}

/** undefined if it does not authenticate. */
export function chachaOpen(
  sealed: Uint8Array,
  additional: Uint8Array,
  nonce: Uint8Array,
  key: Uint8Array,
): Uint8Array | undefined {
  if (sealed.length < TAG_BYTES) return undefined;
  try {
    return sodium.crypto_aead_chacha20poly1305_ietf_decrypt(null, sealed, additional, nonce, key);
  } catch {
    return undefined;
  }
}

/** XChaCha20-Poly1305 without additional data: ciphertext and tag. */
export function xchachaSeal(plain: Uint8Array, nonce: Uint8Array, key: Uint8Array): Uint8Array {
  return sodium.crypto_aead_xchacha20poly1305_ietf_encrypt(plain, null, null, nonce, key);
}

/** undefined if it does not authenticate. */
export function xchachaOpen(sealed: Uint8Array, nonce: Uint8Array, key: Uint8Array): Uint8Array | undefined {
  if (sealed.length < TAG_BYTES) return undefined;
  try {
    return sodium.crypto_aead_xchacha20poly1305_ietf_decrypt(null, sealed, null, nonce, key);
  } catch {
    return undefined;
  }
}

/** Ed25519 key pair of a 32-byte seed; the secret key is seed and public key, 64 bytes. */
export function ed25519FromSeed(seed: Uint8Array): { publicKey: Uint8Array; secretKey: Uint8Array } {
  const { publicKey, privateKey } = sodium.crypto_sign_seed_keypair(seed);
  return { publicKey, secretKey: privateKey };
}

/** Ed25519 (RFC 8032): 64 bytes. */
export function ed25519Sign(bytes: Uint8Array, secretKey: Uint8Array): Uint8Array {
  return sodium.crypto_sign_detached(bytes, secretKey);
}

/** @param signature 64 bytes. */
export function ed25519Verify(signature: Uint8Array, bytes: Uint8Array, publicKey: Uint8Array): boolean {
  return sodium.crypto_sign_verify_detached(signature, bytes, publicKey);
}

export function x25519OfEd25519Secret(secretKey: Uint8Array): Uint8Array {
  return sodium.crypto_sign_ed25519_sk_to_curve25519(secretKey);
}

/** undefined if it is not a point of the prime-order group. */
export function x25519OfEd25519Public(publicKey: Uint8Array): Uint8Array | undefined {
  try {
    return sodium.crypto_sign_ed25519_pk_to_curve25519(publicKey);
  } catch {
    return undefined;
  }
}

/** Argon2id, version 1.3; takes hundreds of milliseconds: not on the main thread. */
export function argon2id(options: {
  readonly password: Uint8Array;
  /** 16 bytes. */
  readonly salt: Uint8Array;
  readonly passes: number;
  readonly memoryBytes: number;
}): Uint8Array {
  return sodium.crypto_pwhash(
    KEY_BYTES,
    options.password,
    options.salt,
    options.passes,
    options.memoryBytes,
    sodium.crypto_pwhash_ALG_ARGON2ID13,
  );
}
