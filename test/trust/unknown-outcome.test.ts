/**
 * A server that dies between doing what was asked and saying so, or between hearing it and doing it: afterwards each call
 * has succeeded, exactly once, or is said to have an unknown outcome (EIO). It is never tried again and told what the
 * second time found (EEXIST, ENOENT).
 */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, it } from 'node:test';
import { eventually, introduce, openLab, run, sh, untilLive, type Host, type Lab } from '../e2e/lab.ts';
import type { Operation } from './caller-program.ts';
import { prepareFolders, startCallers } from './callers.ts';
import { sleep } from './freeze-lab.ts';
import { startWork } from './frozen-peer.ts';

/** Patience and what finding out takes. */
const LIMIT_MS = 20_000;
const APPENDED_BYTES = 100;
const FILE_BYTES = 4 * 1024 * 1024;

/** Not idempotent, with what shows that it was done. */
const EFFECTS: ReadonlyMap<Operation, (folder: string) => boolean> = new Map([
  ['mkdir', (folder) => existsSync(join(folder, 'new-mkdir'))],
  ['symlink', (folder) => readdirSync(folder).includes('new-symlink')],
  ['link', (folder) => existsSync(join(folder, 'new-link'))],
  ['rename', (folder) => existsSync(join(folder, 'new-rename')) && !existsSync(join(folder, 'rename'))],
  ['unlink', (folder) => !existsSync(join(folder, 'unlink'))],
  ['rmdir', (folder) => !existsSync(join(folder, 'listed', 'empty'))],
  ['append', (folder) => statSync(join(folder, 'append')).size === FILE_BYTES + APPENDED_BYTES],
  ['create', (folder) => existsSync(join(folder, 'new-create'))],
]);

describe('a server killed with calls under way', { timeout: 90_000 }, () => {
  let lab: Lab | undefined;
  const ends: (() => void)[] = [];
  afterEach(async () => {
    for (const end of ends.splice(0)) end();
    await lab?.close();
    lab = undefined;
  });

  /** @param chain OUTPUT: what bob says is lost; INPUT: what he is told. */
  const killedUnheard = async (
    chain: 'OUTPUT' | 'INPUT',
    untilKill: (folder: string) => Promise<void>,
  ): Promise<Map<Operation, { readonly result: string; readonly isDone: boolean }> | undefined> => {
    lab = openLab(['alice', 'bob']);
    if (!lab.namespaces) return undefined;
    const [alice, bob] = [lab.host('alice'), lab.host('bob')];
    // A connection's answers would outlive the process in the kernel, and come after all.
    for (const host of lab.hosts) await host.start(['--paths', 'udp']);
    await introduce(bob, alice);
    await alice.mount();
    await untilLive(alice, 'bob');
    const folder = join(bob.home, 'inbox', 'alice', 'calls');
    prepareFolders(folder);
    // Apart: the kernel would have them wait for each other's answers.
    const callers = await startCallers(alice.at('bob', 'calls'), { operations: [...EFFECTS.keys()], isApart: true });
    const node = await bob.pid();
    // Then nothing has to be asked before the call itself, and silence is waited out.
    await sh('ls -lR "$1"', [alice.at('bob', 'calls')]);
    const endWork = startWork(alice.at('bob'));
    ends.push(endWork);
    await sleep(700);
    await drop(bob, '-A', chain);
    for (const caller of callers) caller.go();
    await untilKill(folder);
    process.kill(node, 'SIGKILL');
    await drop(bob, '-D', chain);
    endWork();
    await bob.start();
    const results = new Map<Operation, { readonly result: string; readonly isDone: boolean }>();
    for (const caller of callers) {
      const { operation, result } = await caller.ended(LIMIT_MS);
      results.set(operation, { result, isDone: EFFECTS.get(operation)?.(join(folder, operation)) === true });
    }
    assert.ok(statSync(join(folder, 'append', 'append')).size <= FILE_BYTES + APPENDED_BYTES, 'appended once at most');
    await untilLive(alice, 'bob');
    const after = await run(['mkdir', alice.at('bob', 'afterwards')], { timeoutMs: LIMIT_MS });
    assert.equal(after.status, 0, after.stderr);
    console.log(
      `# ${[...results].map(([name, { result, isDone }]) => `${name} ${result}${isDone ? ' done' : ''}`).join(', ')}`,
    );
    return results;
  };

  it('after it was done and before it was said: success or EIO, and it was done once', async () => {
    const results = await killedUnheard('OUTPUT', async (folder) => {
      const missing = () => [...EFFECTS].filter(([operation, isDone]) => !isDone(join(folder, operation)));
      await eventually('bob has done it all', 3000, async () => (missing().length === 0 ? true : undefined)).catch(() =>
        assert.fail(`not done: ${missing().join()}`),
      );
    });
    for (const [operation, { result, isDone }] of results ?? []) {
      assert.ok(isDone, `${operation} stays done`);
      assert.ok(['ok', 'EIO'].includes(result), `${operation}: ${result}`);
    }
  });

  it('before it was heard: nobody is told that it was done', async () => {
    const results = await killedUnheard('INPUT', () => sleep(700));
    for (const [operation, { result, isDone }] of results ?? []) {
      assert.ok(['ok', 'EIO'].includes(result), `${operation}: ${result}`);
      if (result === 'ok') assert.ok(isDone, `${operation} was said to be done`);
    }
  });
});

async function drop(host: Host, action: '-A' | '-D', chain: 'OUTPUT' | 'INPUT'): Promise<void> {
  const device = [chain === 'OUTPUT' ? '-o' : '-i', 'eth0'];
  const { status, stderr } = await run([...host.enter, 'iptables', action, chain, ...device, '-j', 'DROP']);
  assert.equal(status, 0, stderr);
}
