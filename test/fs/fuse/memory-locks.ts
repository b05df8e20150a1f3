/** A lock table as small as it can be: POSIX ranges and flock, waiting, interruption. */
import { PeerfsError } from '../../../src/errors.ts';
import type { InterruptSignal } from '../../../src/fs/kernel.ts';
import type { LockRange, LockRequest } from '../../../src/fs/tree.ts';

interface Waiter {
  readonly node: number;
  readonly request: LockRequest;
  readonly grant: () => void;
}

const UNLOCK = 2;
const overlaps = (a: LockRange, b: LockRange): boolean => a.start <= b.end && b.start <= a.end;

export class MemoryLocks {
  readonly #held = new Map<number, LockRequest[]>();
  #waiting: Waiter[] = [];

  conflict(node: number, wanted: LockRequest): LockRequest | undefined {
    return this.#of(node).find(
      (held) =>
        held.kind === wanted.kind &&
        held.owner !== wanted.owner &&
        (held.type === 1 || wanted.type === 1) &&
        (held.kind === 1 || overlaps(held, wanted)),
    );
  }

  async set(node: number, request: LockRequest, signal: InterruptSignal | undefined): Promise<void> {
    if (request.type === UNLOCK || this.conflict(node, request) === undefined) {
      this.#apply(node, request);
      return;
    }
    if (signal === undefined) throw new PeerfsError('EAGAIN');
    await new Promise<void>((grant, reject) => {
      const waiter = { node, request, grant };
      this.#waiting.push(waiter);
      signal.addEventListener('abort', () => {
        this.#waiting = this.#waiting.filter((other) => other !== waiter);
        reject(new PeerfsError('EINTR'));
      });
    });
  }

  dropOwner(node: number, owner: bigint): void {
    this.#held.set(
      node,
      this.#of(node).filter((held) => held.kind === 1 || held.owner !== owner),
    );
    this.#wake();
  }

  #of(node: number): LockRequest[] {
    return this.#held.get(node) ?? [];
  }

  #apply(node: number, request: LockRequest): void {
    const kept = this.#of(node).flatMap((held) => {
      if (held.kind !== request.kind || held.owner !== request.owner) return [held];
      if (held.kind === 1) return [];
      if (!overlaps(held, request)) return [held];
      return [
        { ...held, end: request.start - 1n },
        { ...held, start: request.end + 1n },
      ].filter((part) => part.start <= part.end);
    });
    this.#held.set(node, request.type === UNLOCK ? kept : [...kept, request]);
    this.#wake();
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const waiter of waiting) {
      if (this.conflict(waiter.node, waiter.request) !== undefined) this.#waiting.push(waiter);
      else {
        this.#apply(waiter.node, waiter.request);
        waiter.grant();
      }
    }
  }
}
