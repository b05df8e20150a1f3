/** The command line as programs see it: child processes, exit codes, JSON, homes of their own. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { OFFLINE } from '../e2e/lab.ts';

const CLI = join(import.meta.dirname, '../../src/cli/main.js');

describe('the command line', { timeout: 120_000 }, () => {
  let folder = '';
  const peerfs = (args: readonly string[], environment: Record<string, string> = {}) =>
    spawnSync(process.execPath, [CLI, ...args], {
      encoding: 'utf8',
      timeout: 40_000,
      input: '',
      env: {
        ...process.env,
        PEERFS_HOME: join(folder, 'home'),
        XDG_CONFIG_HOME: join(folder, 'config'),
        ...environment,
      },
    });
  const start = () => peerfs(['start', '--listen', '127.0.0.1:0', '--no-lan']);

  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'peerfs-cli-'));
    // The nodes ask nobody outside.
    mkdirSync(join(folder, 'home'), { mode: 0o700 });
    writeFileSync(join(folder, 'home', 'config'), OFFLINE, { mode: 0o600 });
  });
  after(() => {
    peerfs(['stop']);
    rmSync(folder, { recursive: true, force: true });
  });

  it('without a node every command that needs one ends with 3 and says how to start it', () => {
    for (const args of [
      ['peers'],
      ['stop'],
      ['id'],
      ['status'],
      ['shares'],
      ['unmount'],
      ['invite'],
      ['invite', 'list'],
    ]) {
      const done = peerfs(args);
      assert.equal(done.status, 3, args.join(' '));
      assert.match(done.stderr, /no node is running[^\n]*\n[^\n]*peerfs start/);
      assert.equal(done.stdout, '');
    }
  });

  it('a failure is one line what and why, one what to do; with --json an object on standard output', () => {
    const done = peerfs(['peers', '--json']);
    assert.equal(done.stderr.trim().split('\n').length, 2);
    const { error } = JSON.parse(done.stdout) as { error: Record<string, string> };
    assert.deepEqual(Object.keys(error), ['code', 'message', 'hint']);
    assert.equal(error['code'], 'NODE_NOT_RUNNING');
  });

  it('wrong words end with 2 and no stack trace', () => {
    for (const args of [
      ['frobnicate'],
      ['peers', '--frob'],
      ['share'],
      ['share', 'a', 'b'],
      ['config', 'set', 'colour', 'x'],
    ]) {
      const done = peerfs(args);
      assert.equal(done.status, 2, `${args.join(' ')}: ${done.stderr}`);
      assert.doesNotMatch(done.stderr, /\bat .*\.js:\d+/);
    }
  });

  it('help, exit codes, version and completion need no node', () => {
    assert.match(peerfs(['help', 'invite']).stdout, /--expires/);
    assert.match(peerfs(['invite', '--help']).stdout, /EXAMPLES/);
    assert.match(peerfs(['help', 'exit-codes']).stdout, /^ +3 {2}no node/m);
    assert.match(peerfs(['--version']).stdout, /^peerfs\/\d/);
    const script = peerfs(['completion', 'bash']).stdout;
    const complete = `${script}\nCOMP_WORDS=(peerfs peers re); COMP_CWORD=2; _peerfs; echo "\${COMPREPLY[@]}"`;
    assert.equal(spawnSync('bash', ['-c', complete], { encoding: 'utf8' }).stdout.trim(), 'remove rename');
    assert.match(peerfs(['completion', 'zsh']).stdout, /^#compdef peerfs/);
  });

  it('a result that cannot be written is a failure, a reader that leaves is none', () => {
    const shell = (script: string) =>
      spawnSync('bash', ['-c', script, '-', process.execPath, CLI], { encoding: 'utf8', timeout: 40_000 });
    const full = shell('"$1" "$2" config list > /dev/full');
    assert.equal(full.status, 1);
    assert.match(full.stderr, /no space/);
    assert.doesNotMatch(full.stderr, /\bat .*\.js:\d+/);
    assert.equal(shell('set -o pipefail; "$1" "$2" config list | head -1').status, 0);
  });

  it('completion offers settings, values of flags, flags and folders with blanks', () => {
    const script = peerfs(['completion', 'bash']).stdout;
    const complete = (...words: string[]) => {
      const list = words.map((word) => `'${word}'`).join(' ');
      const program = `peerfs() { "$NODE" "$CLI" "$@"; }; cd "$FOLDER"; ${script}
COMP_WORDS=(${list}); COMP_CWORD=${words.length - 1}; _peerfs; printf '%s\n' "\${COMPREPLY[@]}"`;
      const environment = { ...process.env, NODE: process.execPath, CLI, FOLDER: folder };
      return spawnSync('bash', ['-c', program], { encoding: 'utf8', env: environment }).stdout.trim().split('\n');
    };
    mkdirSync(join(folder, 'two words'));
    assert.ok(complete('peerfs', 'config', 'get', '').includes('patienceMs'));
    assert.deepEqual(complete('peerfs', 'share', '--idmap', 'n'), ['none']);
    assert.deepEqual(complete('peerfs', 'completion', 'b'), ['bash']);
    assert.deepEqual(complete('peerfs', 'invite', '--ex'), ['--expires']);
    assert.deepEqual(complete('peerfs', 'mount', 'two'), ['two words']);
  });

  it('global flags stand anywhere, a wrong argument names its command', () => {
    assert.equal(peerfs(['--json', '--home', join(folder, 'none'), 'peers']).status, 3);
    assert.match(peerfs(['peers', 'rename']).stderr, /NAME.*NEW.*\n.*help peers rename/);
    assert.match(peerfs(['stop', 'now']).stderr, /now/);
    assert.match(peerfs(['mount', '-h']).stdout, /--read-only/);
  });

  it('doctor looks at everything and says how to mend what is wrong', () => {
    const open = join(folder, 'two words');
    writeFileSync(join(open, 'x'), '');
    const done = peerfs(['doctor', '--json', '--home', open]);
    assert.equal(done.status, 9, done.stderr);
    const findings = JSON.parse(done.stdout) as { check: string; result: string; mend?: string }[];
    for (const { check, result, mend } of findings) assert.equal(mend !== undefined, result !== 'ok', check);
    assert.match(findings.find(({ check }) => check === 'home')?.mend ?? '', /chmod 700 '.*two words'/);
    for (const check of ['/dev/fuse', 'fusermount3', 'kernel', 'libraries', 'port', 'clock', 'disk']) {
      assert.ok(
        findings.some((finding) => finding.check === check),
        check,
      );
    }
  });

  it('the last of a flag given twice counts', () => {
    const done = peerfs(['start', '--listen', '127.0.0.1:0', '--listen=nonsense', '--paths', 'tcp']);
    assert.equal(done.status, 2);
    assert.match(done.stderr, /nonsense/);
  });

  it('settings are read and written without a node', () => {
    assert.equal(peerfs(['config', 'set', 'patienceMs', '2000']).status, 0);
    assert.equal(peerfs(['config', 'get', 'patienceMs']).stdout, '2000\n');
    assert.equal(peerfs(['config', 'set', 'patienceMs', '--default']).status, 0);
    assert.equal(peerfs(['config', 'get', 'patienceMs']).stdout, '15000\n');
    const servers = '["stun.example:3478","[2001:db8::1]:3478"]';
    assert.equal(peerfs(['config', 'set', 'stun.servers', servers]).status, 0);
    assert.equal(peerfs(['config', 'get', 'stun.servers']).stdout, `${servers}\n`);
    assert.equal(peerfs(['config', 'set', 'stun.servers', '[]']).status, 0);
    assert.equal(peerfs(['config', 'set', 'tor', '"off"']).stdout, 'tor = off\n');
    assert.equal(peerfs(['config', 'set', 'turn.servers', '[{"url":"turns:h"}]']).status, 2);
  });

  it('the unit of the service names this home and is removed again', () => {
    const done = JSON.parse(peerfs(['service', 'install', '--no-enable', '--json']).stdout) as { unit: string };
    const unit = readFileSync(done.unit, 'utf8');
    assert.match(unit, /mount --foreground/);
    assert.ok(unit.includes(`PEERFS_HOME=${join(folder, 'home')}`));
    assert.equal(peerfs(['service', 'remove']).status, 0);
    assert.equal(peerfs(['service', 'remove']).status, 5);
  });

  it('an invitation that is none, and a missing code, are told before the node is asked', () => {
    assert.equal(peerfs(['accept', 'hello'], { PEERFS_CODE: 'x' }).status, 6);
    const file = join(folder, 'invitation');
    writeFileSync(file, 'peerfs-invite-1:abc');
    const done = spawnSync('setsid', [process.execPath, CLI, 'accept', file], { encoding: 'utf8', input: '' });
    assert.equal(done.status, 2, done.stderr);
    assert.match(done.stderr, /code/);
  });

  it('a home that others can enter is refused with 9', () => {
    const open = join(folder, 'open');
    mkdirSync(join(open, 'x'), { recursive: true, mode: 0o755 });
    const done = peerfs(['start', '--home', open]);
    assert.equal(done.status, 9, done.stderr);
    assert.match(done.stderr, /chmod 700/);
  });

  it('two commands that mount at once end in one node', async () => {
    const places = [join(folder, 'first'), join(folder, 'second')];
    const statuses = await Promise.all(
      places.map(
        (place) =>
          new Promise<number | null>((resolve) => {
            const argv = [CLI, 'mount', place, '--listen', '127.0.0.1:0', '--no-lan'];
            const env = { ...process.env, PEERFS_HOME: join(folder, 'home') };
            spawn(process.execPath, argv, { env, stdio: 'ignore' }).on('close', resolve);
          }),
      ),
    );
    assert.deepEqual(statuses, [0, 0]);
    const { mounts } = JSON.parse(peerfs(['status', '--json']).stdout) as { mounts: { directory: string }[] };
    assert.deepEqual(mounts.map((mount) => mount.directory).sort(), places);
    assert.equal(peerfs(['stop']).status, 0);
  });

  it('a node starts, is alone, survives kill -9, keeps its port, and stops', () => {
    assert.equal(start().status, 0);
    const second = start();
    assert.equal(second.status, 4);
    assert.match(second.stderr, /already running/);
    const status = JSON.parse(peerfs(['status', '--json']).stdout) as { pid: number; listening: string[] };
    process.kill(status.pid, 'SIGKILL');
    const again = start();
    assert.equal(again.status, 0, again.stderr);
    const after_ = JSON.parse(peerfs(['status', '--json']).stdout) as { pid: number; listening: string[] };
    assert.notEqual(after_.pid, status.pid);
    assert.deepEqual(after_.listening, status.listening);
    assert.equal(peerfs(['stop']).status, 0);
    assert.equal(peerfs(['peers']).status, 3);
  });

  it('a port that is taken and an address that is not here end with 9 and name it', () => {
    const done = peerfs(['start', '--listen', '203.0.113.1:0']);
    assert.equal(done.status, 9);
    assert.match(done.stderr, /203\.0\.113\.1/);
    const inbox = peerfs(['start', '--listen', '127.0.0.1:0', '--inbox', '/dev/null']);
    assert.equal(inbox.status, 9);
    assert.match(inbox.stderr, /inbox \/dev\/null cannot be used: not a folder/);
  });
});
