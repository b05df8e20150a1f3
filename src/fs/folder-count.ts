/**
 * The counting of all that lies below a folder, in steps that are short enough for others to have their turn between them.
 * Runs on a disk thread. Holds one descriptor and a few names for each level.
 */
import { join, ROOT, type ByteString } from '../bytestring.ts';
import { PeerfsError } from '../errors.ts';
import { readRows, seekRows } from '../sys/file-data.ts';
import { closeDescriptor, statAt, type FileStatus } from '../sys/files.ts';
import { fileKey, S_IFDIR, S_IFMT } from './local-attributes.ts';
import type { ShareRoot } from './local-root.ts';
import { allocatedBytes } from './quota.ts';

/** Rows of a directory that are read at once, bytes: what is looked at before the time is. */
const ROWS_BYTES = 8 * 1024;
/** Files with several names that are remembered, to be counted once; further ones are counted for each name. */
const MAX_LINKED = 1_000_000;
/** A folder in folders by more bytes of names than this is not followed. */
const MAX_DEPTH_BYTES = 64 * 1024;

interface Place {
  readonly path: ByteString;
  /** Where its listing goes on. */
  readonly cursor: bigint;
}

export class FolderCount {
  readonly #root: ShareRoot;
  /** Directories to be read, the next last. */
  readonly #places: Place[] = [{ path: ROOT, cursor: 0n }];
  readonly #linked = new Set<string>();
  #open: { readonly path: ByteString; readonly descriptor: number } | undefined;
  bytes = 0;
  names = 0;
  /** Something lies deeper than is looked at. */
  isTooDeep = false;

  constructor(root: ShareRoot) {
    this.#root = root;
  }

  /** @param hasTime asked between small pieces of work. @returns whether all is counted. */
  step(hasTime: () => boolean): boolean {
    do {
      this.#open ??= this.#openNext();
      if (this.#open === undefined) return true;
      this.#readOn(this.#open);
    } while (hasTime());
    return false;
  }

  /** Gives up. Idempotent. */
  close(): void {
    this.#places.length = 0;
    this.#shut();
  }

  #shut(): void {
    if (this.#open !== undefined) closeDescriptor(this.#open.descriptor);
    this.#open = undefined;
  }

  #openNext(): { readonly path: ByteString; readonly descriptor: number } | undefined {
    for (let place = this.#places.pop(); place !== undefined; place = this.#places.pop()) {
      const { path, cursor } = place;
      if (path.length > MAX_DEPTH_BYTES) {
        this.isTooDeep = true;
        continue;
      }
      const descriptor = unlessGone(() => this.#root.openDeepDirectory(path));
      if (descriptor === undefined) continue;
      this.#open = { path, descriptor };
      if (cursor !== 0n) unlessGone(() => seekRows(descriptor, cursor));
      return this.#open;
    }
    return undefined;
  }

  #readOn({ path, descriptor }: { readonly path: ByteString; readonly descriptor: number }): void {
    const rows = unlessGone(() => readRows(descriptor, ROWS_BYTES));
    const below: Place[] = [];
    for (const { name } of rows ?? []) {
      const status = unlessGone(() => statAt(descriptor, name));
      if (status === undefined) continue;
      this.#count(status);
      if ((status.mode & S_IFMT) === S_IFDIR) below.push({ path: join(path, name), cursor: 0n });
    }
    if (rows !== undefined && below.length === 0) return;
    // First what is below, then the rest: so few names are remembered at a time.
    this.#shut();
    const last = rows?.at(-1);
    if (last !== undefined) this.#places.push({ path, cursor: last.cursor });
    this.#places.push(...below);
  }

  #count(status: FileStatus): void {
    this.names += 1;
    if (status.nlink > 1 && (status.mode & S_IFMT) !== S_IFDIR) {
      const file = fileKey(status);
      if (this.#linked.has(file)) return;
      if (this.#linked.size < MAX_LINKED) this.#linked.add(file);
    }
    this.bytes += allocatedBytes(status);
  }
}

/** What went away or cannot be read does not count. */
function unlessGone<T>(look: () => T): T | undefined {
  try {
    return look();
  } catch (error) {
    if (error instanceof PeerfsError) return undefined;
    throw error;
  }
}
