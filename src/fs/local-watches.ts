/**
 * What programs of this machine change in a shared folder: inotify watches by path, and events turned into TreeChanges.
 *
 * A path is only as good as the directories above it, so a watch on a directory watches those for being moved or
 * removed. Changes made through the tree itself are left out: calls that change something run in `own`, which takes
 * the events queued before them as others', and drops those that come with them about their own paths. (Another
 * program's change to the very same name within those microseconds goes unseen with them.) Writes run on other
 * threads: their events are told with the file's key, and src/fs/local-tree.ts knows which files it is writing.
 *
 * Not seen: changes through a hard link that stands elsewhere, through mmap, and on the server side of a network
 * file system.
 */
import type { Clock, Timer } from '../clock.ts';
import { join, parentOf, ROOT, type ByteString } from '../bytestring.ts';
import { PeerfsError } from '../errors.ts';
import { procPath, statAt } from '../sys/files.ts';
import { IN, openInotify, type Inotify, type InotifyEvent } from '../sys/inotify.ts';
import { RECALL } from '../wire/schema.ts';
import { fileKey } from './local-attributes.ts';
import type { ShareRoot } from './local-root.ts';
import type { TreeChange } from './tree.ts';

const SELF = IN.DELETE_SELF | IN.MOVE_SELF | IN.ONLYDIR;
const NAMES = IN.CREATE | IN.DELETE | IN.MOVED_FROM | IN.MOVED_TO;
const EVERYTHING = SELF | NAMES | IN.MODIFY | IN.ATTRIB | IN.CLOSE_WRITE;
const ALL = RECALL.subtree | RECALL.entries | RECALL.attributes | RECALL.contents;

type Note = (path: ByteString, what: number, file?: string) => void;

/** A program that writes in small pieces makes thousands of events; they are told at most this often, milliseconds. */
const WRITE_PAUSE_MS = 5;

interface Watch {
  readonly number: number;
  readonly path: ByteString;
  /** Calls of add() not undone. */
  count: number;
  /** Watches directly below, which rely on this one. */
  below: number;
}

/** A change, and for a write to a file the file's key. */
export type WatchListener = (change: TreeChange, writtenFile: string | undefined) => void;

export class LocalWatches {
  readonly #root: ShareRoot;
  readonly #listener: WatchListener;
  readonly #byPath = new Map<ByteString, Watch>();
  readonly #byNumber = new Map<number, Watch>();
  readonly #clock: Clock;
  #inotify: Inotify | undefined;
  /** Writes to files that are told when the timer ends: path, and the watch of its directory. */
  readonly #written = new Map<ByteString, InotifyEvent>();
  #writtenTimer: Timer | undefined;

  constructor(root: ShareRoot, clock: Clock, listener: WatchListener) {
    this.#root = root;
    this.#clock = clock;
    this.#listener = listener;
  }

  /** @returns false if changes there cannot be told. */
  add(path: ByteString): boolean {
    try {
      this.#inotify ??= openInotify((events) => this.#tell(events, undefined));
      const watch = this.#ensure(path);
      if (watch === undefined) return false;
      if (watch.count === 0) this.#addKernelWatch(path, EVERYTHING);
      watch.count++;
      return true;
    } catch (error) {
      if (error instanceof PeerfsError) {
        this.#dropIfUnused(path);
        return false;
      }
      throw error;
    }
  }

  remove(path: ByteString): void {
    const watch = this.#byPath.get(path);
    if (watch === undefined || watch.count === 0) return;
    watch.count--;
    this.#dropIfUnused(path);
  }

  /** Runs a change that the tree itself makes to these paths. */
  own<T>(paths: readonly ByteString[], change: () => T): T {
    if (this.#inotify === undefined || this.#byPath.size === 0) return change();
    this.#tell(this.#inotify.read(), undefined);
    try {
      return change();
    } finally {
      this.#tell(this.#inotify.read(), (path) => paths.includes(path));
    }
  }

  /** Runs the closing of a descriptor. @param file key of the file if it was open for writing. */
  ownClose(file: string | undefined, close: () => void): void {
    if (file === undefined || this.#inotify === undefined || this.#byPath.size === 0) {
      close();
      return;
    }
    this.#tell(this.#inotify.read(), undefined);
    close();
    this.#tell(
      this.#inotify.read(),
      (_path, event) => (event.mask & IN.CLOSE_WRITE) !== 0 && this.#keyOf(event) === file,
    );
  }

  close(): void {
    this.#inotify?.close();
    this.#inotify = undefined;
    this.#writtenTimer?.cancel();
    this.#written.clear();
    this.#byPath.clear();
    this.#byNumber.clear();
  }

  #addKernelWatch(path: ByteString, mask: number): number {
    return this.#root.at(path, (descriptor) => this.#inotify?.add(procPath(descriptor), mask) ?? -1);
  }

  /** The watch of a directory and of those above it; undefined if the kernel knows the directory by another path. */
  #ensure(path: ByteString): Watch | undefined {
    const present = this.#byPath.get(path);
    if (present !== undefined) return present;
    const above = path === ROOT ? undefined : this.#ensure(parentOf(path));
    if (path !== ROOT && above === undefined) return undefined;
    const number = this.#addKernelWatch(path, SELF);
    if (this.#byNumber.has(number)) return undefined;
    const watch: Watch = { number, path, count: 0, below: 0 };
    if (above !== undefined) above.below++;
    this.#byPath.set(path, watch);
    this.#byNumber.set(number, watch);
    return watch;
  }

  #dropIfUnused(path: ByteString): void {
    const watch = this.#byPath.get(path);
    if (watch === undefined) {
      if (path !== ROOT) this.#dropIfUnused(parentOf(path));
      return;
    }
    if (watch.count > 0 || watch.below > 0) return;
    this.#forget(watch);
    this.#inotify?.remove(watch.number);
    if (path !== ROOT) this.#dropIfUnused(parentOf(path));
  }

  #forget(watch: Watch): void {
    if (!this.#byPath.delete(watch.path)) return;
    this.#byNumber.delete(watch.number);
    const above = watch.path === ROOT ? undefined : this.#byPath.get(parentOf(watch.path));
    if (above !== undefined) above.below--;
  }

  /** The directory is no longer what the path says. */
  #dropSubtree(path: ByteString): void {
    for (const watch of [...this.#byPath.values()]) {
      if (watch.path !== path && !watch.path.startsWith(`${path}/`)) continue;
      this.#forget(watch);
      this.#inotify?.remove(watch.number);
    }
    if (path !== ROOT) this.#dropIfUnused(parentOf(path));
  }

  #keyOf(event: InotifyEvent): string | undefined {
    const watch = this.#byNumber.get(event.watch);
    if (watch === undefined) return undefined;
    try {
      return this.#root.at(watch.path, (directory) => fileKey(statAt(directory, event.name)));
    } catch {
      return undefined;
    }
  }

  #tell(
    events: readonly InotifyEvent[],
    isOwn: ((path: ByteString, event: InotifyEvent) => boolean) | undefined,
  ): void {
    const changes = new Map<ByteString, { what: number; file: string | undefined }>();
    const note = (path: ByteString, what: number, file?: string) => {
      const before = changes.get(path);
      // A change by others beside a write leaves no doubt whose it is.
      changes.set(path, { what: what | (before?.what ?? 0), file: before === undefined ? file : before.file && file });
    };
    for (const event of events) this.#judge(event, isOwn, note);
    for (const [path, { what, file }] of changes) this.#listener({ path, what }, file);
  }

  #judge(
    event: InotifyEvent,
    isOwn: ((path: ByteString, event: InotifyEvent) => boolean) | undefined,
    note: Note,
  ): void {
    const { mask } = event;
    if ((mask & IN.Q_OVERFLOW) !== 0) {
      note(ROOT, ALL);
      return;
    }
    const watch = this.#byNumber.get(event.watch);
    if (watch === undefined) return;
    if ((mask & (IN.IGNORED | IN.DELETE_SELF | IN.MOVE_SELF | IN.UNMOUNT)) !== 0) {
      // The shared folder itself may be renamed: its descriptor stays good.
      if (watch.path === ROOT && (mask & IN.MOVE_SELF) !== 0) return;
      const own = isOwn?.(watch.path, event) === true;
      this.#dropSubtree(watch.path);
      if (!own) note(watch.path, ALL);
      return;
    }
    if (watch.count === 0) return;
    if (event.name === '') {
      if (isOwn?.(watch.path, event) !== true) note(watch.path, RECALL.attributes);
      return;
    }
    const path = join(watch.path, event.name);
    const own = isOwn?.(path, event) === true;
    const isDirectory = (mask & IN.ISDIR) !== 0;
    if ((mask & NAMES) !== 0) {
      if (isDirectory && (mask & IN.CREATE) === 0) this.#dropSubtree(path);
      if (own) return;
      note(watch.path, RECALL.entries | RECALL.attributes);
      note(path, isDirectory ? ALL : RECALL.attributes | RECALL.contents);
    } else if (own) {
      return;
    } else if ((mask & IN.MODIFY) !== 0) {
      this.#noteWrite(path, event, note);
    } else {
      note(path, (mask & IN.ATTRIB) !== 0 ? RECALL.attributes : RECALL.attributes | RECALL.contents);
    }
  }

  /** The first of a burst is told at once, the rest together. */
  #noteWrite(path: ByteString, event: InotifyEvent, note: Note): void {
    if (this.#writtenTimer !== undefined) {
      this.#written.set(path, event);
      return;
    }
    this.#writtenTimer = this.#clock.after(WRITE_PAUSE_MS, () => this.#expiredWrites());
    this.#judgeWrite(path, event, note);
  }

  #expiredWrites(): void {
    this.#writtenTimer = undefined;
    const late = [...this.#written];
    this.#written.clear();
    if (late.length === 0) return;
    this.#writtenTimer = this.#clock.after(WRITE_PAUSE_MS, () => this.#expiredWrites());
    for (const [path, event] of late) {
      this.#judgeWrite(path, event, (_path, what, file) => this.#listener({ path, what }, file));
    }
  }

  #judgeWrite(path: ByteString, event: InotifyEvent, note: Note): void {
    const file = this.#keyOf(event);
    // A name that is gone was told by its own event, and the closing of the file will be.
    if (file !== undefined) note(path, RECALL.attributes | RECALL.contents, file);
  }
}
