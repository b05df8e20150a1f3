/**
 * The Noise protocol framework, revision 34, as far as one pattern needs it:
 * Noise_IKpsk1_25519_ChaChaPoly_BLAKE2b.
 *
 *     <- s
 *     ...
 *     -> e, es, s, ss, psk
 *     <- e, ee, se
 *
 * Names follow the specification (ck, h, MixKey...). Owns no sockets, no time; randomness only where no ephemeral
 * key is given. Failures of what came from the network are `undefined`.
 */
import { createHash, createHmac } from 'node:crypto';
import { chachaOpen, chachaSeal, KEY_BYTES, NONCE_BYTES, TAG_BYTES } from './sodium.ts';
import { dh, generateDhKeyPair, type DhKeyPair } from './x25519.ts';

export const PROTOCOL_NAME = 'Noise_IKpsk1_25519_ChaChaPoly_BLAKE2b';

/** Of X25519, BLAKE2b. Bytes. */
const DH_BYTES = 32;
const HASH_BYTES = 64;
/** What the messages of the pattern add to their payloads. Bytes. */
export const MESSAGE_1_OVERHEAD_BYTES = DH_BYTES + DH_BYTES + TAG_BYTES + TAG_BYTES;
export const MESSAGE_2_OVERHEAD_BYTES = DH_BYTES + TAG_BYTES;

const NOTHING = new Uint8Array(0);

/** The keys at the end: section 5.2, Split(). */
export interface TransportKeys {
  /** 32 bytes each. */
  readonly initiatorToResponder: Uint8Array;
  readonly responderToInitiator: Uint8Array;
  /** h, 64 bytes. */
  readonly handshakeHash: Uint8Array;
}

const hmac = (key: Uint8Array, ...parts: readonly Uint8Array[]): Buffer => {
  const mac = createHmac('blake2b512', key);
  for (const part of parts) mac.update(part);
  return mac.digest();
};

/** HKDF of section 4.3. */
function hkdf(chainingKey: Uint8Array, input: Uint8Array, outputs: 2 | 3): [Buffer, Buffer, Buffer] {
  const temporary = hmac(chainingKey, input);
  const first = hmac(temporary, Uint8Array.of(1));
  const second = hmac(temporary, first, Uint8Array.of(2));
  const third = outputs === 3 ? hmac(temporary, second, Uint8Array.of(3)) : Buffer.alloc(0);
  temporary.fill(0);
  return [first, second, third];
}

/** SymmetricState of section 5.2 with the CipherState in it. */
class SymmetricState {
  #ck: Buffer;
  #h: Buffer;
  #k: Buffer | undefined;
  #n = 0;

  private constructor(ck: Buffer, h: Buffer) {
    this.#ck = ck;
    this.#h = h;
  }

  static begin(prologue: Uint8Array, responderStatic: Uint8Array): SymmetricState {
    const h = Buffer.alloc(HASH_BYTES);
    h.write(PROTOCOL_NAME, 'latin1');
    const state = new SymmetricState(Buffer.from(h), h);
    state.mixHash(prologue);
    state.mixHash(responderStatic);
    return state;
  }

  clone(): SymmetricState {
    const copy = new SymmetricState(Buffer.from(this.#ck), Buffer.from(this.#h));
    copy.#k = this.#k === undefined ? undefined : Buffer.from(this.#k);
    copy.#n = this.#n;
    return copy;
  }

  mixHash(data: Uint8Array): void {
    this.#h = createHash('blake2b512').update(this.#h).update(data).digest();
  }

  mixKey(input: Uint8Array): void {
    const [ck, k] = hkdf(this.#ck, input, 2);
    this.#replace(ck, k);
  }

  mixKeyAndHash(input: Uint8Array): void {
    const [ck, hash, k] = hkdf(this.#ck, input, 3);
    this.#replace(ck, k);
    this.mixHash(hash);
  }

  /** @returns false if `publicKey` is of low order. */
  mixDh(own: DhKeyPair, publicKey: Uint8Array): boolean {
    const shared = dh(own.privateKey, publicKey);
    if (shared === undefined) return false;
    this.mixKey(shared);
    shared.fill(0);
    return true;
  }

  encryptAndHash(plain: Uint8Array): Uint8Array {
    const sealed = chachaSeal(plain, this.#h, this.#nextNonce(), this.#key());
    this.mixHash(sealed);
    return sealed;
  }

  decryptAndHash(sealed: Uint8Array): Uint8Array | undefined {
    const plain = chachaOpen(sealed, this.#h, this.#nextNonce(), this.#key());
    if (plain !== undefined) this.mixHash(sealed);
    return plain;
  }

  split(): TransportKeys {
    const [first, second] = hkdf(this.#ck, NOTHING, 2);
    const keys = {
      initiatorToResponder: new Uint8Array(first.subarray(0, KEY_BYTES)),
      responderToInitiator: new Uint8Array(second.subarray(0, KEY_BYTES)),
      handshakeHash: new Uint8Array(this.#h),
    };
    first.fill(0);
    second.fill(0);
    return keys;
  }

  destroy(): void {
    this.#ck.fill(0);
    this.#k?.fill(0);
  }

  #key(): Buffer {
    // Every pattern with a psk mixes a key before it encrypts (section 9.2).
    if (this.#k === undefined) throw new Error('noise: no key yet');
    return this.#k;
  }

  #nextNonce(): Buffer {
    const nonce = Buffer.alloc(NONCE_BYTES);
    nonce.writeUInt32LE(this.#n++, 4);
    return nonce;
  }

  #replace(ck: Buffer, k: Buffer): void {
    this.destroy();
    this.#ck = ck;
    this.#k = Buffer.from(k.subarray(0, KEY_BYTES));
    this.#n = 0;
    k.fill(0);
  }
}

/** Section 9.2: with a psk in the pattern, `e` is mixed into the key too. */
function mixEphemeral(state: SymmetricState, publicKey: Uint8Array): void {
  state.mixHash(publicKey);
  state.mixKey(publicKey);
}

export interface NoiseInitiator {
  readonly message1: Uint8Array;
  /** undefined if it does not authenticate; then another may be tried. Afterwards the state is wiped. */
  readMessage2(message: Uint8Array): { payload: Uint8Array; keys: TransportKeys } | undefined;
  /** Wipes the state; idempotent. */
  destroy(): void;
}

export interface NoiseInitiatorOptions {
  readonly prologue: Uint8Array;
  readonly own: DhKeyPair;
  /** X25519. */
  readonly remoteStatic: Uint8Array;
  /** 32 bytes. */
  readonly psk: Uint8Array;
  readonly payload: Uint8Array;
  /** For test vectors; fresh otherwise. */
  readonly ephemeral?: DhKeyPair;
}

/** @throws Error if remoteStatic is of low order. */
export function noiseInitiate(options: NoiseInitiatorOptions): NoiseInitiator {
  const { prologue, own, remoteStatic, psk, payload, ephemeral = generateDhKeyPair() } = options;
  const state = SymmetricState.begin(prologue, remoteStatic);
  mixEphemeral(state, ephemeral.publicKey);
  if (!state.mixDh(ephemeral, remoteStatic)) throw new Error('noise: remote key of low order');
  const sealedStatic = state.encryptAndHash(own.publicKey);
  if (!state.mixDh(own, remoteStatic)) throw new Error('noise: remote key of low order');
  state.mixKeyAndHash(psk);
  const sealedPayload = state.encryptAndHash(payload);

  return {
    message1: Buffer.concat([ephemeral.publicKey, sealedStatic, sealedPayload]),
    readMessage2(message) {
      if (message.length < MESSAGE_2_OVERHEAD_BYTES) return undefined;
      const attempt = state.clone();
      try {
        const theirs = message.subarray(0, DH_BYTES);
        mixEphemeral(attempt, theirs);
        if (!attempt.mixDh(ephemeral, theirs) || !attempt.mixDh(own, theirs)) return undefined;
        const answer = attempt.decryptAndHash(message.subarray(DH_BYTES));
        if (answer === undefined) return undefined;
        state.destroy();
        return { payload: answer, keys: attempt.split() };
      } finally {
        attempt.destroy();
      }
    },
    destroy: () => state.destroy(),
  };
}

export interface NoiseResponder {
  /** X25519 key of the initiator. */
  readonly remoteStatic: Uint8Array;
  /** undefined: wrong psk; others may be tried. */
  provePsk(psk: Uint8Array): NoiseAnswer | undefined;
  /** Wipes the state; idempotent. */
  destroy(): void;
}

export interface NoiseAnswer {
  readonly payload: Uint8Array;
  /** Once; wipes the state. */
  writeMessage2(payload: Uint8Array): { message: Uint8Array; keys: TransportKeys };
  destroy(): void;
}

export interface NoiseResponderOptions {
  readonly prologue: Uint8Array;
  readonly own: DhKeyPair;
  /** For test vectors; fresh otherwise. */
  readonly ephemeral?: DhKeyPair;
}

/** Reads message 1 up to the psk; undefined if it is not one for us. */
export function noiseRespond(options: NoiseResponderOptions, message1: Uint8Array): NoiseResponder | undefined {
  const { prologue, own } = options;
  if (message1.length < MESSAGE_1_OVERHEAD_BYTES) return undefined;
  const staticEnd = DH_BYTES + DH_BYTES + TAG_BYTES;
  const theirs = new Uint8Array(message1.subarray(0, DH_BYTES));
  const sealedPayload = new Uint8Array(message1.subarray(staticEnd));

  const state = SymmetricState.begin(prologue, own.publicKey);
  mixEphemeral(state, theirs);
  if (!state.mixDh(own, theirs)) return undefined;
  const remoteStatic = state.decryptAndHash(message1.subarray(DH_BYTES, staticEnd));
  if (remoteStatic === undefined || !state.mixDh(own, remoteStatic)) {
    state.destroy();
    return undefined;
  }

  return {
    remoteStatic,
    provePsk(psk) {
      const proven = state.clone();
      proven.mixKeyAndHash(psk);
      const payload = proven.decryptAndHash(sealedPayload);
      if (payload === undefined) {
        proven.destroy();
        return undefined;
      }
      return {
        payload,
        writeMessage2: (answer) => {
          const ephemeral = options.ephemeral ?? generateDhKeyPair();
          mixEphemeral(proven, ephemeral.publicKey);
          if (!proven.mixDh(ephemeral, theirs) || !proven.mixDh(ephemeral, remoteStatic)) {
            throw new Error('noise: key of low order');
          }
          const sealed = proven.encryptAndHash(answer);
          const keys = proven.split();
          proven.destroy();
          return { message: Buffer.concat([ephemeral.publicKey, sealed]), keys };
        },
        destroy: () => proven.destroy(),
      };
    },
    destroy: () => state.destroy(),
  };
}
