import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { PeerfsError } from '../../src/errors.ts';
import { createLocalTree } from '../../src/fs/local-tree.ts';
import type { TreeChange, WatchedTree } from '../../src/fs/tree.ts';
import { OPEN } from '../../src/wire/schema.ts';
import { createMemoryTree } from './memory-tree.ts';
import { p } from './remote-fixture.ts';
import { fails, readFile, writeFile } from './tree-contract.ts';

const FLAGS = OPEN.write | OPEN.create | OPEN.exclusive;
const options = (flags = FLAGS, permissions = 0o640) => ({ flags, permissions, uid: 0, gid: 0 });
const NOTHING = new Uint8Array();

async function local(): Promise<{ tree: WatchedTree; folder: string; close: () => Promise<void> }> {
  const folder = mkdtempSync(join(tmpdir(), 'peerfs-create-'));
  const tree = await createLocalTree({ root: folder, writable: true, idmap: 'user' });
  const close = async () => {
    await tree.close();
    rmSync(folder, { recursive: true });
  };
  return { tree, folder, close };
}

const trees = {
  local,
  memory: async () => {
    const tree = createMemoryTree();
    return { tree, folder: undefined, close: () => tree.close() };
  },
};

for (const [name, make] of Object.entries(trees)) {
  test(`${name}: a file is made, written and given its attributes by one call`, async () => {
    const { tree, close } = await make();
    for (const [index, size] of [0, 5, 70_000, 256 * 1024].entries()) {
      const bytes = Buffer.alloc(size, index + 1);
      const change = { mode: 0o600, mtime: { sec: 1000 + index, nsec: 7 } };
      const made = await tree.createFile(p(`f${index}`), options(), bytes, change, true);
      assert.deepEqual([made.created, made.failure], [true, undefined]);
      const { attributes } = made;
      assert.deepEqual(attributes, await tree.getattr(p(`f${index}`), 0));
      assert.deepEqual(made.directory, await tree.getattr(p(''), 0));
      assert.deepEqual(
        [attributes.size, attributes.mode & 0o7777, attributes.mtimeSec, attributes.mtimeNsec],
        [size, 0o600, 1000 + index, 7],
      );
      assert.ok(bytes.equals(await readFile(tree, p(`f${index}`))));
      await tree.write(made.handle, size, Buffer.from('more'));
      assert.equal((await tree.getattr(p(''), made.handle)).size, size + 4);
      await tree.release(made.handle);
    }
    await close();
  });

  test(`${name}: it opens as open does: exclusive or not, with and without truncation`, async () => {
    const { tree, close } = await make();
    await writeFile(tree, p('f'), Buffer.from('long before'));
    await fails(tree.createFile(p('f'), options(), NOTHING, {}, true), 'EEXIST');
    await fails(tree.createFile(p('d/f'), options(), NOTHING, {}, true), 'ENOENT');
    const kept = await tree.createFile(p('f'), options(OPEN.write | OPEN.create), Buffer.from('LONG'), {}, true);
    assert.deepEqual([kept.created, (await readFile(tree, p('f'))).toString()], [false, 'LONG before']);
    const cut = OPEN.write | OPEN.create | OPEN.truncate;
    const short = await tree.createFile(p('f'), options(cut), Buffer.from('x'), {}, true);
    assert.deepEqual([short.attributes.size, (await readFile(tree, p('f'))).toString()], [1, 'x']);
    await close();
  });

  test(`${name}: what fails after the opening is told, and the handle is good`, async () => {
    const { tree, close } = await make();
    const made = await tree.createFile(p('f'), options(OPEN.read | OPEN.create), Buffer.from('x'), {}, true);
    assert.deepEqual([made.created, made.failure, made.attributes.size], [true, 'EBADF', 0]);
    assert.equal((await tree.read(made.handle, 0, 10)).length, 0);
    await tree.release(made.handle);
    await close();
  });
}

test('memory: a full disk leaves what it leaves', async () => {
  let isFull = true;
  const fault = (method: string) => {
    if (isFull && method === 'write') throw new PeerfsError('ENOSPC');
  };
  const tree = createMemoryTree({ fault });
  const made = await tree.createFile(p('f'), options(), Buffer.from('x'), { mode: 0o600 }, false);
  assert.deepEqual([made.failure, made.attributes.size, made.attributes.mode & 0o777], ['ENOSPC', 0, 0o640]);
  isFull = false;
  await tree.write(made.handle, 0, Buffer.from('x'));
  await tree.close();
});

test('local: files that are made through the tree are not told as changes by others', async () => {
  const { tree, folder, close } = await local();
  const told: TreeChange[] = [];
  tree.onChange((change) => told.push(change));
  await tree.watch(p(''));
  for (const size of [10, 100_000]) {
    const made = await tree.createFile(
      p(`f${size}`),
      options(),
      Buffer.alloc(size),
      { mtime: { sec: 5, nsec: 0 } },
      false,
    );
    await tree.release(made.handle);
  }
  await new Promise((resolve) => setTimeout(resolve, 30));
  assert.deepEqual(told, []);
  assert.equal(statSync(join(folder, 'f10')).mtimeMs, 5000);
  await close();
});
