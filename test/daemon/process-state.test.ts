import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { isAlive, isStopped } from '../../src/daemon/process-state.ts';

test('a process runs, stands still, goes on and is gone', async () => {
  const child = spawn('sleep', ['60']);
  const { pid = 0 } = child;
  try {
    assert.deepEqual([isAlive(pid), isStopped(pid)], [true, false]);
    child.kill('SIGSTOP');
    while (!isStopped(pid)) await new Promise((resolve) => setTimeout(resolve, 5));
    assert.equal(isAlive(pid), true);
    child.kill('SIGCONT');
    while (isStopped(pid)) await new Promise((resolve) => setTimeout(resolve, 5));
  } finally {
    child.kill('SIGKILL');
  }
  await once(child, 'exit');
  assert.deepEqual([isAlive(pid), isStopped(pid)], [false, false]);
});

test('what is no process neither lives nor stands still', () => {
  for (const pid of [NaN, 0, -1, 2 ** 31])
    assert.deepEqual([isAlive(pid), isStopped(pid)], [false, false], String(pid));
});
