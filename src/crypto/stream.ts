/**
 * SealedStream: frames on a reliable byte stream (TCP), nothing of them recognisable, not even their lengths.
 *
 *     [length 4 + tag 16, sealed][body + tag 16, sealed]
 */
import type { SessionKeys } from './session-keys.ts';

export interface StreamOptions {
  readonly keys: SessionKeys;
  /** Longest frame in either direction; the peer's longer one breaks the stream. Bytes. */
  readonly maxFrameBytes: number;
  /** Clock.now(), milliseconds. */
  readonly now: number;
}

export interface SealedStream {
  readonly handshakeHash: Uint8Array;
  /**
   * Seals one frame given in pieces, which are read before it returns.
   * @returns buffers to write in order, the caller's.
   * @throws RangeError if it is longer than maxFrameBytes; Error after close().
   */
  sealFrame(pieces: readonly Uint8Array[]): Uint8Array[];
  /**
   * Takes what came from the network, cut anyhow; `chunk` is not kept. Calls `onFrame` once for each whole frame
   * (the frame is the receiver's to keep); onFrame may call rekey, switchReceiving or close.
   * @returns false once the stream is broken (by the network or the peer): close the connection.
   */
  push(chunk: Uint8Array, onFrame: (frame: Uint8Array) => void): boolean;
  /**
   * Keeps the keys of a new handshake ready. The side that answered it switches sending after the frame with
   * message 2; the side that began it then switches receiving, says so in a last frame under the old keys, and
   * switches sending; the other switches receiving at that frame.
   */
  rekey(keys: SessionKeys, now: number): void;
  /** The next frame is sealed under the keys given to rekey. */
  switchSending(): void;
  /** The next frame of the peer is opened under the keys given to rekey. */
  switchReceiving(): void;
  /** Whether a new handshake is due: 2 minutes of use or 2^32 frames under the newest keys. */
  needsRekey(now: number): boolean;
  /** Wipes all keys; idempotent. */
  close(): void;
}

export function createStream(options: StreamOptions): SealedStream {
  void options;
  throw new Error('not built yet');
}
