/**
 * The folders of peers in a mount: which names they show. A peer's folder is our inbox at the peer with the peer's
 * shares in it. Where names clash the newcomer is shown renamed, and stays so while the mount lives: a share as
 * `Name (share)`, a file of the inbox that came later as `Name (inbox)`.
 */
import { fromText, type ByteString } from '../bytestring.ts';
import { codeOf } from '../errors.ts';
import { LIMITS, type ShareInfo } from '../wire/schema.ts';
import { inodeNumber, shareKey } from './inode-numbers.ts';
import type { MountedShare, PeerNames } from './mount-node.ts';
import type { FileIdentity } from './remote-file.ts';
import type { RemotePeer } from './remote-peer.ts';

/** Tuning: another name is looked for so often; a peer may claim to have them all. */
const NAMES_TRIED = 32;
/** Shares of one peer that are remembered while the mount lives; further ones are not shown. */
const MAX_SHARES = 4 * LIMITS.shares;
const SHARE_SUFFIX = ' (share)';
const INBOX_SUFFIX = fromText(' (inbox)');

export interface MountedPeer {
  /** Name of its directory. */
  readonly petname: ByteString;
  readonly peerId: string;
  readonly remote: RemotePeer;
}

export interface PeerDirectory {
  /** All known peers, online or not; petnames are unique. */
  list(): readonly MountedPeer[];
  /** A peer came, went or was renamed. @returns a function that ends the listening. */
  onChange(listener: () => void): () => void;
}

export class PeerFolder implements PeerNames {
  readonly inbox: MountedShare;
  readonly #homeKey: Uint8Array;
  /** Whether owners mean anything here: only root may give files away. */
  readonly #mayPassIds: boolean;
  readonly #shares = new Map<number, MountedShare>();
  /** Names by which shares are shown; kept when a share goes. */
  readonly #shownNames = new Map<number, ByteString>();
  peer: MountedPeer;
  /** Called when all() has grown. */
  onNewShare: (() => void) | undefined = undefined;
  #shown = new Map<ByteString, MountedShare>();
  #list: readonly ShareInfo[] | undefined;

  constructor(peer: MountedPeer, homeKey: Uint8Array, mayPassIds: boolean) {
    this.peer = peer;
    this.#homeKey = homeKey;
    this.#mayPassIds = mayPassIds;
    this.inbox = this.#share(0);
  }

  /** Shares by shown name. Asks the peer if it has not been asked or something changed. */
  async shares(): Promise<ReadonlyMap<ByteString, MountedShare>> {
    const list = await this.peer.remote.shares();
    if (list !== this.#list) await this.#refresh(list);
    return this.#shown;
  }

  /** Shares by shown name as last heard. */
  get shown(): ReadonlyMap<ByteString, MountedShare> {
    return this.#shown;
  }

  /** All shares ever seen, the inbox among them. */
  all(): Iterable<MountedShare> {
    return this.#shares.values();
  }

  /** The name in the inbox that a shown name stands for. */
  inboxName(shown: ByteString): ByteString {
    if (!shown.endsWith(INBOX_SUFFIX)) return shown;
    const name = shown.slice(0, -INBOX_SUFFIX.length) as ByteString;
    return this.#shown.has(name) ? name : shown;
  }

  /** How a name of the inbox is shown. */
  shownInboxName(name: ByteString): ByteString {
    return this.#shown.has(name) ? ((name + INBOX_SUFFIX) as ByteString) : name;
  }

  async #refresh(list: readonly ShareInfo[]): Promise<void> {
    const shown = new Map<ByteString, MountedShare>();
    for (const { share, name, idmap } of list) {
      if (!this.#shares.has(share) && this.#shares.size >= MAX_SHARES) continue;
      const mounted = this.#share(share);
      mounted.passesIds = idmap === 1 && this.#mayPassIds;
      if (share === 0) continue;
      let shownName = this.#shownNames.get(share);
      if (shownName === undefined || shown.has(shownName)) {
        shownName = await this.#freeName(name, shown);
        this.#shownNames.set(share, shownName);
      }
      shown.set(shownName, mounted);
    }
    this.#shown = shown;
    this.#list = list;
  }

  async #freeName(name: ByteString, shown: ReadonlyMap<ByteString, MountedShare>): Promise<ByteString> {
    const isTaken = async (candidate: ByteString) => shown.has(candidate) || (await this.#isInInbox(candidate));
    if (!(await isTaken(name))) return name;
    const renamed = (name + fromText(SHARE_SUFFIX)) as ByteString;
    let candidate = renamed;
    for (let count = 2; count < NAMES_TRIED && (await isTaken(candidate)); count++) {
      candidate = (name + fromText(` (share ${count})`)) as ByteString;
    }
    return candidate;
  }

  async #isInInbox(name: ByteString): Promise<boolean> {
    try {
      await this.inbox.tree.getattr(name, 0);
      return true;
    } catch (error) {
      if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENAMETOOLONG' || codeOf(error) === 'ESTALE') return false;
      throw error;
    }
  }

  #share(share: number): MountedShare {
    let mounted = this.#shares.get(share);
    if (mounted === undefined) {
      const key = shareKey(this.#homeKey, this.peer.peerId, share);
      const tree = this.peer.remote.tree(share);
      const nodes: MountedShare['nodes'] = new Map();
      const numberOf = (identity: FileIdentity) => inodeNumber(key, identity);
      mounted = { share, tree, nodes, passesIds: false, inodeNumber: numberOf, top: undefined };
      tree.shownInodes((identity) => nodes.get(identity.inode)?.inode ?? numberOf(identity));
      this.#shares.set(share, mounted);
      this.onNewShare?.();
    }
    return mounted;
  }
}

/** What stands for the folder itself in its number: no file has such an identity. */
export const FOLDER_IDENTITY: FileIdentity = { inode: 0n, device: 0n, birthSec: -1, birthNsec: 0 };
