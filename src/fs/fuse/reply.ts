/**
 * Answers to the kernel. Owns their bytes and whether they arrived: each method returns false when the kernel did not
 * take the answer (the caller was killed meanwhile, or had its answer), so that what it granted must be undone.
 */
import { createDeviceBuffer, writeDevice, writeDeviceParts, type DeviceBuffer } from '../../sys/fuse-device.ts';
import { errnoOf } from '../../sys/errno.ts';
import type { AttributesReply, EntryReply, KernelAttributes, NodeId, OpenReply } from '../kernel.ts';
import type { FileSystemStatus, LockRange } from '../tree.ts';
import { FOPEN, NOTIFY } from './protocol.ts';
import type { FuseRequest } from './request.ts';
import {
  ATTR,
  ATTR_OUT,
  ENTRY_OUT,
  FILE_LOCK,
  GETXATTR_OUT,
  LSEEK_OUT,
  NOTIFY_STORE_OUT,
  OPEN_OUT,
  OUT_HEADER,
  STATFS_OUT,
  WRITE_OUT,
} from './structures.ts';

export const HEADER_BYTES = OUT_HEADER.sizeBytes;
const BODY_WORD = HEADER_BYTES >> 2;
const TWO_32 = 2 ** 32;
/** Bodies up to here are copied behind the header; larger ones are written from where they lie. */
const COPIED_BODY_BYTES = 32 * 1024;
const NSEC_PER_MS = 1_000_000;
const UNLOCKED = 2;

export class Replies {
  readonly #descriptor: number;
  readonly #onAnswered: (request: FuseRequest) => void;
  readonly #out = createDeviceBuffer(HEADER_BYTES + COPIED_BODY_BYTES);
  #closed = false;
  /** Answers that the kernel did not take. */
  undelivered = 0;

  /** @param onAnswered called once for each request, before its answer is written. */
  constructor(descriptor: number, onAnswered: (request: FuseRequest) => void) {
    this.#descriptor = descriptor;
    this.#onAnswered = onAnswered;
  }

  /** The request wants no answer any more, or never wanted one. @returns false if that was so before. */
  finish(request: FuseRequest): boolean {
    if (request.answered) return false;
    request.answered = true;
    this.#onAnswered(request);
    return true;
  }

  /** From now on nothing is written: the descriptor may soon stand for something else. */
  close(): void {
    this.#closed = true;
  }

  error(request: FuseRequest, error: unknown): boolean {
    return this.#send(request, this.#out, 0, errnoOf(error));
  }

  empty(request: FuseRequest): boolean {
    return this.#send(request, this.#out, 0);
  }

  entry(request: FuseRequest, reply: EntryReply): boolean {
    writeEntry(this.#out, BODY_WORD, reply);
    return this.#send(request, this.#out, ENTRY_OUT.sizeBytes);
  }

  /** The name does not exist, and the kernel may remember it. */
  negative(request: FuseRequest, entryMs: number): boolean {
    const { words } = this.#out;
    words.fill(0, BODY_WORD, BODY_WORD + (ENTRY_OUT.sizeBytes >> 2));
    writeMs(words, BODY_WORD + ENTRY_OUT.word.entry_valid, BODY_WORD + ENTRY_OUT.word.entry_valid_nsec, entryMs);
    return this.#send(request, this.#out, ENTRY_OUT.sizeBytes);
  }

  attributes(request: FuseRequest, reply: AttributesReply): boolean {
    const { words } = this.#out;
    const { word } = ATTR_OUT;
    writeMs(words, BODY_WORD + word.attr_valid, BODY_WORD + word.attr_valid_nsec, reply.attributesMs);
    words[BODY_WORD + word.dummy] = 0;
    writeAttributes(this.#out, BODY_WORD + word.attr, reply.attributes);
    return this.#send(request, this.#out, ATTR_OUT.sizeBytes);
  }

  open(request: FuseRequest, reply: OpenReply): boolean {
    writeOpen(this.#out.words, BODY_WORD, reply);
    return this.#send(request, this.#out, OPEN_OUT.sizeBytes);
  }

  create(request: FuseRequest, entry: EntryReply, open: OpenReply): boolean {
    writeEntry(this.#out, BODY_WORD, entry);
    writeOpen(this.#out.words, BODY_WORD + (ENTRY_OUT.sizeBytes >> 2), open);
    return this.#send(request, this.#out, ENTRY_OUT.sizeBytes + OPEN_OUT.sizeBytes);
  }

  /** `parts`, in order, are written before this returns. */
  data(request: FuseRequest, parts: readonly Uint8Array[]): boolean {
    let length = 0;
    for (const part of parts) length += part.length;
    if (length <= COPIED_BODY_BYTES) {
      let end = HEADER_BYTES;
      for (const part of parts) {
        this.#out.bytes.set(part, end);
        end += part.length;
      }
      return this.#send(request, this.#out, length);
    }
    if (!this.finish(request) || this.#closed) return false;
    writeHeader(this.#out.words, request, length, 0);
    return this.#delivered(writeDeviceParts(this.#descriptor, this.#out.address, HEADER_BYTES, parts));
  }

  /** @param buffer with room for the header before `length` bytes of body. */
  buffer(request: FuseRequest, buffer: DeviceBuffer, length: number): boolean {
    return this.#send(request, buffer, length);
  }

  /**
   * Not an answer: puts the whole contents of a file into the kernel's cache. Only while nobody has the file open: the
   * kernel waits for its own reads of it, which would wait for us.
   * @returns false if the kernel did not take it.
   */
  store(node: NodeId, contents: Uint8Array): boolean {
    if (this.#closed) return false;
    const { words } = this.#out;
    const { word, sizeBytes } = NOTIFY_STORE_OUT;
    words[OUT_HEADER.word.len] = HEADER_BYTES + sizeBytes + contents.length;
    // The code stands where answers have their error; that unique is 0 tells them apart.
    words[OUT_HEADER.word.error] = NOTIFY.STORE;
    words[OUT_HEADER.word.unique] = 0;
    words[OUT_HEADER.word.unique + 1] = 0;
    writeNumber(words, BODY_WORD + word.nodeid, node);
    writeNumber(words, BODY_WORD + word.offset, 0);
    words[BODY_WORD + word.size] = contents.length;
    words[BODY_WORD + word.padding] = 0;
    return writeDeviceParts(this.#descriptor, this.#out.address, HEADER_BYTES + sizeBytes, [contents]) >= 0;
  }

  /** The answer to WRITE and COPY_FILE_RANGE. */
  written(request: FuseRequest, length: number): boolean {
    return this.#number(request, WRITE_OUT.word.size, length, WRITE_OUT.sizeBytes);
  }

  /** How large an attribute (or list of names) is. */
  xattrSize(request: FuseRequest, length: number): boolean {
    return this.#number(request, GETXATTR_OUT.word.size, length, GETXATTR_OUT.sizeBytes);
  }

  position(request: FuseRequest, offset: number): boolean {
    return this.#number(request, LSEEK_OUT.word.offset, offset, LSEEK_OUT.sizeBytes);
  }

  lock(request: FuseRequest, range: LockRange | undefined): boolean {
    const { words, longs } = this.#out;
    const { word } = FILE_LOCK;
    longs[(BODY_WORD + word.start) >> 1] = range?.start ?? 0n;
    longs[(BODY_WORD + word.end) >> 1] = range?.end ?? 0n;
    words[BODY_WORD + word.type] = range?.type ?? UNLOCKED;
    words[BODY_WORD + word.pid] = range?.pid ?? 0;
    return this.#send(request, this.#out, FILE_LOCK.sizeBytes);
  }

  status(request: FuseRequest, status: FileSystemStatus): boolean {
    const { words } = this.#out;
    const { word, sizeBytes } = STATFS_OUT;
    words.fill(0, BODY_WORD, BODY_WORD + (sizeBytes >> 2));
    writeNumber(words, BODY_WORD + word.blocks, status.blocks);
    writeNumber(words, BODY_WORD + word.bfree, status.blocksFree);
    writeNumber(words, BODY_WORD + word.bavail, status.blocksAvailable);
    writeNumber(words, BODY_WORD + word.files, status.files);
    writeNumber(words, BODY_WORD + word.ffree, status.filesFree);
    words[BODY_WORD + word.bsize] = status.blockSize;
    words[BODY_WORD + word.namelen] = status.nameMax;
    words[BODY_WORD + word.frsize] = status.blockSize;
    return this.#send(request, this.#out, sizeBytes);
  }

  #number(request: FuseRequest, word: number, value: number, sizeBytes: number): boolean {
    const { words } = this.#out;
    words[BODY_WORD + 1] = 0;
    writeNumber(words, BODY_WORD + word, value);
    return this.#send(request, this.#out, sizeBytes);
  }

  #send(request: FuseRequest, buffer: DeviceBuffer, bodyBytes: number, errno = 0): boolean {
    if (!this.finish(request) || this.#closed) return false;
    writeHeader(buffer.words, request, bodyBytes, errno);
    return this.#delivered(writeDevice(this.#descriptor, buffer.address, HEADER_BYTES + bodyBytes));
  }

  #delivered(result: number): boolean {
    if (result >= 0) return true;
    this.undelivered += 1;
    return false;
  }
}

function writeHeader(words: Uint32Array, request: FuseRequest, bodyBytes: number, errno: number): void {
  const { word } = OUT_HEADER;
  words[word.len] = HEADER_BYTES + bodyBytes;
  words[word.error] = -errno;
  words[word.unique] = request.uniqueLow;
  words[word.unique + 1] = request.uniqueHigh;
}

/** A 64-bit field from a number, negative ones in two's complement (storing into the array wraps). */
export function writeNumber(words: Uint32Array, word: number, value: number): void {
  words[word] = value;
  words[word + 1] = Math.floor(value / TWO_32);
}

function writeMs(words: Uint32Array, secondsWord: number, nsecWord: number, ms: number): void {
  const seconds = Math.floor(ms / 1000);
  writeNumber(words, secondsWord, seconds);
  words[nsecWord] = (ms - seconds * 1000) * NSEC_PER_MS;
}

function writeOpen(words: Uint32Array, start: number, reply: OpenReply): void {
  writeNumber(words, start + OPEN_OUT.word.fh, reply.handle);
  words[start + OPEN_OUT.word.open_flags] =
    (reply.directIo ? FOPEN.DIRECT_IO | FOPEN.PARALLEL_DIRECT_WRITES : 0) |
    (reply.keepCache ? FOPEN.KEEP_CACHE : 0) |
    (reply.cacheDirectory ? FOPEN.CACHE_DIR : 0);
  words[start + OPEN_OUT.word.padding] = 0;
}

/** @param start word of the buffer at which the structure begins. */
export function writeEntry(buffer: DeviceBuffer, start: number, reply: EntryReply): void {
  const { words } = buffer;
  const { word } = ENTRY_OUT;
  writeNumber(words, start + word.nodeid, reply.node);
  writeNumber(words, start + word.generation, reply.generation);
  writeMs(words, start + word.entry_valid, start + word.entry_valid_nsec, reply.entryMs);
  writeMs(words, start + word.attr_valid, start + word.attr_valid_nsec, reply.attributesMs);
  writeAttributes(buffer, start + word.attr, reply.attributes);
}

function writeAttributes(buffer: DeviceBuffer, start: number, attributes: KernelAttributes): void {
  const { words } = buffer;
  const { word } = ATTR;
  buffer.longs[(start + word.ino) >> 1] = attributes.inode;
  writeNumber(words, start + word.size, attributes.size);
  writeNumber(words, start + word.blocks, attributes.blocks);
  writeNumber(words, start + word.atime, attributes.atimeSec);
  writeNumber(words, start + word.mtime, attributes.mtimeSec);
  writeNumber(words, start + word.ctime, attributes.ctimeSec);
  words[start + word.atimensec] = attributes.atimeNsec;
  words[start + word.mtimensec] = attributes.mtimeNsec;
  words[start + word.ctimensec] = attributes.ctimeNsec;
  words[start + word.mode] = attributes.mode;
  words[start + word.nlink] = attributes.nlink;
  words[start + word.uid] = attributes.uid;
  words[start + word.gid] = attributes.gid;
  words[start + word.rdev] = 0;
  words[start + word.blksize] = attributes.blksize;
  words[start + word.flags] = 0;
}
