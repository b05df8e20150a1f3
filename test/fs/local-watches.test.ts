import assert from 'node:assert/strict';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, beforeEach, afterEach, describe, test } from 'node:test';
import { createLocalTree, type LocalTree } from '../../src/fs/local-tree.ts';
import type { TreeChange } from '../../src/fs/tree.ts';
import { OPEN, RECALL } from '../../src/wire/schema.ts';
import { openFile, p, writeFile } from './tree-contract.ts';

const OWNER = { uid: 0, gid: 0 };

describe('what local programs change in a watched share', { timeout: 30_000 }, () => {
  let root: string;
  let tree: LocalTree;
  let told: TreeChange[];
  let heard: (() => void) | undefined;
  const roots: string[] = [];

  beforeEach(async () => {
    root = fs.mkdtempSync(path.join(tmpdir(), 'peerfs-watch-'));
    roots.push(root);
    fs.mkdirSync(path.join(root, 'a/b'), { recursive: true });
    fs.writeFileSync(path.join(root, 'a/b/f'), 'x');
    tree = await createLocalTree({ root, writable: true, idmap: 'user' });
    told = [];
    tree.onChange((change) => {
      told.push(change);
      heard?.();
    });
  });
  afterEach(() => tree.close());
  after(() => roots.forEach((folder) => fs.rmSync(folder, { recursive: true, force: true })));

  /** Waits until everything of `what` was told for the path. */
  async function hears(where: string, what: number): Promise<void> {
    const has = () => told.some((change) => change.path === p(where) && (change.what & what) === what);
    // Listening alone does not keep a process alive.
    const alive = setInterval(() => undefined, 1000);
    while (!has()) await new Promise<void>((resolve) => (heard = resolve));
    clearInterval(alive);
  }

  test('new, changed, renamed and removed names are told', async () => {
    assert.equal(await tree.watch(p('a/b')), true);
    fs.writeFileSync(path.join(root, 'a/b/new'), 'x');
    await hears('a/b', RECALL.entries);
    await hears('a/b/new', RECALL.contents);
    told.length = 0;
    fs.appendFileSync(path.join(root, 'a/b/f'), 'y');
    await hears('a/b/f', RECALL.contents | RECALL.attributes);
    told.length = 0;
    fs.chmodSync(path.join(root, 'a/b/f'), 0o600);
    await hears('a/b/f', RECALL.attributes);
    told.length = 0;
    fs.renameSync(path.join(root, 'a/b/f'), path.join(root, 'a/b/g'));
    await hears('a/b/g', RECALL.contents);
    await hears('a/b/f', RECALL.contents);
    told.length = 0;
    fs.unlinkSync(path.join(root, 'a/b/g'));
    await hears('a/b', RECALL.entries);
  });

  test('a directory above that moves or goes away ends the watch and is told', async () => {
    await tree.watch(p('a/b'));
    fs.renameSync(path.join(root, 'a'), path.join(root, 'z'));
    await hears('a', RECALL.subtree);
    assert.equal(await tree.watch(p('a/b')), false);
    assert.equal(await tree.watch(p('z/b')), true);
    fs.rmSync(path.join(root, 'z'), { recursive: true });
    await hears('z/b', RECALL.subtree);
  });

  test('changes through the tree itself are not told', async () => {
    await tree.watch(p('a/b'));
    await tree.watch(p('a'));
    const { handle } = await openFile(tree, p('a/b/own'), OPEN.read | OPEN.write | OPEN.create);
    for (let i = 0; i < 20; i++) await tree.write(handle, i * 1000, Buffer.alloc(1000, i));
    await tree.setattr(p('a/b/own'), handle, { size: 5 });
    await tree.fallocate(handle, 0, 0, 9000);
    await tree.lock(handle, { owner: 1n, type: 1, start: 0n, end: 9n, pid: 1, kind: 0 });
    await tree.flush(handle, 1n);
    await tree.release(handle);
    await tree.setattr(p('a/b/own'), 0, { mode: 0o600, mtime: { sec: 1, nsec: 1 } });
    await tree.setxattr(p('a/b/own'), p('user.x'), Buffer.from('x'), 0);
    await tree.link(p('a/b/own'), 0, p('a/b/linked'));
    await tree.rename(p('a/b/own'), p('a/b/renamed'), 0);
    await tree.mkdir(p('a/b/d'), 0o755, OWNER);
    await tree.rename(p('a/b/d'), p('a/d'), 0);
    await tree.rmdir(p('a/d'));
    await tree.unlink(p('a/b/renamed'));
    fs.writeFileSync(path.join(root, 'a/b/last'), 'x');
    await hears('a/b/last', RECALL.contents);
    const strays = told.filter(({ path: where }) => where !== p('a/b') && where !== p('a/b/last'));
    assert.deepEqual(strays, []);
  });

  test('a local program that writes to a file we write to is told when it closes it', async () => {
    await tree.watch(p('a/b'));
    const { handle } = await openFile(tree, p('a/b/f'), OPEN.write);
    await tree.write(handle, 0, Buffer.from('ours'));
    fs.appendFileSync(path.join(root, 'a/b/f'), 'theirs');
    await hears('a/b/f', RECALL.contents);
    await tree.release(handle);
  });

  test('watches are counted, and end', async () => {
    assert.equal(await tree.watch(p('a/b')), true);
    assert.equal(await tree.watch(p('a/b')), true);
    tree.unwatch(p('a/b'));
    fs.writeFileSync(path.join(root, 'a/b/one'), 'x');
    await hears('a/b/one', RECALL.contents);
    tree.unwatch(p('a/b'));
    await tree.getattr(p('a/b'), 0);
    told.length = 0;
    fs.writeFileSync(path.join(root, 'a/b/two'), 'x');
    await tree.watch(p('a'));
    fs.writeFileSync(path.join(root, 'a/three'), 'x');
    await hears('a/three', RECALL.contents);
    assert.equal(
      told.some(({ path: where }) => where === p('a/b/two')),
      false,
    );
  });

  test('what cannot be watched says so', async () => {
    assert.equal(await tree.watch(p('none')), false);
    assert.equal(await tree.watch(p('a/b/f')), false);
    await writeFile(tree, p('a/b/f'), Buffer.from('x'));
    assert.deepEqual(told, []);
  });
});
