/**
 * ChaCha20-Poly1305 (RFC 8439) on the caller's memory, for more data than libsodium is fast with. This file has the
 * boundary and the implementation that is always there, by node:crypto, which allocates what it returns. The node
 * gives another one (src/sys/openssl.ts) that writes in place; both give the same bytes (test/crypto/aead.test.ts).
 */
import {
  createCipheriv,
  createDecipheriv,
  type CipherChaCha20Poly1305,
  type DecipherChaCha20Poly1305,
} from 'node:crypto';

const TAG_BYTES = 16;

/** One key. One message at a time: `begin`, any number of `update`, then `seal` or `open`. */
export interface AeadKey {
  /** @param nonce 12 bytes, read before it returns. */
  begin(nonce: Uint8Array, isSealing: boolean): void;
  /** Turns all of `input` into as many bytes of `output` from `at` on; they may not overlap. */
  update(input: Uint8Array, output: Uint8Array, at: number): void;
  /** Ends a sealed message: writes its tag, 16 bytes, into `output` at `at`. */
  seal(output: Uint8Array, at: number): void;
  /** Ends an opened message. @returns whether the tag is right: if not, nothing that `update` gave may be used. */
  open(tag: Uint8Array): boolean;
  /** Wipes the key. Idempotent; nothing else may be called after it. */
  destroy(): void;
}

/** @param key 32 bytes, copied. */
export type MakeAeadKey = (key: Uint8Array) => AeadKey;

export const nodeAeadKey: MakeAeadKey = (given) => {
  const key = Buffer.from(given);
  const options = { authTagLength: TAG_BYTES };
  let sealing: CipherChaCha20Poly1305 | undefined;
  let opening: DecipherChaCha20Poly1305 | undefined;
  return {
    begin(nonce, isSealing) {
      sealing = isSealing ? createCipheriv('chacha20-poly1305', key, nonce, options) : undefined;
      opening = isSealing ? undefined : createDecipheriv('chacha20-poly1305', key, nonce, options);
    },
    update(input, output, at) {
      const made = (sealing ?? opening)?.update(input);
      if (made !== undefined) output.set(made, at);
    },
    seal(output, at) {
      sealing?.final();
      if (sealing !== undefined) output.set(sealing.getAuthTag(), at);
    },
    open(tag) {
      try {
        opening?.setAuthTag(tag);
        opening?.final();
        return opening !== undefined;
      } catch {
        return false;
      }
    },
    destroy() {
      key.fill(0);
      sealing = undefined;
      opening = undefined;
    },
  };
};

let make: MakeAeadKey = nodeAeadKey;

/** From now on keys are made by this; keys made before stay as they are. */
export function useAead(implementation: MakeAeadKey): void {
  make = implementation;
}

export const makeAeadKey: MakeAeadKey = (key) => make(key);
