/** The command line beside running nodes and real mounts: what a person at a terminal sees. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { eventually, introduce, isMounted, openLab, run, sh, untilLive, type Host, type Lab } from './lab.ts';

const CLI = join(import.meta.dirname, '../../../bin/peerfs.js');
/** A user who is neither root nor anybody's. */
const NOBODY = 65_534;

interface Invite {
  readonly invitation: string;
  readonly code: string;
}

/** Runs `peerfs ARGS` on a terminal of its own; `answer` may type in reply to what has been shown so far. */
function onTerminal(host: Host, args: readonly string[], answer: (shown: string) => string | undefined) {
  const line = ['exec', ...[...host.enter, process.execPath, CLI, ...args].map((word) => `'${word}'`)].join(' ');
  return new Promise<{ status: number | null; shown: string }>((resolve) => {
    const terminal = spawn('script', ['-qec', line, '/dev/null'], {
      env: { ...process.env, PEERFS_HOME: host.home, SHELL: '/bin/sh' },
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const limit = setTimeout(() => terminal.kill('SIGKILL'), 30_000);
    let shown = '';
    terminal.stdout.on('data', (chunk: Buffer) => {
      shown += chunk.toString();
      const typed = answer(shown);
      if (typed !== undefined) terminal.stdin.write(typed);
    });
    terminal.on('close', (status) => {
      clearTimeout(limit);
      resolve({ status, shown });
    });
  });
}

/** Types each text once, when what it answers to has been shown. */
function typing(...steps: readonly (readonly [RegExp, string])[]): (shown: string) => string | undefined {
  const left = [...steps];
  return (shown) => (left[0]?.[0].test(shown) === true ? left.shift()?.[1] : undefined);
}

describe('the command line beside running nodes', { timeout: 240_000 }, () => {
  let lab: Lab;
  let alice: Host;
  let bob: Host;

  before(async () => {
    lab = openLab(['alice', 'bob'], true);
    alice = lab.host('alice');
    bob = lab.host('bob');
    await alice.start();
    await bob.start();
  });
  after(() => lab.close());

  const list = async (folder: string) => (await sh('ls -A "$1"', [folder])).trim().split('\n').sort();

  it('the code is asked for on the terminal, not shown, and corrected like any line', async () => {
    const { invitation, code } = (await bob.json(['invite', '--name', 'guest'])) as Invite;
    const file = join(alice.files, 'invitation');
    writeFileSync(file, `Hello,\n\n> Here it is:\n> ${invitation.replace(/(.{60})/g, '$1\n> ')}\n>\n> Yours, Bob\n`);
    const typed = `nonsense\x15${code}x\x7f\r`;
    const { status, shown } = await onTerminal(
      alice,
      ['accept', file, '--name', 'host'],
      typing([/shown\): $/, typed]),
    );
    assert.equal(status, 0, shown);
    assert.match(shown, /host is now a peer/);
    for (const word of code.split('-')) assert.ok(!shown.includes(word), 'the code is shown');
    await untilLive(bob, 'guest');
    const [used] = await rowsOf(bob, 'given');
    const late = await bob.peerfs(['invite', 'revoke', used?.id ?? '']);
    assert.equal(late.status, 6);
    assert.match(late.stderr, /accepted already/);
  });

  it('Ctrl-C at the prompt ends with 130; while waiting it says what goes on without it', async () => {
    const { invitation, code } = (await bob.json(['invite', '--name', 'second', '--address', '127.0.0.1:9'])) as Invite;
    const file = join(alice.files, 'second');
    writeFileSync(file, invitation);
    const prompt = await onTerminal(alice, ['accept', file], typing([/shown\): $/, '\x03']));
    assert.equal(prompt.status, 130, prompt.shown);
    assert.deepEqual(await rowsOf(alice, 'accepting'), []);
    const waiting = await onTerminal(
      alice,
      ['accept', file, '--name', 'second'],
      typing([/shown\): $/, `${code}\r`], [/Calling/, '\x03']),
    );
    assert.equal(waiting.status, 130, waiting.shown);
    assert.match(waiting.shown, /node goes on/);
    const [row] = await rowsOf(alice, 'accepting');
    assert.ok(row);
    await alice.json(['invite', 'revoke', row.id]);
    assert.deepEqual(await rowsOf(alice, 'accepting'), []);
  });

  async function rowsOf(host: Host, direction: string) {
    const rows = (await host.json(['invite', 'list'])) as { id: string; direction: string }[];
    return rows.filter((row) => row.direction === direction);
  }

  it('the mount follows a new name, a share that ends in use, and a peer that is removed', async () => {
    await alice.mount();
    await sh('mkdir "$1/one" "$1/two" && echo kept > "$1/one/f"', [bob.files]);
    await bob.json(['share', join(bob.files, 'one')]);
    await bob.json(['share', join(bob.files, 'two'), '--write']);
    await eventually('both shares', 10_000, async () =>
      (await list(alice.at('host'))).includes('two') ? true : undefined,
    );
    const write = await run(['touch', alice.at('host', 'one', 'new')]);
    assert.match(write.stderr, /Read-only file system/);
    await sh('echo x > "$1"', [alice.at('host', 'two', 'new')]);

    await alice.json(['peers', 'rename', 'host', 'the host']);
    assert.deepEqual(await list(alice.mountpoint), ['the host']);
    assert.equal(await sh('cat "$1"', [alice.at('the host', 'one', 'f')]), 'kept\n');

    const held = run(['sh', '-c', 'cd "$1" && exec 3<f && sleep 1 && cat <&3; ls .', '-', alice.at('the host', 'one')]);
    await bob.json(['unshare', 'one']);
    await eventually('the share is gone', 10_000, async () =>
      (await list(alice.at('the host'))).includes('one') ? undefined : true,
    );
    assert.notEqual((await held).status, 124, 'who had it open hangs');

    await alice.json(['peers', 'remove', 'the host']);
    assert.deepEqual(await list(alice.mountpoint), ['']);
    assert.equal((await alice.peerfs(['unmount'])).status, 0);
    await bob.json(['peers', 'remove', 'guest']);
  });

  it('folders with odd names are mounted, shown escaped; what a mount hides is said', async () => {
    const folder = join(alice.files, `o'dd "$(touch x)\`\n\x1b[31m`);
    await sh('mkdir "$1" && touch "$1/hidden"', [folder]);
    const done = await alice.peerfs(['mount', `o'dd "$(touch x)\`\n\x1b[31m`], { cwd: alice.files });
    assert.equal(done.status, 0, done.stderr);
    assert.match(done.stderr, /not empty/);
    assert.ok(!(done.stdout + done.stderr).includes('\x1b'), 'an escape reaches the terminal');
    assert.equal(done.stdout.trim().split('\n').length, 1);
    assert.deepEqual(await list(folder), ['']);
    assert.equal((await alice.peerfs(['unmount', folder])).status, 0);
    assert.deepEqual(await list(folder), ['hidden']);
  });

  it('another user is refused at the control socket, at the home, and at the mount unless it was opened', async () => {
    if (process.getuid?.() !== 0) {
      console.log('# not looked at: only root can become another user');
      return;
    }
    await introduce(bob, alice);
    await untilLive(alice, 'bob');
    const asNobody = { uid: NOBODY, env: { HOME: '/nonexistent' } };
    await sh('chmod 755 "$1" "$1"/*', [lab.directory]);
    for (const command of [['peers'], ['stop'], ['config', 'list'], ['start']]) {
      const done = await alice.peerfs(command, asNobody);
      assert.notEqual(done.status, 0);
      assert.match(done.stderr, /another user|permission denied/, command.join(' '));
      assert.doesNotMatch(done.stderr, /unexpected/);
    }
    await alice.mount();
    assert.notEqual((await run(['ls', alice.mountpoint], asNobody)).status, 0);
    await alice.json(['unmount']);
    await alice.mount(['--allow-other', '--read-only']);
    assert.equal((await run(['ls', alice.at('bob')], asNobody)).stderr, '');
    assert.match((await run(['mkdir', alice.at('bob', 'x')])).stderr, /Read-only file system/);
    await alice.json(['unmount']);
  });

  it('a node in the foreground ends with its terminal and with Ctrl-C, and takes its mount along', async () => {
    await alice.json(['stop']);
    const { status, shown } = await onTerminal(
      alice,
      ['mount', alice.mountpoint, '--foreground', '--listen', '127.0.0.1:0', '--no-lan'],
      typing([/Your peers are in/, '\x03']),
    );
    assert.equal(status, 0, shown);
    assert.equal(isMounted(alice.mountpoint), false);
    assert.equal((await alice.peerfs(['status'])).status, 3);
    await alice.start();
  });

  it('the logs of all this name no file, peer, address or code', () => {
    for (const host of [alice, bob]) {
      const log = readFileSync(join(host.home, 'node.log'), 'utf8');
      assert.match(log, /node\.ready/);
      assert.doesNotMatch(log, /127\.0\.0\.1|peerfs-invite|\/files|hidden|guest|second|the host|\balice\b|\bbob\b/);
      assert.ok(!log.includes(lab.directory));
    }
  });
});
