/**
 * Room for writes that are under way in a folder with a quota, seen from the main thread. Before a write as much is kept for
 * it as it may take at most; after it the disk thread sees what it took (src/fs/local-quota.ts). So writers together never
 * get beyond the quota, and none is refused for what another might have taken.
 */
import { PeerfsError } from '../errors.ts';
import { statDescriptor } from '../sys/files.ts';
import type { DiskTree } from './disk-thread.ts';
import { growthOf, inBlocks, type QuotaWords } from './quota.ts';
import type { Handle } from './tree.ts';

export interface Writing {
  readonly handle: Handle;
  readonly descriptor: number;
  /** undefined: at the end, wherever that is then. */
  readonly offset: number | undefined;
  /** Bytes. */
  readonly length: number;
}

export class WriteRoom {
  readonly #words: QuotaWords;
  readonly #disk: DiskTree;
  /** Room of writes that have ended, by handle, until the disk thread has seen them. */
  readonly #ended = new Map<Handle, number>();
  #isSettling = false;
  /** Told when room is no longer kept. */
  readonly #waiting: (() => void)[] = [];
  /** Those who found too little: one after the other, and nobody overtakes them. */
  #queue: Promise<unknown> | undefined;

  constructor(words: QuotaWords, disk: DiskTree) {
    this.#words = words;
    this.#disk = disk;
  }

  /** Runs a write that has room. @throws EDQUOT */
  async using<T>(writing: Writing, write: () => Promise<T>): Promise<T> {
    const kept = await this.#keep(writing);
    try {
      return await write();
    } finally {
      this.#giveBack(writing.handle, kept);
    }
  }

  async #keep(writing: Writing): Promise<number> {
    const bytes = this.#atMost(writing);
    if (this.#queue === undefined && this.#words.isCounted && this.#words.hasRoom(bytes)) {
      this.#words.reserved += bytes;
      return bytes;
    }
    const before = this.#queue ?? Promise.resolve();
    const kept = before.then(
      () => this.#await(writing),
      () => this.#await(writing),
    );
    this.#queue = kept;
    try {
      return await kept;
    } finally {
      if (this.#queue === kept) this.#queue = undefined;
    }
  }

  #atMost({ descriptor, offset, length }: Writing): number {
    // Several appends under way end where none of them knows.
    if (offset === undefined && this.#words.reserved > 0) return inBlocks(length);
    const status = statDescriptor(descriptor);
    return growthOf(status, offset ?? status.size, length);
  }

  /** Waits until writes under way have ended, and until the folder was counted anew if that may help. */
  async #await(writing: Writing): Promise<number> {
    for (;;) {
      await this.#disk.call('recount', []);
      const bytes = this.#atMost(writing);
      if (this.#words.hasRoom(bytes)) {
        this.#words.reserved += bytes;
        return bytes;
      }
      if (this.#words.reserved === 0) throw new PeerfsError('EDQUOT', 'the quota of the folder is used up');
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  #giveBack(handle: Handle, bytes: number): void {
    if (bytes === 0) return;
    this.#ended.set(handle, (this.#ended.get(handle) ?? 0) + bytes);
    if (!this.#isSettling) void this.#settle();
  }

  async #settle(): Promise<void> {
    this.#isSettling = true;
    while (this.#ended.size > 0) {
      const handles = [...this.#ended.keys()];
      const bytes = [...this.#ended.values()].reduce((sum, one) => sum + one, 0);
      this.#ended.clear();
      // A thread that has ended writes nothing any more.
      await this.#disk.call('settle', [handles]).catch(() => undefined);
      this.#words.reserved -= bytes;
      for (const resolve of this.#waiting.splice(0)) resolve();
    }
    this.#isSettling = false;
  }
}
