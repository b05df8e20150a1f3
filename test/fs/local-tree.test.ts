import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createLocalTree } from '../../src/fs/local-tree.ts';
import { treeContract } from './tree-contract.ts';

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
