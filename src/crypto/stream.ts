/**
 * SealedStream: frames on a reliable byte stream (TCP), nothing of them recognisable, not even their lengths.
 *
 *     [length u32 + tag 16, sealed][body + tag 16, sealed]
 *
 * Both parts have the frame's counter; their nonces begin with different domains. The length is authentic before
 * anything is allocated for the body. Order is the transport's: a frame lost, repeated or moved breaks the stream.
 *
 * Owns counters, reassembly and the change of keys; does not own sockets or handshakes.
 */
import { takeFrame } from '../frame-pool.ts';
import type { AeadKey } from './aead.ts';
import { FrameKey, SMALL_BYTES } from './frame-key.ts';
import { REKEY_AFTER_MESSAGES, REKEY_AFTER_MS } from './session.ts';
import type { SessionKeys } from './session-keys.ts';
import { deriveKey, TAG_BYTES } from './sodium.ts';

/** Specification. */
const LENGTH_BYTES = 4;
const HEADER_BYTES = LENGTH_BYTES + TAG_BYTES;
const HEADER_DOMAIN = 0;
const BODY_DOMAIN = 1;
/** What sealing adds to a frame. Bytes. */
export const FRAME_OVERHEAD_BYTES = HEADER_BYTES + TAG_BYTES;

export interface StreamOptions {
  /** Used up: its secrets are wiped. */
  readonly keys: SessionKeys;
  /** Longest frame in either direction; the peer's longer one breaks the stream. Bytes. */
  readonly maxFrameBytes: number;
  /** Clock.now(), milliseconds. */
  readonly now: number;
}

export interface SealedStream {
  /** Hash of the newest handshake whose keys both directions have, 64 bytes. */
  readonly handshakeHash: Uint8Array;
  /**
   * Seals one frame given in pieces, which are read before it returns.
   * @returns the sealed frame, from the frame pool if it is large; the caller's.
   * @throws RangeError if it is longer than maxFrameBytes; Error after close().
   */
  sealFrame(pieces: readonly Uint8Array[]): Uint8Array;
  /**
   * Takes what came from the network, cut anyhow; `chunk` is not kept. Calls `onFrame` once for each whole frame
   * (the frame is the receiver's to keep, from the frame pool if it is large); onFrame may call rekey, switchReceiving or close.
   * @returns false once the stream is broken (by the network or the peer) or closed: close the connection.
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

/** Scratch for one length. */
const lengthBytes = Buffer.alloc(LENGTH_BYTES);

interface Direction {
  readonly key: FrameKey;
  counter: number;
}

function directions(keys: SessionKeys): { send: Direction; receive: Direction } {
  const direction = (secret: Uint8Array): Direction => {
    const bytes = deriveKey(secret, 'stream');
    const key = new FrameKey(bytes);
    bytes.fill(0);
    return { key, counter: 0 };
  };
  return keys.use(({ send, receive }) => ({ send: direction(send), receive: direction(receive) }));
}

/** A frame whose length is known and whose body is arriving. */
interface Arriving {
  readonly length: number;
  /** Small: ciphertext and tag so far. Large: the tag so far. */
  readonly gathered: Buffer;
  /** Large only: plain bytes so far, not authenticated yet. */
  readonly decipher: AeadKey | undefined;
  frame: Buffer | undefined;
  filled: number;
}

export function createStream(options: StreamOptions): SealedStream {
  const { maxFrameBytes } = options;
  let { send, receive } = directions(options.keys);
  let handshakeHash = options.keys.handshakeHash;
  let since = options.now;
  let pending: { send?: Direction; receive?: Direction; readonly hash: Uint8Array } | undefined;
  let state: 'open' | 'broken' | 'closed' = 'open';

  const header = Buffer.alloc(HEADER_BYTES);
  let headerFilled = 0;
  let arriving: Arriving | undefined;

  const wipe = (): void => {
    for (const direction of [send, receive, pending?.send, pending?.receive]) direction?.key.destroy();
    pending = undefined;
    arriving = undefined;
  };

  /** Takes of `chunk` from `at` on what completes the header; undefined if that is wrong. */
  const takeHeader = (chunk: Uint8Array, at: number): number | undefined => {
    const end = Math.min(chunk.length, at + HEADER_BYTES - headerFilled);
    header.set(chunk.subarray(at, end), headerFilled);
    headerFilled += end - at;
    if (headerFilled < HEADER_BYTES) return end;
    headerFilled = 0;
    const length = receive.key.openSmall(HEADER_DOMAIN, receive.counter, header)?.readUInt32LE(0);
    if (length === undefined || length > maxFrameBytes) return undefined;
    const small = length <= SMALL_BYTES;
    arriving = {
      length,
      gathered: Buffer.allocUnsafe(small ? length + TAG_BYTES : TAG_BYTES),
      decipher: small ? undefined : receive.key.openLarge(BODY_DOMAIN, receive.counter),
      frame: undefined,
      filled: 0,
    };
    return end;
  };

  /** Takes of `chunk` what belongs to the body. */
  const takeBody = (chunk: Uint8Array, at: number, body: Arriving): number => {
    const end = Math.min(chunk.length, at + body.length + TAG_BYTES - body.filled);
    const { decipher, length, gathered } = body;
    if (decipher === undefined) {
      gathered.set(chunk.subarray(at, end), body.filled);
    } else {
      const plainEnd = Math.min(end, at + Math.max(0, length - body.filled));
      if (plainEnd > at) {
        body.frame ??= takeFrame(length);
        decipher.update(chunk.subarray(at, plainEnd), body.frame, body.filled);
      }
      if (end > plainEnd) gathered.set(chunk.subarray(plainEnd, end), body.filled + (plainEnd - at) - length);
    }
    body.filled += end - at;
    return end;
  };

  /** The frame whose last byte has come; undefined if it is not authentic. */
  const finishBody = ({ decipher, gathered, frame }: Arriving): Buffer | undefined => {
    const { counter, key } = receive;
    receive.counter++;
    if (decipher === undefined) return key.openSmall(BODY_DOMAIN, counter, gathered);
    return decipher.open(gathered) ? frame : undefined;
  };

  const breakStream = (): false => {
    if (state === 'open') state = 'broken';
    wipe();
    return false;
  };

  const finishRekey = (): void => {
    if (pending === undefined || pending.send !== undefined || pending.receive !== undefined) return;
    handshakeHash = pending.hash;
    pending = undefined;
  };

  return {
    get handshakeHash() {
      return handshakeHash;
    },

    sealFrame(pieces) {
      if (state !== 'open') throw new Error('stream is closed');
      let length = 0;
      for (const piece of pieces) length += piece.length;
      if (length > maxFrameBytes) throw new RangeError(`frame of ${length} bytes is too long`);
      const { key, counter } = send;
      send.counter++;
      const small = length <= SMALL_BYTES;
      const out = (small ? Buffer.allocUnsafe : takeFrame)(length + FRAME_OVERHEAD_BYTES);
      lengthBytes.writeUInt32LE(length);
      key.sealSmall(HEADER_DOMAIN, counter, [lengthBytes], out, 0);
      if (small) key.sealSmall(BODY_DOMAIN, counter, pieces, out, HEADER_BYTES);
      else key.sealLarge(BODY_DOMAIN, counter, pieces, out, HEADER_BYTES);
      return out;
    },

    push(chunk, onFrame) {
      let at = 0;
      while (at < chunk.length) {
        if (state !== 'open') return false;
        if (arriving === undefined) {
          const end = takeHeader(chunk, at);
          if (end === undefined) return breakStream();
          at = end;
          continue;
        }
        at = takeBody(chunk, at, arriving);
        if (arriving.filled < arriving.length + TAG_BYTES) continue;
        const frame = finishBody(arriving);
        arriving = undefined;
        if (frame === undefined) return breakStream();
        onFrame(frame);
      }
      return isOpen();
    },

    rekey(keys, now) {
      if (state !== 'open' || pending !== undefined) {
        keys.destroy();
        return;
      }
      const hash = keys.handshakeHash;
      pending = { ...directions(keys), hash };
      since = now;
    },

    switchSending() {
      if (pending?.send === undefined) return;
      send.key.destroy();
      send = pending.send;
      delete pending.send;
      finishRekey();
    },

    switchReceiving() {
      if (pending?.receive === undefined) return;
      receive.key.destroy();
      receive = pending.receive;
      delete pending.receive;
      finishRekey();
    },

    needsRekey(now) {
      if (state !== 'open' || pending !== undefined) return false;
      const used = send.counter + receive.counter;
      return used >= REKEY_AFTER_MESSAGES || (used > 0 && now - since >= REKEY_AFTER_MS);
    },

    close() {
      state = 'closed';
      wipe();
    },
  };

  /** onFrame may have closed the stream, which the compiler cannot see. */
  function isOpen(): boolean {
    return state === 'open';
  }
}
