/**
 * The bytes of a KCP segment, as the reference implementation (skywind3000/kcp, protocol version 1) has them. All
 * integers are little-endian:
 *
 *     offset  0  conv u32   conversation, chosen by both sides
 *             4  cmd  u8    81 push (data), 82 acknowledge, 83 ask for the window, 84 tell the window
 *             5  frg  u8    fragments of the message that follow this one (0: its last, and always in stream mode)
 *             6  wnd  u16   segments that the sender of this has room for, from `una` on
 *             8  ts   u32   sender's clock, milliseconds; an acknowledgement returns that of the push it answers
 *            12  sn   u32   number of the push; of an acknowledgement: the one it answers
 *            16  una  u32   all pushes below this number have arrived at the sender of this
 *            20  len  u32   length of the data, which follow (0 but for push)
 *
 * Numbers and clocks wrap around; serial() compares them.
 */

export const SEGMENT_HEADER_BYTES = 24;
export const PUSH = 81;
export const ACKNOWLEDGE = 82;
export const WINDOW_ASK = 83;
export const WINDOW_TELL = 84;
/** Fragments of one message: `frg` is a byte. */
export const MAX_FRAGMENTS = 256;
/** `wnd` has 16 bits. */
export const MAX_WINDOW = 0xffff;

/** Signed distance from `b` to `a` on the circle of 32-bit numbers. */
export function serial(a: number, b: number): number {
  return (a - b) | 0;
}

export function readU32(bytes: Uint8Array, at: number): number {
  return (
    ((bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8) | ((bytes[at + 2] ?? 0) << 16) | ((bytes[at + 3] ?? 0) << 24)) >>> 0
  );
}

export function writeU32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value;
  bytes[at + 1] = value >>> 8;
  bytes[at + 2] = value >>> 16;
  bytes[at + 3] = value >>> 24;
}

export function writeU16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value;
  bytes[at + 1] = value >>> 8;
}
