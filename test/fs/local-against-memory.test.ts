import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { join, ROOT, type ByteString } from '../../src/bytestring.ts';
import { codeOf } from '../../src/errors.ts';
import { createLocalTree } from '../../src/fs/local-tree.ts';
import type { Tree } from '../../src/fs/tree.ts';
import { OPEN } from '../../src/wire/schema.ts';
import { createMemoryTree } from './memory-tree.ts';
import { list, openFile, p } from './tree-contract.ts';

const OWNER = { uid: 0, gid: 0 };
const S_IFDIR = 0o040000;

/** Everything that a tree shows, as text. Cursors, times and inode numbers are left out: they differ. */
async function dump(tree: Tree, directory: ByteString = ROOT): Promise<string[]> {
  const lines: string[] = [];
  for (const name of (await list(tree, directory)).sort()) {
    const at = join(directory, name);
    const { mode, nlink, size } = await tree.getattr(at, 0);
    const isDirectory = (mode & 0o170000) === S_IFDIR;
    let contents = '';
    if ((mode & 0o170000) === 0o120000) contents = Buffer.from(await tree.readlink(at)).toString();
    else if (!isDirectory) {
      const { handle } = await openFile(tree, at, OPEN.read);
      contents = Buffer.from(await tree.read(handle, 0, 4096)).toString('latin1');
      await tree.release(handle);
    }
    lines.push(`${at} ${mode.toString(8)} ${nlink} ${isDirectory ? '' : size} ${contents}`);
    if (isDirectory) lines.push(...(await dump(tree, at)));
  }
  return lines;
}

/** What came of an operation: its result, or the code of its error. */
async function outcome(run: Promise<unknown>): Promise<unknown> {
  try {
    return await run;
  } catch (error) {
    return codeOf(error);
  }
}

test('4,000 random operations end the same on a disk as in memory', { timeout: 60_000 }, async () => {
  const root = await mkdtemp(path.join(tmpdir(), 'peerfs-model-'));
  const local = await createLocalTree({ root, writable: true, idmap: 'user' });
  const memory = createMemoryTree();
  let seed = 20_260;
  const random = (below: number) => (seed = (seed * 1103515245 + 12345) & 0x7fffffff) % below;
  const anyPath = () =>
    Array.from({ length: 1 + random(3) }, () => p('abc'[random(3)] ?? 'a')).reduce(
      (all, name) => join(all, name),
      ROOT,
    );

  /** One operation, with all chances taken before it runs. */
  function operation(): (tree: Tree) => Promise<unknown> {
    const one = anyPath();
    const two = anyPath();
    const number = random(200);
    const mode = 0o600 | random(0o200);
    switch (random(12)) {
      case 0:
      case 1:
        return (tree) => tree.mkdir(one, mode, OWNER).then((attributes) => attributes.mode);
      case 2:
        return (tree) => tree.mknod(one, mode, OWNER, false).then((attributes) => attributes.mode);
      case 3:
        return (tree) => tree.symlink(one, Buffer.from(two), OWNER).then((attributes) => attributes.size);
      case 4:
        return (tree) => tree.link(one, 0, two).then((attributes) => attributes.nlink);
      case 5:
        return (tree) => tree.unlink(one);
      case 6:
        return (tree) => tree.rmdir(one);
      case 7:
      case 8:
        return (tree) => tree.rename(one, two, number % 5 > 2 ? 0 : number % 5);
      case 9:
        return (tree) =>
          tree.setattr(one, 0, number < 100 ? { size: number } : { mode }).then(({ size }) => number < 100 && size);
      default: {
        const flags =
          OPEN.read |
          (number % 2 === 0 ? OPEN.write : 0) |
          (number % 3 === 0 ? OPEN.create : 0) |
          (number % 5 === 0 ? OPEN.exclusive : 0) |
          (number % 14 === 0 ? OPEN.truncate : 0) |
          (number % 11 === 0 ? OPEN.append : 0);
        return async (tree) => {
          const { handle, created } = await openFile(tree, one, flags, 0, mode);
          const written = await outcome(tree.write(handle, number, Buffer.from(`${number} of ${one}`)));
          const had = Buffer.from(await tree.read(handle, 0, 4096)).toString('latin1');
          await tree.release(handle);
          return { created, written, had };
        };
      }
    }
  }

  try {
    for (let step = 0; step < 4000; step++) {
      const run = operation();
      const [real, model] = await Promise.all([outcome(run(local)), outcome(run(memory))]);
      assert.deepEqual(model, real, `step ${step}`);
      if (step % 500 === 499) assert.deepEqual(await dump(memory), await dump(local), `after step ${step}`);
    }
    assert.equal(memory.handleCount, 0);
  } finally {
    await local.close();
    await rm(root, { recursive: true });
  }
});
