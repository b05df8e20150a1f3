/**
 * Mount: the file system in which each peer is a directory, as the kernel sees it (KernelFileSystem). This file composes
 * it and follows the list of peers; operations stand in mount-names.ts, mount-attributes.ts, mount-files.ts and
 * mount-directories.ts, by the object they are about.
 *
 * A peer's folder is our inbox at the peer (share 0) with the folders of its shares in it. Peers, shares and inboxes are
 * file systems of their own to rename and link (EXDEV); folders of peers and shares cannot be renamed or removed (EBUSY).
 */
import type { KernelFileSystem, KernelNotifier } from './kernel.ts';
import { attributeOperations } from './mount-attributes.ts';
import { MountCore, type MountFileSystemOptions } from './mount-core.ts';
import { directoryOperations } from './mount-directories.ts';
import { fileOperations } from './mount-files.ts';
import { invalidate } from './mount-invalidation.ts';
import { nameOperations } from './mount-names.ts';
import type { MountedShare, MountNode } from './mount-node.ts';
import type { PeerFolder } from './mount-peers.ts';

export interface Mount extends KernelFileSystem {
  /** After mounting: where to send invalidations. undefined when unmounted. */
  setNotifier(notifier: KernelNotifier | undefined): void;
  /** Releases all handles, stops listening. Settles when buffered writes are at the peers or have failed. */
  close(): Promise<void>;
}

export function createMount(options: MountFileSystemOptions): Mount {
  const { peers } = options;
  const core = new MountCore(options);
  const stops: (() => void)[] = [];
  /** By peer id. */
  const followed = new Map<string, { readonly folder: PeerFolder; readonly stop: () => void }>();

  /** Passes recalls of the peer's shares on to the kernel. */
  const follow = (folder: PeerFolder, node: MountNode): (() => void) => {
    const listening = new Map<MountedShare, () => void>();
    const listen = () => {
      for (const share of folder.all()) {
        if (listening.has(share)) continue;
        const top = () => (share.share === 0 ? node : share.top);
        const stopInvalidate = share.tree.onInvalidate((path, what, isMoved) => {
          invalidate(core, share, top(), { path, what, isMoved: isMoved === true });
          return core.notifier?.settled?.();
        });
        const stopMade = share.tree.onMade((first, now) => core.made(share, first, now));
        listening.set(share, () => {
          stopInvalidate();
          stopMade();
        });
      }
    };
    folder.onNewShare = listen;
    listen();
    const stopShares = folder.peer.remote.onSharesChanged(() => {
      for (const name of folder.shown.keys()) core.notifier?.invalidateEntry(node.id, name);
      for (const name of node.absent?.keys() ?? []) core.notifier?.invalidateEntry(node.id, name);
      core.notifier?.invalidateInode(node.id, 0, 0);
    });
    return () => {
      stopShares();
      for (const stop of listening.values()) stop();
    };
  };

  const refresh = () => {
    const { root } = core.nodes;
    const listed = new Map(peers.list().map((peer) => [peer.peerId, peer]));
    for (const [name, { folder, node }] of [...core.folders]) {
      const peer = listed.get(folder.peer.peerId);
      if (peer?.remote === folder.peer.remote && peer.petname === name) continue;
      core.folders.delete(name);
      core.nodes.unlink(root, name);
      core.notifier?.deleteEntry(root.id, node.id, name);
      if (peer?.remote === folder.peer.remote) {
        // Renamed: the same node under another name.
        folder.peer = peer;
        core.folders.set(peer.petname, { folder, node });
        core.nodes.link(root, peer.petname, node);
        continue;
      }
      followed.get(folder.peer.peerId)?.stop();
      followed.delete(folder.peer.peerId);
      core.nodes.forget(node.id, 1);
    }
    for (const peer of listed.values()) {
      if (followed.has(peer.peerId)) continue;
      const { folder, node } = core.addFolder(peer);
      followed.set(peer.peerId, { folder, stop: follow(folder, node) });
      core.notifier?.invalidateEntry(root.id, peer.petname);
    }
    core.notifier?.invalidateInode(root.id, 0, 0);
  };
  refresh();
  stops.push(peers.onChange(refresh));

  return {
    ...nameOperations(core),
    ...attributeOperations(core),
    ...fileOperations(core),
    ...directoryOperations(core),
    setNotifier: (notifier) => {
      core.notifier = notifier;
    },
    close: async () => {
      core.notifier = undefined;
      for (const stop of stops.splice(0)) stop();
      for (const { stop } of followed.values()) stop();
      followed.clear();
      const trees = [...core.folders.values()].flatMap(({ folder }) => [...folder.all()].map(({ tree }) => tree));
      const released = core.handles.numbers().map((number) => {
        const open = core.handles.remove(number);
        return open !== undefined && open.handle !== 0 ? open.tree?.release(open.handle) : undefined;
      });
      await Promise.all([...released, ...trees.map((tree) => tree.drained())]);
    },
  };
}
