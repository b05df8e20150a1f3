import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  onionAddress,
  onionClientKey,
  onionHost,
  onionKeyFromSeed,
  onionPublicKey,
  onionSeed,
} from '../../src/crypto/onion.ts';
import { dh, importDhSecret } from '../../src/crypto/x25519.ts';

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

/** The examples of rend-spec-v3, section 1.2, and the Tor Project's own. */
const REAL = [
  'pg6mmjiyjmcrsslvykfwnntlaru7p5svn6y2ymmju6nubxndf4pscryd.onion',
  'sp3k262uwy4r2k3ycr5awluarykdpag6a7y33jxop4cs2lu5uz5sseqd.onion',
  'xa4r2iadxm55fbnqgwwi5mymqdcofiu3w6rpbtqn7b2dyn7mgwj64jyd.onion',
  '2gzyxa5ihm7nsggfxnu52rck2vv4rvmdlkiu3zzui5du4xyclen53wid.onion',
];

test('addresses of real services are read, and written again from their keys', () => {
  for (const host of REAL) {
    const publicKey = onionPublicKey(host);
    assert.ok(publicKey !== undefined);
    assert.equal(publicKey.length, 32);
    assert.equal(onionAddress(publicKey), host);
  }
});

test('no other text is an address: every changed letter, other lengths, versions and endings', () => {
  const [host = ''] = REAL;
  for (let at = 0; at < 56; at++) {
    const other = host.slice(0, at) + (host[at] === 'a' ? 'b' : 'a') + host.slice(at + 1);
    assert.equal(onionPublicKey(other), undefined, `letter ${at}`);
  }
  const bad = [
    '',
    '.onion',
    host.slice(1),
    `a${host}`,
    host.toUpperCase(),
    host.slice(0, -6),
    `${host}.`,
    'example.com',
  ];
  for (const text of [...bad, `www.${host}`, `${host}\r\n`, '3g2upl4pq6kufc4m.onion']) {
    assert.equal(onionPublicKey(text), undefined, text);
  }
});

test('a seed stands for one key and address for ever, clamped as RFC 8032 says', () => {
  const seed = Buffer.alloc(32, 7);
  const { host, expandedKey } = onionKeyFromSeed(seed);
  assert.equal(host, onionHost(seed));
  assert.equal(host, '5jfgyy7ctrjavpxvkb5rglwf7gkuo5vox27hxescd3vgsfcg2iwfmxqd.onion');
  assert.equal(hex(onionPublicKey(host) ?? Buffer.alloc(0)).length, 64);
  assert.equal(expandedKey.length, 64);
  assert.equal((expandedKey[0] ?? 0) & 7, 0);
  assert.equal((expandedKey[31] ?? 0) & 0xc0, 0x40);
  assert.throws(() => onionKeyFromSeed(Buffer.alloc(31)), RangeError);
});

test('seeds differ by secret, label and context', () => {
  const seeds = [
    onionSeed(Buffer.alloc(32, 1), 'peers'),
    onionSeed(Buffer.alloc(32, 2), 'peers'),
    onionSeed(Buffer.alloc(32, 1), 'invitation'),
    onionSeed(Buffer.alloc(32, 1), 'invitation', Buffer.from('a')),
    onionSeed(Buffer.alloc(32, 1), 'invitation', Buffer.from('b')),
    onionSeed(Buffer.alloc(64, 1), 'peers'),
  ];
  assert.equal(new Set(seeds.map(hex)).size, seeds.length);
  assert.deepEqual(onionSeed(Buffer.alloc(32, 1), 'peers'), seeds[0]);
});

test("both peers make the same client key for each one's service, and its halves belong together", () => {
  const secret = Buffer.alloc(32, 3);
  const key = onionClientKey(secret, 'one');
  assert.deepEqual(onionClientKey(Uint8Array.from(secret), 'one'), key);
  assert.notEqual(hex(onionClientKey(secret, 'other').secretKey), hex(key.secretKey));
  const far = onionClientKey(Buffer.alloc(32, 4), 'one');
  const [mine, theirs] = [importDhSecret(key.secretKey), importDhSecret(far.secretKey)];
  assert.deepEqual(dh(mine.privateKey, far.publicKey), dh(theirs.privateKey, key.publicKey));
});
