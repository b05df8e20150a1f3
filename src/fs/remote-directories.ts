/**
 * RemoteTree's open directories: listings from the cache where they are known whole, else from the server, remembered
 * when they were read to their end under a lease.
 */
import { join, type ByteString } from '../bytestring.ts';
import { codeOf, PeerfsError } from '../errors.ts';
import type { CallResult } from '../net/channel.ts';
import { LIMITS, type DirectoryEntry } from '../wire/schema.ts';
import type { RemoteShare } from './remote-share.ts';
import type { Handle, Listing } from './tree.ts';

interface OpenDirectory {
  readonly path: ByteString;
  /** The server's number; 0 while none is needed. */
  number: number;
  /** From the cache; cursors are positions in it. */
  readonly snapshot: readonly DirectoryEntry[] | undefined;
  /** What was read so far, from the beginning without gaps; undefined when it will not be remembered. */
  collected: DirectoryEntry[] | undefined;
  readonly sentAt: number;
  readonly change: number;
  readonly epoch: number;
}

export class RemoteDirectories {
  readonly #share: RemoteShare;
  readonly #handles = new Map<Handle, OpenDirectory>();
  readonly #nextHandle: () => Handle;

  constructor(share: RemoteShare, nextHandle: () => Handle) {
    this.#share = share;
    this.#nextHandle = nextHandle;
  }

  has(handle: Handle): boolean {
    return this.#handles.has(handle);
  }

  async open(path: ByteString): Promise<Handle> {
    const { order, lease, cache, creations } = this.#share;
    const held = creations.settled(path);
    if (held !== undefined) await held;
    const sentAt = order.now;
    const known = cache.listing(path);
    const handle = this.#nextHandle();
    if (known !== undefined) {
      const snapshot = known.map(([name, attributes], index) => ({ name, attributes, cursor: BigInt(index + 1) }));
      const rest = { collected: undefined, sentAt, change: 0, epoch: lease.epoch };
      this.#handles.set(handle, { path, number: 0, snapshot, ...rest });
      return handle;
    }
    const { share, releases } = this.#share;
    const late = ({ reply: { handle: number } }: CallResult<'openDirectory'>) => releases.add(number);
    const { reply } = await releases.opening(() => this.#share.call('openDirectory', { share, path }, { late }));
    this.#handles.set(handle, {
      path,
      number: reply.handle,
      snapshot: undefined,
      collected: reply.leaseMs > 0 ? [] : undefined,
      sentAt,
      change: reply.change,
      epoch: lease.epoch,
    });
    return handle;
  }

  async read(handle: Handle, cursor: bigint, maxEntries: number): Promise<Listing> {
    const open = this.#get(handle);
    if (open.snapshot !== undefined) {
      const from = Number(cursor);
      const entries = open.snapshot.slice(from, from + maxEntries);
      return { entries: this.#current(entries), end: from + entries.length >= open.snapshot.length };
    }
    const limit = Math.min(maxEntries, LIMITS.entriesPerReply);
    const { reply } = await this.#through(open, (number) =>
      this.#share.call('readDirectory', { handle: number, cursor, maxEntries: limit }),
    );
    this.#collect(open, cursor, reply.entries, reply.end);
    return { entries: this.#current(reply.entries), end: reply.end };
  }

  async fsync(handle: Handle, dataOnly: boolean): Promise<void> {
    const open = this.#get(handle);
    await this.#through(open, (number) => this.#share.call('fsync', { handle: number, dataOnly }));
  }

  async release(handle: Handle): Promise<void> {
    const open = this.#handles.get(handle);
    if (open === undefined) return;
    this.#handles.delete(handle);
    if (open.number !== 0) this.#share.releases.add(open.number);
  }

  /** The server restarted: its handles are gone. */
  serverRestarted(): void {
    for (const open of this.#handles.values()) {
      open.number = 0;
      open.collected = undefined;
    }
  }

  #get(handle: Handle): OpenDirectory {
    const open = this.#handles.get(handle);
    if (open === undefined) throw new PeerfsError('EBADF', 'no such handle');
    return open;
  }

  /** With what is unwritten of files that are open. */
  #current(entries: readonly DirectoryEntry[]): readonly DirectoryEntry[] {
    if (!this.#share.files.isAnyDirty()) return entries;
    return entries.map((entry) => ({ ...entry, attributes: this.#share.withUnwritten(entry.attributes) }));
  }

  #collect(open: OpenDirectory, cursor: bigint, entries: readonly DirectoryEntry[], isEnd: boolean): void {
    const { order, cache, lease, files } = this.#share;
    if (cursor === 0n && open.collected !== undefined) open.collected = [];
    if (open.collected === undefined) return;
    if (cursor !== (open.collected.at(-1)?.cursor ?? 0n)) {
      open.collected = undefined;
      return;
    }
    for (const entry of entries) open.collected.push(entry);
    const { collected, path, sentAt, change, epoch } = open;
    const isCurrent = epoch === lease.epoch && order.isListingCurrent(path, sentAt, change);
    if (isEnd) open.collected = undefined;
    if (!isCurrent || files.isAnyDirty()) return;
    if (isEnd) cache.putListing(path, collected);
    // What was listed so far is good under the lease already: else the kernel would ask for each file again.
    else for (const { name, attributes } of entries) cache.put(join(path, name), attributes);
  }

  async #through<T>(open: OpenDirectory, run: (number: number) => Promise<T>): Promise<T> {
    if (open.number !== 0) {
      try {
        return await run(open.number);
      } catch (error) {
        const code = codeOf(error);
        if (code !== 'EBADF' && code !== 'ESTALE') throw error;
      }
    }
    const { reply } = await this.#share.call('openDirectory', { share: this.#share.share, path: open.path });
    open.number = reply.handle;
    open.collected = undefined;
    return run(open.number);
  }
}
