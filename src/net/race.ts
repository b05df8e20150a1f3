/**
 * Race: many targets at which a peer may be, the best path wanted. Tries them one after the other, each a little after
 * the one before, all at once in the end (RFC 8421, RFC 8445 section 14 pace theirs so); what has a worse path than one
 * that was made is given up. Owns the order and the time; how a target is tried is the caller's.
 */
import { setMaxListeners } from 'node:events';
import { isIPv4, isIPv6 } from 'node:net';
import type { Clock, Timer } from '../clock.ts';
import type { Path, PathKind } from './path.ts';
import { targetKey, type Target } from './targets.ts';

/** Tuning, milliseconds. */
/** A target is tried this long after the one before it, or when that one failed. */
const PACE_MS = 50;
/** Kinds that cost more than a datagram are tried when the others have had a chance, or have failed. */
const HEAD_START_MS: Readonly<Record<PathKind, number>> = { tcp: 0, udp: 0, turn: 500, tor: 1000 };
/** Where there are IPv6 targets, those of IPv4 give them this start (RFC 8305 section 5): no router stands in their way. */
const IPV6_HEAD_START_MS = 250;
/** Targets of one race; more wait for their turn. */
const MAX_RUNNING = 48;
/** Targets that wait; above that what was named first is forgotten. */
const MAX_WAITING = 256;

export interface RaceOptions<T extends { readonly path: Path }> {
  readonly targets: readonly Target[];
  readonly clock: Clock;
  /** Ends the race. */
  readonly signal: AbortSignal;
  readonly attempt: (target: Target, signal: AbortSignal) => Promise<T>;
  /** The lower the better; equal: the first path ends what is tried of the same. */
  readonly rank: (target: Target) => number;
  /** A path better than all before. The caller's from now on. */
  readonly onReached: (made: T, target: Target) => void;
  readonly onFailure?: (error: unknown, target: Target) => void;
}

export interface Race {
  /** When nothing is left to try. */
  readonly done: Promise<void>;
  /** More, tried as if they began a race now, but not beside themselves. No effect when the race is over. */
  add(targets: readonly Target[]): void;
  /** Somebody else made a path of this rank: what is not better is given up. */
  reached(rank: number): void;
}

interface Waiting {
  readonly target: Target;
  /** Clock.now() from which it may be tried. */
  readonly dueAt: number;
}

interface Running {
  readonly rank: number;
  readonly stop: AbortController;
}

export function startRace<T extends { readonly path: Path }>(options: RaceOptions<T>): Race {
  const { clock, signal, attempt, rank, onReached, onFailure } = options;
  let waiting = inTurn(options.targets, clock.now()).slice(0, MAX_WAITING);
  const running = new Map<string, Running>();
  let best = Infinity;
  let isOver = false;
  let timer: Timer | undefined;
  let settle: () => void = () => undefined;
  const done = new Promise<void>((resolve) => (settle = resolve));

  function finish(): void {
    if (isOver) return;
    isOver = true;
    timer?.cancel();
    signal.removeEventListener('abort', finish);
    for (const { stop } of running.values()) stop.abort();
    settle();
  }

  /** Starts what is due, and sees to it that the next is when it is. */
  function advance(): void {
    timer?.cancel();
    if (isOver) return;
    const now = clock.now();
    const next = Math.min(...waiting.map(({ dueAt }) => dueAt));
    const isDue = next <= now || running.size === 0;
    if (waiting.length === 0 && running.size === 0) return finish();
    if (waiting.length === 0 || running.size >= MAX_RUNNING) return;
    if (!isDue) {
      timer = clock.after(next - now, advance);
      return;
    }
    const at = waiting.findIndex(({ dueAt }) => dueAt === next);
    for (const { target } of waiting.splice(at, 1)) run(target);
  }

  function run(target: Target): void {
    const key = targetKey(target);
    if (running.has(key)) return advance();
    const stop = new AbortController();
    // One for each socket under way; Node takes more than ten for a leak.
    setMaxListeners(0, stop.signal);
    running.set(key, { rank: rank(target), stop });
    timer = clock.after(PACE_MS, advance);
    attempt(target, stop.signal).then(
      (made) => {
        running.delete(key);
        if (isOver || rank(target) >= best) {
          made.path.close();
          return advance();
        }
        reached(rank(target));
        onReached(made, target);
      },
      (error: unknown) => {
        running.delete(key);
        if (isOver) return;
        onFailure?.(error, target);
        advance();
      },
    );
  }

  function reached(by: number): void {
    best = Math.min(best, by);
    waiting = waiting.filter(({ target }) => rank(target) < best);
    for (const { rank: tried, stop } of running.values()) if (tried >= best) stop.abort();
    advance();
  }

  signal.addEventListener('abort', finish);
  if (signal.aborted) finish();
  else advance();
  return {
    done,
    add(targets) {
      if (isOver) return;
      const better = targets.filter((target) => rank(target) < best);
      const added = new Set(better.map(targetKey));
      // What waited already and is news again is tried as news.
      const others = waiting.filter(({ target }) => !added.has(targetKey(target)));
      waiting = [...inTurn(better, clock.now()), ...others].slice(0, MAX_WAITING);
      advance();
    },
    reached,
  };
}

/** When each may be tried, if they begin now. */
function inTurn(targets: readonly Target[], now: number): Waiting[] {
  const hasIpv6 = targets.some(({ host }) => isIPv6(host));
  return targets.map((target) => {
    const { kind, host } = target;
    return { target, dueAt: now + HEAD_START_MS[kind] + (hasIpv6 && isIPv4(host) ? IPV6_HEAD_START_MS : 0) };
  });
}
