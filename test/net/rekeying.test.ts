import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createIdentity } from '../../src/crypto/identity.ts';
import { createRekeying, type Rekeying } from '../../src/net/rekeying.ts';
import { createManualClock, type ManualClock } from '../manual-clock.ts';

interface Pair {
  readonly initiator: Rekeying;
  readonly responder: Rekeying;
  secret: Uint8Array | undefined;
  readonly clock: ManualClock;
}

function createPair(): Pair {
  const [a, b] = [createIdentity(), createIdentity()];
  const clock = createManualClock();
  let index = 0;
  const make = (isInitiator: boolean): Rekeying =>
    createRekeying({
      identity: isInitiator ? a : b,
      remotePublicKey: (isInitiator ? b : a).publicKey,
      pairSecret: () => pair.secret,
      isInitiator,
      newIndex: () => (index += 1),
      clock,
    });
  const pair: Pair = { initiator: make(true), responder: make(false), secret: new Uint8Array(32), clock };
  return pair;
}

/** Message 1, which there must be. */
function begin({ initiator }: Pair): Uint8Array {
  const message = initiator.begin();
  assert.ok(message !== undefined);
  return message;
}

test('both sides get the same keys, and each the index that the other chose', () => {
  const pair = createPair();
  const answered = pair.responder.answer(begin(pair));
  assert.ok(answered !== undefined);
  const done = pair.initiator.finishIndexed(answered.message);
  assert.ok(done !== undefined);
  assert.deepEqual(done.keys.handshakeHash, answered.keys.handshakeHash);
  assert.deepEqual([done.localIndex, done.remoteIndex], [answered.remoteIndex, answered.localIndex]);
  assert.equal(pair.initiator.isUnderWay(), false);
});

test('a request that comes after a newer one, or twice, is not answered', () => {
  const pair = createPair();
  const [first, second] = [begin(pair), begin(pair)];
  assert.ok(pair.responder.answer(second) !== undefined);
  assert.equal(pair.responder.answer(first), undefined);
  assert.equal(pair.responder.answer(second), undefined);
  assert.ok(pair.responder.answer(begin(pair)) !== undefined);
});

test('the answer to a request that was made anew is dropped', () => {
  const pair = createPair();
  const late = pair.responder.answer(begin(pair));
  const second = begin(pair);
  assert.ok(late !== undefined);
  assert.equal(pair.initiator.finishIndexed(late.message), undefined);
  const answered = pair.responder.answer(second);
  assert.ok(answered !== undefined && pair.initiator.finishIndexed(answered.message) !== undefined);
});

test('without a secret in common, or asked of the wrong side, there are no keys', () => {
  const pair = createPair();
  const message = begin(pair);
  assert.equal(pair.initiator.answer(message), undefined);
  pair.secret = new Uint8Array(32).fill(1);
  assert.equal(pair.responder.answer(message), undefined);
  pair.secret = undefined;
  assert.equal(pair.responder.answer(message), undefined);
  assert.equal(pair.initiator.begin(), undefined);
});

test('a peer that asks for new keys without end is answered so often and no more, and again after a while', async () => {
  const pair = createPair();
  const ask = () => pair.responder.answer(begin(pair)) !== undefined;
  for (let count = 0; count < 16; count++) assert.equal(ask(), true, `request ${count}`);
  assert.equal(ask(), false);
  await pair.clock.run(499);
  assert.equal(ask(), false);
  await pair.clock.run(1);
  assert.equal(ask(), true);
  assert.equal(ask(), false);
});
