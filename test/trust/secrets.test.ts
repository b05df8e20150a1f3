/** What is secret stays where it is: in files for one user, behind a passphrase if there is one, and in no dump. */
import assert from 'node:assert/strict';
import { lstatSync, readdirSync, readFileSync, statSync, watch, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it, test } from 'node:test';
import { CLI, introduce, openLab, run, sh, untilLive, type Host, type Lab, type Outcome } from '../e2e/lab.ts';

const PASSPHRASE = 'canary-passphrase with 3 words';
const TIME = { timeoutMs: 30_000 };

/** Types in a terminal of its own what is asked for. */
const TERMINAL = `import os, pty, select, sys, time
answers = sys.argv[2].split('|'); pid, fd = pty.fork()
if pid == 0: os.execvp(sys.argv[3], sys.argv[3:])
said = b''; end = time.time() + float(sys.argv[1])
while time.time() < end:
    if not select.select([fd], [], [], 0.2)[0]: continue
    try: piece = os.read(fd, 4096)
    except OSError: break
    if not piece: break
    said += piece
    if piece.rstrip(b' ').endswith(b':') and answers:
        time.sleep(0.1); os.write(fd, (answers.pop(0) + '\\n').encode())
sys.stdout.write(said.decode())
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))`;

describe('secrets', { timeout: 120_000 }, () => {
  let lab: Lab;
  let alice: Host;
  let bob: Host;
  let file: string;
  const seen: string[] = [];
  let watcher: ReturnType<typeof watch> | undefined;

  /** Under a umask that hides nothing. */
  const openly = (host: Host, ...args: string[]): Promise<Outcome> =>
    run(['bash', '-c', 'umask 000; exec "$@"', 'sh', process.execPath, CLI, ...args], {
      ...TIME,
      env: { PEERFS_HOME: host.home },
    });
  const start = (...flags: string[]) => openly(alice, 'start', '--listen', '127.0.0.1:0', '--no-lan', ...flags);
  /** What others might do with it. */
  const note = (path: string) => {
    try {
      const { mode } = lstatSync(path);
      if ((mode & 0o077) !== 0 && !path.endsWith('.sock')) seen.push(`${path} ${(mode & 0o7777).toString(8)}`);
    } catch {
      // It has gone again.
    }
  };

  before(async () => {
    lab = openLab(['alice', 'bob'], true);
    alice = lab.host('alice');
    bob = lab.host('bob');
    file = join(alice.files, 'passphrase');
    writeFileSync(file, `${PASSPHRASE}\n`, { mode: 0o600 });
    watcher = watch(alice.home, { recursive: true }, (_event, name) => name !== null && note(join(alice.home, name)));
    assert.equal((await start()).status, 0);
    await bob.start();
    await introduce(bob, alice);
    await untilLive(alice, 'bob');
  });
  after(async () => {
    watcher?.close();
    await lab.close();
  });

  it('under umask 000 every file is 0600 and every folder 0700, from the moment it is made', async () => {
    await alice.json(['invite']);
    await openly(alice, 'config', 'set', 'logLevel', 'debug');
    const walk = (folder: string) => {
      for (const entry of readdirSync(folder, { withFileTypes: true })) {
        const path = join(folder, entry.name);
        note(path);
        if (entry.isDirectory()) walk(path);
      }
    };
    walk(alice.home);
    assert.ok(readdirSync(alice.home).includes('identity.key'));
    // The watcher looks as soon as it hears of a name.
    await new Promise((resolve) => setTimeout(resolve, 200));
    assert.deepEqual(seen, []);
    assert.equal(statSync(join(alice.home, 'control.sock')).mode & 0o077, 0);
  });

  it('no core is dumped of a node, and no other process of its user looks into its memory', async () => {
    const pid = await alice.pid();
    assert.match(readFileSync(`/proc/${pid}/limits`, 'utf8'), /^Max core file size +0 +0/m);
    if (process.getuid?.() !== 0) {
      assert.throws(() => readFileSync(`/proc/${pid}/environ`), { code: 'EACCES' });
    } else {
      // The files of a process that may not be dumped are root's, whoever it runs as: see it run as another.
      const script = `import ctypes, os, sys
os.setgid(65534); os.setuid(65534)
os.environ['PEERFS_HOME'] = sys.argv[1]
os.execvp(sys.argv[2], sys.argv[2:])`;
      const home = join(lab.directory, 'plain');
      await sh('install -d -m 700 -o 65534 -g 65534 "$1"; chmod 755 "$2"', [home, lab.directory]);
      writeFileSync(join(home, 'config'), readFileSync(join(bob.home, 'config')), { mode: 0o644 });
      const plain = (...args: string[]) => run(['python3', '-c', script, home, process.execPath, CLI, ...args], TIME);
      const started = await plain('start', '--listen', '127.0.0.1:0', '--no-lan');
      assert.equal(started.status, 0, started.stderr);
      try {
        const node = (JSON.parse((await plain('status', '--json')).stdout) as { pid: number }).pid;
        assert.equal(statSync(`/proc/${node}/mem`).uid, 0);
        const look = `import os, sys
os.setgid(65534); os.setuid(65534)
open('/proc/%s/mem' % sys.argv[1], 'rb')`;
        const looked = await run(['python3', '-c', look, String(node)], TIME);
        assert.match(looked.stderr, /PermissionError/);
      } finally {
        await plain('stop');
      }
    }
  });

  it('an identity is sealed, and the node starts with its passphrase alone, as who it was', async () => {
    const { id } = (await alice.json(['id'])) as { id: string };
    const key = join(alice.home, 'identity.key');
    const seed = readFileSync(key);
    assert.equal((await openly(alice, 'id', 'seal', '--passphrase-file', file)).status, 0);
    const sealed = readFileSync(key);
    assert.ok(!sealed.includes(seed.subarray(0, 8)));
    assert.equal(statSync(key).mode & 0o777, 0o600);
    const twice = await openly(alice, 'id', 'seal', '--passphrase-file', file);
    assert.match(twice.stderr, /sealed already/);
    await alice.json(['stop']);

    const without = await start();
    assert.equal(without.status, 2);
    assert.match(without.stderr, /sealed under a passphrase|no passphrase/);
    writeFileSync(join(alice.files, 'wrong'), 'another\n', { mode: 0o600 });
    const wrong = await start('--passphrase-file', join(alice.files, 'wrong'));
    assert.equal(wrong.status, 7, wrong.stderr);
    assert.match(wrong.stderr, /passphrase is wrong/);
    writeFileSync(join(alice.files, 'open'), 'another\n', { mode: 0o644 });
    assert.match((await start('--passphrase-file', join(alice.files, 'open'))).stderr, /read by others/);
    assert.ok(readFileSync(key).equals(sealed));

    const right = await start('--passphrase-file', file);
    assert.equal(right.status, 0, right.stderr);
    assert.equal(((await alice.json(['id'])) as { id: string }).id, id);
    await untilLive(alice, 'bob');
  });

  it('the passphrase stands in no argument, environment, log or file', async () => {
    const pid = await alice.pid();
    assert.ok(!readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('canary'));
    if (process.getuid?.() === 0) assert.ok(!readFileSync(`/proc/${pid}/environ`, 'utf8').includes('canary'));
    const found = await run(['grep', '-rl', '--binary-files=text', 'canary-passphrase', alice.home], TIME);
    assert.equal(found.stdout, '');
  });

  it('it is asked on the terminal, not shown, and a wrong one is told', async () => {
    await alice.json(['stop']);
    const ask = (answers: string, ...args: string[]) =>
      run(['python3', '-c', TERMINAL, '20', answers, process.execPath, CLI, ...args], {
        ...TIME,
        env: { PEERFS_HOME: alice.home },
      });
    const flags = ['start', '--listen', '127.0.0.1:0', '--no-lan'];
    const wrong = await ask('canary-wrong', ...flags);
    assert.equal(wrong.status, 7, wrong.stdout);
    assert.doesNotMatch(wrong.stdout, /canary/);
    const right = await ask(PASSPHRASE, ...flags);
    assert.equal(right.status, 0, right.stdout);
    assert.match(right.stdout, /Passphrase[^\n]*not shown/);
    assert.doesNotMatch(right.stdout, /canary/);

    assert.equal((await ask(PASSPHRASE, 'id', 'unseal')).status, 0);
    assert.equal(readFileSync(join(alice.home, 'identity.key')).length, 32);
    const unlike = await ask(`${PASSPHRASE}|other`, 'id', 'seal');
    assert.equal(unlike.status, 2, unlike.stdout);
    assert.equal(readFileSync(join(alice.home, 'identity.key')).length, 32);
    assert.equal((await ask(`${PASSPHRASE}|${PASSPHRASE}`, 'id', 'seal')).status, 0);
  });
});

test("no key of a session stands in the process's memory once the session is closed", async () => {
  const program = join(import.meta.dirname, 'key-memory-program.js');
  const { status, stdout, stderr } = await run([process.execPath, '--expose-gc', program], { timeoutMs: 60_000 });
  assert.equal(status, 0, stderr);
  const { open, closed, mib } = JSON.parse(stdout) as Record<'open' | 'closed', Record<string, number>> & {
    mib: number;
  };
  console.log(`# ${Object.keys(closed).length} keys searched for in ${mib} MiB`);
  // The search finds what is there.
  for (const name of [
    'stream send stream',
    'stream receive stream',
    'session send datagram',
    'session receive datagram',
  ]) {
    assert.ok((open[name] ?? 0) > 0, `${name} in use: ${stdout}`);
  }
  assert.deepEqual(
    Object.entries(closed).filter(([, count]) => count > 0),
    [],
  );
});
