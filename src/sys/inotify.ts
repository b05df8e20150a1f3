/**
 * inotify(7): watches on directories and the events the kernel has queued. Non-blocking and without a thread: the
 * owner calls `read` when it likes. Owns no paths (src/fs/local-watch.ts does).
 */
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
  EXCL_UNLINK: 0x4000000,
  ISDIR: 0x40000000,
} as const;
const IN_NONBLOCK = 0o4000;
const IN_CLOEXEC = 0o2000000;

const call = {
  addWatch: declare('inotify_add_watch', 'int', ['int', 'text', 'uint32']),
  close: declare('close', 'int', ['int']),
  init: declare('inotify_init1', 'int', ['int']),
  read: declare('read', 'long', ['int', 'pointer', 'size']),
  removeWatch: declare('inotify_rm_watch', 'int', ['int', 'int']),
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
  /** All events queued; empty if there are none. */
  read(): readonly InotifyEvent[];
  readonly descriptor: number;
  close(): void;
}

const QUEUE_BYTES = 64 * 1024;
const NONE: readonly InotifyEvent[] = [];

/** @throws EMFILE when the user has too many instances (fs.inotify.max_user_instances). */
export function openInotify(): Inotify {
  const descriptor = call.init(IN_NONBLOCK | IN_CLOEXEC);
  if (descriptor < 0) throw systemError(errno(), 'inotify_init1');
  const bytes = Buffer.alloc(QUEUE_BYTES);
  const address = addressOf(bytes);
  let isOpen = true;

  function parse(length: number, events: InotifyEvent[]): void {
    // struct inotify_event: watch i32, mask u32, cookie u32, length of the name with padding u32, name.
    for (let at = 0; at + 16 <= length; ) {
      const padded = bytes.readUInt32LE(at + 12);
      const end = padded === 0 ? at + 16 : bytes.indexOf(0, at + 16);
      events.push({
        watch: bytes.readInt32LE(at),
        mask: bytes.readUInt32LE(at + 4),
        name: fromBytes(bytes, at + 16, end),
      });
      at += 16 + padded;
    }
  }

  return {
    descriptor,
    add(path, mask) {
      const watch = call.addWatch(descriptor, path, mask);
      if (watch < 0) throw systemError(errno(), 'inotify_add_watch');
      return watch;
    },
    remove(watch) {
      call.removeWatch(descriptor, watch);
    },
    read() {
      let events: InotifyEvent[] | undefined;
      while (isOpen) {
        const length = call.read(descriptor, address, QUEUE_BYTES);
        if (length < 0) {
          const code = codeOfErrno(errno());
          if (code === 'EINTR') continue;
          if (code !== 'EAGAIN') throw systemError(errno(), 'read');
        }
        if (length <= 0) break;
        parse(length, (events ??= []));
        if (length < QUEUE_BYTES - 300) break;
      }
      return events ?? NONE;
    },
    close() {
      if (!isOpen) return;
      isOpen = false;
      call.close(descriptor);
    },
  };
}
