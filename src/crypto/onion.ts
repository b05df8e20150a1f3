/**
 * Onion services, version 3: keys, addresses, and who may find a restricted one. Owns how they are made from our own
 * secrets and what they look like to Tor; does not own how Tor is told (src/net/tor-control.ts).
 *
 * Specification: torspec rend-spec-v3, section 6 (address) and appendix F (client authorisation); control-spec,
 * ADD_ONION and ONION_CLIENT_AUTH_ADD. An onion key is an Ed25519 key in its expanded form: clamped SHA-512 of a seed
 * (RFC 8032 section 5.1.5).
 */
import { createHash } from 'node:crypto';
import { decodeBase32, encodeBase32 } from './base32.ts';
import { deriveKey, ed25519FromSeed, KEY_BYTES } from './sodium.ts';
import { importDhSecret } from './x25519.ts';

/** Specification. Bytes, but for the suffix. */
const PUBLIC_KEY_BYTES = 32;
const CHECKSUM_BYTES = 2;
const VERSION = 3;
const ADDRESS_BYTES = PUBLIC_KEY_BYTES + CHECKSUM_BYTES + 1;
const SUFFIX = '.onion';
const CHECKSUM_PREFIX = '.onion checksum';

/** Of a service's seed. Bytes. */
const ONION_SEED_BYTES = 32;
/** Of either half of a client's key. Bytes. */
export const ONION_CLIENT_KEY_BYTES = 32;

export interface OnionKey {
  /** 56 characters and `.onion`. */
  readonly host: string;
  /** 64 bytes, secret: scalar and prefix, as ADD_ONION takes them. */
  readonly expandedKey: Uint8Array;
}

/** An X25519 pair with which a restricted service can be found. 32 bytes each. */
export interface OnionClientKey {
  /** For the service: ADD_ONION's ClientAuthV3. */
  readonly publicKey: Uint8Array;
  /** For the client: ONION_CLIENT_AUTH_ADD. */
  readonly secretKey: Uint8Array;
}

function checksum(publicKey: Uint8Array): Uint8Array {
  const hash = createHash('sha3-256').update(CHECKSUM_PREFIX).update(publicKey).update(Uint8Array.of(VERSION));
  return hash.digest().subarray(0, CHECKSUM_BYTES);
}

/** @param publicKey Ed25519. */
export function onionAddress(publicKey: Uint8Array): string {
  return encodeBase32(Buffer.concat([publicKey, checksum(publicKey), Uint8Array.of(VERSION)])) + SUFFIX;
}

/** The service's Ed25519 key; undefined unless onionAddress could have written it. */
export function onionPublicKey(host: string): Uint8Array | undefined {
  if (!host.endsWith(SUFFIX)) return undefined;
  const bytes = decodeBase32(host.slice(0, -SUFFIX.length));
  if (bytes?.length !== ADDRESS_BYTES) return undefined;
  const publicKey = bytes.slice(0, PUBLIC_KEY_BYTES);
  return onionAddress(publicKey) === host ? publicKey : undefined;
}

/** The address of the service that a seed stands for. */
export function onionHost(seed: Uint8Array): string {
  return onionAddress(ed25519FromSeed(seed).publicKey);
}

/**
 * The service that a seed stands for.
 * @throws RangeError for a seed of another length.
 */
export function onionKeyFromSeed(seed: Uint8Array): OnionKey {
  if (seed.length !== ONION_SEED_BYTES) throw new RangeError('onion seed of wrong length');
  const expandedKey = createHash('sha512').update(seed).digest();
  expandedKey.writeUInt8(expandedKey.readUInt8(0) & 0xf8, 0);
  expandedKey.writeUInt8((expandedKey.readUInt8(31) & 0x3f) | 0x40, 31);
  return { host: onionHost(seed), expandedKey };
}

/**
 * The seed of one of our services.
 * @param secret the identity's seed, or whatever the service belongs to.
 * @param label which kind of service.
 * @param context which of that kind: an invitation's id.
 */
export function onionSeed(secret: Uint8Array, label: string, context?: Uint8Array): Uint8Array {
  return deriveKey(secret, `onion ${label}`, ONION_SEED_BYTES, context);
}

/**
 * The key with which one of two peers finds the other's restricted service; both can make it.
 * @param pairSecret what only the two know.
 * @param service what stands for the service it opens, its host or its node's id: each way has a key of its own.
 */
export function onionClientKey(pairSecret: Uint8Array, service: string): OnionClientKey {
  const secretKey = deriveKey(pairSecret, 'onion client', KEY_BYTES, Buffer.from(service, 'utf8'));
  return { secretKey, publicKey: importDhSecret(secretKey).publicKey };
}
