/** The bytes of a file in memory: only chunks that were written exist, so that a sparse file of terabytes fits. */

/** Also the unit of holes, bytes. */
export const CHUNK_BYTES = 4096;

export class MemoryData {
  size = 0;
  readonly #chunks = new Map<number, Uint8Array>();

  /** Units of 512 bytes, as in st_blocks. */
  get blocks(): number {
    return (this.#chunks.size * CHUNK_BYTES) / 512;
  }

  read(offset: number, length: number): Uint8Array {
    const end = Math.min(this.size, offset + length);
    const bytes = new Uint8Array(Math.max(0, end - offset));
    this.#each(offset, end, (index, from, to, done) => {
      const chunk = this.#chunks.get(index);
      if (chunk !== undefined) bytes.set(chunk.subarray(from, to), done);
    });
    return bytes;
  }

  write(offset: number, bytes: Uint8Array): void {
    this.#each(offset, offset + bytes.length, (index, from, to, done) => {
      let chunk = this.#chunks.get(index);
      if (chunk === undefined) this.#chunks.set(index, (chunk = new Uint8Array(CHUNK_BYTES)));
      chunk.set(bytes.subarray(done, done + to - from), from);
    });
    this.size = Math.max(this.size, offset + bytes.length);
  }

  truncate(size: number): void {
    if (size < this.size) this.clear(size, this.size);
    this.size = size;
  }

  /** Makes a hole of whole chunks in it and writes zeros at its edges. */
  clear(start: number, end: number): void {
    for (const index of [...this.#chunks.keys()]) {
      const from = Math.max(start - index * CHUNK_BYTES, 0);
      const to = Math.min(end - index * CHUNK_BYTES, CHUNK_BYTES);
      if (from >= to) continue;
      if (from === 0 && to === CHUNK_BYTES) this.#chunks.delete(index);
      else this.#chunks.get(index)?.fill(0, from, to);
    }
  }

  /** The next data or hole at or after `offset`; undefined if there is none. */
  seek(offset: number, data: boolean): number | undefined {
    if (offset >= this.size) return undefined;
    if (!data) {
      let index = Math.floor(offset / CHUNK_BYTES);
      if (!this.#chunks.has(index)) return offset;
      while (this.#chunks.has(index)) index++;
      return Math.min(index * CHUNK_BYTES, this.size);
    }
    const first = Math.floor(offset / CHUNK_BYTES);
    let found = Infinity;
    for (const index of this.#chunks.keys()) if (index >= first && index < found) found = index;
    const position = Math.max(offset, found * CHUNK_BYTES);
    return position < this.size ? position : undefined;
  }

  #each(start: number, end: number, visit: (index: number, from: number, to: number, done: number) => void): void {
    for (let at = start; at < end;) {
      const index = Math.floor(at / CHUNK_BYTES);
      const from = at - index * CHUNK_BYTES;
      const to = Math.min(CHUNK_BYTES, from + end - at);
      visit(index, from, to, at - start);
      at += to - from;
    }
  }
}
