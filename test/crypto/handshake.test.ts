import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { inspect } from 'node:util';
import { HANDSHAKE_LIMITS, initiate, messageLength, pairSecret, respond } from '../../src/crypto/handshake.ts';
import { createIdentity } from '../../src/crypto/identity.ts';
import { createSession } from '../../src/crypto/session.ts';
import { createStream } from '../../src/crypto/stream.ts';

const alice = createIdentity();
const bob = createIdentity();
const token = Buffer.alloc(16, 7);
const hello = Buffer.from('hello');

const begin = (payload: Uint8Array = hello, psk: Uint8Array = token) =>
  initiate({ identity: alice, remotePublicKey: bob.publicKey, psk, payload });

function flipped(bytes: Uint8Array, at: number): Buffer {
  const copy = Buffer.from(bytes);
  copy[at] = (copy[at] ?? 0) ^ 1;
  return copy;
}

test('both sides end with the payloads, the keys and the hash of one handshake', () => {
  const initiation = begin();
  const first = respond(bob, initiation.message);
  assert.deepEqual(Buffer.from(first?.remoteDhPublicKey ?? []), Buffer.from(alice.dhPublicKey));
  const proven = first?.complete(token);
  assert.ok(proven);
  assert.deepEqual(Buffer.from(proven.payload), hello);
  const { message, keys } = proven.answer(Buffer.from('welcome'));
  const finished = initiation.finish(message);
  assert.equal(Buffer.from(finished?.payload ?? []).toString(), 'welcome');
  assert.ok(finished);
  assert.deepEqual(finished.keys.handshakeHash, keys.handshakeHash);

  const a = createSession({ keys: finished.keys, localIndex: 1, remoteIndex: 2, now: 0 });
  const b = createSession({ keys, localIndex: 2, remoteIndex: 1, now: 0 });
  const out = Buffer.alloc(64);
  for (const [from, to] of [
    [a, b],
    [b, a],
  ] as const) {
    const length = from.sealDatagram(hello, out, 0);
    assert.deepEqual(Buffer.from(to.openDatagram(out.subarray(0, length)) ?? []), hello);
  }
  a.close();
  b.close();
});

test('message 1 is for one reader: another identity cannot even tell its length', () => {
  const { message } = begin();
  const stranger = createIdentity();
  assert.equal(respond(stranger, message), undefined);
  assert.equal(messageLength(stranger, message), undefined);
  assert.equal(respond(alice, message), undefined);
});

test('a wrong psk proves nothing and others may be tried after it', () => {
  const first = respond(bob, begin().message);
  assert.equal(first?.complete(randomBytes(16)), undefined);
  assert.equal(first?.complete(randomBytes(32)), undefined);
  assert.ok(first?.complete(token));
});

test('each byte of both messages matters, and so does their length', () => {
  const initiation = begin();
  const { message } = initiation;
  for (let i = 0; i < message.length; i++) assert.equal(respond(bob, flipped(message, i)), undefined, `byte ${i}`);
  for (let n = 0; n < message.length; n += 7) assert.equal(respond(bob, message.subarray(0, n)), undefined);
  assert.equal(respond(bob, Buffer.concat([message, Buffer.alloc(1)])), undefined);
  const answer = respond(bob, message)?.complete(token)?.answer(hello);
  assert.ok(answer);
  for (let i = 0; i < answer.message.length; i++) {
    assert.equal(initiation.finish(flipped(answer.message, i)), undefined, `byte ${i} of the answer`);
  }
  assert.equal(initiation.finish(answer.message.subarray(1)), undefined);
  assert.ok(initiation.finish(answer.message), 'the true answer still counts after false ones');
  assert.equal(initiation.finish(answer.message), undefined, 'but only once');
});

test('an answer to another handshake of the same two is not taken', () => {
  const one = begin();
  const two = begin();
  const answer = respond(bob, one.message)?.complete(token)?.answer(hello);
  assert.ok(answer);
  assert.equal(two.answerLength(answer.message), undefined);
  assert.equal(two.finish(answer.message), undefined);
  assert.equal(one.answerLength(answer.message), answer.message.length);
});

test('on a byte stream the first 42 bytes tell the length, and fewer tell nothing', () => {
  const { message } = begin();
  const { headerBytes } = HANDSHAKE_LIMITS;
  assert.equal(headerBytes, 42);
  assert.equal(messageLength(bob, message.subarray(0, headerBytes)), message.length);
  assert.equal(messageLength(bob, message.subarray(0, headerBytes - 1)), undefined);
  for (let i = 0; i < headerBytes; i++) assert.equal(messageLength(bob, flipped(message, i)), undefined);
});

test('messages fit a datagram with the longest payload, and a longer one is a mistake of the caller', () => {
  const longest = Buffer.alloc(HANDSHAKE_LIMITS.payloadBytes, 1);
  const initiation = begin(longest);
  assert.ok(initiation.message.length <= HANDSHAKE_LIMITS.messageBytes);
  const proven = respond(bob, initiation.message)?.complete(token);
  assert.deepEqual(Buffer.from(proven?.payload ?? []), longest);
  const answer = proven?.answer(longest);
  assert.ok(answer && answer.message.length <= HANDSHAKE_LIMITS.messageBytes);
  assert.deepEqual(Buffer.from(initiation.finish(answer.message)?.payload ?? []), longest);
  assert.throws(() => begin(Buffer.alloc(HANDSHAKE_LIMITS.payloadBytes + 1)), RangeError);
  assert.throws(() => begin(hello, Buffer.alloc(15)), RangeError);
});

test('messages look random: no byte is constant or common, and lengths vary', () => {
  const count = 400;
  const firsts: Uint8Array[] = [];
  const answers: Uint8Array[] = [];
  for (let i = 0; i < count; i++) {
    const initiation = begin();
    firsts.push(initiation.message);
    const answer = respond(bob, initiation.message)?.complete(token)?.answer(hello);
    if (answer !== undefined) answers.push(answer.message);
    initiation.abandon();
  }
  for (const messages of [firsts, answers]) {
    assert.equal(messages.length, count);
    assert.ok(new Set(messages.map((message) => message.length)).size > 100);
    const shortest = Math.min(...messages.map((message) => message.length));
    for (let at = 0; at < shortest; at++) {
      const tally = new Map<number, number>();
      for (const message of messages) tally.set(message[at] ?? 0, (tally.get(message[at] ?? 0) ?? 0) + 1);
      // 400 random bytes: the commonest of 256 values comes up 6 or 7 times; 20 is beyond chance.
      assert.ok(Math.max(...tally.values()) < 20, `byte ${at}`);
    }
  }
});

test('junk of any length is refused', () => {
  for (let length = 0; length < 1400; length += 13) assert.equal(respond(bob, randomBytes(length)), undefined);
});

test('an abandoned initiation takes no answer any more', () => {
  const initiation = begin();
  const answer = respond(bob, initiation.message)?.complete(token)?.answer(hello);
  initiation.abandon();
  initiation.abandon();
  assert.ok(answer);
  assert.equal(initiation.finish(answer.message), undefined);
});

test('a proven message is answered once', () => {
  const proven = respond(bob, begin().message)?.complete(token);
  proven?.answer(hello);
  assert.throws(() => proven?.answer(hello), /twice/);
});

test('the pair secret is the same on both sides, on every retry, and another for another token or pair', () => {
  const ours = pairSecret(token, alice, bob.publicKey);
  assert.equal(ours.length, 32);
  assert.deepEqual(pairSecret(token, bob, alice.publicKey), ours);
  assert.deepEqual(pairSecret(token, alice, bob.publicKey), ours);
  assert.notDeepEqual(pairSecret(randomBytes(16), alice, bob.publicKey), ours);
  assert.notDeepEqual(pairSecret(token, alice, createIdentity().publicKey), ours);
});

test('session keys do not show when printed, serve once, and are wiped', () => {
  const answer = respond(bob, begin().message)?.complete(token)?.answer(hello);
  assert.ok(answer);
  const shown = inspect(answer.keys, { showHidden: true, depth: 9 });
  const seen: Uint8Array[] = [];
  answer.keys.use((secrets) => seen.push(secrets.send, secrets.receive));
  assert.ok(!/send|receive/.test(shown));
  for (const secret of seen) assert.ok(secret.every((byte) => byte === 0));
  assert.throws(() => createStream({ keys: answer.keys, maxFrameBytes: 10, now: 0 }), /twice/);
});
