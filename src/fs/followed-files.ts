/**
 * The files that peers have open in one tree, by where they stand: so that changes made through a handle are told under a
 * path that is right, and that a peer which was away is not taken at its word. Owns paths; does not own handles.
 */
import { isBelow, type ByteString } from '../bytestring.ts';
import { RECALL } from '../wire/schema.ts';
import type { LeaseHolder } from './lease-holder.ts';
import type { TreeChange } from './tree.ts';

/** An open handle of a peer. */
export interface FollowedFile {
  readonly holder: LeaseHolder;
  /** Follows renames of peers. */
  path: ByteString;
  /** The file has several names, or had: `path` may not be the one that is left. */
  mayBeElsewhere: boolean;
  /** Another peer moved it: whoever has it open may not know it by `path`. */
  isMoved: boolean;
  /** When others last changed the contents, Clock.now(). */
  changedAt: number;
  /** Others changed the contents while the holder was away for longer than its leases. */
  isOvertaken: boolean;
}

export class FollowedFiles {
  readonly #byPath = new Map<ByteString, Set<FollowedFile>>();

  add(file: FollowedFile): void {
    const there = this.#byPath.get(file.path);
    if (there === undefined) this.#byPath.set(file.path, new Set([file]));
    else there.add(file);
  }

  remove(file: FollowedFile): void {
    const there = this.#byPath.get(file.path);
    if (there?.delete(file) === true && there.size === 0) this.#byPath.delete(file.path);
  }

  /** The file got another name. */
  linked(path: ByteString): void {
    for (const file of this.#byPath.get(path) ?? []) file.mayBeElsewhere = true;
  }

  /** @param by undefined: not a peer. */
  changed(by: LeaseHolder | undefined, changes: readonly TreeChange[], now: number): void {
    if (this.#byPath.size === 0) return;
    for (const { path, what } of changes) {
      if ((what & RECALL.contents) === 0) continue;
      for (const file of this.#byPath.get(path) ?? []) if (file.holder !== by) file.changedAt = now;
    }
  }

  /** A peer moved a name. */
  renamed(by: LeaseHolder, from: ByteString, to: ByteString, exchange: boolean): void {
    const moved: [FollowedFile, ByteString][] = [];
    for (const [path, files] of this.#byPath) {
      const target = isBelow(path, from)
        ? to + path.slice(from.length)
        : exchange && isBelow(path, to)
          ? from + path.slice(to.length)
          : undefined;
      if (target !== undefined) for (const file of files) moved.push([file, target as ByteString]);
    }
    for (const [file, path] of moved) {
      this.remove(file);
      file.path = path;
      if (file.holder !== by) file.isMoved = true;
    }
    for (const [file] of moved) this.add(file);
  }

  /** The holder is back, was away, and its leases have ended; it was last heard at `heardAt`. */
  overtaken(holder: LeaseHolder, heardAt: number): void {
    for (const files of this.#byPath.values()) {
      for (const file of files) if (file.holder === holder && file.changedAt >= heardAt) file.isOvertaken = true;
    }
  }
}
