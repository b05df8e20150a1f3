/** Quotas of a folder that is served: what is counted, when what is refused, and what is told of room. */
import assert from 'node:assert/strict';
import { appendFileSync, linkSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { createLocalTree } from '../../src/fs/local-tree.ts';
import type { Quota } from '../../src/fs/quota.ts';
import { FALLOCATE, OPEN, RENAME } from '../../src/wire/schema.ts';
import { checkCounting, countOf, openLimited, type LimitedFolder } from '../trust/quota-counting.ts';
import { fails, openFile, p, readFile, writeFile } from './tree-contract.ts';

const KIB = 1024;
const MIB = 1024 * KIB;
const OWNER = { uid: 0, gid: 0 };
const READ_WRITE = OPEN.read | OPEN.write;
const NEW = READ_WRITE | OPEN.create;
const ANY = Number.MAX_SAFE_INTEGER;
/** A count stands for a second (src/fs/local-quota.ts). */
const COUNT_STANDS_MS = 1100;

/** @param fill what stands in the folder before. */
async function limited(t: TestContext, quota: Quota, fill?: (root: string) => void): Promise<LimitedFolder> {
  const folder = await openLimited(quota, fill);
  t.after(() => folder.close());
  return folder;
}

const later = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

for (const difference of [-1, 0, 1]) {
  test(`a file of the quota and ${difference} bytes ${difference > 0 ? 'does not fit' : 'fits'}`, async (t) => {
    const { tree } = await limited(t, { bytes: MIB, names: ANY });
    const { handle } = await openFile(tree, p('f'), NEW);
    for (let at = 0; at < MIB - 64 * KIB; at += 64 * KIB) await tree.write(handle, at, Buffer.alloc(64 * KIB));
    const last = tree.write(handle, MIB - 64 * KIB, Buffer.alloc(64 * KIB + difference));
    if (difference > 0) await fails(last, 'EDQUOT');
    else await last;
    await tree.release(handle);
  });
}

test('so many names may be made as the quota says, whatever they stand for, and one more for each that goes', async (t) => {
  const { tree } = await limited(t, { bytes: ANY, names: 6 });
  await tree.mkdir(p('d'), 0o755, OWNER);
  await writeFile(tree, p('d/f'), Buffer.from('x'));
  await tree.symlink(p('l'), Buffer.from('d/f'), OWNER);
  await tree.link(p('d/f'), 0, p('h'));
  await tree.mknod(p('n'), 0o644, OWNER, true);
  const options = { flags: NEW | OPEN.exclusive, permissions: 0o644, ...OWNER };
  const { handle } = await tree.createFile(p('c'), options, Buffer.from('c'), {}, false);
  await tree.release(handle);
  for (const make of [
    () => tree.mkdir(p('e'), 0o755, OWNER),
    () => writeFile(tree, p('e'), Buffer.from('')),
    () => tree.symlink(p('e'), Buffer.from('d'), OWNER),
    () => tree.link(p('d/f'), 0, p('e')),
    () => tree.mknod(p('e'), 0o644, OWNER, false),
    () => tree.createFile(p('e'), options, Buffer.from(''), {}, false),
  ]) {
    await fails(make(), 'EDQUOT');
    await fails(tree.getattr(p('e'), 0), 'ENOENT');
  }
  await tree.rename(p('n'), p('l'), 0);
  await tree.mkdir(p('e'), 0o755, OWNER);
  await fails(tree.mkdir(p('g'), 0o755, OWNER), 'EDQUOT');
  await tree.rmdir(p('e'));
  await tree.mkdir(p('g'), 0o755, OWNER);
});

test('what a file takes counts, not how long it says it is; holes that are filled count then', async (t) => {
  const { tree } = await limited(t, { bytes: MIB, names: ANY });
  const { handle } = await openFile(tree, p('f'), NEW);
  await tree.setattr(p('f'), handle, { size: 1024 * MIB });
  for (let piece = 0; piece < 8; piece++) await tree.write(handle, piece * 100 * MIB, Buffer.alloc(128 * KIB, 1));
  await fails(tree.write(handle, 900 * MIB, Buffer.alloc(4 * KIB, 1)), 'EDQUOT');
  await tree.write(handle, 100 * MIB, Buffer.alloc(128 * KIB, 2)).catch(() => undefined);
  await tree.setattr(p('f'), handle, { size: 100 * MIB });
  await tree.write(handle, 900 * MIB, Buffer.alloc(4 * KIB, 1));
  await tree.release(handle);
});

test('what is there already can be written over in a full folder', async (t) => {
  const { tree } = await limited(t, { bytes: 128 * KIB, names: ANY });
  await writeFile(tree, p('f'), Buffer.alloc(128 * KIB, 1));
  const { handle } = await openFile(tree, p('f'), READ_WRITE);
  await tree.write(handle, 0, Buffer.alloc(128 * KIB, 2));
  await fails(tree.write(handle, 128 * KIB, Buffer.from('x')), 'EDQUOT');
  await fails(writeFile(tree, p('g'), Buffer.from('x')), 'EDQUOT');
  await tree.release(handle);
  assert.ok((await readFile(tree, p('f'))).equals(Buffer.alloc(128 * KIB, 2)));
});

test('allocating, copying and appending take from the quota like writing', async (t) => {
  const { tree } = await limited(t, { bytes: MIB, names: ANY });
  const { handle } = await openFile(tree, p('f'), NEW);
  await fails(tree.fallocate(handle, FALLOCATE.keepSize, 0, MIB + 4 * KIB), 'EDQUOT');
  await tree.fallocate(handle, FALLOCATE.keepSize, 0, 512 * KIB);
  await tree.write(handle, 0, Buffer.alloc(512 * KIB, 1));
  const copy = await openFile(tree, p('copy'), NEW);
  assert.equal(await tree.copyRange(handle, 0, copy.handle, 0, 256 * KIB), 256 * KIB);
  await fails(tree.copyRange(handle, 0, copy.handle, 256 * KIB, 512 * KIB), 'EDQUOT');
  const append = await openFile(tree, p('log'), OPEN.write | OPEN.create | OPEN.append);
  // One after the other: each knows where the file ends.
  for (let line = 0; line < 64; line++) await tree.write(append.handle, 0, Buffer.alloc(4 * KIB, line));
  await fails(tree.write(append.handle, 0, Buffer.from('x')), 'EDQUOT');
  await tree.fallocate(handle, FALLOCATE.keepSize | FALLOCATE.punchHole, 0, 256 * KIB);
  await tree.write(append.handle, 0, Buffer.from('x'));
  for (const open of [handle, copy.handle, append.handle]) await tree.release(open);
});

test('any number of writers at once fill the folder and do not get beyond', async (t) => {
  const quota = { bytes: 4 * MIB, names: ANY };
  const { tree, root } = await limited(t, quota);
  const files = await Promise.all(
    Array.from({ length: 16 }, async (_, index) => (await openFile(tree, p(`f${index}`), NEW)).handle),
  );
  let refused = 0;
  await Promise.all(
    files.map(async (handle) => {
      for (let piece = 0; piece < 16; piece++) {
        await tree.write(handle, piece * 32 * KIB, Buffer.alloc(32 * KIB, 1)).catch(() => (refused += 1));
      }
    }),
  );
  assert.equal(refused, 16 * 16 - quota.bytes / (32 * KIB));
  for (const handle of files) await tree.release(handle);
  assert.equal((await countOf(root))?.bytes, quota.bytes);
});

test('a file that was removed while open counts until it is closed', async (t) => {
  const { tree } = await limited(t, { bytes: 256 * KIB, names: ANY });
  const { handle } = await openFile(tree, p('f'), NEW);
  await tree.write(handle, 0, Buffer.alloc(256 * KIB, 1));
  await tree.unlink(p('f'));
  await fails(writeFile(tree, p('g'), Buffer.from('x')), 'EDQUOT');
  await later(COUNT_STANDS_MS);
  await fails(writeFile(tree, p('g'), Buffer.from('x')), 'EDQUOT');
  await fails(writeFile(tree, p('g'), Buffer.from('x')), 'EDQUOT');
  await tree.release(handle);
  await writeFile(tree, p('g'), Buffer.alloc(256 * KIB, 1));
});

test('a replaced file makes room; a rename between two names of one file changes nothing', async (t) => {
  const { tree } = await limited(t, { bytes: 192 * KIB, names: 2 });
  await writeFile(tree, p('a'), Buffer.alloc(128 * KIB, 1));
  await tree.link(p('a'), 0, p('b'));
  await tree.rename(p('a'), p('b'), 0);
  await fails(tree.link(p('a'), 0, p('c')), 'EDQUOT');
  await tree.unlink(p('b'));
  await writeFile(tree, p('b'), Buffer.alloc(64 * KIB, 2));
  await tree.rename(p('a'), p('b'), RENAME.exchange);
  await tree.rename(p('a'), p('b'), 0);
  assert.ok((await readFile(tree, p('b'))).equals(Buffer.alloc(64 * KIB, 2)));
  await writeFile(tree, p('a'), Buffer.alloc(128 * KIB, 1));
});

test('extended attributes take from the quota', async (t) => {
  const { tree } = await limited(t, { bytes: 64 * KIB, names: ANY });
  await writeFile(tree, p('a'), Buffer.alloc(64 * KIB, 1));
  await fails(tree.setxattr(p('a'), p('user.a'), Buffer.alloc(2000), 0), 'EDQUOT');
});

test('what programs of this computer do is counted before anything is refused, and told by statfs', async (t) => {
  const { tree, root } = await limited(t, { bytes: MIB, names: 100 }, (folder) => {
    mkdirSync(join(folder, 'd'));
    writeFileSync(join(folder, 'd', 'big'), Buffer.alloc(768 * KIB, 1));
    linkSync(join(folder, 'd', 'big'), join(folder, 'again'));
  });
  assert.equal(tree.used?.names, 3);
  await fails(writeFile(tree, p('f'), Buffer.alloc(512 * KIB, 1)), 'EDQUOT');
  rmSync(join(root, 'd', 'big'));
  rmSync(join(root, 'again'));
  await later(COUNT_STANDS_MS);
  await writeFile(tree, p('f'), Buffer.alloc(512 * KIB, 1));
  appendFileSync(join(root, 'f'), Buffer.alloc(256 * KIB, 1));
  await later(COUNT_STANDS_MS);
  const { blockSize, blocks, blocksAvailable, files, filesFree } = await tree.statfs(p(''));
  assert.equal(blocks * blockSize, MIB);
  const left = blocksAvailable * blockSize;
  assert.ok(left <= 256 * KIB && left >= 240 * KIB, `${left} bytes left`);
  assert.deepEqual([files, filesFree], [100, 98]);
});

test('a quota is given, changed and taken away while the folder is in use', async (t) => {
  const { tree } = await limited(t, { bytes: 64 * KIB, names: ANY });
  const { handle } = await openFile(tree, p('f'), NEW);
  await fails(tree.write(handle, 0, Buffer.alloc(128 * KIB)), 'EDQUOT');
  await tree.setQuota({ bytes: 128 * KIB, names: ANY });
  await tree.write(handle, 0, Buffer.alloc(128 * KIB));
  await tree.setQuota({ bytes: 64 * KIB, names: ANY });
  await fails(tree.write(handle, 128 * KIB, Buffer.alloc(1)), 'EDQUOT');
  await tree.setQuota(undefined);
  await tree.write(handle, 128 * KIB, Buffer.alloc(MIB));
  await tree.release(handle);

  const root = mkdtempSync(join(tmpdir(), 'peerfs-quota-'));
  const free = await createLocalTree({ root, writable: true, idmap: 'user' });
  const open = await openFile(free, p('f'), NEW);
  await free.write(open.handle, 0, Buffer.alloc(64 * KIB));
  await free.setQuota({ bytes: 128 * KIB, names: ANY });
  await free.write(open.handle, 64 * KIB, Buffer.alloc(64 * KIB));
  await fails(free.write(open.handle, 128 * KIB, Buffer.alloc(1)), 'EDQUOT');
  await free.close();
  rmSync(root, { recursive: true });
});

test('nobody hides files by putting them deeper than a path is long, or where the owner may not look', async (t) => {
  const { tree, root } = await limited(t, { bytes: ANY, names: ANY });
  // Each of these is a path that can be named; one inside the other they are three times as long.
  const deep = Array.from({ length: 15 }, () => 'n'.repeat(250)).join('/');
  for (const top of ['x', 'y', 'z']) {
    const names = [top, ...deep.split('/')];
    for (let depth = 1; depth <= names.length; depth++) {
      await tree.mkdir(p(names.slice(0, depth).join('/')), 0o755, OWNER);
    }
  }
  await tree.mkdir(p('closed'), 0o000, OWNER);
  await tree.setattr(p('closed'), 0, { mode: 0o000 });
  await writeFile(tree, p('f'), Buffer.alloc(64 * KIB, 1));
  const before = await countOf(root);
  await tree.rename(p('f'), p(`z/${deep}/f`), 0);
  await tree.rename(p('z'), p(`y/${deep}/z`), 0);
  await tree.rename(p('y'), p(`x/${deep}/y`), 0);
  assert.deepEqual(await countOf(root), before);
  assert.equal((await tree.getattr(p('closed'), 0)).mode & 0o777, 0o500);
});

test('after any operations as much is counted as a new count finds', { timeout: 60_000 }, async () => {
  for (const seed of [1, 2, 3]) await checkCounting(seed, 600);
});

test('counting a large folder holds nobody up', { timeout: 60_000 }, async (t) => {
  const FILES = 20_000;
  const { root } = await limited(t, { bytes: ANY, names: ANY }, (folder) => {
    for (let directory = 0; directory < FILES / 1000; directory++) {
      mkdirSync(join(folder, `d${directory}`));
      for (let file = 0; file < 1000; file++) writeFileSync(join(folder, `d${directory}`, `f${file}`), '');
    }
  });
  const tree = await createLocalTree({ root, writable: true, idmap: 'user', quota: { bytes: ANY, names: ANY } });
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  const times: number[] = [];
  while (tree.used === undefined) {
    const started = performance.now();
    await tree.getattr(p('d0'), 0);
    times.push(performance.now() - started);
  }
  delay.disable();
  assert.equal(tree.used.names, FILES + FILES / 1000);
  times.sort((a, b) => a - b);
  const median = times[Math.floor(times.length / 2)] ?? 0;
  assert.ok(median < 10, `half of the calls took longer than ${median.toFixed(1)} ms`);
  assert.ok(delay.percentile(50) / 1e6 < 10, `the event loop was late by ${delay.percentile(50) / 1e6} ms`);
  await tree.close();
});
