/** The mount's operations on open files. */
import { ROOT } from '../bytestring.ts';
import { codeOf, PeerfsError } from '../errors.ts';
import { LOCK_TYPE, OPEN } from '../wire/schema.ts';
import type { EntryReply, InterruptSignal, KernelFileSystem, OpenIntent, OpenReply } from './kernel.ts';
import { checkReach, versionOf, withoutSetIds, type MountCore } from './mount-core.ts';
import type { MountHandle, MountNode } from './mount-node.ts';
import { isSameFile } from './remote-file.ts';
import type { OpenedRemoteFile } from './remote-files.ts';
import type { RemoteTree } from './remote-tree.ts';
import type { Handle, OpenedFile } from './tree.ts';

/** Tuning: how much of a file comes with its opening, bytes. */
const FIRST_BYTES = 128 * 1024;
/** lseek(2). */
const SEEK_DATA = 3;
const SEEK_HOLE = 4;

type FileOperations = Pick<
  KernelFileSystem,
  | 'open'
  | 'create'
  | 'read'
  | 'write'
  | 'fsync'
  | 'flush'
  | 'release'
  | 'fallocate'
  | 'lseek'
  | 'copyFileRange'
  | 'getlk'
  | 'setlk'
>;

interface FileHandle extends MountHandle {
  readonly tree: RemoteTree;
}

export function fileOperations(core: MountCore): FileOperations {
  const { nodes, handles } = core;

  function file(number: Handle): FileHandle {
    const open = handles.get(number);
    if (open.tree === undefined || open.listing !== undefined) throw new PeerfsError('EISDIR', 'a directory');
    return open as FileHandle;
  }

  function opened(
    node: MountNode,
    tree: RemoteTree,
    intent: OpenIntent,
    { handle, attributes }: Pick<OpenedFile, 'handle' | 'attributes'>,
  ): OpenReply {
    const version = versionOf(attributes);
    const keepCache = !node.isForeign && node.pages === version && !intent.truncate;
    // Without KEEP_CACHE the kernel drops its pages now: what it reads from here on is this version or newer.
    node.pages = version;
    node.isForeign = false;
    const number = handles.add({ node, tree, handle, flags: flagsOf(intent), listing: undefined, hasWritten: false });
    // Buffered, two appenders would tear each other's lines: the kernel would write at the end that it knows of.
    return { handle: number, keepCache, directIo: intent.append || intent.direct, cacheDirectory: false };
  }

  /** The kernel has the contents before it asks for them, if all of them are at hand and nobody has the file open. */
  function openedSmall(node: MountNode, tree: RemoteTree, intent: OpenIntent, file: OpenedRemoteFile): OpenReply {
    const { attributes, contents } = file;
    const isAlone = (node.handles?.size ?? 0) === 0;
    const hasPages = !node.isForeign && node.pages === versionOf(attributes);
    const reply = opened(node, tree, intent, file);
    if (contents === undefined || contents.length === 0 || hasPages || !isAlone) return reply;
    if (node.identity === undefined || !isSameFile(node.identity, attributes)) return reply;
    return core.notifier?.store?.(node.id, contents) === true ? { ...reply, keepCache: true } : reply;
  }

  function release(number: Handle): void {
    const open = handles.remove(number);
    if (open === undefined) return;
    if (!isShared(open)) void open.tree?.release(open.handle).catch(() => undefined);
    nodes.release(open.node);
  }

  /** Whether another descriptor of the kernel goes by the same handle of the tree. */
  function isShared({ node, tree, handle }: MountHandle): boolean {
    for (const other of node.handles ?? []) if (other.tree === tree && other.handle === handle) return true;
    return false;
  }

  /**
   * Opens a file that has no name any more and is open (/proc/self/fd/N): by a handle that may do what is asked for.
   * @throws PeerfsError ESTALE if there is none.
   */
  async function openedAgain(node: MountNode, tree: RemoteTree, intent: OpenIntent): Promise<OpenReply> {
    const kept = OPEN.read | OPEN.write | OPEN.append;
    const wanted = flagsOf(intent) & kept;
    const may = (flags: number) => (flags & wanted) === wanted && (flags & OPEN.append) === (wanted & OPEN.append);
    const open = [...(node.handles ?? [])].find(({ flags, listing }) => listing === undefined && may(flags));
    if (open === undefined) throw new PeerfsError('ESTALE', 'the file has no name any more');
    if (intent.truncate) await tree.setattr(ROOT, open.handle, { size: 0 });
    return opened(node, tree, intent, { handle: open.handle, attributes: await tree.getattr(ROOT, open.handle) });
  }

  function wantBytes(node: MountNode | undefined, intent: OpenIntent): number {
    if (!intent.read || intent.truncate) return 0;
    // Pages that the kernel has are likely to be good still.
    return node?.pages === undefined ? FIRST_BYTES : 0;
  }

  function hasChanged(node: MountNode): void {
    node.pages = undefined;
  }

  async function dropSetIds(node: MountNode, tree: RemoteTree, handle: Handle): Promise<void> {
    const mode = withoutSetIds(node.mode);
    if (node.share?.passesIds !== true || mode === (node.mode & 0o7777)) return;
    const path = nodes.pathOf(node);
    const found = await tree.setattr(path ?? core.pathOf(node), handle, { mode });
    node.mode = found.mode;
  }

  return {
    open: async (id, intent, context) => {
      const node = core.node(id);
      if (intent.write || intent.truncate) core.checkWritable();
      const { tree } = core.shareOf(node);
      const path = await core.currentPath(node, context);
      if (path === undefined) {
        return core.wait(context, openedAgain(node, tree, intent), ({ handle }) => release(handle));
      }
      const isPlain = intent.read && !intent.write && !intent.truncate && !intent.append && !intent.direct;
      const known = isPlain ? tree.openKnown(path, flagsOf(intent)) : undefined;
      if (known !== undefined) return openedSmall(node, tree, intent, known);
      const options = {
        flags: flagsOf(intent),
        permissions: 0,
        uid: context.uid,
        gid: context.gid,
        wantBytes: wantBytes(node, intent),
      };
      const reply = tree.open(path, options).then(async (file) => {
        if (node.identity !== undefined && !isSameFile(node.identity, file.attributes)) {
          void tree.release(file.handle).catch(() => undefined);
          throw new PeerfsError('ENOENT', 'another file stands at its path');
        }
        if (intent.killPrivileges && intent.truncate) {
          node.mode = file.attributes.mode;
          await dropSetIds(node, tree, file.handle).catch((error: unknown) => {
            void tree.release(file.handle).catch(() => undefined);
            throw error;
          });
        }
        // It may have been recalled since.
        const isTrue = isPlain && file.contents !== undefined && tree.known(path) === file.attributes;
        return isTrue ? openedSmall(node, tree, intent, file) : opened(node, tree, intent, file);
      });
      // The kernel knew the name, and it is gone meanwhile: ESTALE has it look again, and create if that was asked for.
      const found = reply.catch((error: unknown) => {
        throw codeOf(error) === 'ENOENT' ? new PeerfsError('ESTALE', 'gone', { cause: error }) : error;
      });
      return core.wait(context, found, ({ handle }) => release(handle));
    },

    create: async (parent, name, permissions, intent, context) => {
      const place = core.place(parent, name, 'EEXIST');
      const { tree, path, share } = place;
      const options = {
        flags: flagsOf(intent) | OPEN.create | (intent.exclusive ? OPEN.exclusive : 0),
        permissions: permissions & 0o7777,
        uid: context.uid,
        gid: context.gid,
        wantBytes: 0,
      };
      const reply = tree.open(path, options).then((made): { entry: EntryReply; open: OpenReply } => {
        const entry = core.delivered(core.entry(place.parent, name, share, path, made.attributes));
        return { entry, open: opened(core.node(entry.node), tree, intent, made) };
      });
      return core.wait(context, reply, ({ entry, open }) => {
        release(open.handle);
        core.undeliver(entry);
      });
    },

    read: (number, offset, length, context) => {
      try {
        const { tree, handle } = file(number);
        if (offset > Number.MAX_SAFE_INTEGER - length) return Promise.resolve([]);
        return core.wait(context, tree.readParts(handle, offset, length));
      } catch (error) {
        return Promise.reject(error instanceof Error ? error : new PeerfsError('EIO'));
      }
    },

    write: async (number, offset, bytes, killPrivileges, context) => {
      core.checkWritable();
      checkReach(offset + bytes.length);
      const open = file(number);
      if (killPrivileges) await dropSetIds(open.node, open.tree, open.handle);
      open.hasWritten = true;
      hasChanged(open.node);
      const { end } = await core.wait(context, open.tree.write(open.handle, offset, bytes));
      // Somebody else appended too: the kernel took our bytes to stand where it thought the end was.
      if (end !== offset + bytes.length) core.notifier?.invalidateInode(open.node.id, 0, 0);
      return bytes.length;
    },

    fsync: async (number, dataOnly, context) => {
      const { tree, handle } = file(number);
      await core.wait(context, tree.fsync(handle, dataOnly));
    },

    flush: async (number, lockOwner, context) => {
      const open = file(number);
      await core.wait(context, open.tree.flush(open.handle, lockOwner));
      if (!open.hasWritten) return;
      open.hasWritten = false;
      // Nobody else wrote meanwhile (it would have been recalled): the kernel's pages are what stands there now.
      const path = nodes.pathOf(open.node);
      const known = path === undefined ? undefined : open.tree.known(path);
      if (known && !open.node.isForeign) open.node.pages = versionOf(known);
    },

    release: (number) => {
      release(number);
      return Promise.resolve();
    },

    fallocate: async (number, mode, offset, length, context) => {
      core.checkWritable();
      checkReach(offset + length);
      const { tree, handle, node } = file(number);
      hasChanged(node);
      await core.wait(context, tree.fallocate(handle, mode, offset, length));
    },

    lseek: async (number, offset, whence, context) => {
      if (whence !== SEEK_DATA && whence !== SEEK_HOLE) throw new PeerfsError('EINVAL', 'whence');
      const { tree, handle } = file(number);
      if (offset > Number.MAX_SAFE_INTEGER) throw new PeerfsError('ENXIO', 'behind the end of any file');
      return core.wait(context, tree.seek(handle, offset, whence - SEEK_DATA));
    },

    copyFileRange: async (source, sourceOffset, target, targetOffset, length, context) => {
      core.checkWritable();
      checkReach(Math.max(sourceOffset, targetOffset));
      const from = file(source);
      const to = file(target);
      if (from.tree !== to.tree) throw new PeerfsError('EXDEV', 'another share');
      hasChanged(to.node);
      return core.wait(context, to.tree.copyRange(from.handle, sourceOffset, to.handle, targetOffset, length));
    },

    getlk: async (number, range, context) => {
      const { tree, handle } = file(number);
      return core.wait(context, tree.testLock(handle, range));
    },

    setlk: async (number, request, wait, context) => {
      const { tree, handle, node } = file(number);
      await tree.lock(handle, request, wait ? abortSignal(context.signal) : undefined);
      if (request.type === LOCK_TYPE.unlock) return;
      // What the holder before wrote is not in pages that were read before it.
      hasChanged(node);
      core.notifier?.invalidateInode(node.id, 0, 0);
      await core.notifier?.settled?.();
    },
  };
}

function flagsOf(intent: OpenIntent): number {
  return (
    (intent.read ? OPEN.read : 0) |
    (intent.write ? OPEN.write : 0) |
    (intent.append ? OPEN.append : 0) |
    (intent.truncate ? OPEN.truncate : 0) |
    (intent.sync ? OPEN.sync : 0) |
    (intent.dataSync ? OPEN.dataSync : 0)
  );
}

/** For those who take nothing less. */
function abortSignal(signal: InterruptSignal): AbortSignal {
  const controller = new AbortController();
  if (signal.aborted) controller.abort();
  else signal.addEventListener('abort', () => controller.abort(), { once: true });
  return controller.signal;
}
