/** Calls of a peer on open files and directories, and their locks. */
import { nameOf, parentOf } from '../bytestring.ts';
import { PeerfsError } from '../errors.ts';
import { recycle } from '../frame-pool.ts';
import type { Answer } from '../net/channel.ts';
import { OPEN, type RequestOf } from '../wire/schema.ts';
import { contentsChanged, isCovered, namesChanged } from './served-changes.ts';
import { directoriesAfter, NO_NAMES, soleAfter } from './served-directories.ts';
import { ServedHandle } from './served-handles.ts';
import type { ServedHandlers, ServedPeer } from './served-peer.ts';
import type { LockRange } from './tree.ts';

type FileCall =
  | 'open'
  | 'read'
  | 'readFiles'
  | 'write'
  | 'fsync'
  | 'flush'
  | 'release'
  | 'fallocate'
  | 'seek'
  | 'copyRange'
  | 'lock'
  | 'testLock';

export function fileHandlers(peer: ServedPeer): ServedHandlers<FileCall> {
  /** The attributes of an open file after a call that ended writing. */
  async function attributesOf(open: ServedHandle): Promise<Answer<'flush'>> {
    const { served, directory, name, path } = open;
    const { change } = served.leases;
    const leaseMs = await served.leases.grant(served.holder, directory, name);
    const attributes = await served.tree.getattr(path, open.handle);
    return { reply: { attributes, change, leaseMs: isCovered(attributes) ? leaseMs : 0 } };
  }

  async function open({
    share,
    path,
    flags,
    permissions,
    uid,
    gid,
    wantBytes,
  }: RequestOf<'open'>): Promise<Answer<'open'>> {
    const writes = OPEN.write | OPEN.append | OPEN.create | OPEN.truncate;
    const served = (flags & writes) === 0 ? peer.served(share) : peer.writable(share);
    const place = peer.handles.reserve();
    try {
      const { change } = served.leases;
      const leaseMs = await served.leases.grant(served.holder, parentOf(path), nameOf(path));
      const opening = served.tree.open(path, { flags, permissions, uid, gid, wantBytes });
      const after = (flags & OPEN.create) === 0 ? undefined : directoriesAfter(served, path);
      const opened = await opening;
      const { attributes, created, firstBytes } = opened;
      const changes = created ? namesChanged(path) : flags & OPEN.truncate ? [contentsChanged(path)] : undefined;
      const gone = peer.goneMeanwhile(served, opened.handle, place, changes);
      if (gone !== undefined) await gone;
      const handle = place.fill(new ServedHandle(served, opened.handle, path, attributes));
      if (changes !== undefined) await served.leases.changed(served.holder, changes);
      const names = created && after !== undefined ? { ...(await after), ...soleAfter(served, path) } : NO_NAMES;
      const coveredMs = isCovered(attributes) ? leaseMs : 0;
      const reply = { handle, created, attributes, change, leaseMs: coveredMs, ...names };
      return { reply, payload: firstBytes };
    } finally {
      place.leave();
    }
  }

  async function read({ handle, offset, length }: RequestOf<'read'>): Promise<Answer<'read'>> {
    const open = peer.file(handle);
    const { leases, holder, tree } = open.served;
    leases.rearm(holder, open.directory, open.name);
    const { change } = leases;
    return { reply: { change }, payload: await tree.read(open.handle, offset, length) };
  }

  async function readFiles({ share, directory, names, room }: RequestOf<'readFiles'>): Promise<Answer<'readFiles'>> {
    const { leases, holder, tree } = peer.served(share);
    const asked = names.map(({ name }) => name);
    const { change } = leases;
    const leaseMs = await leases.grant(holder, directory, asked[0]);
    if (leaseMs === 0 || asked.length === 0) return { reply: { files: [], change, leaseMs } };
    for (const name of asked) leases.rearm(holder, directory, name);
    const read = await tree.readFiles(directory, asked, room);
    const files = read.files.map(({ position, attributes }) => ({ position, attributes }));
    return { reply: { files, change, leaseMs }, payload: read.bytes };
  }

  async function write({ handle, offset }: RequestOf<'write'>, payload: Uint8Array): Promise<Answer<'write'>> {
    const open = peer.writableFile(handle);
    if (open.isOvertaken) {
      // It was gone for longer than its leases, and others wrote: it opens the file again and looks at it before it goes on.
      await peer.release(handle);
      throw new PeerfsError('EBADF', 'overtaken');
    }
    const { served } = open;
    const { change } = served.leases;
    const writing = served.tree.write(open.handle, offset, payload).finally(() => recycle(payload));
    const written = await peer.writing(open, writing);
    return { reply: { ...written, change } };
  }

  async function copyRange(request: RequestOf<'copyRange'>): Promise<Answer<'copyRange'>> {
    const source = peer.file(request.source);
    const target = peer.writableFile(request.target);
    // Handles of two shares over one tree would copy, too, but the kernel never asks for it.
    if (source.served !== target.served) throw new PeerfsError('EXDEV', 'files of two shares');
    const { served } = target;
    const { change } = served.leases;
    const { sourceOffset, targetOffset, length } = request;
    const copied = await peer.writing(
      target,
      peer.slowCalls.pass(() =>
        served.tree.copyRange(source.handle, sourceOffset, target.handle, targetOffset, length),
      ),
    );
    const { size, mtimeSec, mtimeNsec } = await served.tree.getattr(target.path, target.handle);
    return { reply: { copied, size, mtimeSec, mtimeNsec, change } };
  }

  return {
    open: peer.heard((request) => open(request)),
    read: peer.heard((request) => read(request)),
    readFiles: peer.heard((request) => readFiles(request)),
    write: peer.heard((request, { payload }) => write(request, payload)),
    fsync: peer.heard(async ({ handle, dataOnly }) => {
      const open = peer.handles.get(handle);
      const { change } = open.served.leases;
      await peer.slowCalls.pass(() => open.served.tree.fsync(open.handle, dataOnly));
      return { reply: { change } };
    }),
    flush: peer.heard(async ({ handle, lockOwner }) => {
      const open = peer.file(handle);
      await open.served.tree.flush(open.handle, peer.owner(lockOwner));
      return attributesOf(open);
    }),
    release: peer.heard(async ({ handles }) => {
      await Promise.all(handles.map(({ handle }) => peer.release(handle)));
      return { reply: {} };
    }),
    fallocate: peer.heard(async ({ handle, mode, offset, length }) => {
      const open = peer.writableFile(handle);
      const { tree } = open.served;
      await peer.writing(open, tree.fallocate(open.handle, mode, offset, length));
      return attributesOf(open);
    }),
    seek: peer.heard(async ({ handle, offset, whence }) => {
      const open = peer.file(handle);
      return { reply: { offset: await open.served.tree.seek(open.handle, offset, whence) } };
    }),
    copyRange: peer.heard((request) => copyRange(request)),
    lock: peer.heard(async ({ handle, wait, ...request }, { signal }) => {
      const open = peer.file(handle);
      const locked = { ...request, owner: peer.owner(request.owner) };
      await open.served.tree.lock(open.handle, locked, wait ? signal : undefined);
      return { reply: {} };
    }),
    testLock: peer.heard(async ({ handle, ...range }) => {
      const open = peer.file(handle);
      const asked: LockRange = { ...range, owner: peer.owner(range.owner), pid: 0 };
      const held = await open.served.tree.testLock(open.handle, asked);
      if (held === undefined) return { reply: { type: 2, start: 0n, end: 0n, pid: 0 } };
      const isOwn = peer.isOwn(held.owner);
      return { reply: { type: held.type, start: held.start, end: held.end, pid: isOwn ? held.pid : 0 } };
    }),
  };
}
