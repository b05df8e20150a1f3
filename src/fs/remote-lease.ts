/**
 * How long what a peer promised may be trusted, as the holder of the leases sees it. Owns time and order, not contents
 * (remote-cache.ts).
 *
 * Time: all leases of a peer live until leaseMs after the sending of the last call that it answered (it counts from
 * when it heard the call, which is later). Once that has passed they are gone for good, though later calls are
 * answered: the peer may have let others change things meanwhile. leaseMs is what the reply of the newest call said;
 * when that is shorter than before, renewal is asked for three times, so that the peer can count on it (lease-term.ts).
 *
 * Order: a reply may be overtaken by a recall. It carries the share's change number from before it was read; a recall
 * with a higher number that was seen is newer. Changes of our own are ordered by counting calls.
 */
import type { ByteString } from '../bytestring.ts';
import { parentOf } from '../bytestring.ts';
import type { Clock } from '../clock.ts';
import { RECALL } from '../wire/schema.ts';
import { CONFIRMATIONS } from './lease-term.ts';

/** Tuning. */
/** Taken off a lease: clocks of two machines do not run equally fast. */
const MARGIN_MS = 500;
/** With less than this part of a lease left, using it asks for renewal. */
const RENEW_PART = 0.5;
const REMEMBERED_CHANGES = 512;

/** The leases of one peer, in time. */
export class PeerLease {
  /** What was learned under a lower number is not to be trusted. */
  epoch = 1;
  readonly #clock: Clock;
  readonly #renew: () => Promise<void>;
  #leaseMs = 0;
  #sentAt = Number.NEGATIVE_INFINITY;
  #renewing = false;
  /** When the call was sent whose reply said leaseMs. */
  #learnedAt = Number.NEGATIVE_INFINITY;
  /** Renewals still to be asked for. */
  #toConfirm = 0;
  #soleEpoch = 1;
  /** The shortest that was told in this sole epoch. */
  #soleMs = 0;

  /** @param renew asks the peer, and tells what it says to heard() and learn() before it settles. */
  constructor(clock: Clock, renew: () => Promise<void>) {
    this.#clock = clock;
    this.#renew = renew;
  }

  /** A call sent at `sentAt` was answered. */
  heard(sentAt: number): void {
    if (this.#leaseMs > 0 && this.#clock.now() >= this.#endsAt()) this.epoch += 1;
    if (this.#soleMs > 0 && this.soleLeftMs() <= 0) this.endSole();
    if (sentAt > this.#sentAt) this.#sentAt = sentAt;
  }

  /** The peer's leases are this long, said the reply of a call sent at `sentAt`; 0 says nothing. */
  learn(leaseMs: number, sentAt: number): void {
    if (leaseMs <= 0 || sentAt < this.#learnedAt) return;
    this.#learnedAt = sentAt;
    const isShorter = leaseMs < this.#leaseMs;
    this.#leaseMs = leaseMs;
    if (!isShorter) return;
    // One that is under way may have been answered before.
    this.#toConfirm = CONFIRMATIONS + (this.#renewing ? 1 : 0);
    this.#renewSoon();
  }

  /** Milliseconds for which what was learned in `epoch` under a lease is good. */
  leftMs(epoch: number): number {
    if (epoch !== this.epoch) return 0;
    const left = this.#endsAt() - this.#clock.now();
    if (left <= 0) return 0;
    if (left < this.#leaseMs * RENEW_PART) this.#renewSoon();
    return left;
  }

  /** Being alone in a directory, learned in another sole epoch, is over. */
  get soleEpoch(): number {
    return this.#soleEpoch;
  }

  /** The peer promised for so long after the last call that it answers that we are alone in a directory. */
  learnSole(soleMs: number): void {
    this.#soleMs = this.#soleMs === 0 ? soleMs : Math.min(this.#soleMs, soleMs);
  }

  /** Milliseconds for which what was learned of being alone in this sole epoch is good; negative when it is over. */
  soleLeftMs(): number {
    return this.#sentAt + this.#soleMs - MARGIN_MS - this.#clock.now();
  }

  /** Nothing that was learned of being alone is to be relied on. */
  endSole(): void {
    this.#soleEpoch += 1;
    this.#soleMs = 0;
  }

  /** The peer restarted, or is gone. */
  end(): void {
    this.epoch += 1;
    this.endSole();
  }

  #endsAt(): number {
    return this.#sentAt + this.#leaseMs - MARGIN_MS;
  }

  #renewSoon(): void {
    if (this.#renewing) return;
    this.#renewing = true;
    this.#renew().then(
      () => {
        this.#renewing = false;
        this.#toConfirm -= 1;
        if (this.#toConfirm > 0) this.#renewSoon();
      },
      () => {
        this.#renewing = false;
        // The peer may count this one as confirmed: nothing learned before is good.
        if (this.#toConfirm > 0) this.end();
        this.#toConfirm = 0;
      },
    );
  }
}

interface SeenChange {
  readonly path: ByteString;
  readonly what: number;
  /** The server's number; undefined for a change of our own. */
  readonly change: number | undefined;
  /** A name in the directory `path`, by our own doing: replies to such changes say what became of the directory. */
  readonly isOwnName: boolean;
  readonly sequence: number;
}

/** What has changed lately in one share, to judge replies that were under way meanwhile. */
export class ChangeOrder {
  #sequence = 0;
  #seen: SeenChange[] = [];
  /** Changes up to here were forgotten. */
  #forgotten = 0;

  /** To be asked when a call is sent. */
  get now(): number {
    return this.#sequence;
  }

  saw(path: ByteString, what: number, change: number | undefined): void {
    this.#add(path, what, change, false);
  }

  /** We changed a name in the directory. */
  sawOwnName(directory: ByteString): void {
    this.#add(directory, RECALL.attributes, undefined, true);
  }

  /**
   * Whether the path still stands for what a reply says: others did nothing to it or its directory, and no name on the
   * way was made, moved or removed by us. Our own writing does not count.
   */
  isNameCurrent(path: ByteString, sentAt: number, change: number): boolean {
    const counts = ({ change: by, what }: SeenChange) => by !== undefined || (what & RECALL.subtree) !== 0;
    return this.#holds(sentAt, change, (seen) => counts(seen) && touches(seen, path));
  }

  #add(path: ByteString, what: number, change: number | undefined, isOwnName: boolean): void {
    this.#sequence += 1;
    this.#seen.push({ path, what, change, isOwnName, sequence: this.#sequence });
    if (this.#seen.length > REMEMBERED_CHANGES) this.#forgotten = this.#seen.shift()?.sequence ?? this.#forgotten;
  }

  /**
   * Whether what a reply says of `path` still held when all changes seen so far were made.
   * @param sentAt `now` from when the call was sent.
   * @param change number in the reply; undefined for a failure, which carries none.
   */
  isCurrent(path: ByteString, sentAt: number, change: number | undefined): boolean {
    return this.#holds(sentAt, change, (seen) => touches(seen, path));
  }

  /** The same of all names in a directory and their attributes. */
  isListingCurrent(directory: ByteString, sentAt: number, change: number): boolean {
    return this.#holds(sentAt, change, (seen) => touches(seen, directory) || parentOf(seen.path) === directory);
  }

  /** The same of its names alone. */
  areNamesCurrent(directory: ByteString, sentAt: number, change: number): boolean {
    const isOfNames = ({ what }: SeenChange) => (what & (RECALL.entries | RECALL.subtree)) !== 0;
    return this.#holds(
      sentAt,
      change,
      (seen) => isOfNames(seen) && (touches(seen, directory) || parentOf(seen.path) === directory),
    );
  }

  /** The same of what the reply to a change of names says of their directory: others of our own do not count. */
  isDirectoryCurrent(directory: ByteString, sentAt: number, change: number): boolean {
    return this.#holds(sentAt, change, (seen) => !seen.isOwnName && touches(seen, directory));
  }

  #holds(sentAt: number, change: number | undefined, concerns: (seen: SeenChange) => boolean): boolean {
    if (sentAt === this.#sequence) return true;
    if (sentAt < this.#forgotten) return false;
    for (let index = this.#seen.length - 1; index >= 0; index--) {
      const seen = this.#seen[index];
      if (seen === undefined || seen.sequence <= sentAt) break;
      if (seen.change !== undefined && change !== undefined && seen.change <= change) continue;
      if (concerns(seen)) return false;
    }
    return true;
  }
}

/** Directories whose newest state is remembered, at most. */
const MAX_DIRECTORIES = 1024;

/** What the server says of directories after our changes comes in any order: which of it is the newest. */
export class DirectoryOrder {
  readonly #newest = new Map<ByteString, number>();
  #highest = 0;
  /** Of directories that were forgotten. */
  #floor = 0;

  /** @param order the server's number. @returns whether nothing newer of the directory was heard. */
  isNewest(directory: ByteString, order: number): boolean {
    if (order <= (this.#newest.get(directory) ?? this.#floor)) return false;
    if (this.#newest.size >= MAX_DIRECTORIES) {
      this.#newest.clear();
      this.#floor = this.#highest;
    }
    this.#highest = Math.max(this.#highest, order);
    this.#newest.set(directory, order);
    return true;
  }

  /** The server is another one now, which counts anew. */
  clear(): void {
    this.#newest.clear();
    this.#highest = 0;
    this.#floor = 0;
  }
}

function touches({ path: changed, what }: SeenChange, path: ByteString): boolean {
  if (changed === path) return true;
  if ((what & RECALL.entries) !== 0 && parentOf(path) === changed) return true;
  return (what & RECALL.subtree) !== 0 && (changed === '' || path.startsWith(`${changed}/`));
}
