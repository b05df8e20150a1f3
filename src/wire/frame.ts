/**
 * Frames: what two channels exchange over a path. Owns the header and the meaning of its kinds; the bodies are fields
 * of src/wire/schema.ts.
 *
 *     kind u8 | tag u16 | callId u64 | bodyLength u32 | body | payload (the rest of the frame)
 */
import { ERROR_CODES, codeOfWire } from '../errors.ts';
import type { ErrorCode } from '../errors.ts';
import { decodeFields, encodeFields } from './codec.ts';
import { LIMITS } from './schema.ts';
import type { Fields, ValuesOf } from './types.ts';

/** Specification of version 1: the kinds of frame, as data so that docs/protocol.md can list them. */
export const FRAME_KINDS = {
  request: { number: 0, doc: 'Asks for a call. `tag` is the message, `callId` the number that the caller gave it.' },
  reply: { number: 1, doc: 'The call succeeded: the reply fields and the payload of the same message.' },
  failure: { number: 2, doc: 'The call failed: the fields of a failure.' },
  cancel: {
    number: 3,
    doc: 'The caller no longer wants the call. No body. It is answered nevertheless: with what came of it, or CANCELLED.',
  },
  push: { number: 4, doc: 'A push. `callId` is 0.' },
  working: {
    number: 5,
    doc: 'From the answering side, while a call takes long: it still runs. No body. The caller goes on waiting.',
  },
} as const;

export type FrameKind = keyof typeof FRAME_KINDS;

/** Bytes: kind, tag, callId, bodyLength. */
export const FRAME_HEADER_BYTES = 1 + 2 + 8 + 4;
/** Longest text of a failure, bytes. */
const FAILURE_TEXT_BYTES = 200;

/** Body of a failure frame. */
export const FAILURE = {
  code: { type: 'u32', doc: 'number of the error; one that is not known counts as EIO' },
  text: { type: { text: FAILURE_TEXT_BYTES }, doc: 'for a log; may be empty; never holds a file name' },
} as const satisfies Fields;

export interface Frame {
  readonly kind: FrameKind;
  readonly tag: number;
  readonly callId: number;
  /** Where the body begins and ends in `bytes`. */
  readonly bodyStart: number;
  readonly bodyEnd: number;
  /** The whole frame; payload is what follows the body. */
  readonly bytes: Uint8Array;
}

const KIND_BY_NUMBER = Object.keys(FRAME_KINDS) as readonly FrameKind[];
const TWO_32 = 0x1_0000_0000;
const NO_FIELDS: Fields = {};
const NO_VALUES: ValuesOf<Fields> = {};

/**
 * Header and body in one buffer; the payload follows as a piece of its own.
 *
 * @throws what encodeFields throws.
 */
export function encodeFrame<F extends Fields>(
  kind: FrameKind,
  tag: number,
  callId: number,
  fields: F,
  values: ValuesOf<F>,
): Buffer {
  const bytes = encodeFields(fields, values, FRAME_HEADER_BYTES);
  bytes[0] = FRAME_KINDS[kind].number;
  bytes.writeUInt16LE(tag, 1);
  bytes.writeUInt32LE(callId % TWO_32, 3);
  bytes.writeUInt32LE(Math.floor(callId / TWO_32), 7);
  bytes.writeUInt32LE(bytes.length - FRAME_HEADER_BYTES, 11);
  return bytes;
}

/** A frame that is its header alone: cancel, working, or a reply without fields. */
export function encodeEmptyFrame(kind: FrameKind, tag: number, callId: number): Buffer {
  return encodeFrame(kind, tag, callId, NO_FIELDS, NO_VALUES);
}

/** @param text is cut to what a failure may carry. */
export function encodeFailure(tag: number, callId: number, code: ErrorCode, text = ''): Buffer {
  let short = text.slice(0, FAILURE_TEXT_BYTES);
  while (Buffer.byteLength(short, 'utf8') > FAILURE_TEXT_BYTES) short = short.slice(0, -1);
  return encodeFrame('failure', tag, callId, FAILURE, { code: ERROR_CODES[code].wire, text: short });
}

/** @throws PeerfsError PROTOCOL when the body is malformed. */
export function decodeFailure(frame: Frame): { readonly code: ErrorCode; readonly text: string } {
  const { code, text } = decodeFields(FAILURE, frame.bytes, frame.bodyStart, frame.bodyEnd);
  return { code: codeOfWire(code), text };
}

/**
 * Splits a frame without copying.
 *
 * @returns undefined when it breaks the layout: too short or too long, a call id above 2^53 - 1, a body longer than
 * the frame. A kind of a newer peer is 'unknown'.
 */
export function decodeFrame(bytes: Uint8Array): Frame | 'unknown' | undefined {
  const { length } = bytes;
  if (length < FRAME_HEADER_BYTES || length > LIMITS.frameBytes) return undefined;
  const header = Buffer.from(bytes.buffer, bytes.byteOffset, FRAME_HEADER_BYTES);
  const callId = header.readUInt32LE(7) * TWO_32 + header.readUInt32LE(3);
  const bodyEnd = FRAME_HEADER_BYTES + header.readUInt32LE(11);
  if (callId > Number.MAX_SAFE_INTEGER || bodyEnd > length) return undefined;
  const kind = KIND_BY_NUMBER[header.readUInt8(0)];
  if (kind === undefined) return 'unknown';
  return { kind, tag: header.readUInt16LE(1), callId, bodyStart: FRAME_HEADER_BYTES, bodyEnd, bytes };
}

/** A view of what follows the body. */
export function payloadOf(frame: Frame): Uint8Array {
  return frame.bytes.subarray(frame.bodyEnd);
}
