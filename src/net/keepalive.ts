/**
 * Keepalive: how often an idle path to a peer asks for a sign of life, so that routers between the two keep their
 * bindings. Owns the interval and what is learned of it; does not own when a ping goes out (liveness.ts). Pure.
 *
 * A ping and its answer renew the bindings of both sides, and each counts from when it last heard the other: only the
 * side that has been idle longer asks. The interval is shortened when a pause turned out too long for a router: the peer
 * saw us come from another address after it, or nothing came through any more and yet the peer could be reached anew. It
 * is lengthened after many pauses that went well, more carefully after each time that this was a mistake.
 */

/** An idle path asks this often to begin with, and at most this seldom. DESIGN section 4. Milliseconds. */
export const KEEPALIVE_MOST_MS = 20_000;
/** RFC 4787, section 4.3 wants two minutes of routers; the worst seen are far below. Milliseconds. */
export const KEEPALIVE_LEAST_MS = 5_000;
/** Tuning. */
const SHORTEN = 0.5;
const LENGTHEN = 1.5;
/** Pauses in a row that went well before the interval is lengthened; twice as many after each mistake. */
const SUCCESSES = 20;
const SUCCESSES_MOST = 640;
/** A pause counts as one of the interval's length from this part of it on. */
const FULL_PART = 0.9;
/** A path lost after a pause, and a new one to the same peer within this time: the peer was there all along. */
const REACHED_AGAIN_MS = 30_000;
/** The new one may also be made before the old one is given up. */
const REACHED_BEFORE_MS = 10_000;
/** Peers that are remembered. */
const MAX_PEERS = 1024;

export class Keepalive {
  #intervalMs = KEEPALIVE_MOST_MS;
  #successes = 0;
  #needed = SUCCESSES;
  #lengthened = false;
  #lost: { readonly at: number; readonly pauseMs: number } | undefined;
  #reachedAt = Number.NEGATIVE_INFINITY;

  get intervalMs(): number {
    return this.#intervalMs;
  }

  /** After so long without a word the peer was asked, and answered. */
  survived(pauseMs: number): void {
    if (pauseMs < FULL_PART * this.#intervalMs || this.#intervalMs === KEEPALIVE_MOST_MS) return;
    this.#successes += 1;
    if (this.#successes < this.#needed) return;
    this.#successes = 0;
    this.#lengthened = true;
    this.#intervalMs = Math.min(KEEPALIVE_MOST_MS, this.#intervalMs * LENGTHEN);
  }

  /** After so long without a word the peer saw us come from another address: a router had forgotten us. */
  rebound(pauseMs: number): void {
    // A shorter pause is not a router's doing: we have moved.
    if (pauseMs < KEEPALIVE_LEAST_MS) return;
    if (this.#lengthened) this.#needed = Math.min(SUCCESSES_MOST, 2 * this.#needed);
    this.#lengthened = false;
    this.#successes = 0;
    this.#intervalMs = Math.max(KEEPALIVE_LEAST_MS, Math.min(this.#intervalMs, pauseMs) * SHORTEN);
  }

  /** After so long without a word the peer was asked and did not answer any more. */
  lost(pauseMs: number, now: number): void {
    if (now - this.#reachedAt <= REACHED_BEFORE_MS) this.rebound(pauseMs);
    else this.#lost = { at: now, pauseMs };
  }

  /** A new path to the peer was made. */
  reached(now: number): void {
    const lost = this.#lost;
    this.#lost = undefined;
    this.#reachedAt = now;
    if (lost !== undefined && now - lost.at <= REACHED_AGAIN_MS) this.rebound(lost.pauseMs);
  }
}

/** What was learned, by peer: paths come and go. */
export class Keepalives {
  readonly #byPeer = new Map<string, Keepalive>();

  /** @param key of the peer and the kind of path. */
  of(key: string): Keepalive {
    const found = this.#byPeer.get(key) ?? new Keepalive();
    // The one that was asked for last is forgotten last.
    this.#byPeer.delete(key);
    this.#byPeer.set(key, found);
    for (const oldest of this.#byPeer.keys()) {
      if (this.#byPeer.size <= MAX_PEERS) break;
      this.#byPeer.delete(oldest);
    }
    return found;
  }
}
