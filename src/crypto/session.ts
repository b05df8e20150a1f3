/**
 * Session: sealed datagrams between two peers, under keys that are replaced as long as it lives.
 *
 *     [index 4, masked][counter 8, masked][ChaCha20-Poly1305 (RFC 8439) ciphertext][tag 16]
 *
 * Integers are little-endian. The nonce is four zero bytes and the counter. Masks are SipHash-2-4 of the tag: the
 * index's under a key made from the receiver's public key (one look-up tells the session, and strangers see
 * noise), the counter's under a key of the session.
 *
 * Keys and scratch lie in libsodium's memory, so that sealing and opening copy a datagram in and out once and
 * allocate nothing else. Owns generations of keys; does not own handshakes, indices or time.
 */
import { createReplayWindow, type ReplayWindow } from './replay.ts';
import type { SessionKeys } from './session-keys.ts';
import {
  deriveKey,
  forgetKeyInPlace,
  KEY_BYTES,
  memory,
  openInPlace,
  release,
  reserve,
  sealInPlace,
  SHORT_KEY_BYTES,
  shortHash,
  TAG_BYTES,
} from './sodium.ts';

/** Specification. Bytes. */
const INDEX_BYTES = 4;
const HEADER_BYTES = 12;
/** A sealed datagram is this much longer than what it carries. */
export const DATAGRAM_OVERHEAD_BYTES = HEADER_BYTES + TAG_BYTES;
/** Longest plain datagram. */
export const DATAGRAM_MAX_BYTES = 2048;

/** DESIGN: a new handshake after this use; and the counter may never come near its end. */
export const REKEY_AFTER_MS = 120_000;
export const REKEY_AFTER_MESSAGES = 2 ** 32;
const COUNTER_END = Number.MAX_SAFE_INTEGER;
/** How long former keys open late datagrams after new ones came into use. Tuning. */
export const FORMER_KEYS_MS = 30_000;

export interface SessionOptions {
  /** Used up: its secrets are wiped. */
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
   * @returns the plain bytes, which hold until a datagram is opened again, by any session; undefined if it does not open
   * or was seen before.
   */
  openDatagram(datagram: Uint8Array): Uint8Array | undefined;
  /**
   * New keys from a new handshake, with indices of their own. The former ones keep opening for one generation, and
   * for FORMER_KEYS_MS: the side that began it sends something at once, so that the other changes in time. One side
   * of a session begins them all; if both did, they could end up sealing under different generations.
   */
  rekey(options: RekeyOptions): void;
  /** Whether a new handshake is due: 2 minutes of use or 2^32 messages under the newest keys. */
  needsRekey(now: number): boolean;
  /** Wipes keys of former generations whose time is over (call it now and then); localIndices shrinks. */
  expire(now: number): void;
  /** Wipes all keys; idempotent. Then nothing opens. */
  close(): void;
}

/** Places of a generation's keys, from its address on. */
const SEND_KEY = 0;
const RECEIVE_KEY = SEND_KEY + KEY_BYTES;
const SEND_COUNTER_KEY = RECEIVE_KEY + KEY_BYTES;
const RECEIVE_COUNTER_KEY = SEND_COUNTER_KEY + SHORT_KEY_BYTES;
const REMOTE_INDEX_KEY = RECEIVE_COUNTER_KEY + SHORT_KEY_BYTES;
const LOCAL_INDEX_KEY = REMOTE_INDEX_KEY + SHORT_KEY_BYTES;
const GENERATION_BYTES = LOCAL_INDEX_KEY + SHORT_KEY_BYTES;

interface Generation {
  readonly address: number;
  readonly localIndex: number;
  readonly remoteIndex: number;
  readonly handshakeHash: Uint8Array;
  readonly since: number;
  readonly replay: ReplayWindow;
  sent: number;
  received: number;
}

/** Scratch in libsodium's memory, shared by all sessions: each call uses it from beginning to end. */
const NONCE_AT = reserve(16);
const MASK_AT = reserve(8);
const KEY_AT = reserve(SHORT_KEY_BYTES);
const DATA_AT = reserve(DATAGRAM_MAX_BYTES + TAG_BYTES);

function createGeneration(options: SessionOptions): Generation {
  const { keys } = options;
  const { localDhPublicKey, remoteDhPublicKey, handshakeHash } = keys;
  const parts = keys.use(({ send, receive }): [number, Uint8Array][] => [
    [SEND_KEY, deriveKey(send, 'datagram')],
    [RECEIVE_KEY, deriveKey(receive, 'datagram')],
    [SEND_COUNTER_KEY, deriveKey(send, 'datagram counter', SHORT_KEY_BYTES)],
    [RECEIVE_COUNTER_KEY, deriveKey(receive, 'datagram counter', SHORT_KEY_BYTES)],
    [REMOTE_INDEX_KEY, indexMaskKey(remoteDhPublicKey)],
    [LOCAL_INDEX_KEY, indexMaskKey(localDhPublicKey)],
  ]);
  const address = reserve(GENERATION_BYTES);
  for (const [at, key] of parts) {
    memory().set(key, address + at);
    key.fill(0);
  }
  return {
    address,
    localIndex: options.localIndex >>> 0,
    remoteIndex: options.remoteIndex >>> 0,
    handshakeHash,
    since: options.now,
    replay: createReplayWindow(),
    sent: 0,
    received: 0,
  };
}

/** Writes the nonce of `counter`; its first four bytes stay zero. */
function setNonce(bytes: Uint8Array, low: number, high: number): void {
  writeU32(bytes, NONCE_AT + 4, low);
  writeU32(bytes, NONCE_AT + 8, high);
}

function readU32(bytes: Uint8Array, at: number): number {
  return (
    ((bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8) | ((bytes[at + 2] ?? 0) << 16) | ((bytes[at + 3] ?? 0) << 24)) >>> 0
  );
}

function writeU32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value;
  bytes[at + 1] = value >>> 8;
  bytes[at + 2] = value >>> 16;
  bytes[at + 3] = value >>> 24;
}

/** What was opened last. Not in libsodium's memory, which is another one when it has grown. */
const opened = new Uint8Array(DATAGRAM_MAX_BYTES);

function copyOut(bytes: Uint8Array, length: number): Uint8Array {
  const copy = opened.subarray(0, length);
  copy.set(bytes.subarray(DATA_AT, DATA_AT + length));
  return copy;
}

export function createSession(options: SessionOptions): Session {
  /** Sealed under; then one not yet confirmed by the peer, and the one before. */
  let current: Generation | undefined = createGeneration(options);
  let next: Generation | undefined;
  let former: Generation | undefined;
  let formerUntil = 0;
  let lastNow = options.now;
  let closed = false;

  const wipe = (generation: Generation | undefined): void => {
    if (generation === undefined) return;
    release(generation.address, GENERATION_BYTES);
    forgetKeyInPlace();
  };
  const promote = (generation: Generation): void => {
    wipe(former);
    former = current;
    formerUntil = lastNow + FORMER_KEYS_MS;
    current = generation;
    next = undefined;
  };
  const generationOf = (index: number): Generation | undefined => {
    if (current?.localIndex === index) return current;
    if (next?.localIndex === index) return next;
    return former?.localIndex === index ? former : undefined;
  };

  return {
    get localIndices() {
      return [next, current, former].flatMap((generation) => (generation === undefined ? [] : [generation.localIndex]));
    },
    get handshakeHash() {
      if (current === undefined) throw new Error('session is closed');
      return current.handshakeHash;
    },

    sealDatagram(plain, out, offset) {
      if (current === undefined) throw new Error('session is closed');
      const { length } = plain;
      if (length > DATAGRAM_MAX_BYTES || offset + length + DATAGRAM_OVERHEAD_BYTES > out.length) {
        throw new RangeError(`datagram of ${length} bytes does not fit`);
      }
      const counter = current.sent;
      if (counter >= COUNTER_END) throw new Error('session counter used up');
      current.sent = counter + 1;
      const low = counter >>> 0;
      const high = Math.floor(counter / 2 ** 32);
      const { address } = current;
      const bytes = memory();
      bytes.set(plain, DATA_AT);
      setNonce(bytes, low, high);
      sealInPlace(DATA_AT, length, NONCE_AT, address + SEND_KEY);
      const tagAt = DATA_AT + length;
      shortHash(MASK_AT, tagAt, TAG_BYTES, address + REMOTE_INDEX_KEY);
      writeU32(out, offset, current.remoteIndex ^ readU32(bytes, MASK_AT));
      shortHash(MASK_AT, tagAt, TAG_BYTES, address + SEND_COUNTER_KEY);
      writeU32(out, offset + INDEX_BYTES, low ^ readU32(bytes, MASK_AT));
      writeU32(out, offset + INDEX_BYTES + 4, high ^ readU32(bytes, MASK_AT + 4));
      out.set(bytes.subarray(DATA_AT, tagAt + TAG_BYTES), offset + HEADER_BYTES);
      return length + DATAGRAM_OVERHEAD_BYTES;
    },

    openDatagram(datagram) {
      const length = datagram.length - DATAGRAM_OVERHEAD_BYTES;
      if (current === undefined || length < 0 || length > DATAGRAM_MAX_BYTES) return undefined;
      const bytes = memory();
      bytes.set(datagram.subarray(HEADER_BYTES), DATA_AT);
      const tagAt = DATA_AT + length;
      shortHash(MASK_AT, tagAt, TAG_BYTES, current.address + LOCAL_INDEX_KEY);
      const index = (readU32(datagram, 0) ^ readU32(bytes, MASK_AT)) >>> 0;
      const generation = generationOf(index);
      if (generation === undefined) return undefined;
      const { address } = generation;
      shortHash(MASK_AT, tagAt, TAG_BYTES, address + RECEIVE_COUNTER_KEY);
      const low = (readU32(datagram, INDEX_BYTES) ^ readU32(bytes, MASK_AT)) >>> 0;
      const high = (readU32(datagram, INDEX_BYTES + 4) ^ readU32(bytes, MASK_AT + 4)) >>> 0;
      const counter = high * 2 ** 32 + low;
      if (counter > COUNTER_END || !generation.replay.isNew(counter)) return undefined;
      setNonce(bytes, low, high);
      if (!openInPlace(DATA_AT, length + TAG_BYTES, NONCE_AT, address + RECEIVE_KEY)) return undefined;
      generation.replay.note(counter);
      generation.received++;
      if (generation === next) promote(generation);
      return copyOut(bytes, length);
    },

    rekey({ provisional, ...rest }) {
      if (closed) {
        rest.keys.destroy();
        return;
      }
      lastNow = rest.now;
      const generation = createGeneration(rest);
      wipe(next);
      next = undefined;
      if (provisional) next = generation;
      else promote(generation);
    },

    needsRekey(now) {
      const newest = next ?? current;
      if (newest === undefined) return false;
      lastNow = now;
      const used = newest.sent + newest.received;
      return used >= REKEY_AFTER_MESSAGES || (used > 0 && now - newest.since >= REKEY_AFTER_MS);
    },

    expire(now) {
      lastNow = now;
      if (former !== undefined && now >= formerUntil) {
        wipe(former);
        former = undefined;
      }
    },

    close() {
      closed = true;
      wipe(current);
      wipe(next);
      wipe(former);
      current = next = former = undefined;
    },
  };
}

/** The key for unmaskIndex: made from our own X25519 public key. 16 bytes. */
export function indexMaskKey(dhPublicKey: Uint8Array): Uint8Array {
  return deriveKey(dhPublicKey, 'datagram index', SHORT_KEY_BYTES);
}

/** The receiver's index that a datagram carries; undefined if it is too short for one. */
export function unmaskIndex(maskKey: Uint8Array, datagram: Uint8Array): number | undefined {
  const tagAt = datagram.length - TAG_BYTES;
  if (tagAt < HEADER_BYTES) return undefined;
  const bytes = memory();
  for (let i = 0; i < SHORT_KEY_BYTES; i++) bytes[KEY_AT + i] = maskKey[i] ?? 0;
  for (let i = 0; i < TAG_BYTES; i++) bytes[DATA_AT + i] = datagram[tagAt + i] ?? 0;
  shortHash(MASK_AT, DATA_AT, TAG_BYTES, KEY_AT);
  return (readU32(datagram, 0) ^ readU32(bytes, MASK_AT)) >>> 0;
}
