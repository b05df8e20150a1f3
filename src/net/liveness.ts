/**
 * Liveness: when a path should ask its peer for a sign of life, and when to give it up. Pure.
 *
 * A peer counts as waited for while data or pings of ours are unanswered. Silence is measured from when the wait
 * began or the peer was last heard, whichever is later.
 */

/** An idle path asks this often. DESIGN section 4. Milliseconds. */
export const KEEPALIVE_MS = 15_000;
/** A peer that is waited for is asked after this silence, and then at this interval. Tuning, milliseconds. */
const ASK_AFTER_MS = 1_000;
const ASK_EVERY_MS = 500;
/** It is given up after this silence and so many unanswered pings: both, since our own process may have slept. */
const GIVE_UP_MS = 3_000;
const GIVE_UP_PINGS = 4;

export type Verdict = 'fine' | 'ask' | 'dead';

export class Liveness {
  lastHeardAt: number;
  #waitingSince: number | undefined;
  #pings = 0;
  #lastPingAt = -Infinity;

  constructor(now: number) {
    this.lastHeardAt = now;
  }

  /** The peer was heard. What is still unanswered counts from now: call waiting() again. */
  heard(now: number): void {
    this.lastHeardAt = now;
    this.#waitingSince = undefined;
    this.#pings = 0;
  }

  /** Something that wants an answer is under way. */
  waiting(now: number): void {
    this.#waitingSince ??= now;
  }

  /** A ping was sent. */
  asked(now: number): void {
    this.#pings++;
    this.#lastPingAt = now;
    this.waiting(now);
  }

  /** When judge() is due next. */
  get dueAt(): number {
    if (this.#waitingSince === undefined) return this.lastHeardAt + KEEPALIVE_MS;
    const silentSince = Math.max(this.#waitingSince, this.lastHeardAt);
    return Math.max(silentSince + ASK_AFTER_MS, this.#lastPingAt + ASK_EVERY_MS);
  }

  judge(now: number): Verdict {
    if (now < this.dueAt) return 'fine';
    const silentSince = Math.max(this.#waitingSince ?? now, this.lastHeardAt);
    const dead = now - silentSince >= GIVE_UP_MS && this.#pings >= GIVE_UP_PINGS;
    return dead && this.#waitingSince !== undefined ? 'dead' : 'ask';
  }
}
