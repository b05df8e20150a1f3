/**
 * What this node serves: the shares of the store and an inbox for each peer, each with one tree over its folder.
 * Owns the trees, the rules for what may be shared, and the inboxes' folders. Implements ShareProvider for src/fs.
 */
import { constants, promises as fs } from 'node:fs';
import { basename, join } from 'node:path';
import { fromText, ROOT } from '../bytestring.ts';
import type { Clock } from '../clock.ts';
import { codeOf, PeerfsError } from '../errors.ts';
import { createLocalTree, type LocalTree } from '../fs/local-tree.ts';
import type { Quota } from '../fs/quota.ts';
import type { ShareProvider, SharedFolder } from '../fs/shared-folder.ts';
import type { Logger } from '../log.ts';
import { petnameFault } from './config.ts';
import type { ShareStatus } from './control-protocol.ts';
import { makePrivateDirectory, reasonOf, type Home } from './home.ts';
import { checkPetname } from './parameters.ts';
import { isWithin, makeFolders, overlap, peerfsMountOf, realPlace } from './places.ts';
import type { PeerRecord, ShareRecord, Store } from './store.ts';

/** How often a share whose folder is gone is looked for, milliseconds. */
const RETRY_MS = 30_000;

export interface SharesOptions {
  readonly store: Store;
  readonly home: Home;
  /** Folder that holds the inboxes. */
  readonly inbox: string;
  /** Of each inbox. */
  readonly inboxQuota: Quota | undefined;
  /** Where something is mounted, or about to be. */
  readonly mountpoints: () => readonly string[];
  /** Tells the user of what is not served. */
  readonly warn: (warning: string) => void;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface NewShare {
  /** Absolute, normalized. */
  readonly directory: string;
  readonly name: string | undefined;
  /** Petnames. */
  readonly to: readonly string[] | undefined;
  readonly writable: boolean;
  readonly idmap: 'user' | 'none';
  /** Bytes. */
  readonly quota: number | undefined;
}

export interface Shares extends ShareProvider {
  /** @throws ENOENT, ENOTDIR, NAME_CLASH, BAD_NAME, UNKNOWN_PEER, SHARE_CONTAINS_MOUNT */
  add(share: NewShare): Promise<ShareStatus>;
  /** @throws UNKNOWN_SHARE */
  remove(name: string): Promise<void>;
  /** @param bytes undefined: no quota. @throws UNKNOWN_SHARE */
  setQuota(name: string, bytes: number | undefined): Promise<ShareStatus>;
  status(): ShareStatus[];
  /** Makes inboxes and trees match the peers and shares of the store. */
  refresh(): Promise<void>;
  /** Looks again for the folders of shares that could not be opened: a disk may be plugged in again. */
  retryFaults(): Promise<void>;
  /** Moves the peer's inbox to a folder of its new name, if there is none. */
  renameInbox(peer: PeerRecord, name: string): Promise<void>;
  /** @throws SHARE_CONTAINS_MOUNT when a share or inbox holds the place, or the reverse. */
  checkMountpoint(place: string): void;
  close(): Promise<void>;
}

interface Opened {
  readonly tree: LocalTree;
  readonly folder: SharedFolder;
}

export function createShares(options: SharesOptions): Shares {
  const { store, home, inbox, log, clock } = options;
  const shares = new Map<number, Opened>();
  const inboxes = new Map<string, Opened & { readonly path: string }>();
  /** Why a share's folder cannot be served now. */
  const faults = new Map<number, string>();
  const lists = new Map<string, readonly SharedFolder[]>();
  const listeners = new Set<() => void>();
  let records: ShareRecord[] = [];

  const changed = () => {
    records = store.shares();
    lists.clear();
    for (const listener of listeners) listener();
  };

  const openShare = async (record: ShareRecord): Promise<void> => {
    const { share, directory, writable, idmap } = record;
    try {
      // A mount may have come since it was shared.
      checkNoMount(directory);
      const quota = quotaOf(record.quota);
      const tree = await createLocalTree({ root: directory, writable, idmap, quota, clock, log });
      shares.set(share, { tree, folder: { share, name: fromText(record.name), writable, idmap, tree } });
      faults.delete(share);
    } catch (error) {
      if (!faults.has(share)) log.warn('share.unavailable', { share, code: codeOf(error) });
      faults.set(share, `its folder cannot be opened: ${reasonOf(error)}`);
    }
  };

  const inboxName = async (peer: PeerRecord): Promise<string> => {
    if (peer.inbox !== undefined) return peer.inbox;
    // A folder left by a former peer of this name is not for the new one to see.
    let name = peer.name;
    for (let n = 2; (await isTaken(join(inbox, name))) || isInboxOfAnother(name, peer); n++) name = `${peer.name}-${n}`;
    store.setInbox(peer.peerId, name);
    return name;
  };
  const isInboxOfAnother = (name: string, peer: PeerRecord) =>
    store.peers().some((other) => other.peerId !== peer.peerId && other.inbox === name);

  const openInbox = async (peer: PeerRecord): Promise<void> => {
    try {
      const path = join(inbox, await inboxName(peer));
      await makeInbox(inbox, path);
      const tree = await createLocalTree({
        root: path,
        writable: true,
        idmap: 'user',
        quota: options.inboxQuota,
        clock,
        log,
      });
      inboxes.set(peer.peerId, {
        tree,
        path,
        folder: { share: 0, name: ROOT, writable: true, idmap: 'user', tree },
      });
    } catch (error) {
      log.error('inbox.unavailable', { code: codeOf(error) });
      options.warn(`the inbox of "${peer.name}" cannot be opened: ${reasonOf(error)}`);
    }
  };

  const closeOpened = async (opened: Opened | undefined): Promise<void> => opened?.tree.close();

  const refreshNow = async (): Promise<void> => {
    records = store.shares();
    for (const record of records) if (!shares.has(record.share)) await openShare(record);
    for (const [share, opened] of shares) {
      if (records.some((record) => record.share === share)) continue;
      shares.delete(share);
      await closeOpened(opened);
    }
    for (const share of faults.keys()) if (records.every((record) => record.share !== share)) faults.delete(share);
    const peers = store.peers();
    for (const peer of peers) if (!inboxes.has(peer.peerId)) await openInbox(peer);
    for (const [peerId, opened] of inboxes) {
      if (peers.some((peer) => peer.peerId === peerId)) continue;
      inboxes.delete(peerId);
      await closeOpened(opened);
    }
    changed();
  };
  // One after the other: each looks at what the one before it opened.
  let queue = Promise.resolve();
  const serially = <T>(job: () => Promise<T>): Promise<T> => {
    const result = queue.then(job);
    queue = result.then(
      () => undefined,
      () => undefined,
    );
    return result;
  };

  const retryFaults = async (): Promise<void> => {
    if (faults.size > 0) await serially(refreshNow);
  };
  const expiredRetry = () => {
    retryTimer = clock.after(RETRY_MS, expiredRetry);
    retryFaults().catch((error: unknown) => log.error('shares.retry', { code: codeOf(error) }));
  };
  let retryTimer = clock.after(RETRY_MS, expiredRetry);

  const statusOf = (record: ShareRecord): ShareStatus => ({
    name: record.name,
    directory: record.directory,
    writable: record.writable,
    idmap: record.idmap,
    to: record.to?.map((peerId) => store.peer(peerId)?.name ?? '?') ?? null,
    fault: faults.get(record.share) ?? null,
    quota: record.quota ?? null,
    used: (record.quota === undefined ? undefined : shares.get(record.share)?.tree.used?.bytes) ?? null,
  });

  const addNow = async (share: NewShare): Promise<ShareStatus> => {
    // First without touching anything: the folder may lie in our own mount.
    checkShare(share.directory, options);
    const directory = await folderAt(share.directory, share.writable);
    checkShare(directory, options);
    const name = share.name === undefined ? nameOfFolder(directory) : checkPetname(share.name);
    if (store.shares().some((known) => known.name === name)) {
      throw new PeerfsError('NAME_CLASH', `a share named "${name}" exists already`, {
        hint: 'Give it another name with --name, or end the other: peerfs unshare.',
      });
    }
    if (share.idmap === 'none' && process.getuid?.() !== 0) {
      throw new PeerfsError('EPERM', 'only a node that runs as root can pass owners as they are', {
        hint: 'Leave out --idmap none.',
      });
    }
    const to = share.to?.map((petname) => knownPeer(store, petname).peerId);
    const record = { name, directory, writable: share.writable, idmap: share.idmap, quota: share.quota, to };
    const number = store.addShare(record);
    await openShare({ ...record, share: number });
    const fault = faults.get(number);
    if (fault !== undefined) {
      store.removeShare(name);
      faults.delete(number);
      throw new PeerfsError('EACCES', `${directory} cannot be shared: ${fault}`);
    }
    changed();
    return statusOf({ ...record, share: number });
  };

  return {
    list(peerId) {
      const before = lists.get(peerId);
      if (before !== undefined) return before;
      const own = inboxes.get(peerId);
      const given = records
        .filter((record) => record.to?.includes(peerId) ?? true)
        .map((record) => shares.get(record.share)?.folder)
        .filter((folder) => folder !== undefined);
      const list = [...(own === undefined ? [] : [own.folder]), ...given];
      lists.set(peerId, list);
      return list;
    },
    onChange(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    add: (share) => serially(() => addNow(share)),
    remove: (name) =>
      serially(async () => {
        if (!store.removeShare(name)) throw unknownShare(store, name);
        await refreshNow();
      }),
    setQuota: (name, bytes) =>
      serially(async () => {
        if (!store.setShareQuota(name, bytes)) throw unknownShare(store, name);
        records = store.shares();
        const record = records.find((share) => share.name === name);
        if (record === undefined) throw unknownShare(store, name);
        await shares.get(record.share)?.tree.setQuota(quotaOf(bytes));
        return statusOf(record);
      }),
    status: () => store.shares().map(statusOf),
    refresh: () => serially(refreshNow),
    retryFaults,
    renameInbox: (peer, name) =>
      serially(async () => {
        const target = join(inbox, name);
        const opened = inboxes.get(peer.peerId);
        if (peer.inbox === undefined || opened === undefined || (await isTaken(target))) return;
        // First what can fail; the open tree goes with its folder.
        await fs.rename(opened.path, target);
        inboxes.delete(peer.peerId);
        await opened.tree.close();
        store.setInbox(peer.peerId, name);
        await openInbox({ ...peer, inbox: name });
        changed();
      }),
    checkMountpoint(place) {
      const share = store.shares().find((known) => overlap(known.directory, place));
      if (share !== undefined) {
        throw new PeerfsError(
          'SHARE_CONTAINS_MOUNT',
          `the share "${share.name}" (${share.directory}) and ${place} lie in each other`,
          {
            hint: 'Mount somewhere else, or end the share: peerfs unshare.',
          },
        );
      }
      if (overlap(home.directory, place) || overlap(inbox, place)) {
        throw new PeerfsError('SHARE_CONTAINS_MOUNT', `${place} and the node's home or inbox lie in each other`, {
          hint: 'Mount somewhere else.',
        });
      }
    },
    async close() {
      retryTimer.cancel();
      await queue;
      for (const opened of [...shares.values(), ...inboxes.values()]) await closeOpened(opened);
      shares.clear();
      inboxes.clear();
    },
  };
}

/** A share may hold any number of files: its owner has put some there. */
function quotaOf(bytes: number | undefined): Quota | undefined {
  return bytes === undefined ? undefined : { bytes, names: Number.MAX_SAFE_INTEGER };
}

function unknownShare(store: Store, name: string): PeerfsError {
  const names = store.shares().map((share) => share.name);
  return new PeerfsError('UNKNOWN_SHARE', `there is no share named "${name}"`, {
    hint: names.length === 0 ? 'Nothing is shared.' : `Shares: ${names.join(', ')}.`,
  });
}

/** @throws UNKNOWN_PEER naming those there are. */
export function knownPeer(store: Store, name: string): PeerRecord {
  const peer = store.peerNamed(name) ?? store.peer(name);
  if (peer !== undefined) return peer;
  const names = store.peers().map((known) => known.name);
  throw new PeerfsError('UNKNOWN_PEER', `there is no peer named "${name}"`, {
    hint: names.length === 0 ? 'There are no peers yet: peerfs invite.' : `Peers: ${names.join(', ')}.`,
  });
}

function checkShare(directory: string, { mountpoints, home, inbox }: SharesOptions): void {
  const mountpoint = mountpoints().find((place) => overlap(place, directory));
  if (mountpoint !== undefined) {
    throw new PeerfsError('SHARE_CONTAINS_MOUNT', `${directory} and the mount ${mountpoint} lie in each other`, {
      hint: 'Share a folder that has nothing to do with the mount.',
    });
  }
  checkNoMount(directory);
  if (overlap(home.directory, directory)) {
    const how = isWithin(directory, home.directory) ? 'lies in' : 'holds';
    throw new PeerfsError('SHARE_CONTAINS_MOUNT', `${directory} ${how} the node's home with its keys`, {
      hint: 'Share another folder.',
    });
  }
  if (overlap(inbox, directory)) {
    throw new PeerfsError('SHARE_CONTAINS_MOUNT', `${directory} and the peers' inboxes in ${inbox} lie in each other`, {
      hint: 'Share another folder: an inbox is for one peer alone.',
    });
  }
}

/** @throws SHARE_CONTAINS_MOUNT for what lies in a mount of any node of this computer. */
function checkNoMount(directory: string): void {
  const mountpoint = peerfsMountOf(directory);
  if (mountpoint === undefined) return;
  throw new PeerfsError('SHARE_CONTAINS_MOUNT', `${directory} lies in ${mountpoint}, a mount of peerfs`, {
    hint: "Share a folder of your own: a peer's files are for the peer to share.",
  });
}

/** @throws BAD_NAME when the folder's name cannot be a share's. */
function nameOfFolder(directory: string): string {
  const name = basename(directory);
  const fault = petnameFault(name);
  if (fault === undefined) return name;
  throw new PeerfsError('BAD_NAME', `the name of ${directory} cannot be a share's: ${fault}`, {
    hint: 'Give it another with --name.',
  });
}

async function folderAt(path: string, writable: boolean): Promise<string> {
  try {
    const real = await realPlace(path);
    if (!(await fs.stat(real)).isDirectory()) throw new PeerfsError('ENOTDIR', `${path} is not a folder`);
    await fs.access(real, constants.R_OK | constants.X_OK | (writable ? constants.W_OK : 0));
    return real;
  } catch (error) {
    if (error instanceof PeerfsError) throw error;
    const code = codeOf(error);
    throw code === 'ENOENT'
      ? new PeerfsError('ENOENT', `${path} does not exist`, { cause: error })
      : new PeerfsError(code, `${path} cannot be shared: ${reasonOf(error)}`, {
          hint: 'Peers reach only what the user who runs the node may reach.',
          cause: error,
        });
  }
}

async function makeInbox(base: string, path: string): Promise<void> {
  await makeFolders(base, 0o700);
  makePrivateDirectory(path);
}

/** Whether something is there that is not an empty folder. */
async function isTaken(path: string): Promise<boolean> {
  try {
    return (await fs.readdir(path)).length > 0;
  } catch (error) {
    return codeOf(error) !== 'ENOENT';
  }
}
