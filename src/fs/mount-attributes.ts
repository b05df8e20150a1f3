/** The mount's operations on attributes, plain and extended, and on the sizes of file systems. */
import { ROOT, type ByteString } from '../bytestring.ts';
import { codeOf, PeerfsError } from '../errors.ts';
import type { Attributes } from '../wire/schema.ts';
import type { AttributesReply, KernelFileSystem, RequestContext } from './kernel.ts';
import { attributesMs, checkReach, withoutSetIds, type MountCore } from './mount-core.ts';
import { openHandle } from './mount-names.ts';
import type { MountNode } from './mount-node.ts';
import { isSameFile } from './remote-file.ts';
import type { AttributeChange, FileSystemStatus, Handle } from './tree.ts';

const EMPTY_STATUS: FileSystemStatus = {
  blockSize: 4096,
  blocks: 0,
  blocksFree: 0,
  blocksAvailable: 0,
  files: 0,
  filesFree: 0,
  nameMax: 255,
};

type AttributeOperations = Pick<
  KernelFileSystem,
  'getattr' | 'setattr' | 'statfs' | 'getxattr' | 'setxattr' | 'listxattr' | 'removexattr'
>;

export function attributeOperations(core: MountCore): AttributeOperations {
  const { nodes } = core;

  function reply(node: MountNode, path: ByteString | undefined, found: Attributes): AttributesReply {
    const leaseMs = path === undefined ? 0 : (node.share?.tree.leaseOf(path) ?? 0);
    if (leaseMs > 0) node.keptUntil = Math.max(node.keptUntil, core.clock.now() + leaseMs);
    return { attributes: core.attributes(node, found), attributesMs: attributesMs(found, leaseMs) };
  }

  async function getattr(node: MountNode, handle: Handle, context: RequestContext): Promise<AttributesReply> {
    const { tree } = core.shareOf(node);
    if (node.gone !== undefined) return reply(node, undefined, node.gone);
    const path = await core.currentPath(node, context);
    if (path === undefined) {
      const open = handle === 0 ? openHandle(node) : handle;
      if (open === 0) throw new PeerfsError('ESTALE', 'the file has no name any more');
      return reply(node, undefined, await tree.getattr(ROOT, open));
    }
    let found: Attributes | undefined;
    try {
      found = await tree.getattr(path, handle);
    } catch (error) {
      if (codeOf(error) !== 'ENOENT' || handle !== 0) throw error;
    }
    if (found !== undefined && (node.identity === undefined || isSameFile(found, node.identity))) {
      return reply(node, path, found);
    }
    // Somebody else removed or replaced it.
    const open = openHandle(node);
    if (open === 0) throw new PeerfsError('ESTALE', 'another file stands at its path');
    return reply(node, undefined, await tree.getattr(path, open));
  }

  /** Owners that a node cannot have are refused, its own are granted without asking. */
  function withoutOwners(node: MountNode, { uid, gid, ...rest }: AttributeChange): AttributeChange {
    if (node.share?.passesIds === true) {
      return { ...rest, ...(uid === undefined ? {} : { uid }), ...(gid === undefined ? {} : { gid }) };
    }
    if ((uid !== undefined && uid !== core.uid) || (gid !== undefined && gid !== core.gid)) {
      throw new PeerfsError('EPERM', 'files of a peer belong to the mounting user');
    }
    return rest;
  }

  async function xattrPlace(id: number, name: ByteString, missing: 'ENODATA' | 'EOPNOTSUPP', context: RequestContext) {
    if (!name.startsWith('user.')) {
      // Labels and access control lists have no counterpart at the peer; saying so keeps programs from asking for each file.
      throw new PeerfsError(name.startsWith('trusted.') ? missing : 'EOPNOTSUPP');
    }
    const node = core.node(id);
    if (node.kind === 'root') throw new PeerfsError(missing);
    return { tree: core.shareOf(node).tree, path: await core.existingPath(node, context) };
  }

  return {
    getattr: (id, handle, context) => {
      try {
        const node = core.node(id);
        if (node.kind !== 'file') return Promise.resolve(core.ownAttributes(node));
        const own = handle === undefined ? 0 : core.handles.get(handle).handle;
        if (own === 0) {
          const path = nodes.pathOf(node);
          const known = path === undefined ? undefined : node.share?.tree.known(path);
          if (known && node.identity !== undefined && isSameFile(known, node.identity)) {
            return Promise.resolve(reply(node, path, known));
          }
        }
        return core.wait(context, getattr(node, own, context));
      } catch (error) {
        return Promise.reject(error instanceof Error ? error : new PeerfsError('EIO'));
      }
    },

    setattr: async (id, { handle, killPrivileges, ...asked }, context) => {
      core.checkWritable();
      const node = core.node(id);
      if (node.kind === 'root') throw new PeerfsError('EPERM', 'the folder of peers itself');
      const change: AttributeChange =
        killPrivileges === true && asked.mode === undefined && withoutSetIds(node.mode) !== (node.mode & 0o7777)
          ? { ...asked, mode: withoutSetIds(node.mode) }
          : asked;
      const allowed = withoutOwners(node, change);
      const own = handle === undefined ? 0 : core.handles.get(handle).handle;
      const { tree } = core.shareOf(node);
      const path = await core.currentPath(node, context);
      const open = own === 0 && path === undefined ? openHandle(node) : own;
      if (path === undefined && open === 0) throw new PeerfsError('ESTALE', 'the file has no name any more');
      // A change of nothing is a chown(2) of neither owner nor group: where owners pass, it counts as a change at the peer.
      if (Object.keys(allowed).length === 0 && node.share?.passesIds !== true) {
        const held = path === undefined ? undefined : tree.held(path);
        if (held !== undefined && node.identity !== undefined && isSameFile(held, node.identity)) {
          return reply(node, path, held);
        }
        return core.wait(
          context,
          node.kind === 'file' ? getattr(node, own, context) : Promise.resolve(core.ownAttributes(node)),
        );
      }
      if (allowed.size !== undefined) {
        checkReach(allowed.size);
        node.pages = undefined;
      }
      const found = await core.wait(context, tree.setattr(path ?? ROOT, open, allowed));
      if (node.kind === 'peer') core.noteFolderAttributes(node, found);
      return reply(node, path, found);
    },

    statfs: async (id, context) => {
      const node = core.node(id);
      if (node.kind === 'root') return EMPTY_STATUS;
      const path = nodes.pathOf(node) ?? ROOT;
      const status = await core.wait(context, core.shareOf(node).tree.statfs(path));
      // Programs divide by it.
      return status.blockSize > 0 ? status : { ...status, blockSize: EMPTY_STATUS.blockSize };
    },

    getxattr: async (id, name, context) => {
      const { tree, path } = await xattrPlace(id, name, 'ENODATA', context);
      return core.wait(context, tree.getxattr(path, name));
    },

    setxattr: async (id, name, value, flags, context) => {
      core.checkWritable();
      const { tree, path } = await xattrPlace(id, name, 'EOPNOTSUPP', context);
      await core.wait(context, tree.setxattr(path, name, Uint8Array.from(value), flags));
    },

    listxattr: async (id, context) => {
      const node = core.node(id);
      if (node.kind === 'root') return [];
      return core.wait(context, core.shareOf(node).tree.listxattr(await core.existingPath(node, context)));
    },

    removexattr: async (id, name, context) => {
      core.checkWritable();
      const { tree, path } = await xattrPlace(id, name, 'ENODATA', context);
      await core.wait(context, tree.removexattr(path, name));
    },
  };
}
