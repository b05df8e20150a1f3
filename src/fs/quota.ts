/**
 * What a folder may hold and what it holds, in memory that the main thread and a disk thread share: the disk thread counts
 * (src/fs/local-quota.ts), the main thread keeps room for writes under way (src/fs/write-room.ts).
 */
import type { FileStatus } from '../sys/files.ts';

export interface Quota {
  /** As the disk counts: what is allocated, not what files say they are long. */
  readonly bytes: number;
  /** Files and folders below the folder; each further hard link counts as one. */
  readonly names: number;
}

/** Most file systems give room in units of this, bytes. */
const BLOCK_BYTES = 4096;
/** st_blocks is in units of this, bytes. */
const SECTOR_BYTES = 512;

const WORD = { limitBytes: 0, limitNames: 1, usedBytes: 2, usedNames: 3, reserved: 4, isCounted: 5 } as const;
const WORDS = 6;

export class QuotaWords {
  readonly memory: SharedArrayBuffer;
  readonly #words: BigInt64Array;

  constructor(memory = new SharedArrayBuffer(WORDS * BigInt64Array.BYTES_PER_ELEMENT)) {
    this.memory = memory;
    this.#words = new BigInt64Array(memory);
  }

  get limit(): Quota {
    return { bytes: this.#get(WORD.limitBytes), names: this.#get(WORD.limitNames) };
  }

  set limit({ bytes, names }: Quota) {
    this.#set(WORD.limitBytes, bytes);
    this.#set(WORD.limitNames, names);
  }

  /** Written by the disk thread alone. What was counted wrongly for a while is never less than nothing. */
  get used(): Quota {
    return { bytes: Math.max(0, this.#get(WORD.usedBytes)), names: Math.max(0, this.#get(WORD.usedNames)) };
  }

  set used({ bytes, names }: Quota) {
    this.#set(WORD.usedBytes, bytes);
    this.#set(WORD.usedNames, names);
  }

  /** Bytes kept for writes under way, not yet among those used. Written by the main thread alone. */
  get reserved(): number {
    return this.#get(WORD.reserved);
  }

  set reserved(bytes: number) {
    this.#set(WORD.reserved, bytes);
  }

  /** Whether the folder was counted once. */
  get isCounted(): boolean {
    return this.#get(WORD.isCounted) === 1;
  }

  set isCounted(is: boolean) {
    this.#set(WORD.isCounted, is ? 1 : 0);
  }

  /** Whether so many bytes more stay below the limit. */
  hasRoom(bytes: number): boolean {
    return bytes === 0 || this.used.bytes + this.reserved + bytes <= this.#get(WORD.limitBytes);
  }

  #get(index: number): number {
    return Number(Atomics.load(this.#words, index));
  }

  #set(index: number, value: number): void {
    Atomics.store(this.#words, index, BigInt(Math.trunc(value)));
  }
}

export function allocatedBytes({ blocks }: { readonly blocks: number }): number {
  return blocks * SECTOR_BYTES;
}

/** @returns whole blocks that hold so many bytes. */
export function inBlocks(bytes: number): number {
  return Math.ceil(bytes / BLOCK_BYTES) * BLOCK_BYTES;
}

/** How many bytes a write to a file that is as `status` says may take, at most. */
export function growthOf(status: Pick<FileStatus, 'size' | 'blocks'>, offset: number, length: number): number {
  const { size } = status;
  const end = offset + length;
  // A file with holes may take room for whatever is written into it.
  if (allocatedBytes(status) < size || offset > size) return inBlocks(end) - (offset - (offset % BLOCK_BYTES));
  return Math.max(0, inBlocks(end) - inBlocks(size));
}
