/**
 * The second FUSE binding: npm fuse-native 2.2.6 over libfuse 2, for systems without Linux' /dev/fuse, such as macOS
 * with macFUSE. Optional: loaded when asked for (setting `fuse`); it needs libfuse 2 on the system.
 *
 * By paths: each call walks from the root and gives its references back at once. What it cannot do, whatever we do:
 * times in whole milliseconds, and utimens hands over the access time for both; inode numbers and statfs in 32 bits;
 * names as UTF-8 only; no caller ids, locks between machines (the kernel holds them for this one), interrupts,
 * notifications (what the kernel keeps for a second may be stale so long), extended attributes, rename flags, holes,
 * fallocate; creat() loses its flags; unmounting goes through a shell, so that a mountpoint with characters special to
 * it is refused. A foreign unmount is not noticed.
 */
import { constants, type Stats } from 'node:fs';
import { stat } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { resolve } from 'node:path';
import { fromText, toText, type ByteString } from '../bytestring.ts';
import { PeerfsError } from '../errors.ts';
import { Faults } from '../faults.ts';
import { errnoOf } from '../sys/errno.ts';
import type {
  EntryReply,
  KernelAttributes,
  KernelFileSystem,
  MountFileSystem,
  NodeId,
  OpenIntent,
  RequestContext,
} from './kernel.ts';
import { ROOT_NODE } from './kernel.ts';

/** What of the package's interface is used; it has no types of its own. */
interface NativeMount {
  mount(done: (error: Error | null) => void): void;
  unmount(done: (error: Error | null) => void): void;
}
type NativeClass = new (mountpoint: string, operations: object, options: object) => NativeMount;
/** Negative errno, 0, or a count; then what the operation gives. */
type Done = (result: number, value?: unknown) => void;
type Walk<T> = (node: NodeId) => Promise<T>;

const PACKAGE = 'fuse-native';
/** JSON.stringify and double quotes do not protect these from the shell that the package unmounts with. */
const SHELL_SPECIAL = /[$`\\"!\n]/;
const MAX_READ_BYTES = 131_072;

/** @throws PeerfsError MOUNT_FAILED with the reason and what to do about it */
export const mountFuseNative: MountFileSystem = async (fileSystem, options) => {
  const mountpoint = resolve(options.mountpoint);
  const failed = (message: string, hint: string, cause?: unknown): PeerfsError =>
    new PeerfsError('MOUNT_FAILED', message, { hint, cause });
  if (SHELL_SPECIAL.test(mountpoint)) {
    throw failed('fuse-native cannot take down a mount at a path with such characters.', 'Choose a plain name.');
  }
  let Native: NativeClass;
  try {
    Native = createRequire(import.meta.url)(PACKAGE) as NativeClass;
  } catch (cause) {
    throw failed('fuse-native cannot be loaded.', 'npm install fuse-native@2.2.6, and the package libfuse2.', cause);
  }
  const status: Stats | undefined = await stat(mountpoint).catch(() => undefined);
  if (status?.isDirectory() !== true) throw failed('The place to mount at is not a folder.', 'Create it first.');
  // The package has no words for these options; it puts them behind the name as they stand.
  const more = ['nosuid', 'nodev', 'big_writes', 'use_ino', ...(options.readOnly ? ['ro'] : [])];
  const native = new Native(mountpoint, nativeOperations(fileSystem, new Faults(options.log, 'mount.fault')), {
    fsname: ['peerfs', ...more].join(','),
    subtype: 'peerfs',
    defaultPermissions: true,
    allowOther: options.allowOther,
    maxRead: MAX_READ_BYTES,
    // The file system answers in bounded time itself.
    timeout: false,
  });
  await new Promise<void>((done, reject) => {
    native.mount((error) => {
      if (error === null) done();
      else reject(failed(`fuse-native refused to mount: ${error.message}`, 'Is FUSE installed and allowed?', error));
    });
  });
  let unmounting: Promise<void> | undefined;
  const unmount = (): Promise<void> =>
    new Promise((done, reject) => {
      native.unmount((error) => {
        if (error !== null) {
          unmounting = undefined;
          reject(new PeerfsError('MOUNT_BUSY', 'The mount could not be taken down.', { cause: error }));
          return;
        }
        options.onEnd('unmounted');
        done();
      });
    });
  const nothing = (): void => undefined;
  return {
    notifier: { invalidateInode: nothing, invalidateEntry: nothing, deleteEntry: nothing },
    unmount: () => (unmounting ??= unmount()),
  };
};

/** The package's callbacks, as calls of the file system. */
export function nativeOperations(
  fileSystem: KernelFileSystem,
  faults: Faults,
): Readonly<Record<string, (...values: never[]) => void>> {
  const context: RequestContext = {
    uid: process.geteuid?.() ?? 0,
    gid: process.getegid?.() ?? 0,
    pid: 0,
    signal: new AbortController().signal,
  };

  const find = async (parent: NodeId, name: ByteString): Promise<EntryReply> => {
    const reply = await fileSystem.lookup(parent, name, context);
    if ('attributes' in reply) return reply;
    throw new PeerfsError('ENOENT');
  };
  /** Walks to the path, uses its node, and gives back every reference taken on the way. */
  const at = async <T>(names: readonly ByteString[], use: Walk<T>): Promise<T> => {
    const taken: NodeId[] = [];
    try {
      let node = ROOT_NODE;
      for (const name of names) {
        ({ node } = await find(node, name));
        taken.push(node);
      }
      return await use(node);
    } finally {
      for (const node of taken) fileSystem.forget(node, 1);
    }
  };
  const within = <T>(path: string, use: (parent: NodeId, name: ByteString) => Promise<T>): Promise<T> => {
    const names = namesOf(path);
    const name = names.pop();
    return name === undefined ? Promise.reject(new PeerfsError('EBUSY')) : at(names, (parent) => use(parent, name));
  };
  /** For operations that give an entry, which nobody keeps. */
  const dropped = async (entry: Promise<EntryReply>): Promise<void> => fileSystem.forget((await entry).node, 1);

  const answer = <T>(done: Done, work: Promise<T>, give?: (value: T) => readonly [number, unknown?]): void => {
    work.then(
      (value) => done(...(give?.(value) ?? [0])),
      (error: unknown) => {
        faults.note('operation', error);
        done(-errnoOf(error));
      },
    );
  };
  const path = <T>(text: string, use: Walk<T>): Promise<T> => at(namesOf(text), use);
  const handleOf = ({ handle }: { handle: number }): readonly [number, unknown] => [0, handle];
  const change = (text: string, what: Parameters<KernelFileSystem['setattr']>[1]): Promise<unknown> =>
    path(text, (node) => fileSystem.setattr(node, what, context));

  return {
    getattr: (text: string, done: Done) =>
      answer(
        done,
        path(text, (node) => fileSystem.getattr(node, undefined, context)),
        ({ attributes }) => [0, statusOf(attributes)],
      ),
    readdir: (text: string, done: Done) => answer(done, path(text, list), (names) => [0, names]),
    readlink: (text: string, done: Done) =>
      answer(
        done,
        path(text, (node) => fileSystem.readlink(node, context)),
        (target) => [0, Buffer.from(target).toString('utf8')],
      ),
    mkdir: (text: string, mode: number, done: Done) =>
      answer(
        done,
        within(text, (parent, name) => dropped(fileSystem.mkdir(parent, name, mode & 0o7777, context))),
      ),
    mknod: (text: string, mode: number, _device: number, done: Done) =>
      answer(
        done,
        within(text, (parent, name) => dropped(fileSystem.mknod(parent, name, mode, context))),
      ),
    symlink: (target: string, text: string, done: Done) =>
      answer(
        done,
        within(text, (parent, name) => dropped(fileSystem.symlink(parent, name, Buffer.from(target), context))),
      ),
    link: (from: string, to: string, done: Done) =>
      answer(
        done,
        path(from, (node) => within(to, (parent, name) => dropped(fileSystem.link(node, parent, name, context)))),
      ),
    unlink: (text: string, done: Done) =>
      answer(
        done,
        within(text, (parent, name) => fileSystem.unlink(parent, name, context)),
      ),
    rmdir: (text: string, done: Done) =>
      answer(
        done,
        within(text, (parent, name) => fileSystem.rmdir(parent, name, context)),
      ),
    rename: (from: string, to: string, done: Done) =>
      answer(
        done,
        within(from, (parent, name) =>
          within(to, (newParent, newName) => fileSystem.rename(parent, name, newParent, newName, 0, context)),
        ),
      ),
    chmod: (text: string, mode: number, done: Done) => answer(done, change(text, { mode: mode & 0o7777 })),
    chown: (text: string, uid: number, gid: number, done: Done) => answer(done, change(text, owner(uid, gid))),
    truncate: (text: string, size: number, done: Done) => answer(done, change(text, { size })),
    ftruncate: (text: string, handle: number, size: number, done: Done) => answer(done, change(text, { size, handle })),
    utimens: (text: string, atimeMs: number, mtimeMs: number, done: Done) =>
      answer(done, change(text, { atime: timeOf(atimeMs), mtime: timeOf(mtimeMs) })),
    open: (text: string, flags: number, done: Done) =>
      answer(
        done,
        path(text, (node) => fileSystem.open(node, intent(flags), context)),
        handleOf,
      ),
    create: (text: string, mode: number, done: Done) =>
      answer(
        done,
        within(text, async (parent, name) => {
          const created = await fileSystem.create(parent, name, mode & 0o7777, intent(constants.O_RDWR), context);
          fileSystem.forget(created.entry.node, 1);
          return created.open;
        }),
        handleOf,
      ),
    read: (_text: string, handle: number, buffer: Buffer, length: number, offset: number, done: Done) =>
      answer(done, fileSystem.read(handle, offset, length, context), (parts) => {
        let end = 0;
        for (const part of parts) {
          buffer.set(part, end);
          end += part.length;
        }
        return [end];
      }),
    write: (_text: string, handle: number, buffer: Buffer, length: number, offset: number, done: Done) =>
      answer(done, fileSystem.write(handle, offset, buffer.subarray(0, length), false, context), (count) => [count]),
    flush: (_text: string, handle: number, done: Done) => answer(done, fileSystem.flush(handle, 0n, context)),
    fsync: (_text: string, dataOnly: number, handle: number, done: Done) =>
      answer(done, fileSystem.fsync(handle, dataOnly !== 0, context)),
    release: (_text: string, handle: number, done: Done) => answer(done, fileSystem.release(handle)),
    statfs: (text: string, done: Done) =>
      answer(
        done,
        path(text, (node) => fileSystem.statfs(node, context)),
        (status) => [
          0,
          {
            bsize: status.blockSize,
            frsize: status.blockSize,
            blocks: status.blocks,
            bfree: status.blocksFree,
            bavail: status.blocksAvailable,
            files: status.files,
            ffree: status.filesFree,
            favail: status.filesFree,
            namemax: status.nameMax,
          },
        ],
      ),
  };

  async function list(node: NodeId): Promise<string[]> {
    const { handle } = await fileSystem.opendir(node, context);
    try {
      const names: string[] = [];
      await fileSystem.readdir(handle, 0n, false, ({ name }) => names.push(toText(name)) > 0, context);
      return names;
    } finally {
      await fileSystem.releasedir(handle);
    }
  }
}

function namesOf(path: string): ByteString[] {
  return path
    .split('/')
    .filter((name) => name !== '')
    .map(fromText);
}

/** chown(2): -1 leaves it as it is. */
function owner(uid: number, gid: number): { uid?: number; gid?: number } {
  const isGiven = (id: number): boolean => id >= 0 && id !== 0xffff_ffff;
  return { ...(isGiven(uid) && { uid }), ...(isGiven(gid) && { gid }) };
}

function timeOf(ms: number): { sec: number; nsec: number } {
  const sec = Math.floor(ms / 1000);
  return { sec, nsec: Math.round((ms - sec * 1000) * 1e6) };
}

function intent(flags: number): OpenIntent {
  const access = flags & 3;
  return {
    read: access !== constants.O_WRONLY,
    write: access !== constants.O_RDONLY,
    append: (flags & constants.O_APPEND) !== 0,
    truncate: (flags & constants.O_TRUNC) !== 0,
    exclusive: false,
    sync: (flags & constants.O_SYNC) === constants.O_SYNC,
    dataSync: false,
    direct: false,
  };
}

function statusOf(attributes: KernelAttributes): object {
  const date = (sec: number, nsec: number): Date => new Date(sec * 1000 + nsec / 1e6);
  return {
    mode: attributes.mode,
    uid: attributes.uid,
    gid: attributes.gid,
    size: attributes.size,
    dev: 0,
    nlink: attributes.nlink,
    ino: Number(attributes.inode & 0xffff_ffffn),
    rdev: 0,
    blksize: attributes.blksize,
    blocks: attributes.blocks,
    atime: date(attributes.atimeSec, attributes.atimeNsec),
    mtime: date(attributes.mtimeSec, attributes.mtimeNsec),
    ctime: date(attributes.ctimeSec, attributes.ctimeNsec),
  };
}
