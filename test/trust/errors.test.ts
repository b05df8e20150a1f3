/** Errors of the peer's computer arrive at the program that meets them, as what they are. */
import assert from 'node:assert/strict';
import { chmodSync, chownSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { introduce, openLab, run, sh, untilLive, CLI, type Host, type Lab } from '../e2e/lab.ts';
import { isRoot, makeSmallDisk, mount, type SmallDisk } from './small-disk.ts';
import { write } from './writer.ts';

const MIB = 1024 * 1024;
const TIME = { timeoutMs: 15_000 };
const NOBODY = 65_534;

/** What the system says to a script that must fail. */
async function complaint(script: string, ...args: string[]): Promise<string> {
  const outcome = await run(['bash', '-c', script, 'sh', ...args], { ...TIME, env: { LC_ALL: 'C' } });
  assert.notEqual(outcome.status, 0, `${script} did not fail`);
  assert.notEqual(outcome.status, 124, `${script} hung`);
  return outcome.stderr;
}

async function startLimited(host: Host, limits: string, uid?: number): Promise<void> {
  const args = [process.execPath, CLI, 'start', '--listen', `${host.address}:0`, '--no-lan'];
  const outcome = await run([...host.enter, 'bash', '-c', `${limits}; exec "$@"`, 'sh', ...args], {
    env: { PEERFS_HOME: host.home },
    ...(uid === undefined ? {} : { uid }),
  });
  assert.equal(outcome.status, 0, outcome.stderr);
}

describe('errors of the serving side', { timeout: 60_000 }, () => {
  let lab: Lab;
  let alice: Host;
  let bob: Host;
  const disks: SmallDisk[] = [];
  const smallDisk = (options: string): SmallDisk => {
    const disk = makeSmallDisk(options);
    disks.push(disk);
    return disk;
  };

  before(async () => {
    if (!isRoot) console.log('# small disks and other users need root: what is shown is what needs none');
    lab = openLab(['alice', 'bob'], true);
    alice = lab.host('alice');
    bob = lab.host('bob');
    // 8 MiB a file, and descriptors of which a peer may have 64.
    await startLimited(bob, 'ulimit -f 8192; ulimit -n 512');
    mkdirSync(join(bob.files, 'work'));
    await bob.json(['share', join(bob.files, 'work'), '--write']);
    mkdirSync(join(bob.files, 'look'));
    await bob.json(['share', join(bob.files, 'look')]);
    await alice.start();
    await introduce(bob, alice);
    await alice.mount();
    await untilLive(alice, 'bob');
  });
  after(async () => {
    try {
      await lab.close();
    } finally {
      for (const disk of disks) disk.close();
    }
  });
  const work = (...names: string[]) => alice.at('bob', 'work', ...names);

  it('EFBIG where the node may write no larger file', async () => {
    const { code } = await write(work('large'), 12 * MIB);
    assert.equal(code, 'EFBIG');
    assert.equal((await write(work('large by fsync'), 12 * MIB, 'fsync')).code, 'EFBIG');
    assert.match(await complaint('truncate -s 16M "$1"', work('longer')), /File too large/);
    assert.deepEqual(await write(work('fits'), 7 * MIB), {});
    await sh('rm -f "$1"/*', [work()], TIME);
  });

  it('EMFILE where the node may open no more, and nothing else fails meanwhile', async () => {
    await sh('for n in $(seq 100); do echo $n >"$1/f$n"; done', [work()], TIME);
    const open = 'for n in $(seq 100); do exec {f}>>"$1/f$n" || exit 1; done';
    assert.match(await complaint(open, work()), /Too many open files/);
    // (Small files to read are fetched whole: they need no handle there.)
    const count = await sh('cat "$1"/f* | wc -l', [work()], TIME);
    assert.equal(count.trim(), '100');
    await sh('rm "$1"/f*', [work()], TIME);
  });

  it('ENAMETOOLONG for a name and for a path that no computer has', async () => {
    assert.match(await complaint('mkdir "$1"', work('n'.repeat(256))), /File name too long/);
    await sh('mkdir "$1"', [work('n'.repeat(255))], TIME);
    const deep = 'cd "$1" && for n in $(seq 40); do mkdir "$2" && cd "$2" || exit 1; done';
    assert.match(await complaint(deep, work(), 'd'.repeat(255)), /File name too long/);
    await sh('rm -r "$1"/[nd]*', [work()], TIME);
  });

  it('EROFS where the share is to read, and where its disk is', async () => {
    assert.match(await complaint('mkdir "$1"', alice.at('bob', 'look', 'd')), /Read-only file system/);
    assert.match(await complaint('echo x >"$1"', alice.at('bob', 'look', 'f')), /Read-only file system/);
    if (!isRoot) return;
    const disk = smallDisk('size=4M');
    writeFileSync(join(disk.directory, 'f'), 'old');
    await bob.json(['share', disk.directory, '--write', '--name', 'frozen']);
    const file = alice.at('bob', 'frozen', 'f');
    await sh('cat "$1"', [file], TIME);
    mount(['-o', 'remount,ro', disk.directory]);
    assert.match(await complaint('echo x >"$1"', file), /Read-only file system/);
    assert.match(await complaint('echo x >>"$1"', file), /Read-only file system/);
    assert.match(await complaint('rm "$1"', file), /Read-only file system/);
    assert.match(await complaint('chmod 600 "$1"', file), /Read-only file system/);
    assert.match(await complaint('mv "$1" "$1.new"', file), /Read-only file system/);
    assert.match(await complaint('mkdir "$1"', alice.at('bob', 'frozen', 'd')), /Read-only file system/);
    assert.equal((await write(alice.at('bob', 'frozen', 'new'), 10)).code, 'EROFS');
    assert.equal(await sh('cat "$1"', [file], TIME), 'old');
    await bob.json(['unshare', 'frozen']);
  });

  if (isRoot) {
    it('ENOSPC by close or fsync at the latest; what was acknowledged is there; room that is made is used', async () => {
      const disk = smallDisk('size=8M,nr_inodes=64');
      await bob.json(['share', disk.directory, '--write', '--name', 'small']);
      const at = (name: string) => alice.at('bob', 'small', name);
      assert.deepEqual(await write(at('kept'), 3 * MIB, 'fsync'), {});
      for (const ending of ['fsync', 'close'] as const) {
        assert.equal((await write(at('large'), 16 * MIB, ending)).code, 'ENOSPC', ending);
      }
      // What remains of it fills the disk: one byte more, and a small file that is one call.
      assert.equal((await write(at('tiny'), 5000, 'close')).code, 'ENOSPC');
      assert.match(await complaint('fallocate -l 6M "$1"', at('allocated')), /No space left on device/);
      assert.ok(readFileSync(join(disk.directory, 'kept')).equals(Buffer.alloc(3 * MIB, 0x61)));
      await sh('rm -f "$1" "$2" "$3"', [at('large'), at('tiny'), at('allocated')], TIME);
      const many = 'for n in $(seq 100); do mkdir "$1/d$n" || exit 1; done';
      assert.match(await complaint(many, alice.at('bob', 'small')), /No space left on device/);
      await sh('rmdir "$1"/d*', [alice.at('bob', 'small')], TIME);
      assert.deepEqual(await write(at('again'), 2 * MIB, 'fsync'), {});
      assert.deepEqual(readdirSync(disk.directory).sort(), ['again', 'kept']);
      await bob.json(['unshare', 'small']);
    });

    it('EACCES where a plain user serves what that user may not reach', async () => {
      const carol = openLab(['carol'], true);
      try {
        const host = carol.host('carol');
        chmodSync(carol.directory, 0o755);
        const base = join(carol.directory, 'carol');
        for (const path of [base, host.home, host.files, join(host.home, 'config')]) chownSync(path, NOBODY, NOBODY);
        const own = { uid: NOBODY, env: { HOME: base } };
        const shared = join(host.files, 'shared');
        mkdirSync(join(shared, 'closed'), { recursive: true });
        mkdirSync(join(shared, 'open'));
        chownSync(shared, NOBODY, NOBODY);
        chownSync(join(shared, 'open'), NOBODY, NOBODY);
        writeFileSync(join(shared, 'secret'), 'root alone', { mode: 0o600 });
        writeFileSync(join(shared, 'notice'), 'to read', { mode: 0o644 });
        mkdirSync(join(shared, 'hidden'), { mode: 0o700 });
        await startLimited(host, 'umask 077', NOBODY);
        await host.json(['share', shared, '--write'], own);
        const invite = (await host.json(['invite', '--name', 'alice'], own)) as { invitation: string; code: string };
        await alice.json(['accept', invite.invitation, '--name', 'carol'], { env: { PEERFS_CODE: invite.code } });
        await untilLive(alice, 'carol');
        const at = (...names: string[]) => alice.at('carol', 'shared', ...names);
        assert.match(await complaint('cat "$1"', at('secret')), /Permission denied/);
        assert.match(await complaint('ls "$1"', at('hidden')), /Permission denied/);
        assert.match(await complaint('echo x >>"$1"', at('notice')), /Permission denied/);
        assert.match(await complaint('mkdir "$1"', at('closed', 'd')), /Permission denied/);
        assert.equal((await write(at('closed', 'f'), 10)).code, 'EACCES');
        // To change what belongs to another is EPERM, as on the computer itself.
        assert.match(await complaint('chmod 600 "$1"', at('notice')), /Operation not permitted/);
        assert.equal(await sh('cat "$1"', [at('notice')], TIME), 'to read');
        assert.deepEqual(await write(at('open', 'f'), 10, 'fsync'), {});
        await host.peerfs(['stop'], own);
      } finally {
        await carol.close();
      }
    });
  }
});
