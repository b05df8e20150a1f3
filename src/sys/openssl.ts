/**
 * ChaCha20-Poly1305 by the OpenSSL that is part of the node program, on the caller's memory: a third of the cost of
 * node:crypto on small messages, and no garbage on large ones (EVP_EncryptInit(3), "AEAD Interface").
 *
 * Addresses are only ever taken of memory that this file holds; what callers give is passed as views, which the
 * foreign function interface keeps alive during the call.
 */
import { addressOf, declare } from './libc.ts';

/** openssl/evp.h. */
const EVP_CTRL_AEAD_GET_TAG = 0x10;
const EVP_CTRL_AEAD_SET_TAG = 0x11;
const KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/** A key of ChaCha20-Poly1305; see AeadKey in src/crypto/aead.ts. */
export interface OpensslKey {
  begin(nonce: Uint8Array, isSealing: boolean): void;
  update(input: Uint8Array, output: Uint8Array, at: number): void;
  seal(output: Uint8Array, at: number): void;
  open(tag: Uint8Array): boolean;
  destroy(): void;
}

function declareAll() {
  return {
    newContext: declare('EVP_CIPHER_CTX_new', 'pointer', []),
    freeContext: declare('EVP_CIPHER_CTX_free', 'void', ['pointer']),
    algorithm: declare('EVP_chacha20_poly1305', 'pointer', []),
    init: declare('EVP_CipherInit_ex', 'int', ['pointer', 'pointer', 'pointer', 'pointer', 'pointer', 'int']),
    update: declare('EVP_CipherUpdate', 'int', ['pointer', 'buffer', 'pointer', 'buffer', 'int']),
    updateAt: declare('EVP_CipherUpdate', 'int', ['pointer', 'pointer', 'pointer', 'pointer', 'int']),
    final: declare('EVP_CipherFinal_ex', 'int', ['pointer', 'pointer', 'pointer']),
    control: declare('EVP_CIPHER_CTX_ctrl', 'int', ['pointer', 'int', 'int', 'pointer']),
  };
}

/** Small values pass through here; the object holds the memory as long as anybody can use its address. */
function createScratch() {
  const bytes = Buffer.from(new ArrayBuffer(128));
  return { bytes, at: addressOf(bytes) };
}

const KEY_AT = 0;
const NONCE_AT = 32;
const TAG_AT = 48;
const LENGTH_AT = 64;
const FINAL_AT = 80;

function check(result: number): void {
  if (result !== 1) throw new Error('OpenSSL refused');
}

/** See InPlaceAead in src/crypto/sodium.ts. */
export interface OpensslInPlace {
  seal(memory: Uint8Array, at: number, length: number, nonceAt: number, keyAt: number): void;
  open(memory: Uint8Array, at: number, sealedLength: number, nonceAt: number, keyAt: number): boolean;
  forget(): void;
}

/**
 * Seals and opens within one memory, keys in it too: nothing is allocated and nothing copied.
 * @returns undefined where the node program does not offer OpenSSL's functions.
 */
export function opensslInPlace(): OpensslInPlace | undefined {
  let evp: ReturnType<typeof declareAll>;
  try {
    evp = declareAll();
  } catch {
    return undefined;
  }
  const scratch = createScratch();
  const context = evp.newContext();
  check(evp.init(context, evp.algorithm(), 0, 0, 0, 1));
  // The memory's owner may replace it when it grows; holding on to the one that was measured keeps its address good.
  let measured: ArrayBufferLike | undefined;
  let base = 0;
  const baseOf = (memory: Uint8Array): number => {
    if (memory.buffer !== measured) {
      base = addressOf(memory) - memory.byteOffset;
      measured = memory.buffer;
    }
    return base + memory.byteOffset;
  };
  const inside = (memory: Uint8Array, at: number, bytes: number): void => {
    if (at < 0 || bytes < 0 || at + bytes > memory.length) throw new RangeError('outside the memory');
  };

  return {
    seal(memory, at, length, nonceAt, keyAt) {
      inside(memory, at, length + TAG_BYTES);
      const start = baseOf(memory);
      check(evp.init(context, 0, 0, start + keyAt, start + nonceAt, 1));
      if (length > 0) check(evp.updateAt(context, start + at, scratch.at + LENGTH_AT, start + at, length));
      check(evp.final(context, scratch.at + FINAL_AT, scratch.at + LENGTH_AT));
      check(evp.control(context, EVP_CTRL_AEAD_GET_TAG, TAG_BYTES, start + at + length));
    },
    open(memory, at, sealedLength, nonceAt, keyAt) {
      const length = sealedLength - TAG_BYTES;
      inside(memory, at, sealedLength);
      if (length < 0) return false;
      const start = baseOf(memory);
      check(evp.init(context, 0, 0, start + keyAt, start + nonceAt, 0));
      check(evp.control(context, EVP_CTRL_AEAD_SET_TAG, TAG_BYTES, start + at + length));
      if (length > 0) check(evp.updateAt(context, start + at, scratch.at + LENGTH_AT, start + at, length));
      return evp.final(context, scratch.at + FINAL_AT, scratch.at + LENGTH_AT) === 1;
    },
    forget() {
      scratch.bytes.fill(0);
      check(evp.init(context, 0, 0, scratch.at + KEY_AT, scratch.at + NONCE_AT, 1));
      // What is kept of a message is made anew with the first byte of the next.
      check(evp.updateAt(context, scratch.at + FINAL_AT, scratch.at + LENGTH_AT, scratch.at + FINAL_AT, 1));
    },
  };
}

/** @returns undefined where the node program does not offer OpenSSL's functions. */
export function opensslAead(): ((key: Uint8Array) => OpensslKey) | undefined {
  let evp: ReturnType<typeof declareAll>;
  try {
    evp = declareAll();
  } catch {
    return undefined;
  }
  const scratch = createScratch();

  return (key) => {
    if (key.length !== KEY_BYTES) throw new RangeError('key of wrong length');
    let context = evp.newContext();
    if (context === 0) throw new Error('OpenSSL has no memory');
    scratch.bytes.set(key, KEY_AT);
    check(evp.init(context, evp.algorithm(), 0, scratch.at + KEY_AT, 0, 1));
    scratch.bytes.fill(0, KEY_AT, KEY_AT + KEY_BYTES);
    return {
      begin(nonce, isSealing) {
        if (nonce.length !== NONCE_BYTES) throw new RangeError('nonce of wrong length');
        scratch.bytes.set(nonce, NONCE_AT);
        check(evp.init(context, 0, 0, 0, scratch.at + NONCE_AT, isSealing ? 1 : 0));
      },
      update(input, output, at) {
        if (at + input.length > output.length) throw new RangeError('no room for the output');
        if (input.length === 0) return;
        check(
          evp.update(context, at === 0 ? output : output.subarray(at), scratch.at + LENGTH_AT, input, input.length),
        );
      },
      seal(output, at) {
        check(evp.final(context, scratch.at + FINAL_AT, scratch.at + LENGTH_AT));
        check(evp.control(context, EVP_CTRL_AEAD_GET_TAG, TAG_BYTES, scratch.at + TAG_AT));
        output.set(scratch.bytes.subarray(TAG_AT, TAG_AT + TAG_BYTES), at);
      },
      open(tag) {
        scratch.bytes.set(tag.subarray(0, TAG_BYTES), TAG_AT);
        check(evp.control(context, EVP_CTRL_AEAD_SET_TAG, TAG_BYTES, scratch.at + TAG_AT));
        return evp.final(context, scratch.at + FINAL_AT, scratch.at + LENGTH_AT) === 1;
      },
      destroy() {
        if (context !== 0) evp.freeContext(context);
        context = 0;
      },
    };
  };
}
