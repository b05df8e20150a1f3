/** Unmounting works whatever holds the mount, whatever the node or its peers do, and wherever the mountpoint stands. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, beforeEach, describe, it } from 'node:test';
import { readMounts } from '../../src/sys/mount.ts';
import { alive, eventually, introduce, openLab, run, sh, untilLive, type Host, type Lab } from '../e2e/lab.ts';
import { prepareFolder, startCallers } from './callers.ts';
import { sleep } from './freeze-lab.ts';
import { slackMs } from './slack.ts';

/** Promised, milliseconds. */
const CLEAN_MS = 2000;
const LAZY_MS = 1000;
/** A busy machine gives the command, the node and the guardian their turns late by so much together. */
const BUSY_MS = 700;

/** The node's guardian runs a shell, a plain user's mount a program: no name may be more than a name to them. */
const CANARY = `pfs-canary-${process.pid}`;
const ODD_NAMES = [
  `two words, 'single' and "double"`,
  `$(touch ${CANARY})\`touch ${CANARY}\`;touch ${CANARY}`,
  'new\nline\ttab back\\slash \\040',
  '-l',
];
/** All at once. */
const WORST_NAME = `-z 'a' "b" $(touch ${CANARY})\n\\`;

describe('unmounting', { timeout: 240_000 }, () => {
  let lab: Lab;
  let alice: Host;
  let bob: Host;
  before(async () => {
    lab = openLab(['alice', 'bob'], true);
    [alice, bob] = [lab.host('alice'), lab.host('bob')];
    for (const host of lab.hosts) await host.start();
    await introduce(bob, alice);
    await untilLive(alice, 'bob');
  });
  beforeEach(() => assert.deepEqual(mounts(), []));
  after(async () => {
    await lab.close();
    const places = ['/', process.cwd(), alice.home];
    for (const place of places) assert.equal(existsSync(join(place, CANARY)), false, 'a name was executed');
  });

  const mounts = (): readonly string[] =>
    readMounts()
      .map(({ mountpoint }) => mountpoint)
      .filter((place) => place.startsWith(lab.directory));

  const mountAt = async (place: string): Promise<void> => {
    const outcome = await alice.peerfs(['mount', '--', place]);
    assert.equal(outcome.status, 0, outcome.stderr);
    assert.deepEqual(mounts(), [place]);
    await untilLive(alice, 'bob');
    await sh('echo hi > "$1/bob/hello" && cat -- "$1/bob/hello"', [place]);
  };

  const unmount = async (place: string): Promise<number> => {
    const outcome = await alice.peerfs(['unmount', '--', place], { timeoutMs: 20_000 });
    assert.equal(outcome.status, 0, outcome.stderr);
    assert.ok(outcome.ms <= CLEAN_MS + slackMs(BUSY_MS), `${outcome.ms} ms`);
    assert.deepEqual(mounts(), []);
    return outcome.ms;
  };

  const noHelperLeft = async (node: number): Promise<void> => {
    await eventually('no helper process is left', CLEAN_MS, async () =>
      helpersOf(node).length === 0 ? true : undefined,
    );
  };

  it('a mount with a working directory and a file being written in it: clean within 2 s, the writer has its error', async () => {
    await mountAt(alice.mountpoint);
    const inside = alice.at('bob');
    const idler = spawn('sh', ['-c', 'cd "$1" && exec sleep 60', 'sh', inside], { stdio: 'ignore' });
    const writer = run(['sh', '-c', 'exec cat /dev/zero > "$1/endless"', 'sh', inside], { timeoutMs: 20_000 });
    await sleep(700);
    try {
      const took = await unmount(alice.mountpoint);
      const ended = await writer;
      assert.ok(ended.status !== 0 && ended.status !== 124, `the writer: ${ended.status} ${ended.stderr}`);
      await noHelperLeft(await alice.pid());
      await mountAt(alice.mountpoint);
      console.log(`# busy: ${took.toFixed(0)} ms, idle: ${(await unmount(alice.mountpoint)).toFixed(0)} ms`);
    } finally {
      idler.kill('SIGKILL');
    }
  });

  it('a frozen peer with every kind of operation waiting for it: clean within 2 s, all callers have their error', async () => {
    await mountAt(alice.mountpoint);
    prepareFolder(join(bob.home, 'inbox', 'alice', 'waiting'));
    const callers = await startCallers(alice.at('bob', 'waiting'));
    const node = await bob.pid();
    process.kill(node, 'SIGSTOP');
    try {
      for (const caller of callers) caller.go();
      await sleep(500);
      const took = await unmount(alice.mountpoint);
      const ends = await Promise.all(callers.map((caller) => caller.ended(LAZY_MS + slackMs(BUSY_MS))));
      for (const { operation, result } of ends) assert.notEqual(result, 'hung', operation);
      console.log(`# frozen peer: ${took.toFixed(0)} ms`);
    } finally {
      process.kill(node, 'SIGCONT');
    }
    await noHelperLeft(await alice.pid());
    await mountAt(alice.mountpoint);
    await unmount(alice.mountpoint);
  });

  it('a lazy unmount from outside, busy or at a frozen peer, takes less than a second, and the place is free', async () => {
    const node = await bob.pid();
    for (const isFrozen of [false, true]) {
      await mountAt(alice.mountpoint);
      const idler = spawn('sh', ['-c', 'cd "$1" && exec sleep 60', 'sh', alice.at('bob')], { stdio: 'ignore' });
      await sleep(300);
      if (isFrozen) process.kill(node, 'SIGSTOP');
      try {
        const { status, ms, stderr } = await run(['umount', '-l', '--', alice.mountpoint], { timeoutMs: 10_000 });
        assert.equal(status, 0, stderr);
        assert.ok(ms <= LAZY_MS + slackMs(BUSY_MS), `${ms} ms`);
        assert.deepEqual(mounts(), []);
      } finally {
        process.kill(node, 'SIGCONT');
        idler.kill('SIGKILL');
      }
      await eventually('the node knows', 5000, async () => {
        const { mounts: left } = (await alice.json(['status'])) as { readonly mounts: readonly unknown[] };
        return left.length === 0 ? true : undefined;
      });
      await noHelperLeft(await alice.pid());
    }
  });

  it('odd names of mountpoints are names and nothing else', async () => {
    for (const name of ODD_NAMES) {
      const place = join(alice.files, name);
      await mountAt(place);
      await unmount(place);
    }
  });

  it('a killed node leaves no mount, whatever the name, and its guardian ends', async () => {
    const place = join(alice.files, WORST_NAME);
    await mountAt(place);
    const node = await alice.pid();
    const helpers = helpersOf(node);
    assert.ok(helpers.length > 0, 'there is a guardian');
    process.kill(node, 'SIGKILL');
    await eventually('the mount is gone', CLEAN_MS + slackMs(BUSY_MS), async () =>
      mounts().length === 0 ? true : undefined,
    );
    await eventually('all processes are gone', CLEAN_MS, async () => (helpers.some(alive) ? undefined : true));
    await alice.start();
  });

  it('unmount takes down what a node left that was killed with its guardian, busy or not', async () => {
    for (const place of [alice.mountpoint, join(alice.files, WORST_NAME)]) {
      await mountAt(place);
      const idler = spawn('sh', ['-c', 'cd -- "$1" && exec sleep 60', 'sh', join(place, 'bob')], { stdio: 'ignore' });
      await sleep(300);
      const node = await alice.pid();
      for (const pid of [...helpersOf(node), node]) process.kill(pid, 'SIGKILL');
      await eventually('the node is dead', 2000, async () => (alive(node) ? undefined : true));
      assert.deepEqual(mounts(), [place], 'the mount is dead and still there');
      try {
        await unmount(place);
      } finally {
        spawnSync('umount', ['-l', '--', place]);
        idler.kill('SIGKILL');
      }
      await alice.start();
    }
  });

  it('unmount comes to an end although the own node is stopped (SIGSTOP), and frees the place', async () => {
    await mountAt(alice.mountpoint);
    const node = await alice.pid();
    process.kill(node, 'SIGSTOP');
    try {
      const outcome = await alice.peerfs(['unmount', alice.mountpoint], { timeoutMs: 20_000 });
      assert.equal(outcome.status, 0, outcome.stderr);
      assert.deepEqual(mounts(), []);
      console.log(`# stopped node: ${outcome.ms.toFixed(0)} ms`);
      assert.ok(outcome.ms <= CLEAN_MS + slackMs(BUSY_MS), `${outcome.ms.toFixed(0)} ms`);
    } finally {
      process.kill(node, 'SIGCONT');
    }
    await eventually('the node knows', 5000, async () => {
      const { mounts: left } = (await alice.json(['status'])) as { readonly mounts: readonly unknown[] };
      return left.length === 0 ? true : undefined;
    });
  });
});

/** Processes that a node has started and that still run. */
function helpersOf(node: number): readonly number[] {
  const lists = spawnSync('pgrep', ['-P', String(node)], { encoding: 'utf8' }).stdout;
  return lists.split('\n').filter(Boolean).map(Number).filter(isNoZombie);
}

function isNoZombie(pid: number): boolean {
  try {
    return !readFileSync(`/proc/${pid}/stat`, 'latin1').includes(') Z ');
  } catch {
    return false;
  }
}
