import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  packAnswer,
  packRequest,
  unpackAnswer,
  unpackRequest,
  type CreationRequest,
} from '../../src/fs/packed-creation.ts';
import { createMemoryTree } from './memory-tree.ts';
import { p } from './remote-fixture.ts';

test('requests and answers cross as they are', async () => {
  const options = { flags: 26, permissions: 0o640, uid: 7, gid: 8 };
  const time = { sec: -5, nsec: 999_999_999 };
  const changes: CreationRequest['change'][] = [
    {},
    { mode: 0 },
    { atime: 'now' },
    { mtime: time },
    { mode: 0o600, atime: time, mtime: 'now' },
  ];
  for (const change of changes) {
    for (const wantsDirectory of [true, false]) {
      const request = { options, change, wantsDirectory };
      assert.deepEqual(unpackRequest(packRequest(request)), request);
    }
  }
  const attributes = await createMemoryTree().getattr(p(''), 0);
  for (const directory of [undefined, attributes]) {
    for (const failure of [undefined, 'ENOSPC' as const]) {
      const answer = { handle: 3, descriptor: 40, created: failure === undefined, failure, attributes, directory };
      assert.deepEqual(unpackAnswer(packAnswer(answer)), answer);
    }
  }
});
