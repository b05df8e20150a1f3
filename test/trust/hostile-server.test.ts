/** A peer that lies in every answer, and what its folder is like for programs: errors, never harm, nor harm to others. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { run, sh, type Outcome } from '../e2e/lab.ts';
import { startMounted, type MountedProcess } from '../fs/mounted-process.ts';
import type { HostileMountStatus } from './hostile-mount-program.ts';
import { HOSTILE_NAMES, LINKS } from './hostile-server.ts';

const MIB = 1024 * 1024;
/** No directory with more names is shown (src/fs/remote-directories.ts). */
const MOST_NAMES = 2 ** 22;

describe('a hostile server', { timeout: 120_000 }, () => {
  let mounted: MountedProcess;
  const at = (peer: string, name: string) => `${mounted.directory}/${peer}/${name}`;
  const mallory = (name: string) => at('mallory', name);
  const status = async () => (await mounted.ask({ do: 'status' })) as HostileMountStatus;
  const attempt = (script: string, ...args: string[]): Promise<Outcome> =>
    run(['bash', '-c', script, 'sh', ...args], { timeoutMs: 60_000, env: { LC_ALL: 'C' } });
  /** Fails with one of the errors that a liar gets, within the time. */
  const refused = async (script: string, ...args: string[]): Promise<void> => {
    const outcome = await attempt(script, ...args);
    assert.ok(outcome.status !== 0 && outcome.status !== 124, `${script} ${args.join(' ')}: ${outcome.status}`);
    assert.match(outcome.stderr, /Input\/output error|Operation not permitted/, script);
  };

  before(async () => {
    mounted = await startMounted(new URL('./hostile-mount-program.js', import.meta.url), { setting: {} });
    assert.equal(mounted.greeting, 'ready');
  });
  after(() => mounted.close());

  it('the mount is nosuid and nodev', () => {
    const line = readFileSync('/proc/self/mountinfo', 'utf8')
      .split('\n')
      .find((entry) => entry.includes(` ${mounted.directory} `));
    const options = line?.split(' ')[5]?.split(',') ?? [];
    assert.ok(options.includes('nosuid') && options.includes('nodev'), line);
  });

  it('a folder whose shares clash with every name is shown all the same', async () => {
    const names = await sh('ls "$1"', [mallory('')], { timeoutMs: 20_000 });
    assert.match(names, /^plain$/m);
  });

  it('set-id bits are not shown, devices cannot be opened, files of no type do not exist', async () => {
    assert.equal((await sh('stat -c %a "$1"', [mallory('setuid')], { timeoutMs: 10_000 })).trim(), '755');
    const device = await attempt('cat "$1"', mallory('device'));
    assert.notEqual(device.status, 0);
    assert.match(device.stderr, /Permission denied|Input\/output error|Operation not permitted|No such device/);
    await refused('stat "$1"', mallory('typeless'));
  });

  it('sizes beyond measure do no harm', async () => {
    const stat = (name: string) => sh('stat -c "%s %o" "$1"', [mallory(name)], { timeoutMs: 10_000 });
    const [size, block] = (await stat('huge')).trim().split(' ').map(Number);
    assert.equal(size, Number.MAX_SAFE_INTEGER);
    assert.ok(block !== undefined && block >= 512 && block <= MIB, `blocks of ${block}`);
    assert.ok(Number((await stat('blockless')).split(' ')[1]) >= 512);
    assert.equal(await sh('head -c 5 "$1"', [mallory('huge')], { timeoutMs: 10_000 }), 'plain');
    await sh('stat "$1"; df "$1"; stat -f "$1"', [mallory('old')], { timeoutMs: 10_000 });
  });

  it('reads that bring more than was asked for are errors; those that bring less end the file', async () => {
    for (const script of [
      'cat "$1"',
      'dd if="$1" bs=100 count=1',
      'dd if="$1" bs=7 skip=3 iflag=direct',
      'tail -c 5 "$1"',
    ]) {
      const outcome = await attempt(script, mallory('long'));
      const isRefused = outcome.status !== 0 && /Input\/output error/.test(outcome.stderr);
      assert.ok(isRefused || outcome.stdout.length <= 1000, `${script}: ${outcome.stdout.length} bytes`);
    }
    const short = await attempt('cat "$1" | wc -c', mallory('short'));
    assert.ok(short.status === 0 && Number(short.stdout) <= MIB);
  });

  it('names that lead elsewhere or are none are errors in a listing', async () => {
    for (const index of HOSTILE_NAMES.keys()) {
      await refused('ls "$1"', mallory(`names ${index}`));
      await refused('ls -l "$1"', mallory(`names ${index}`));
    }
    await refused('ls "$1"', mallory('mute'));
  });

  it('a directory within itself, and files that turn into directories and back, end somewhere', async () => {
    for (const script of ['find "$1" -maxdepth 50 | wc -l', 'ls -R "$1" | head -c 100000 | wc -c']) {
      assert.notEqual((await attempt(script, mallory('itself'))).status, 124);
    }
    const changing = 'for n in 1 2 3 4 5 6; do cat "$1"; ls "$1"; stat "$1"; echo x >"$1"; done';
    assert.notEqual((await attempt(changing, mallory('changing'))).status, 124);
  });

  it('links that lead out are not followed, however they are written', async () => {
    for (const name of Object.keys(LINKS)) {
      await refused('readlink -v "$1"', mallory(name));
      const followed = await attempt('cat "$1"', mallory(name));
      assert.notEqual(followed.status, 0, name);
      const listed = await attempt('ls "$1/"', mallory(name));
      assert.notEqual(listed.status, 0, name);
    }
  });

  it('what mallory does not support stays supported at bob', async () => {
    await attempt('echo x >"$1"; sync "$1"; fallocate -l 10 "$1"', mallory('unsupported'));
    await attempt('echo x | dd of="$1" conv=fsync,notrunc; getfattr -d "$1"', mallory('unsupported'));
    const before = (await status()).flushes;
    const outcome = await attempt('echo x | dd of="$1" conv=fsync status=none', at('bob', 'f'));
    assert.notEqual(outcome.status, 0, 'bob has no room, and says so at fsync');
    assert.match(outcome.stderr, /No space left/);
    assert.ok((await status()).flushes > before);
    const others = `import os, sys
f = os.open(sys.argv[1], os.O_RDWR); os.posix_fallocate(f, 0, 10); os.setxattr(f, 'user.a', b'b'); print(os.getxattr(f, 'user.a'))`;
    const said = await sh('python3 -c "$1" "$2"', [others, at('bob', 'f')], { timeoutMs: 10_000 });
    assert.equal(said, "b'b'\n");
  });

  it('copies and seeks that claim what cannot be are errors', async () => {
    const copy = `import os, sys
a = os.open(sys.argv[1], os.O_RDONLY); b = os.open(sys.argv[2], os.O_RDWR)
try:
  print(os.copy_file_range(a, b, 5) <= 5)
except OSError as error:
  print(error.errno == 5)
try:
  print(os.lseek(a, 0, os.SEEK_DATA) >= 0)
except OSError as error:
  print(error.errno in (5, 6))`;
    const said = await sh('python3 -c "$1" "$2" "$3"', [copy, mallory('seeking'), mallory('copied')], {
      timeoutMs: 10_000,
    });
    assert.equal(said, 'True\nTrue\n');
  });

  it('listings without end are ended, and take no memory', async () => {
    const before = await status();
    await refused('set -o pipefail; ls -U "$1" | tail -n 1', mallory('circle'));
    // find prints as it goes, and keeps nothing.
    const counted = await attempt('find "$1" -maxdepth 1 | wc -l', mallory('endless'));
    assert.notEqual(counted.status, 124);
    assert.match(counted.stderr, /Input\/output error/);
    assert.ok(Number(counted.stdout) <= MOST_NAMES + 10);
    const after = await status();
    const grown = after.rssBytes - before.rssBytes;
    assert.ok(grown < 256 * MIB, `${(grown / MIB).toFixed(0)} MiB more`);
    console.log(`# ${after.listed} entries listed, ${(grown / MIB).toFixed(0)} MiB more than before`);
  });

  it('afterwards bob is served as before', async () => {
    assert.equal(await sh('echo hello >"$1"; cat "$1"', [at('bob', 'g')], { timeoutMs: 10_000 }), 'hello\n');
  });
});
