/** Calls of a peer that make, move and remove names. */
import { nameOf, parentOf, type ByteString } from '../bytestring.ts';
import type { Answer } from '../net/channel.ts';
import { RECALL, RENAME, type Attributes, type RequestOf } from '../wire/schema.ts';
import { fileChanged, isCovered, isDirectory, namesChanged, subtreeChanged } from './served-changes.ts';
import { directoriesAfter, soleAfter } from './served-directories.ts';
import type { ServedFolder } from './served-handles.ts';
import type { ServedHandlers, ServedPeer } from './served-peer.ts';
import type { TreeChange, WatchedTree } from './tree.ts';

type NameCall = 'mkdir' | 'mknod' | 'symlink' | 'link' | 'unlink' | 'rmdir' | 'rename';

export function nameHandlers(peer: ServedPeer): ServedHandlers<NameCall> {
  async function create(
    share: number,
    path: ByteString,
    make: (tree: WatchedTree) => Promise<Attributes>,
    also?: TreeChange,
  ): Promise<Answer<'mkdir'>> {
    const served = peer.writable(share);
    const { change } = served.leases;
    const leaseMs = await served.leases.grant(served.holder, parentOf(path), nameOf(path));
    const changes = also === undefined ? namesChanged(path) : [...namesChanged(path), also];
    const making = make(served.tree);
    const after = directoriesAfter(served, path);
    const attributes = await peer.changing(served, changes, making);
    // A new directory is leased with its first call, so that its maker may know that it is empty.
    const made = isDirectory(attributes) && (await leasedEmpty(served, path)) ? path : undefined;
    const directories = await after;
    const coveredMs = isCovered(attributes) ? leaseMs : 0;
    return { reply: { attributes, change, leaseMs: coveredMs, ...directories, ...soleAfter(served, path, made) } };
  }

  /** Whether the directory that was just made was empty when its maker's lease on it had begun. */
  async function leasedEmpty(served: ServedFolder, path: ByteString): Promise<boolean> {
    const { leases, holder, tree } = served;
    try {
      if ((await leases.grant(holder, path)) === 0) return false;
      const handle = await tree.openDirectory(path);
      try {
        return (await tree.readDirectory(handle, 0n, 1)).entries.length === 0;
      } finally {
        await tree.release(handle);
      }
    } catch {
      // It is gone again.
      return false;
    }
  }

  /** @param removed what was just asked of the tree. */
  async function remove(
    served: ServedFolder,
    path: ByteString,
    removed: Promise<void>,
    change: TreeChange,
  ): Promise<Answer<'unlink'>> {
    const { change: before } = served.leases;
    const after = directoriesAfter(served, path);
    await peer.changing(served, [...namesChanged(path), change], removed);
    return { reply: { change: before, ...(await after), ...soleAfter(served, path) } };
  }

  async function rename({ share, path, newPath, flags }: RequestOf<'rename'>): Promise<Answer<'rename'>> {
    const served = peer.writable(share);
    const { change } = served.leases;
    const changes = [...namesChanged(path), ...namesChanged(newPath), subtreeChanged(path), subtreeChanged(newPath)];
    const renamed = served.tree.rename(path, newPath, flags).then(() => {
      served.leases.followed.renamed(served.holder, path, newPath, (flags & RENAME.exchange) !== 0);
    });
    const after = directoriesAfter(served, path, newPath);
    await peer.changing(served, changes, renamed);
    return { reply: { change, ...(await after), ...soleAfter(served, newPath) } };
  }

  return {
    mkdir: peer.heard(({ share, path, permissions, uid, gid }) =>
      create(share, path, (tree) => tree.mkdir(path, permissions, { uid, gid })),
    ),
    mknod: peer.heard(({ share, path, permissions, uid, gid, fifo }) =>
      create(share, path, (tree) => tree.mknod(path, permissions, { uid, gid }, fifo)),
    ),
    symlink: peer.heard(({ share, path, target, uid, gid }) =>
      create(share, path, (tree) => tree.symlink(path, target, { uid, gid })),
    ),
    link: peer.heard(({ share, path, handle, newPath }) => {
      const open = handle === 0 ? undefined : peer.file(handle, peer.served(share));
      peer.served(share).leases.followed.linked(open?.path ?? path);
      return create(share, newPath, (tree) => tree.link(path, open?.handle ?? 0, newPath), {
        path: open?.path ?? path,
        what: RECALL.attributes,
      });
    }),
    unlink: peer.heard(({ share, path }) => {
      const served = peer.writable(share);
      return remove(served, path, served.tree.unlink(path), fileChanged(path));
    }),
    rmdir: peer.heard(({ share, path }) => {
      const served = peer.writable(share);
      return remove(served, path, served.tree.rmdir(path), subtreeChanged(path));
    }),
    rename: peer.heard((request) => rename(request)),
  };
}
