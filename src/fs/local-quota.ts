/**
 * How much of its quota a folder uses: counted once as a whole, then by what the tree's own operations change, and again as
 * a whole when somebody asks and the last count is old, because programs of this machine change the folder too. Runs on
 * a disk thread, where all operations on names are; writes run elsewhere and are settled here (src/fs/write-room.ts).
 */
import type { ByteString } from '../bytestring.ts';
import type { Clock, Timer } from '../clock.ts';
import { PeerfsError } from '../errors.ts';
import { statAt, statDescriptor, type FileStatus } from '../sys/files.ts';
import { FolderCount } from './folder-count.ts';
import { fileKey, S_IFDIR, S_IFMT } from './local-attributes.ts';
import type { ShareRoot } from './local-root.ts';
import type { HandleTable } from './local-state.ts';
import { allocatedBytes, inBlocks, type QuotaWords } from './quota.ts';
import type { FileSystemStatus } from './tree.ts';

/** Counting goes on for so long at a time, milliseconds. */
const STEP_MS = 3;
/** A count stands for so long at least, milliseconds, */
const COUNT_STANDS_MS = 1000;
/** and for so many times as long as it took: a twentieth of a disk thread is the most that counting takes. */
const COUNT_STANDS_TIMES = 20;

interface OpenFile {
  handles: number;
  /** What is counted of it. */
  bytes: number;
}

/** A name as it was before something removed it. */
export interface LeavingName {
  readonly file: string;
  readonly bytes: number;
  readonly isLast: boolean;
}

interface Count {
  readonly walk: FolderCount;
  readonly startedAt: number;
  readonly done: Promise<void>;
  readonly finish: () => void;
  timer: Timer | undefined;
}

export class LocalQuota {
  readonly #root: ShareRoot;
  readonly #handles: HandleTable;
  readonly #words: QuotaWords;
  readonly #clock: Clock;
  /** Files that are open, by key: they live on without a name, and are written elsewhere. */
  readonly #open = new Map<string, OpenFile>();
  #count: Count | undefined;
  /** What changed since the count that runs began. */
  #since = { bytes: 0, names: 0 };
  #standsUntil = 0;

  constructor(root: ShareRoot, handles: HandleTable, words: QuotaWords, clock: Clock) {
    this.#root = root;
    this.#handles = handles;
    this.#words = words;
    this.#clock = clock;
    for (const handle of handles.all()) {
      const { descriptor, isDirectory } = handles.get(handle);
      if (!isDirectory) this.opened(statDescriptor(descriptor));
    }
  }

  /** Sizes of the file system as those have them who may use no more of it than the quota. */
  within(sizes: FileSystemStatus): FileSystemStatus {
    const { limit, used } = this.#words;
    const blocks = Math.floor(limit.bytes / sizes.blockSize);
    const left = Math.max(0, Math.floor((limit.bytes - used.bytes) / sizes.blockSize));
    const blocksFree = Math.min(left, sizes.blocksAvailable);
    // Where file systems tell of no inodes, or of more, the quota counts.
    const filesLeft = Math.max(0, limit.names - used.names);
    return {
      ...sizes,
      blocks: Math.min(blocks, Math.max(sizes.blocks, 1)),
      blocksFree,
      blocksAvailable: blocksFree,
      files: sizes.files === 0 ? limit.names : Math.min(limit.names, sizes.files),
      filesFree: sizes.files === 0 ? filesLeft : Math.min(filesLeft, sizes.filesFree),
    };
  }

  /** To be asked before a name is made. @throws EDQUOT */
  checkName(): void {
    const { limit, used, isCounted } = this.#words;
    // Before the first count nothing is known; what comes meanwhile is counted with the rest.
    if (isCounted && (used.names >= limit.names || used.bytes >= limit.bytes)) this.#refuse();
  }

  /** To be asked before bytes are written here. @throws EDQUOT */
  checkBytes(bytes: number): void {
    if (this.#words.isCounted && !this.#words.hasRoom(inBlocks(bytes))) this.#refuse();
  }

  /** A name was made, of something new if it is told what. */
  made(status: Pick<FileStatus, 'blocks'> | undefined): void {
    this.#charge(status === undefined ? 0 : allocatedBytes(status), 1);
  }

  /** @returns what `left` wants to know; undefined if there is no such name. */
  leaving(directory: number, name: ByteString): LeavingName | undefined {
    let status: FileStatus;
    try {
      status = statAt(directory, name);
    } catch (error) {
      if (error instanceof PeerfsError) return undefined;
      throw error;
    }
    const isLast = status.nlink <= 1 || (status.mode & S_IFMT) === S_IFDIR;
    return { file: fileKey(status), bytes: allocatedBytes(status), isLast };
  }

  /** The name was removed or replaced. */
  left(name: LeavingName): void {
    const isFreed = name.isLast && !this.#open.has(name.file);
    this.#charge(isFreed ? -name.bytes : 0, -1);
  }

  /** Runs what may change how much room a file takes. @param descriptor of it, O_PATH does. */
  around<T>(descriptor: number, change: () => T): T {
    const before = statDescriptor(descriptor);
    const open = this.#open.get(fileKey(before));
    const counted = open?.bytes ?? allocatedBytes(before);
    try {
      return change();
    } finally {
      const bytes = allocatedBytes(statDescriptor(descriptor));
      if (open !== undefined) open.bytes = bytes;
      this.#charge(bytes - counted, 0);
    }
  }

  /** A handle was added. */
  opened(status: Pick<FileStatus, 'device' | 'inode' | 'blocks'>): void {
    const file = fileKey(status);
    const open = this.#open.get(file);
    if (open === undefined) this.#open.set(file, { handles: 1, bytes: allocatedBytes(status) });
    else open.handles += 1;
  }

  /** A handle is about to be closed. */
  released(file: string, descriptor: number): void {
    const open = this.#open.get(file);
    if (open === undefined) return;
    const { nlink } = this.#settle(open, descriptor);
    open.handles -= 1;
    if (open.handles > 0) return;
    this.#open.delete(file);
    if (nlink === 0) this.#charge(-open.bytes, 0);
  }

  /** Writes through these handles have ended. */
  settle(handles: readonly number[]): void {
    for (const handle of handles) {
      const found = this.#handles.find(handle);
      const open = found === undefined ? undefined : this.#open.get(found.file);
      if (found !== undefined && open !== undefined) this.#settle(open, found.descriptor);
    }
  }

  /** Counts anew if the last count is old. */
  recount(): Promise<void> {
    if (this.#count === undefined && this.#clock.now() >= this.#standsUntil) this.#begin();
    return this.#count?.done ?? Promise.resolve();
  }

  /** Gives up a count that runs. */
  close(): void {
    const count = this.#count;
    if (count === undefined) return;
    this.#count = undefined;
    count.timer?.cancel();
    count.walk.close();
    count.finish();
  }

  #settle(open: OpenFile, descriptor: number): FileStatus {
    const status = statDescriptor(descriptor);
    const bytes = allocatedBytes(status);
    this.#charge(bytes - open.bytes, 0);
    open.bytes = bytes;
    return status;
  }

  #charge(bytes: number, names: number): void {
    if (bytes === 0 && names === 0) return;
    const { used } = this.#words;
    this.#words.used = { bytes: used.bytes + bytes, names: used.names + names };
    this.#since = { bytes: this.#since.bytes + bytes, names: this.#since.names + names };
  }

  #refuse(): never {
    void this.recount();
    throw new PeerfsError('EDQUOT', 'the quota of the folder is used up');
  }

  #begin(): void {
    let finish = () => {};
    const done = new Promise<void>((resolve) => (finish = resolve));
    this.#since = { bytes: 0, names: 0 };
    this.#count = {
      walk: new FolderCount(this.#root),
      startedAt: this.#clock.now(),
      done,
      finish,
      timer: undefined,
    };
    this.#goOn(this.#count);
  }

  #goOn(count: Count): void {
    const until = this.#clock.now() + STEP_MS;
    if (count.walk.step(() => this.#clock.now() < until)) this.#end(count);
    else count.timer = this.#clock.after(0, () => this.#goOn(count));
  }

  #end(count: Count): void {
    const now = this.#clock.now();
    this.#count = undefined;
    this.#standsUntil = now + Math.max(COUNT_STANDS_MS, COUNT_STANDS_TIMES * (now - count.startedAt));
    const { bytes, names, isTooDeep } = count.walk;
    // What came meanwhile may have been seen by the count or not; what went may have been seen before.
    const found = {
      bytes: bytes + this.#nameless() + Math.max(0, this.#since.bytes),
      names: names + Math.max(0, this.#since.names),
    };
    const { limit } = this.#words;
    // Nobody hides what is there by putting it deeper than is looked at.
    this.#words.used = isTooDeep ? { bytes: Math.max(found.bytes, limit.bytes), names: found.names } : found;
    this.#words.isCounted = true;
    count.finish();
  }

  /** What open files without a name take, bytes; of all open files it is noted what has just been counted. */
  #nameless(): number {
    let bytes = 0;
    const seen = new Set<string>();
    for (const handle of this.#handles.all()) {
      const { file, descriptor, isDirectory } = this.#handles.get(handle);
      const open = isDirectory || seen.has(file) ? undefined : this.#open.get(file);
      if (open === undefined) continue;
      seen.add(file);
      const status = statDescriptor(descriptor);
      open.bytes = allocatedBytes(status);
      if (status.nlink === 0) bytes += open.bytes;
    }
    return bytes;
  }
}
