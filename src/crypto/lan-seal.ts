/**
 * LAN hellos: one datagram with a sealed box for each peer that may find us; nothing in it is readable, nor how
 * many boxes are real. What a box says is the caller's matter.
 *
 *     [nonce 24] then `slots` times [hint 8][ciphertext][tag 16]
 */

/** What each box carries, exactly. Bytes. */
export const HELLO_BOX_BYTES = 64;
/** Boxes in one hello. */
export const HELLO_SLOTS = 12;

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
  void secret;
  void senderPublicKey;
  throw new Error('not built yet');
}

/** @param boxes at most HELLO_SLOTS; free slots are filled with random bytes, and the order is random. */
export function sealHello(boxes: readonly HelloBox[]): Uint8Array {
  void boxes;
  throw new Error('not built yet');
}

/**
 * @param keys of all who may say hello to us (helloKey with their public key).
 * @returns the boxes that open, each with the index of its key in `keys`; none for a stranger's hello.
 */
export function openHello(hello: Uint8Array, keys: readonly Uint8Array[]): { keyIndex: number; plain: Uint8Array }[] {
  void hello;
  void keys;
  throw new Error('not built yet');
}
