/** The keys of both ends of a session without a handshake, for tests of what comes after it. */
import { createHash, randomBytes } from 'node:crypto';
import { SessionKeys } from '../../src/crypto/session-keys.ts';

/** @param seed the same seed gives the same keys; random without one. */
export function sessionKeyPair(seed?: string): [SessionKeys, SessionKeys] {
  const bytes = (label: string): Buffer =>
    seed === undefined ? randomBytes(32) : createHash('sha256').update(`${seed} ${label}`).digest();
  const there = bytes('there');
  const back = bytes('back');
  const [a, b] = [bytes('a'), bytes('b')];
  const handshakeHash = Buffer.alloc(64, 1);
  return [
    new SessionKeys({
      secrets: { send: Buffer.from(there), receive: Buffer.from(back) },
      handshakeHash,
      localDhPublicKey: a,
      remoteDhPublicKey: b,
    }),
    new SessionKeys({
      secrets: { send: back, receive: there },
      handshakeHash,
      localDhPublicKey: b,
      remoteDhPublicKey: a,
    }),
  ];
}
