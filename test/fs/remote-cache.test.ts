import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ByteString } from '../../src/bytestring.ts';
import { ContentsMemory } from '../../src/fs/contents-memory.ts';
import { DirectoryCache } from '../../src/fs/remote-cache.ts';
import { RemoteContents } from '../../src/fs/remote-contents.ts';
import { PeerLease } from '../../src/fs/remote-lease.ts';
import { RECALL, type Attributes } from '../../src/wire/schema.ts';
import { createManualClock } from '../manual-clock.ts';
import { p } from './remote-fixture.ts';

const ATTRIBUTES: Attributes = {
  inode: 1n,
  device: 1n,
  mode: 0o100644,
  nlink: 1,
  uid: 0,
  gid: 0,
  size: 0,
  blocks: 0,
  blksize: 4096,
  atimeSec: 0,
  atimeNsec: 0,
  mtimeSec: 0,
  mtimeNsec: 0,
  ctimeSec: 0,
  ctimeNsec: 0,
  birthSec: 0,
  birthNsec: 0,
  flags: 0,
};

const entriesOf = (count: number, from = 0, attributes: Attributes = ATTRIBUTES) =>
  Array.from({ length: count }, (_, index) => ({ name: `f${from + index}` as ByteString, attributes }));

function createCache() {
  const clock = createManualClock();
  const lease = new PeerLease(clock, () => Promise.resolve());
  lease.learn(15_000, clock.now());
  lease.heard(clock.now());
  return { clock, lease, cache: new DirectoryCache(lease, new RemoteContents(new ContentsMemory())) };
}

/** Takes in a whole directory, slice by slice. @returns whether all of it was taken. */
function take(cache: DirectoryCache, directory: ByteString, count: number): boolean {
  const listing = cache.beginListing(directory);
  for (let from = 0; from < count; from += 512) {
    const isEnd = from + 512 >= count;
    if (!cache.addListed(listing, directory, entriesOf(Math.min(512, count - from), from), isEnd)) return false;
  }
  return true;
}

test('what was listed so far is known, and at the end what is not there', () => {
  const { cache } = createCache();
  const listing = cache.beginListing(p('d'));
  assert.ok(cache.addListed(listing, p('d'), entriesOf(2), false));
  assert.equal(cache.get(p('d/f1')), ATTRIBUTES);
  assert.equal(cache.get(p('d/f2')), undefined);
  assert.equal(cache.listing(p('d')), undefined);
  assert.ok(cache.addListed(listing, p('d'), entriesOf(1, 2), true));
  assert.equal(cache.get(p('d/f2')), ATTRIBUTES);
  assert.equal(cache.get(p('d/f3')), null);
  assert.deepEqual(
    cache.listing(p('d'))?.map(({ name }) => name),
    ['f0', 'f1', 'f2'],
  );
});

test('a listing that was recalled, or begun anew, meanwhile is not gone on with', () => {
  const { cache } = createCache();
  const recalled = cache.beginListing(p('d'));
  cache.recalled(p('d'), RECALL.entries);
  assert.equal(cache.addListed(recalled, p('d'), entriesOf(1), true), false);
  const first = cache.beginListing(p('d'));
  const second = cache.beginListing(p('d'));
  assert.equal(cache.addListed(first, p('d'), entriesOf(1), true), false);
  assert.equal(cache.addListed(second, p('d'), entriesOf(1), true), true);
});

test('a listing ends with its lease', () => {
  const { cache, clock } = createCache();
  const listing = cache.beginListing(p('d'));
  clock.advance(15_001);
  assert.equal(cache.addListed(listing, p('d'), entriesOf(1), true), false);
  assert.equal(cache.get(p('d/f0')), undefined);
});

test('what may change elsewhere is listed by name only', () => {
  const { cache } = createCache();
  const listing = cache.beginListing(p('d'));
  const linked = entriesOf(1, 0, { ...ATTRIBUTES, nlink: 2 });
  assert.ok(cache.addListed(listing, p('d'), [...linked, { name: p('g'), attributes: undefined }], true));
  assert.equal(cache.get(p('d/f0')), undefined);
  assert.equal(cache.get(p('d/g')), undefined);
  assert.equal(cache.get(p('d/h')), null);
  assert.equal(cache.listing(p('d')), undefined);
});

test('a directory that is too large is not kept at all', () => {
  const { cache } = createCache();
  assert.ok(take(cache, p('small'), 100));
  assert.equal(take(cache, p('large'), 200_000), false);
  assert.equal(cache.get(p('large/f0')), undefined);
  assert.ok(cache.listing(p('small')));
});

test('of many directories those used last are kept', () => {
  const { cache } = createCache();
  for (let index = 0; index < 40; index++) assert.ok(take(cache, p(`d${index}`), 20_000));
  let kept = 0;
  for (let index = 0; index < 40; index++) if (cache.listing(p(`d${index}`)) !== undefined) kept += 1;
  assert.ok(kept >= 9 && kept <= 10, `${kept} kept`);
  assert.ok(cache.listing(p('d39')));
});
