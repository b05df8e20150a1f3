/**
 * Accepting somebody's invitation: dials its addresses, and where the LAN says its creator is, until the creator
 * answers, the invitation expires, or nobody wants it any more. Owns the trying; who stores what is the caller's affair.
 */
import type { Clock, Timer } from '../clock.ts';
import { codeOf, PeerfsError, type ErrorCode } from '../errors.ts';
import type { Invitation } from '../wire/packets.ts';
import type { Endpoint } from './endpoint.ts';
import { race } from './link.ts';
import type { Path, PathKind } from './path.ts';

/** Tuning. Milliseconds. */
const PAUSE_FIRST_MS = 500;
const PAUSE_MOST_MS = 15_000;

/** The creator has spoken: trying again is no use. */
const FINAL: ReadonlySet<ErrorCode> = new Set(['INVITE_USED', 'INVITE_REVOKED', 'INVITE_EXPIRED']);

export interface AcceptanceOptions {
  readonly invitation: Invitation;
  readonly endpoint: Endpoint;
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
  /** The creator was heard of at this address: it is tried at once. */
  hint(kind: PathKind, host: string, port: number): void;
}

export function acceptInvitation(options: AcceptanceOptions): Acceptance {
  const { invitation, endpoint, clock, signal } = options;
  const hints = new Map<string, { readonly kind: PathKind; readonly host: string; readonly port: number }>();
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

  const accept = async (): Promise<Accepted> => {
    let pauseMs = PAUSE_FIRST_MS;
    for (let round = 1; ; round++) {
      if (signal.aborted) throw new PeerfsError('CANCELLED', 'accepting was given up');
      if (clock.wallMs() >= invitation.expiresAtMs) {
        throw new PeerfsError('INVITE_EXPIRED', 'the invitation has expired', { hint: 'Ask for a new one.' });
      }
      let refusal: unknown;
      const round_ = new AbortController();
      const stop = () => round_.abort();
      signal.addEventListener('abort', stop);
      const targets = endpoint.paths.flatMap((kind) => [
        ...[...hints.values()].filter((hint) => hint.kind === kind),
        ...invitation.addresses.map(({ host, port }) => ({ kind, host, port })),
      ]);
      const accepted = await race(
        targets,
        clock,
        round_.signal,
        async (target, each) => {
          const { publicKey, token: psk } = invitation;
          const { path, name } = await endpoint.connect({ ...target, publicKey, psk, purpose: 'invitation' }, each);
          return { path, name, ...target };
        },
        (code, error) => {
          if (!FINAL.has(code)) return;
          refusal = error;
          round_.abort();
        },
      );
      signal.removeEventListener('abort', stop);
      if (accepted !== undefined) return accepted;
      if (refusal !== undefined)
        throw codeOf(refusal) === 'EIO' ? new PeerfsError('EIO', 'accepting failed', { cause: refusal }) : refusal;
      options.onUnreached?.(round);
      await pause(Math.min(pauseMs, Math.max(0, invitation.expiresAtMs - clock.wallMs())));
      pauseMs = Math.min(PAUSE_MOST_MS, pauseMs * 1.5);
    }
  };

  return {
    accepted: accept(),
    hint(kind, host, port) {
      hints.set(`${kind} ${host} ${port}`, { kind, host, port });
      wake?.();
    },
  };
}
