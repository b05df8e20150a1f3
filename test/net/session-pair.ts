/** Two ends of a session without a handshake: keys that are the same in every run. */
import { createSession, type Session } from '../../src/crypto/session.ts';
import { SessionKeys } from '../../src/crypto/session-keys.ts';

const FIRST = 1;
const SECOND = 2;

const key = (byte: number) => new Uint8Array(32).fill(byte);

/** @param first which end: both in one process, or each in its own. */
export function createSessionEnd(first: boolean): Session {
  const [mine, theirs] = first ? [FIRST, SECOND] : [SECOND, FIRST];
  return createSession({
    keys: new SessionKeys({
      secrets: { send: key(mine), receive: key(theirs) },
      handshakeHash: new Uint8Array(64),
      localDhPublicKey: key(16 + mine),
      remoteDhPublicKey: key(16 + theirs),
    }),
    localIndex: mine,
    remoteIndex: theirs,
    now: 0,
  });
}
