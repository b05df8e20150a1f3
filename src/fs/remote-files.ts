/**
 * RemoteTree's operations on open files. Reads are answered from read-ahead, writes go to the write buffer; whatever
 * looks at the file otherwise waits until its writes have arrived.
 *
 * A handle outlives a restart of the server (and our own absence for longer than the lease): it is opened again by
 * path, and if another file stands there it is ESTALE. Bytes that the old server process had are in its kernel's hands.
 * Locks do not survive: input and output through a handle that had some fails with EIO.
 */
import type { ByteString } from '../bytestring.ts';
import { codeOf, PeerfsError } from '../errors.ts';
import type { CallResult } from '../net/channel.ts';
import { LIMITS, OPEN, type Attributes } from '../wire/schema.ts';
import { isSameFile, reopenFlags, type RemoteFile, type RemoteHandle } from './remote-file.ts';
import { ReadAhead } from './remote-read-ahead.ts';
import type { LearnedAttributes, RemoteShare } from './remote-share.ts';
import { WriteBuffer } from './remote-write-buffer.ts';
import type { Handle, LockRange, LockRequest, OpenedFile, OpenOptions, WriteResult } from './tree.ts';

/** Writes through such handles are one call each, answered when it is. */
const UNBUFFERED = OPEN.append | OPEN.sync | OPEN.dataSync;
const LOCK_NONE = 2;
/** Tuning: so much of a file comes with its opening on a slow path, bytes. */
const SLOW_FIRST_BYTES = 16 * 1024;

export class RemoteFileOperations {
  readonly #share: RemoteShare;
  readonly #handles = new Map<Handle, RemoteHandle>();
  readonly #nextHandle: () => Handle;

  constructor(share: RemoteShare, nextHandle: () => Handle) {
    this.#share = share;
    this.#nextHandle = nextHandle;
  }

  has(handle: Handle): boolean {
    return this.#handles.has(handle);
  }

  /** @throws PeerfsError EBADF. */
  get(handle: Handle): RemoteHandle {
    const open = this.#handles.get(handle);
    if (open === undefined) throw new PeerfsError('EBADF', 'no such handle');
    return open;
  }

  async open(path: ByteString, options: OpenOptions): Promise<OpenedFile> {
    const share = this.#share;
    const { flags, permissions, uid, gid } = options;
    const wantBytes = Math.min(options.wantBytes, share.channel.pace === 'slow' ? SLOW_FIRST_BYTES : Infinity);
    await share.settled(path, false);
    const sentAt = share.order.now;
    const request = { share: share.share, path, flags, permissions, uid, gid, wantBytes };
    const late = ({ reply }: CallResult<'open'>) => void this.#releaseNumber(reply.handle);
    const { reply, payload } = await share.call('open', request, { late });
    const { created, leaseMs } = reply;
    const file = share.files.find(reply.attributes) ?? this.#newFile(reply.attributes);
    const open = this.#newHandle(file, path, flags, reply.handle);
    open.isLeased = leaseMs > 0;
    const handle = this.#nextHandle();
    this.#handles.set(handle, open);
    const isCurrent = share.order.isCurrent(path, sentAt, reply.change);
    if (created) share.made(path, sentAt, reply);
    if (file.writes.isDirty) {
      // It is open under another name, too, and what was written there was not in the reply.
      await file.writes.drained();
      return { handle, created, attributes: await this.getattr(open, path), firstBytes: new Uint8Array(0) };
    }
    if (!created) {
      if (flags & OPEN.truncate) share.changedContents(file);
      if (isCurrent) share.learn(path, share.order.now, reply);
    }
    file.size = reply.attributes.size;
    if (payload.length > 0 && isCurrent) open.readAhead.seed(payload, wantBytes);
    return { handle, created, attributes: reply.attributes, firstBytes: payload };
  }

  async getattr(open: RemoteHandle, path: ByteString): Promise<Attributes> {
    const share = this.#share;
    while (open.file.writes.isDirty) await open.file.writes.drained();
    const known = share.cache.get(path);
    if (known && isSameFile(known, open.file.identity)) return known;
    const sentAt = share.order.now;
    const { reply } = await this.through(open, true, (handle) =>
      share.call('getattr', { share: share.share, path, handle }),
    );
    if (path === open.path) this.#learnThrough(open, sentAt, reply);
    return share.withUnwritten(reply.attributes);
  }

  read(handle: Handle, offset: number, length: number): Promise<Uint8Array> {
    const open = this.#handles.get(handle);
    if (open === undefined || (open.flags & OPEN.read) === 0) {
      return Promise.reject(new PeerfsError('EBADF', 'not open for reading'));
    }
    if (open.file.writes.isDirty || open.isBroken) return this.#readAfterWrites(open, offset, length);
    return open.readAhead.read(offset, length, open.file.size);
  }

  async write(handle: Handle, offset: number, bytes: Uint8Array): Promise<WriteResult> {
    const open = this.get(handle);
    const { file } = open;
    if ((open.flags & OPEN.write) === 0) throw new PeerfsError('EBADF', 'not open for writing');
    checkWhole(open);
    if (open.flags & UNBUFFERED) return this.#writeThrough(open, offset, bytes);
    if (bytes.length > 0) {
      if (!file.writes.isDirty) this.#share.changedContents(file);
      const room = file.writes.write(open, offset, bytes);
      open.hasWritten = true;
      if (offset + bytes.length > file.size) file.size = offset + bytes.length;
      if (room !== undefined) await room;
    }
    return { size: file.size, end: offset + bytes.length };
  }

  async fsync(handle: Handle, dataOnly: boolean): Promise<void> {
    const open = this.get(handle);
    await this.#written(open);
    await this.through(open, true, (number) => this.#share.call('fsync', { handle: number, dataOnly }));
    open.file.writes.throwError(open);
  }

  async flush(handle: Handle, lockOwner: bigint): Promise<void> {
    const open = this.get(handle);
    await this.#written(open);
    const mayHaveLocks = [...open.file.handles].some(({ hasLocks }) => hasLocks);
    if (!open.hasWritten && !mayHaveLocks) return;
    open.hasWritten = false;
    const sentAt = this.#share.order.now;
    const { reply } = await this.through(open, true, (number) =>
      this.#share.call('flush', { handle: number, lockOwner }),
    );
    this.#learnThrough(open, sentAt, reply);
  }

  async release(handle: Handle): Promise<void> {
    const open = this.#handles.get(handle);
    if (open === undefined) return;
    this.#handles.delete(handle);
    const { file } = open;
    await file.writes.drained();
    file.writes.forget(open);
    file.handles.delete(open);
    if (file.handles.size === 0) this.#share.files.remove(file);
    if (!open.isLost) await this.#releaseNumber(open.number);
  }

  async fallocate(handle: Handle, mode: number, offset: number, length: number): Promise<void> {
    const open = this.get(handle);
    await this.#written(open);
    this.#share.changedContents(open.file);
    const { reply } = await this.through(open, false, (number) =>
      this.#share.call('fallocate', { handle: number, mode, offset, length }),
    );
    this.#share.changedContents(open.file);
    open.file.size = reply.attributes.size;
  }

  async seek(handle: Handle, offset: number, whence: number): Promise<number> {
    const open = this.get(handle);
    await this.#written(open);
    const { reply } = await this.through(open, true, (number) =>
      this.#share.call('seek', { handle: number, offset, whence }),
    );
    return reply.offset;
  }

  async copyRange(
    source: Handle,
    sourceOffset: number,
    target: Handle,
    targetOffset: number,
    length: number,
  ): Promise<number> {
    const from = this.get(source);
    const to = this.get(target);
    await this.#written(from);
    await this.#written(to);
    this.#share.changedContents(to.file);
    const { reply } = await this.through(from, false, (sourceNumber) =>
      this.through(to, false, (targetNumber) =>
        this.#share.call('copyRange', {
          source: sourceNumber,
          sourceOffset,
          target: targetNumber,
          targetOffset,
          length: Math.min(length, LIMITS.copyBytes),
        }),
      ),
    );
    this.#share.changedContents(to.file);
    to.file.size = reply.size;
    to.hasWritten = true;
    return reply.copied;
  }

  async lock(handle: Handle, request: LockRequest, waiting?: AbortSignal): Promise<void> {
    const open = this.get(handle);
    // What was written under a lock must be at the server before the next holder reads.
    await this.#written(open);
    const isWaiting = waiting !== undefined;
    await this.through(open, false, (number) =>
      this.#share.call(
        'lock',
        { handle: number, ...lockFields(request), kind: request.kind, wait: isWaiting },
        isWaiting ? { signal: waiting, unbounded: true, late: () => this.#unlock(open, request) } : {},
      ),
    );
    open.hasLocks = true;
    open.readAhead.drop();
  }

  async testLock(handle: Handle, range: LockRange): Promise<LockRange | undefined> {
    const open = this.get(handle);
    const { owner, type, start, end } = range;
    const { reply } = await this.through(open, true, (number) =>
      this.#share.call('testLock', { handle: number, owner, type, start, end }),
    );
    if (reply.type === LOCK_NONE) return undefined;
    return { owner: 0n, type: reply.type, start: reply.start, end: reply.end, pid: reply.pid };
  }

  /** Waits for the file's writes. @throws the error of the handle's own. */
  async #written(open: RemoteHandle): Promise<void> {
    while (open.file.writes.isDirty) await open.file.writes.drained();
    open.file.writes.throwError(open);
  }

  /** Before attributes or contents of a file are set through `handle`. */
  async beforeChange(handle: Handle): Promise<RemoteHandle> {
    const open = this.get(handle);
    await this.#written(open);
    return open;
  }

  /** Our own rename. */
  renamed(from: ByteString, to: ByteString, isExchange: boolean): void {
    const moved = (path: ByteString, top: ByteString, target: ByteString) =>
      path === top || path.startsWith(`${top}/`) ? ((target + path.slice(top.length)) as ByteString) : undefined;
    for (const open of this.#handles.values()) {
      const path = moved(open.path, from, to) ?? (isExchange ? moved(open.path, to, from) : undefined);
      if (path === undefined) this.#unnamed(open, to);
      else {
        open.path = path;
        open.isLeased = false;
      }
    }
  }

  /** Our own unlink. */
  removed(path: ByteString): void {
    for (const open of this.#handles.values()) this.#unnamed(open, path);
  }

  /** The server restarted: its handles and locks are gone. */
  serverRestarted(): void {
    for (const open of this.#handles.values()) {
      open.isLost = true;
      open.isLeased = false;
      open.readAhead.drop();
      if (open.hasLocks) open.isBroken = true;
    }
  }

  async drainAll(): Promise<void> {
    await Promise.all([...this.#share.files.all()].map((file) => file.writes.drained()));
  }

  #newFile(attributes: Attributes): RemoteFile {
    const { inode, device, birthSec, birthNsec, size } = attributes;
    const file: RemoteFile = {
      identity: { inode, device, birthSec, birthNsec },
      handles: new Set(),
      size,
      changes: 0,
      writes: new WriteBuffer<RemoteHandle>(
        (open, offset, bytes) => this.#send(open, offset, bytes).then(() => undefined),
        () => this.#share.changedContents(file),
      ),
    };
    this.#share.files.add(file);
    return file;
  }

  #newHandle(file: RemoteFile, path: ByteString, flags: number, number: number): RemoteHandle {
    const open: RemoteHandle = {
      file,
      flags,
      path,
      number,
      readAhead: new ReadAhead({
        fetch: (offset, length) => this.#fetch(open, offset, length),
        isLeased: () => open.isLeased && this.#share.lease.leftMs(open.epoch) > 0,
        isSlow: () => this.#share.channel.pace === 'slow',
        clock: this.#share.clock,
      }),
      isLost: false,
      reopening: undefined,
      isBroken: false,
      hasLocks: false,
      hasWritten: false,
      isLeased: false,
      epoch: this.#share.lease.epoch,
    };
    file.handles.add(open);
    return open;
  }

  async #readAfterWrites(open: RemoteHandle, offset: number, length: number): Promise<Uint8Array> {
    checkWhole(open);
    while (open.file.writes.isDirty) await open.file.writes.drained();
    return open.readAhead.read(offset, length, open.file.size);
  }

  #fetch(open: RemoteHandle, offset: number, length: number): Promise<Uint8Array> {
    const { file } = open;
    const { changes } = file;
    return this.through(open, true, (handle) => this.#share.call('read', { handle, offset, length })).then(
      ({ payload }) => {
        const end = offset + payload.length;
        if (payload.length > 0 && end > file.size && changes === file.changes) file.size = end;
        return payload;
      },
    );
  }

  async #writeThrough(open: RemoteHandle, offset: number, bytes: Uint8Array): Promise<WriteResult> {
    await this.#written(open);
    const { file } = open;
    this.#share.changedContents(file);
    open.hasWritten = true;
    let result: WriteResult = { size: file.size, end: offset };
    for (let position = 0; position < bytes.length; position += LIMITS.pieceBytes) {
      // The binding's bytes may be sent twice while it waits for us only once.
      const piece = Buffer.from(bytes.subarray(position, position + LIMITS.pieceBytes));
      result = await this.#send(open, offset + position, piece);
    }
    file.size = result.size;
    this.#share.changedContents(file);
    return result;
  }

  async #send(open: RemoteHandle, offset: number, bytes: Uint8Array): Promise<WriteResult> {
    // Written twice at the same place is written once; appended twice is not.
    const canRepeat = (open.flags & OPEN.append) === 0;
    const { reply } = await this.through(open, canRepeat, (handle) =>
      this.#share.call('write', { handle, offset }, { payload: bytes }),
    );
    return { size: reply.size, end: reply.end };
  }

  /** Opens again what the server has forgotten, then tries once more. */
  async through<T>(open: RemoteHandle, canRepeat: boolean, run: (number: number) => Promise<T>): Promise<T> {
    checkWhole(open);
    if (open.isLost) await this.#reopened(open);
    const { number } = open;
    try {
      return await run(number);
    } catch (error) {
      const code = codeOf(error);
      if (code === 'OUTCOME_UNKNOWN' && !canRepeat) throw new PeerfsError('EIO', 'outcome unknown', { cause: error });
      if (code !== 'EBADF' && code !== 'ESTALE' && code !== 'OUTCOME_UNKNOWN') throw error;
      if (open.number === number) open.isLost = true;
    }
    checkWhole(open);
    await this.#reopened(open);
    return run(open.number);
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
      void this.#releaseNumber(reply.handle);
      throw new PeerfsError('ESTALE', 'another file stands at its path');
    }
    open.number = reply.handle;
    open.isLost = false;
  }

  /** Remembers what was heard of the file, if it is sure that it still stands at its path. */
  #learnThrough(open: RemoteHandle, sentAt: number, reply: LearnedAttributes): void {
    open.file.size = reply.attributes.size;
    const isNamed = open.isLeased && open.epoch === this.#share.lease.epoch && reply.attributes.nlink > 0;
    if (isNamed) this.#share.learn(open.path, sentAt, reply);
  }

  #unnamed(open: RemoteHandle, path: ByteString): void {
    if (open.path === path || open.path.startsWith(`${path}/`)) open.isLeased = false;
  }

  #releaseNumber(handle: number): Promise<void> {
    return this.#share.call('release', { handle }).then(
      () => undefined,
      () => undefined,
    );
  }

  #unlock(open: RemoteHandle, request: LockRequest): void {
    const fields = { ...lockFields(request), type: LOCK_NONE, kind: request.kind, wait: false };
    this.#share.call('lock', { handle: open.number, ...fields }).catch(() => undefined);
  }
}

function checkWhole(open: RemoteHandle): void {
  if (open.isBroken) throw new PeerfsError('EIO', 'locks of this file were lost');
}

function lockFields({ owner, type, start, end, pid }: LockRange): LockRange {
  return { owner, type, start, end, pid };
}
