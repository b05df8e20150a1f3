import assert from 'node:assert/strict';
import { spawn, execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { ByteString } from '../../src/bytestring.ts';
import { codeOf } from '../../src/errors.ts';
import { createLocalTree, type LocalTree } from '../../src/fs/local-tree.ts';
import { OPEN } from '../../src/wire/schema.ts';
import { fails, list, openFile, p, readFile, writeFile } from './tree-contract.ts';

const OWNER = { uid: 0, gid: 0 };
const CANARY = 'outside the share';

/** Swaps `entry` between a directory and a link to `outside`, for ever. */
const SWAPPER = `
  const fs = require('node:fs');
  const [entry, spare, outside] = process.argv.slice(1);
  process.send('ready');
  for (;;) {
    fs.renameSync(entry, spare);
    fs.symlinkSync(outside, entry);
    fs.unlinkSync(entry);
    fs.renameSync(spare, entry);
  }
`;

for (const walkOnly of [false, true]) {
  describe(`a share ${walkOnly ? 'on a kernel without openat2' : 'resolved by openat2'}`, () => {
    let base: string;
    let inside: string;
    let outside: string;
    let tree: LocalTree;

    before(async () => {
      base = fs.mkdtempSync(path.join(tmpdir(), 'peerfs-confined-'));
      inside = path.join(base, 'inside');
      outside = path.join(base, 'outside');
      fs.mkdirSync(path.join(inside, 'd'), { recursive: true });
      fs.mkdirSync(outside);
      fs.writeFileSync(path.join(outside, 'canary'), CANARY);
      fs.writeFileSync(path.join(inside, 'd', 'f'), 'inside');
      fs.symlinkSync(outside, path.join(inside, 'absolute'));
      fs.symlinkSync('../outside', path.join(inside, 'relative'));
      fs.symlinkSync('../outside/canary', path.join(inside, 'file-link'));
      fs.symlinkSync('d', path.join(inside, 'harmless'));
      fs.symlinkSync(`/proc/${process.pid}/root`, path.join(inside, 'magic'));
      tree = await createLocalTree({ root: inside, writable: true, idmap: 'user', walkOnly });
    });
    after(async () => {
      await tree.close();
      assert.equal(fs.readFileSync(path.join(outside, 'canary'), 'utf8'), CANARY);
      assert.deepEqual(fs.readdirSync(outside), ['canary']);
      fs.rmSync(base, { recursive: true });
    });

    const hostile = [
      '..',
      '../outside/canary',
      'd/../../outside/canary',
      'd/..',
      '/etc/passwd',
      '/',
      '.',
      './d',
      'd/./f',
      'd//f',
      'd/f/',
      'd/f\0',
      '\0',
      'absolute/canary',
      'relative/canary',
      'magic/etc/passwd',
      'harmless/f',
      'd/' + 'x/'.repeat(3000) + 'x',
    ] as ByteString[];

    test('no operation accepts a path that leads out, or is no path', async () => {
      for (const bad of hostile) {
        const outcomes = await Promise.allSettled([
          tree.getattr(bad, 0),
          tree.setattr(bad, 0, { mode: 0o777, size: 0 }),
          tree.readlink(bad),
          tree.mkdir(bad, 0o755, OWNER),
          tree.mknod(bad, 0o644, OWNER, false),
          tree.symlink(bad, Buffer.from('x'), OWNER),
          tree.link(p('d/f'), 0, bad),
          tree.link(bad, 0, p('linked')),
          tree.unlink(bad),
          tree.rmdir(bad),
          tree.rename(bad, p('renamed'), 0),
          tree.rename(p('d/f'), bad, 0),
          openFile(tree, bad, OPEN.read),
          openFile(tree, bad, OPEN.write | OPEN.create | OPEN.truncate),
          tree.openDirectory(bad),
          tree.getxattr(bad, p('user.x')),
          tree.setxattr(bad, p('user.x'), Buffer.from('x'), 0),
          tree.listxattr(bad),
          tree.removexattr(bad, p('user.x')),
          tree.statfs(bad),
        ]);
        for (const [index, outcome] of outcomes.entries()) {
          assert.equal(outcome.status, 'rejected', `operation ${index} took ${JSON.stringify(bad)}`);
        }
      }
      assert.equal((await readFile(tree, p('d/f'))).toString(), 'inside');
    });

    test('links are told from what they point to and never followed', async () => {
      await fails(openFile(tree, p('file-link'), OPEN.read), 'ELOOP');
      await fails(openFile(tree, p('file-link'), OPEN.write | OPEN.truncate), 'ELOOP');
      await fails(openFile(tree, p('file-link'), OPEN.write | OPEN.create), 'ELOOP');
      await fails(tree.setattr(p('file-link'), 0, { size: 0 }), 'ELOOP');
      await fails(tree.setattr(p('file-link'), 0, { mode: 0o777 }), 'EOPNOTSUPP');
      await fails(tree.openDirectory(p('absolute')), 'ELOOP', 'ENOTDIR');
      await fails(tree.getattr(p('absolute/canary'), 0), 'ELOOP');
      await fails(tree.setxattr(p('file-link'), p('user.x'), Buffer.from('x'), 0), 'EPERM');
      assert.equal((await tree.getattr(p('absolute'), 0)).mode & 0o170000, 0o120000);
      await tree.setattr(p('file-link'), 0, { mtime: { sec: 1, nsec: 0 } }).catch(() => undefined);
      assert.notEqual(fs.statSync(path.join(outside, 'canary')).mtimeMs, 1000);
      const linked = await tree.link(p('file-link'), 0, p('second-link'));
      assert.equal(linked.mode & 0o170000, 0o120000);
    });

    test('a process that swaps a directory for a link gains nothing', { timeout: 60_000 }, async () => {
      const entry = path.join(inside, 'swap');
      fs.mkdirSync(entry);
      fs.writeFileSync(path.join(entry, 'canary'), 'inside');
      const stdio: ('ignore' | 'ipc')[] = ['ignore', 'ignore', 'ignore', 'ipc'];
      const child = spawn(process.execPath, ['-e', SWAPPER, entry, path.join(inside, 'spare'), outside], { stdio });
      try {
        await new Promise((resolve) => child.once('message', resolve));
        let reached = 0;
        for (let round = 0; round < 60; round++) {
          const results = await Promise.allSettled(
            Array.from({ length: 50 }, async (_, i) => {
              if (i % 5 === 0) {
                const name = p(`swap/made-${round}-${i}`);
                const { handle } = await openFile(tree, name, OPEN.write | OPEN.create);
                await tree.release(handle);
                return 'inside';
              }
              if (i % 5 === 1) await tree.mkdir(p(`swap/dir-${round}-${i}`), 0o755, OWNER);
              if (i % 5 === 2) await tree.setattr(p('swap/canary'), 0, { mode: 0o640 });
              if (i % 5 === 3)
                await tree.rename(p('d/f'), p('swap/f'), 0).then(() => tree.rename(p('swap/f'), p('d/f'), 0));
              const opened = await openFile(tree, p('swap/canary'), OPEN.read, 100);
              await tree.release(opened.handle);
              return Buffer.from(opened.firstBytes).toString();
            }),
          );
          for (const result of results) {
            if (result.status === 'fulfilled') {
              reached++;
              assert.equal(result.value, 'inside');
            } else {
              assert.ok(
                ['ELOOP', 'ENOENT', 'ENOTDIR', 'EAGAIN'].includes(codeOf(result.reason)),
                String(result.reason),
              );
            }
          }
        }
        assert.ok(reached > 0, 'the race never let an operation through: nothing was tried');
      } finally {
        child.kill('SIGKILL');
        await new Promise((resolve) => child.once('exit', resolve));
      }
      assert.deepEqual(fs.readdirSync(outside), ['canary']);
      assert.equal(fs.statSync(path.join(outside, 'canary')).mode & 0o777, 0o644);
    });

    test('what is mounted in the share is not part of it', async () => {
      const mountpoint = path.join(inside, 'mnt');
      fs.mkdirSync(mountpoint);
      try {
        execFileSync('mount', ['-t', 'tmpfs', 'none', mountpoint], { stdio: 'ignore' });
      } catch {
        // Mounting needs root; there is nothing to refuse then.
        return;
      }
      try {
        fs.writeFileSync(path.join(mountpoint, 'secret'), 'x');
        await fails(tree.getattr(p('mnt/secret'), 0), 'EXDEV');
        await fails(openFile(tree, p('mnt/new'), OPEN.write | OPEN.create), 'EXDEV');
        await fails(tree.openDirectory(p('mnt')), 'EXDEV');
        assert.equal((await list(tree, p(''))).includes(p('mnt')), false);
        const crossing = await createLocalTree({
          root: inside,
          writable: true,
          idmap: 'user',
          crossMounts: true,
          walkOnly,
        });
        assert.equal((await readFile(crossing, p('mnt/secret'))).toString(), 'x');
        await crossing.close();
      } finally {
        execFileSync('umount', ['-l', mountpoint]);
      }
    });

    test('a FIFO, a socket and a device do not block or act', { timeout: 10_000 }, async () => {
      execFileSync('mkfifo', [path.join(inside, 'fifo')]);
      await fails(openFile(tree, p('fifo'), OPEN.read), 'ENXIO');
      await fails(openFile(tree, p('fifo'), OPEN.write | OPEN.create | OPEN.truncate), 'ENXIO');
      await fails(tree.setattr(p('fifo'), 0, { size: 0 }), 'EINVAL');
      await writeFile(tree, p('still-answers'), Buffer.from('x'));
    });
  });
}

test('set-id bits are neither set nor shown, and stay on directories of the owner', async () => {
  const root = fs.mkdtempSync(path.join(tmpdir(), 'peerfs-setid-'));
  const tree = await createLocalTree({ root, writable: true, idmap: 'user' });
  try {
    await tree.mkdir(p('d'), 0o6755, OWNER);
    assert.equal(fs.statSync(path.join(root, 'd')).mode & 0o7777, 0o755);
    fs.chmodSync(path.join(root, 'd'), 0o2755);
    assert.equal((await tree.getattr(p('d'), 0)).mode & 0o7777, 0o755);
    await tree.setattr(p('d'), 0, { mode: 0o700 });
    assert.equal(fs.statSync(path.join(root, 'd')).mode & 0o7777, 0o2700);
    await writeFile(tree, p('f'), Buffer.from('x'));
    await tree.setattr(p('f'), 0, { mode: 0o4755 });
    assert.equal(fs.statSync(path.join(root, 'f')).mode & 0o7777, 0o755);
  } finally {
    await tree.close();
    fs.rmSync(root, { recursive: true });
  }
});

test('a share that passes ids creates for the owner named', async () => {
  if (process.getuid?.() !== 0) return;
  const root = fs.mkdtempSync(path.join(tmpdir(), 'peerfs-ids-'));
  const tree = await createLocalTree({ root, writable: true, idmap: 'none' });
  const owner = { uid: 4321, gid: 1234 };
  try {
    // The root belongs to root: the name must be made by root and given away.
    await tree.mkdir(p('home'), 0o700, owner);
    await tree.mknod(p('home/n'), 0o640, owner, false);
    await tree.symlink(p('home/l'), Buffer.from('n'), owner);
    const opened = await tree.open(p('home/f'), {
      ...owner,
      flags: OPEN.write | OPEN.create,
      permissions: 0o4711,
      wantBytes: 0,
    });
    await tree.release(opened.handle);
    for (const name of ['home', 'home/n', 'home/l', 'home/f']) {
      const { uid, gid } = fs.lstatSync(path.join(root, name));
      assert.deepEqual({ name, uid, gid }, { name, ...owner });
    }
    assert.equal(opened.attributes.mode & 0o7777, 0o4711);
    const given = await tree.setattr(p('home/n'), 0, { uid: 5, gid: 6 });
    assert.deepEqual([given.uid, given.gid], [5, 6]);
  } finally {
    await tree.close();
    fs.rmSync(root, { recursive: true });
  }
});
