import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TreeChange } from '../../src/fs/tree.ts';
import { OPEN, RECALL } from '../../src/wire/schema.ts';
import { createMemoryTree } from './memory-tree.ts';
import { openFile, p, treeContract, writeFile } from './tree-contract.ts';

treeContract('memory', {
  async create() {
    const tree = createMemoryTree();
    return { tree, close: () => tree.close() };
  },
});

test('changes of local programs are told where they are watched, own ones are not', async () => {
  const tree = createMemoryTree();
  const told: TreeChange[] = [];
  tree.onChange((change) => told.push(change));
  await tree.mkdir(p('d'), 0o755, { uid: 0, gid: 0 });
  await tree.watch(p('d'));
  await writeFile(tree, p('d/own'), Buffer.from('x'));
  await writeFile(tree.local, p('other'), Buffer.from('x'));
  assert.deepEqual(told, []);
  const { handle } = await openFile(tree.local, p('d/new'), OPEN.write | OPEN.create);
  assert.deepEqual(told[0], { path: p('d'), what: RECALL.entries | RECALL.attributes });
  told.length = 0;
  await tree.local.write(handle, 0, Buffer.from('y'));
  assert.deepEqual(told, [{ path: p('d/new'), what: RECALL.attributes | RECALL.contents }]);
  await tree.close();
  assert.equal(tree.handleCount, 0);
});
