/**
 * Race: many addresses at which a peer may be, one path wanted. Tries them one after the other, each a little after
 * the one before, all at once in the end. Owns the order and the time; how an address is tried is the caller's.
 */
import { setMaxListeners } from 'node:events';
import type { Clock, Timer } from '../clock.ts';
import type { Path, PathKind } from './path.ts';

/** A candidate is tried this long after the one before it, or when that one failed. Tuning, milliseconds. */
const STAGGER_MS = 250;

/** Where a peer may be. */
export interface Candidate {
  readonly kind: PathKind;
  readonly host: string;
  readonly port: number;
}

export interface RaceOptions<T extends { readonly path: Path }> {
  readonly candidates: readonly Candidate[];
  readonly clock: Clock;
  /** Ends the race without a winner. */
  readonly signal: AbortSignal;
  readonly attempt: (candidate: Candidate, signal: AbortSignal) => Promise<T>;
  readonly onFailure?: (error: unknown) => void;
}

export interface Race<T> {
  /** The first that succeeds (paths that come later are closed); undefined when all failed, or the race was ended. */
  readonly winner: Promise<T | undefined>;
  /** One more, tried at once unless that is under way. No effect when the race is over. */
  add(candidate: Candidate): void;
}

export const candidateKey = ({ kind, host, port }: Candidate): string => `${kind} ${host} ${port}`;

export function startRace<T extends { readonly path: Path }>(options: RaceOptions<T>): Race<T> {
  const { clock, signal, attempt, onFailure } = options;
  const waiting = [...options.candidates];
  const running = new Set<string>();
  const inner = new AbortController();
  // One for each attempt under way; Node takes more than ten for a leak.
  setMaxListeners(0, inner.signal);
  let isOver = false;
  let timer: Timer | undefined;
  let settle: (winner: T | undefined) => void = () => undefined;
  const winner = new Promise<T | undefined>((resolve) => (settle = resolve));

  function finish(won: T | undefined): void {
    if (isOver) return;
    isOver = true;
    timer?.cancel();
    signal.removeEventListener('abort', aborted);
    settle(won);
    inner.abort();
  }

  function aborted(): void {
    finish(undefined);
  }

  function advance(): void {
    timer?.cancel();
    if (isOver) return;
    const candidate = waiting.shift();
    if (candidate !== undefined) run(candidate);
    else if (running.size === 0) finish(undefined);
  }

  function run(candidate: Candidate): void {
    const key = candidateKey(candidate);
    if (running.has(key)) return advance();
    running.add(key);
    timer = clock.after(STAGGER_MS, advance);
    attempt(candidate, inner.signal).then(
      (made) => {
        if (isOver) made.path.close();
        else finish(made);
      },
      (error: unknown) => {
        running.delete(key);
        if (isOver) return;
        onFailure?.(error);
        advance();
      },
    );
  }

  signal.addEventListener('abort', aborted);
  if (signal.aborted) aborted();
  else advance();
  return {
    winner,
    add(candidate) {
      if (isOver) return;
      waiting.unshift(candidate);
      advance();
    },
  };
}
