/**
 * What a peer gets is what it was given: no set-id bits, devices, foreign owners, links between what it may read and what
 * it may write, and nothing of others by way of a mount that is shared again. Each is tried, and each is refused.
 */
import assert from 'node:assert/strict';
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { introduce, openLab, run, sh, untilLive, type Host, type Lab, type Outcome } from '../e2e/lab.ts';

const isRoot = process.getuid?.() === 0;
const LIMIT_MS = 20_000;

/** Runs a line of Python whose arguments are a[0], a[1]...; prints what was raised, or ok. */
function calls(line: string, ...args: string[]): Promise<Outcome> {
  const program = `import os, socket, stat, sys\na = sys.argv[1:]\ntry:\n    ${line}\n    print('ok')\nexcept OSError as e:\n    print(os.strerror(e.errno))`;
  return run(['python3', '-c', program, ...args], { timeoutMs: LIMIT_MS });
}

async function comes(want: string, line: string, ...args: string[]): Promise<void> {
  const { stdout, stderr } = await calls(line, ...args);
  assert.equal(`${stdout.trim()}${stderr}`, want, `${line} ${args.join(' ')}`);
}

describe('rights', { timeout: 240_000 }, () => {
  let lab: Lab;
  let alice: Host;
  let bob: Host;
  /** Shared by bob to be written. */
  let folder: string;
  /** The same folder at alice's. */
  let there: string;

  before(async () => {
    lab = openLab(['alice', 'bob', 'carol']);
    alice = lab.host('alice');
    bob = lab.host('bob');
    for (const host of lab.hosts) await host.start();
    await introduce(bob, alice);
    await introduce(lab.host('carol'), alice);
    folder = path.join(bob.files, 'work');
    mkdirSync(path.join(folder, 'inner'), { recursive: true });
    writeFileSync(path.join(folder, 'inner', 'f'), 'read only');
    await bob.json(['share', folder, '--name', 'work', '--write']);
    await bob.json(['share', folder, '--name', 'shown']);
    await bob.json(['share', path.join(folder, 'inner'), '--name', 'inner']);
    await alice.mount();
    await bob.mount();
    await untilLive(alice, 'bob');
    there = alice.at('bob', 'work');
  });
  after(() => lab.close());

  const modeOf = (name: string) => lstatSync(path.join(folder, name)).mode & 0o7777;

  test('set-id bits are not set, however a file gets its mode', async () => {
    await comes('ok', 'os.close(os.open(a[0], os.O_CREAT | os.O_WRONLY, 0o6755))', `${there}/made`);
    await comes('ok', 'os.mknod(a[0], 0o6755 | stat.S_IFREG)', `${there}/node`);
    await comes('ok', 'os.mkdir(a[0], 0o2755)', `${there}/folder`);
    for (const name of ['made', 'node', 'folder']) assert.equal(modeOf(name) & 0o6000, 0, name);
    for (const mode of [0o4755, 0o2755, 0o6755, 0o7777]) {
      await comes('ok', `os.chmod(a[0], ${mode})`, `${there}/made`);
      assert.equal(modeOf('made'), mode & 0o1777);
      await comes('ok', `fd = os.open(a[0], os.O_RDWR); os.fchmod(fd, ${mode}); os.close(fd)`, `${there}/made`);
      assert.equal(modeOf('made'), mode & 0o1777);
    }
    await comes(
      'ok',
      'fd = os.open(a[0], os.O_CREAT | os.O_RDWR); os.fchmod(fd, 0o6755); os.write(fd, b"x"); os.close(fd)',
      `${there}/both`,
    );
    assert.equal(modeOf('both'), 0o755);
    await sh('cp -p /bin/true "$1/program" && chmod 6755 "$1/program" && cp -p "$1/program" "$2/program"', [
      alice.files,
      there,
    ]);
    assert.equal(modeOf('program'), 0o755);
    await sh('tar -C "$1" -cf - program | tar -C "$2/folder" -xpf - --no-same-owner', [alice.files, there]);
    assert.equal(modeOf('folder/program'), 0o755);
  });

  test('set-id bits of the peer are not shown and give nothing', async () => {
    chmodSync(path.join(folder, 'program'), 0o6755);
    await comes('ok', 'assert os.stat(a[0]).st_mode & 0o7777 == 0o755, oct(os.stat(a[0]).st_mode)', `${there}/program`);
    const options = readFileSync('/proc/self/mountinfo', 'latin1')
      .split('\n')
      .filter((line) => line.includes(` ${alice.mountpoint} `));
    assert.match(options.join('\n'), /\bnosuid\b/);
    assert.match(options.join('\n'), /\bnodev\b/);
  });

  test('device nodes and sockets are not made', async () => {
    await comes('Operation not permitted', 'os.mknod(a[0], 0o666 | stat.S_IFCHR, os.makedev(1, 3))', `${there}/null`);
    await comes('Operation not permitted', 'os.mknod(a[0], 0o666 | stat.S_IFBLK, os.makedev(7, 0))', `${there}/loop`);
    await comes('Operation not permitted', 'os.mknod(a[0], 0o666 | stat.S_IFSOCK)', `${there}/socket`);
    await comes('Operation not permitted', 'os.chdir(a[0]); socket.socket(socket.AF_UNIX).bind("socket")', there);
    for (const name of ['null', 'loop', 'socket']) assert.ok(!readdirSync(folder).includes(name), name);
  });

  test('device nodes and sockets of the peer do not act', async () => {
    await sh('python3 -c "import socket,sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])" "$1/bound"', [folder]);
    const names = ['bound'];
    if (isRoot) {
      await sh('mknod -m 666 "$1/zero" c 1 5', [folder]);
      names.push('zero');
    }
    for (const name of names) {
      const { stdout } = await calls('os.close(os.open(a[0], os.O_RDONLY | os.O_NONBLOCK))', `${there}/${name}`);
      assert.match(stdout, /Permission denied|No such device or address/, name);
      assert.match(
        (await calls('os.link(a[0], a[1])', `${there}/${name}`, `${there}/${name}-2`)).stdout,
        /ok|not permitted/,
      );
    }
  });

  test('nobody else becomes the owner of a file', async () => {
    const own = String(process.getuid?.() ?? 0);
    await comes('ok', 'os.chown(a[0], int(a[1]), -1)', `${there}/made`, own);
    await comes('Operation not permitted', 'os.chown(a[0], 12345, -1)', `${there}/made`);
    await comes('Operation not permitted', 'os.chown(a[0], -1, 12345)', `${there}/made`);
    await comes('Operation not permitted', 'os.lchown(a[0], 12345, 12345)', `${there}/made`);
    await comes(
      'Operation not permitted',
      'fd = os.open(a[0], os.O_RDWR); os.fchown(fd, 12345, 12345)',
      `${there}/made`,
    );
    assert.equal(String(statSync(path.join(folder, 'made')).uid), own);
    if (isRoot) {
      await sh('cp /bin/true "$1/theirs" && chown 12345:12345 "$1/theirs"', [alice.files]);
      const copied = await run(['cp', '-p', `${alice.files}/theirs`, `${there}/theirs`], { timeoutMs: LIMIT_MS });
      assert.match(copied.stderr, /preserve ownership.*Operation not permitted/);
      assert.equal(statSync(path.join(folder, 'theirs')).uid, 0);
    }
  });

  test('nothing is linked or moved from what may be read into what may be written', async () => {
    for (const from of [alice.at('bob', 'shown', 'inner', 'f'), alice.at('bob', 'inner', 'f')]) {
      await comes('Invalid cross-device link', 'os.link(a[0], a[1])', from, `${there}/linked`);
      await comes('Invalid cross-device link', 'os.rename(a[0], a[1])', from, `${there}/moved`);
      await comes(
        'Invalid cross-device link',
        'fd = os.open(a[0], os.O_RDONLY); os.link("/proc/self/fd/%d" % fd, a[1], follow_symlinks=True)',
        from,
        `${there}/linked`,
      );
      await comes('Read-only file system', 'os.open(a[0], os.O_WRONLY)', from);
      await comes('Read-only file system', 'os.chmod(a[0], 0o666)', from);
      await comes('Read-only file system', 'os.unlink(a[0])', from);
    }
    await comes('Read-only file system', 'os.link(a[0], a[0] + "2")', alice.at('bob', 'inner', 'f'));
    await comes('Read-only file system', 'os.rename(a[0], a[0] + "2")', alice.at('bob', 'inner', 'f'));
    assert.equal(statSync(path.join(folder, 'inner', 'f')).nlink, 1);
    assert.equal(readFileSync(path.join(folder, 'inner', 'f'), 'utf8'), 'read only');
  });

  test('a mount is not shared again, nor what holds it, lies in it or leads to it', async () => {
    const link = path.join(alice.files, 'link');
    symlinkSync(there, link);
    const tried = [
      alice.mountpoint,
      there,
      alice.at('bob'),
      alice.at('bob', 'work', 'folder'),
      path.dirname(alice.mountpoint),
      '/',
      link,
    ];
    for (const place of tried) {
      const outcome = await alice.peerfs(['share', place, '--name', 'again'], { timeoutMs: LIMIT_MS });
      assert.equal(outcome.status, 2, `${place}: ${outcome.stderr}`);
      assert.match(outcome.stderr, /mount/, place);
    }
    assert.deepEqual(await alice.json(['shares']), []);
  });

  test('the mount of another node of the same computer is not shared, and is no part of what holds it', async () => {
    // Bob's files at alice's, given away by carol: what bob gave to alice alone.
    const carol = lab.host('carol');
    for (const place of [alice.mountpoint, there, alice.at('bob', 'work', 'folder')]) {
      const outcome = await carol.peerfs(['share', place, '--name', 'again'], { timeoutMs: LIMIT_MS });
      assert.equal(outcome.status, 2, `${place}: ${outcome.stderr}`);
      assert.match(outcome.stderr, /mount of peerfs/, place);
    }
    if (isRoot) {
      const bound = path.join(carol.files, 'bound');
      mkdirSync(bound);
      await sh('mount --bind "$1" "$2"', [there, bound]);
      try {
        const outcome = await carol.peerfs(['share', bound], { timeoutMs: LIMIT_MS });
        assert.equal(outcome.status, 2, outcome.stderr);
        // Below what is shared it is a mount like any other: not part of it.
        await carol.json(['share', carol.files, '--name', 'files']);
        await sh('test "$(ls "$1")" = "" && ! ls "$1/bound"', [alice.at('carol', 'files')]);
      } finally {
        await sh('umount "$1"', [bound]);
      }
    }
  });

  test('a share that comes to lie in a mount is not served any more', { timeout: 60_000 }, async () => {
    if (!isRoot) return;
    const carol = lab.host('carol');
    const place = path.join(carol.files, 'later');
    mkdirSync(place);
    await carol.json(['share', place, '--name', 'later']);
    await carol.json(['stop']);
    await sh('mount --bind "$1" "$2"', [there, place]);
    try {
      await carol.start();
      const shares = (await carol.json(['shares'])) as { name: string; fault: string | null }[];
      assert.match(shares.find(({ name }) => name === 'later')?.fault ?? '', /mount/);
    } finally {
      await sh('umount "$1"', [place]);
    }
  });

  test("one's own share inside another's inside one's own leads nowhere", async () => {
    // Bob gives carol his files; in them stands the place where bob mounts, and in it what carol gives bob.
    const held = path.dirname(bob.mountpoint);
    const outcome = await bob.peerfs(['share', held, '--name', 'all', '--write'], { timeoutMs: LIMIT_MS });
    assert.equal(outcome.status, 2, outcome.stderr);
    const inside = path.join(folder, 'inner', 'mnt');
    assert.equal((await bob.peerfs(['mount', inside], { timeoutMs: LIMIT_MS })).status, 2);
    // A link in the share to bob's own mount, which shows alice's inbox at bob's, is a link and no more.
    symlinkSync(bob.mountpoint, path.join(folder, 'round'));
    const { stdout } = await calls('os.listdir(a[0])', `${there}/round/alice`);
    assert.notEqual(stdout.trim(), 'ok');
  });
});
