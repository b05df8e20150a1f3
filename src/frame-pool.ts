/**
 * FramePool: memory for large frames and file contents on their way, used again once nobody looks at them any more:
 * what the garbage collector would otherwise find by the gigabyte, and mark the whole heap for. One pool for the
 * process; bounded.
 *
 * What takeFrame gave has one owner at a time, who hands it on or gives it back. Nobody has to: what is forgotten is
 * collected. Giving back what others still look at changes their bytes under them.
 */

/** Tuning. Bytes; the largest frame with what sealing adds fits. */
const BUFFER_BYTES = 320 * 1024;
/** Smaller ones get memory of their own size: whoever keeps a few bytes would keep a whole buffer. */
const LEAST_BYTES = 128 * 1024;
/** 40 MiB: a window of read-ahead and what a socket has in hand. */
const MAX_IDLE = 128;

const idle: ArrayBufferLike[] = [];
const lent = new WeakSet<ArrayBufferLike>();

/** @returns memory with any contents. */
export function takeFrame(bytes: number): Buffer {
  if (bytes > BUFFER_BYTES || bytes < LEAST_BYTES) return Buffer.allocUnsafe(bytes);
  const buffer = idle.pop() ?? Buffer.allocUnsafeSlow(BUFFER_BYTES).buffer;
  lent.add(buffer);
  return Buffer.from(buffer, 0, bytes);
}

/** @param view of what takeFrame gave, all or part. Memory from elsewhere, or given back before, is left alone. */
export function recycle(view: Uint8Array): void {
  const { buffer } = view;
  if (!lent.delete(buffer)) return;
  if (idle.length < MAX_IDLE) idle.push(buffer);
}
