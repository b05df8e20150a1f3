/**
 * The mailbox: places at this node where two of its peers leave sealed signals for each other, for when they have no
 * path between them (common-peers.ts is the side that leaves and watches). Owns what lies where, for how long, and who
 * is told. Does not own what a value says: it can neither check nor open one. In memory only; a new boot begins empty,
 * and those who are concerned leave everything again.
 *
 * A place belongs to whoever knows its name: 32 bytes that nobody guesses and that only the two can compute, so there is
 * nothing to prove. Each peer has one value at a place, and what it leaves replaces that one alone: even who learns of a
 * place can take away nothing that another left there. Readers get the newest left by another; that one is forged or
 * old they see for themselves.
 */
import { fromBytes } from '../bytestring.ts';
import type { Clock, Timer } from '../clock.ts';
import { PeerfsError } from '../errors.ts';
import { LIMITS, type MailboxCall, type RequestOf } from '../wire/schema.ts';
import type { Handlers } from './channel.ts';
import { createRateLimit } from './rate-limit.ts';

/** Tuning. */
/** A signal lies in the place of its hour; the other side looks there until its neighbour is over. Milliseconds. */
export const LEFT_LIFE_MS = 2 * 3600_000;
const SWEEP_EVERY_MS = 10 * 60_000;
/** Places at which one peer has a value: a third as many pairs, each with a place an hour for two hours and a bit. */
export const MAX_LEFT_PER_PEER = 256;
/** Values of all peers: 8 MiB. */
export const MAX_LEFT = 8192;
/** Values that one peer may leave, and lists that it may watch, in a burst and a second. */
const LEAVE_BURST = 512;
const LEAVE_PER_SECOND = 4;
const WATCH_BURST = 32;
const WATCH_PER_SECOND = 1;
/** All peers together may do so many times as much. */
const ALL_PEERS = 8;

export interface MailboxOptions {
  readonly clock: Clock;
  /** Whether this peer may leave and watch. */
  readonly allowed: (peerId: string) => boolean;
}

/** Counted since the mailbox was made. */
export interface MailboxCounters {
  /** Values that were new. */
  left: number;
  /** Told to peers that watch. */
  told: number;
  /** Calls of peers that may not. */
  refused: number;
  /** Calls that came too often. */
  limited: number;
  /** Values that made room for others before their time. */
  evicted: number;
}

export interface Mailbox {
  readonly counters: Readonly<MailboxCounters>;
  /** Values that lie here. */
  readonly size: number;
  /** A peer's door; at most one at a time for each. `push` may be called until it is closed. */
  open(peerId: string, push: (left: RequestOf<'signalLeft'>) => void): MailboxDoor;
}

export interface MailboxDoor {
  /** Reject with EACCES and OVERLOADED. */
  readonly handlers: Pick<Handlers, MailboxCall>;
  /** Takes away what the peer left and ends its watching. Idempotent. */
  close(): void;
}

interface Left {
  readonly key: string;
  readonly place: Uint8Array;
  readonly value: Uint8Array;
  readonly at: number;
  /** Rises with each value that is left. */
  readonly order: number;
}

interface Door {
  readonly peerId: string;
  readonly push: (left: RequestOf<'signalLeft'>) => void;
  /** By place, the oldest first. */
  readonly left: Map<string, Left>;
  watched: ReadonlySet<string>;
  watchedAt: number;
}

export function createMailbox({ clock, allowed }: MailboxOptions): Mailbox {
  const counters: MailboxCounters = { left: 0, told: 0, refused: 0, limited: 0, evicted: 0 };
  const doors = new Set<Door>();
  const leaving = limit(clock, LEAVE_PER_SECOND, LEAVE_BURST);
  const watching = limit(clock, WATCH_PER_SECOND, WATCH_BURST);
  let size = 0;
  let order = 0;
  let sweeping: Timer | undefined;

  const remove = (door: Door, key: string): void => {
    if (door.left.delete(key)) size -= 1;
  };

  const removeExpired = (door: Door): void => {
    const now = clock.now();
    for (const { key, at } of door.left.values()) {
      if (now - at < LEFT_LIFE_MS) break;
      remove(door, key);
    }
    if (now - door.watchedAt >= LEFT_LIFE_MS) door.watched = new Set();
  };

  const removeOldest = (door: Door): void => {
    for (const key of door.left.keys()) {
      remove(door, key);
      counters.evicted += 1;
      return;
    }
  };

  /** Those who leave most make room, so that nobody can drive out others' values by leaving many. */
  const makeRoom = (door: Door): void => {
    while (door.left.size > MAX_LEFT_PER_PEER) removeOldest(door);
    while (size > MAX_LEFT) {
      let fullest = door;
      for (const other of doors) if (other.left.size > fullest.left.size) fullest = other;
      removeOldest(fullest);
    }
  };

  const expiredSweep = (): void => {
    sweeping = undefined;
    for (const door of doors) removeExpired(door);
    sweepLater();
  };
  const sweepLater = (): void => {
    if (size > 0) sweeping ??= clock.after(SWEEP_EVERY_MS, expiredSweep);
  };

  /** @throws EACCES, OVERLOADED */
  const admit = (door: Door, rate: typeof leaving): void => {
    if (!doors.has(door) || !allowed(door.peerId)) {
      counters.refused += 1;
      throw new PeerfsError('EACCES', 'no mailbox for this peer');
    }
    if (rate.take(door.peerId)) return;
    counters.limited += 1;
    throw new PeerfsError('OVERLOADED', 'the mailbox is used too often');
  };

  /** The newest that another than `reader` left there. */
  const newest = (reader: Door, key: string): Left | undefined => {
    let found: Left | undefined;
    for (const door of doors) {
      const left = door === reader ? undefined : door.left.get(key);
      if (left !== undefined && left.order > (found?.order ?? -1) && clock.now() - left.at < LEFT_LIFE_MS) found = left;
    }
    return found;
  };

  const leave = (door: Door, place: Uint8Array, value: Uint8Array): void => {
    admit(door, leaving);
    removeExpired(door);
    const key = fromBytes(place);
    const before = door.left.get(key);
    remove(door, key);
    // The request is a view of its frame, which is longer.
    const left = {
      key,
      place: Uint8Array.from(place),
      value: Uint8Array.from(value),
      at: clock.now(),
      order: (order += 1),
    };
    door.left.set(key, left);
    size += 1;
    makeRoom(door);
    sweepLater();
    if (before !== undefined && Buffer.from(before.value).equals(left.value)) return;
    counters.left += 1;
    for (const other of doors) {
      if (other === door || !other.watched.has(key)) continue;
      counters.told += 1;
      other.push({ place: left.place, value: left.value });
    }
  };

  const watch = (door: Door, places: readonly { readonly place: Uint8Array }[]): RequestOf<'signalLeft'>[] => {
    admit(door, watching);
    door.watched = new Set(places.slice(0, LIMITS.watchedPlaces).map(({ place }) => fromBytes(place)));
    door.watchedAt = clock.now();
    return [...door.watched].flatMap((key) => {
      const left = newest(door, key);
      return left === undefined ? [] : [{ place: left.place, value: left.value }];
    });
  };

  return {
    counters,
    get size() {
      return size;
    },
    open(peerId, push) {
      const door: Door = { peerId, push, left: new Map(), watched: new Set(), watchedAt: clock.now() };
      doors.add(door);
      return {
        handlers: {
          leaveSignal: async ({ place, value }) => {
            leave(door, place, value);
            return { reply: {} };
          },
          watchSignals: async ({ places }) => ({ reply: { signals: watch(door, places) } }),
        },
        close() {
          doors.delete(door);
          for (const key of [...door.left.keys()]) remove(door, key);
          door.watched = new Set();
          if (size > 0) return;
          sweeping?.cancel();
          sweeping = undefined;
        },
      };
    },
  };
}

function limit(clock: Clock, perSecond: number, burst: number): ReturnType<typeof createRateLimit> {
  return createRateLimit({
    clock,
    perSecond,
    burst,
    totalPerSecond: ALL_PEERS * perSecond,
    totalBurst: ALL_PEERS * burst,
  });
}
