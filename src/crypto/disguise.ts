/**
 * The disguise of handshake messages: bytes that look uniformly random, of random length, to whoever lacks the key.
 *
 *     [nonce 24][total length u16 + tag 16, sealed][message length u16, message, zeros + tag 16, sealed]
 *
 * XChaCha20-Poly1305; the second part's nonce is the first's with its last bit flipped. The sealed length ends
 * message 1 on a byte stream, and lets a stranger's bytes be refused after one small opening.
 */
import { randomBytes, randomInt } from 'node:crypto';
import { TAG_BYTES, XNONCE_BYTES, xchachaOpen, xchachaSeal } from './sodium.ts';

const LENGTH_BYTES = 2;
/** What tells the whole length. Bytes. */
export const DISGUISE_HEADER_BYTES = XNONCE_BYTES + LENGTH_BYTES + TAG_BYTES;
/** What the disguise adds at least. Bytes. */
export const DISGUISE_OVERHEAD_BYTES = DISGUISE_HEADER_BYTES + LENGTH_BYTES + TAG_BYTES;

function bodyNonce(nonce: Uint8Array): Uint8Array {
  const flipped = new Uint8Array(nonce);
  flipped[XNONCE_BYTES - 1] = (flipped[XNONCE_BYTES - 1] ?? 0) ^ 1;
  return flipped;
}

/**
 * @param maxBytes the length is random from what `message` needs up to this.
 * @throws RangeError if `message` does not fit into maxBytes.
 */
export function disguise(key: Uint8Array, message: Uint8Array, maxBytes: number): Uint8Array {
  const least = message.length + DISGUISE_OVERHEAD_BYTES;
  if (least > maxBytes) throw new RangeError(`handshake message of ${message.length} bytes is too long`);
  const total = randomInt(least, maxBytes + 1);
  const nonce = randomBytes(XNONCE_BYTES);
  const length = Buffer.alloc(LENGTH_BYTES);
  length.writeUInt16LE(total);
  const body = Buffer.alloc(total - DISGUISE_HEADER_BYTES - TAG_BYTES);
  body.writeUInt16LE(message.length);
  body.set(message, LENGTH_BYTES);
  const sealed = Buffer.concat([nonce, xchachaSeal(length, nonce, key), xchachaSeal(body, bodyNonce(nonce), key)]);
  body.fill(0);
  return sealed;
}

/** Length of the whole that begins with `header`; undefined if it was not made under this key. */
export function disguisedLength(key: Uint8Array, header: Uint8Array): number | undefined {
  if (header.length < DISGUISE_HEADER_BYTES) return undefined;
  const nonce = header.subarray(0, XNONCE_BYTES);
  const length = xchachaOpen(header.subarray(XNONCE_BYTES, DISGUISE_HEADER_BYTES), nonce, key);
  if (length === undefined) return undefined;
  const total = (length[0] ?? 0) | ((length[1] ?? 0) << 8);
  return total < DISGUISE_OVERHEAD_BYTES ? undefined : total;
}

/** The message in `whole`; undefined if it was not made under this key, or is cut, longer or damaged. */
export function reveal(key: Uint8Array, whole: Uint8Array): Uint8Array | undefined {
  if (disguisedLength(key, whole) !== whole.length) return undefined;
  const nonce = bodyNonce(whole.subarray(0, XNONCE_BYTES));
  const body = xchachaOpen(whole.subarray(DISGUISE_HEADER_BYTES), nonce, key);
  if (body === undefined) return undefined;
  const length = (body[0] ?? 0) | ((body[1] ?? 0) << 8);
  return LENGTH_BYTES + length > body.length ? undefined : body.subarray(LENGTH_BYTES, LENGTH_BYTES + length);
}
