import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import {
  HELLO_BOX_BYTES,
  HELLO_BYTES,
  HELLO_SLOTS,
  helloKey,
  openHello,
  sealHello,
} from '../../src/crypto/lan-seal.ts';

const sender = randomBytes(32);
const secrets = Array.from({ length: HELLO_SLOTS }, () => randomBytes(32));
const keys = secrets.map((secret) => helloKey(secret, sender));
const plainOf = (i: number): Buffer => Buffer.alloc(HELLO_BOX_BYTES, i);
const boxes = keys.map((key, i) => ({ key, plain: plainOf(i) }));

test('each peer finds its box, and only that', () => {
  const hello = sealHello(boxes);
  keys.forEach((key, i) => {
    const opened = openHello(hello, [randomBytes(32), key]);
    assert.deepEqual(
      opened.map(({ keyIndex, plain }) => [keyIndex, Buffer.from(plain)]),
      [[1, plainOf(i)]],
    );
  });
  assert.equal(openHello(hello, keys).length, HELLO_SLOTS);
});

test('a stranger opens nothing', () => {
  assert.deepEqual(openHello(sealHello(boxes), [randomBytes(32), ...secrets]), []);
  assert.deepEqual(openHello(sealHello([]), keys), []);
});

test("a hello cannot be sent back to its sender as the other side's", () => {
  const [secret = sender] = secrets;
  assert.notDeepEqual(helloKey(secret, randomBytes(32)), helloKey(secret, sender));
});

test('hellos of none, one and all slots have one length, and junk fills them', () => {
  for (const count of [0, 1, HELLO_SLOTS]) {
    const hello = sealHello(boxes.slice(0, count));
    assert.equal(hello.length, HELLO_BYTES);
    assert.ok(new Set(hello).size > 200);
  }
  assert.ok(HELLO_BYTES <= 1200);
});

test('the order of boxes tells nothing', () => {
  const [box] = boxes;
  assert.ok(box);
  const places = new Set<number>();
  for (let i = 0; i < 200; i++) {
    const hello = sealHello([box]);
    for (let slot = 0; slot < HELLO_SLOTS; slot++) {
      const spoilt = Buffer.from(hello);
      spoilt.fill(0, 24 + slot * 88, 24 + (slot + 1) * 88);
      if (openHello(spoilt, [box.key]).length === 0) places.add(slot);
    }
  }
  assert.equal(places.size, HELLO_SLOTS);
});

test('a damaged box is not opened, the others are', () => {
  const hello = sealHello(boxes);
  for (let at = 24; at < hello.length; at += 5) {
    const damaged = Buffer.from(hello);
    damaged[at] = (damaged[at] ?? 0) ^ 1;
    assert.equal(openHello(damaged, keys).length, HELLO_SLOTS - 1, `byte ${at}`);
  }
  const otherNonce = Buffer.from(hello);
  otherNonce[0] = (otherNonce[0] ?? 0) ^ 1;
  assert.deepEqual(openHello(otherNonce, keys), []);
});

test('other lengths are no hello', () => {
  for (const length of [0, 1, 24, HELLO_BYTES - 1, HELLO_BYTES + 1]) {
    assert.deepEqual(openHello(randomBytes(length), keys), []);
  }
});

test('too many boxes, a box of another length, or a key used twice are mistakes of the caller', () => {
  const [box] = boxes;
  assert.ok(box);
  assert.throws(() => sealHello([...boxes, { key: randomBytes(32), plain: plainOf(0) }]), RangeError);
  assert.throws(() => sealHello([{ key: box.key, plain: Buffer.alloc(HELLO_BOX_BYTES + 1) }]), RangeError);
  assert.throws(() => sealHello([box, box]), RangeError);
});
