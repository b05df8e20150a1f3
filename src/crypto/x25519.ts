/**
 * X25519 by node:crypto, which takes half the time of libsodium's build for the web. Raw keys go in and out. Public
 * ones pass as JWK (RFC 8037), because node reads and writes it ten times as fast as DER; secret ones as DER
 * (RFC 8410), because a buffer can be wiped and JWK's strings cannot.
 */
import { createPrivateKey, createPublicKey, diffieHellman, generateKeyPairSync, type KeyObject } from 'node:crypto';

const PKCS8_PREFIX = Buffer.from('302e020100300506032b656e04220420', 'hex');
const RAW_BYTES = 32;

/** A secret key as node holds it; its bytes cannot be printed, nor wiped before it is collected. */
export interface DhKeyPair {
  /** 32 bytes. */
  readonly publicKey: Uint8Array;
  readonly privateKey: KeyObject;
}

const rawOf = (publicKey: KeyObject): Uint8Array =>
  new Uint8Array(Buffer.from(publicKey.export({ format: 'jwk' }).x ?? '', 'base64url'));

/** @param secret 32 bytes; copied into the key object. */
export function importDhSecret(secret: Uint8Array): DhKeyPair {
  const der = Buffer.concat([PKCS8_PREFIX, secret]);
  const privateKey = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
  der.fill(0);
  return { publicKey: rawOf(createPublicKey(privateKey)), privateKey };
}

export function generateDhKeyPair(): DhKeyPair {
  const { publicKey, privateKey } = generateKeyPairSync('x25519');
  return { publicKey: rawOf(publicKey), privateKey };
}

/** The shared secret, 32 bytes; undefined if `publicKey` is of low order (the secret would be zero). */
export function dh(privateKey: KeyObject, publicKey: Uint8Array): Buffer | undefined {
  if (publicKey.length !== RAW_BYTES) return undefined;
  const { buffer, byteOffset } = publicKey;
  const x = Buffer.from(buffer, byteOffset, RAW_BYTES).toString('base64url');
  try {
    const theirs = createPublicKey({ key: { kty: 'OKP', crv: 'X25519', x }, format: 'jwk' });
    return diffieHellman({ privateKey, publicKey: theirs });
  } catch {
    return undefined;
  }
}
