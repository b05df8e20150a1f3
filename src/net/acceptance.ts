/**
 * Accepting somebody's invitation: dials its addresses, and where the LAN says its creator is, until the creator
 * answers, the invitation expires, or nobody wants it any more. Owns the trying; who stores what is the caller's affair.
 */
import type { Clock, Timer } from '../clock.ts';
import { PeerfsError, type ErrorCode } from '../errors.ts';
import type { Invitation } from '../wire/packets.ts';
import type { Endpoint } from './endpoint.ts';
import type { Path, PathKind } from './path.ts';
import { candidateKey, startRace, type Candidate, type Race } from './race.ts';

/** Tuning. Milliseconds. */
const PAUSE_FIRST_MS = 500;
const PAUSE_MOST_MS = 15_000;

/** The creator has spoken: trying again is no use. */
const FINAL: ReadonlySet<ErrorCode> = new Set(['INVITE_USED', 'INVITE_REVOKED', 'INVITE_EXPIRED']);

export interface AcceptanceOptions {
  readonly invitation: Invitation;
  readonly endpoint: Pick<Endpoint, 'paths' | 'connect'>;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Each round of dialling that reached nobody. */
  readonly onUnreached?: (round: number) => void;
}

export interface Accepted {
  /** The first path to the creator, the receiver's. */
  readonly path: Path;
  /** What the creator calls itself. */
  readonly name: string;
  readonly kind: PathKind;
  readonly host: string;
  readonly port: number;
}

export interface Acceptance {
  /** Rejects INVITE_USED, INVITE_REVOKED, INVITE_EXPIRED (also by our clock), CANCELLED. */
  readonly accepted: Promise<Accepted>;
  /** The creator was heard of at this address: it is tried at once, also while others are. */
  hint(kind: PathKind, host: string, port: number): void;
}

export function acceptInvitation(options: AcceptanceOptions): Acceptance {
  const { invitation, endpoint, clock, signal } = options;
  const { publicKey, token: psk, expiresAtMs } = invitation;
  const hints = new Map<string, Candidate>();
  let race: Race<Accepted> | undefined;
  let wake: (() => void) | undefined;

  const pause = (delayMs: number): Promise<void> =>
    new Promise((resolve) => {
      const timer: Timer = clock.after(delayMs, () => done());
      const done = (): void => {
        timer.cancel();
        signal.removeEventListener('abort', done);
        wake = undefined;
        resolve();
      };
      wake = done;
      signal.addEventListener('abort', done);
    });

  const attempt = async (candidate: Candidate, each: AbortSignal): Promise<Accepted> => {
    const { path, name } = await endpoint.connect({ ...candidate, publicKey, psk, purpose: 'invitation' }, each);
    return { path, name, ...candidate };
  };

  /** Tries every address once. @throws PeerfsError what the creator said, if that is final. */
  const round = async (): Promise<Accepted | undefined> => {
    const stop = new AbortController();
    const aborted = () => stop.abort();
    signal.addEventListener('abort', aborted);
    let refusal: PeerfsError | undefined;
    const candidates = endpoint.paths.flatMap((kind) => [
      ...[...hints.values()].filter((hint) => hint.kind === kind),
      ...invitation.addresses.map(({ host, port }) => ({ kind, host, port })),
    ]);
    race = startRace({
      candidates,
      clock,
      signal: stop.signal,
      attempt,
      onFailure(error) {
        if (!(error instanceof PeerfsError) || !FINAL.has(error.code)) return;
        refusal = error;
        stop.abort();
      },
    });
    const accepted = await race.winner;
    race = undefined;
    signal.removeEventListener('abort', aborted);
    if (accepted === undefined && refusal !== undefined) throw refusal;
    return accepted;
  };

  const accept = async (): Promise<Accepted> => {
    let pauseMs = PAUSE_FIRST_MS;
    for (let rounds = 1; ; rounds++) {
      if (clock.wallMs() >= expiresAtMs) {
        throw new PeerfsError('INVITE_EXPIRED', 'the invitation has expired', { hint: 'Ask for a new one.' });
      }
      const accepted = signal.aborted ? undefined : await round();
      if (accepted !== undefined) return accepted;
      if (isGivenUp()) throw new PeerfsError('CANCELLED', 'accepting was given up');
      options.onUnreached?.(rounds);
      await pause(Math.min(pauseMs, Math.max(0, expiresAtMs - clock.wallMs())));
      pauseMs = Math.min(PAUSE_MOST_MS, pauseMs * 1.5);
    }
  };

  /** Asked anew after each wait, which the compiler cannot see. */
  function isGivenUp(): boolean {
    return signal.aborted;
  }

  return {
    accepted: accept(),
    hint(kind, host, port) {
      const hint = { kind, host, port };
      hints.set(candidateKey(hint), hint);
      race?.add(hint);
      wake?.();
    },
  };
}
