/**
 * FramePool: memory for large frames on their way to a socket, used again once they have been written: what the
 * garbage collector would otherwise find by the hundred megabytes. One pool for the process; bounded.
 */

/** Tuning. Bytes; the largest frame with what sealing adds fits. */
const BUFFER_BYTES = 320 * 1024;
const MAX_IDLE = 16;

const idle: ArrayBuffer[] = [];

/** @returns memory with any contents; give it back with `recycle`, or let it go. */
export function takeFrame(bytes: number): Uint8Array {
  if (bytes > BUFFER_BYTES) return Buffer.allocUnsafeSlow(bytes);
  return Buffer.from(idle.pop() ?? new ArrayBuffer(BUFFER_BYTES), 0, bytes);
}

/** Nobody looks at what takeFrame gave any more. Other memory is left alone. */
export function recycle(frame: Uint8Array): void {
  const { buffer } = frame;
  const isOurs = buffer instanceof ArrayBuffer && buffer.byteLength === BUFFER_BYTES && frame.byteOffset === 0;
  if (isOurs && idle.length < MAX_IDLE) idle.push(buffer);
}
