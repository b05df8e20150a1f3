import assert from 'node:assert/strict';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { LocalWrites } from '../../src/fs/local-writes.ts';

function open(t: TestContext, flags: string) {
  const directory = mkdtempSync(join(tmpdir(), 'peerfs-writes-'));
  const path = join(directory, 'file');
  writeFileSync(path, '');
  const descriptor = openSync(path, flags);
  t.after(() => {
    closeSync(descriptor);
    rmSync(directory, { recursive: true });
  });
  return { path, writes: new LocalWrites(descriptor) };
}

test('writes that were asked for together all arrive, adjacent or not, the later one on top', async (t) => {
  const { path, writes } = open(t, 'r+');
  const expected = Buffer.alloc(64 * 100, '.');
  const asked: Promise<void>[] = [];
  for (let index = 0; index < 64; index++) {
    // Runs of seven, then one over the middle of what was written.
    const at = index % 8 === 7 ? index * 50 : index * 100;
    const bytes = Buffer.alloc(100, 65 + (index % 26));
    expected.set(bytes, at);
    asked.push(writes.write(at, bytes));
  }
  await Promise.all(asked);
  const there = readFileSync(path);
  for (let at = 0; at < there.length; at++) if (there[at] === 0) there[at] = 46;
  assert.equal(Buffer.compare(there, expected.subarray(0, there.length)), 0);
});

test('each write learns of its own failure, and the next one is tried', async (t) => {
  const { writes } = open(t, 'r');
  const asked = [0, 1, 2].map((index) => writes.write(index, Buffer.from('x')));
  const outcomes = await Promise.allSettled(asked);
  assert.deepEqual(
    outcomes.map((outcome) => outcome.status === 'rejected' && (outcome.reason as NodeJS.ErrnoException).code),
    ['EBADF', 'EBADF', 'EBADF'],
  );
  await assert.rejects(writes.write(0, Buffer.from('x')), { code: 'EBADF' });
});
