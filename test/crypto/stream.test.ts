import assert from 'node:assert/strict';
import { createCipheriv, randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { FrameKey, SMALL_BYTES } from '../../src/crypto/frame-key.ts';
import { REKEY_AFTER_MS } from '../../src/crypto/session.ts';
import { deriveKey } from '../../src/crypto/sodium.ts';
import { createStream, FRAME_OVERHEAD_BYTES, type SealedStream } from '../../src/crypto/stream.ts';
import { sessionKeyPair } from './key-pairs.ts';

const MAX = 300_000;

function ends(maxFrameBytes = MAX): [SealedStream, SealedStream] {
  const [forA, forB] = sessionKeyPair();
  return [
    createStream({ keys: forA, maxFrameBytes, now: 0 }),
    createStream({ keys: forB, maxFrameBytes: MAX, now: 0 }),
  ];
}

const seal = (stream: SealedStream, ...pieces: Uint8Array[]): Buffer => Buffer.from(stream.sealFrame(pieces));

/** Feeds `bytes` in chunks; the frames that came, or 'broken'. */
function feed(stream: SealedStream, bytes: Uint8Array, chunkBytes: number): Buffer[] | 'broken' {
  const frames: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += chunkBytes) {
    // A copy that is spoilt afterwards shows that the opener keeps nothing of it.
    const chunk = Buffer.from(bytes.subarray(at, at + chunkBytes));
    if (!stream.push(chunk, (frame) => frames.push(Buffer.from(frame)))) return 'broken';
    chunk.fill(0xff);
  }
  return frames;
}

const LENGTHS = [0, 1, 17, 1000, SMALL_BYTES - 1, SMALL_BYTES, SMALL_BYTES + 1, 4096, 70_000, MAX];

for (const chunkBytes of [1, 2, 7, 19, 20, 21, 36, 1460, 65_536, 1_000_000]) {
  test(`frames of all lengths arrive whole in chunks of ${chunkBytes} bytes`, () => {
    const [a, b] = ends();
    const frames = LENGTHS.filter((length) => chunkBytes > 2 || length < 10_000).map((length) => randomBytes(length));
    const bytes = Buffer.concat(frames.map((frame) => seal(a, frame)));
    assert.deepEqual(feed(b, bytes, chunkBytes), frames);
  });
}

test('frames come at once with the chunk that ends them, none earlier', () => {
  const [a, b] = ends();
  const bytes = seal(a, randomBytes(5000));
  let count = 0;
  assert.ok(b.push(bytes.subarray(0, -1), () => count++));
  assert.equal(count, 0);
  assert.ok(b.push(bytes.subarray(-1), () => count++));
  assert.equal(count, 1);
});

test('a frame is the same whether given in one piece or in many', () => {
  for (const length of [100, SMALL_BYTES + 100, 50_000]) {
    const frame = randomBytes(length);
    const streams = [0, 1].map(() => createStream({ keys: sessionKeyPair('pieces')[0], maxFrameBytes: MAX, now: 0 }));
    const [whole, cut] = streams;
    assert.ok(whole && cut);
    assert.deepEqual(
      seal(cut, frame.subarray(0, 30), frame.subarray(30, 30), frame.subarray(30, 90), frame.subarray(90)),
      seal(whole, frame),
    );
  }
});

test('the same keys and frame give these bytes for ever', () => {
  const stream = createStream({ keys: sessionKeyPair('golden')[0], maxFrameBytes: MAX, now: 0 });
  assert.equal(
    seal(stream, Buffer.from('peerfs')).toString('hex'),
    '9079b6d3098e659e566204b6b81499e4c433d059d2b04c79868b304e187c073e9402ceed5b39432e83da',
  );
});

test('the pieces may be changed once sealFrame returned', () => {
  const [a, b] = ends();
  for (const length of [100, 10_000]) {
    const piece = Buffer.alloc(length, 5);
    const sealed = a.sealFrame([piece]);
    piece.fill(6);
    assert.deepEqual(feed(b, Buffer.from(sealed), 1 << 20), [Buffer.alloc(length, 5)]);
  }
});

test('libsodium and OpenSSL give the same bytes around the length where one takes over', () => {
  const raw = randomBytes(32);
  const key = new FrameKey(raw);
  for (const length of [0, 1, 64, SMALL_BYTES]) {
    for (const counter of [0, 1, 2 ** 32 - 1, 2 ** 32 + 7]) {
      const plain = randomBytes(length);
      const small = Buffer.alloc(length + 16);
      key.sealSmall(1, counter, [plain], small, 0);
      const large = Buffer.alloc(length + 16);
      key.sealLarge(1, counter, [plain], large, 0);
      assert.deepEqual(large, small);
      assert.deepEqual(key.openSmall(1, counter, small), plain);
      const decipher = key.openLarge(1, counter);
      const opened = Buffer.alloc(length);
      decipher.update(small.subarray(0, length), opened, 0);
      assert.equal(decipher.open(small.subarray(length)), true);
      assert.deepEqual(opened, plain);
      const nonce = Buffer.alloc(12);
      nonce.writeUInt32LE(1, 0);
      nonce.writeBigUInt64LE(BigInt(counter), 4);
      const cipher = createCipheriv('chacha20-poly1305', raw, nonce, { authTagLength: 16 });
      assert.deepEqual(Buffer.concat([cipher.update(plain), cipher.final(), cipher.getAuthTag()]), small);
    }
  }
  key.destroy();
  key.destroy();
  assert.throws(() => key.openLarge(0, 0), /wiped/);
  assert.throws(() => key.openSmall(0, 0, Buffer.alloc(16)), /wiped/);
});

for (const length of [0, 40, SMALL_BYTES + 40]) {
  test(`each flipped byte of a frame of ${length} bytes breaks the stream for good`, () => {
    const step = length > 1000 ? 13 : 1;
    for (let at = 0; at < length + FRAME_OVERHEAD_BYTES; at += at < 20 || at > length + 10 ? 1 : step) {
      const [a, b] = ends();
      const bytes = seal(a, randomBytes(length));
      const next = seal(a, Buffer.from('next'));
      bytes[at] = (bytes[at] ?? 0) ^ 1;
      assert.equal(feed(b, bytes, 1000), 'broken', `byte ${at}`);
      assert.equal(feed(b, next, 1000), 'broken');
      assert.throws(() => b.sealFrame([Buffer.alloc(1)]), /closed/);
    }
  });
}

test('a frame lost, repeated, swapped or sent back breaks the stream', () => {
  for (const spoil of [
    (one: Buffer, two: Buffer) => [two, one],
    (one: Buffer) => [one, one],
    (_one: Buffer, two: Buffer) => [two],
  ]) {
    const [a, b] = ends();
    const one = seal(a, Buffer.from('one'));
    const two = seal(a, Buffer.from('two'));
    assert.equal(feed(b, Buffer.concat(spoil(one, two)), 1000), 'broken');
  }
  const [a] = ends();
  assert.equal(feed(a, seal(a, Buffer.from('echo')), 1000), 'broken');
});

test('junk breaks the stream after one header', () => {
  for (let i = 0; i < 50; i++) {
    const [, b] = ends();
    assert.equal(feed(b, randomBytes(20), 20), 'broken');
  }
  const [, b] = ends();
  assert.deepEqual(feed(b, randomBytes(19), 19), []);
});

test("the longest frame passes, a longer one is the sender's mistake, or the peer's", () => {
  const [forA, forB] = sessionKeyPair();
  const a = createStream({ keys: forA, maxFrameBytes: 1001, now: 0 });
  const b = createStream({ keys: forB, maxFrameBytes: 1000, now: 0 });
  assert.equal(feed(b, seal(a, Buffer.alloc(999)), 4000).length, 1);
  assert.equal(feed(b, seal(a, Buffer.alloc(1000)), 4000).length, 1);
  assert.throws(() => a.sealFrame([Buffer.alloc(1002)]), RangeError);
  const header = seal(a, Buffer.alloc(1001)).subarray(0, 20);
  assert.equal(feed(b, header, 20), 'broken', 'refused before any of the body came');
});

test('no byte of short frames is constant or common over many', () => {
  const [a] = ends();
  const tallies = Array.from({ length: 46 }, () => new Uint16Array(256));
  for (let i = 0; i < 2000; i++) {
    const bytes = seal(a, Buffer.alloc(10));
    tallies.forEach((tally, at) => {
      const byte = bytes[at] ?? 0;
      tally[byte] = (tally[byte] ?? 0) + 1;
    });
  }
  tallies.forEach((tally, at) => assert.ok(Math.max(...tally) < 35, `byte ${at}`));
});

test('keys are changed in the middle of a stream, frame for frame, even in one chunk', () => {
  const [a, b] = ends();
  const [forA, forB] = sessionKeyPair();
  const heard: string[] = [];
  // a began the handshake; b answers in a frame and seals under the new keys after it.
  b.rekey(forB, 5);
  const fromB = [seal(b, Buffer.from('message 2'))];
  b.switchSending();
  fromB.push(seal(b, Buffer.from('under new keys')));
  const toB: Buffer[] = [seal(a, Buffer.from('before'))];
  const onFrameOfB = (frame: Uint8Array): void => {
    heard.push(Buffer.from(frame).toString());
    if (heard.at(-1) !== 'message 2') return;
    a.rekey(forA, 5);
    a.switchReceiving();
    toB.push(seal(a, Buffer.from('switched')));
    a.switchSending();
    toB.push(seal(a, Buffer.from('after')));
  };
  assert.ok(a.push(Buffer.concat(fromB), onFrameOfB));
  const onFrameOfA = (frame: Uint8Array): void => {
    heard.push(Buffer.from(frame).toString());
    if (heard.at(-1) === 'switched') b.switchReceiving();
  };
  assert.ok(b.push(Buffer.concat(toB), onFrameOfA));
  assert.deepEqual(heard, ['message 2', 'under new keys', 'before', 'switched', 'after']);
  assert.deepEqual(feed(a, seal(b, Buffer.from('x')), 9), [Buffer.from('x')]);
  assert.equal(a.needsRekey(4 + REKEY_AFTER_MS), false);
  assert.equal(a.needsRekey(5 + REKEY_AFTER_MS), true);
});

test('without new keys, switching changes nothing; while new ones wait, others are refused', () => {
  const [a, b] = ends();
  a.switchSending();
  b.switchReceiving();
  assert.deepEqual(feed(b, seal(a, Buffer.from('x')), 9), [Buffer.from('x')]);
  const [first] = sessionKeyPair();
  const [second] = sessionKeyPair();
  a.rekey(first, 0);
  a.rekey(second, 0);
  assert.throws(() => second.use(() => undefined), /twice/);
});

test('closing from within onFrame stops there', () => {
  const [a, b] = ends();
  const bytes = Buffer.concat([seal(a, Buffer.from('1')), seal(a, Buffer.from('2'))]);
  let count = 0;
  const alive = b.push(bytes, () => {
    count++;
    b.close();
  });
  assert.equal(alive, false);
  assert.equal(count, 1);
  b.close();
  assert.throws(() => b.sealFrame([]), /closed/);
  assert.equal(b.needsRekey(1e9), false);
});

test('the keys of a stream are wiped from memory when it closes', async () => {
  const { memory } = await import('../../src/crypto/sodium.ts');
  const [again] = sessionKeyPair('wiped stream');
  const key = Buffer.from(again.use(({ send }) => deriveKey(send, 'stream')));
  const stream = createStream({ keys: sessionKeyPair('wiped stream')[0], maxFrameBytes: MAX, now: 0 });
  assert.ok(Buffer.from(memory()).includes(key));
  stream.close();
  assert.ok(!Buffer.from(memory()).includes(key));
});
