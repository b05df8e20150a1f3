/**
 * Silence: how long a peer has said nothing while it should have, and what that means. Counts in ticks that the
 * channel gives it, and acts on nothing.
 */
import type { ChannelPath } from './channel-path.ts';
import type { ChannelPaths } from './channel-paths.ts';

/** DESIGN of the states: silence that ends a first call, milliseconds. */
const FIRST_TOUCH_MS = 1_500;
/** A first call waits for at least so many round trips. */
const FIRST_TOUCH_ROUND_TRIPS = 4;

/** Tuning, milliseconds. */
/** Silence with calls in flight after which the path is asked for a sign of life, and again this often. */
const PROBE_AFTER_MS = 500;
/** Silence with calls in flight after which a path is used only when there is no other. */
const SUSPECT_AFTER_MS = 4_000;
/** The same where another path answers. */
const LEAVE_AFTER_MS = 2_000;

export type SilenceVerdict =
  | 'fine'
  | 'ask' // for a sign of life, on all paths
  | 'leave' // the active path: it does not answer
  | 'untouched' // a first call was not answered: nobody is there
  | 'given-up'; // no path has answered for the whole of our patience

export class Silence {
  readonly #patienceMs: number;
  /** Since anything was heard, while that counts. */
  #silentMs = 0;
  /** A call was made when nothing was in flight, and nothing has been heard since. */
  #firstTouch = false;
  #touchMs = 0;

  constructor(patienceMs: number) {
    this.#patienceMs = patienceMs;
  }

  /** A call begins, with nothing in flight before it. */
  begin(isFirstTouch: boolean): void {
    this.#firstTouch = isFirstTouch;
    this.#touchMs = 0;
  }

  /** A sign of life. */
  heard(): void {
    this.#silentMs = 0;
    this.#firstTouch = false;
  }

  /** No path answers, for so long already. */
  lost(silentMs: number): void {
    this.#silentMs = silentMs;
  }

  /** The peer was given up. */
  endTouch(): void {
    this.#firstTouch = false;
  }

  tick(elapsedMs: number): void {
    this.#silentMs += elapsedMs;
  }

  /** @param calls in flight: that somebody waits for, and those of them with a deadline. */
  judge(
    elapsedMs: number,
    isReconnecting: boolean,
    paths: ChannelPaths,
    calls: { readonly wanted: number; readonly bounded: number },
  ): SilenceVerdict {
    const touches = this.#firstTouch && calls.wanted > 0;
    if (touches) {
      this.#touchMs += elapsedMs;
      const rttMs = paths.active?.path.statistics.rttMs ?? 0;
      if (this.#touchMs >= Math.max(FIRST_TOUCH_MS, FIRST_TOUCH_ROUND_TRIPS * rttMs)) return 'untouched';
    }
    if (isReconnecting) return this.#silentMs < this.#patienceMs ? 'ask' : 'given-up';
    const { active } = paths;
    if (active === undefined || !(touches || calls.bounded > 0) || active.silentMs < PROBE_AFTER_MS) return 'fine';
    const answers = (one: ChannelPath) => one.ready && one.silentMs < PROBE_AFTER_MS;
    return active.silentMs < (paths.all.some(answers) ? LEAVE_AFTER_MS : SUSPECT_AFTER_MS) ? 'ask' : 'leave';
  }
}
