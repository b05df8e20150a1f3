/**
 * The handshake of two peers: Noise IKpsk1 (src/crypto/noise.ts) inside a disguise (src/crypto/disguise.ts).
 *
 * Message 1 is disguised under a key made from the responder's public key: it means nothing to whoever does not know
 * that key. Its Noise payload begins with 32 random bytes under which message 2 is disguised, so that only the
 * initiator can tell message 2 from noise.
 *
 * Owns no state of peers. Payloads are opaque; time stamps, replay of message 1 and who is known are the caller's
 * matter.
 */
import { randomBytes } from 'node:crypto';
import { disguise, DISGUISE_HEADER_BYTES, disguisedLength, reveal } from './disguise.ts';
import { dhKeyOf, type Identity } from './identity.ts';
import { noiseInitiate, noiseRespond, type NoiseAnswer, type TransportKeys } from './noise.ts';
import { SessionKeys } from './session-keys.ts';
import { blake2b, deriveKey, KEY_BYTES } from './sodium.ts';
import { dh } from './x25519.ts';

export const HANDSHAKE_LIMITS = {
  /** A whole message: fits the smallest datagram that every path carries. Bytes. */
  messageBytes: 1200,
  /** A caller's payload. Bytes. */
  payloadBytes: 640,
  /** What must be read of a message before its length can be told. Bytes. */
  headerBytes: DISGUISE_HEADER_BYTES,
} as const;

/** Shortest psk. Bytes. */
const PSK_MIN_BYTES = 16;

/** Noise's prologue: both sides must speak the same version of all that follows. */
const PROLOGUE = Buffer.from('peerfs handshake 1');

export interface InitiateOptions {
  readonly identity: Identity;
  /** Ed25519 public key of the peer, 32 bytes. */
  readonly remotePublicKey: Uint8Array;
  /** Pair secret or invitation's token; any length from 16 bytes. */
  readonly psk: Uint8Array;
  /** At most HANDSHAKE_LIMITS.payloadBytes. */
  readonly payload: Uint8Array;
  /** Longest message 1 where there is less room than HANDSHAKE_LIMITS.messageBytes. */
  readonly maxMessageBytes?: number;
}

export interface Initiation {
  /** Message 1, at most HANDSHAKE_LIMITS.messageBytes; the same bytes over UDP and TCP. */
  readonly message: Uint8Array;
  /** Length of a whole message 2 told by its first HANDSHAKE_LIMITS.headerBytes; undefined: not an answer to this. */
  answerLength(header: Uint8Array): number | undefined;
  /** undefined: not the answer to this message; drop it and keep waiting. Ends the initiation on success. */
  finish(message2: Uint8Array): { readonly keys: SessionKeys; readonly payload: Uint8Array } | undefined;
  /** Wipes the ephemeral secrets; idempotent. */
  abandon(): void;
}

export interface FirstMessage {
  /** X25519 public key of the initiator, 32 bytes; proven only once `complete` succeeds. */
  readonly remoteDhPublicKey: Uint8Array;
  /** undefined: wrong psk; may be called again with others. */
  complete(psk: Uint8Array): ProvenMessage | undefined;
  /** Wipes the secrets; idempotent. Proven messages made before live on. */
  abandon(): void;
}

export interface ProvenMessage {
  /** The initiator's payload, the receiver's to keep. */
  readonly payload: Uint8Array;
  /** Makes message 2, at most `maxMessageBytes` (HANDSHAKE_LIMITS.messageBytes) long; once. */
  answer(payload: Uint8Array, maxMessageBytes?: number): { readonly message: Uint8Array; readonly keys: SessionKeys };
  /** Wipes the secrets if there is to be no answer; idempotent. */
  abandon(): void;
}

/** Keys of message 1's disguise, by the responder's X25519 key; made often for our own, which is one object. */
const disguiseKeys = new WeakMap<Uint8Array, Uint8Array>();

function disguiseKey(dhPublicKey: Uint8Array): Uint8Array {
  let key = disguiseKeys.get(dhPublicKey);
  if (key === undefined) {
    key = deriveKey(dhPublicKey, 'disguise');
    disguiseKeys.set(dhPublicKey, key);
  }
  return key;
}

function noisePsk(psk: Uint8Array): Uint8Array {
  if (psk.length < PSK_MIN_BYTES) throw new RangeError('psk too short');
  return blake2b(KEY_BYTES, psk, Buffer.from('peerfs 1 psk'));
}

function checkPayload(payload: Uint8Array): void {
  if (payload.length > HANDSHAKE_LIMITS.payloadBytes) {
    throw new RangeError(`handshake payload of ${payload.length} bytes is too long`);
  }
}

/** @throws RangeError if the payload is too long, the psk too short, or remotePublicKey no Ed25519 key. */
export function initiate(options: InitiateOptions): Initiation {
  const { identity, remotePublicKey, payload, maxMessageBytes = HANDSHAKE_LIMITS.messageBytes } = options;
  checkPayload(payload);
  const remoteDhPublicKey = dhKeyOf(remotePublicKey);
  if (remoteDhPublicKey === undefined) throw new RangeError('not an Ed25519 public key');
  const answerKey = randomBytes(KEY_BYTES);
  const psk = noisePsk(options.psk);
  const noise = noiseInitiate({
    prologue: PROLOGUE,
    own: identity.dhKeyPair,
    remoteStatic: remoteDhPublicKey,
    psk,
    payload: Buffer.concat([answerKey, payload]),
  });
  psk.fill(0);
  const message = disguise(disguiseKey(remoteDhPublicKey), noise.message1, maxMessageBytes);
  let ended = false;
  const abandon = (): void => {
    ended = true;
    noise.destroy();
    answerKey.fill(0);
  };

  return {
    message,
    answerLength: (header) => (ended ? undefined : disguisedLength(answerKey, header)),
    finish(message2) {
      if (ended) return undefined;
      const inner = reveal(answerKey, message2);
      const done = inner === undefined ? undefined : noise.readMessage2(inner);
      if (done === undefined) return undefined;
      abandon();
      const { keys } = done;
      return {
        payload: done.payload,
        keys: sessionKeys(keys, { send: keys.initiatorToResponder, receive: keys.responderToInitiator }, [
          identity.dhPublicKey,
          remoteDhPublicKey,
        ]),
      };
    },
    abandon,
  };
}

/**
 * Length of a whole message 1 told by its first HANDSHAKE_LIMITS.headerBytes (TCP);
 * undefined: it was not made for us: stay silent.
 */
export function messageLength(identity: Identity, header: Uint8Array): number | undefined {
  const length = disguisedLength(disguiseKey(identity.dhPublicKey), header);
  return length === undefined || length > HANDSHAKE_LIMITS.messageBytes ? undefined : length;
}

/**
 * Opens a whole message 1 as far as it goes without the psk. undefined: not a handshake for us: stay silent.
 * A stranger's bytes cost one opening of 18 bytes, no public-key operation.
 */
export function respond(identity: Identity, message1: Uint8Array): FirstMessage | undefined {
  if (message1.length > HANDSHAKE_LIMITS.messageBytes) return undefined;
  const inner = reveal(disguiseKey(identity.dhPublicKey), message1);
  if (inner === undefined) return undefined;
  const noise = noiseRespond({ prologue: PROLOGUE, own: identity.dhKeyPair }, inner);
  if (noise === undefined) return undefined;
  const { remoteStatic } = noise;
  return {
    remoteDhPublicKey: remoteStatic,
    complete(secret) {
      const psk = noisePsk(secret);
      const proven = noise.provePsk(psk);
      psk.fill(0);
      if (proven === undefined || proven.payload.length < KEY_BYTES) return undefined;
      return provenMessage(proven, identity.dhPublicKey, remoteStatic);
    },
    abandon: () => noise.destroy(),
  };
}

function provenMessage(proven: NoiseAnswer, own: Uint8Array, remote: Uint8Array): ProvenMessage {
  const answerKey = proven.payload.subarray(0, KEY_BYTES);
  let ended = false;
  const abandon = (): void => {
    ended = true;
    proven.destroy();
    answerKey.fill(0);
  };
  return {
    payload: proven.payload.subarray(KEY_BYTES),
    answer(payload, maxMessageBytes = HANDSHAKE_LIMITS.messageBytes) {
      if (ended) throw new Error('handshake answered twice');
      checkPayload(payload);
      const { message, keys } = proven.writeMessage2(payload);
      const disguised = disguise(answerKey, message, maxMessageBytes);
      abandon();
      const secrets = { send: keys.responderToInitiator, receive: keys.initiatorToResponder };
      return { message: disguised, keys: sessionKeys(keys, secrets, [own, remote]) };
    },
    abandon,
  };
}

function sessionKeys(
  keys: TransportKeys,
  secrets: { readonly send: Uint8Array; readonly receive: Uint8Array },
  [localDhPublicKey, remoteDhPublicKey]: readonly [Uint8Array, Uint8Array],
): SessionKeys {
  return new SessionKeys({ secrets, handshakeHash: keys.handshakeHash, localDhPublicKey, remoteDhPublicKey });
}

/**
 * The secret that two peers keep after first contact: the same on both sides and on every retry. 32 bytes.
 * @param remotePublicKey Ed25519.
 * @throws RangeError if that is not a valid key.
 */
export function pairSecret(token: Uint8Array, identity: Identity, remotePublicKey: Uint8Array): Uint8Array {
  const remoteDhPublicKey = dhKeyOf(remotePublicKey);
  const shared = remoteDhPublicKey && dh(identity.dhKeyPair.privateKey, remoteDhPublicKey);
  if (shared === undefined) throw new RangeError('not an Ed25519 public key');
  const keys = [Buffer.from(identity.publicKey), Buffer.from(remotePublicKey)].sort((a, b) => a.compare(b));
  const secret = deriveKey(token, 'pair secret', KEY_BYTES, Buffer.concat([shared, ...keys]));
  shared.fill(0);
  return secret;
}
