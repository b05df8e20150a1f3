import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { inspect } from 'node:util';
import { decodeBase32, encodeBase32 } from '../../src/crypto/base32.ts';
import { createIdentity, dhKeyOf, fingerprintWords, identityFromSeed, peerIdOf } from '../../src/crypto/identity.ts';
import { WORDS } from '../../src/crypto/wordlist.ts';

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

test('the Ed25519 vector of RFC 8032 section 7.1, test 1', () => {
  const seed = Buffer.from('9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60', 'hex');
  const identity = identityFromSeed(seed);
  assert.equal(hex(identity.publicKey), 'd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a');
  assert.equal(hex(identity.secretKey.subarray(0, 32)), hex(seed));
});

test('the X25519 pair is derived from the Ed25519 one, by others too', () => {
  const identity = createIdentity();
  const clamped = createHash('sha512').update(identity.secretKey.subarray(0, 32)).digest().subarray(0, 32);
  clamped[0] = (clamped[0] ?? 0) & 248;
  clamped[31] = ((clamped[31] ?? 0) & 127) | 64;
  assert.equal(hex(identity.dhSecretKey), hex(clamped));
  assert.deepEqual(dhKeyOf(identity.publicKey), identity.dhPublicKey);
});

test('bytes that are no key have no X25519 key', () => {
  assert.equal(dhKeyOf(Buffer.alloc(32, 0xff)), undefined);
  assert.equal(dhKeyOf(Buffer.alloc(32)), undefined);
  assert.equal(dhKeyOf(Buffer.alloc(31)), undefined);
});

test('the same seed gives the same identity, id and fingerprint for ever', () => {
  const identity = identityFromSeed(Buffer.alloc(32, 1));
  assert.equal(peerIdOf(identity.publicKey), 'rkeohxlubhyzl7ks3mwtzos5olfgocn7dwkbeg7toseadnapn5oa');
  assert.equal(fingerprintWords(identity.publicKey).join(' '), 'propeller passport hasty payphone douche hatchery');
});

test('an id is the key in base32', () => {
  const key = randomBytes(32);
  assert.match(peerIdOf(key), /^[a-z2-7]{52}$/);
  assert.deepEqual(Buffer.from(decodeBase32(peerIdOf(key)) ?? []), key);
});

test('base32 agrees with the vectors of RFC 4648 section 10 and refuses what it would not write', () => {
  const vectors: Record<string, string> = {
    '': '',
    f: 'my',
    fo: 'mzxq',
    foo: 'mzxw6',
    foob: 'mzxw6yq',
    fooba: 'mzxw6ytb',
    foobar: 'mzxw6ytboi',
  };
  for (const [plain, encoded] of Object.entries(vectors)) {
    assert.equal(encodeBase32(Buffer.from(plain)), encoded);
    assert.equal(Buffer.from(decodeBase32(encoded) ?? []).toString(), plain);
  }
  for (const bad of ['m', 'mz', 'mzx', 'mzxw6a', 'my======', 'MY', 'm1'])
    assert.equal(decodeBase32(bad), undefined, bad);
});

test('a fingerprint has six words of the list and differs between keys', () => {
  const seen = new Set<string>();
  for (let i = 0; i < 50; i++) {
    const words = fingerprintWords(randomBytes(32));
    assert.equal(words.length, 6);
    for (const word of words) assert.ok(WORDS.includes(word));
    seen.add(words.join(' '));
  }
  assert.equal(seen.size, 50);
});

test('printing an identity shows no secret', () => {
  const identity = createIdentity();
  const shown = inspect(identity, { showHidden: true, depth: 9, maxArrayLength: null });
  for (const secret of [identity.secretKey, identity.dhSecretKey]) {
    assert.ok(!shown.replace(/\s/g, '').includes([...secret.subarray(0, 16)].join(',')));
  }
  assert.ok(!JSON.stringify(identity).includes('ecret'));
});
