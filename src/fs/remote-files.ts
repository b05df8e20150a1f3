/**
 * RemoteTree's operations on open files. Reads are answered from read-ahead, writes go to the write buffer; whatever
 * looks at the file otherwise waits until its writes have arrived. Handles and their numbers at the server are in
 * remote-handles.ts, locks in remote-locks.ts.
 */
import { nameOf, parentOf, ROOT, type ByteString } from '../bytestring.ts';
import { codeOf, codeOfWire, PeerfsError } from '../errors.ts';
import type { CallResult } from '../net/channel.ts';
import { LIMITS, OPEN, type Attributes } from '../wire/schema.ts';
import type { Contents } from './contents-memory.ts';
import { isProvisional, type Creation } from './creation.ts';
import { isSameFile, noteWritten, type FileIdentity, type RemoteFile, type RemoteHandle } from './remote-file.ts';
import { checkWhole, RemoteHandles } from './remote-handles.ts';
import { RemoteLocks } from './remote-locks.ts';
import type { FilePrefetch } from './remote-prefetch.ts';
import { ReadAhead } from './remote-read-ahead.ts';
import type { LearnedAttributes, RemoteShare } from './remote-share.ts';
import { WriteBuffer } from './remote-write-buffer.ts';
import type { Handle, LockRange, LockRequest, OpenedFile, OpenOptions, WriteResult } from './tree.ts';

/** Writes through such handles are one call each, answered when it is. */
const UNBUFFERED = OPEN.append | OPEN.sync | OPEN.dataSync;
const NOTHING = new Uint8Array(0);
/** Tuning: so much of a file comes with its opening on a slow path, bytes. */
const SLOW_FIRST_BYTES = 16 * 1024;

/** A file that was opened, perhaps without asking the server. */
export interface OpenedRemoteFile extends OpenedFile {
  /** All of it, if it is small and at hand; holds until the event loop's next turn. */
  readonly contents?: Uint8Array;
}

export class RemoteFileOperations {
  readonly #share: RemoteShare;
  readonly #handles: RemoteHandles;
  readonly #locks: RemoteLocks;
  readonly #prefetch: FilePrefetch;

  /** @param handles and the rest are of the same share. */
  constructor(share: RemoteShare, handles: RemoteHandles, prefetch: FilePrefetch) {
    this.#share = share;
    this.#handles = handles;
    this.#locks = new RemoteLocks(share, handles);
    this.#prefetch = prefetch;
  }

  open(path: ByteString, options: OpenOptions): Promise<OpenedRemoteFile> {
    if (this.#share.creations.mayHold(path, options)) return Promise.resolve(this.#hold(path, options));
    if ((options.flags & ~(OPEN.sync | OPEN.dataSync)) !== OPEN.read) return this.#open(path, options);
    const known = this.openKnown(path, options.flags);
    if (known !== undefined) return Promise.resolve(known);
    const arriving = this.#prefetch.arriving(path);
    if (arriving !== undefined) {
      return arriving.then(() => this.openKnown(path, options.flags) ?? this.#openMissed(path, options));
    }
    return this.#openMissed(path, options);
  }

  /** Opens for reading what is at hand whole, without asking the server. @returns undefined if it is not. */
  openKnown(path: ByteString, flags: number): OpenedRemoteFile | undefined {
    const share = this.#share;
    const [directory, name] = [parentOf(path), nameOf(path)];
    const attributes = share.cache.find(directory, name);
    const contents = attributes ? share.contents.get(directory, name, attributes) : undefined;
    if (!attributes || contents === undefined) return undefined;
    const file = share.files.find(attributes) ?? this.#newFile(attributes);
    const open = this.#newHandle(file, path, flags, 0, contents);
    open.isLeased = true;
    this.#prefetch.opened(directory, name);
    const handle = this.#handles.add(open);
    return { handle, created: false, attributes, firstBytes: NOTHING, contents: contents.bytes };
  }

  /** Makes a file here first. */
  #hold(path: ByteString, options: OpenOptions): OpenedFile {
    const creation = this.#share.creations.hold(path, options, ({ reply }, sentAt) => {
      const { file } = open;
      this.#share.files.remove(file);
      file.identity = identityOf(reply.attributes);
      this.#share.files.add(file);
      open.number = reply.handle;
      open.creation = undefined;
      open.isLost = false;
      open.isLeased = reply.leaseMs > 0 && this.#share.order.isNameCurrent(path, sentAt, reply.change);
      file.size = Math.max(reply.attributes.size, file.writes.dirtyEnd);
      file.version = reply.attributes;
      if (reply.failure !== 0) file.writes.fail(open, new PeerfsError(codeOfWire(reply.failure)));
      this.#share.arrived(creation, sentAt, reply);
    });
    const { attributes } = creation;
    const open = this.#newHandle(this.#newFile(attributes), path, options.flags, 0, undefined);
    open.creation = creation;
    return { handle: this.#handles.add(open), created: true, attributes, firstBytes: NOTHING };
  }

  #openMissed(path: ByteString, options: OpenOptions): Promise<OpenedRemoteFile> {
    this.#prefetch.opened(parentOf(path), nameOf(path));
    return this.#open(path, options);
  }

  async #open(path: ByteString, options: OpenOptions): Promise<OpenedRemoteFile> {
    const share = this.#share;
    const { flags, permissions, uid, gid } = options;
    const wantBytes = Math.min(options.wantBytes, share.channel.pace === 'slow' ? SLOW_FIRST_BYTES : Infinity);
    await share.settled(path, false);
    const sentAt = share.order.now;
    const request = { share: share.share, path, flags, permissions, uid, gid, wantBytes };
    const late = ({ reply }: CallResult<'open'>) => this.#share.releases.add(reply.handle);
    const run = () => share.releases.opening(() => share.call('open', request, { late }));
    const { reply, payload } = await (flags & OPEN.create ? share.creations.changing(request, run) : run());
    checkLength(payload, wantBytes);
    const { created, leaseMs } = reply;
    const file = share.files.find(reply.attributes) ?? this.#newFile(reply.attributes);
    const open = this.#newHandle(file, path, flags, reply.handle, undefined);
    open.isLeased = leaseMs > 0 && share.order.isNameCurrent(path, sentAt, reply.change);
    const handle = this.#handles.add(open);
    const isCurrent = share.order.isCurrent(path, sentAt, reply.change);
    if (created) share.made(path, sentAt, reply);
    if (file.writes.isDirty) {
      // It is open under another name, too, and what was written there was not in the reply.
      await file.writes.drained();
      return { handle, created, attributes: await this.getattr(open, path), firstBytes: new Uint8Array(0) };
    }
    if (!created && flags & OPEN.truncate) share.changedContents(file);
    const contents = created || !isCurrent ? undefined : this.#learnOpened(path, reply, payload);
    file.size = reply.attributes.size;
    file.version = reply.attributes;
    if (payload.length > 0 && isCurrent) open.readAhead.seed(payload, wantBytes);
    const opened = { handle, created, attributes: reply.attributes, firstBytes: payload };
    return contents === undefined ? opened : { ...opened, contents };
  }

  /** @returns the contents if all of them came. */
  #learnOpened(path: ByteString, reply: LearnedAttributes, payload: Uint8Array): Uint8Array | undefined {
    this.#share.learnContents(path, this.#share.order.now, reply, payload, true);
    return payload.length === reply.attributes.size ? payload : undefined;
  }

  async getattr(open: RemoteHandle, path: ByteString): Promise<Attributes> {
    const share = this.#share;
    if (open.creation !== undefined) {
      if (open.creation.isUntouched) return open.creation.attributes;
      await share.creations.made(open.creation);
    }
    while (open.file.writes.isDirty) await open.file.writes.drained();
    const known = share.cache.get(path);
    if (known && isSameFile(known, open.file.identity)) return known;
    const sentAt = share.order.now;
    const { reply } = await this.#handles.through(open, true, (handle) =>
      share.call('getattr', { share: share.share, path, handle }),
    );
    if (path === open.path) this.#learnThrough(open, sentAt, reply);
    return share.withUnwritten(reply.attributes);
  }

  /** @returns views that hold until the event loop's next turn, in order. */
  read(handle: Handle, offset: number, length: number): Promise<readonly Uint8Array[]> {
    const open = this.#handles.find(handle);
    if (open === undefined || (open.flags & OPEN.read) === 0) {
      return Promise.reject(new PeerfsError('EBADF', 'not open for reading'));
    }
    if (open.creation !== undefined) {
      return this.#share.creations.made(open.creation).then(() => this.read(handle, offset, length));
    }
    if (open.whole !== undefined && this.#isLeased(open)) {
      return Promise.resolve([open.whole.subarray(offset, offset + length)]);
    }
    if (open.file.writes.isDirty || open.isBroken) return this.#readAfterWrites(open, offset, length);
    return open.readAhead.read(offset, length, open.file.size);
  }

  async write(handle: Handle, offset: number, bytes: Uint8Array): Promise<WriteResult> {
    const open = this.#handles.get(handle);
    const { file } = open;
    if ((open.flags & OPEN.write) === 0) throw new PeerfsError('EBADF', 'not open for writing');
    checkWhole(open);
    if (open.flags & UNBUFFERED) return this.#writeThrough(open, offset, bytes);
    if (open.creation !== undefined && this.#writeHeld(open, open.creation, offset, bytes)) {
      return { size: file.size, end: offset + bytes.length };
    }
    if (bytes.length > 0) {
      if (!file.writes.isDirty) {
        file.isNoted = false;
        this.#share.changedContents(file);
      }
      const room = file.writes.write(open, offset, bytes);
      open.hasWritten = true;
      if (offset + bytes.length > file.size) file.size = offset + bytes.length;
      if (room !== undefined) await room;
    }
    return { size: file.size, end: offset + bytes.length };
  }

  /** @returns whether the bytes go with the call that makes the file. @throws what that call failed with. */
  #writeHeld(open: RemoteHandle, creation: Creation, offset: number, bytes: Uint8Array): boolean {
    if (creation.state === 'failed') throw creation.error;
    const isTaken = creation.write(offset, bytes);
    if (isTaken) open.file.size = creation.bytes.length;
    if (!isTaken || creation.isFull) void this.#share.creations.made(creation).catch(() => undefined);
    return isTaken;
  }

  async fsync(handle: Handle, dataOnly: boolean): Promise<void> {
    const open = this.#handles.get(handle);
    await this.#written(open);
    open.hasWritten = false;
    try {
      await this.#handles.through(open, true, (number) => this.#share.call('fsync', { handle: number, dataOnly }));
    } catch (error) {
      open.hasWritten = true;
      throw error;
    }
    open.file.writes.throwError(open);
  }

  async flush(handle: Handle, lockOwner: bigint): Promise<void> {
    const open = this.#handles.get(handle);
    await this.#written(open);
    const mayHaveLocks = [...open.file.handles].some(({ hasLocks }) => hasLocks);
    if (!open.hasWritten && !mayHaveLocks) return;
    open.hasWritten = false;
    const sentAt = this.#share.order.now;
    const { reply } = await this.#handles.through(open, true, (number) =>
      this.#share.call('flush', { handle: number, lockOwner }),
    );
    this.#learnThrough(open, sentAt, reply);
  }

  async release(handle: Handle): Promise<void> {
    const open = this.#handles.find(handle);
    if (open === undefined) return;
    this.#handles.remove(handle);
    const { file } = open;
    if (open.creation !== undefined) await this.#share.creations.made(open.creation).catch(() => undefined);
    await file.writes.drained();
    file.writes.forget(open);
    file.handles.delete(open);
    if (file.handles.size === 0) this.#share.files.remove(file);
    open.asOpened?.letGo();
    this.#handles.release(open);
  }

  async fallocate(handle: Handle, mode: number, offset: number, length: number): Promise<void> {
    const open = this.#handles.get(handle);
    await this.#written(open);
    this.#share.changedContents(open.file);
    const { reply } = await this.#handles.through(open, false, (number) =>
      this.#share.call('fallocate', { handle: number, mode, offset, length }),
    );
    this.#share.changedContents(open.file);
    open.file.size = reply.attributes.size;
    noteWritten(open.file, reply.attributes);
  }

  async seek(handle: Handle, offset: number, whence: number): Promise<number> {
    const open = this.#handles.get(handle);
    await this.#written(open);
    const { reply } = await this.#handles.through(open, true, (number) =>
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
    const from = this.#handles.get(source);
    const to = this.#handles.get(target);
    await this.#written(from);
    await this.#written(to);
    this.#share.changedContents(to.file);
    const { reply } = await this.#handles.through(from, false, (sourceNumber) =>
      this.#handles.through(to, false, (targetNumber) =>
        this.#share.call('copyRange', {
          source: sourceNumber,
          sourceOffset,
          target: targetNumber,
          targetOffset,
          length: Math.min(length, LIMITS.copyBytes),
        }),
      ),
    );
    if (reply.copied > length) throw new PeerfsError('EIO', 'the peer copied more than it was asked to');
    this.#share.changedContents(to.file);
    to.file.size = reply.size;
    noteWritten(to.file, reply);
    to.hasWritten = true;
    return reply.copied;
  }

  async lock(handle: Handle, request: LockRequest, waiting?: AbortSignal): Promise<void> {
    const open = this.#handles.get(handle);
    // What was written under a lock must be at the server before the next holder reads.
    await this.#written(open);
    await this.#locks.lock(open, request, waiting);
  }

  testLock(handle: Handle, range: LockRange): Promise<LockRange | undefined> {
    const open = this.#handles.find(handle);
    if (open === undefined) return Promise.reject(new PeerfsError('EBADF', 'no such handle'));
    return this.#locks.test(open, range);
  }

  /** Waits for the file's writes. @throws the error of the handle's own. */
  async #written(open: RemoteHandle): Promise<void> {
    if (open.creation !== undefined) await this.#share.creations.made(open.creation);
    while (open.file.writes.isDirty) await open.file.writes.drained();
    open.file.writes.throwError(open);
  }

  /** Before attributes or contents of a file are set through `handle`. */
  async beforeChange(handle: Handle): Promise<RemoteHandle> {
    const open = this.#handles.get(handle);
    await this.#written(open);
    return open;
  }

  async drainAll(): Promise<void> {
    await this.#share.creations.settled(ROOT);
    await Promise.all([...this.#share.files.all()].map((file) => file.writes.drained()));
  }

  #newFile(attributes: Attributes): RemoteFile {
    const file: RemoteFile = {
      identity: identityOf(attributes),
      handles: new Set(),
      size: attributes.size,
      version: isProvisional(attributes) ? undefined : attributes,
      isNoted: false,
      changes: 0,
      writes: new WriteBuffer<RemoteHandle>(
        this.#share.clock,
        (open, offset, bytes) => this.#sendBuffered(open, offset, bytes),
        () => this.#share.changedContents(file),
      ),
    };
    this.#share.files.add(file);
    return file;
  }

  /** @param whole the file's contents; then the server is asked for a number when one is needed. */
  #newHandle(
    file: RemoteFile,
    path: ByteString,
    flags: number,
    number: number,
    whole: Contents | undefined,
  ): RemoteHandle {
    whole?.hold();
    const open: RemoteHandle = {
      file,
      flags,
      path,
      number,
      readAhead: new ReadAhead({
        fetch: (offset, length) => this.#fetch(open, offset, length),
        isLeased: () => this.#isLeased(open),
        isSlow: () => this.#share.channel.pace === 'slow',
        clock: this.#share.clock,
      }),
      whole: whole?.bytes,
      asOpened: whole,
      creation: undefined,
      isLost: whole !== undefined,
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

  async #readAfterWrites(open: RemoteHandle, offset: number, length: number): Promise<readonly Uint8Array[]> {
    checkWhole(open);
    while (open.file.writes.isDirty) await open.file.writes.drained();
    return open.readAhead.read(offset, length, open.file.size);
  }

  #fetch(open: RemoteHandle, offset: number, length: number): Promise<Uint8Array> {
    const { file } = open;
    const { changes } = file;
    return this.#handles
      .through(open, true, (handle) => this.#share.call('read', { handle, offset, length }))
      .then(({ payload }) => {
        checkLength(payload, length);
        const end = offset + payload.length;
        if (payload.length > 0 && end > file.size && changes === file.changes) file.size = end;
        return payload;
      })
      .catch((error: unknown) => {
        // Another file stands there now: as with any file that is open, what it was is still to be read.
        if (open.asOpened === undefined || codeOf(error) !== 'ESTALE') throw error;
        return open.asOpened.bytes.subarray(offset, offset + length);
      });
  }

  #isLeased(open: RemoteHandle): boolean {
    return open.isLeased && this.#share.lease.leftMs(open.epoch) > 0;
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

  async #sendBuffered(open: RemoteHandle, offset: number, bytes: Uint8Array): Promise<void> {
    try {
      await this.#send(open, offset, bytes);
    } catch (error) {
      if (codeOf(error) === 'ESTALE') this.#share.refused({ file: open.file, path: open.path, offset, bytes });
      throw error;
    }
  }

  async #send(open: RemoteHandle, offset: number, bytes: Uint8Array): Promise<WriteResult> {
    // Written twice at the same place is written once; appended twice is not.
    const canRepeat = (open.flags & OPEN.append) === 0;
    const { reply } = await this.#handles.through(open, canRepeat, (handle) =>
      this.#share.call('write', { handle, offset }, { payload: bytes }),
    );
    noteWritten(open.file, reply);
    return { size: reply.size, end: reply.end };
  }

  /** Remembers what was heard of the file, if it is sure that it still stands at its path. */
  #learnThrough(open: RemoteHandle, sentAt: number, reply: LearnedAttributes): void {
    open.file.size = reply.attributes.size;
    if (!open.file.writes.isDirty) open.file.version = reply.attributes;
    if (this.isNamed(open, open.path, reply.attributes)) this.#share.learn(open.path, sentAt, reply);
  }

  /** Whether what was heard through the handle is so of the path, too. */
  isNamed(open: RemoteHandle, path: ByteString, { nlink }: Attributes): boolean {
    return open.isLeased && open.epoch === this.#share.lease.epoch && open.path === path && nlink > 0;
  }
}

/** What nobody asked for would be taken for what comes after. @throws PeerfsError EIO */
function checkLength(payload: Uint8Array, asked: number): void {
  if (payload.length > asked) throw new PeerfsError('EIO', 'the peer sent more than was asked for');
}

function identityOf({ inode, device, birthSec, birthNsec }: Attributes): FileIdentity {
  return { inode, device, birthSec, birthNsec };
}
