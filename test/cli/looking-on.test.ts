/** `watch` and `doctor --network` as child processes, against a control socket that stands in for a node. */
import assert from 'node:assert/strict';
import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import type { NetworkFinding, WatchEvent } from '../../src/daemon/control-protocol.ts';
import { openControlSocket, type ControlHandlers } from '../../src/daemon/control.ts';
import { prepareHome } from '../../src/daemon/home.ts';
import { silentLogger } from '../../src/log.ts';

const CLI = join(import.meta.dirname, '../../src/cli/main.js');

const EVENT: WatchEvent = {
  at: '2026-01-01T00:00:00.000Z',
  event: 'path',
  peer: 'b\u001b[31mob',
  text: 'moved from tor to udp',
  detail: { path: 'udp' },
};

const FINDINGS: NetworkFinding[] = [
  { way: 'This computer', works: true, detail: 'has the addresses 192.0.2.1', advice: '' },
  { way: 'DHT', works: false, detail: 'no node answers', advice: 'UDP may be blocked here.' },
];

async function open(t: TestContext, findings = FINDINGS) {
  const folder = mkdtempSync(join(tmpdir(), 'peerfs-cli-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const home = prepareHome(join(folder, 'home'));
  const handlers = {
    watch: (_given, { progress, signal }) =>
      new Promise((resolve) => {
        progress(JSON.stringify(EVENT));
        signal.addEventListener('abort', () => resolve({}));
      }),
    'network.check': async (_given, { progress }) => {
      for (const finding of findings) progress(JSON.stringify(finding));
      return findings;
    },
  } as Partial<ControlHandlers> as ControlHandlers;
  const control = await openControlSocket(home.socket, handlers, silentLogger);
  t.after(() => control.close());
  return { home, control };
}

interface Ended {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function run(t: TestContext, home: string, ...args: string[]) {
  const child: ChildProcessWithoutNullStreams = spawn(process.execPath, [CLI, ...args], {
    env: { ...process.env, PEERFS_HOME: home },
  });
  t.after(() => child.kill('SIGKILL'));
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  const ended = new Promise<Ended>((resolve) => {
    child.on('close', (status) => resolve({ status, stdout, stderr }));
  });
  return { child, ended };
}

describe('watch', { timeout: 60_000 }, () => {
  it('prints a line an event, escaped, and ends with 0 at Ctrl-C', async (t) => {
    const { home } = await open(t);
    const { child, ended } = run(t, home.directory, 'watch');
    await once(child.stdout, 'data');
    child.kill('SIGINT');
    const { status, stdout, stderr } = await ended;
    assert.equal(status, 0, stderr);
    assert.match(stdout, /^\d\d:\d\d:\d\d {2}b\\x1b\[31mob: moved from tor to udp\n$/);
    assert.equal(stderr, '');
  });

  it('says that the node has stopped, with 3; with --json every line is an object', async (t) => {
    const { home, control } = await open(t);
    const { child, ended } = run(t, home.directory, 'watch', '--json');
    await once(child.stdout, 'data');
    control.close();
    const { status, stdout, stderr } = await ended;
    assert.equal(status, 3);
    assert.match(stderr, /the node has stopped/);
    const [first, last, ...more] = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as unknown);
    assert.deepEqual(first, EVENT);
    assert.match(JSON.stringify(last), /^{"error":{"code":"NODE_NOT_RUNNING"/);
    assert.deepEqual(more, []);
  });

  it('says that no node runs, with 3', async (t) => {
    const { home, control } = await open(t);
    control.close();
    const { status, stderr } = await run(t, home.directory, 'watch').ended;
    assert.equal(status, 3);
    assert.match(stderr, /no node is running.*\n.*peerfs start/);
  });
});

describe('doctor --network', { timeout: 60_000 }, () => {
  it('prints what the node finds, and ends with 9 when no way works', async (t) => {
    const { home } = await open(t);
    const { status, stdout } = await run(t, home.directory, 'doctor', '--network').ended;
    assert.equal(status, 9);
    assert.deepEqual(stdout.trimEnd().split('\n'), [
      'ok    This computer: has the addresses 192.0.2.1',
      'FAIL  DHT: no node answers',
      '      UDP may be blocked here.',
      'No way to reach anybody works from here.',
    ]);
  });

  it('ends with 0 when one works; --json is the list and nothing else', async (t) => {
    const findings = [...FINDINGS, { way: 'Tor', works: true, detail: 'is connected', advice: '' }];
    const { home } = await open(t, findings);
    const { status, stdout, stderr } = await run(t, home.directory, 'doctor', '--network', '--json').ended;
    assert.equal(status, 0, stderr);
    assert.deepEqual(JSON.parse(stdout), findings);
    assert.equal(stderr, '');
  });

  it('without a node ends with 3', async (t) => {
    const { home, control } = await open(t);
    control.close();
    const { status, stderr } = await run(t, home.directory, 'doctor', '--network').ended;
    assert.equal(status, 3);
    assert.match(stderr, /no node is running/);
  });
});
