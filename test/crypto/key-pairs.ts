/** The keys of both ends of a session without a handshake, for tests of what comes after it. */
import { createHash, randomBytes } from 'node:crypto';
import { SessionKeys } from '../../src/crypto/session-keys.ts';

/** @param seed the same seed gives the same keys; random without one. */
export function sessionKeyPair(seed?: string): [SessionKeys, SessionKeys] {
  const hash = (text: string): Buffer => createHash('sha256').update(text).digest();
  const bytes = (label: string): Buffer => (seed === undefined ? randomBytes(32) : hash(`${seed} ${label}`));
  const there = bytes('there');
  const back = bytes('back');
  // The two nodes stay the same whatever the seed.
  const [a, b] = [hash('a'), hash('b')];
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
