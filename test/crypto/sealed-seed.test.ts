import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { isSealedSeed } from '../../src/crypto/sealed-seed-format.ts';
import { openSeed, sealSeed } from '../../src/crypto/sealed-seed.ts';

const seed = randomBytes(32);

test('a sealed seed is had back with its passphrase, however its letters are put together, and with no other', async () => {
  const sealed = await sealSeed(seed, 'Zoë 7');
  assert.ok(isSealedSeed(sealed) && !isSealedSeed(seed));
  assert.ok(!Buffer.from(sealed).includes(seed.subarray(0, 8)));
  assert.deepEqual(Buffer.from((await openSeed(sealed, 'Zoe\u0308 7')) as Uint8Array), seed);
  for (const wrong of ['zoë 7', 'Zoë 7 ']) assert.equal(await openSeed(sealed, wrong), undefined);
  assert.notDeepEqual(await sealSeed(seed, 'Zoë 7'), sealed, 'no two are alike');
});

test('a byte that was changed or is missing is noticed', async () => {
  const sealed = await sealSeed(seed, 'x');
  for (const at of [18, 60]) {
    const changed = Uint8Array.from(sealed);
    changed[at] = (changed[at] ?? 0) ^ 1;
    assert.equal(await openSeed(changed, 'x'), undefined, `byte ${at}`);
  }
  assert.equal(await openSeed(sealed.subarray(0, -1), 'x'), 'damaged');
  assert.equal(await openSeed(Buffer.concat([sealed, Buffer.alloc(1)]), 'x'), 'damaged');
  assert.equal(await openSeed(seed, 'x'), 'damaged');
});
