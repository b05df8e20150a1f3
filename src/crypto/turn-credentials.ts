/** The long-term credentials of STUN and TURN (RFC 8489 section 9.2): the key, and what proves it on a message. */
import { createHash, createHmac } from 'node:crypto';

/** @returns 16 bytes, secret. */
export function turnKey(username: string, realm: string, password: string): Uint8Array {
  return createHash('md5').update(`${username}:${realm}:${password}`, 'utf8').digest();
}

/** MESSAGE-INTEGRITY: HMAC-SHA1, 20 bytes. */
export function turnIntegrity(key: Uint8Array): (bytes: Uint8Array) => Uint8Array {
  return (bytes) => createHmac('sha1', key).update(bytes).digest();
}
