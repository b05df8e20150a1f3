/**
 * The handles that one peer has open at us: numbers on the wire to handles of trees. Bounded.
 */
import { nameOf, parentOf, type ByteString } from '../bytestring.ts';
import { PeerfsError } from '../errors.ts';
import type { Attributes } from '../wire/schema.ts';
import type { LeaseHolder } from './lease-holder.ts';
import type { FollowedFile } from './followed-files.ts';
import type { TreeLeases } from './leases.ts';
import { isSameFile } from './remote-file.ts';
import type { Handle, WatchedTree } from './tree.ts';

/** Tuning: open files and directories of one peer. */
export const HANDLES_PER_PEER = 4096;
/** Of all peers together, where the process may have more descriptors than anybody needs. */
const HANDLES_OF_ALL = 65_536;
/** Descriptors that are not for peers' handles: sockets, the mount, the database, what opening takes. */
const DESCRIPTORS_OF_OUR_OWN = 256;
/** A file with locks has a second one. */
const DESCRIPTORS_PER_HANDLE = 2;

/** What all peers of a node may have open, by what the system lets the process have. */
export class HandleBudget {
  readonly #most: number;
  readonly perPeer: number;
  #taken = 0;

  /** @param descriptors that the process may have. */
  constructor(descriptors: number) {
    const forHandles = Math.floor((descriptors - DESCRIPTORS_OF_OUR_OWN) / DESCRIPTORS_PER_HANDLE);
    this.#most = Math.min(HANDLES_OF_ALL, Math.max(2, forHandles));
    // No peer alone can take what another needs.
    this.perPeer = Math.min(HANDLES_PER_PEER, Math.floor(this.#most / 2));
  }

  take(): boolean {
    if (this.#taken >= this.#most) return false;
    this.#taken += 1;
    return true;
  }

  giveBack(): void {
    this.#taken -= 1;
  }
}

/** A share while the peer may see it. */
export interface ServedFolder {
  readonly share: number;
  isWritable: boolean;
  readonly tree: WatchedTree;
  readonly leases: TreeLeases;
  readonly holder: LeaseHolder;
}

export class ServedHandle implements FollowedFile {
  readonly served: ServedFolder;
  /** The tree's own number. */
  readonly handle: Handle;
  readonly isDirectory: boolean;
  isOvertaken = false;
  changedAt = Number.NEGATIVE_INFINITY;
  mayBeElsewhere: boolean;
  isMoved = false;
  /** TreeLeases.namings when the path was last sure. */
  namings: number;
  directory: ByteString;
  name: ByteString;
  #path: ByteString;

  /** @param file what was opened, if it is a file. */
  constructor(served: ServedFolder, handle: Handle, path: ByteString, file: Attributes | undefined) {
    this.served = served;
    this.handle = handle;
    this.namings = served.leases.namings;
    this.isDirectory = file === undefined;
    this.mayBeElsewhere = file !== undefined && file.nlink > 1;
    this.#path = path;
    this.directory = parentOf(path);
    this.name = nameOf(path);
  }

  /** Whether leases may cover the file under a name that is not `path`. */
  async isElsewhere(): Promise<boolean> {
    const { tree, leases } = this.served;
    const { namings } = leases;
    if (!this.mayBeElsewhere && this.namings === namings) return false;
    const file = await tree.getattr(this.path, this.handle).catch(() => undefined);
    if (file === undefined) return true;
    // No lease covers a file of several names, and nobody knows one of none.
    if (file.nlink === 1) {
      const here = await tree.getattr(this.path, 0).catch(() => undefined);
      if (here === undefined || !isSameFile(here, file)) return true;
    }
    this.mayBeElsewhere = file.nlink > 1;
    this.namings = namings;
    return false;
  }

  get holder(): LeaseHolder {
    return this.served.holder;
  }

  get path(): ByteString {
    return this.#path;
  }

  set path(path: ByteString) {
    this.#path = path;
    this.directory = parentOf(path);
    this.name = nameOf(path);
  }
}

/** Room for one handle, promised to a call that opens something. */
export interface HandlePlace {
  /** Whether the peer has forgotten its handles since: nobody waits for what is opened now. */
  isStale(): boolean;
  /** To be called once, if at all. @returns the handle's number on the wire. */
  fill(handle: ServedHandle): number;
  /** Gives the room back unless it was filled. */
  leave(): void;
}

export class ServedHandles {
  readonly #open = new Map<number, ServedHandle>();
  readonly #budget: HandleBudget;
  #next = 1;
  /** Numbers promised to opens that are under way. */
  #reserved = 0;
  /** How often the peer forgot its handles. */
  era = 0;

  constructor(budget: HandleBudget) {
    this.#budget = budget;
  }

  /** To be called before opening. @throws PeerfsError EMFILE: the peer's; ENFILE: all peers'. */
  reserve(): HandlePlace {
    if (this.#open.size + this.#reserved >= this.#budget.perPeer) {
      throw new PeerfsError('EMFILE', 'too many open files');
    }
    if (!this.#budget.take()) throw new PeerfsError('ENFILE', 'too many open files of all peers');
    this.#reserved += 1;
    const { era } = this;
    let isTaken = false;
    const take = () => {
      isTaken = true;
      this.#reserved -= 1;
    };
    return {
      isStale: () => era !== this.era,
      fill: (handle) => {
        take();
        return this.#add(handle);
      },
      leave: () => {
        if (isTaken) return;
        take();
        this.#budget.giveBack();
      },
    };
  }

  #add(handle: ServedHandle): number {
    while (this.#open.has(this.#next)) this.#next = this.#next >= 0xffff_ffff ? 1 : this.#next + 1;
    const number = this.#next;
    this.#next = number >= 0xffff_ffff ? 1 : number + 1;
    this.#open.set(number, handle);
    if (!handle.isDirectory) handle.served.leases.followed.add(handle);
    return number;
  }

  /** @throws PeerfsError EBADF for a number that is not open (any more). */
  get(number: number): ServedHandle {
    const handle = this.#open.get(number);
    if (handle === undefined) throw new PeerfsError('EBADF', 'no such handle');
    return handle;
  }

  remove(number: number): ServedHandle | undefined {
    const handle = this.#open.get(number);
    if (handle === undefined) return undefined;
    this.#open.delete(number);
    this.#budget.giveBack();
    handle.served.leases.followed.remove(handle);
    return handle;
  }

  /** The peer has forgotten them all. @returns what is to be removed. */
  forgotten(): number[] {
    this.era += 1;
    return [...this.#open.keys()];
  }

  entries(): [number, ServedHandle][] {
    return [...this.#open];
  }
}
