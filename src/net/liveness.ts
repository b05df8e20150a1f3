/**
 * Liveness: when a path should ask its peer for a sign of life, and when to give it up. Pure.
 *
 * A peer counts as waited for while data or pings of ours are unanswered. Silence is measured from when the wait
 * began or the peer was last heard, whichever is later.
 */
import { Keepalive } from './keepalive.ts';

/** A peer that is waited for is asked after this silence, and then at this interval. Tuning, milliseconds. */
const ASK_AFTER_MS = 1_000;
const ASK_EVERY_MS = 500;
/**
 * A peer that was at work and falls silent is asked once, this much later: if it was cut off in the middle and comes
 * back elsewhere, it is looked for by then.
 */
const QUIET_MS = 2_000;
/**
 * Each time it is asked more often at once, up to so often: where much is lost, and more so where many are lost in a row, a
 * few small packets would say little of whether it lives.
 */
const MORE_PINGS = 2;
const MOST_PINGS = 8;
/** It is given up after this silence and so many unanswered pings: both, since our own process may have slept. */
const GIVE_UP_MS = 3_000;
const GIVE_UP_PINGS = 4;

export type Verdict = 'fine' | 'ask' | 'dead';

export class Liveness {
  lastHeardAt: number;
  readonly #keepalive: Keepalive;
  #waitingSince: number | undefined;
  #pings = 0;
  #lastPingAt = -Infinity;
  /** How long nothing had been heard when the wait began. */
  #pauseMs = 0;
  /** What was heard last was data. */
  #busy = false;

  constructor(now: number, keepalive = new Keepalive()) {
    this.lastHeardAt = now;
    this.#keepalive = keepalive;
  }

  /**
   * The peer was heard. What is still unanswered counts from now: call waiting() again.
   * @param isData it is at work: what came is more than a sign of life.
   */
  heard(now: number, isData = false): void {
    this.#busy = isData;
    if (this.#pings > 0) this.#keepalive.survived(this.#pauseMs);
    this.lastHeardAt = now;
    this.#waitingSince = undefined;
    this.#pings = 0;
  }

  /** The peer was heard, and asks whether it is us who comes from another address. */
  challenged(now: number): void {
    const pauseMs = this.#waitingSince === undefined ? now - this.lastHeardAt : this.#pauseMs;
    this.#pings = 0;
    this.#keepalive.rebound(pauseMs);
    this.heard(now);
  }

  /** Something that wants an answer is under way. */
  waiting(now: number): void {
    if (this.#waitingSince !== undefined) return;
    this.#waitingSince = now;
    this.#pauseMs = now - this.lastHeardAt;
  }

  /** A ping was sent. */
  asked(now: number): void {
    this.#pings++;
    this.#lastPingAt = now;
    this.waiting(now);
  }

  /** How many pings go out when it is asked now. */
  get pingsAtOnce(): number {
    return Math.min(MOST_PINGS, 1 + MORE_PINGS * this.#pings);
  }

  /** When judge() is due next. */
  get dueAt(): number {
    if (this.#waitingSince === undefined)
      return this.lastHeardAt + (this.#busy ? QUIET_MS : this.#keepalive.intervalMs);
    const silentSince = Math.max(this.#waitingSince, this.lastHeardAt);
    const askAt = Math.max(silentSince + ASK_AFTER_MS, this.#lastPingAt + ASK_EVERY_MS);
    // Others may have it asked more often: that does not put off the end.
    return this.#pings >= GIVE_UP_PINGS ? Math.min(askAt, silentSince + GIVE_UP_MS) : askAt;
  }

  /** 'dead' is said once: the path is to be given up. */
  judge(now: number): Verdict {
    if (now < this.dueAt) return 'fine';
    const silentSince = Math.max(this.#waitingSince ?? now, this.lastHeardAt);
    const dead = now >= silentSince + GIVE_UP_MS && this.#pings >= GIVE_UP_PINGS;
    if (!dead || this.#waitingSince === undefined) return 'ask';
    this.#keepalive.lost(this.#pauseMs, now);
    return 'dead';
  }
}
