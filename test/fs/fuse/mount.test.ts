/** Mounting and unmounting over /dev/fuse: what is left behind, and what is said when it does not work. */
import assert from 'node:assert/strict';
import { access, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, describe, test } from 'node:test';
import { clearDeadMount } from '../../../src/fs/fuse/dead-mount.ts';
import { mountAt } from '../../../src/sys/mount.ts';
import { python, runProgram, startMounted, type MountedProcess, type StartOptions } from '../mounted-process.ts';
import type { NodeSetting } from './memory-node.ts';

const NODE = new URL('./memory-node.js', import.meta.url);
const NOBODY = 65534;

/** Closed after each test, however it ends. */
const started: MountedProcess[] = [];
afterEach(() => Promise.all(started.splice(0).map((mounted) => mounted.close())));

async function start(setting: NodeSetting = {}, options: Partial<StartOptions> = {}): Promise<MountedProcess> {
  const mounted = await startMounted(NODE, { setting, ...options });
  started.push(mounted);
  return mounted;
}

/** Runs `use` with a fresh folder, which is taken away afterwards. */
async function withFolder(use: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'peerfs-mount-'));
  try {
    await use(folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** Whether it becomes true in time. */
async function soon(isTrue: () => boolean, limitMs: number): Promise<boolean> {
  for (const limit = performance.now() + limitMs; performance.now() < limit;) {
    if (isTrue()) return true;
    await new Promise((resolve) => setImmediate(resolve));
  }
  return false;
}

function failure(mounted: MountedProcess): { code: string; message: string; hint: string } {
  return (mounted.greeting as { failed: { code: string; message: string; hint: string } }).failed;
}

describe('unmounting', () => {
  test('gives the folder back, tells of the end once, and can be asked twice', async () => {
    const mounted = await start();
    await python(`import sys; open(sys.argv[1] + '/f', 'w').write('x')`, mounted.directory);
    assert.deepEqual(await Promise.all([mounted.ask({ do: 'unmount' }), mounted.ask({ do: 'unmount' })]), [
      'unmounted',
      'unmounted',
    ]);
    assert.equal(mountAt(mounted.directory), undefined);
    await mounted.close();
    assert.deepEqual(mounted.ends, ['unmounted']);
  });

  test('frees the place at once also when it is busy, and ends those who hang in it', async () => {
    const mounted = await start();
    const hang = `import os, sys
os.chdir(sys.argv[1]); open('hang-f', 'w').write('x'); print('in', flush=True)
try: open('hang-f').read()
except OSError as e: print(e.errno != 0)`;
    const user = python(hang, mounted.directory);
    await soon(() => false, 500);
    assert.equal(await mounted.ask({ do: 'unmount' }), 'unmounted');
    assert.equal(mountAt(mounted.directory), undefined);
    assert.equal(await user, 'in\nTrue\n');
    await mounted.close();
  });

  test('by somebody else is noticed', async () => {
    const mounted = await start();
    assert.equal((await runProgram(['umount', mounted.directory])).code, 0);
    await mounted.ended;
    assert.deepEqual(mounted.ends, ['unmounted']);
    assert.equal(await mounted.ask({ do: 'unmount' }), 'unmounted');
    await mounted.close();
  });

  test('SIGTERM leaves neither mount nor process', async () => {
    const mounted = await start();
    mounted.process.kill('SIGTERM');
    await mounted.exited;
    assert.equal(mounted.process.exitCode, 0);
    assert.equal(mountAt(mounted.directory), undefined);
    await mounted.close();
  });
});

describe('after kill -9', () => {
  test('the guardian frees the place within a second, busy or not', async () => {
    for (const busy of [false, true]) {
      const mounted = await start();
      const script = `import os, sys, time
os.chdir(sys.argv[1]); f = open('f', 'w'); print('in', flush=True); time.sleep(1.5)
try: os.listdir('.'); print('alive')
except OSError as e: print('dead')`;
      const user = busy ? python(script, mounted.directory) : undefined;
      await soon(() => false, busy ? 700 : 0);
      mounted.process.kill('SIGKILL');
      await mounted.exited;
      assert.ok(await soon(() => mountAt(mounted.directory) === undefined, 1000), `busy: ${busy}`);
      assert.equal(await user, busy ? 'in\ndead\n' : undefined);
      await mounted.close();
    }
  });

  test('a dead mount without a guardian is found and taken down, a living one is left alone', async () => {
    const mounted = await start();
    assert.equal(await clearDeadMount(mounted.directory), 'none');
    const { output } = await runProgram(['pgrep', '-f', '--', `-c read -r line.* ${mounted.directory}$`]);
    process.kill(Number(output.trim().split('\n')[0]), 'SIGKILL');
    mounted.process.kill('SIGKILL');
    await mounted.exited;
    assert.equal(mountAt(mounted.directory)?.type, 'fuse.peerfs', 'nobody took it down');
    assert.equal(await clearDeadMount(mounted.directory), 'cleared');
    assert.equal(mountAt(mounted.directory), undefined);
    assert.equal(await clearDeadMount(mounted.directory), 'none');
    await mounted.close();
  });
});

describe('the place to mount at', () => {
  test('may have any name', async () => {
    await withFolder(async (folder) => {
      const directory = join(folder, ` -o a b\n"q'\\$(touch peerfs-pwned) ü,x`);
      await mkdir(directory);
      for (const end of ['SIGTERM', 'SIGKILL'] as const) {
        const mounted = await start({}, { directory });
        assert.equal(mounted.greeting, 'ready');
        assert.equal(mountAt(directory)?.type, 'fuse.peerfs');
        assert.equal(await python(`import os, sys; print(os.listdir(sys.argv[1]))`, directory), '[]\n');
        mounted.process.kill(end);
        await mounted.exited;
        assert.ok(await soon(() => mountAt(directory) === undefined, 1000), end);
        await mounted.close();
      }
      for (const place of ['/', process.cwd()]) {
        await assert.rejects(
          access(join(place, 'peerfs-pwned')),
          { code: 'ENOENT' },
          'a part of the name was executed',
        );
      }
    });
  });

  test('must be a folder, and free: else the error says so', async () => {
    await withFolder(async (folder) => {
      const file = join(folder, 'file');
      await writeFile(file, '');
      const missing = await start({}, { directory: join(folder, 'missing') });
      const notFolder = await start({}, { directory: file });
      const first = await start({}, { directory: folder });
      const second = await start({}, { directory: folder });
      assert.match(failure(missing).message, /does not exist/);
      assert.match(failure(notFolder).message, /not a folder/);
      assert.match(failure(second).message, /already/);
      for (const mounted of [missing, notFolder, second]) {
        assert.equal(failure(mounted).code, 'MOUNT_FAILED');
        assert.ok(failure(mounted).hint.length > 0);
      }
      await Promise.all([missing, notFolder, second, first].map((mounted) => mounted.close()));
      assert.equal(mountAt(folder), undefined);
    });
  });

  test('is read-only when asked for', async () => {
    const mounted = await start({ readOnly: true });
    const script = `import errno, sys
try: open(sys.argv[1] + '/f', 'w')
except OSError as e: print(errno.errorcode[e.errno])`;
    assert.equal(await python(script, mounted.directory), 'EROFS\n');
    await mounted.close();
  });
});

test('a plain user is let in only with allow_other, and writing takes set-id bits away', async () => {
  const asNobody = ['setpriv', `--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups'] as const;
  const closed = await start();
  assert.notEqual((await runProgram([...asNobody, 'ls', closed.directory])).code, 0);
  await closed.close();
  const open = await start({ allowOther: true });
  await runProgram(['chmod', '0755', open.directory]);
  const { directory } = open;
  await python(`import os, sys; os.chdir(sys.argv[1]); open('f', 'w'); os.chmod('f', 0o6777)`, directory);
  const write = await runProgram([...asNobody, 'sh', '-c', 'echo more >> "$1"', '-', `${directory}/f`]);
  assert.equal(write.code, 0, write.errors);
  assert.equal(
    await python(`import os, sys; print(oct(os.stat(sys.argv[1] + '/f').st_mode & 0o7777))`, directory),
    '0o777\n',
  );
  await open.close();
});

describe('as a plain user', () => {
  // A mount namespace of its own, in which /dev/fuse may be opened by everybody as on an ordinary system.
  const IN_NAMESPACE = `mount -t tmpfs -o mode=1777 none "$0" && mkdir "$0/dev" "$0/home" && chown ${NOBODY} "$0/home" &&
    mknod -m 0666 "$0/dev/fuse" c 10 229 && mount --bind "$0/dev/fuse" /dev/fuse && exec "$@"`;
  const PRIVILEGES = ['setpriv', `--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups'];

  const COUNT_MOUNTS = `const lines = require('node:fs').readFileSync('/proc/self/mountinfo', 'utf8').split('\\n');
console.log(lines.filter((line) => line.includes(process.argv[1]) && line.includes(' - fuse.peerfs ')).length);`;

  const folders: string[] = [];
  after(() => Promise.all(folders.map((folder) => rm(folder, { recursive: true }))));

  async function startAsNobody(setting: NodeSetting = {}): Promise<MountedProcess> {
    const folder = await mkdtemp(join(tmpdir(), 'peerfs-user-'));
    folders.push(folder);
    const wrapper = ['unshare', '--mount', 'sh', '-c', IN_NAMESPACE, folder, ...PRIVILEGES];
    return start(setting, { directory: join(folder, 'home'), wrapper });
  }

  /** Runs a script as the same user, in the same namespace. */
  async function inside(mounted: MountedProcess, script: string): Promise<string> {
    const pid = String(mounted.process.pid);
    const argv = ['nsenter', '--target', pid, '--mount', ...PRIVILEGES, process.execPath, '-e', script] as const;
    const { code, output, errors } = await runProgram([...argv, mounted.directory, pid]);
    assert.equal(code, 0, errors);
    return output;
  }

  test('mounting goes through fusermount3, files are the user’s, unmounting leaves nothing', async () => {
    const mounted = await startAsNobody();
    assert.equal(mounted.greeting, 'ready');
    const script = `const fs = require('node:fs'); process.chdir(process.argv[1]);
const data = Buffer.alloc(3000000, 'x'); fs.writeFileSync('f', data); const { uid, size } = fs.statSync('f');
console.log(uid, size, data.equals(fs.readFileSync('f')));`;
    assert.equal(await inside(mounted, script), `${NOBODY} 3000000 true\n`);
    assert.equal(await inside(mounted, COUNT_MOUNTS), '1\n');
    assert.equal(await mounted.ask({ do: 'unmount' }), 'unmounted');
    assert.equal(await inside(mounted, COUNT_MOUNTS), '0\n');
    await mounted.close();
    assert.deepEqual(mounted.ends, ['unmounted']);
  });

  test('the guardian clears the mount of a killed node', async () => {
    const mounted = await startAsNobody();
    const script = `const fs = require('node:fs'), limit = Date.now() + 1000;
const mounted = () => fs.readFileSync('/proc/self/mountinfo', 'utf8').includes(process.argv[1] + ' ');
if (!mounted()) throw new Error('not mounted'); process.kill(Number(process.argv[2]), 'SIGKILL');
while (mounted()) if (Date.now() > limit) throw new Error('still mounted');
console.log('cleared');`;
    assert.equal(await inside(mounted, script), 'cleared\n');
    await mounted.exited;
    await mounted.close();
  });

  test('allow_other without leave in /etc/fuse.conf, and a device that may not be opened, are explained', async () => {
    const refused = await startAsNobody({ allowOther: true });
    assert.match(failure(refused).message, /Other users may not/);
    assert.match(failure(refused).hint, /user_allow_other/);
    await refused.close();
  });
});
