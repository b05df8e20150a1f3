/**
 * What a peer recalls, told to the kernel: which of its nodes, names and pages are stale. Only what the kernel may still
 * be keeping is told.
 */
import type { ByteString } from '../bytestring.ts';
import { RECALL } from '../wire/schema.ts';
import type { MountCore } from './mount-core.ts';
import type { MountedShare, MountNode } from './mount-node.ts';

export interface Recalled {
  readonly path: ByteString;
  /** Bits of RECALL. */
  readonly what: number;
  /** By a rename of the kernel's own, which knows what stands under the name itself. */
  readonly isMoved: boolean;
}

/** @param top the node of the share's root; undefined if the kernel does not know it. */
export function invalidate(
  core: MountCore,
  share: MountedShare,
  top: MountNode | undefined,
  { path, what, isMoved }: Recalled,
): void {
  if (top === undefined) return;
  const node = core.nodes.at(top, path);
  if (node === undefined) return;
  if (what & RECALL.subtree) {
    core.nodes.walk(node, (below) => {
      // Another share's folder in a peer's inbox is not below it.
      if (below.share !== share) return;
      namesStale(core, below);
      contentsStale(core, below);
    });
    const link = node.links[0];
    if (link !== undefined && node !== top && !isMoved) core.notifier?.invalidateEntry(link.parent.id, link.name);
    return;
  }
  if (what & RECALL.contents) contentsStale(core, node);
  else if (what & RECALL.attributes) core.notifier?.invalidateInode(node.id, 0, -1);
  if (what & RECALL.entries) {
    namesStale(core, node);
    core.notifier?.invalidateInode(node.id, 0, 0);
  }
}

function contentsStale(core: MountCore, node: MountNode): void {
  node.isForeign = true;
  node.pages = undefined;
  core.notifier?.invalidateInode(node.id, 0, 0);
}

function namesStale(core: MountCore, node: MountNode): void {
  const now = core.clock.now();
  for (const [name, until] of node.absent ?? []) if (until > now) core.notifier?.invalidateEntry(node.id, name);
  node.absent = undefined;
  for (const [name, child] of node.children ?? []) {
    // Of a file of several names it is not known which of them the kernel was told to forget.
    if (child.share !== node.share || (child.keptUntil <= now && child.links.length < 2)) continue;
    child.keptUntil = 0;
    core.notifier?.invalidateEntry(node.id, name);
    // Its attributes were covered by the same lease.
    core.notifier?.invalidateInode(child.id, 0, -1);
  }
}
