/**
 * FrameKey: ChaCha20-Poly1305 (RFC 8439) under one key and a counter, by libsodium for what is small and by OpenSSL
 * (aead.ts) for what is large, where its cost of starting is paid back. Both give the same bytes.
 *
 * The nonce is four bytes of domain and the counter, little-endian: one key serves several kinds of content.
 */
import { makeAeadKey, type AeadKey } from './aead.ts';
import {
  forgetKeyInPlace,
  KEY_BYTES,
  memory,
  NONCE_BYTES,
  openInPlace,
  release,
  reserve,
  sealInPlace,
  TAG_BYTES,
} from './sodium.ts';

/** Up to here libsodium is the faster one (test/crypto/session.bench.ts). Tuning, bytes. */
export const SMALL_BYTES = 3072;

/** Scratch in libsodium's memory, shared: each call uses it from beginning to end. */
const NONCE_AT = reserve(NONCE_BYTES);
const DATA_AT = reserve(SMALL_BYTES + TAG_BYTES);

export class FrameKey {
  readonly #large: AeadKey;
  #address: number;
  readonly #nonce = Buffer.alloc(NONCE_BYTES);

  /** @param key 32 bytes, copied. */
  constructor(key: Uint8Array) {
    this.#large = makeAeadKey(key);
    this.#address = reserve(KEY_BYTES);
    memory().set(key, this.#address);
  }

  /** Seals at most SMALL_BYTES, in pieces of `length` bytes together, into `out` at `offset`; adds TAG_BYTES. */
  sealSmall(domain: number, counter: number, pieces: readonly Uint8Array[], out: Uint8Array, offset: number): void {
    const bytes = memory();
    let end = DATA_AT;
    for (const piece of pieces) {
      bytes.set(piece, end);
      end += piece.length;
    }
    bytes.set(this.#setNonce(domain, counter), NONCE_AT);
    sealInPlace(DATA_AT, end - DATA_AT, NONCE_AT, this.#alive());
    out.set(bytes.subarray(DATA_AT, end + TAG_BYTES), offset);
  }

  /** Opens ciphertext and tag, at most SMALL_BYTES + TAG_BYTES; undefined if it does not authenticate. */
  openSmall(domain: number, counter: number, sealed: Uint8Array): Buffer | undefined {
    const bytes = memory();
    bytes.set(sealed, DATA_AT);
    bytes.set(this.#setNonce(domain, counter), NONCE_AT);
    if (!openInPlace(DATA_AT, sealed.length, NONCE_AT, this.#alive())) return undefined;
    const plain = Buffer.allocUnsafe(sealed.length - TAG_BYTES);
    plain.set(bytes.subarray(DATA_AT, DATA_AT + plain.length));
    return plain;
  }

  /** Seals pieces of any length together into `out` at `offset`; adds TAG_BYTES. */
  sealLarge(domain: number, counter: number, pieces: readonly Uint8Array[], out: Uint8Array, offset: number): void {
    this.#alive();
    this.#large.begin(this.#setNonce(domain, counter), true);
    let end = offset;
    for (const piece of pieces) {
      this.#large.update(piece, out, end);
      end += piece.length;
    }
    this.#large.seal(out, end);
  }

  /** For opening piece by piece: nothing it gives may be used before `open` succeeded with the tag. */
  openLarge(domain: number, counter: number): AeadKey {
    this.#alive();
    this.#large.begin(this.#setNonce(domain, counter), false);
    return this.#large;
  }

  /** Wipes the key; idempotent. */
  destroy(): void {
    if (this.#address === 0) return;
    release(this.#address, KEY_BYTES);
    forgetKeyInPlace();
    this.#address = 0;
    this.#large.destroy();
  }

  #alive(): number {
    if (this.#address === 0) throw new Error('key is wiped');
    return this.#address;
  }

  #setNonce(domain: number, counter: number): Buffer {
    this.#nonce.writeUInt32LE(domain, 0);
    this.#nonce.writeUInt32LE(counter >>> 0, 4);
    this.#nonce.writeUInt32LE(Math.floor(counter / 2 ** 32), 8);
    return this.#nonce;
  }
}
