/**
 * What lies at a place of a peer's mailbox (LEFT_SIGNAL in src/wire/schema.ts): a sealed signal with a number that tells
 * newer from older, signed, so that who keeps it can give back an old one but neither change it nor renumber it.
 * Owns that; keys are src/crypto/meeting.ts, the DHT's own form of the same is dht-message.ts.
 */
import { openSignal, sealSignal, signAtPlace, verifyAtPlace, type MeetingPlace } from '../crypto/meeting.ts';
import { PeerfsError } from '../errors.ts';
import { decodeStruct, encodeStruct } from '../wire/codec.ts';
import { LEFT_SIGNAL } from '../wire/schema.ts';
import type { ValuesOf } from '../wire/types.ts';

const SEQUENCE_BYTES = 8;

export type LeftSignal = ValuesOf<typeof LEFT_SIGNAL.fields>;

/** @throws RangeError for a signal above MEETING_SIGNAL_BYTES. */
export function encodeLeftSignal(place: MeetingPlace, sequence: number, signal: Uint8Array): Uint8Array {
  const sealed = sealSignal(place, signal);
  return encodeStruct(LEFT_SIGNAL, { sequence, signature: signAtPlace(place, toSign(sequence, sealed)), sealed });
}

/** Not checked yet. @returns undefined for what makes no sense. */
export function decodeLeftSignal(value: Uint8Array): LeftSignal | undefined {
  try {
    return decodeStruct(LEFT_SIGNAL, value);
  } catch (error) {
    if (error instanceof PeerfsError) return undefined;
    throw error;
  }
}

/** Checks and opens; the result is the caller's. undefined if it was not left by who holds the place's keys. */
export function openLeftSignal(
  place: MeetingPlace,
  { sequence, signature, sealed }: LeftSignal,
): Uint8Array | undefined {
  if (!verifyAtPlace(place.publicKey, toSign(sequence, sealed), signature)) return undefined;
  return openSignal(place, sealed);
}

function toSign(sequence: number, sealed: Uint8Array): Uint8Array {
  const number = Buffer.alloc(SEQUENCE_BYTES);
  number.writeBigUInt64LE(BigInt(sequence));
  return Buffer.concat([Buffer.from('peerfs 1 left\0', 'utf8'), number, sealed]);
}
