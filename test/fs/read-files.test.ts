import assert from 'node:assert/strict';
import { mkdtemp, rm, symlink, writeFile, link } from 'node:fs/promises';
import { execFileSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fromText } from '../../src/bytestring.ts';
import { createLocalTree } from '../../src/fs/local-tree.ts';
import type { WatchedTree } from '../../src/fs/tree.ts';
import { createMemoryTree } from './memory-tree.ts';
import { fails, writeFile as put } from './tree-contract.ts';

const p = fromText;
const OWNER = { uid: 0, gid: 0 };

/** A tree of each kind. */
async function trees(): Promise<{ name: string; tree: WatchedTree; close: () => Promise<void> }[]> {
  const root = await mkdtemp(join(tmpdir(), 'peerfs-read-files-'));
  const open = (walkOnly: boolean) => createLocalTree({ root, writable: true, idmap: 'user', walkOnly });
  const memory = createMemoryTree();
  const [local, walking] = await Promise.all([open(false), open(true)]);
  return [
    { name: 'memory', tree: memory, close: () => memory.close() },
    {
      name: 'local',
      tree: local,
      close: async () => {
        await local.close();
        await rm(join(root, 'd'), { recursive: true, force: true });
      },
    },
    {
      name: 'local, without openat2',
      tree: walking,
      close: async () => {
        await walking.close();
        await rm(root, { recursive: true });
      },
    },
  ];
}

test('files of a directory are read whole, in the order asked for; what cannot be given is left out', async (t) => {
  for (const { name, tree, close } of await trees()) {
    await t.test(name, async () => {
      await tree.mkdir(p('d'), 0o755, OWNER);
      for (let i = 0; i < 40; i++) await put(tree, p(`d/${i}`), Buffer.from(`contents of ${i}`));
      await put(tree, p('d/empty'), Buffer.alloc(0));
      await put(tree, p('d/large'), Buffer.alloc(5000));
      await put(tree, p('d/twice'), Buffer.from('x'));
      await tree.link(p('d/twice'), 0, p('d/again'));
      await tree.symlink(p('d/link'), Buffer.from('0'), OWNER);
      await tree.mknod(p('d/fifo'), 0o644, OWNER, true);
      await tree.mkdir(p('d/below'), 0o755, OWNER);
      const asked = ['39', 'none', 'link', 'fifo', 'below', 'twice', 'large', 'empty', ...Array(39).keys()].map(String);
      const { files, bytes } = await tree.readFiles(p('d'), asked.map(fromText), 4096);
      assert.deepEqual(
        files.map(({ position }) => asked[position]),
        ['39', 'empty', ...Array(39).keys()].map(String),
      );
      let at = 0;
      for (const { position, attributes } of files) {
        const contents = Buffer.from(bytes.subarray(at, at + attributes.size)).toString();
        assert.equal(contents, asked[position] === 'empty' ? '' : `contents of ${asked[position]}`);
        at += attributes.size;
      }
      assert.equal(at, bytes.length);
      const first = files[0];
      assert.deepEqual(first?.attributes, await tree.getattr(p('d/39'), 0));
    });
    await close();
  }
});

test('contents that do not fit are left out, others that do are given', async (t) => {
  for (const { name, tree, close } of await trees()) {
    await t.test(name, async () => {
      await tree.mkdir(p('d'), 0o755, OWNER);
      for (const size of [1000, 2000, 500]) await put(tree, p(`d/${size}`), Buffer.alloc(size));
      const read = async (room: number) => {
        const { files } = await tree.readFiles(p('d'), ['1000', '2000', '500'].map(fromText), room);
        return files.map(({ position }) => position);
      };
      assert.deepEqual(await read(3500), [0, 1, 2]);
      assert.deepEqual(await read(3499), [0, 1]);
      assert.deepEqual(await read(1500), [0, 2]);
      assert.deepEqual(await read(0), []);
      await fails(tree.readFiles(p('none'), [p('x')], 100), 'ENOENT');
    });
    await close();
  }
});

test('a link that stands for the directory is not followed, nor is one in it', async () => {
  const root = await mkdtemp(join(tmpdir(), 'peerfs-read-files-'));
  const outside = await mkdtemp(join(tmpdir(), 'peerfs-outside-'));
  try {
    await writeFile(join(outside, 'secret'), 'secret');
    await symlink(outside, join(root, 'd'));
    await symlink(join(outside, 'secret'), join(root, 's'));
    for (const walkOnly of [false, true]) {
      const tree = await createLocalTree({ root, writable: false, idmap: 'user', walkOnly });
      await fails(
        tree.readFiles(p('d'), [p('secret')], 100).then(({ files }) => assert.equal(files.length, 1)),
        'ELOOP',
        'ENOTDIR',
        'EIO',
      );
      assert.equal((await tree.readFiles(p(''), [p('s')], 100)).files.length, 0);
      await tree.close();
    }
  } finally {
    await rm(root, { recursive: true });
    await rm(outside, { recursive: true });
  }
});

test('a file with another name outside, and one that may not be read, are left to open()', async () => {
  const root = await mkdtemp(join(tmpdir(), 'peerfs-read-files-'));
  try {
    await writeFile(join(root, 'a'), 'x');
    await link(join(root, 'a'), join(root, 'b'));
    execFileSync('mkfifo', [join(root, 'fifo')]);
    const tree = await createLocalTree({ root, writable: false, idmap: 'user' });
    const { files, bytes } = await tree.readFiles(p(''), ['a', 'b', 'fifo'].map(fromText), 100);
    assert.equal(files.length, 0);
    assert.equal(bytes.length, 0);
    await tree.close();
  } finally {
    await rm(root, { recursive: true });
  }
});

test('a look tells attributes, and the contents of small regular files', async (t) => {
  for (const { name, tree, close } of await trees()) {
    await t.test(name, async () => {
      await tree.mkdir(p('d'), 0o755, OWNER);
      await put(tree, p('d/f'), Buffer.from('contents'));
      await put(tree, p('d/twice'), Buffer.from('x'));
      await tree.link(p('d/twice'), 0, p('d/again'));
      await tree.symlink(p('d/link'), Buffer.from('f'), OWNER);
      await tree.mknod(p('d/fifo'), 0o644, OWNER, true);
      for (const [path, room, contents] of [
        ['d/f', 8, 'contents'],
        ['d/f', 7, ''],
        ['d/twice', 100, ''],
        ['d/link', 100, ''],
        ['d/fifo', 100, ''],
        ['d', 100, ''],
        ['', 100, ''],
      ] as const) {
        const looked = await tree.look(p(path), room);
        assert.equal(Buffer.from(looked.contents).toString(), contents, path);
        assert.deepEqual(looked.attributes, await tree.getattr(p(path), 0), path);
      }
      await fails(tree.look(p('d/none'), 100), 'ENOENT');
      await fails(tree.look(p('d/f/none'), 100), 'ENOTDIR');
    });
    await close();
  }
});
