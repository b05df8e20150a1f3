/**
 * One request of the kernel: its bytes while they are decoded (RequestInput), and what is remembered of it until it
 * is answered (FuseRequest, the RequestContext that the file system sees). Plus the pool of read buffers.
 */
import { NAME_MAX_BYTES, type ByteString } from '../../bytestring.ts';
import { PeerfsError } from '../../errors.ts';
import { createDeviceBuffer, type DeviceBuffer } from '../../sys/fuse-device.ts';
import type { InterruptSignal, RequestContext } from '../kernel.ts';
import { IN_HEADER, WRITE_IN } from './structures.ts';
import { MAX_TRANSFER_BYTES } from './negotiation.ts';

const TWO_32 = 2 ** 32;
const BODY_WORD = IN_HEADER.sizeBytes >> 2;

/** The kernel refuses reads with less room than the largest WRITE needs. */
const READ_BUFFER_BYTES = MAX_TRANSFER_BYTES + IN_HEADER.sizeBytes + WRITE_IN.sizeBytes;
/** Payloads up to here are copied, so that small writes in flight do not hold a megabyte each. */
const COPIED_PAYLOAD_BYTES = 32 * 1024;
/** Buffers kept for reuse. */
const SPARE_BUFFERS = 8;
/** Buffers that writes in flight may hold: 256 MiB. */
const HELD_BUFFERS = 256;

export class FuseRequest implements RequestContext, InterruptSignal {
  readonly opcode: number;
  readonly node: number;
  readonly uid: number;
  readonly gid: number;
  readonly pid: number;
  readonly uniqueLow: number;
  readonly uniqueHigh: number;
  /** The kernel has its answer, or wants none any more. */
  answered = false;
  aborted = false;
  /** Most requests have one, called at most once. */
  #listener: (() => void) | undefined;
  #more: Set<() => void> | undefined;

  constructor(words: Uint32Array) {
    const { word } = IN_HEADER;
    this.opcode = words[word.opcode] ?? 0;
    this.uniqueLow = words[word.unique] ?? 0;
    this.uniqueHigh = words[word.unique + 1] ?? 0;
    this.node = (words[word.nodeid] ?? 0) + (words[word.nodeid + 1] ?? 0) * TWO_32;
    this.uid = words[word.uid] ?? 0;
    this.gid = words[word.gid] ?? 0;
    this.pid = words[word.pid] ?? 0;
  }

  /** As a number: the kernel counts up from 2, so that it stays exact. */
  get unique(): number {
    return this.uniqueLow + this.uniqueHigh * TWO_32;
  }

  get signal(): InterruptSignal {
    return this;
  }

  addEventListener(_type: 'abort', listener: () => void): void {
    if (this.#listener === undefined) this.#listener = listener;
    else (this.#more ??= new Set()).add(listener);
  }

  removeEventListener(_type: 'abort', listener: () => void): void {
    if (this.#listener === listener) this.#listener = undefined;
    else this.#more?.delete(listener);
  }

  abort(): void {
    if (this.aborted) return;
    this.aborted = true;
    const listeners = [this.#listener, ...(this.#more ?? [])];
    this.#listener = undefined;
    this.#more = undefined;
    for (const listener of listeners) listener?.();
  }
}

/** A WRITE's payload. */
export interface Payload {
  readonly bytes: Uint8Array;
  /** The bytes are no longer needed. */
  readonly release: () => void;
}

/** Reads fields behind the header; positions are those of structures.ts. Valid until the next request is read. */
export class RequestInput {
  readonly #pool: BufferPool;
  #buffer: DeviceBuffer;
  #retained = false;

  constructor(pool: BufferPool) {
    this.#pool = pool;
    this.#buffer = pool.take();
  }

  /** Looks at another buffer from now on. */
  use(buffer: DeviceBuffer): void {
    this.#buffer = buffer;
    this.#retained = false;
  }

  /** Whether payload() has kept the buffer. */
  get retained(): boolean {
    return this.#retained;
  }

  get header(): Uint32Array {
    return this.#buffer.words;
  }

  /** The words from `word` of the body on. */
  words(word = 0): Uint32Array {
    return this.#buffer.words.subarray(BODY_WORD + word);
  }

  u32(word: number): number {
    return this.#buffer.words[BODY_WORD + word] ?? 0;
  }

  /** 64 bits as a number, exact up to 2^53. */
  u64(word: number): number {
    return this.u32(word) + this.u32(word + 1) * TWO_32;
  }

  i64(word: number): number {
    return this.u32(word) + (this.u32(word + 1) | 0) * TWO_32;
  }

  long(word: number): bigint {
    return this.#buffer.longs[(BODY_WORD + word) >> 1] ?? 0n;
  }

  /** The bytes up to NUL from `offset` of the body on. @throws PeerfsError ENAMETOOLONG, which the kernel leaves to us */
  name(offset = 0): ByteString {
    const name = this.text(offset);
    if (name.length > NAME_MAX_BYTES) throw new PeerfsError('ENAMETOOLONG');
    return name;
  }

  /** The same of any length. */
  text(offset: number): ByteString {
    const start = IN_HEADER.sizeBytes + offset;
    const { bytes } = this.#buffer;
    return bytes.toString('latin1', start, bytes.indexOf(0, start)) as ByteString;
  }

  /** A copy. */
  bytes(offset: number, length: number): Uint8Array {
    const start = IN_HEADER.sizeBytes + offset;
    return Uint8Array.prototype.slice.call(this.#buffer.bytes, start, start + length);
  }

  /** Bytes that outlive this request's decoding. @returns undefined if too many are held already. */
  payload(offset: number, length: number): Payload | undefined {
    if (length <= COPIED_PAYLOAD_BYTES) return { bytes: this.bytes(offset, length), release: () => undefined };
    if (!this.#pool.hold()) return undefined;
    this.#retained = true;
    const buffer = this.#buffer;
    const start = IN_HEADER.sizeBytes + offset;
    return { bytes: buffer.bytes.subarray(start, start + length), release: () => this.#pool.release(buffer) };
  }
}

export class BufferPool {
  readonly #spare: DeviceBuffer[] = [];
  #held = 0;

  take(): DeviceBuffer {
    return this.#spare.pop() ?? createDeviceBuffer(READ_BUFFER_BYTES);
  }

  give(buffer: DeviceBuffer): void {
    if (this.#spare.length < SPARE_BUFFERS) this.#spare.push(buffer);
  }

  /** Counts one that a write keeps. @returns false if there are too many. */
  hold(): boolean {
    if (this.#held >= HELD_BUFFERS) return false;
    this.#held += 1;
    return true;
  }

  release(buffer: DeviceBuffer): void {
    this.#held -= 1;
    this.give(buffer);
  }
}
