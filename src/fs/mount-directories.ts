/**
 * The mount's operations on open directories. A listing goes on where it stopped whatever changes meanwhile
 * (mount-listing.ts); reading from the beginning asks anew.
 */
import { join, ROOT, type ByteString } from '../bytestring.ts';
import { codeOf, PeerfsError } from '../errors.ts';
import type { Attributes, DirectoryEntry } from '../wire/schema.ts';
import type { DirectoryRow, EntryReply, KernelFileSystem } from './kernel.ts';
import type { MountCore } from './mount-core.ts';
import { shareEntry } from './mount-names.ts';
import { isCacheable } from './remote-cache.ts';
import { MountListing, type OwnRow } from './mount-listing.ts';
import type { MountedShare, MountHandle, MountNode } from './mount-node.ts';

/** Tuning: rows taken in at once, which keeps the event loop from others for 1 ms. */
const ROWS_AT_ONCE = 512;
/**
 * Tuning: rows of one listing that are told with their entries, which the kernel keeps and we with it. Of more the kernel
 * asks for those that somebody looks at.
 */
const ROWS_WITH_ENTRIES = 16_384;

const S_IFMT = 0o170000;
const S_IFDIR = 0o040000;

type DirectoryOperations = Pick<KernelFileSystem, 'opendir' | 'readdir' | 'fsyncdir' | 'releasedir'>;

export function directoryOperations(core: MountCore): DirectoryOperations {
  const { nodes, handles } = core;

  async function open(node: MountNode): Promise<MountHandle> {
    if (node.kind === 'root' || node.gone !== undefined)
      return { node, tree: undefined, handle: 0, flags: 0, listing: new MountListing(), hasWritten: false };
    const { tree } = core.shareOf(node);
    if (node.kind === 'peer') await node.folder?.shares();
    const handle = await tree.openDirectory(core.pathOf(node));
    return { node, tree, handle, flags: 0, listing: new MountListing(), hasWritten: false };
  }

  /** Rows that come before the tree's own. */
  async function firstRows({ node }: MountHandle): Promise<OwnRow[]> {
    if (node.kind === 'root') {
      return [...core.folders].map(([name, { node: folder }]) => ({ kind: 'node', name, node: folder }));
    }
    if (node.kind !== 'peer' || node.folder === undefined) return [];
    const rows: OwnRow[] = [];
    for (const [name, share] of await node.folder.shares()) {
      // A share that fails (its folder is gone from the peer's disk) does not spoil the others.
      const entry = await shareEntry(core, node, name, share).catch(() => undefined);
      const top = entry === undefined ? undefined : nodes.get(entry.node);
      if (top !== undefined) rows.push({ kind: 'node', name, node: top });
    }
    return rows;
  }

  async function readMore(open: MountHandle, listing: MountListing): Promise<void> {
    const { version } = listing;
    if (!listing.isBegun) {
      const rows = await firstRows(open);
      if (listing.version !== version) return;
      listing.addOwn(rows);
    }
    if (open.tree === undefined) {
      listing.end();
      return;
    }
    const { entries, end } = await open.tree.readDirectory(open.handle, listing.cursor, ROWS_AT_ONCE);
    if (listing.version === version) listing.add(entries, end);
  }

  function more(open: MountHandle, listing: MountListing): Promise<void> {
    listing.next ??= readMore(open, listing).finally(() => {
      listing.next = undefined;
    });
    return listing.next;
  }

  /** @returns the row, and the entry in it if one was asked for. */
  function ownRow({ node }: MountHandle, row: OwnRow, cursor: bigint, plus: boolean): DirectoryRow {
    if (row.kind === 'self' || row.kind === 'parent') {
      const at = row.kind === 'self' ? node : (node.links[0]?.parent ?? nodes.root);
      const name = (row.kind === 'self' ? '.' : '..') as ByteString;
      return { name, cursor, entry: undefined, inode: at.inode, type: S_IFDIR };
    }
    const { name, node: child } = row;
    const entry = plus && child.kind === 'peer' ? core.ownEntry(child) : plus ? topEntry(child) : undefined;
    return { name, cursor, entry, inode: child.inode, type: S_IFDIR };
  }

  /** @param leaseMs how long all that was listed holds; 0: it may have been recalled since. */
  function rowOf(
    { node }: MountHandle,
    listed: DirectoryEntry,
    cursor: bigint,
    plus: boolean,
    top: ByteString,
    leaseMs: number,
  ): DirectoryRow {
    const { share, kind, folder } = node;
    if (share === undefined) throw new PeerfsError('EIO', 'a listing without a share');
    const name = kind === 'peer' && folder !== undefined ? folder.shownInboxName(listed.name) : listed.name;
    let { attributes } = listed;
    let entry: EntryReply | undefined;
    if (plus) {
      // What was recalled the kernel is told, but not to keep it.
      const path = leaseMs > 0 && isCacheable(attributes) ? undefined : join(top, listed.name);
      if (path !== undefined) attributes = share.tree.known(path) ?? attributes;
      entry = listedEntry(node, name, share, attributes, path === undefined ? leaseMs : share.tree.leaseOf(path));
    }
    const inode = entry?.attributes.inode ?? share.nodes.get(attributes.inode)?.inode ?? share.inodeNumber(attributes);
    return { name, cursor, entry, inode, type: attributes.mode & S_IFMT };
  }

  /** A directory that claims to stand within itself does not spoil the listing. */
  function listedEntry(
    parent: MountNode,
    name: ByteString,
    share: MountedShare,
    attributes: Attributes,
    leaseMs: number,
  ): EntryReply | undefined {
    try {
      return core.entryFor(nodes.adopt(parent, name, share, attributes, false), attributes, leaseMs);
    } catch (error) {
      if (codeOf(error) !== 'ELOOP') throw error;
      return undefined;
    }
  }

  function topEntry(node: MountNode): EntryReply | undefined {
    const known = node.share?.tree.known(ROOT);
    return known ? core.entryOf(node, ROOT, known) : undefined;
  }

  return {
    opendir: async (id, context) => {
      const node = core.node(id);
      const opened = open(node).then((handle) => handles.add(handle));
      const handle = await core.wait(context, opened, (late) => release(core, late));
      return { handle, keepCache: false, directIo: false, cacheDirectory: false };
    },

    readdir: async (number, cursor, plus, add, context) => {
      const opened = handles.get(number);
      if (opened.listing === undefined) throw new PeerfsError('ENOTDIR', 'not a directory');
      const { listing, tree } = opened;
      let position = Number(cursor);
      if (position === 0 && listing.isBegun) listing.restart();
      const top = opened.node.kind === 'root' ? ROOT : (nodes.pathOf(opened.node) ?? ROOT);
      let leaseMs: number | undefined;
      for (;;) {
        while (listing.wants(position)) {
          await core.wait(context, more(opened, listing));
          leaseMs = undefined;
        }
        const row = listing.row(position);
        if (row === undefined) return;
        position += 1;
        leaseMs ??= tree?.listedLeaseMs(opened.handle) ?? 0;
        const withEntry = plus && (position <= ROWS_WITH_ENTRIES || listing.isLookedAt);
        const told =
          'kind' in row
            ? ownRow(opened, row, BigInt(position), withEntry)
            : rowOf(opened, row, BigInt(position), withEntry, top, leaseMs);
        if (!add(told)) {
          const refused = told.entry === undefined ? undefined : nodes.get(told.entry.node);
          if (refused !== undefined) nodes.release(refused);
          return;
        }
        if (told.entry !== undefined) core.delivered(told.entry);
      }
    },

    fsyncdir: async (number, dataOnly, context) => {
      const opened = handles.get(number);
      if (opened.tree !== undefined) await core.wait(context, opened.tree.fsync(opened.handle, dataOnly));
    },

    releasedir: (number) => {
      release(core, number);
      return Promise.resolve();
    },
  };
}

function release(core: MountCore, number: number): void {
  const open = core.handles.remove(number);
  if (open === undefined) return;
  if (open.handle !== 0) void open.tree?.release(open.handle).catch(() => undefined);
  core.nodes.release(open.node);
}
