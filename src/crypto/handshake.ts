/**
 * The handshake of two peers: Noise IKpsk1 (src/crypto/noise.ts) inside a disguise (src/crypto/disguise.ts).
 * Payloads are opaque; time stamps, replay of message 1 and known peers are the caller's matter.
 */
import type { Identity } from './identity.ts';
import type { SessionKeys } from './session-keys.ts';

export interface InitiateOptions {
  readonly identity: Identity;
  /** Ed25519 public key of the peer, 32 bytes. */
  readonly remotePublicKey: Uint8Array;
  /** Pair secret or invitation's token; any length from 16 bytes. */
  readonly psk: Uint8Array;
  /** At most HANDSHAKE_LIMITS.payloadBytes. */
  readonly payload: Uint8Array;
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
  /** Wipes the secrets; idempotent. */
  abandon(): void;
}

export interface ProvenMessage {
  /** The initiator's payload, the receiver's to keep. */
  readonly payload: Uint8Array;
  /** Makes message 2; once. */
  answer(payload: Uint8Array): { readonly message: Uint8Array; readonly keys: SessionKeys };
}

export const HANDSHAKE_LIMITS = {
  /** A whole message: fits the smallest datagram that every path carries. Bytes. */
  messageBytes: 1200,
  /** A caller's payload. Bytes. */
  payloadBytes: 640,
  /** What must be read of a message before its length can be told. Bytes. */
  headerBytes: 42,
} as const;

export function initiate(options: InitiateOptions): Initiation {
  void options;
  throw new Error('not built yet');
}

/**
 * Length of a whole message 1 told by its first HANDSHAKE_LIMITS.headerBytes (TCP);
 * undefined: it was not made for us: stay silent.
 */
export function messageLength(identity: Identity, header: Uint8Array): number | undefined {
  void identity;
  void header;
  throw new Error('not built yet');
}

/** Opens a whole message 1 as far as it goes without the psk. undefined: not a handshake for us: stay silent. */
export function respond(identity: Identity, message1: Uint8Array): FirstMessage | undefined {
  void identity;
  void message1;
  throw new Error('not built yet');
}

/**
 * The secret that two peers keep after first contact: the same on both sides and on every retry. 32 bytes.
 * @param remotePublicKey Ed25519.
 */
export function pairSecret(token: Uint8Array, identity: Identity, remotePublicKey: Uint8Array): Uint8Array {
  void token;
  void identity;
  void remotePublicKey;
  throw new Error('not built yet');
}
