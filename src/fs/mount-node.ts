/** The data of a mount: what the kernel knows as nodes, what programs have open, which share each belongs to. */
import type { ByteString } from '../bytestring.ts';
import type { Attributes } from '../wire/schema.ts';
import type { NodeId } from './kernel.ts';
import type { MountListing } from './mount-listing.ts';
import type { FileIdentity } from './remote-file.ts';
import type { RemoteTree } from './remote-tree.ts';
import type { Handle } from './tree.ts';

/** How names are shown in a peer's folder. */
export interface PeerNames {
  readonly inbox: MountedShare;
  /** Shares by shown name. Asks the peer if it has not been asked or something changed. */
  shares(): Promise<ReadonlyMap<ByteString, MountedShare>>;
  /** Shares by shown name as last heard. */
  readonly shown: ReadonlyMap<ByteString, MountedShare>;
  /** The name in the inbox that a shown name stands for. */
  inboxName(shown: ByteString): ByteString;
  /** How a name of the inbox is shown. */
  shownInboxName(name: ByteString): ByteString;
}

/** A share of a peer in this mount. */
export interface MountedShare {
  readonly share: number;
  readonly tree: RemoteTree;
  /** Files of the share that the kernel knows, by inode number at the server. */
  readonly nodes: Map<bigint, MountNode>;
  /** Ids are the peer's own instead of the mounting user's. */
  passesIds: boolean;
  /** st_ino of a file. */
  inodeNumber(identity: FileIdentity): bigint;
  /** Its node while it is shown (not for the inbox). */
  top: MountNode | undefined;
}

export interface Link {
  readonly parent: MountNode;
  readonly name: ByteString;
}

export interface MountNode {
  readonly id: NodeId;
  /** root: the mountpoint. peer: a peer's folder (and the root of its inbox). file: anything in a share. */
  readonly kind: 'root' | 'peer' | 'file';
  readonly folder: PeerNames | undefined;
  readonly share: MountedShare | undefined;
  /** Top of its share: the path is ''. */
  readonly isTop: boolean;
  /** Changes once, for a file that was made here first: when it is at its server. */
  identity: FileIdentity | undefined;
  /** st_ino. */
  readonly inode: bigint;
  /** As last heard. */
  mode: number;
  /** A directory that was removed through this mount, as it was, without links: programs may be in it still. */
  gone: Attributes | undefined;
  /** Names under which the kernel may know it; the first is used. */
  links: Link[];
  children: Map<ByteString, MountNode> | undefined;
  /** Names that the kernel may remember as absent, until then (Clock.now()). */
  absent: Map<ByteString, number> | undefined;
  /** Until when the kernel may keep its name and attributes. */
  keptUntil: number;
  lookups: number;
  handles: Set<MountHandle> | undefined;
  /** Version of the contents that the kernel's pages hold; undefined if it cannot be told. */
  pages: string | undefined;
  /** Contents were changed by others since it was last opened. */
  isForeign: boolean;
}

export interface MountHandle {
  readonly node: MountNode;
  /** undefined for the root. */
  readonly tree: RemoteTree | undefined;
  /** The tree's number; 0 if the tree knows nothing of it. */
  readonly handle: Handle;
  /** Bits of OPEN; 0 for directories. */
  readonly flags: number;
  readonly listing: MountListing | undefined;
  hasWritten: boolean;
}
