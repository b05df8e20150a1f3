/**
 * The kernel's operations: each decodes its request, calls the file system and answers. Owns what a request means and
 * what must be undone when its answer did not arrive; not the order of requests or their interruption (session.ts).
 *
 * Input is decoded before the first await: afterwards the buffer holds another request.
 */
import { constants } from 'node:fs';
import { PeerfsError } from '../../errors.ts';
import { LOCK_KIND, LOCK_TYPE } from '../../wire/schema.ts';
import type { KernelFileSystem, OpenIntent } from '../kernel.ts';
import type { FileTime, LockRequest } from '../tree.ts';
import { DirectoryReply } from './directory-reply.ts';
import {
  FSYNC_FDATASYNC,
  GETATTR_FH,
  LK_FLOCK,
  OPCODE,
  OPEN_KILL_SUIDGID,
  RELEASE_FLOCK_UNLOCK,
  SETATTR_VALID,
  WRITE_KILL_SUIDGID,
} from './protocol.ts';
import { MAX_TRANSFER_BYTES } from './negotiation.ts';
import type { Replies } from './reply.ts';
import type { FuseRequest, RequestInput } from './request.ts';
import {
  BATCH_FORGET_IN,
  COPY_FILE_RANGE_IN,
  CREATE_IN,
  FALLOCATE_IN,
  FILE_LOCK,
  FLUSH_IN,
  FORGET_IN,
  FORGET_ONE,
  FSYNC_IN,
  GETATTR_IN,
  GETXATTR_IN,
  LINK_IN,
  LK_IN,
  LSEEK_IN,
  MKDIR_IN,
  MKNOD_IN,
  OPEN_IN,
  READ_IN,
  RELEASE_IN,
  RENAME2_IN,
  RENAME_IN,
  SETATTR_IN,
  SETXATTR_IN,
  SETXATTR_IN_SHORT_BYTES,
  WRITE_IN,
} from './structures.ts';

/** More than fits into the answer's 32 bits, less than what could overflow; the caller goes on from there. */
const COPY_AT_MOST_BYTES = 2 ** 31 - 4096;

interface Call {
  readonly fileSystem: KernelFileSystem;
  readonly input: RequestInput;
  readonly request: FuseRequest;
  readonly replies: Replies;
}
/** A promise that rejects is answered with its error; undefined: answered already, or no answer is due. */
type Operation = (call: Call) => Promise<unknown> | undefined;

export function intentOf(flags: number, openFlags: number): OpenIntent {
  const access = flags & 3;
  return {
    read: access !== constants.O_WRONLY,
    write: access !== constants.O_RDONLY,
    append: (flags & constants.O_APPEND) !== 0,
    truncate: (flags & constants.O_TRUNC) !== 0,
    exclusive: (flags & constants.O_EXCL) !== 0,
    sync: (flags & constants.O_SYNC) === constants.O_SYNC,
    dataSync: (flags & constants.O_DSYNC) !== 0,
    direct: (flags & constants.O_DIRECT) !== 0,
    killPrivileges: (openFlags & OPEN_KILL_SUIDGID) !== 0,
  };
}

const sent = (delivered: boolean, undo: () => unknown): void => {
  if (!delivered) undo();
};

/** Where only the user's attributes cross to the peer: what becomes of the other names. */
type Namespace = 'user' | 'absent' | 'unsupported';
/**
 * For security labels, capabilities (security.*) and access control lists (system.*) EOPNOTSUPP makes `cp -a` and `ls -l`
 * look no further: after ENODATA they would ask for each file. Never ENOSYS: after it the kernel would not ask for
 * user.* either.
 */
function namespaceOf(name: string): Namespace {
  if (name.startsWith('user.')) return 'user';
  return name.startsWith('trusted.') ? 'absent' : 'unsupported';
}
/** Asked for each new file: made once, because making an error costs more than answering. */
const ABSENT = new PeerfsError('ENODATA');
const UNSUPPORTED = new PeerfsError('EOPNOTSUPP');
const refused = (namespace: Namespace): PeerfsError => (namespace === 'absent' ? ABSENT : UNSUPPORTED);

function entryOperation(start: (call: Call) => ReturnType<KernelFileSystem['mkdir']>): Operation {
  return (call) =>
    start(call).then((entry) =>
      sent(call.replies.entry(call.request, entry), () => call.fileSystem.forget(entry.node, 1)),
    );
}

/** For operations that answer with nothing but success. */
function plainOperation(start: (call: Call) => Promise<void>): Operation {
  return (call) => start(call).then(() => call.replies.empty(call.request));
}

/** @param start what answers at once. */
function immediate(answer: (call: Call) => void): Operation {
  return (call) => {
    answer(call);
    return undefined;
  };
}

const setattr: Operation = ({ fileSystem, input, request, replies }) => {
  const { word } = SETATTR_IN;
  const valid = input.u32(word.valid);
  const has = (bit: number): boolean => (valid & bit) !== 0;
  const time = (sec: number, nsec: number, now: number): FileTime | 'now' =>
    has(now) ? 'now' : { sec: input.i64(sec), nsec: input.u32(nsec) };
  const change = {
    ...(has(SETATTR_VALID.MODE) && { mode: input.u32(word.mode) & 0o7777 }),
    ...(has(SETATTR_VALID.UID) && { uid: input.u32(word.uid) }),
    ...(has(SETATTR_VALID.GID) && { gid: input.u32(word.gid) }),
    ...(has(SETATTR_VALID.SIZE) && { size: input.u64(word.size) }),
    ...(has(SETATTR_VALID.ATIME) && { atime: time(word.atime, word.atimensec, SETATTR_VALID.ATIME_NOW) }),
    ...(has(SETATTR_VALID.MTIME) && { mtime: time(word.mtime, word.mtimensec, SETATTR_VALID.MTIME_NOW) }),
    ...(has(SETATTR_VALID.FH) && { handle: input.u64(word.fh) }),
    ...(has(SETATTR_VALID.KILL_SUIDGID) && { killPrivileges: true }),
  };
  return fileSystem.setattr(request.node, change, request).then((reply) => replies.attributes(request, reply));
};

const write: Operation = ({ fileSystem, input, request, replies }) => {
  const { word, sizeBytes } = WRITE_IN;
  const payload = input.payload(sizeBytes, input.u32(word.size));
  if (payload === undefined) return Promise.reject(new PeerfsError('ENOMEM', 'too many writes in flight'));
  const kill = (input.u32(word.write_flags) & WRITE_KILL_SUIDGID) !== 0;
  return fileSystem
    .write(input.u64(word.fh), input.u64(word.offset), payload.bytes, kill, request)
    .then((length) => replies.written(request, length))
    .finally(payload.release);
};

function readdir(plus: boolean): Operation {
  return ({ fileSystem, input, request, replies }) => {
    const { word } = READ_IN;
    const answer = new DirectoryReply(Math.min(input.u32(word.size), MAX_TRANSFER_BYTES), plus);
    const undo = (): void => answer.nodes.forEach((node) => fileSystem.forget(node, 1));
    return fileSystem.readdir(input.u64(word.fh), input.long(word.offset), plus, answer.add, request).then(
      () => sent(replies.buffer(request, answer.buffer, answer.length), undo),
      (error: unknown) => {
        undo();
        throw error;
      },
    );
  };
}

function lockOf(input: RequestInput): LockRequest {
  const { word } = LK_IN;
  return {
    owner: input.long(word.owner),
    type: input.u32(word.lk + FILE_LOCK.word.type),
    start: input.long(word.lk + FILE_LOCK.word.start),
    end: input.long(word.lk + FILE_LOCK.word.end),
    pid: input.u32(word.lk + FILE_LOCK.word.pid),
    kind: (input.u32(word.lk_flags) & LK_FLOCK) !== 0 ? LOCK_KIND.flock : LOCK_KIND.posix,
  };
}

function setlk(wait: boolean): Operation {
  return ({ fileSystem, input, request, replies }) => {
    const handle = input.u64(LK_IN.word.fh);
    const lock = lockOf(input);
    return fileSystem.setlk(handle, lock, wait, request).then(() =>
      sent(replies.empty(request), () => {
        // Granted to one who has given up: what he was told he has not, he must not have.
        if (lock.type === LOCK_TYPE.unlock) return;
        fileSystem.setlk(handle, { ...lock, type: LOCK_TYPE.unlock }, false, request).catch(() => undefined);
      }),
    );
  };
}

const release: Operation = ({ fileSystem, input, request, replies }) => {
  const { word } = RELEASE_IN;
  const handle = input.u64(word.fh);
  const dropsLock = (input.u32(word.release_flags) & RELEASE_FLOCK_UNLOCK) !== 0;
  const owner = input.long(word.lock_owner);
  // Nobody waits for the end of it.
  replies.empty(request);
  const unlocked = dropsLock
    ? fileSystem.setlk(
        handle,
        { owner, type: LOCK_TYPE.unlock, start: 0n, end: 0n, pid: 0, kind: LOCK_KIND.flock },
        false,
        request,
      )
    : Promise.resolve();
  unlocked.catch(() => undefined).finally(() => fileSystem.release(handle).catch(() => undefined));
  return undefined;
};

/** With `size` 0 the caller only asks how much room he needs. */
function answerXattr({ replies, request }: Call, size: number, value: Uint8Array): void {
  if (size === 0) replies.xattrSize(request, value.length);
  else if (value.length > size) replies.error(request, new PeerfsError('ERANGE'));
  else replies.data(request, [value]);
}

function fsync(method: 'fsync' | 'fsyncdir'): Operation {
  return plainOperation(({ fileSystem, input, request }) => {
    const { word } = FSYNC_IN;
    return fileSystem[method](input.u64(word.fh), (input.u32(word.fsync_flags) & FSYNC_FDATASYNC) !== 0, request);
  });
}

export const OPERATIONS: ReadonlyMap<number, Operation> = new Map<number, Operation>([
  [
    OPCODE.LOOKUP,
    ({ fileSystem, input, request, replies }) =>
      fileSystem.lookup(request.node, input.name(), request).then((reply) => {
        if ('attributes' in reply) sent(replies.entry(request, reply), () => fileSystem.forget(reply.node, 1));
        else if (reply.entryMs > 0) replies.negative(request, reply.entryMs);
        else replies.error(request, new PeerfsError('ENOENT'));
      }),
  ],
  [
    OPCODE.FORGET,
    immediate(({ fileSystem, input, request, replies }) => {
      replies.finish(request);
      fileSystem.forget(request.node, input.u64(FORGET_IN.word.nlookup));
    }),
  ],
  [
    OPCODE.BATCH_FORGET,
    immediate(({ fileSystem, input, request, replies }) => {
      replies.finish(request);
      const count = input.u32(BATCH_FORGET_IN.word.count);
      for (let i = 0; i < count; i += 1) {
        const start = (BATCH_FORGET_IN.sizeBytes + i * FORGET_ONE.sizeBytes) >> 2;
        fileSystem.forget(input.u64(start + FORGET_ONE.word.nodeid), input.u64(start + FORGET_ONE.word.nlookup));
      }
    }),
  ],
  [
    OPCODE.GETATTR,
    ({ fileSystem, input, request, replies }) => {
      const { word } = GETATTR_IN;
      const handle = (input.u32(word.getattr_flags) & GETATTR_FH) !== 0 ? input.u64(word.fh) : undefined;
      return fileSystem.getattr(request.node, handle, request).then((reply) => replies.attributes(request, reply));
    },
  ],
  [OPCODE.SETATTR, setattr],
  [
    OPCODE.READLINK,
    ({ fileSystem, request, replies }) =>
      fileSystem.readlink(request.node, request).then((target) => replies.data(request, [target])),
  ],
  [
    OPCODE.SYMLINK,
    entryOperation(({ fileSystem, input, request }) => {
      const name = input.name();
      const target = Buffer.from(input.text(name.length + 1), 'latin1');
      return fileSystem.symlink(request.node, name, target, request);
    }),
  ],
  [
    OPCODE.MKNOD,
    entryOperation(({ fileSystem, input, request }) => {
      const { word, sizeBytes } = MKNOD_IN;
      const mode = input.u32(word.mode) & ~input.u32(word.umask);
      return fileSystem.mknod(request.node, input.name(sizeBytes), mode, request);
    }),
  ],
  [
    OPCODE.MKDIR,
    entryOperation(({ fileSystem, input, request }) => {
      const { word, sizeBytes } = MKDIR_IN;
      const permissions = input.u32(word.mode) & ~input.u32(word.umask) & 0o7777;
      return fileSystem.mkdir(request.node, input.name(sizeBytes), permissions, request);
    }),
  ],
  [
    OPCODE.UNLINK,
    plainOperation(({ fileSystem, input, request }) => fileSystem.unlink(request.node, input.name(), request)),
  ],
  [
    OPCODE.RMDIR,
    plainOperation(({ fileSystem, input, request }) => fileSystem.rmdir(request.node, input.name(), request)),
  ],
  [
    OPCODE.RENAME,
    plainOperation(({ fileSystem, input, request }) => {
      const name = input.name(RENAME_IN.sizeBytes);
      const newName = input.name(RENAME_IN.sizeBytes + name.length + 1);
      return fileSystem.rename(request.node, name, input.u64(RENAME_IN.word.newdir), newName, 0, request);
    }),
  ],
  [
    OPCODE.RENAME2,
    plainOperation(({ fileSystem, input, request }) => {
      const { word, sizeBytes } = RENAME2_IN;
      const name = input.name(sizeBytes);
      const newName = input.name(sizeBytes + name.length + 1);
      const flags = input.u32(word.flags);
      return fileSystem.rename(request.node, name, input.u64(word.newdir), newName, flags, request);
    }),
  ],
  [
    OPCODE.LINK,
    entryOperation(({ fileSystem, input, request }) =>
      fileSystem.link(input.u64(LINK_IN.word.oldnodeid), request.node, input.name(LINK_IN.sizeBytes), request),
    ),
  ],
  [
    OPCODE.OPEN,
    ({ fileSystem, input, request, replies }) => {
      const intent = intentOf(input.u32(OPEN_IN.word.flags), input.u32(OPEN_IN.word.open_flags));
      return fileSystem
        .open(request.node, intent, request)
        .then((open) => sent(replies.open(request, open), () => fileSystem.release(open.handle)));
    },
  ],
  [
    OPCODE.CREATE,
    ({ fileSystem, input, request, replies }) => {
      const { word, sizeBytes } = CREATE_IN;
      const permissions = input.u32(word.mode) & ~input.u32(word.umask) & 0o7777;
      const intent = intentOf(input.u32(word.flags), input.u32(word.open_flags));
      return fileSystem
        .create(request.node, input.name(sizeBytes), permissions, intent, request)
        .then(({ entry, open }) =>
          sent(replies.create(request, entry, open), () => {
            fileSystem.forget(entry.node, 1);
            return fileSystem.release(open.handle);
          }),
        );
    },
  ],
  [
    OPCODE.READ,
    ({ fileSystem, input, request, replies }) => {
      const { word } = READ_IN;
      return fileSystem
        .read(input.u64(word.fh), input.u64(word.offset), input.u32(word.size), request)
        .then((data) => replies.data(request, data));
    },
  ],
  [OPCODE.WRITE, write],
  [
    OPCODE.STATFS,
    ({ fileSystem, request, replies }) =>
      fileSystem.statfs(request.node, request).then((status) => replies.status(request, status)),
  ],
  [OPCODE.RELEASE, release],
  [OPCODE.FSYNC, fsync('fsync')],
  [OPCODE.FSYNCDIR, fsync('fsyncdir')],
  [
    OPCODE.FLUSH,
    plainOperation(({ fileSystem, input, request }) =>
      fileSystem.flush(input.u64(FLUSH_IN.word.fh), input.long(FLUSH_IN.word.lock_owner), request),
    ),
  ],
  [
    OPCODE.SETXATTR,
    plainOperation(({ fileSystem, input, request }) => {
      const { word } = SETXATTR_IN;
      const name = input.name(SETXATTR_IN_SHORT_BYTES);
      if (namespaceOf(name) !== 'user') return Promise.reject(new PeerfsError('EOPNOTSUPP'));
      const value = input.bytes(SETXATTR_IN_SHORT_BYTES + name.length + 1, input.u32(word.size));
      return fileSystem.setxattr(request.node, name, value, input.u32(word.flags), request);
    }),
  ],
  [
    OPCODE.GETXATTR,
    (call) => {
      const { fileSystem, input, request } = call;
      const size = input.u32(GETXATTR_IN.word.size);
      const name = input.name(GETXATTR_IN.sizeBytes);
      const namespace = namespaceOf(name);
      if (namespace !== 'user') {
        call.replies.error(request, refused(namespace));
        return undefined;
      }
      return fileSystem.getxattr(request.node, name, request).then((value) => answerXattr(call, size, value));
    },
  ],
  [
    OPCODE.LISTXATTR,
    (call) => {
      const size = call.input.u32(GETXATTR_IN.word.size);
      return call.fileSystem.listxattr(call.request.node, call.request).then((names) => {
        const list = names.map((name) => `${name}\0`).join('');
        answerXattr(call, size, Buffer.from(list, 'latin1'));
      });
    },
  ],
  [
    OPCODE.REMOVEXATTR,
    plainOperation(({ fileSystem, input, request }) => {
      const name = input.name();
      const namespace = namespaceOf(name);
      if (namespace !== 'user') return Promise.reject(refused(namespace));
      return fileSystem.removexattr(request.node, name, request);
    }),
  ],
  [
    OPCODE.OPENDIR,
    ({ fileSystem, request, replies }) =>
      fileSystem
        .opendir(request.node, request)
        .then((open) => sent(replies.open(request, open), () => fileSystem.releasedir(open.handle))),
  ],
  [OPCODE.READDIR, readdir(false)],
  [OPCODE.READDIRPLUS, readdir(true)],
  [
    OPCODE.RELEASEDIR,
    immediate(({ fileSystem, input, request, replies }) => {
      const handle = input.u64(RELEASE_IN.word.fh);
      replies.empty(request);
      fileSystem.releasedir(handle).catch(() => undefined);
    }),
  ],
  [
    OPCODE.GETLK,
    ({ fileSystem, input, request, replies }) =>
      fileSystem.getlk(input.u64(LK_IN.word.fh), lockOf(input), request).then((range) => replies.lock(request, range)),
  ],
  [OPCODE.SETLK, setlk(false)],
  [OPCODE.SETLKW, setlk(true)],
  [
    OPCODE.FALLOCATE,
    plainOperation(({ fileSystem, input, request }) => {
      const { word } = FALLOCATE_IN;
      const [mode, offset, length] = [input.u32(word.mode), input.u64(word.offset), input.u64(word.length)];
      return fileSystem.fallocate(input.u64(word.fh), mode, offset, length, request);
    }),
  ],
  [
    OPCODE.LSEEK,
    ({ fileSystem, input, request, replies }) => {
      const { word } = LSEEK_IN;
      return fileSystem
        .lseek(input.u64(word.fh), input.u64(word.offset), input.u32(word.whence), request)
        .then((offset) => replies.position(request, offset));
    },
  ],
  [
    OPCODE.COPY_FILE_RANGE,
    ({ fileSystem, input, request, replies }) => {
      const { word } = COPY_FILE_RANGE_IN;
      const length = Math.min(input.u64(word.len), COPY_AT_MOST_BYTES);
      return fileSystem
        .copyFileRange(
          input.u64(word.fh_in),
          input.u64(word.off_in),
          input.u64(word.fh_out),
          input.u64(word.off_out),
          length,
          request,
        )
        .then((copied) => replies.written(request, copied));
    },
  ],
  // Permissions are the kernel's to check (default_permissions). After ENOSYS it asks no more.
  [OPCODE.ACCESS, () => Promise.reject(new PeerfsError('ENOSYS'))],
  [OPCODE.POLL, () => Promise.reject(new PeerfsError('ENOSYS'))],
  [OPCODE.IOCTL, () => Promise.reject(new PeerfsError('ENOTTY'))],
  [OPCODE.DESTROY, immediate(({ request, replies }) => replies.empty(request))],
  [OPCODE.NOTIFY_REPLY, immediate(({ request, replies }) => replies.finish(request))],
]);
