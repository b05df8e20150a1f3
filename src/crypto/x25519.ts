/**
 * X25519 by node:crypto, which takes half the time of libsodium's build for the web. Raw keys go in and out;
 * node wants them in DER, whose constant beginnings stand here (RFC 8410).
 */
import { createPrivateKey, createPublicKey, diffieHellman, randomBytes, type KeyObject } from 'node:crypto';

const PKCS8_PREFIX = Buffer.from('302e020100300506032b656e04220420', 'hex');
const SPKI_PREFIX = Buffer.from('302a300506032b656e032100', 'hex');
const RAW_BYTES = 32;

/** A secret key as node holds it; its bytes cannot be printed, nor wiped before it is collected. */
export interface DhKeyPair {
  /** 32 bytes. */
  readonly publicKey: Uint8Array;
  readonly privateKey: KeyObject;
}

/** @param secret 32 bytes; copied into the key object. */
export function importDhSecret(secret: Uint8Array): DhKeyPair {
  const der = Buffer.concat([PKCS8_PREFIX, secret]);
  const privateKey = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
  der.fill(0);
  const spki = createPublicKey(privateKey).export({ format: 'der', type: 'spki' });
  return { publicKey: new Uint8Array(spki.subarray(SPKI_PREFIX.length)), privateKey };
}

export function generateDhKeyPair(): DhKeyPair {
  const secret = randomBytes(RAW_BYTES);
  try {
    return importDhSecret(secret);
  } finally {
    secret.fill(0);
  }
}

/** The shared secret, 32 bytes; undefined if `publicKey` is of low order (the secret would be zero). */
export function dh(privateKey: KeyObject, publicKey: Uint8Array): Buffer | undefined {
  if (publicKey.length !== RAW_BYTES) return undefined;
  try {
    const theirs = createPublicKey({ key: Buffer.concat([SPKI_PREFIX, publicKey]), format: 'der', type: 'spki' });
    return diffieHellman({ privateKey, publicKey: theirs });
  } catch {
    return undefined;
  }
}
