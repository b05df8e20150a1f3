/**
 * Memory for contents of small files: blocks that are filled one file behind the other and used again once none of their
 * files is needed any more, so that the garbage collector has nothing to do with them. Bounded; what is needed
 * longest ago makes room.
 *
 * Whoever looks at contents across turns of the event loop holds them (and lets them go): else the block may be filled
 * anew under them.
 */

/** Tuning, bytes. A block takes the largest small file. */
const BLOCK_BYTES = 256 * 1024;
const MAX_BLOCKS = 128;
/** Files kept at most, for what they cost beside their contents. */
const MAX_FILES = 65_536;
/** Files begin at multiples of this. */
const ALIGN_BYTES = 8;

interface Block {
  readonly bytes: Uint8Array;
  /** Contents that are kept or held. */
  live: number;
}

export interface Contents {
  readonly bytes: Uint8Array;
  /** Keeps `bytes` as they are until letGo(), once for each hold(). */
  hold(): void;
  letGo(): void;
}

class BlockContents implements Contents {
  readonly bytes: Uint8Array;
  readonly #memory: ContentsMemory;
  readonly #block: Block;
  readonly evict: () => void;

  constructor(memory: ContentsMemory, block: Block, bytes: Uint8Array, evict: () => void) {
    this.#memory = memory;
    this.#block = block;
    this.bytes = bytes;
    this.evict = evict;
  }

  hold(): void {
    this.#block.live += 1;
  }

  letGo(): void {
    this.#block.live -= 1;
    if (this.#block.live === 0) this.#memory.emptied(this.#block);
  }
}

/** All of one peer's. */
export class ContentsMemory {
  /** Longest unused first. */
  readonly #kept = new Set<BlockContents>();
  readonly #maxBlocks: number;
  #blocks = 0;
  readonly #empty: Block[] = [];
  #filling: Block | undefined;
  #filled = 0;

  constructor(maxBlocks = MAX_BLOCKS) {
    this.#maxBlocks = maxBlocks;
  }

  /** Bytes taken, with what is free in blocks. */
  get takenBytes(): number {
    return this.#blocks * BLOCK_BYTES;
  }

  /**
   * Keeps a copy.
   * @param evict called when it has to make room: it is to be dropped then.
   * @returns undefined if there is no room: much is held.
   */
  keep(bytes: Uint8Array, evict: () => void): Contents | undefined {
    const block = this.#room(bytes.length);
    if (block === undefined) return undefined;
    const start = this.#filled;
    const copy = block.bytes.subarray(start, start + bytes.length);
    copy.set(bytes);
    this.#filled = Math.ceil((start + bytes.length) / ALIGN_BYTES) * ALIGN_BYTES;
    const contents = new BlockContents(this, block, copy, evict);
    block.live += 1;
    this.#kept.add(contents);
    while (this.#kept.size > MAX_FILES) this.#evictOldest();
    return contents;
  }

  /** They were of use: others go first. */
  used(contents: Contents): void {
    if (contents instanceof BlockContents && this.#kept.delete(contents)) this.#kept.add(contents);
  }

  /** They are kept no longer. */
  drop(contents: Contents): void {
    if (contents instanceof BlockContents && this.#kept.delete(contents)) contents.letGo();
  }

  /** Nothing in the block is needed. */
  emptied(block: Block): void {
    if (block === this.#filling) this.#filled = 0;
    else this.#empty.push(block);
  }

  #room(bytes: number): Block | undefined {
    if (this.#filling !== undefined && this.#filled + bytes <= BLOCK_BYTES) return this.#filling;
    const left = this.#filling;
    this.#filling = undefined;
    this.#filled = 0;
    if (left?.live === 0) this.#empty.push(left);
    while (this.#empty.length === 0 && this.#blocks >= this.#maxBlocks && this.#kept.size > 0) this.#evictOldest();
    this.#filling = this.#empty.pop();
    if (this.#filling === undefined && this.#blocks < this.#maxBlocks) {
      this.#blocks += 1;
      this.#filling = { bytes: new Uint8Array(new ArrayBuffer(BLOCK_BYTES)), live: 0 };
    }
    return this.#filling;
  }

  #evictOldest(): void {
    for (const oldest of this.#kept) {
      oldest.evict();
      this.drop(oldest);
      return;
    }
  }
}
