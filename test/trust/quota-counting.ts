/** Random operations on a folder with a quota, and whether as much is counted afterwards as is there. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLocalTree, type LocalTree } from '../../src/fs/local-tree.ts';
import type { Quota } from '../../src/fs/quota.ts';
import { createRandomOperations } from '../fs/random-operations.ts';
import { p } from '../fs/tree-contract.ts';

/** A disk takes blocks for its own books when it writes a file down at last; memory is exact at once. */
const EXACT = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();

const ANY: Quota = { bytes: Number.MAX_SAFE_INTEGER, names: Number.MAX_SAFE_INTEGER };

export interface LimitedFolder {
  readonly tree: LocalTree;
  readonly root: string;
  close(): Promise<void>;
}

/** @param fill what stands in the folder before. */
export async function openLimited(quota: Quota, fill?: (root: string) => void): Promise<LimitedFolder> {
  const root = mkdtempSync(join(EXACT, 'peerfs-quota-'));
  fill?.(root);
  const tree = await createLocalTree({ root, writable: true, idmap: 'user', quota });
  await tree.statfs(p(''));
  return {
    tree,
    root,
    async close() {
      await tree.close();
      // Node's own way does not reach what lies deeper than a path is long.
      spawnSync('rm', ['-rf', '--', root]);
    },
  };
}

/** What a tree counts that is opened now. */
export async function countOf(root: string): Promise<Quota | undefined> {
  const tree = await createLocalTree({ root, writable: true, idmap: 'user', quota: ANY });
  await tree.statfs(p(''));
  const { used } = tree;
  await tree.close();
  return used;
}

/** @throws AssertionError naming the seed when what was counted on the way is not what is there. */
export async function checkCounting(seed: number, steps: number): Promise<void> {
  let state = seed;
  const random = () => {
    // xorshift: enough for choosing.
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
  const folders = [await openLimited(ANY), await openLimited(ANY)] as const;
  try {
    const [model, tried] = folders;
    const operations = createRandomOperations({
      model: model.tree,
      tried: tried.tree,
      random,
      wait: (promise) => promise,
    });
    for (let step = 0; step < steps; step++) await operations.step();
    await operations.finish();
    for (const { tree, root } of folders) assert.deepEqual(tree.used, await countOf(root), `seed ${seed}`);
  } finally {
    for (const folder of folders) await folder.close();
  }
}
