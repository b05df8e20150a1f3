import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { createIdentity, peerIdOf } from '../../src/crypto/identity.ts';
import { createHandshaker } from '../../src/net/handshaker.ts';
import { createManualClock } from '../manual-clock.ts';
import { createMemoryPeerBook } from './memory-peer-book.ts';

const SECRET = new Uint8Array(32).fill(7);

function createSide() {
  const clock = createManualClock();
  const identity = createIdentity();
  const book = createMemoryPeerBook();
  const handshaker = createHandshaker({ identity, book, name: 'n', port: () => 1, clock, onJoined: () => undefined });
  /** Message 1 to another side. */
  const message = (to: { readonly identity: { readonly publicKey: Uint8Array } }, psk: Uint8Array): Uint8Array => {
    const { publicKey } = to.identity;
    const target = { publicKey, psk, purpose: 'known', kind: 'tor', host: 'x', port: 1 } as const;
    return handshaker.begin(target, 0).message;
  };
  return { clock, identity, book, handshaker, message };
}

test('one who floods by Tor neither keeps others by Tor out nor anybody else', () => {
  const [node, peer, flooder] = [createSide(), createSide(), createSide()];
  const { publicKey } = peer.identity;
  node.book.put({ peerId: peerIdOf(publicKey), publicKey, pairSecret: SECRET });
  const comesIn = (fromHost: string | undefined): boolean =>
    node.handshaker.answer(peer.message(node, SECRET), fromHost, () => 1) !== undefined;
  const flood = (count: number): void => {
    for (let turn = 0; turn < count; turn += 1) {
      assert.equal(
        node.handshaker.answer(flooder.message(node, randomBytes(32)), undefined, () => 1),
        undefined,
      );
    }
  };
  // More than one address would be given at once.
  flood(150);
  assert.ok(comesIn(undefined));
  flood(150);
  assert.ok(node.handshaker.counters.handshakesLimited > 0);
  assert.ok(comesIn('10.0.0.1'), 'those who come directly have their own');
  node.clock.advance(100);
  assert.ok(comesIn(undefined), 'a moment later there is room again');
});
