/**
 * Keeps the keys of a datagram session fresh: begins handshakes when they are due, answers the peer's, and tells under
 * which indices datagrams may come. (Streams change keys in order, see tcp-path.ts; datagrams may be lost, so a
 * handshake that is not answered is begun anew.)
 */
import type { Clock, Timer } from '../clock.ts';
import type { Session } from '../crypto/session.ts';
import type { NewKeys, Rekeying } from './rekeying.ts';

/** First byte of what `send` carries: which message of the handshake follows. Specification. */
const REQUEST = 1;
const ANSWER = 2;
/** Nothing follows: the new keys are in use. */
const DONE = 3;

/** Tuning. */
const TICK_MS = 1000;

export interface FreshKeysOptions {
  readonly session: Session;
  readonly rekeying: Rekeying;
  readonly clock: Clock;
  /** Sends to the far end's `received`; may lose it. */
  readonly send: (body: Uint8Array) => void;
  /** The session's indices have changed. */
  readonly onIndices: (indices: readonly number[]) => void;
}

export interface FreshKeys {
  received(body: Uint8Array): void;
  close(): void;
}

export function keepKeysFresh({ session, rekeying, clock, send, onIndices }: FreshKeysOptions): FreshKeys {
  let known = session.localIndices;
  let timer: Timer = clock.after(TICK_MS, expiredTick);

  function refresh(): void {
    const now = session.localIndices;
    if (now.length === known.length && now.every((index, at) => index === known[at])) return;
    known = [...now];
    onIndices(known);
  }

  function expiredTick(): void {
    timer = clock.after(TICK_MS, expiredTick);
    const now = clock.now();
    session.expire(now);
    refresh();
    if (!rekeying.isInitiator || !session.needsRekey(now)) return;
    const message = rekeying.begin();
    if (message !== undefined) send(Buffer.concat([Uint8Array.of(REQUEST), message]));
  }

  const take = ({ keys, localIndex, remoteIndex }: NewKeys, provisional: boolean): void => {
    session.rekey({ keys, localIndex, remoteIndex, now: clock.now(), provisional });
    refresh();
  };

  return {
    received(body) {
      const message = body.subarray(1);
      if (body[0] === REQUEST) {
        const answered = rekeying.answer(message);
        if (answered === undefined) return;
        take(answered, true);
        send(Buffer.concat([Uint8Array.of(ANSWER), answered.message]));
      } else if (body[0] === ANSWER) {
        const keys = rekeying.finishIndexed(message);
        if (keys === undefined) return;
        take(keys, false);
        // Something must go out under the new keys, so that the far end uses them too.
        send(Uint8Array.of(DONE));
      }
    },
    close() {
      timer.cancel();
      rekeying.close();
    },
  };
}
