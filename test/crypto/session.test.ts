import assert from 'node:assert/strict';
import { createDecipheriv, randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { inspect } from 'node:util';
import { REPLAY_WINDOW } from '../../src/crypto/replay.ts';
import {
  createSession,
  DATAGRAM_MAX_BYTES,
  DATAGRAM_OVERHEAD_BYTES,
  FORMER_KEYS_MS,
  indexMaskKey,
  REKEY_AFTER_MS,
  unmaskIndex,
  type Session,
} from '../../src/crypto/session.ts';
import { deriveKey } from '../../src/crypto/sodium.ts';
import { sessionKeyPair } from './key-pairs.ts';

const A_INDEX = 0xfedc_ba98;
const B_INDEX = 0x0000_0001;

interface Ends {
  readonly a: Session;
  readonly b: Session;
  /** Masks indices of datagrams to b. */
  readonly maskKey: Uint8Array;
}

function ends(seed?: string): Ends {
  const [forA, forB] = sessionKeyPair(seed);
  return {
    maskKey: indexMaskKey(forB.localDhPublicKey),
    a: createSession({ keys: forA, localIndex: A_INDEX, remoteIndex: B_INDEX, now: 0 }),
    b: createSession({ keys: forB, localIndex: B_INDEX, remoteIndex: A_INDEX, now: 0 }),
  };
}

function seal(session: Session, plain: Uint8Array): Buffer {
  const out = Buffer.alloc(plain.length + DATAGRAM_OVERHEAD_BYTES);
  assert.equal(session.sealDatagram(plain, out, 0), out.length);
  return out;
}

const open = (session: Session, datagram: Uint8Array): Buffer | undefined => {
  const plain = session.openDatagram(datagram);
  return plain && Buffer.from(plain);
};

test('what one side seals the other opens, at every length', () => {
  const { a, b } = ends();
  for (const length of [0, 1, 2, 15, 16, 17, 63, 64, 1172, 1400, DATAGRAM_MAX_BYTES]) {
    const plain = randomBytes(length);
    assert.deepEqual(open(b, seal(a, plain)), plain);
    assert.deepEqual(open(a, seal(b, plain)), plain);
  }
});

test('an opened datagram stays as it is while others are sealed', () => {
  const { a, b } = ends();
  const plain = randomBytes(1300);
  const opened = b.openDatagram(seal(a, plain));
  for (let i = 0; i < 10; i++) seal(b, randomBytes(1300));
  assert.deepEqual(Buffer.from(opened ?? []), plain);
});

test('a datagram is sealed where the caller says, and nothing else is touched', () => {
  const { a, b } = ends();
  const out = Buffer.alloc(100, 0xee);
  const length = a.sealDatagram(Buffer.from('here'), out, 7);
  assert.equal(length, 4 + DATAGRAM_OVERHEAD_BYTES);
  assert.ok(out.subarray(0, 7).every((byte) => byte === 0xee));
  assert.ok(out.subarray(7 + length).every((byte) => byte === 0xee));
  assert.equal(open(b, out.subarray(7, 7 + length))?.toString(), 'here');
});

test('what does not fit is a mistake of the caller', () => {
  const { a } = ends();
  assert.throws(() => a.sealDatagram(Buffer.alloc(10), Buffer.alloc(9 + DATAGRAM_OVERHEAD_BYTES), 0), RangeError);
  assert.throws(() => a.sealDatagram(Buffer.alloc(10), Buffer.alloc(10 + DATAGRAM_OVERHEAD_BYTES), 1), RangeError);
  assert.throws(() => a.sealDatagram(Buffer.alloc(DATAGRAM_MAX_BYTES + 1), Buffer.alloc(5000), 0), RangeError);
});

test('the index can be read by the receiver and lies masked, fresh each time', () => {
  const { a, maskKey } = ends();
  const seen = new Set<string>();
  for (let i = 0; i < 100; i++) {
    const datagram = seal(a, Buffer.from('same'));
    assert.equal(unmaskIndex(maskKey, datagram), B_INDEX);
    assert.notEqual(unmaskIndex(indexMaskKey(randomBytes(32)), datagram), B_INDEX);
    seen.add(datagram.toString('hex', 0, 4));
  }
  assert.ok(seen.size > 98);
  assert.equal(unmaskIndex(maskKey, Buffer.alloc(27)), undefined);
  assert.equal(typeof unmaskIndex(maskKey, Buffer.alloc(28)), 'number');
});

test('each flipped byte and each cut or longer datagram is refused, and the true one still opens', () => {
  const { a, b } = ends();
  const plain = randomBytes(50);
  const datagram = seal(a, plain);
  for (let i = 0; i < datagram.length; i++) {
    for (const bit of [1, 0x80]) {
      const damaged = Buffer.from(datagram);
      damaged[i] = (damaged[i] ?? 0) ^ bit;
      assert.equal(b.openDatagram(damaged), undefined, `byte ${i}`);
    }
  }
  for (let n = 0; n < datagram.length; n++) assert.equal(b.openDatagram(datagram.subarray(0, n)), undefined);
  assert.equal(b.openDatagram(Buffer.concat([datagram, Buffer.alloc(1)])), undefined);
  assert.equal(b.openDatagram(Buffer.alloc(DATAGRAM_MAX_BYTES + DATAGRAM_OVERHEAD_BYTES + 1)), undefined);
  assert.deepEqual(open(b, datagram), plain);
});

test('a datagram opens once, and not on the side that sealed it', () => {
  const { a, b } = ends();
  const datagram = seal(a, Buffer.from('once'));
  assert.equal(a.openDatagram(datagram), undefined);
  assert.ok(b.openDatagram(datagram));
  assert.equal(b.openDatagram(datagram), undefined);
});

test('late datagrams open within the window: its width less one, its width, and one more', () => {
  const { a, b } = ends();
  const late = [seal(a, Buffer.from('0')), seal(a, Buffer.from('1')), seal(a, Buffer.from('2'))];
  let latest: Buffer = Buffer.alloc(0);
  // Counter REPLAY_WINDOW + 1: 2 is just inside, 1 just outside.
  for (let counter = 3; counter <= REPLAY_WINDOW + 1; counter++) latest = seal(a, Buffer.alloc(1));
  assert.ok(b.openDatagram(latest));
  assert.equal(open(b, late[0] ?? latest), undefined);
  assert.equal(open(b, late[1] ?? latest), undefined);
  assert.equal(open(b, late[2] ?? latest)?.toString(), '2');
  assert.equal(open(b, late[2] ?? latest), undefined);
});

test('junk of any length is refused', () => {
  const { b } = ends();
  for (let length = 0; length < 200; length++) assert.equal(b.openDatagram(randomBytes(length)), undefined);
});

test('no byte of a datagram is constant or common over many', () => {
  const { a } = ends();
  const count = 2000;
  const tallies = Array.from({ length: 40 }, () => new Uint16Array(256));
  for (let i = 0; i < count; i++) {
    const datagram = seal(a, Buffer.alloc(12));
    tallies.forEach((tally, at) => {
      const byte = datagram[at] ?? 0;
      tally[byte] = (tally[byte] ?? 0) + 1;
    });
  }
  // 2000 random bytes: 8 of each value in the mean; 35 is beyond chance.
  tallies.forEach((tally, at) => assert.ok(Math.max(...tally) < 35, `byte ${at}`));
});

test('node:crypto opens what libsodium sealed, with the counter as nonce', () => {
  const [forA, forB] = sessionKeyPair('same bytes');
  const key = forB.use(({ receive }) => deriveKey(receive, 'datagram'));
  const a = createSession({ keys: forA, localIndex: 1, remoteIndex: 2, now: 0 });
  for (let counter = 0; counter < 3; counter++) {
    const datagram = seal(a, Buffer.from(`number ${counter}`));
    const nonce = Buffer.alloc(12);
    nonce.writeUInt32LE(counter, 4);
    const decipher = createDecipheriv('chacha20-poly1305', key, nonce, { authTagLength: 16 });
    decipher.setAuthTag(datagram.subarray(-16));
    const plain = decipher.update(datagram.subarray(12, -16));
    decipher.final();
    assert.equal(plain.toString(), `number ${counter}`);
  }
});

test('the same keys, indices and plain bytes give these bytes for ever', () => {
  const { a } = ends('golden');
  assert.equal(seal(a, Buffer.from('peerfs')).toString('hex'), GOLDEN[0]);
  assert.equal(seal(a, Buffer.from('')).toString('hex'), GOLDEN[1]);
});

test('new keys: the beginner changes at once, the other when it hears of it, and late datagrams still open', () => {
  const { a, b } = ends();
  const lateFromA = seal(a, Buffer.from('late'));
  const [forA, forB] = sessionKeyPair();
  b.rekey({ keys: forB, localIndex: 20, remoteIndex: 10, now: 1000, provisional: true });
  const lateFromB = seal(b, Buffer.from('still old'));
  assert.deepEqual(b.localIndices, [20, B_INDEX]);
  a.rekey({ keys: forA, localIndex: 10, remoteIndex: 20, now: 1000, provisional: false });
  assert.deepEqual(a.localIndices, [10, A_INDEX]);

  assert.equal(open(a, lateFromB)?.toString(), 'still old');
  const first = seal(a, Buffer.from('new'));
  assert.equal(open(b, lateFromA)?.toString(), 'late');
  assert.equal(open(b, first)?.toString(), 'new');
  assert.deepEqual(b.localIndices, [20, B_INDEX]);
  assert.equal(open(a, seal(b, Buffer.from('back')))?.toString(), 'back');
  assert.equal(b.openDatagram(first), undefined, 'replays are noticed in each generation');

  a.expire(1000 + FORMER_KEYS_MS - 1);
  assert.deepEqual(a.localIndices, [10, A_INDEX]);
  a.expire(1000 + FORMER_KEYS_MS);
  assert.deepEqual(a.localIndices, [10]);
});

test('datagrams keep opening through many changes of keys with traffic both ways', () => {
  const { a, b } = ends();
  for (let generation = 1; generation < 20; generation++) {
    const [forA, forB] = sessionKeyPair();
    const indices = { ours: generation * 2, theirs: generation * 2 + 1 };
    b.rekey({ keys: forB, localIndex: indices.theirs, remoteIndex: indices.ours, now: generation, provisional: true });
    a.rekey({ keys: forA, localIndex: indices.ours, remoteIndex: indices.theirs, now: generation, provisional: false });
    for (let i = 0; i < 3; i++) {
      assert.ok(a.openDatagram(seal(b, Buffer.alloc(9))));
      assert.ok(b.openDatagram(seal(a, Buffer.alloc(9))));
    }
    assert.ok(a.localIndices.length <= 3 && b.localIndices.length <= 3);
  }
});

test('an answered handshake that its beginner gave up is replaced by the next one', () => {
  const { a, b } = ends();
  const rekey = { remoteIndex: 99, now: 5, provisional: true };
  b.rekey({ ...rekey, keys: sessionKeyPair()[1], localIndex: 20 });
  b.rekey({ ...rekey, keys: sessionKeyPair()[1], localIndex: 21 });
  assert.deepEqual(b.localIndices, [21, B_INDEX]);
  assert.ok(b.openDatagram(seal(a, Buffer.alloc(1))));
  assert.ok(a.openDatagram(seal(b, Buffer.alloc(1))));
});

test('new keys are due two minutes after the handshake, if there was use', () => {
  const { a } = ends();
  assert.equal(a.needsRekey(REKEY_AFTER_MS), false);
  seal(a, Buffer.alloc(1));
  assert.equal(a.needsRekey(REKEY_AFTER_MS - 1), false);
  assert.equal(a.needsRekey(REKEY_AFTER_MS), true);
});

test("sessions survive that libsodium's memory grows and moves", async () => {
  const { argon2id, memory } = await import('../../src/crypto/sodium.ts');
  const { a, b } = ends();
  const before = memory().length;
  argon2id({ password: Buffer.from('x'), salt: Buffer.alloc(16), passes: 1, memoryBytes: 2 * before });
  assert.ok(memory().length > before);
  assert.equal(open(b, seal(a, Buffer.from('after')))?.toString(), 'after');
});

test('a closed session neither seals nor opens, shows nothing, and may be closed again', () => {
  const { a, b } = ends();
  const datagram = seal(a, Buffer.alloc(1));
  b.close();
  b.close();
  assert.equal(b.openDatagram(datagram), undefined);
  assert.throws(() => seal(b, Buffer.alloc(1)), /closed/);
  assert.deepEqual(b.localIndices, []);
  assert.equal(b.needsRekey(1e9), false);
  const [late] = sessionKeyPair();
  b.rekey({ keys: late, localIndex: 1, remoteIndex: 2, now: 0, provisional: false });
  assert.throws(() => late.use(() => undefined), /twice/);
});

test('keys are wiped from memory when a session closes', async () => {
  const { memory } = await import('../../src/crypto/sodium.ts');
  const [forA] = sessionKeyPair('wiped');
  const [again] = sessionKeyPair('wiped');
  const keys = again.use(({ send, receive }) => [deriveKey(send, 'datagram'), deriveKey(receive, 'datagram')]);
  const session = createSession({ keys: forA, localIndex: 1, remoteIndex: 2, now: 0 });
  const held = (): boolean[] => keys.map((key) => Buffer.from(memory()).includes(Buffer.from(key)));
  assert.deepEqual(held(), [true, true]);
  assert.ok(!inspect(session, { showHidden: true, depth: 5 }).includes(inspect(keys[0])));
  session.close();
  assert.deepEqual(held(), [false, false]);
});

/** Made by this code once it passed the vectors; the format never changes without a new version. */
const GOLDEN = [
  '5d3fe45c0472c36ebabb8ce9a9f0f31ca6e230964469d94d8b16d1a1c3e5b55c49ee',
  '0465f586bece72051d0ab4129c8bbb740f4bb6e7ed8e1b6f553d97b0',
];
