/**
 * System calls on files do what their manual pages say: on a directory of this computer, which judges the cases
 * themselves, and in a share of a peer that passes owners as they are, as root and as a plain user.
 */
import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { introduce, openLab, sh, untilLive, type Host, type Lab } from '../e2e/lab.ts';
import { judge, runPosixCases, type Caller, type PosixException } from './posix-run.ts';

/** All that a share with `--idmap none` does not carry; docs/semantics.md says the same to its users. */
const EXCEPTIONS: readonly PosixException[] = [
  {
    reason: 'device nodes and sockets belong to a computer: they are refused, as the mount is nodev',
    cases: [
      'mknod of a character device',
      'mknod of a block device',
      'mknod of a socket',
      'bind makes a socket',
      'rename WHITEOUT leaves a character device',
    ],
  },
  {
    reason: 'files are named by paths of at most 8,191 bytes from the root of their share',
    cases: ['a tree of 40 names of 255 bytes'],
  },
  {
    reason: 'calls name files by path: one that is to have none cannot be made; programs then make one and unlink it',
    cases: ['open TMPFILE makes a file without a name that linkat names'],
  },
  {
    reason: 'attributes other than user.* mean something to the computer that they are on, not to another one',
    cases: [
      'trusted attributes are kept for root',
      'security attributes are kept for root',
      'access control lists are kept',
      'inode flags are kept',
    ],
  },
];

const isRoot = process.getuid?.() === 0;
const CALLERS: readonly Caller[] = isRoot ? ['root', 'user'] : ['self'];
const FEWEST_CASES = 500;

for (const caller of CALLERS) {
  test(`every case holds on a local directory as ${caller}`, { timeout: 200_000 }, async () => {
    const directory = mkdtempSync(path.join(tmpdir(), 'peerfs-posix-'));
    try {
      chmodSync(directory, 0o755);
      const outcome = await runPosixCases(directory, caller);
      assert.deepEqual(judge(outcome, []), []);
      assert.ok(outcome.passed.size >= FEWEST_CASES, `${outcome.passed.size} cases`);
      console.log(`# ${outcome.passed.size} cases as ${caller}, ${outcome.ms.toFixed(0)} ms`);
    } finally {
      await sh('rm -rf "$1"', [directory]);
      rmSync(directory, { recursive: true, force: true });
    }
  });
}

describe('a share that passes owners', { timeout: 400_000 }, () => {
  let lab: Lab | undefined;
  let alice: Host;

  before(async () => {
    if (!isRoot) {
      console.log('# only nodes of root pass owners as they are: not judged');
      return;
    }
    lab = openLab(['alice', 'bob']);
    alice = lab.host('alice');
    const bob = lab.host('bob');
    await alice.json(['config', 'set', 'links', 'verbatim']);
    for (const host of lab.hosts) await host.start();
    await introduce(bob, alice);
    const share = path.join(bob.files, 'work');
    mkdirSync(share);
    await bob.json(['share', share, '--name', 'work', '--write', '--idmap', 'none']);
    await alice.mount(['--allow-other']);
    await untilLive(alice, 'bob');
  });
  after(async () => {
    // Paths that are too long for the removal that the laboratory ends with.
    if (lab !== undefined) await sh('rm -rf "$1"', [path.join(lab.host('bob').files, 'work')]);
    await lab?.close();
  });

  test('behaves as a local directory, as root and as a plain user at once, but for what is listed', async () => {
    if (lab === undefined) return;
    const judged = (['root', 'user'] as const).map(async (caller) => {
      const directory = alice.at('bob', 'work', `as-${caller}`);
      await sh('mkdir "$1"', [directory]);
      const outcome = await runPosixCases(directory, caller);
      console.log(`# ${outcome.passed.size} cases as ${caller}, ${outcome.ms.toFixed(0)} ms`);
      return judge(outcome, EXCEPTIONS).map((line) => `${caller}: ${line}`);
    });
    assert.deepEqual((await Promise.all(judged)).flat(), []);
  });
});
