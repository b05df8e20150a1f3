/**
 * inotify(7): watches on directories and what the kernel tells of them, without a thread: the descriptor stands in the
 * event loop in the place of a socket. Owns no paths (src/fs/local-watches.ts does).
 */
import { Socket } from 'node:net';
import { fromBytes, type ByteString } from '../bytestring.ts';
import { addressOf, declare, errno } from './libc.ts';
import { codeOfErrno, systemError } from './errno.ts';

/** sys/inotify.h */
export const IN = {
  MODIFY: 0x2,
  ATTRIB: 0x4,
  CLOSE_WRITE: 0x8,
  MOVED_FROM: 0x40,
  MOVED_TO: 0x80,
  CREATE: 0x100,
  DELETE: 0x200,
  DELETE_SELF: 0x400,
  MOVE_SELF: 0x800,
  UNMOUNT: 0x2000,
  Q_OVERFLOW: 0x4000,
  IGNORED: 0x8000,
  ONLYDIR: 0x1000000,
  ISDIR: 0x40000000,
} as const;
const IN_NONBLOCK = 0o4000;
const CLOEXEC = 0o2000000;
const AF_UNIX = 1;
const SOCK_STREAM = 1;

const call = {
  addWatch: declare('inotify_add_watch', 'int', ['int', 'text', 'uint32']),
  close: declare('close', 'int', ['int']),
  dup3: declare('dup3', 'int', ['int', 'int', 'int']),
  init: declare('inotify_init1', 'int', ['int']),
  read: declare('read', 'long', ['int', 'pointer', 'size']),
  removeWatch: declare('inotify_rm_watch', 'int', ['int', 'int']),
  socketpair: declare('socketpair', 'int', ['int', 'int', 'int', 'buffer']),
};

export interface InotifyEvent {
  /** The watch's number; -1 with Q_OVERFLOW. */
  readonly watch: number;
  readonly mask: number;
  /** '' for events of the directory itself. */
  readonly name: ByteString;
}

export interface Inotify {
  /** @param path /proc/self/fd/N of an open directory, or an absolute path. @throws ENOSPC when no watches are left. */
  add(path: string, mask: number): number;
  remove(watch: number): void;
  /** The events queued now, which are then not told again; empty if there are none. */
  read(): readonly InotifyEvent[];
  close(): void;
}

const QUEUE_BYTES = 64 * 1024;

/**
 * @param onEvents told of events as they come, unless `read` took them before.
 * @throws EMFILE when the user has too many instances (fs.inotify.max_user_instances).
 */
export function openInotify(onEvents: (events: readonly InotifyEvent[]) => void): Inotify {
  const instance = call.init(IN_NONBLOCK | CLOEXEC);
  if (instance < 0) throw systemError(errno(), 'inotify_init1');
  const pair = Buffer.alloc(8);
  if (call.socketpair(AF_UNIX, SOCK_STREAM | IN_NONBLOCK | CLOEXEC, 0, pair) < 0) {
    call.close(instance);
    throw systemError(errno(), 'socketpair');
  }
  // libuv takes only sockets and pipes into its loop: it is given a socket, which becomes the inotify descriptor
  // before the loop registers it.
  const descriptor = pair.readInt32LE(0);
  const socket = new Socket({ fd: descriptor, readable: true, writable: false });
  call.dup3(instance, descriptor, CLOEXEC);
  call.close(instance);
  call.close(pair.readInt32LE(4));
  socket.unref();
  socket.on('data', (bytes) => onEvents(parseEvents(bytes, bytes.length)));
  socket.on('error', () => undefined);

  const bytes = Buffer.alloc(QUEUE_BYTES);
  const address = addressOf(bytes);
  let isOpen = true;
  return {
    add(path, mask) {
      const watch = call.addWatch(descriptor, path, mask);
      if (watch < 0) throw systemError(errno(), 'inotify_add_watch');
      return watch;
    },
    remove(watch) {
      if (isOpen) call.removeWatch(descriptor, watch);
    },
    read() {
      let events: readonly InotifyEvent[] = [];
      while (isOpen) {
        const length = call.read(descriptor, address, QUEUE_BYTES);
        if (length < 0 && codeOfErrno(errno()) === 'EINTR') continue;
        if (length <= 0) break;
        events = events.length === 0 ? parseEvents(bytes, length) : [...events, ...parseEvents(bytes, length)];
      }
      return events;
    },
    close() {
      isOpen = false;
      socket.destroy();
    },
  };
}

/** struct inotify_event: watch i32, mask u32, cookie u32, length of the name with its padding u32, name. */
export function parseEvents(bytes: Buffer, length: number): InotifyEvent[] {
  const events: InotifyEvent[] = [];
  for (let at = 0; at + 16 <= length;) {
    const padded = bytes.readUInt32LE(at + 12);
    const end = padded === 0 ? at + 16 : bytes.indexOf(0, at + 16);
    events.push({
      watch: bytes.readInt32LE(at),
      mask: bytes.readUInt32LE(at + 4),
      name: fromBytes(bytes, at + 16, end),
    });
    at += 16 + padded;
  }
  return events;
}
