/**
 * Files that this node makes for itself to begin with, in directories where it was promised to be alone (sole-leases.ts):
 * the program that makes one is answered at once, and the server hears of it, with what was written meanwhile, in one
 * call: when it is closed or synced, when anything else must see it, or after a moment. What that call fails with is
 * told by the next write, sync or close.
 *
 * Nothing else is sent about a name before what is held back for it has arrived: see concerning().
 */
import { randomBytes } from 'node:crypto';
import { NAME_MAX_BYTES, nameOf, parentOf, ROOT, SHARE_PATH_MAX_BYTES, type ByteString } from '../bytestring.ts';
import type { Clock, Timer } from '../clock.ts';
import { codeOf, PeerfsError } from '../errors.ts';
import type { CallResult } from '../net/channel.ts';
import { OPEN, type CallName, type RequestOf } from '../wire/schema.ts';
import { Creation } from './creation.ts';
import type { DirectoryCache } from './remote-cache.ts';
import type { ChangeOrder } from './remote-lease.ts';
import { setattrFields } from './remote-setattr.ts';
import type { OpenOptions } from './tree.ts';

/**
 * Tuning. How long a file is held back at most, milliseconds: on a busy machine a program that makes, writes and closes one
 * is interrupted by others for tens of them, and what comes after the call that makes the file costs calls of its own.
 */
const HOLD_MS = 50;
/** So much time of being alone must be left for what is held back to arrive, milliseconds. */
const NEEDED_MS = 1000;
/** Files that are held back or on their way, at most. */
const MAX_CREATIONS = 256;

const SET_IDS = 0o6000;
const PLAIN = OPEN.read | OPEN.write | OPEN.create | OPEN.exclusive | OPEN.truncate;
const NEEDED = OPEN.write | OPEN.create;

type Request = RequestOf<'createFile'>;
type Result = CallResult<'createFile'>;

export interface RemoteCreationsOptions {
  readonly share: number;
  readonly cache: DirectoryCache;
  readonly order: ChangeOrder;
  readonly clock: Clock;
  readonly isLive: () => boolean;
  readonly send: (request: Request, payload: Uint8Array) => Promise<Result>;
  /** Nobody is left who waited for it. */
  readonly failed: (creation: Creation) => void;
}

/** Who opened the file. @param result of the call that made it. @param sentAt ChangeOrder.now of then. */
export type Adopt = (result: Result, sentAt: number) => void;

export class RemoteCreations {
  readonly #options: RemoteCreationsOptions;
  readonly #byPath = new Map<ByteString, Creation>();
  readonly #adopt = new Map<Creation, Adopt>();
  /** Names that calls of ours under way may make or remove, and how many such calls. */
  readonly #changing = new Map<ByteString, number>();
  #lastInode = randomBytes(8).readBigUInt64LE();
  #timer: Timer | undefined;

  constructor(options: RemoteCreationsOptions) {
    this.#options = options;
  }

  /** Whether a file may be made here first: nobody can be in the way, and the server will hardly refuse. */
  mayHold(path: ByteString, { flags, permissions }: OpenOptions): boolean {
    if ((flags & ~PLAIN) !== 0 || (flags & NEEDED) !== NEEDED || (permissions & SET_IDS) !== 0) return false;
    const { cache, isLive } = this.#options;
    if (cache.soleLeftMs(parentOf(path)) < NEEDED_MS || cache.get(path) !== null) return false;
    if (this.#byPath.size >= MAX_CREATIONS || this.#byPath.has(path) || !isLive()) return false;
    if (path.length > SHARE_PATH_MAX_BYTES || nameOf(path).length > NAME_MAX_BYTES) return false;
    return this.#changing.size === 0 || !this.#isChanging(path);
  }

  /** @param adopt called when the server has made it, before anything else is told of it. */
  hold(path: ByteString, options: OpenOptions, adopt: Adopt): Creation {
    const { clock } = this.#options;
    this.#lastInode = BigInt.asUintN(64, this.#lastInode + 1n);
    const { flags, permissions, uid, gid } = options;
    const kept = { flags, permissions, uid, gid };
    const creation = new Creation(path, kept, this.#lastInode, clock.now(), clock.wallMs());
    this.#byPath.set(path, creation);
    this.#adopt.set(creation, adopt);
    this.#timer ??= clock.after(HOLD_MS, () => this.#expired());
    return creation;
  }

  get isEmpty(): boolean {
    return this.#byPath.size === 0;
  }

  at(path: ByteString): Creation | undefined {
    return this.#byPath.size === 0 ? undefined : this.#byPath.get(path);
  }

  /** Sends it if that was not done. Settles when it is at the server. Rejects with what it failed with. */
  async made(creation: Creation): Promise<void> {
    await this.#settled(creation);
    if (creation.state === 'failed') throw creation.error;
  }

  /** Settles when what is held back at the path, above and below it is at the server or has failed. */
  settled(path: ByteString): Promise<unknown> | undefined {
    if (this.#byPath.size === 0) return undefined;
    const waiting: Promise<void>[] = [];
    for (const creation of [...this.#byPath.values()]) {
      if (isBelow(creation.path, path) || isBelow(path, creation.path)) waiting.push(this.#settled(creation));
    }
    return waiting.length === 0 ? undefined : Promise.all(waiting);
  }

  /** What has to arrive before a call is sent. */
  before<M extends CallName>(name: M, request: RequestOf<M>): Promise<unknown> | undefined {
    if (this.#byPath.size === 0 || name === 'createFile' || name === 'statfs') return undefined;
    const waiting: Promise<unknown>[] = [];
    for (const path of pathsOf(request)) {
      const settled = name === 'getattr' ? this.#settledAt(path) : this.settled(path);
      if (settled !== undefined) waiting.push(settled);
    }
    return waiting.length === 0 ? undefined : Promise.all(waiting);
  }

  /** Calls of ours that change names, while they run: what is known of those names is in doubt. */
  async changing<T>(request: object, run: () => Promise<T>): Promise<T> {
    const paths = pathsOf(request);
    for (const path of paths) this.#changing.set(path, (this.#changing.get(path) ?? 0) + 1);
    try {
      return await run();
    } finally {
      for (const path of paths) {
        const left = (this.#changing.get(path) ?? 1) - 1;
        if (left === 0) this.#changing.delete(path);
        else this.#changing.set(path, left);
      }
    }
  }

  /** A look at the path itself: a directory's files need not be there before it, only on their way. */
  #settledAt(path: ByteString): Promise<void> | undefined {
    for (const creation of [...this.#byPath.values()]) {
      if (creation.path !== path && parentOf(creation.path) === path) void this.#settled(creation);
    }
    const creation = this.#byPath.get(path) ?? this.#byPath.get(parentOf(path));
    return creation === undefined ? undefined : this.#settled(creation);
  }

  #isChanging(path: ByteString): boolean {
    for (const changing of this.#changing.keys()) if (isBelow(path, changing)) return true;
    return false;
  }

  #expired(): void {
    this.#timer = undefined;
    const { clock } = this.#options;
    const now = clock.now();
    for (const creation of [...this.#byPath.values()]) {
      if (creation.state !== 'held') continue;
      const leftMs = creation.heldAt + HOLD_MS - now;
      if (leftMs <= 0) void this.#settled(creation);
      else {
        this.#timer = clock.after(leftMs, () => this.#expired());
        return;
      }
    }
  }

  #settled(creation: Creation): Promise<void> {
    creation.settled ??= this.#send(creation);
    return creation.settled;
  }

  async #send(creation: Creation): Promise<void> {
    const { share, order, send } = this.#options;
    const { path, options, bytes, change } = creation;
    creation.state = 'sent';
    const { valid, mode, atimeSec, atimeNsec, mtimeSec, mtimeNsec } = setattrFields(change);
    const fields = { valid, mode, atimeSec, atimeNsec, mtimeSec, mtimeNsec };
    try {
      const sentAt = order.now;
      const result = await send({ share, path, ...options, ...fields }, bytes);
      creation.state = 'made';
      this.#byPath.delete(path);
      this.#adopt.get(creation)?.(result, sentAt);
    } catch (error) {
      creation.state = 'failed';
      creation.error =
        codeOf(error) === 'OUTCOME_UNKNOWN' ? new PeerfsError('EIO', 'outcome unknown', { cause: error }) : error;
      this.#byPath.delete(path);
      this.#options.failed(creation);
    } finally {
      this.#adopt.delete(creation);
    }
  }
}

const isBelow = (path: ByteString, top: ByteString) => top === ROOT || path === top || path.startsWith(`${top}/`);

type Naming = Partial<Pick<RequestOf<'rename'>, 'path' | 'newPath'> & Pick<RequestOf<'readFiles'>, 'directory'>>;
/** Every field of these names holds a path of the share. */
const isNaming = (request: object): request is Naming => 'path' in request || 'directory' in request;

/** The paths that a call names. */
function pathsOf(request: object): ByteString[] {
  if (!isNaming(request)) return [];
  const { path, newPath, directory } = request;
  return [path, newPath, directory].filter((one) => one !== undefined);
}
