import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { PeerfsError } from '../src/errors.ts';
import { faultOf, Faults } from '../src/faults.ts';
import { createLocalTree } from '../src/fs/local-tree.ts';
import { createLogger } from '../src/log.ts';

function record() {
  const lines: string[] = [];
  return {
    lines,
    faults: new Faults(
      createLogger('info', (line) => lines.push(line)),
      'test.fault',
    ),
  };
}

function thrownBy(run: () => unknown): unknown {
  try {
    run();
  } catch (error) {
    return error;
  }
  return assert.fail('nothing was thrown');
}

test('a mistake is told once, with its kind and place and without its text', () => {
  const { lines, faults } = record();
  const mistake = () => (undefined as unknown as { canary: string }).canary;
  for (let i = 0; i < 3; i++) faults.note('lookup', thrownBy(mistake));
  assert.equal(lines.length, 1, lines.join('\n'));
  assert.match(lines[0] ?? '', / error test\.fault during=lookup fault=TypeError at faults\.test\.[jt]s:\d+$/);
  assert.ok(!lines.join('').includes('canary'));
  faults.note('write', thrownBy(mistake));
  faults.note('write', 'thrown without an Error');
  assert.equal(lines.length, 3);
});

test('what the system or we ourselves refuse is no fault', () => {
  const { lines, faults } = record();
  faults.note('open', new PeerfsError('ENOENT', 'no such file'));
  faults.note(
    'open',
    thrownBy(() => readFileSync('/nowhere/at/all')),
  );
  assert.deepEqual(lines, []);
});

test('the log does not grow by mistakes without end', () => {
  const { lines, faults } = record();
  for (let i = 0; i < 1_000; i++) faults.note(`call ${i}`, new TypeError('x'));
  assert.ok(lines.length <= 64);
});

test('a mistake on the disk thread is told, too', async () => {
  const root = mkdtempSync(join(tmpdir(), 'peerfs-'));
  const tree = await createLocalTree({ root, writable: true, idmap: 'user' });
  try {
    const mistake = await tree.unlink(7 as never).then(
      () => undefined,
      (error: unknown) => error,
    );
    assert.match(faultOf(mistake) ?? '', /^TypeError on the disk thread at /);
  } finally {
    await tree.close();
    rmSync(root, { recursive: true });
  }
});
