import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MountListing } from '../../src/fs/mount-listing.ts';
import { createMemoryTree } from './memory-tree.ts';
import { createManualClock } from '../manual-clock.ts';
import { p } from './remote-fixture.ts';

const SLICE = 512;

/** A directory of so many names, and what a listing of it reads, slice by slice. */
async function createDirectory(count: number) {
  const tree = createMemoryTree({ clock: createManualClock() });
  for (let index = 0; index < count; index++) await tree.mknod(p(`f${index}`), 0o644, { uid: 0, gid: 0 }, false);
  const handle = await tree.openDirectory(p(''));
  const listing = new MountListing();
  let reads = 0;
  return {
    tree,
    listing,
    reads: () => reads,
    /** Name of the row, as a READDIR would get it; undefined behind the end. */
    async row(position: number): Promise<string | undefined> {
      while (listing.wants(position)) {
        reads += 1;
        if (!listing.isBegun) listing.addOwn([]);
        const { entries, end } = await tree.readDirectory(handle, listing.cursor, SLICE);
        listing.add(entries, end);
      }
      const row = listing.row(position);
      return row === undefined ? undefined : 'kind' in row ? row.kind : row.name;
    },
  };
}

test('rows come in their order, the own ones first, and then none', async () => {
  const { row, reads } = await createDirectory(700);
  assert.deepEqual([await row(0), await row(1), await row(2), await row(701)], ['self', 'parent', 'f0', 'f699']);
  assert.equal(await row(702), undefined);
  assert.equal(await row(5000), undefined);
  assert.equal(reads(), 2);
});

test('of a large directory a part is held; going back reads again from near there', async () => {
  const { row, listing, reads } = await createDirectory(20_000);
  let held = 0;
  for (let position = 0; position < 20_002; position++) {
    const name = await row(position);
    if (position >= 2 && name !== `f${position - 2}`) assert.fail(`${name} at ${position}`);
    if (position % 1000 !== 0) continue;
    held = 0;
    for (let other = 2; other < 20_002; other++) if (listing.row(other) !== undefined) held += 1;
    assert.ok(held <= 8192, `${held} held`);
  }
  const before = reads();
  for (const position of [19_000, 18_000, 100, 2, 9000, 20_001, 3, 0, 1]) {
    assert.equal(await row(position), position < 2 ? ['self', 'parent'][position] : `f${position - 2}`);
  }
  assert.ok(reads() - before < 100, `${reads() - before} read again`);
});

test('small steps back, as the kernel makes them, read nothing again', async () => {
  const { row, reads } = await createDirectory(20_000);
  for (let position = 0; position < 20_002; position += 200) {
    await row(position + 250);
    await row(position);
  }
  assert.equal(reads(), Math.ceil(20_000 / SLICE));
});

test('after a restart everything is read anew, and what was on its way is not taken', async () => {
  const { row, listing, tree } = await createDirectory(10);
  assert.equal(await row(5), 'f3');
  const { version } = listing;
  listing.restart();
  assert.notEqual(listing.version, version);
  assert.equal(listing.isBegun, false);
  await tree.unlink(p('f0'));
  assert.equal(await row(2), 'f1');
});

test('names that come and go while it is read change nothing for the others', async () => {
  const { row, tree } = await createDirectory(3000);
  const seen: string[] = [];
  for (let position = 2; ; position++) {
    const name = await row(position);
    if (name === undefined) break;
    seen.push(name);
    if (position % 100 === 0) {
      await tree.unlink(p(`f${position}`)).catch(() => undefined);
      await tree.mknod(p(`new-${position}`), 0o644, { uid: 0, gid: 0 }, false);
    }
  }
  const stayed = Array.from({ length: 3000 }, (_, index) => index).filter((index) => index % 100 !== 0);
  assert.deepEqual(
    stayed.filter((index) => !seen.includes(`f${index}`)),
    [],
  );
  assert.equal(new Set(seen).size, seen.length);
});
