/**
 * Contents of small files of one share, whole, as long as the leases of their directories say that they are true. Owns
 * which files they are of; their memory is contents-memory.ts's, remote-cache.ts says what is no longer true,
 * remote-prefetch.ts brings some.
 *
 * Contents belong to attributes: whoever has others of the same file in hand gets none.
 */
import { nameOf, parentOf, type ByteString } from '../bytestring.ts';
import type { Attributes } from '../wire/schema.ts';
import type { Contents, ContentsMemory } from './contents-memory.ts';
import { isSameFile } from './remote-file.ts';

/** Larger files are not kept whole, bytes. */
export const SMALL_FILE_BYTES = 128 * 1024;

interface Entry {
  readonly attributes: Attributes;
  readonly contents: Contents;
  isUsed: boolean;
}

export class RemoteContents {
  readonly #memory: ContentsMemory;
  readonly #directories = new Map<ByteString, Map<ByteString, Entry>>();
  /** Called with each that goes and was never used. */
  onUnused: (directory: ByteString, name: ByteString) => void = () => undefined;

  constructor(memory: ContentsMemory) {
    this.#memory = memory;
  }

  /** @returns the whole file with these attributes; undefined if it is not at hand. */
  get(directory: ByteString, name: ByteString, attributes: Attributes): Contents | undefined {
    const entry = this.#directories.get(directory)?.get(name);
    if (entry === undefined || !isSameVersion(entry.attributes, attributes)) return undefined;
    entry.isUsed = true;
    this.#memory.used(entry.contents);
    return entry.contents;
  }

  has(directory: ByteString, name: ByteString): boolean {
    return this.#directories.get(directory)?.has(name) === true;
  }

  /** @param bytes are copied. */
  put(directory: ByteString, name: ByteString, attributes: Attributes, bytes: Uint8Array, isUsed: boolean): void {
    this.#remove(directory, name);
    const contents = this.#memory.keep(bytes, () => this.#remove(directory, name));
    if (contents === undefined) return;
    let entries = this.#directories.get(directory);
    if (entries === undefined) {
      entries = new Map();
      this.#directories.set(directory, entries);
    }
    entries.set(name, { attributes, contents, isUsed });
  }

  /** New attributes of the file were heard: what belongs to others goes. */
  heard(path: ByteString, attributes: Attributes | null | undefined): void {
    if (this.#directories.size === 0) return;
    this.#heard(parentOf(path), nameOf(path), attributes);
  }

  forget(path: ByteString): void {
    if (this.#directories.size > 0) this.#remove(parentOf(path), nameOf(path));
  }

  forgetDirectory(directory: ByteString): void {
    for (const name of [...(this.#directories.get(directory)?.keys() ?? [])]) this.#remove(directory, name);
  }

  /** All names of the directory were heard anew. */
  heardAll(directory: ByteString, attributesOf: (name: ByteString) => Attributes | null | undefined): void {
    for (const name of [...(this.#directories.get(directory)?.keys() ?? [])]) {
      this.#heard(directory, name, attributesOf(name));
    }
  }

  clear(): void {
    for (const directory of [...this.#directories.keys()]) this.forgetDirectory(directory);
  }

  #heard(directory: ByteString, name: ByteString, attributes: Attributes | null | undefined): void {
    const entry = this.#directories.get(directory)?.get(name);
    if (entry === undefined) return;
    if (!attributes || !isSameVersion(entry.attributes, attributes)) this.#remove(directory, name);
  }

  #remove(directory: ByteString, name: ByteString): void {
    const entries = this.#directories.get(directory);
    const entry = entries?.get(name);
    if (entries === undefined || entry === undefined) return;
    entries.delete(name);
    if (entries.size === 0) this.#directories.delete(directory);
    this.#memory.drop(entry.contents);
    if (!entry.isUsed) this.onUnused(directory, name);
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
