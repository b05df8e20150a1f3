/**
 * Session: sealed datagrams between two peers.
 *
 *     [index 4, masked][counter 8, masked][ChaCha20-Poly1305 (RFC 8439) ciphertext][tag 16]
 */
import type { SessionKeys } from './session-keys.ts';

/** A sealed datagram is this much longer than what it carries. Bytes. */
export const DATAGRAM_OVERHEAD_BYTES = 28;
/** Longest plain datagram. Bytes. */
export const DATAGRAM_MAX_BYTES = 2048;

export interface SessionOptions {
  readonly keys: SessionKeys;
  /** Chosen by us; datagrams to us carry it. Unsigned 32 bits. */
  readonly localIndex: number;
  /** Chosen by the peer. */
  readonly remoteIndex: number;
  /** Clock.now(), milliseconds. */
  readonly now: number;
}

export interface RekeyOptions extends SessionOptions {
  /**
   * true on the side that answered the handshake: seal under the former keys until a datagram opens under the
   * new ones. false on the side that began it: seal under the new ones at once.
   */
  readonly provisional: boolean;
}

export interface Session {
  /** Indices under which datagrams to us may come now: newest first, at most three. */
  readonly localIndices: readonly number[];
  /** Hash of the newest handshake in use, 64 bytes. */
  readonly handshakeHash: Uint8Array;
  /**
   * Seals `plain` into `out` at `offset`.
   * @returns length of the sealed datagram, plain.length + DATAGRAM_OVERHEAD_BYTES.
   * @throws RangeError if it does not fit; Error after close() or when the counter is used up.
   */
  sealDatagram(plain: Uint8Array, out: Uint8Array, offset: number): number;
  /**
   * @returns the plain bytes, the caller's to keep (a view of a larger buffer); undefined if it does not open or
   * was seen before.
   */
  openDatagram(datagram: Uint8Array): Uint8Array | undefined;
  /** New keys from a new handshake, with indices of their own. The former ones keep opening for one generation. */
  rekey(options: RekeyOptions): void;
  /** Whether a new handshake is due: 2 minutes of use or 2^32 messages under the newest keys. */
  needsRekey(now: number): boolean;
  /** Wipes keys of former generations whose time is over (call it now and then); localIndices shrinks. */
  expire(now: number): void;
  /** Wipes all keys; idempotent. Then nothing opens. */
  close(): void;
}

export function createSession(options: SessionOptions): Session {
  void options;
  throw new Error('not built yet');
}

/** The key for unmaskIndex: made from our own X25519 public key. 16 bytes. */
export function indexMaskKey(dhPublicKey: Uint8Array): Uint8Array {
  void dhPublicKey;
  throw new Error('not built yet');
}

/** The receiver's index that a datagram carries; undefined if it is too short for one. */
export function unmaskIndex(maskKey: Uint8Array, datagram: Uint8Array): number | undefined {
  void maskKey;
  void datagram;
  throw new Error('not built yet');
}
