/** Quotas, as the two users of an inbox and of a share meet them. */
import assert from 'node:assert/strict';
import { appendFileSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { eventually, introduce, openLab, sh, untilLive, type Host, type Lab } from '../e2e/lab.ts';
import { write } from './writer.ts';

const KIB = 1024;
const MIB = 1024 * KIB;
const INBOX_BYTES = 8 * MIB;
const INBOX_FILES = 20;
/** A count stands for a second (src/fs/local-quota.ts). */
const COUNT_STANDS_MS = 1100;

interface ShareRow {
  readonly name: string;
  readonly quota: number | null;
  readonly used: number | null;
}

interface Room {
  readonly size: number;
  readonly left: number;
}

const later = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

describe('quotas', { timeout: 60_000 }, () => {
  let lab: Lab;
  let alice: Host;
  let bob: Host;
  let inbox: string;
  let work: string;

  before(async () => {
    lab = openLab(['alice', 'bob']);
    alice = lab.host('alice');
    bob = lab.host('bob');
    appendFileSync(join(bob.home, 'config'), `inbox.quota = 8M\ninbox.files = ${INBOX_FILES}\n`);
    mkdirSync(join(bob.files, 'work'));
    await bob.start();
    await bob.json(['share', join(bob.files, 'work'), '--write', '--quota', '4M']);
    await alice.start();
    await introduce(bob, alice);
    await alice.mount();
    await untilLive(alice, 'bob');
    inbox = join(bob.home, 'inbox', 'alice');
    work = join(bob.files, 'work');
  });
  after(() => lab.close());

  const roomAt = async (path: string): Promise<Room> => {
    const [size, left] = (await sh('df -B1 --output=size,avail "$1" | tail -n 1', [path], { timeoutMs: 10_000 }))
      .trim()
      .split(/\s+/)
      .map(Number);
    return { size: size ?? 0, left: left ?? 0 };
  };
  /** What was removed is given back when its last handle has been. */
  const untilEmpty = () =>
    eventually('the inbox is empty', 5000, async () =>
      (await roomAt(alice.at('bob'))).left === INBOX_BYTES ? true : undefined,
    );
  const taken = async (folder: string) => Number(await sh('du -s --block-size=1 "$1" | cut -f1', [folder]));

  it('without a word of the user an inbox takes 10 GiB', async () => {
    assert.equal((await alice.peerfs(['config', 'get', 'inbox.quota'])).stdout.trim(), '10G');
    assert.equal((await alice.peerfs(['config', 'get', 'inbox.files'])).stdout.trim(), '1000000');
  });

  it('df shows the quota as the size, and what is left of it', async () => {
    assert.deepEqual(await roomAt(alice.at('bob')), { size: INBOX_BYTES, left: INBOX_BYTES });
    assert.deepEqual(await write(alice.at('bob', 'f'), MIB), {});
    assert.deepEqual(await roomAt(alice.at('bob')), { size: INBOX_BYTES, left: INBOX_BYTES - MIB });
    assert.equal((await roomAt(alice.at('bob', 'work'))).size, 4 * MIB);
    await sh('rm "$1"', [alice.at('bob', 'f')], { timeoutMs: 10_000 });
  });

  it('a file larger than what is left fails with EDQUOT by close at the latest, and the folder holds no more', async () => {
    const { call, code } = await write(alice.at('bob', 'large'), 64 * MIB);
    assert.equal(code, 'EDQUOT');
    assert.ok(call === 'write' || call === 'close', call);
    assert.ok((await taken(inbox)) <= INBOX_BYTES + 64 * KIB);
    await sh('rm -f "$1"', [alice.at('bob', 'large')], { timeoutMs: 10_000 });
  });

  it('what just fits is written; a byte more is refused at fsync and at close', async () => {
    await untilEmpty();
    assert.deepEqual(await write(alice.at('bob', 'exactly'), INBOX_BYTES, 'fsync'), {});
    for (const ending of ['fsync', 'close'] as const) {
      const { code } = await write(alice.at('bob', `more by ${ending}`), 1, ending);
      assert.equal(code, 'EDQUOT', ending);
    }
    const refused = await sh('mkdir "$1" 2>&1 || true', [alice.at('bob', 'd')], { timeoutMs: 10_000 });
    assert.match(refused, /quota/i);
    await sh('rm "$1"', [alice.at('bob', 'exactly')], { timeoutMs: 10_000 });
    assert.deepEqual(await write(alice.at('bob', 'again'), MIB, 'fsync'), {});
    await sh('rm "$1"', [alice.at('bob', 'again')], { timeoutMs: 10_000 });
  });

  it('so many files as the inbox may have, and no more', async () => {
    await untilEmpty();
    const script = 'for n in $(seq "$2"); do mkdir "$1/n$n" || exit 1; done';
    await sh(script, [alice.at('bob'), String(INBOX_FILES)], { timeoutMs: 10_000 });
    await assert.rejects(sh('mkdir "$1"', [alice.at('bob', 'more')], { timeoutMs: 10_000 }), /quota/i);
    await assert.rejects(sh('echo x >"$1"', [alice.at('bob', 'more')], { timeoutMs: 10_000 }), /quota/i);
    await sh('rmdir "$1"/n*', [alice.at('bob')], { timeoutMs: 10_000 });
    await sh('mkdir "$1" && rmdir "$1"', [alice.at('bob', 'more')], { timeoutMs: 10_000 });
  });

  it('what the owner puts in or takes out counts, too', async () => {
    await untilEmpty();
    writeFileSync(join(inbox, 'own'), Buffer.alloc(INBOX_BYTES - MIB, 1));
    await later(COUNT_STANDS_MS);
    assert.equal((await roomAt(alice.at('bob'))).left, MIB);
    assert.equal((await write(alice.at('bob', 'f'), 2 * MIB)).code, 'EDQUOT');
    rmSync(join(inbox, 'own'));
    await later(COUNT_STANDS_MS);
    assert.deepEqual(await write(alice.at('bob', 'f'), 2 * MIB), {});
  });

  it('a share has the quota that it was given; it is shown, changed and taken away', async () => {
    const rows = async () => (await bob.json(['shares'])) as ShareRow[];
    assert.deepEqual(
      (await rows()).map(({ name, quota }) => [name, quota]),
      [['work', 4 * MIB]],
    );
    assert.match((await bob.peerfs(['shares'])).stdout, /work +write +4M/);
    const large = alice.at('bob', 'work', 'large');
    assert.equal((await write(large, 6 * MIB)).code, 'EDQUOT');
    assert.ok((await taken(work)) <= 4 * MIB + 64 * KIB);
    await bob.json(['shares', 'quota', 'work', '8M']);
    assert.deepEqual(await write(large, 6 * MIB), {});
    await bob.json(['shares', 'quota', 'work', 'none']);
    assert.equal((await rows())[0]?.quota, null);
    assert.deepEqual(await write(large, 20 * MIB), {});
    await bob.json(['shares', 'quota', 'work', '1.5M']);
    assert.equal((await write(alice.at('bob', 'work', 'f'), 1)).code, 'EDQUOT');
  });

  it('what is no size is refused with what would be one', async () => {
    for (const wrong of ['0', '-1', '10X', '', 'ten', '1e9', '9999999T']) {
      const { status, stderr } = await bob.peerfs(['shares', 'quota', 'work', wrong]);
      assert.equal(status, 2, wrong);
      assert.match(stderr, wrong.startsWith('-') ? /-1/ : /500M, 10G/, wrong);
    }
    assert.equal((await bob.peerfs(['shares', 'quota', 'none', '1G'])).status, 5);
    const unwritable = await bob.peerfs(['share', bob.files, '--quota', '1G', '--name', 'files']);
    assert.equal(unwritable.status, 2);
    assert.match(unwritable.stderr, /--write/);
    assert.equal((await bob.peerfs(['config', 'set', 'inbox.quota', 'much'])).status, 2);
  });
});
