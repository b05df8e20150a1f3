import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { turnIntegrity, turnKey } from '../../src/crypto/turn-credentials.ts';
import { decodeStun, encodeStun, type StunMessage } from '../../src/wire/stun.ts';

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(/\s/g, ''), 'hex');

/** The short-term password of RFC 5769 section 2. */
const SHORT_TERM = turnIntegrity(Buffer.from('VOkJxbRl1RmTxUk/WvJxBt'));

/** RFC 5769 sections 2.1 to 2.4. */
const VECTORS = {
  request: hex(`
    00010058 2112a442 b7e7a701bc34d686fa87dfae 80220010 5354554e207465737420636c69656e74 00240004 6e0001ff
    80290008 932ff9b151263b36 00060009 6576746a3a68367659202020 00080014 9aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a2
    80280004 e57a3bcf`),
  ipv4: hex(`
    0101003c 2112a442 b7e7a701bc34d686fa87dfae 8022000b 7465737420766563746f7220 00200008 0001a147e112a643
    00080014 2b91f599fd9e90c38c7489f92af9ba53f06be7d7 80280004 c07d4c96`),
  ipv6: hex(`
    01010048 2112a442 b7e7a701bc34d686fa87dfae 8022000b 7465737420766563746f7220
    00200014 0002a1470113a9faa5d3f179bc25f4b5bed2b9d9
    00080014 a382954e4be67bf11784c97c8292c275bfe3ed41 80280004 c8fb0b4c`),
  longTerm: hex(`
    00010060 2112a442 78ad3433c6ad72c029da412e 00060012 e3839ee38388e383aae38383e382afe382b90000
    0015001c 662f2f3439396b39353464364f4c33346f4c39465354767936347341 0014000b 6578616d706c652e6f726700
    00080014 f67024656dd64a3e02b8e0712e85c9a28ca89666`),
} as const;

const TRANSACTION = hex('b7e7a701bc34d686fa87dfae');

test('the vectors of RFC 5769 are read, and their integrity holds', () => {
  const request = decodeStun(VECTORS.request);
  assert.equal(request?.message.username, 'evtj:h6vY');
  assert.ok(request.checkIntegrity(SHORT_TERM));

  const ipv4 = decodeStun(VECTORS.ipv4);
  assert.deepEqual(ipv4?.message.xorMappedAddress, { host: '192.0.2.1', port: 32853 });
  assert.equal(ipv4.message.class, 'success');
  assert.deepEqual(Buffer.from(ipv4.message.transaction), TRANSACTION);
  assert.ok(ipv4.checkIntegrity(SHORT_TERM));

  const ipv6 = decodeStun(VECTORS.ipv6);
  assert.deepEqual(ipv6?.message.xorMappedAddress, { host: '2001:db8:1234:5678:11:2233:4455:6677', port: 32853 });
  assert.ok(ipv6.checkIntegrity(SHORT_TERM));
});

test('the vector of RFC 5769 with long-term credentials is made to the byte', () => {
  const decoded = decodeStun(VECTORS.longTerm);
  assert.ok(decoded !== undefined);
  const { username = '', realm = '' } = decoded.message;
  assert.equal(username, 'マトリックス');
  const integrity = turnIntegrity(turnKey(username, realm, 'TheMatrIX'));
  assert.ok(decoded.checkIntegrity(integrity));
  assert.ok(!decoded.checkIntegrity(turnIntegrity(turnKey(username, realm, 'TheMatrix'))));
  assert.deepEqual(Buffer.from(encodeStun(decoded.message, integrity)), VECTORS.longTerm);
});

test('what comes after the integrity is not believed', () => {
  const late = Buffer.concat([VECTORS.ipv4, hex('000d0004 00000258')]);
  late.writeUInt16BE(late.length - 20, 2);
  const decoded = decodeStun(late);
  assert.ok(decoded !== undefined);
  assert.ok(decoded.checkIntegrity(SHORT_TERM));
  assert.equal(decoded.message.lifetime, undefined);
});

const MESSAGES: readonly StunMessage[] = [
  { method: 'binding', class: 'request', transaction: TRANSACTION },
  { method: 'allocate', class: 'request', transaction: TRANSACTION, requestsUdp: true, addressFamily: 6 },
  {
    method: 'allocate',
    class: 'success',
    transaction: TRANSACTION,
    lifetime: 600,
    xorMappedAddress: { host: '203.0.113.9', port: 1 },
    xorRelayedAddress: { host: '2001:db8::1:0:0:1', port: 65535 },
  },
  {
    method: 'createPermission',
    class: 'request',
    transaction: TRANSACTION,
    username: 'ann',
    realm: 'example.org',
    nonce: 'n'.repeat(128),
    xorPeerAddresses: [
      { host: '::1', port: 0 },
      { host: '0.0.0.0', port: 7 },
    ],
  },
  {
    method: 'channelBind',
    class: 'error',
    transaction: TRANSACTION,
    channelNumber: 0x4fff,
    errorCode: { code: 438, reason: 'Stale Nonce' },
  },
];

test('every attribute comes back as it was sent, with integrity and without', () => {
  const integrity = turnIntegrity(turnKey('ann', 'example.org', 'secret'));
  for (const message of MESSAGES) {
    for (const proof of [undefined, integrity]) {
      const decoded = decodeStun(encodeStun(message, proof));
      assert.deepEqual({ ...decoded?.message, transaction: Buffer.from(TRANSACTION) }, message);
      assert.equal(decoded?.checkIntegrity(integrity), proof !== undefined);
    }
  }
});

test('data of any length comes back as it was', () => {
  for (const length of [0, 1, 2, 3, 4, 1199, 1500]) {
    const data = randomBytes(length);
    const peer = { host: '192.0.2.7', port: 5 };
    const bytes = encodeStun({
      method: 'send',
      class: 'indication',
      transaction: TRANSACTION,
      xorPeerAddresses: [peer],
      data,
    });
    assert.equal(bytes.length % 4, 0);
    const { message } = decodeStun(bytes) ?? {};
    assert.deepEqual(Buffer.from(message?.data ?? []), data);
    assert.deepEqual(message?.xorPeerAddresses, [peer]);
  }
});

test('a flipped bit of what is covered breaks the integrity or the message', () => {
  const covered = VECTORS.longTerm.length;
  for (let bit = 0; bit < covered * 8; bit++) {
    const flipped = Buffer.from(VECTORS.longTerm);
    flipped.writeUInt8(flipped.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
    const integrity = turnIntegrity(turnKey('マトリックス', 'example.org', 'TheMatrIX'));
    assert.notEqual(decodeStun(flipped)?.checkIntegrity(integrity), true, `bit ${bit}`);
  }
});

test('what is cut, too long, of another cookie or with a length that lies is no message', () => {
  for (const vector of Object.values(VECTORS)) {
    for (let length = 0; length < vector.length; length++) {
      assert.equal(decodeStun(vector.subarray(0, length)), undefined, `${length} bytes`);
    }
    assert.equal(decodeStun(Buffer.concat([vector, Buffer.alloc(4)])), undefined);
    const cookie = Buffer.from(vector);
    cookie.writeUInt8(0x22, 4);
    assert.equal(decodeStun(cookie), undefined);
  }
  // An attribute that ends behind the message; an address of no family; a text over the bound.
  assert.equal(decodeStun(hex('01010008 2112a442 b7e7a701bc34d686fa87dfae 00200008 0001a147')), undefined);
  assert.equal(decodeStun(hex('0101000c 2112a442 b7e7a701bc34d686fa87dfae 00200008 0003a147e112a643')), undefined);
  const nonce = 'n'.repeat(764);
  assert.equal(
    decodeStun(encodeStun({ method: 'allocate', class: 'error', transaction: TRANSACTION, nonce })),
    undefined,
  );
});

test('junk is never thrown at', () => {
  for (let i = 0; i < 5000; i++) {
    const junk = randomBytes(Math.floor(Math.random() * 120));
    decodeStun(junk);
    const close = Buffer.from(VECTORS.request);
    for (let n = 0; n < 3; n++) close.writeUInt8(junk[n] ?? 0, Math.floor(Math.random() * close.length));
    decodeStun(close)?.checkIntegrity(SHORT_TERM);
  }
});
