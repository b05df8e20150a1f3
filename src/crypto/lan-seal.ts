/**
 * LAN hellos: one datagram with a sealed box for each peer that may find us; nothing in it is readable, nor how
 * many boxes are real. What a box says is the caller's matter.
 *
 *     [nonce 24] then HELLO_SLOTS times [hint 8][ciphertext HELLO_BOX_BYTES][tag 16]
 *
 * XChaCha20-Poly1305 with the hello's random nonce under the key of the pair and direction. A hint is a hash of the
 * nonce under that key: who holds n keys makes n hints and looks them up, instead of trying each key on each box.
 */
import { randomBytes, randomInt } from 'node:crypto';
import { deriveKey, KEY_BYTES, TAG_BYTES, xchachaOpen, xchachaSeal, XNONCE_BYTES } from './sodium.ts';

/** What each box carries, exactly. Bytes. */
export const HELLO_BOX_BYTES = 64;
/** Boxes in one hello. */
export const HELLO_SLOTS = 12;

const HINT_BYTES = 8;
const SLOT_BYTES = HINT_BYTES + HELLO_BOX_BYTES + TAG_BYTES;
/** Every hello has this length: 1,080 bytes. */
export const HELLO_BYTES = XNONCE_BYTES + HELLO_SLOTS * SLOT_BYTES;

export interface HelloBox {
  /** From helloKey. */
  readonly key: Uint8Array;
  /** HELLO_BOX_BYTES long. */
  readonly plain: Uint8Array;
}

/**
 * The key of hellos from one side to the other. 32 bytes; keep it, making it costs some microseconds.
 * @param secret pair secret, or an open invitation's token.
 * @param senderPublicKey Ed25519 key of the side that says hello.
 */
export function helloKey(secret: Uint8Array, senderPublicKey: Uint8Array): Uint8Array {
  return deriveKey(secret, 'hello', KEY_BYTES, senderPublicKey);
}

/** The shortest hash of libsodium's is 16 bytes; the first 8 serve. */
function hintOf(key: Uint8Array, nonce: Uint8Array): Buffer {
  return Buffer.from(deriveKey(key, 'hello hint', 16, nonce)).subarray(0, HINT_BYTES);
}

/**
 * @param boxes at most HELLO_SLOTS, each under another key; free slots are random bytes, and the order is random.
 * @throws RangeError for too many boxes, one of another length, or a key used twice.
 */
export function sealHello(boxes: readonly HelloBox[]): Uint8Array {
  if (boxes.length > HELLO_SLOTS) throw new RangeError('too many boxes in one hello');
  const hello = randomBytes(HELLO_BYTES);
  const nonce = hello.subarray(0, XNONCE_BYTES);
  const free = Array.from({ length: HELLO_SLOTS }, (_, slot) => slot);
  const hints = new Set<string>();
  for (const { key, plain } of boxes) {
    if (plain.length !== HELLO_BOX_BYTES) throw new RangeError('hello box of wrong length');
    const hint = hintOf(key, nonce);
    // Two boxes under one key would share a nonce.
    if (hints.size === hints.add(hint.toString('hex')).size) throw new RangeError('hello key used twice');
    const [slot = 0] = free.splice(randomInt(free.length), 1);
    const at = XNONCE_BYTES + slot * SLOT_BYTES;
    hello.set(hint, at);
    hello.set(xchachaSeal(plain, nonce, key), at + HINT_BYTES);
  }
  return hello;
}

/**
 * @param keys of all who may say hello to us (helloKey with their public key).
 * @returns the boxes that open, each with the index of its key in `keys`; none for a stranger's hello.
 */
export function openHello(hello: Uint8Array, keys: readonly Uint8Array[]): { keyIndex: number; plain: Uint8Array }[] {
  if (hello.length !== HELLO_BYTES) return [];
  const bytes = Buffer.from(hello.buffer, hello.byteOffset, hello.byteLength);
  const nonce = bytes.subarray(0, XNONCE_BYTES);
  const slots = new Map<string, number>();
  for (let at = XNONCE_BYTES; at < HELLO_BYTES; at += SLOT_BYTES) {
    slots.set(bytes.toString('hex', at, at + HINT_BYTES), at);
  }
  return keys.flatMap((key, keyIndex) => {
    const at = slots.get(hintOf(key, nonce).toString('hex'));
    const plain =
      at === undefined ? undefined : xchachaOpen(bytes.subarray(at + HINT_BYTES, at + SLOT_BYTES), nonce, key);
    return plain === undefined ? [] : [{ keyIndex, plain }];
  });
}
