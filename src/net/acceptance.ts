/**
 * Accepting somebody's invitation: dials its addresses, and where the LAN or a rendezvous says its creator is, until the creator
 * answers, the invitation expires, or nobody wants it any more. Owns the trying; who stores what is the caller's affair.
 */
import type { Clock, Timer } from '../clock.ts';
import { PeerfsError, type ErrorCode } from '../errors.ts';
import type { Invitation } from '../wire/packets.ts';
import type { Endpoint } from './endpoint.ts';
import type { Path, PathKind } from './path.ts';
import type { WireCandidate } from '../wire/candidate.ts';
import { startRace, type Race } from './race.ts';
import { candidateOf, permitThrough, reaches, targetKey, targetsOf, type Target } from './targets.ts';

/** Tuning. Milliseconds. */
const PAUSE_FIRST_MS = 500;
const PAUSE_MOST_MS = 15_000;
/** Addresses that were heard of and are kept. */
const MAX_HINTS = 64;

/** The creator has spoken: trying again is no use. */
const FINAL: ReadonlySet<ErrorCode> = new Set(['INVITE_USED', 'INVITE_REVOKED', 'INVITE_EXPIRED']);

export interface AcceptanceOptions {
  readonly invitation: Invitation;
  readonly endpoint: Pick<Endpoint, 'paths' | 'connect' | 'relays' | 'address'>;
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
  /** The creator said where it can be reached: all of it is tried at once. */
  hear(candidates: readonly WireCandidate[]): void;
}

export function acceptInvitation(options: AcceptanceOptions): Acceptance {
  const { invitation, endpoint, clock, signal } = options;
  const { publicKey, token: psk, expiresAtMs } = invitation;
  const hints = new Map<string, Target>();
  let race: Race | undefined;
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

  const attempt = async ({ kind, host, port, via }: Target, each: AbortSignal): Promise<Accepted> => {
    const target = { kind, host, port, via, publicKey, psk, purpose: 'invitation' } as const;
    const { path, name } = await endpoint.connect(target, each);
    return { path, name, kind, host, port };
  };

  /** Tries every address once. @throws PeerfsError what the creator said, if that is final. */
  const round = async (): Promise<Accepted | undefined> => {
    const stop = new AbortController();
    const aborted = () => stop.abort();
    signal.addEventListener('abort', aborted);
    let refusal: PeerfsError | undefined;
    const named = targetsOf(invitation.addresses.map(candidateOf), { kinds: endpoint.paths, relays: endpoint.relays });
    let accepted: Accepted | undefined;
    race = startRace({
      targets: [...hints.values(), ...named].filter(isReachable),
      clock,
      signal: stop.signal,
      attempt,
      // Whichever it is: a better one is found when the two know each other.
      rank: () => 0,
      onReached: (made) => (accepted = made),
      onFailure(error) {
        if (!(error instanceof PeerfsError) || !FINAL.has(error.code)) return;
        refusal = error;
        stop.abort();
      },
    });
    await race.done;
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

  const isReachable = ({ kind, host }: Target): boolean => kind === 'tor' || reaches(endpoint.address.host, host);

  const take = (heard: readonly Target[]): void => {
    const reachable = heard.filter(isReachable);
    for (const hint of reachable) {
      hints.delete(targetKey(hint));
      hints.set(targetKey(hint), hint);
    }
    for (const oldest of hints.keys()) {
      if (hints.size <= MAX_HINTS) break;
      hints.delete(oldest);
    }
    race?.add(reachable);
    wake?.();
  };

  /** Asked anew after each wait, which the compiler cannot see. */
  function isGivenUp(): boolean {
    return signal.aborted;
  }

  return {
    accepted: accept(),
    hint(kind, host, port) {
      take([{ kind, host, port }]);
    },
    hear(candidates) {
      permitThrough(endpoint.relays, candidates);
      take(targetsOf(candidates, { kinds: endpoint.paths, relays: endpoint.relays }));
    },
  };
}
