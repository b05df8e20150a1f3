/**
 * Open files of a RemoteTree: what handles of one file share (unwritten data, size), and what each has (server handle,
 * read-ahead, errors).
 */
import type { ByteString } from '../bytestring.ts';
import { OPEN, type Attributes, type DirectoryEntry } from '../wire/schema.ts';
import type { Contents } from './contents-memory.ts';
import type { Creation } from './creation.ts';
import type { ReadAhead } from './remote-read-ahead.ts';
import type { WriteBuffer } from './remote-write-buffer.ts';
import type { Version } from './tree.ts';

/** What makes two names the same file within a share. */
export interface FileIdentity {
  readonly inode: bigint;
  readonly device: bigint;
  readonly birthSec: number;
  readonly birthNsec: number;
}

/** A name of a directory. */
export interface ListedEntry {
  readonly name: ByteString;
  /** undefined: more cannot be said. */
  readonly attributes: Attributes | undefined;
}

export function isSameFile(a: FileIdentity, b: FileIdentity): boolean {
  return a.inode === b.inode && a.device === b.device && a.birthSec === b.birthSec && a.birthNsec === b.birthNsec;
}

/** One file that is open. */
export interface RemoteFile {
  /** Changes once, for a file that was made here first: when it is at the server. */
  identity: FileIdentity;
  readonly handles: Set<RemoteHandle>;
  readonly writes: WriteBuffer<RemoteHandle>;
  /** Bytes, as last heard. */
  size: number;
  /** As our last change left it at the server, or as it was heard of when nothing was unwritten; undefined: not at the server. */
  version: Version | undefined;
  /** A write since nothing was unwritten has been answered. */
  isNoted: boolean;
  /** Counts our changes of the contents: a read asked for before one says nothing of the size after it. */
  changes: number;
}

/** One open(2). */
export interface RemoteHandle {
  readonly file: RemoteFile;
  readonly flags: number;
  readonly readAhead: ReadAhead;
  /** The whole file, if it was at hand when it was opened: under the lease, until it changes. */
  whole: Uint8Array | undefined;
  /** The same for good (held): what is left if the file is gone before the server was asked for a number. */
  readonly asOpened: Contents | undefined;
  /** While it is not at the server, or if it never got there. */
  creation: Creation | undefined;
  /** Where it was opened; follows our own renames. */
  path: ByteString;
  /** The server's number; 0 before it was needed. */
  number: number;
  /** The server does not know `number`: it was not asked yet, it restarted, or we were gone for too long. */
  isLost: boolean;
  reopening: Promise<void> | undefined;
  /** Locks were taken through it that are gone: all input and output fails. */
  isBroken: boolean;
  hasLocks: boolean;
  hasWritten: boolean;
  /** Under the lease epoch `epoch`: its contents are promised to be recalled, and it still stands at `path`. */
  isLeased: boolean;
  readonly epoch: number;
}

/** The server said this after one of our changes; the answers of writes that are under way together come in any order. */
export function noteWritten(file: RemoteFile, { size, mtimeSec, mtimeNsec }: Version): void {
  const { version, isNoted } = file;
  const since =
    version === undefined ? 1 : mtimeSec - version.mtimeSec || mtimeNsec - version.mtimeNsec || size - version.size;
  if (!isNoted || since > 0) file.version = { size, mtimeSec, mtimeNsec };
  file.isNoted = file.writes.isDirty;
}

export const isSameVersion = (a: Version, b: Version): boolean =>
  a.size === b.size && a.mtimeSec === b.mtimeSec && a.mtimeNsec === b.mtimeNsec;

/** Flags for opening a file again that is open already. */
export const reopenFlags = (flags: number): number => flags & ~(OPEN.create | OPEN.exclusive | OPEN.truncate);

/** What was read is stale. */
export function dropContents(open: RemoteHandle): void {
  open.readAhead.drop();
  open.whole = undefined;
}

/** Open files by identity. */
export class RemoteFiles {
  readonly #byInode = new Map<bigint, RemoteFile[]>();

  find(attributes: Attributes): RemoteFile | undefined {
    if (this.#byInode.size === 0) return undefined;
    return this.#byInode.get(attributes.inode)?.find(({ identity }) => isSameFile(identity, attributes));
  }

  add(file: RemoteFile): void {
    const { inode } = file.identity;
    const there = this.#byInode.get(inode);
    if (there === undefined) this.#byInode.set(inode, [file]);
    else there.push(file);
  }

  remove(file: RemoteFile): void {
    const { inode } = file.identity;
    const rest = (this.#byInode.get(inode) ?? []).filter((other) => other !== file);
    if (rest.length === 0) this.#byInode.delete(inode);
    else this.#byInode.set(inode, rest);
  }

  *all(): Iterable<RemoteFile> {
    for (const files of this.#byInode.values()) yield* files;
  }

  isAnyDirty(): boolean {
    for (const file of this.all()) if (file.writes.isDirty) return true;
    return false;
  }

  /** What of listed entries may be kept: not the attributes of files of which something is unwritten. */
  asKept(entries: readonly DirectoryEntry[]): readonly ListedEntry[] {
    if (!this.isAnyDirty()) return entries;
    return entries.map(({ name, attributes }) => ({
      name,
      attributes: this.find(attributes)?.writes.isDirty === true ? undefined : attributes,
    }));
  }

  /** Open files by the path of a handle. */
  *at(path: ByteString): Iterable<RemoteFile> {
    for (const file of this.all()) {
      for (const handle of file.handles) {
        if (handle.path === path) {
          yield file;
          break;
        }
      }
    }
  }
}
