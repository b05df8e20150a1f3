/**
 * The nodes of a mount: what the kernel knows by number. Owns numbers, names to nodes and back (paths), which names are
 * one file, and when a node may be forgotten. Does not own what nodes mean to a peer (mount.ts).
 */
import type { ByteString } from '../bytestring.ts';
import { ROOT } from '../bytestring.ts';
import { PeerfsError } from '../errors.ts';
import type { Attributes } from '../wire/schema.ts';
import { ROOT_NODE, type NodeId } from './kernel.ts';
import type { Link, MountedShare, MountNode, PeerNames } from './mount-node.ts';
import { isSameFile, type FileIdentity } from './remote-file.ts';

/** Names told to the kernel as not there, of one directory, at most; with more, none is told to keep. */
const MAX_ABSENT = 4096;

const S_IFMT = 0o170000;
const S_IFDIR = 0o040000;

export class MountNodes {
  readonly root: MountNode;
  readonly #nodes = new Map<NodeId, MountNode>();
  #lastId: NodeId = ROOT_NODE;

  constructor() {
    this.root = this.#make(ROOT_NODE, 'root', undefined, undefined, undefined, BigInt(ROOT_NODE));
  }

  get size(): number {
    return this.#nodes.size;
  }

  get(id: NodeId): MountNode | undefined {
    return this.#nodes.get(id);
  }

  addPeer(folder: PeerNames, inode: bigint): MountNode {
    const node = this.#make((this.#lastId += 1), 'peer', folder, folder.inbox, undefined, inode);
    // Held by the list of peers.
    node.lookups = 1;
    return node;
  }

  /** The node of the file with these attributes, found under this name; made if there is none. @throws PeerfsError ELOOP. */
  adopt(parent: MountNode, name: ByteString, share: MountedShare, attributes: Attributes, isTop: boolean): MountNode {
    let node = share.nodes.get(attributes.inode);
    if (node?.identity !== undefined && !isSameFile(node.identity, attributes)) node = undefined;
    if (node === undefined) {
      const { inode, device, birthSec, birthNsec } = attributes;
      const identity = { inode, device, birthSec, birthNsec };
      node = this.#make(
        (this.#lastId += 1),
        'file',
        parent.folder,
        share,
        identity,
        share.inodeNumber(identity),
        isTop,
      );
      share.nodes.set(inode, node);
    } else if (isAbove(node, parent)) {
      // Only a peer that lies, or whose disk is broken, has such; paths would have no end.
      throw new PeerfsError('ELOOP', 'a directory within itself');
    }
    node.mode = attributes.mode;
    node.gone = undefined;
    this.link(parent, name, node);
    return node;
  }

  /**
   * The file that was known as `first` until now is `now` at its server. The number that programs see stays.
   * @returns its node; undefined if there is none.
   */
  identify(share: MountedShare, first: Attributes, now: Attributes): MountNode | undefined {
    const node = share.nodes.get(first.inode);
    if (node?.identity === undefined || !isSameFile(node.identity, first)) return undefined;
    const { inode, device, birthSec, birthNsec } = now;
    share.nodes.delete(first.inode);
    share.nodes.set(inode, node);
    node.identity = { inode, device, birthSec, birthNsec };
    return node;
  }

  /** Path within the share; undefined if the node has no name any more. */
  pathOf(node: MountNode): ByteString | undefined {
    if (isShareRoot(node)) return ROOT;
    let path = '';
    for (let at = node; !isShareRoot(at);) {
      const link = at.links[0];
      if (link === undefined) return undefined;
      path = path === '' ? link.name : `${link.name}/${path}`;
      at = link.parent;
    }
    return path as ByteString;
  }

  /**
   * How many directories stand above the node's directory within its share, under the name that stands highest: the
   * kernel does not say by which it came.
   */
  depthOf(node: MountNode): number {
    let least = Infinity;
    if (!isShareRoot(node)) {
      for (const { parent } of node.links) least = Math.min(least, isShareRoot(parent) ? 0 : this.depthOf(parent) + 1);
    }
    return least === Infinity ? 0 : least;
  }

  child(parent: MountNode, name: ByteString): MountNode | undefined {
    return parent.children?.get(name);
  }

  /** The node at a path below a top, if the kernel knows it. */
  at(top: MountNode, path: ByteString): MountNode | undefined {
    let node: MountNode | undefined = top;
    if (path === ROOT) return node;
    for (const name of path.split('/')) {
      node = node.children?.get(name as ByteString);
      if (node === undefined) return undefined;
    }
    return node;
  }

  /** The kernel may remember the name as absent until then. @returns whether it may. */
  noteAbsent(parent: MountNode, name: ByteString, until: number): boolean {
    parent.absent ??= new Map();
    if (parent.absent.size >= MAX_ABSENT) {
      for (const [old, end] of parent.absent) if (end < until) parent.absent.delete(old);
      if (parent.absent.size >= MAX_ABSENT) return false;
    }
    parent.absent.set(name, until);
    return true;
  }

  /** The name no longer stands for what it stood for. */
  unlink(parent: MountNode, name: ByteString): MountNode | undefined {
    const node = parent.children?.get(name);
    if (node === undefined) return undefined;
    parent.children?.delete(name);
    node.links = node.links.filter((link) => link.parent !== parent || link.name !== name);
    return node;
  }

  /** Of the node's names, this one stands for it from now on. */
  prefer(node: MountNode, link: Link): void {
    if (node.links.includes(link)) node.links = [link, ...node.links.filter((other) => other !== link)];
  }

  /** We removed the directory. @param last its attributes before, if known. */
  removed(node: MountNode, last: Attributes | null | undefined): void {
    if (!last || (last.mode & S_IFMT) !== S_IFDIR || node.links.length > 0) return;
    node.gone = { ...last, nlink: 0, size: 0 };
  }

  /** @param replacedAs attributes of what stood under the new name, if known. */
  rename(
    parent: MountNode,
    name: ByteString,
    newParent: MountNode,
    newName: ByteString,
    isExchange: boolean,
    replacedAs?: Attributes | null,
  ): void {
    if (parent === newParent && name === newName) return;
    const moved = this.unlink(parent, name);
    const replaced = this.unlink(newParent, newName);
    if (moved !== undefined) this.link(newParent, newName, moved);
    if (replaced !== undefined && isExchange) this.link(parent, name, replaced);
    else if (replaced !== undefined) {
      this.removed(replaced, replacedAs);
      this.release(replaced);
    }
  }

  forget(id: NodeId, count: number): void {
    const node = this.#nodes.get(id);
    if (node === undefined) return;
    node.lookups = Math.max(0, node.lookups - count);
    this.release(node);
  }

  /** Drops the node if nothing holds it any more, and then those above it. */
  release(node: MountNode): void {
    if (node.kind === 'root' || node.lookups > 0) return;
    if ((node.handles?.size ?? 0) > 0 || (node.children?.size ?? 0) > 0) return;
    if (!this.#nodes.delete(node.id)) return;
    if (node.identity !== undefined && node.share?.nodes.get(node.identity.inode) === node) {
      node.share.nodes.delete(node.identity.inode);
    }
    const { links } = node;
    node.links = [];
    for (const { parent, name } of links) {
      if (parent.children?.get(name) === node) parent.children.delete(name);
      this.release(parent);
    }
  }

  /** Calls `visit` for the node and everything known below it. */
  walk(node: MountNode, visit: (node: MountNode) => void): void {
    visit(node);
    if (node.children === undefined) return;
    for (const child of [...node.children.values()]) this.walk(child, visit);
  }

  /** The name stands for the node now. */
  link(parent: MountNode, name: ByteString, node: MountNode): void {
    parent.children ??= new Map();
    const there = parent.children.get(name);
    if (there === node) return;
    if (there !== undefined) {
      this.unlink(parent, name);
      this.release(there);
    }
    parent.absent?.delete(name);
    parent.children.set(name, node);
    // A directory has one name: what stood elsewhere was moved by others.
    const isDirectory = (node.mode & 0o170000) === 0o040000;
    if (isDirectory) for (const link of node.links) link.parent.children?.delete(link.name);
    node.links = isDirectory ? [{ parent, name }] : [{ parent, name }, ...node.links];
  }

  #make(
    id: NodeId,
    kind: MountNode['kind'],
    folder: PeerNames | undefined,
    share: MountedShare | undefined,
    identity: FileIdentity | undefined,
    inode: bigint,
    isTop = false,
  ): MountNode {
    const node: MountNode = {
      id,
      kind,
      folder,
      share,
      isTop,
      identity,
      inode,
      mode: kind === 'file' ? 0 : 0o040700,
      gone: undefined,
      links: [],
      children: undefined,
      absent: undefined,
      keptUntil: 0,
      lookups: 0,
      handles: undefined,
      pages: undefined,
      isForeign: false,
    };
    this.#nodes.set(id, node);
    return node;
  }
}

function isShareRoot(node: MountNode): boolean {
  return node.isTop || node.kind === 'peer';
}

/** Whether `below` stands in `node`, or is it. */
function isAbove(node: MountNode, below: MountNode): boolean {
  if (node === below) return true;
  if (node.children === undefined || node.children.size === 0 || isShareRoot(below)) return false;
  return below.links.some(({ parent }) => isAbove(node, parent));
}
