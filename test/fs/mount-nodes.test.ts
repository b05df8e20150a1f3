import assert from 'node:assert/strict';
import { test } from 'node:test';
import { codeOf } from '../../src/errors.ts';
import { MountNodes } from '../../src/fs/mount-nodes.ts';
import type { MountedShare, MountNode } from '../../src/fs/mount-node.ts';
import type { Attributes } from '../../src/wire/schema.ts';
import { p } from './remote-fixture.ts';

const DIRECTORY = 0o040755;

test('a directory that claims to stand within itself is refused, and paths end', () => {
  const nodes = new MountNodes();
  const share = { nodes: new Map<bigint, MountNode>(), inodeNumber: () => 1n } as unknown as MountedShare;
  const attributes = (inode: bigint, mode = DIRECTORY) =>
    ({ inode, device: 1n, birthSec: 1, birthNsec: 1, mode }) as unknown as Attributes;
  const top = nodes.adopt(nodes.root, p('share'), share, attributes(1n), true);
  const a = nodes.adopt(top, p('a'), share, attributes(2n), false);
  const b = nodes.adopt(a, p('b'), share, attributes(3n), false);
  for (const parent of [a, b]) {
    for (const inode of [1n, 2n]) {
      for (const mode of [DIRECTORY, 0o100644]) {
        assert.throws(
          () => nodes.adopt(parent, p('again'), share, attributes(inode, mode), false),
          (error) => codeOf(error) === 'ELOOP',
        );
      }
    }
  }
  assert.equal(nodes.pathOf(b), 'a/b');
  // Moved by others, not within itself.
  assert.equal(nodes.adopt(top, p('c'), share, attributes(3n), false), b);
  assert.equal(nodes.pathOf(b), 'c');
  assert.equal(nodes.adopt(b, p('d'), share, attributes(2n), false), a);
  assert.equal(nodes.pathOf(a), 'c/d');
  // The share's folder is found again under its name.
  assert.equal(nodes.adopt(nodes.root, p('share'), share, attributes(1n), true), top);
  let visited = 0;
  nodes.walk(nodes.root, () => (visited += 1));
  assert.equal(visited, 4);
});
