/**
 * Meeting places: what two nodes that share a secret leave for each other where others keep it (a DHT, a peer in
 * common). For every hour and each side there is one place, made from the secret: a key pair that signs what lies there,
 * a name that follows from its public key, and a key that seals. Who keeps a value learns the hour it was for and
 * nothing else: no identity, not which places belong together, not how much was said.
 *
 *     root  = BLAKE2b(secret, "meeting", [side u8][hour u64])
 *     value = [nonce 24] XChaCha20-Poly1305([length u16][signal][zeros up to MEETING_SIGNAL_BYTES])
 *
 * Owns keys, seals and signatures. Does not own what a signal says (src/wire/candidate.ts) or how it travels
 * (src/net/dht.ts, src/net/mailbox.ts). That a value is the newest is told by what is in it, not by the seal.
 */
import { randomBytes } from 'node:crypto';
import {
  blake2b,
  deriveKey,
  ed25519FromSeed,
  ed25519Sign,
  ed25519Verify,
  KEY_BYTES,
  TAG_BYTES,
  xchachaOpen,
  xchachaSeal,
  XNONCE_BYTES,
} from './sodium.ts';

/** Specification: the longest signal. Bytes. */
export const MEETING_SIGNAL_BYTES = 900;
const LENGTH_BYTES = 2;
const PADDED_BYTES = LENGTH_BYTES + MEETING_SIGNAL_BYTES;
/** Specification: every sealed signal has this length, 942 bytes: what a DHT keeps is under 1,000 (BEP 44). */
export const SEALED_SIGNAL_BYTES = XNONCE_BYTES + PADDED_BYTES + TAG_BYTES;
/** Of a place's name, its public key, a signature. Bytes. */
export const PLACE_BYTES = 32;
const PLACE_KEY_BYTES = 32;
const PLACE_SIGNATURE_BYTES = 64;
const HOUR_MS = 3_600_000;

/** Where the node of one side leaves its signal during one hour. Secret but for `place` and `publicKey`. */
export interface MeetingPlace {
  /** Hours since the Unix epoch. */
  readonly hour: number;
  /** Its name: a hash of the public key. PLACE_BYTES long. */
  readonly place: Uint8Array;
  /** Ed25519; who has it can check signatures and the name, and open nothing. */
  readonly publicKey: Uint8Array;
  readonly secretKey: Uint8Array;
  readonly sealKey: Uint8Array;
}

/** The name of the place with this public key. */
export function placeOf(publicKey: Uint8Array): Uint8Array {
  return blake2b(PLACE_BYTES, Buffer.concat([Buffer.from('peerfs 1 place\0', 'utf8'), publicKey]));
}

/**
 * The place where `side` leaves its signals in `hour`. Costs about a tenth of a millisecond: keep it for the hour.
 * @param secret 16 to 64 bytes that only the two know: a pair secret or an invitation's token.
 */
export function meetingPlace(secret: Uint8Array, side: 0 | 1, hour: number): MeetingPlace {
  const which = Buffer.alloc(9);
  which.writeUInt8(side, 0);
  which.writeBigUInt64BE(BigInt(hour), 1);
  const root = deriveKey(secret, 'meeting', KEY_BYTES, which);
  const { publicKey, secretKey } = ed25519FromSeed(deriveKey(root, 'meeting signature'));
  return { hour, place: placeOf(publicKey), publicKey, secretKey, sealKey: deriveKey(root, 'meeting seal') };
}

/** The hour that a wall clock shows, since the Unix epoch. */
export function hourOf(wallMs: number): number {
  return Math.max(0, Math.floor(wallMs / HOUR_MS));
}

/** Milliseconds from `wallMs` to the turn of the hour: more than 0. */
export function untilNextHourMs(wallMs: number): number {
  return (hourOf(wallMs) + 1) * HOUR_MS - wallMs;
}

/**
 * The hours at which the other side's signal may lie, if no clock is more than an hour off: the present one first,
 * which is the likeliest.
 */
export function placesAround(wallMs: number): readonly number[] {
  const hour = hourOf(wallMs);
  return hour === 0 ? [0, 1] : [hour, hour - 1, hour + 1];
}

/**
 * Whether a signal's number, which is a clock in milliseconds, is further ahead than any clock with which the two could
 * meet: believed, it would make old all that is said later.
 */
export function isFromFuture(numberMs: number, wallMs: number): boolean {
  return numberMs > wallMs + 2 * HOUR_MS;
}

/**
 * @returns SEALED_SIGNAL_BYTES; other bytes each time.
 * @throws RangeError for a signal above MEETING_SIGNAL_BYTES.
 */
export function sealSignal({ sealKey }: Pick<MeetingPlace, 'sealKey'>, signal: Uint8Array): Uint8Array {
  if (signal.length > MEETING_SIGNAL_BYTES) throw new RangeError('signal too long');
  const padded = Buffer.alloc(PADDED_BYTES);
  padded.writeUInt16BE(signal.length, 0);
  padded.set(signal, LENGTH_BYTES);
  const nonce = randomBytes(XNONCE_BYTES);
  return Buffer.concat([nonce, xchachaSeal(padded, nonce, sealKey)]);
}

/** undefined if it was not sealed for this place; the result is the caller's. */
export function openSignal({ sealKey }: Pick<MeetingPlace, 'sealKey'>, sealed: Uint8Array): Uint8Array | undefined {
  if (sealed.length !== SEALED_SIGNAL_BYTES) return undefined;
  const padded = xchachaOpen(sealed.subarray(XNONCE_BYTES), sealed.subarray(0, XNONCE_BYTES), sealKey);
  if (padded === undefined) return undefined;
  const length = Buffer.from(padded.buffer, padded.byteOffset, padded.byteLength).readUInt16BE(0);
  if (length > MEETING_SIGNAL_BYTES) return undefined;
  return padded.slice(LENGTH_BYTES, LENGTH_BYTES + length);
}

/** The place's Ed25519 signature over `bytes`: PLACE_SIGNATURE_BYTES. */
export function signAtPlace({ secretKey }: Pick<MeetingPlace, 'secretKey'>, bytes: Uint8Array): Uint8Array {
  return ed25519Sign(bytes, secretKey);
}

/** Whether the place's key signed `bytes`; false too for a signature or key of a wrong length. */
export function verifyAtPlace(publicKey: Uint8Array, bytes: Uint8Array, signature: Uint8Array): boolean {
  return (
    publicKey.length === PLACE_KEY_BYTES &&
    signature.length === PLACE_SIGNATURE_BYTES &&
    ed25519Verify(signature, bytes, publicKey)
  );
}

/**
 * How much two who meet prefer one helper to others, 0 to below 2^48: the same for both, and for each pair another, so
 * that two who have too many helpers choose the same ones.
 * @param helper its peer id.
 */
export function helperRank(secret: Uint8Array, helper: string): number {
  const rank = deriveKey(secret, 'meeting helper', KEY_BYTES, Buffer.from(helper, 'utf8'));
  return Buffer.from(rank.buffer, rank.byteOffset, rank.byteLength).readUIntBE(0, 6);
}
