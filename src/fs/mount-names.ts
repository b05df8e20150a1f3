/** The mount's operations on names: looking up, making, linking, renaming and removing them. */
import { ROOT, type ByteString } from '../bytestring.ts';
import { codeOf, PeerfsError } from '../errors.ts';
import type { Attributes } from '../wire/schema.ts';
import type { EntryReply, KernelFileSystem, NegativeReply, RequestContext } from './kernel.ts';
import type { MountCore, Place } from './mount-core.ts';
import type { MountedShare, MountNode } from './mount-node.ts';
import { RENAME } from '../wire/schema.ts';

const S_IFMT = 0o170000;
const S_IFREG = 0o100000;
const S_IFIFO = 0o010000;

type NameOperations = Pick<
  KernelFileSystem,
  'lookup' | 'forget' | 'readlink' | 'mkdir' | 'mknod' | 'symlink' | 'link' | 'unlink' | 'rmdir' | 'rename'
>;

export function nameOperations(core: MountCore): NameOperations {
  const { nodes } = core;

  async function find(parent: MountNode, name: ByteString): Promise<EntryReply | NegativeReply> {
    if (parent.kind === 'root') {
      const found = core.folders.get(name);
      return found === undefined ? { node: 0, entryMs: 0 } : core.delivered(core.ownEntry(found.node));
    }
    for (const open of parent.handles ?? []) if (open.listing !== undefined) open.listing.isLookedAt = true;
    const share = core.shareOf(parent);
    let path: ByteString;
    if (parent.kind === 'peer' && parent.folder !== undefined) {
      const shown = (await parent.folder.shares()).get(name);
      if (shown !== undefined) return core.delivered(await shareEntry(core, parent, name, shown));
      path = core.pathIn(parent, parent.folder.inboxName(name));
    } else path = core.pathIn(parent, name);
    // Most lookups of what is about to be made: without an error that is made only to be caught.
    if (share.tree.known(path) === null) return absent(parent, name, share, path);
    try {
      const attributes = await share.tree.getattr(path, 0);
      return core.delivered(core.entry(parent, name, share, path, attributes));
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') throw error;
      return absent(parent, name, share, path);
    }
  }

  function absent(parent: MountNode, name: ByteString, share: MountedShare, path: ByteString): NegativeReply {
    const gone = nodes.unlink(parent, name);
    if (gone !== undefined) nodes.release(gone);
    return core.absent(parent, name, share.tree, path);
  }

  function make(place: Place, context: RequestContext, made: Promise<Attributes>): Promise<EntryReply> {
    const entry = made.then((attributes) =>
      core.delivered(core.entry(place.parent, place.name, place.share, place.path, attributes)),
    );
    return core.wait(context, entry, (late) => core.undeliver(late));
  }

  /** @param last attributes of a directory before. */
  async function remove(
    place: Place,
    context: RequestContext,
    removed: Promise<void>,
    last?: Attributes | null,
  ): Promise<void> {
    const gone = removed.then(() => {
      const node = nodes.unlink(place.parent, place.name);
      if (node === undefined) return;
      nodes.removed(node, last);
      nodes.release(node);
    });
    await core.wait(context, gone);
  }

  return {
    lookup: (parent, name, context) =>
      core.wait(context, find(core.node(parent), name), (late) => core.undeliver(late)),

    forget: (node, count) => nodes.forget(node, count),

    readlink: async (id, context) => {
      const node = core.node(id);
      const share = core.shareOf(node);
      const target = await core.wait(context, share.tree.readlink(await core.existingPath(node, context)));
      // The kernel would read up to there, and what was judged is not what it follows.
      if (target.length === 0 || target.includes(0)) throw new PeerfsError('EIO', 'no legal target of a link');
      if (!core.areLinksVerbatim && !staysInside(target, nodes.depthOf(node))) {
        throw new PeerfsError('EPERM', 'the link could lead out of its share');
      }
      return target;
    },

    mkdir: async (parent, name, permissions, context) => {
      const place = core.place(parent, name, 'EEXIST');
      return make(place, context, place.tree.mkdir(place.path, permissions & 0o7777, context));
    },

    mknod: async (parent, name, mode, context) => {
      const place = core.place(parent, name, 'EEXIST');
      const type = mode & S_IFMT;
      if (type !== S_IFREG && type !== S_IFIFO && type !== 0)
        throw new PeerfsError('EPERM', 'no such kind of file here');
      return make(place, context, place.tree.mknod(place.path, mode & 0o7777, context, type === S_IFIFO));
    },

    symlink: async (parent, name, target, context) => {
      const place = core.place(parent, name, 'EEXIST');
      // The binding's bytes may be reused when the caller is gone; ours go on.
      return make(place, context, place.tree.symlink(place.path, Uint8Array.from(target), context));
    },

    link: async (id, newParent, newName, context) => {
      const node = core.node(id);
      const place = core.place(newParent, newName, 'EEXIST');
      if (node.share !== place.share) throw new PeerfsError('EXDEV', 'another share');
      const path = await core.currentPath(node, context);
      const open = path === undefined ? openHandle(node) : 0;
      if (path === undefined && open === 0) throw new PeerfsError('ENOENT');
      return make(place, context, place.tree.link(path ?? ROOT, open, place.path));
    },

    unlink: async (parent, name, context) => {
      const place = core.place(parent, name, 'EBUSY');
      await remove(place, context, place.tree.unlink(place.path));
    },

    rmdir: async (parent, name, context) => {
      const place = core.place(parent, name, 'EBUSY');
      const last = place.tree.known(place.path);
      await remove(place, context, place.tree.rmdir(place.path), last);
    },

    rename: async (parent, name, newParent, newName, flags, context) => {
      // Also Linux's RENAME_WHITEOUT, which would leave a device node.
      if ((flags & ~(RENAME.noReplace | RENAME.exchange)) !== 0) throw new PeerfsError('EINVAL', 'unknown flags');
      const from = core.place(parent, name, 'EBUSY');
      const to = core.place(newParent, newName, 'EBUSY');
      if (from.share !== to.share) throw new PeerfsError('EXDEV', 'another share');
      const replaced = to.tree.known(to.path);
      const renamed = from.tree.rename(from.path, to.path, flags).then(() => {
        nodes.rename(from.parent, name, to.parent, newName, (flags & RENAME.exchange) !== 0, replaced);
      });
      await core.wait(context, renamed);
    },
  };
}

/** The entry of a share's folder. */
export async function shareEntry(
  core: MountCore,
  parent: MountNode,
  name: ByteString,
  share: MountedShare,
): Promise<EntryReply> {
  const attributes = await share.tree.getattr(ROOT, 0);
  const node = core.nodes.adopt(parent, name, share, attributes, true);
  share.top = node;
  return core.entryOf(node, ROOT, attributes);
}

/** The tree's number of some open file of the node; 0 if there is none. */
export function openHandle(node: MountNode): number {
  for (const open of node.handles ?? []) if (open.handle !== 0 && open.listing === undefined) return open.handle;
  return 0;
}

/**
 * Whether a link cannot lead out of the share: relative, with '..' only at its beginning and no more of them than
 * directories above it. ('..' behind a name is not judged by the text alone: the name may be a link itself.)
 * @param depth number of directories between the share's root and the link.
 */
export function staysInside(target: Uint8Array, depth: number): boolean {
  const text = Buffer.from(target.buffer, target.byteOffset, target.byteLength).toString('latin1');
  if (text.startsWith('/')) return false;
  let ups = 0;
  let isBehindName = false;
  for (const name of text.split('/')) {
    if (name === '' || name === '.') continue;
    if (name !== '..') isBehindName = true;
    else if (isBehindName) return false;
    else ups += 1;
  }
  return ups <= depth;
}
