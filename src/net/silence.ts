/**
 * Silence: how long a peer, and each path to it, has said nothing while it should have, and what that means. Counts in
 * ticks that the channel gives it, and acts on nothing. Who waits for answers on a slow path (Tor) waits longer.
 */
import type { ChannelPath } from './channel-path.ts';
import type { ChannelPaths } from './channel-paths.ts';

/** DESIGN of the states, milliseconds, on a fast and on a slow path. */
/** Silence that ends a first call. */
const FIRST_TOUCH_MS = { fast: 1_500, slow: 10_000 } as const;
/** A first call waits for at least so many round trips. */
const FIRST_TOUCH_ROUND_TRIPS = 4;

/** Tuning, milliseconds. */
/** Silence with calls in flight after which the path is asked for a sign of life, and again this often. */
const PROBE_AFTER_MS = 500;
/** Silence with calls in flight after which a path is used only when there is no other. */
const SUSPECT_AFTER_MS = { fast: 4_000, slow: 10_000 } as const;
/** The same where another path stands ready. */
const LEAVE_AFTER_MS = 2_000;
/** The same where the peer itself sends its calls on another. */
const FOLLOW_AFTER_MS = 1_000;
/** Round trips after which a sign of life is late. */
const LATE_ROUND_TRIPS = 2;
/** Round trip of a path where it was not measured. */
const UNKNOWN_ROUND_TRIP_MS = { fast: 500, slow: 5_000 } as const;

export interface SilenceVerdict {
  /** All paths are to be asked for a sign of life. */
  readonly ask: boolean;
  /** Paths that do not answer: calls are to go elsewhere. */
  readonly leave: readonly ChannelPath[];
  /** untouched: a first call was not answered, nobody is there. given-up: no path answered for all our patience. */
  readonly end: 'untouched' | 'given-up' | undefined;
}

export interface Situation {
  /** Since the last time. */
  readonly elapsedMs: number;
  readonly isReconnecting: boolean;
  /** The path in use, or else the last that was, is slow. */
  readonly isSlow: boolean;
  readonly paths: ChannelPaths;
  /** Calls in flight that somebody waits for. */
  readonly callsWanted: number;
  readonly patienceMs: number;
}

const FINE: SilenceVerdict = { ask: false, leave: [], end: undefined };

export class Silence {
  /** Since anything was heard, while that counts. */
  #silentMs = 0;
  /** A call was made when nothing was in flight, and nothing has been heard since. */
  #firstTouch = false;
  #touchMs = 0;

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

  /** The next answer may take its time: the peer was given up, or we were asleep and it must be found again. */
  endTouch(): void {
    this.#firstTouch = false;
  }

  tick(elapsedMs: number): void {
    this.#silentMs += elapsedMs;
  }

  judge({ elapsedMs, isReconnecting, isSlow, paths, callsWanted, patienceMs }: Situation): SilenceVerdict {
    const { active } = paths;
    const touches = this.#firstTouch && callsWanted > 0;
    if (touches) {
      this.#touchMs += elapsedMs;
      const most = FIRST_TOUCH_MS[isSlow ? 'slow' : 'fast'];
      const roundTripMs = active?.path.statistics.rttMs ?? 0;
      if (this.#touchMs >= Math.max(most, FIRST_TOUCH_ROUND_TRIPS * roundTripMs)) return { ...FINE, end: 'untouched' };
    }
    if (isReconnecting) return this.#silentMs < patienceMs ? { ...FINE, ask: true } : { ...FINE, end: 'given-up' };
    const leave: ChannelPath[] = [];
    let ask = false;
    for (const one of paths.all) {
      if (!one.ready || one.suspect) continue;
      const isAwaited = one.calls > 0 || one.peerLeft || (touches && one === active);
      if (isAwaited && one.silentMs >= PROBE_AFTER_MS) ask = true;
      // A second path that is asked because of the first is judged too.
      const silentMs = isAwaited ? one.silentMs : (one.askedMs ?? 0);
      if (silentMs >= mostSilence(one, paths)) leave.push(one);
    }
    return { ask, leave, end: undefined };
  }
}

function mostSilence(path: ChannelPath, paths: ChannelPaths): number {
  const roundTripMs = path.path.statistics.rttMs ?? 0;
  const most = SUSPECT_AFTER_MS[path.slow ? 'slow' : 'fast'];
  if (!paths.all.some((other) => other !== path && standsReady(other))) return most;
  const leaveAfterMs = path.peerLeft ? FOLLOW_AFTER_MS : LEAVE_AFTER_MS;
  return Math.min(most, Math.max(leaveAfterMs, LATE_ROUND_TRIPS * roundTripMs));
}

/** It has answered what it was asked last, or its answer is not late. */
function standsReady(path: ChannelPath): boolean {
  if (!path.ready || path.suspect) return false;
  const roundTripMs = path.path.statistics.rttMs ?? UNKNOWN_ROUND_TRIP_MS[path.slow ? 'slow' : 'fast'];
  return path.askedMs === undefined || path.askedMs < LATE_ROUND_TRIPS * roundTripMs;
}
