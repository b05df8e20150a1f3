import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { createLocalTree } from '../../src/fs/local-tree.ts';
import { OPEN } from '../../src/wire/schema.ts';
import { fails, openFile, p, treeContract, writeFile } from './tree-contract.ts';

const OWNER = { uid: 0, gid: 0 };

for (const walkOnly of [false, true]) {
  treeContract(walkOnly ? 'local, walking' : 'local', {
    manyEntries: walkOnly ? 1000 : 100_000,
    async create() {
      const root = await mkdtemp(path.join(tmpdir(), 'peerfs-local-'));
      const tree = await createLocalTree({ root, writable: true, idmap: 'user', walkOnly });
      const readOnly = await createLocalTree({ root, writable: false, idmap: 'user', walkOnly });
      return {
        tree,
        readOnly,
        async close() {
          await tree.close();
          await readOnly.close();
          await rm(root, { recursive: true });
        },
      };
    },
  });
}

test('a tree that is closed gives back every descriptor, and answers ESTALE', async () => {
  const root = await mkdtemp(path.join(tmpdir(), 'peerfs-closed-'));
  const warm = await createLocalTree({ root, writable: true, idmap: 'user' });
  // The first watch of a thread makes libuv open a descriptor for good.
  await warm.watch(p(''));
  const count = () => readdirSync('/proc/self/fd').length;
  const before = count();
  try {
    const tree = await createLocalTree({ root, writable: true, idmap: 'user', maxHandles: 20 });
    await tree.mkdir(p('d'), 0o755, OWNER);
    await tree.watch(p('d'));
    await symlink('nowhere', path.join(root, 'd/l'));
    for (let i = 0; i < 10; i++) {
      await writeFile(tree, p(`d/f${i}`), Buffer.from('x'));
      const { handle } = await openFile(tree, p(`d/f${i}`), OPEN.read | OPEN.write);
      await tree.lock(handle, { owner: BigInt(i), type: 1, start: 0n, end: 9n, pid: 1, kind: 0 });
      await tree.openDirectory(p('d'));
      await fails(openFile(tree, p('d'), OPEN.read), 'EISDIR');
      await fails(openFile(tree, p('d/l'), OPEN.read), 'ELOOP');
      await fails(openFile(tree, p('d/none'), OPEN.read), 'ENOENT');
    }
    await fails(openFile(tree, p('d/f0'), OPEN.read), 'EMFILE');
    await fails(tree.openDirectory(p('d')), 'EMFILE');
    await tree.close();
    await tree.close();
    await fails(tree.getattr(p('d'), 0), 'ESTALE');
    // The event loop of the disk thread closes the last one a turn later.
    for (let turn = 0; turn < 10 && count() > before; turn++) await warm.getattr(p(''), 0);
    assert.equal(count(), before);
  } finally {
    await warm.close();
    await rm(root, { recursive: true });
  }
});

test('reads and writes in flight end before their descriptor is closed', async () => {
  const root = await mkdtemp(path.join(tmpdir(), 'peerfs-flight-'));
  const tree = await createLocalTree({ root, writable: true, idmap: 'user' });
  try {
    for (let round = 0; round < 50; round++) {
      const { handle } = await openFile(tree, p('f'), OPEN.read | OPEN.write | OPEN.create);
      const bytes = Buffer.alloc(256 * 1024, round);
      const calls = [tree.write(handle, 0, bytes), tree.fsync(handle, true), tree.read(handle, 0, bytes.length)];
      const released = tree.release(handle);
      await fails(tree.read(handle, 0, 1), 'EBADF');
      await Promise.all([...calls, released]);
    }
  } finally {
    await tree.close();
    await rm(root, { recursive: true });
  }
});

test('a folder that does not exist, or is none, cannot be shared', async () => {
  await fails(createLocalTree({ root: '/does/not/exist', writable: true, idmap: 'user' }), 'ENOENT');
  await fails(createLocalTree({ root: process.execPath, writable: true, idmap: 'user' }), 'ENOTDIR');
});
