/**
 * The lock table of one tree: POSIX byte ranges and flock locks of all its callers, who waits for which, and who
 * would wait for ever (EDEADLK). Pure but for the LockBackend, through which the locks are also shown to programs of
 * this machine. Semantics follow fcntl(2) and flock(2).
 *
 * Does not own: files and handles (keys and numbers here), whose owner numbers those are (the caller makes them
 * unique), or how a caller's death is noticed (it then calls releaseHandle).
 */
import { systemClock, type Clock, type Timer } from '../clock.ts';
import { PeerfsError } from '../errors.ts';
import { LOCK_KIND, LOCK_TYPE } from '../wire/schema.ts';
import type { Handle, LockRange, LockRequest } from './tree.ts';

/** How often a lock that a program of this machine holds is tried again, milliseconds: doubling from first to last. */
const RETRY_MS = { first: 10, last: 500 } as const;

/** Tuning: locks of one caller in one tree (POSIX ranges and flock together), and those that it waits for. */
export const LOCKS_PER_CALLER = 4096;
export const WAITING_PER_CALLER = 256;

/** Callers of a tree tell their owners apart by what is above 64 bits (src/fs/served-peer.ts). */
const callerOf = (owner: bigint): bigint => owner >> 64n;

export interface PosixLock extends LockRange {
  readonly handle: Handle;
}

/** A range and the strongest lock that anyone in the table has on it. */
export interface UnionRange {
  readonly type: number;
  readonly start: bigint;
  readonly end: bigint;
}

/** Where locks become visible outside the table. Nothing here may block. */
export interface LockBackend {
  /**
   * Makes the outside see these ranges (which tile the range that changed) instead of what it saw of them.
   * @returns false if somebody outside is in the way; then nothing has changed.
   */
  setRanges(file: string, handle: Handle, ranges: readonly UnionRange[], before: readonly UnionRange[]): boolean;
  /** @returns false if somebody outside is in the way. */
  setFlock(handle: Handle, type: number): boolean;
  /** The first lock outside the table that is in the way. */
  test(file: string, handle: Handle, range: LockRange): LockRange | undefined;
  /** No POSIX lock is left on the file. */
  forget(file: string): void;
}

const NO_BACKEND: LockBackend = {
  setRanges: () => true,
  setFlock: () => true,
  test: () => undefined,
  forget: () => undefined,
};

interface Waiter {
  readonly file: string;
  readonly handle: Handle;
  readonly request: LockRequest;
  readonly settle: (error?: PeerfsError) => void;
}

interface FileLocks {
  posix: PosixLock[];
  readonly flocks: Map<bigint, { type: number; handle: Handle }>;
  waiters: Waiter[];
  retry: Timer | undefined;
  retryMs: number;
}

const overlap = (a: { start: bigint; end: bigint }, b: { start: bigint; end: bigint }) =>
  a.start <= b.end && b.start <= a.end;
const clash = (a: number, b: number) => a === LOCK_TYPE.write || b === LOCK_TYPE.write;

/** `locks` after `request`: the owner's own ranges are cut, replaced, and joined where they touch. */
export function applyRange(locks: readonly PosixLock[], handle: Handle, request: LockRange): PosixLock[] {
  const { owner, type, pid } = request;
  let { start, end } = request;
  const kept: PosixLock[] = [];
  for (const lock of locks) {
    if (lock.owner !== owner) {
      kept.push(lock);
    } else if (lock.type === type && lock.start <= end + 1n && start <= lock.end + 1n) {
      if (lock.start < start) start = lock.start;
      if (lock.end > end) end = lock.end;
    } else if (!overlap(lock, request)) {
      kept.push(lock);
    } else {
      if (lock.start < request.start) kept.push({ ...lock, end: request.start - 1n });
      if (lock.end > request.end) kept.push({ ...lock, start: request.end + 1n });
    }
  }
  if (type !== LOCK_TYPE.unlock) kept.push({ owner, type, start, end, pid, handle });
  return kept.sort((a, b) => (a.start < b.start ? -1 : a.start > b.start ? 1 : 0));
}

/** The strongest lock on each part of `start` to `end`, as ranges that tile it. */
export function unionOf(locks: readonly PosixLock[], start: bigint, end: bigint): UnionRange[] {
  /** Where locks begin (1) and end (-1), so that a long list is gone through once. */
  const turns: { at: bigint; isWrite: boolean; step: 1 | -1 }[] = [];
  for (const lock of locks) {
    if (!overlap(lock, { start, end })) continue;
    const isWrite = lock.type === LOCK_TYPE.write;
    turns.push({ at: lock.start < start ? start : lock.start, isWrite, step: 1 });
    if (lock.end < end) turns.push({ at: lock.end + 1n, isWrite, step: -1 });
  }
  turns.sort((a, b) => (a.at < b.at ? -1 : a.at > b.at ? 1 : 0));
  const ranges: UnionRange[] = [];
  let from = start;
  let writes = 0;
  let reads = 0;
  const tile = (to: bigint) => {
    if (to < from) return;
    const type = writes > 0 ? LOCK_TYPE.write : reads > 0 ? LOCK_TYPE.read : LOCK_TYPE.unlock;
    const last = ranges.at(-1);
    if (last?.type === type) ranges[ranges.length - 1] = { ...last, end: to };
    else ranges.push({ type, start: from, end: to });
    from = to + 1n;
  };
  for (const { at, isWrite, step } of turns) {
    tile(at - 1n);
    if (isWrite) writes += step;
    else reads += step;
  }
  tile(end);
  return ranges;
}

export class LockTable {
  readonly #files = new Map<string, FileLocks>();
  readonly #clock: Clock;
  readonly #backend: LockBackend;
  /** How many locks each caller has. */
  readonly #held = new Map<bigint, number>();
  readonly #waiting = new Map<bigint, number>();

  constructor(clock: Clock = systemClock, backend: LockBackend = NO_BACKEND) {
    this.#clock = clock;
    this.#backend = backend;
  }

  /**
   * Takes, changes or drops a lock.
   * @param file the same text for the same inode.
   * @throws PeerfsError EAGAIN at a conflict without `waiting`; EDEADLK; EINTR when `waiting` aborts; EBADF when the
   *   handle is released meanwhile; ENOLCK when the caller has too many.
   */
  lock(file: string, handle: Handle, request: LockRequest, waiting?: AbortSignal): Promise<void> {
    const isRange = request.kind === LOCK_KIND.posix;
    if (isRange && (request.end < request.start || request.start < 0n)) {
      return Promise.reject(new PeerfsError('EINVAL', 'a lock that ends before it starts'));
    }
    try {
      if (this.#try(file, handle, request)) {
        this.#wake(file);
        return Promise.resolve();
      }
    } catch (error) {
      this.#tidy(file);
      return Promise.reject(error instanceof PeerfsError ? error : new PeerfsError('EIO', 'lock', { cause: error }));
    }
    if (waiting === undefined) {
      this.#tidy(file);
      return Promise.reject(new PeerfsError('EAGAIN', 'the lock is held by another'));
    }
    if (waiting.aborted) return Promise.reject(new PeerfsError('EINTR'));
    if (isRange && this.#wouldDeadlock(file, request)) return Promise.reject(new PeerfsError('EDEADLK'));
    if ((this.#waiting.get(callerOf(request.owner)) ?? 0) >= WAITING_PER_CALLER) {
      return Promise.reject(new PeerfsError('ENOLCK', 'too many waits for locks'));
    }
    return this.#wait(file, handle, request, waiting);
  }

  /** The first POSIX lock in the way of `range`. */
  test(file: string, handle: Handle, range: LockRange): LockRange | undefined {
    const held = this.#files.get(file)?.posix.find((lock) => inTheWay(lock, range));
    return held ?? this.#backend.test(file, handle, range);
  }

  /** Drops all POSIX locks that `owner` has on the file (a descriptor of it was closed). */
  releaseOwner(file: string, owner: bigint): void {
    const locks = this.#files.get(file);
    if (locks === undefined) return;
    for (const lock of locks.posix.filter((held) => held.owner === owner)) this.#drop(file, lock);
    this.#wake(file);
  }

  /** Drops what was taken through the handle and ends its waiting. */
  releaseHandle(file: string, handle: Handle): void {
    const locks = this.#files.get(file);
    if (locks === undefined) return;
    for (const waiter of locks.waiters.filter((one) => one.handle === handle)) waiter.settle(new PeerfsError('EBADF'));
    for (const lock of locks.posix.filter((held) => held.handle === handle)) this.#drop(file, lock);
    for (const [owner, held] of [...locks.flocks]) {
      if (held.handle === handle && locks.flocks.delete(owner)) this.#count(this.#held, owner, -1);
    }
    this.#wake(file);
  }

  close(): void {
    for (const locks of [...this.#files.values()]) {
      locks.retry?.cancel();
      for (const waiter of [...locks.waiters]) waiter.settle(new PeerfsError('EBADF'));
    }
    this.#files.clear();
    this.#held.clear();
  }

  #locksOf(file: string): FileLocks {
    let locks = this.#files.get(file);
    if (locks === undefined) {
      locks = { posix: [], flocks: new Map(), waiters: [], retry: undefined, retryMs: RETRY_MS.first };
      this.#files.set(file, locks);
    }
    return locks;
  }

  #drop(file: string, lock: PosixLock): void {
    this.#try(file, lock.handle, { ...lock, kind: LOCK_KIND.posix, type: LOCK_TYPE.unlock });
  }

  /** Does it at once if nothing is in the way. */
  #try(file: string, handle: Handle, request: LockRequest): boolean {
    const locks = this.#locksOf(file);
    if (request.kind === LOCK_KIND.flock) {
      const other = [...locks.flocks].some(
        ([owner, held]) => owner !== request.owner && clash(held.type, request.type),
      );
      if (request.type !== LOCK_TYPE.unlock && other) return false;
      const isNew = request.type !== LOCK_TYPE.unlock && !locks.flocks.has(request.owner);
      if (isNew) this.#checkRoom(request.owner, 1);
      if (!this.#backend.setFlock(handle, request.type)) return false;
      if (isNew) this.#count(this.#held, request.owner, 1);
      if (request.type !== LOCK_TYPE.unlock) locks.flocks.set(request.owner, { type: request.type, handle });
      else if (locks.flocks.delete(request.owner)) this.#count(this.#held, request.owner, -1);
      return true;
    }
    if (request.type !== LOCK_TYPE.unlock && locks.posix.some((lock) => inTheWay(lock, request))) return false;
    const after = applyRange(locks.posix, handle, request);
    const more = after.length - locks.posix.length;
    if (more > 0) this.#checkRoom(request.owner, more);
    const before = unionOf(locks.posix, request.start, request.end);
    if (!this.#backend.setRanges(file, handle, unionOf(after, request.start, request.end), before)) return false;
    this.#count(this.#held, request.owner, more);
    locks.posix = after;
    if (after.length === 0) this.#backend.forget(file);
    return true;
  }

  /** @throws ENOLCK */
  #checkRoom(owner: bigint, more: number): void {
    if ((this.#held.get(callerOf(owner)) ?? 0) + more > LOCKS_PER_CALLER) {
      throw new PeerfsError('ENOLCK', 'too many locks');
    }
  }

  #count(counts: Map<bigint, number>, owner: bigint, more: number): void {
    const caller = callerOf(owner);
    const count = (counts.get(caller) ?? 0) + more;
    if (count > 0) counts.set(caller, count);
    else counts.delete(caller);
  }

  #wait(file: string, handle: Handle, request: LockRequest, waiting: AbortSignal): Promise<void> {
    const locks = this.#locksOf(file);
    return new Promise((resolve, reject) => {
      const aborted = () => waiter.settle(new PeerfsError('EINTR'));
      const waiter: Waiter = {
        file,
        handle,
        request,
        settle: (error) => {
          waiting.removeEventListener('abort', aborted);
          if (locks.waiters.includes(waiter)) this.#count(this.#waiting, request.owner, -1);
          locks.waiters = locks.waiters.filter((other) => other !== waiter);
          if (error === undefined) resolve();
          else reject(error);
        },
      };
      waiting.addEventListener('abort', aborted);
      locks.waiters.push(waiter);
      this.#count(this.#waiting, request.owner, 1);
      this.#retryLater(file, locks);
    });
  }

  /** Grants what can be granted, in the order of asking. */
  #wake(file: string): void {
    const locks = this.#files.get(file);
    if (locks === undefined) return;
    for (const waiter of [...locks.waiters]) {
      try {
        if (this.#try(file, waiter.handle, waiter.request)) waiter.settle();
      } catch (error) {
        waiter.settle(error instanceof PeerfsError ? error : new PeerfsError('EIO', 'lock', { cause: error }));
      }
    }
    if (locks.waiters.length > 0) {
      this.#retryLater(file, locks);
      return;
    }
    locks.retry?.cancel();
    locks.retry = undefined;
    locks.retryMs = RETRY_MS.first;
    this.#tidy(file);
  }

  #tidy(file: string): void {
    const locks = this.#files.get(file);
    if (locks === undefined || locks.posix.length > 0 || locks.flocks.size > 0 || locks.waiters.length > 0) return;
    this.#files.delete(file);
  }

  /** Nobody tells when a program of this machine drops its lock. */
  #retryLater(file: string, locks: FileLocks): void {
    if (locks.retry !== undefined || this.#backend === NO_BACKEND) return;
    locks.retry = this.#clock.after(locks.retryMs, () => {
      locks.retry = undefined;
      locks.retryMs = Math.min(locks.retryMs * 2, RETRY_MS.last);
      this.#wake(file);
    });
  }

  /** Whether somebody whom the request would wait for waits, in the end, for its owner. */
  #wouldDeadlock(file: string, request: LockRequest): boolean {
    const seen = new Set<bigint>();
    const ahead = this.#holdersOf(file, request);
    for (let owner = ahead.pop(); owner !== undefined; owner = ahead.pop()) {
      if (owner === request.owner) return true;
      if (seen.has(owner)) continue;
      seen.add(owner);
      for (const locks of this.#files.values()) {
        for (const waiter of locks.waiters) {
          if (waiter.request.owner === owner && waiter.request.kind === LOCK_KIND.posix) {
            ahead.push(...this.#holdersOf(waiter.file, waiter.request));
          }
        }
      }
    }
    return false;
  }

  #holdersOf(file: string, request: LockRange): bigint[] {
    const locks = this.#files.get(file)?.posix ?? [];
    return locks.filter((lock) => inTheWay(lock, request)).map((lock) => lock.owner);
  }
}

function inTheWay(held: PosixLock, asked: LockRange): boolean {
  return held.owner !== asked.owner && overlap(held, asked) && clash(held.type, asked.type);
}
