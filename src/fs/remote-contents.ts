/**
 * Contents of small files, whole, as long as the leases of their directories say that they are true. Owns memory and
 * which goes first when there is too much; remote-cache.ts says what is no longer true, remote-prefetch.ts brings some.
 *
 * Contents belong to attributes: whoever has others of the same file in hand gets none.
 */
import { join, nameOf, parentOf, type ByteString } from '../bytestring.ts';
import type { Attributes } from '../wire/schema.ts';
import { isSameFile } from './remote-file.ts';

/** Tuning, bytes: of all shares of a peer; and what an entry costs beside its contents. */
const MAX_BYTES = 32 * 1024 * 1024;
const ENTRY_BYTES = 512;

/** Larger files are not kept whole, bytes. */
export const SMALL_FILE_BYTES = 128 * 1024;

interface Entry {
  readonly of: RemoteContents;
  readonly directory: ByteString;
  readonly name: ByteString;
  readonly attributes: Attributes;
  readonly bytes: Uint8Array;
  isUsed: boolean;
}

/** What one peer's files may take, least lately used first. */
export class ContentsMemory {
  readonly #entries = new Set<Entry>();
  readonly #maxBytes: number;
  #bytes = 0;

  constructor(maxBytes = MAX_BYTES) {
    this.#maxBytes = maxBytes;
  }

  get bytes(): number {
    return this.#bytes;
  }

  add(entry: Entry): void {
    this.#entries.add(entry);
    this.#bytes += entry.bytes.length + ENTRY_BYTES;
    for (const oldest of this.#entries) {
      if (this.#bytes <= this.#maxBytes) return;
      oldest.of.forget(join(oldest.directory, oldest.name));
    }
  }

  used(entry: Entry): void {
    this.#entries.delete(entry);
    this.#entries.add(entry);
  }

  remove(entry: Entry): void {
    if (this.#entries.delete(entry)) this.#bytes -= entry.bytes.length + ENTRY_BYTES;
  }
}

/** The contents of one share. */
export class RemoteContents {
  readonly #memory: ContentsMemory;
  readonly #directories = new Map<ByteString, Map<ByteString, Entry>>();
  /** Called with each that goes and was never used. */
  onUnused: (path: ByteString, bytes: number) => void = () => undefined;

  constructor(memory: ContentsMemory) {
    this.#memory = memory;
  }

  /** @returns the whole file with these attributes, which nobody changes; undefined if it is not at hand. */
  get(path: ByteString, attributes: Attributes): Uint8Array | undefined {
    const entry = this.#directories.get(parentOf(path))?.get(nameOf(path));
    if (entry === undefined || !isSameVersion(entry.attributes, attributes)) return undefined;
    entry.isUsed = true;
    this.#memory.used(entry);
    return entry.bytes;
  }

  has(path: ByteString): boolean {
    return this.#directories.get(parentOf(path))?.has(nameOf(path)) === true;
  }

  /** @param bytes are kept: a view would keep all of its memory. */
  put(path: ByteString, attributes: Attributes, bytes: Uint8Array, isUsed: boolean): void {
    this.forget(path);
    const directory = parentOf(path);
    const entry: Entry = { of: this, directory, name: nameOf(path), attributes, bytes, isUsed };
    let entries = this.#directories.get(directory);
    if (entries === undefined) {
      entries = new Map();
      this.#directories.set(directory, entries);
    }
    entries.set(entry.name, entry);
    this.#memory.add(entry);
  }

  /** New attributes of the file were heard: what belongs to others goes. */
  heard(path: ByteString, attributes: Attributes | null | undefined): void {
    const entry = this.#directories.get(parentOf(path))?.get(nameOf(path));
    if (entry === undefined) return;
    if (attributes === null || attributes === undefined || !isSameVersion(entry.attributes, attributes)) {
      this.#remove(entry);
    }
  }

  forget(path: ByteString): void {
    const entry = this.#directories.get(parentOf(path))?.get(nameOf(path));
    if (entry !== undefined) this.#remove(entry);
  }

  forgetDirectory(directory: ByteString): void {
    const entries = this.#directories.get(directory);
    if (entries === undefined) return;
    for (const entry of [...entries.values()]) this.#remove(entry);
  }

  /** All names of the directory were heard anew. */
  heardAll(directory: ByteString, attributesOf: (name: ByteString) => Attributes | null | undefined): void {
    for (const name of [...(this.#directories.get(directory)?.keys() ?? [])]) {
      this.heard(join(directory, name), attributesOf(name));
    }
  }

  clear(): void {
    for (const directory of [...this.#directories.keys()]) this.forgetDirectory(directory);
  }

  #remove(entry: Entry): void {
    const { directory, name, bytes } = entry;
    const entries = this.#directories.get(directory);
    entries?.delete(name);
    if (entries?.size === 0) this.#directories.delete(directory);
    this.#memory.remove(entry);
    if (!entry.isUsed) this.onUnused(join(directory, name), bytes.length);
  }
}

function isSameVersion(a: Attributes, b: Attributes): boolean {
  if (a === b) return true;
  return (
    a.size === b.size &&
    a.mtimeSec === b.mtimeSec &&
    a.mtimeNsec === b.mtimeNsec &&
    a.ctimeSec === b.ctimeSec &&
    a.ctimeNsec === b.ctimeNsec &&
    isSameFile(a, b)
  );
}
