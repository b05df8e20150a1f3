import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { nodeAeadKey, type MakeAeadKey } from '../../src/crypto/aead.ts';
import { memory, openInPlace, release, reserve, sealInPlace, useInPlaceAead } from '../../src/crypto/sodium.ts';
import { opensslAead, opensslInPlace } from '../../src/sys/openssl.ts';

const openssl = opensslAead();
const LENGTHS = [0, 1, 15, 16, 17, 64, 1400, 4096, 65_537, 262_144];

/** Ciphertext and tag of `plain`, given in pieces. */
function seal(make: MakeAeadKey, raw: Uint8Array, nonce: Uint8Array, plain: Uint8Array, step: number): Buffer {
  const key = make(raw);
  const sealed = Buffer.alloc(plain.length + 16);
  key.begin(nonce, true);
  for (let at = 0; at < plain.length; at += step) key.update(plain.subarray(at, at + step), sealed, at);
  key.seal(sealed, plain.length);
  key.destroy();
  return sealed;
}

test('the node program offers the functions of its OpenSSL', () => {
  assert.ok(openssl);
});

test('RFC 8439, 2.8.2: the published ciphertext, without its additional data, from both', () => {
  // The additional data enters the tag alone: the ciphertext is as published.
  const key = Buffer.from('808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f', 'hex');
  const nonce = Buffer.from('070000004041424344454647', 'hex');
  const plain = Buffer.from(
    "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it.",
  );
  const want = 'd31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d6';
  for (const make of [nodeAeadKey, openssl ?? nodeAeadKey]) {
    assert.equal(seal(make, key, nonce, plain, 1000).toString('hex', 0, 32), want);
  }
});

test('both implementations give the same bytes and open each other, whole and in pieces', () => {
  assert.ok(openssl);
  for (const length of LENGTHS) {
    const [raw, nonce, plain] = [randomBytes(32), randomBytes(12), randomBytes(length)];
    const sealed = seal(nodeAeadKey, raw, nonce, plain, 1 << 20);
    for (const step of [1 << 20, 16_384, 1001]) {
      assert.deepEqual(seal(openssl, raw, nonce, plain, step), sealed);
      const key = openssl(raw);
      const opened = Buffer.alloc(length + 3);
      key.begin(nonce, false);
      for (let at = 0; at < length; at += step) {
        key.update(sealed.subarray(at, Math.min(length, at + step)), opened, at + 3);
      }
      assert.equal(key.open(sealed.subarray(length)), true);
      assert.deepEqual(opened.subarray(3), plain);
      key.destroy();
    }
  }
});

for (const [name, make] of [
  ['node:crypto', nodeAeadKey],
  ['openssl', openssl ?? nodeAeadKey],
] as const) {
  test(`${name}: a wrong tag, a changed byte and another nonce do not open; the key serves on`, () => {
    const [raw, nonce, plain] = [randomBytes(32), randomBytes(12), randomBytes(5000)];
    const sealed = seal(make, raw, nonce, plain, 5000);
    const key = make(raw);
    const open = (bytes: Uint8Array, with_: Uint8Array): boolean => {
      key.begin(with_, false);
      key.update(bytes.subarray(0, 5000), Buffer.alloc(5000), 0);
      return key.open(bytes.subarray(5000));
    };
    for (const at of [0, 2500, 4999, 5000, 5015]) {
      const bad = Buffer.from(sealed);
      bad[at] = (bad[at] ?? 0) ^ 1;
      assert.equal(open(bad, nonce), false, `byte ${at}`);
    }
    assert.equal(open(sealed, randomBytes(12)), false);
    assert.equal(open(sealed, nonce), true);
    key.destroy();
    key.destroy();
  });
}

test('openssl: output without room and keys or nonces of wrong length are refused', () => {
  assert.ok(openssl);
  assert.throws(() => openssl(Buffer.alloc(31)), RangeError);
  const key = openssl(Buffer.alloc(32));
  assert.throws(() => key.begin(Buffer.alloc(11), true), RangeError);
  key.begin(Buffer.alloc(12), true);
  assert.throws(() => key.update(Buffer.alloc(10), Buffer.alloc(10), 1), RangeError);
  key.destroy();
});

test("in libsodium's memory OpenSSL and libsodium give the same bytes, open each other and refuse what was changed", () => {
  const native = opensslInPlace();
  assert.ok(native);
  const most = 70_000;
  const at = reserve(most + 16);
  const [keyAt, nonceAt] = [reserve(32), reserve(12)];
  try {
    for (const length of [0, 1, 63, 64, 1400, 3072, most]) {
      memory().set(randomBytes(32), keyAt);
      memory().set(randomBytes(12), nonceAt);
      const plain = randomBytes(length);
      const sealBy = (implementation: typeof native | undefined): Buffer => {
        useInPlaceAead(implementation);
        memory().set(plain, at);
        sealInPlace(at, length, nonceAt, keyAt);
        return Buffer.from(memory().subarray(at, at + length + 16));
      };
      const sealed = sealBy(undefined);
      assert.deepEqual(sealBy(native), sealed);
      for (const implementation of [undefined, native]) {
        useInPlaceAead(implementation);
        memory().set(sealed, at);
        assert.equal(openInPlace(at, length + 16, nonceAt, keyAt), true);
        assert.deepEqual(Buffer.from(memory().subarray(at, at + length)), plain);
        const bad = Buffer.from(sealed);
        bad[length] = (bad[length] ?? 0) ^ 4;
        memory().set(bad, at);
        assert.equal(openInPlace(at, length + 16, nonceAt, keyAt), false);
      }
      // The memory grows, and with that moves.
      const grown = reserve(40 * 1024 * 1024);
      release(grown, 40 * 1024 * 1024);
    }
  } finally {
    useInPlaceAead(undefined);
  }
  assert.throws(() => native.seal(new Uint8Array(64), 50, 10, 0, 0), RangeError);
});
