/** The disk of the node's own home is full: commands say so, what is mounted and shared goes on, and nothing is damaged. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import Database from 'better-sqlite3';
import {
  createHost,
  introduce,
  isMounted,
  openLab,
  sh,
  stopHosts,
  untilLive,
  type Host,
  type Lab,
} from '../e2e/lab.ts';
import { isRoot, makeSmallDisk, type SmallDisk } from './small-disk.ts';

const TIME = { timeoutMs: 15_000 };
const HOME_BYTES = 3 * 1024 * 1024;

/** Fills a disk to the last byte. */
function fill(directory: string): void {
  spawnSync('dd', ['if=/dev/zero', `of=${join(directory, 'filler')}`, 'bs=4k', 'count=4096']);
}

describe('a full home', { timeout: 60_000 }, () => {
  if (!isRoot) console.log('# only root can make a disk that is full: the home stays on the common one');
  let lab: Lab;
  let alice: Host;
  let bob: Host;
  let disk: SmallDisk | undefined;

  before(async () => {
    lab = openLab(['bob'], true);
    bob = lab.host('bob');
    disk = isRoot ? makeSmallDisk(`size=${HOME_BYTES},mode=755`) : undefined;
    alice = createHost('alice', '127.0.0.1', disk?.directory ?? join(lab.directory, 'alice'), []);
    mkdirSync(alice.files, { recursive: true });
    for (const host of [alice, bob]) {
      mkdirSync(join(lab.directory, `work-${host.name}`));
      await host.start();
      await host.json(['share', join(lab.directory, `work-${host.name}`), '--write', '--name', 'work']);
    }
    await introduce(bob, alice);
    await alice.mount();
    await bob.mount();
    await untilLive(alice, 'bob');
    await untilLive(bob, 'alice');
  });
  after(async () => {
    try {
      const left = await stopHosts([alice]);
      assert.deepEqual(left, []);
    } finally {
      await lab.close();
      disk?.close();
    }
  });

  it('files go on both ways; what needs the disk says what is wrong and leaves all as it was', async () => {
    if (disk === undefined) return;
    fill(disk.directory);
    assert.equal(await sh('echo hello >"$1" && cat "$1"', [alice.at('bob', 'work', 'f')], TIME), 'hello\n');
    assert.equal(await sh('echo hello >"$1" && cat "$1"', [bob.at('alice', 'work', 'f')], TIME), 'hello\n');
    const invite = await alice.peerfs(['invite'], TIME);
    assert.notEqual(invite.status, 0);
    assert.match(invite.stderr, /no space|disk is full/i);
    assert.doesNotMatch(invite.stderr, /\.js:\d+/, 'no stack trace');
    for (const args of [
      ['config', 'set', 'lan', 'false'],
      ['share', lab.directory, '--name', 'more'],
      ['peers', 'rename', 'bob', 'robert'],
      ['unshare', 'work'],
    ]) {
      const { status, stderr } = await alice.peerfs(args, TIME);
      assert.notEqual(status, 0, args.join(' '));
      assert.match(stderr, /no space|disk is full/i, args.join(' '));
      assert.doesNotMatch(stderr, /\.js:\d+/, 'no stack trace');
    }
    assert.deepEqual(
      ((await alice.json(['peers'])) as { name: string }[]).map(({ name }) => name),
      ['bob'],
    );
    assert.deepEqual(
      ((await alice.json(['shares'])) as { name: string }[]).map(({ name }) => name),
      ['work'],
    );
    // The inbox is on the full disk.
    const inbox = await sh('echo hello >"$1" 2>&1 || true', [bob.at('alice', 'f')], { ...TIME, env: { LC_ALL: 'C' } });
    assert.match(inbox, /No space left on device|^$/);
    assert.equal(await sh('cat "$1"', [alice.at('bob', 'work', 'f')], TIME), 'hello\n');
    assert.ok(isMounted(alice.mountpoint));
  });

  it('a peer that was away comes back to a node with a full disk, or when there is room', async () => {
    if (disk === undefined) return;
    await bob.json(['stop']);
    await bob.start();
    await bob.mount();
    await new Promise((resolve) => setTimeout(resolve, 2000));
    rmSync(join(disk.directory, 'filler'));
    await untilLive(bob, 'alice');
    await untilLive(alice, 'bob');
    assert.equal(await sh('cat "$1"', [alice.at('bob', 'work', 'f')], TIME), 'hello\n');
  });

  it('with room again everything works, and what is on the disk is whole', async () => {
    if (disk === undefined) return;
    await alice.json(['invite']);
    await alice.json(['peers', 'rename', 'bob', 'robert']);
    await alice.json(['config', 'set', 'lan', 'false']);
    const database = new Database(join(alice.home, 'state.sqlite'), { readonly: true });
    assert.equal(database.pragma('integrity_check', { simple: true }), 'ok');
    database.close();
    assert.match(readFileSync(join(alice.home, 'config'), 'utf8'), /^lan = false$/m);
  });

  it('a node that is started on a full disk says so, and starts when there is room', async () => {
    if (disk === undefined) return;
    await alice.json(['stop']);
    fill(disk.directory);
    const { status, stderr } = await alice.peerfs(['start', '--listen', '127.0.0.1:0', '--no-lan'], TIME);
    if (status === 0) await alice.json(['stop']);
    else {
      assert.match(stderr, /no space|disk is full/i);
      assert.doesNotMatch(stderr, /\.js:\d+/, 'no stack trace');
    }
    rmSync(join(disk.directory, 'filler'));
    await alice.start();
    assert.equal(((await alice.json(['peers'])) as { name: string }[])[0]?.name, 'robert');
    assert.ok(existsSync(join(alice.home, 'identity.key')));
  });

  it('a node that never ran does not begin with half an identity', async () => {
    if (disk === undefined) return;
    const small = makeSmallDisk('size=64k,mode=755');
    try {
      const carol = createHost('carol', '127.0.0.1', small.directory, []);
      writeFileSync(join(small.directory, 'filler'), Buffer.alloc(40 * 1024));
      spawnSync('dd', ['if=/dev/zero', `of=${join(small.directory, 'more')}`, 'bs=1k', 'count=64']);
      const { status, stderr } = await carol.peerfs(['start', '--listen', '127.0.0.1:0', '--no-lan'], TIME);
      assert.notEqual(status, 0);
      assert.match(stderr, /no space|disk is full/i);
      const key = join(carol.home, 'identity.key');
      if (existsSync(key)) assert.equal(readFileSync(key).length, 32);
    } finally {
      small.close();
    }
  });
});
