import assert from 'node:assert/strict';
import { test } from 'node:test';
import { halfSipHash, inodeNumber, shareKey } from '../../src/fs/inode-numbers.ts';

/** The key 00 01 ... 07 of the reference vectors (github.com/veorq/SipHash, vectors.h, hsip64). */
const KEY = [0x03020100, 0x07060504] as const;

test('the hash is HalfSipHash-2-4 with 64 bits: the reference vector of the empty message', () => {
  const [high, low] = halfSipHash(KEY, new Uint32Array(0));
  const out = Buffer.alloc(8);
  out.writeUInt32LE(low, 0);
  out.writeUInt32LE(high, 4);
  assert.equal(out.toString('hex'), '218d1f59b9b83cc8');
});

test('each part of the identity, the peer, the share and the key change the number', () => {
  const base = { device: 1n, inode: 2n, birthSec: 3, birthNsec: 4 };
  const key = shareKey(Buffer.alloc(16, 1), 'peer', 1);
  const numbers = [
    inodeNumber(key, base),
    inodeNumber(key, { ...base, device: 2n }),
    inodeNumber(key, { ...base, inode: 2n + (1n << 32n) }),
    inodeNumber(key, { ...base, birthSec: -3 }),
    inodeNumber(key, { ...base, birthNsec: 5 }),
    inodeNumber(shareKey(Buffer.alloc(16, 1), 'peer', 2), base),
    inodeNumber(shareKey(Buffer.alloc(16, 1), 'reep', 1), base),
    inodeNumber(shareKey(Buffer.alloc(16, 2), 'peer', 1), base),
  ];
  assert.equal(new Set(numbers).size, numbers.length);
  assert.equal(inodeNumber(key, base), numbers[0]);
});
