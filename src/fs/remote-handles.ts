/**
 * The open files of a RemoteTree by number, and their numbers at the server.
 *
 * A handle outlives a restart of the server (and our own absence for longer than the lease): it is opened again by
 * path, and if another file stands there it is ESTALE. Bytes that the old server process had are in its kernel's hands.
 * Locks do not survive: input and output through a handle that had some fails with EIO. Nor do writes that waited for
 * longer than a lease if others changed the file meanwhile: ESTALE.
 */
import type { ByteString } from '../bytestring.ts';
import { codeOf, PeerfsError } from '../errors.ts';
import {
  dropContents,
  isSameFile,
  isSameVersion,
  reopenFlags,
  type RemoteFile,
  type RemoteHandle,
} from './remote-file.ts';
import type { RemoteShare } from './remote-share.ts';
import type { Handle, Version } from './tree.ts';

/** The shortest lease: what waited for less has not outlived any. */
const OUTLIVED_MS = 15_000;

export class RemoteHandles {
  readonly #share: RemoteShare;
  readonly #open = new Map<Handle, RemoteHandle>();
  readonly #nextHandle: () => Handle;

  constructor(share: RemoteShare, nextHandle: () => Handle) {
    this.#share = share;
    this.#nextHandle = nextHandle;
  }

  add(open: RemoteHandle): Handle {
    const handle = this.#nextHandle();
    this.#open.set(handle, open);
    return handle;
  }

  find(handle: Handle): RemoteHandle | undefined {
    return this.#open.get(handle);
  }

  /** @throws PeerfsError EBADF. */
  get(handle: Handle): RemoteHandle {
    const open = this.#open.get(handle);
    if (open === undefined) throw new PeerfsError('EBADF', 'no such handle');
    return open;
  }

  remove(handle: Handle): void {
    this.#open.delete(handle);
  }

  /** Before we take the name away: what was opened without asking the server is to stay open. */
  async hold(path: ByteString): Promise<void> {
    for (const open of [...this.#open.values()]) {
      if (open.isLost && open.path === path) await this.#reopened(open).catch(() => undefined);
    }
  }

  /** Our own rename. */
  renamed(from: ByteString, to: ByteString, isExchange: boolean): void {
    const moved = (path: ByteString, top: ByteString, target: ByteString) =>
      path === top || path.startsWith(`${top}/`) ? ((target + path.slice(top.length)) as ByteString) : undefined;
    for (const open of this.#open.values()) {
      const path = moved(open.path, from, to) ?? (isExchange ? moved(open.path, to, from) : undefined);
      if (path === undefined) unnamed(open, to);
      else {
        open.path = path;
        open.isLeased = false;
      }
    }
  }

  /** Our own unlink. */
  removed(path: ByteString): void {
    for (const open of this.#open.values()) unnamed(open, path);
  }

  /** The server restarted: its handles and locks are gone. */
  serverRestarted(): void {
    for (const open of this.#open.values()) {
      open.isLost = true;
      open.isLeased = false;
      dropContents(open);
      if (open.hasLocks) open.isBroken = true;
    }
  }

  /** Opens again what the server has forgotten, then tries once more. */
  async through<T>(open: RemoteHandle, canRepeat: boolean, run: (number: number) => Promise<T>): Promise<T> {
    checkWhole(open);
    if (open.creation !== undefined) await this.#share.creations.made(open.creation);
    if (open.isLost) await this.#reopened(open);
    const { number } = open;
    try {
      return await run(number);
    } catch (error) {
      const code = codeOf(error);
      if (code === 'OUTCOME_UNKNOWN' && !canRepeat) throw new PeerfsError('EIO', 'outcome unknown', { cause: error });
      if (code !== 'EBADF' && code !== 'ESTALE' && code !== 'OUTCOME_UNKNOWN') throw error;
      if (open.number === number) open.isLost = true;
      // Whether what changed it was this call nobody can tell.
      if (code === 'OUTCOME_UNKNOWN') open.file.version = undefined;
    }
    checkWhole(open);
    await this.#reopened(open);
    return run(open.number);
  }

  /** Lets the server forget the handle. */
  release(open: RemoteHandle): void {
    if (open.isLost || open.creation !== undefined) return;
    this.#share.releases.add(open.number);
    // Somebody may be waiting for them.
    if (open.hasLocks) this.#share.releases.flush();
  }

  #reopened(open: RemoteHandle): Promise<void> {
    if (!open.isLost) return Promise.resolve();
    if (open.hasLocks) {
      open.isBroken = true;
      return Promise.reject(new PeerfsError('EIO', 'locks were lost'));
    }
    open.reopening ??= this.#reopen(open).finally(() => {
      open.reopening = undefined;
    });
    return open.reopening;
  }

  async #reopen(open: RemoteHandle): Promise<void> {
    const { share } = this.#share;
    const flags = reopenFlags(open.flags);
    const request = { share, path: open.path, flags, permissions: 0, uid: 0, gid: 0, wantBytes: 0 };
    let reply;
    try {
      ({ reply } = await this.#share.call('open', request));
    } catch (error) {
      const code = codeOf(error);
      if (code === 'EHOSTDOWN' || code === 'ETIMEDOUT' || code === 'EINTR') throw error;
      throw new PeerfsError('ESTALE', 'the file is no longer at its path', { cause: error });
    }
    if (!isSameFile(reply.attributes, open.file.identity)) {
      this.#share.releases.add(reply.handle);
      throw new PeerfsError('ESTALE', 'another file stands at its path');
    }
    if (this.#isOvertaken(open.file, reply.attributes)) {
      this.#share.releases.add(reply.handle);
      throw new PeerfsError('ESTALE', 'others changed the file while writes to it waited');
    }
    open.number = reply.handle;
    open.isLost = false;
    if (!open.file.writes.isDirty) open.file.version = reply.attributes;
  }

  /** Whether something was written here before our leases ended, and others have changed the file since. */
  #isOvertaken({ writes, version }: RemoteFile, now: Version): boolean {
    const { oldestAt } = writes;
    if (oldestAt === undefined || version === undefined || isSameVersion(version, now)) return false;
    return this.#share.clock.now() - oldestAt > OUTLIVED_MS;
  }
}

/** @throws PeerfsError EIO. */
export function checkWhole(open: RemoteHandle): void {
  if (open.isBroken) throw new PeerfsError('EIO', 'locks of this file were lost');
}

function unnamed(open: RemoteHandle, path: ByteString): void {
  if (open.path === path || open.path.startsWith(`${path}/`)) open.isLeased = false;
}
