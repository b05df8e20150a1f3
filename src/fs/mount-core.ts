/**
 * What all operations of a mount have in common: nodes and handles, what a peer's attributes look like to the kernel,
 * how long the kernel may keep them, where a name leads, and giving up when the caller is gone.
 */
import { join, NAME_MAX_BYTES, ROOT, SHARE_PATH_MAX_BYTES, type ByteString } from '../bytestring.ts';
import type { Clock } from '../clock.ts';
import { codeOf, PeerfsError } from '../errors.ts';
import type { Attributes } from '../wire/schema.ts';
import { isProvisional } from './creation.ts';
import type {
  AttributesReply,
  EntryReply,
  KernelAttributes,
  KernelNotifier,
  NegativeReply,
  NodeId,
  RequestContext,
} from './kernel.ts';
import type { Logger } from '../log.ts';
import { MountHandles } from './mount-handles.ts';
import type { Link, MountedShare, MountNode } from './mount-node.ts';
import { MountNodes } from './mount-nodes.ts';
import { FOLDER_IDENTITY, PeerFolder, type MountedPeer, type PeerDirectory } from './mount-peers.ts';
import { isSameFile } from './remote-file.ts';
import type { RemoteTree } from './remote-tree.ts';

/** Tuning: how long the kernel may keep what we know without asking anybody (peers' folders), milliseconds. */
const OWN_MS = 1000;
/**
 * The same of attributes of a file that the server does not know yet: it gives other times, milliseconds. Once it was
 * written to they are not kept at all: who looks then may want to know it again.
 */
const PROVISIONAL_MS = 20;
const BLOCK = 4096;
/** Sizes of blocks that programs and the kernel can do with, bytes: they take memory by them. */
const LEAST_BLOCK = 512;
const MOST_BLOCK = 1024 * 1024;
const SET_IDS = 0o6000;

export interface MountFileSystemOptions {
  readonly peers: PeerDirectory;
  /** Owner of everything in the mount where ids are not passed through. */
  readonly uid: number;
  readonly gid: number;
  /** 16 random bytes of the home: inode numbers are made with it. */
  readonly inodeKey: Uint8Array;
  readonly readOnly: boolean;
  /** Other users of this computer may come in: they may look into the root and the peers' folders. Default: no. */
  readonly allowOther?: boolean;
  /** confined: links of a peer that could lead out of its share are refused (EPERM at readlink). Default. */
  readonly links?: 'confined' | 'verbatim';
  readonly clock: Clock;
  readonly log: Logger;
}

/** Where a name in a directory leads. */
export interface Place {
  readonly parent: MountNode;
  /** As the kernel says it. */
  readonly name: ByteString;
  readonly share: MountedShare;
  readonly tree: RemoteTree;
  readonly path: ByteString;
}

export class MountCore {
  readonly nodes = new MountNodes();
  readonly handles = new MountHandles();
  readonly uid: number;
  readonly gid: number;
  readonly isReadOnly: boolean;
  readonly areLinksVerbatim: boolean;
  readonly clock: Clock;
  readonly folders = new Map<ByteString, { readonly folder: PeerFolder; readonly node: MountNode }>();
  notifier: KernelNotifier | undefined;
  readonly #homeKey: Uint8Array;
  /** Permissions added to the root and the peers' folders. */
  readonly #othersMode: number;
  /** Attributes of peers' folders as last heard. */
  readonly #folderAttributes = new WeakMap<MountNode, Attributes>();
  readonly #startedSec: number;

  constructor({ uid, gid, inodeKey, readOnly, allowOther, links, clock }: MountFileSystemOptions) {
    this.uid = uid;
    this.gid = gid;
    this.#homeKey = inodeKey;
    this.isReadOnly = readOnly;
    this.#othersMode = allowOther === true ? 0o055 : 0;
    this.areLinksVerbatim = links === 'verbatim';
    this.clock = clock;
    this.#startedSec = Math.floor(clock.wallMs() / 1000);
  }

  /** @throws PeerfsError ESTALE for a number that was never given or was forgotten. */
  node(id: NodeId): MountNode {
    const node = this.nodes.get(id);
    if (node === undefined) throw new PeerfsError('ESTALE', 'no such node');
    return node;
  }

  addFolder(peer: MountedPeer): { readonly folder: PeerFolder; readonly node: MountNode } {
    const folder = new PeerFolder(peer, this.#homeKey, this.uid === 0);
    const node = this.nodes.addPeer(folder, folder.inbox.inodeNumber(FOLDER_IDENTITY));
    this.nodes.link(this.nodes.root, peer.petname, node);
    const added = { folder, node };
    this.folders.set(peer.petname, added);
    return added;
  }

  /** @throws PeerfsError EROFS. */
  checkWritable(): void {
    if (this.isReadOnly) throw new PeerfsError('EROFS', 'the mount is read-only');
  }

  /** The share that a node stands in. @throws PeerfsError EPERM for the root. */
  shareOf(node: MountNode): MountedShare {
    if (node.share === undefined) throw new PeerfsError('EPERM', 'the folder of peers itself');
    return node.share;
  }

  /** @throws PeerfsError ESTALE if the node has no name any more. */
  pathOf(node: MountNode): ByteString {
    const path = this.nodes.pathOf(node);
    if (path === undefined) throw new PeerfsError('ESTALE', 'the file has no name any more');
    return path;
  }

  /**
   * The path of a name that the file still has, as far as is known; undefined if it has none. Of several names others may
   * have removed or replaced some: the peer is asked where no lease covers one of them.
   */
  async currentPath(node: MountNode, context: RequestContext): Promise<ByteString | undefined> {
    if (node.links.length > 1) await this.wait(context, this.#settleName(node));
    return this.nodes.pathOf(node);
  }

  /** @throws PeerfsError ESTALE if the node has no name any more. */
  async existingPath(node: MountNode, context: RequestContext): Promise<ByteString> {
    await this.currentPath(node, context);
    return this.pathOf(node);
  }

  async #settleName(node: MountNode): Promise<void> {
    const { tree } = this.shareOf(node);
    // Of a directory that has no name any more.
    for (const { parent, name } of [...node.links]) {
      if (this.nodes.pathOf(parent) === undefined) this.nodes.unlink(parent, name);
    }
    const isHere = (found: Attributes | null | undefined) =>
      found && node.identity !== undefined && isSameFile(found, node.identity);
    const covered = node.links.find((link) => isHere(tree.known(this.#pathOfLink(link))));
    if (covered !== undefined) {
      this.nodes.prefer(node, covered);
      return;
    }
    for (const link of [...node.links]) {
      const found = await tree.getattr(this.#pathOfLink(link), 0).catch((error: unknown) => {
        if (codeOf(error) !== 'ENOENT' && codeOf(error) !== 'ENOTDIR') throw error;
        return undefined;
      });
      if (isHere(found)) {
        this.nodes.prefer(node, link);
        return;
      }
      if (this.nodes.child(link.parent, link.name) === node) this.nodes.unlink(link.parent, link.name);
    }
  }

  #pathOfLink({ parent, name }: Link): ByteString {
    return join(this.pathOf(parent), name);
  }

  /** The path of a name. @throws PeerfsError ENAMETOOLONG, ENOENT, ESTALE. */
  pathIn(parent: MountNode, name: ByteString): ByteString {
    if (parent.gone !== undefined) throw new PeerfsError('ENOENT', 'the directory was removed');
    const path = join(this.pathOf(parent), name);
    if (name.length > NAME_MAX_BYTES || path.length > SHARE_PATH_MAX_BYTES) throw new PeerfsError('ENAMETOOLONG');
    return path;
  }

  /** For operations that change names. @param taken what to say if the name is a share's own. */
  place(parentId: NodeId, name: ByteString, taken: 'EEXIST' | 'EBUSY'): Place {
    this.checkWritable();
    const parent = this.node(parentId);
    if (parent.kind === 'root') {
      if (taken === 'EEXIST' && this.folders.has(name)) throw new PeerfsError('EEXIST', "a peer's folder");
      throw new PeerfsError(this.folders.has(name) ? 'EBUSY' : 'EPERM', 'only peers stand here');
    }
    const share = this.shareOf(parent);
    if (parent.kind === 'peer') {
      if (parent.folder?.shown.has(name) === true) throw new PeerfsError(taken, 'the folder of a share');
      const path = this.pathIn(parent, parent.folder?.inboxName(name) ?? name);
      return { parent, name, share, tree: share.tree, path };
    }
    return { parent, name, share, tree: share.tree, path: this.pathIn(parent, name) };
  }

  /** A name that was found. The caller counts the lookup when it is delivered. */
  entry(parent: MountNode, name: ByteString, share: MountedShare, path: ByteString, found: Attributes): EntryReply {
    return this.entryOf(this.nodes.adopt(parent, name, share, found, false), path, found);
  }

  entryOf(node: MountNode, path: ByteString, found: Attributes): EntryReply {
    return this.entryFor(node, found, node.share?.tree.leaseOf(path) ?? 0);
  }

  /** @param leaseMs how long the name and what was found hold. */
  entryFor(node: MountNode, found: Attributes, leaseMs: number): EntryReply {
    node.keptUntil = this.clock.now() + leaseMs;
    return {
      node: node.id,
      generation: 0,
      attributes: this.attributes(node, found),
      attributesMs: attributesMs(found, leaseMs),
      entryMs: leaseMs,
    };
  }

  /** A file that was made here first is at the server: its node is known by what it is there from now on. */
  made(share: MountedShare, first: Attributes, now: Attributes): void {
    const node = this.nodes.identify(share, first, now);
    if (node === undefined) return;
    const [said, is] = [this.attributes(node, first), this.attributes(node, now)];
    const isSame = said.mode === is.mode && said.uid === is.uid && said.gid === is.gid && said.nlink === is.nlink;
    if (!isSame) this.notifier?.invalidateInode(node.id, 0, -1);
  }

  /** Counts the lookup and hands out. */
  delivered(entry: EntryReply): EntryReply {
    const node = this.nodes.get(entry.node);
    if (node !== undefined) node.lookups += 1;
    return entry;
  }

  undeliver(entry: EntryReply | NegativeReply): void {
    if (entry.node !== 0) this.nodes.forget(entry.node, 1);
  }

  absent(parent: MountNode, name: ByteString, tree: RemoteTree, path: ByteString): NegativeReply {
    const leaseMs = tree.leaseOf(path);
    const mayKeep = leaseMs > 0 && this.nodes.noteAbsent(parent, name, this.clock.now() + leaseMs);
    return { node: 0, entryMs: mayKeep ? leaseMs : 0 };
  }

  attributes(node: MountNode, found: Attributes): KernelAttributes {
    const passesIds = node.share?.passesIds === true;
    // A peer that shows them would have them copied to where they mean something.
    const mode = passesIds ? found.mode : found.mode & ~SET_IDS;
    node.mode = mode;
    return {
      inode: node.inode,
      mode: node.kind === 'file' ? mode : mode | this.#othersMode,
      nlink: found.nlink,
      uid: passesIds ? found.uid : this.uid,
      gid: passesIds ? found.gid : this.gid,
      size: found.size,
      blocks: found.blocks,
      blksize: plausibleBlock(found.blksize),
      atimeSec: found.atimeSec,
      atimeNsec: found.atimeNsec,
      mtimeSec: found.mtimeSec,
      mtimeNsec: found.mtimeNsec,
      ctimeSec: found.ctimeSec,
      ctimeNsec: found.ctimeNsec,
    };
  }

  /** The root's and peers' folders': answered without asking anybody. */
  ownAttributes(node: MountNode): AttributesReply {
    const heard = node.share?.tree.known(ROOT) ?? this.#folderAttributes.get(node);
    if (heard) {
      this.#folderAttributes.set(node, heard);
      return { attributes: this.attributes(node, heard), attributesMs: OWN_MS };
    }
    const time = this.#startedSec;
    const attributes: KernelAttributes = {
      inode: node.inode,
      mode: 0o040700 | this.#othersMode,
      nlink: 2,
      uid: this.uid,
      gid: this.gid,
      size: BLOCK,
      blocks: BLOCK / 512,
      blksize: BLOCK,
      atimeSec: time,
      atimeNsec: 0,
      mtimeSec: time,
      mtimeNsec: 0,
      ctimeSec: time,
      ctimeNsec: 0,
    };
    return { attributes, attributesMs: OWN_MS };
  }

  noteFolderAttributes(node: MountNode, attributes: Attributes): void {
    this.#folderAttributes.set(node, attributes);
  }

  ownEntry(node: MountNode): EntryReply {
    const reply = this.ownAttributes(node);
    return { ...reply, node: node.id, generation: 0, entryMs: OWN_MS };
  }

  /**
   * Waits for `work` unless the caller is gone first (EINTR).
   * @param undo takes back what came too late.
   */
  wait<T>({ signal }: RequestContext, work: Promise<T>, undo?: (late: T) => void): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      let isGone = false;
      const gone = () => {
        isGone = true;
        reject(new PeerfsError('EINTR'));
      };
      if (signal.aborted) gone();
      else signal.addEventListener('abort', gone, { once: true });
      work.then(
        (value) => {
          signal.removeEventListener('abort', gone);
          if (isGone) undo?.(value);
          else resolve(value);
        },
        (error: unknown) => {
          signal.removeEventListener('abort', gone);
          reject(forKernel(error));
        },
      );
    });
  }
}

const S_ISUID = 0o4000;
const S_ISGID = 0o2000;
const S_IXGRP = 0o0010;

/**
 * Permission bits as a change by somebody without privileges leaves them. Without execution by the group the set-group-id
 * bit is no privilege and stays.
 */
export function withoutSetIds(mode: number): number {
  const dropped = (mode & S_IXGRP) === 0 ? S_ISUID : S_ISUID | S_ISGID;
  return mode & 0o7777 & ~dropped;
}

/**
 * No file reaches further: numbers above are not exact, in this program and in the protocol. (8 PiB; Linux allows a
 * thousand times as much, no file system of today holds a file of this size.)
 * @throws PeerfsError EFBIG
 */
export function checkReach(endBytes: number): void {
  if (endBytes > Number.MAX_SAFE_INTEGER) throw new PeerfsError('EFBIG');
}

function plausibleBlock(bytes: number): number {
  return bytes >= LEAST_BLOCK && bytes <= MOST_BLOCK ? bytes : BLOCK;
}

/** After ENOSYS the kernel would never ask for the same again, of any peer. */
function forKernel(error: unknown): Error {
  if (codeOf(error) === 'ENOSYS') return new PeerfsError('EIO', 'the peer knows no such call', { cause: error });
  return error instanceof Error ? error : new PeerfsError('EIO', 'unknown', { cause: error });
}

/** How long the kernel may keep attributes of a name that it may keep for `leaseMs`. */
export const attributesMs = (found: Attributes, leaseMs: number): number =>
  !isProvisional(found) ? leaseMs : found.size > 0 ? 0 : Math.min(leaseMs, PROVISIONAL_MS);

export const versionOf = (attributes: Attributes): string =>
  `${attributes.size} ${attributes.mtimeSec} ${attributes.mtimeNsec} ${attributes.ctimeSec} ${attributes.ctimeNsec}`;
