/**
 * Requests that the kernel waits for, and their interruption.
 *
 * The kernel sends INTERRUPT for any signal that the caller catches, once. A wait for a lock ends at any; other
 * requests end only for signals that mean it, which is looked up at the caller, again and again while he waits.
 *
 * It sends none for the FLUSH of a file that a process closes by dying, and keeps the process until it is answered: so
 * callers of FLUSH are looked at without it.
 */
import type { Clock } from '../../clock.ts';
import { PeerfsError } from '../../errors.ts';
import { OPCODE } from './protocol.ts';
import type { FuseRequest } from './request.ts';

const LOOK_AGAIN_MS = 100;
/** How long the file system may take to end a request that was aborted before we answer for it. */
const GRACE_MS = 50;

export interface PendingOptions {
  readonly clock: Clock;
  /** Whether a thread has been told to end (src/sys/pending-signals.ts). */
  readonly hasEndingSignal: (thread: number) => boolean;
  /** Whether a signal has ended a thread (same). */
  readonly isDying: (thread: number) => boolean;
  /** Answers a request with an error. */
  readonly fail: (request: FuseRequest, error: PeerfsError) => void;
}

export class PendingRequests {
  readonly #options: PendingOptions;
  readonly #requests = new Map<number, FuseRequest>();
  #watchesFlushes = false;

  constructor(options: PendingOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#requests.size;
  }

  add(request: FuseRequest): void {
    this.#requests.set(request.unique, request);
    if (request.opcode === OPCODE.FLUSH && !this.#watchesFlushes) this.#watchFlushes();
  }

  delete(request: FuseRequest): void {
    this.#requests.delete(request.unique);
  }

  /** @param unique of the request that is to be interrupted. @returns false if it is not known (any more). */
  interrupt(unique: number): boolean {
    const request = this.#requests.get(unique);
    if (request === undefined) return false;
    this.#look(request);
    return true;
  }

  /** Ends all of them with this error, at once. */
  failAll(error: PeerfsError): void {
    for (const request of [...this.#requests.values()]) {
      request.abort();
      this.#options.fail(request, error);
    }
  }

  #watchFlushes(): void {
    this.#watchesFlushes = true;
    this.#options.clock.after(LOOK_AGAIN_MS, () => {
      this.#watchesFlushes = false;
      const flushes = [...this.#requests.values()].filter(({ opcode }) => opcode === OPCODE.FLUSH);
      for (const request of flushes) if (!request.aborted && this.#options.isDying(request.pid)) this.#end(request);
      if (flushes.some(({ aborted }) => !aborted)) this.#watchFlushes();
    });
  }

  #look(request: FuseRequest): void {
    if (request.answered) return;
    if (request.opcode !== OPCODE.SETLKW && !this.#options.hasEndingSignal(request.pid)) {
      this.#options.clock.after(LOOK_AGAIN_MS, () => this.#look(request));
      return;
    }
    this.#end(request);
  }

  #end(request: FuseRequest): void {
    request.abort();
    this.#options.clock.after(GRACE_MS, () => {
      if (!request.answered) this.#options.fail(request, new PeerfsError('EINTR'));
    });
  }
}
