/** Nodes that sleep, die, come back and lose their homes, and what both sides then show. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { after, afterEach, describe, it } from 'node:test';
import { alive, eventually, introduce, isMounted, openLab, run, sh, untilLive, type Lab } from './lab.ts';

describe('faults', { timeout: 240_000 }, () => {
  let lab: Lab | undefined;
  const open = (...names: string[]): Lab => (lab = openLab(names));
  afterEach(async () => {
    await lab?.close();
    lab = undefined;
  });
  after(() => lab?.close());

  const pair = async (): Promise<Lab> => {
    const opened = open('alice', 'bob');
    for (const host of opened.hosts) await host.start();
    await introduce(opened.host('bob'), opened.host('alice'));
    for (const host of opened.hosts) await host.mount();
    await untilLive(opened.host('alice'), 'bob');
    await untilLive(opened.host('bob'), 'alice');
    return opened;
  };

  it("accept while the creator's node sleeps succeeds once it wakes", async () => {
    const { host } = open('alice', 'bob');
    const [alice, bob] = [host('alice'), host('bob')];
    await bob.start(['--listen', `${bob.address}:41999`]);
    await alice.start();
    const invite = (await bob.json(['invite', '--name', 'alice'])) as { invitation: string; code: string };
    await bob.peerfs(['stop']);
    const accepting = alice.json(['accept', invite.invitation, '--name', 'bob'], {
      env: { PEERFS_CODE: invite.code },
      timeoutMs: 60_000,
    });
    await new Promise((resolve) => setTimeout(resolve, 3000));
    await bob.start(['--listen', `${bob.address}:41999`]);
    await accepting;
    await untilLive(alice, 'bob');
    await untilLive(bob, 'alice');
  });

  it('an offline peer answers EHOSTDOWN in under 2 s while the rest of the mount works', async () => {
    const { host } = open('alice', 'bob', 'carol');
    const alice = host('alice');
    for (const name of ['alice', 'bob', 'carol']) await host(name).start();
    await introduce(host('bob'), alice);
    await introduce(host('carol'), alice);
    await alice.mount();
    await untilLive(alice, 'bob');
    await untilLive(alice, 'carol');
    await sh('echo hi > "$1/x"', [alice.at('bob')]);
    await host('bob').peerfs(['stop']);
    const listed = await run(['ls', alice.at('bob')], { timeoutMs: 10_000, env: { LC_ALL: 'C' } });
    assert.match(listed.stderr, /Host is down/);
    assert.ok(listed.ms < 2000, `${listed.ms} ms`);
    assert.deepEqual((await sh('ls "$1"', [alice.mountpoint])).trim().split('\n'), ['bob', 'carol']);
    await sh('echo hi > "$1/y" && cat "$1/y"', [alice.at('carol')]);
    await host('bob').start();
    await untilLive(alice, 'bob');
    assert.equal(await sh('cat "$1/x"', [alice.at('bob')]), 'hi\n');
  });

  it('a peer killed in the middle of a copy: the copy fails with an error, what was closed before is there', async () => {
    const { host } = await pair();
    const [alice, bob] = [host('alice'), host('bob')];
    await sh('mkdir "$1/src" && for i in $(seq 400); do head -c 200000 /dev/urandom > "$1/src/$i"; done', [
      alice.files,
    ]);
    const copying = run(['cp', '-r', `${alice.files}/src`, alice.at('bob', 'dst')], { timeoutMs: 60_000 });
    await eventually('the copy is under way', 20_000, async () =>
      Number(await sh('ls "$1" 2>/dev/null | wc -l || true', [alice.at('bob', 'dst')])) > 20 ? true : undefined,
    );
    process.kill(await bob.pid(), 'SIGKILL');
    const ended = await copying;
    assert.notEqual(ended.status, 0, 'cp reports the failure');
    assert.notEqual(ended.status, 124, 'cp does not hang');
    await eventually("bob's mount is gone or dead", 3000, async () => (isMounted(bob.mountpoint) ? undefined : true));
    await bob.start();
    await bob.mount();
    await untilLive(alice, 'bob');
    const names = (await sh('ls "$1"', [alice.at('bob', 'dst')])).trim().split('\n');
    assert.ok(names.length > 15);
    // All but the few that were under way are whole.
    const whole = (
      await sh('cd "$2" && for i in *; do cmp -s "$i" "$1/$i" && echo "$i"; done || true', [
        `${alice.files}/src`,
        alice.at('bob', 'dst'),
      ])
    )
      .trim()
      .split('\n');
    assert.ok(names.length - whole.length <= 2, `${names.length - whole.length} of ${names.length} are not whole`);
    await sh('rm -r "$1" && cp -r "$2" "$1" && diff -r "$1" "$2"', [alice.at('bob', 'dst'), `${alice.files}/src`]);
  });

  it('the own node killed in the middle of a copy: an error at once, no mount left, usable again', async () => {
    const { host } = await pair();
    const alice = host('alice');
    await sh('head -c 50000000 /dev/urandom > "$1/big"', [alice.files]);
    const pid = await alice.pid();
    const copying = run(
      [
        'sh',
        '-c',
        'for i in 1 2 3 4 5 6 7 8; do cp "$1/big" "$2/big$i" || exit 9; done',
        'sh',
        alice.files,
        alice.at('bob'),
      ],
      { timeoutMs: 60_000 },
    );
    await new Promise((resolve) => setTimeout(resolve, 700));
    process.kill(pid, 'SIGKILL');
    const killedAt = performance.now();
    assert.equal((await copying).status, 9);
    assert.ok(performance.now() - killedAt < 2000, 'the caller has its error at once');
    await eventually('the mount is gone', 2000, async () => (isMounted(alice.mountpoint) ? undefined : true));
    await alice.mount();
    await untilLive(alice, 'bob');
    await sh('cp "$1/big" "$2/again" && cmp "$1/big" "$2/again"', [alice.files, alice.at('bob')]);
  });

  it('a stale mount of a killed node is taken down by the next start even without its guardian', async () => {
    const { host } = await pair();
    const alice = host('alice');
    const pid = await alice.pid();
    for (const child of (await sh('pgrep -P "$1" || true', [String(pid)])).trim().split('\n').filter(Boolean)) {
      process.kill(Number(child), 'SIGKILL');
    }
    process.kill(pid, 'SIGKILL');
    await alice.mount();
    assert.equal((await sh('grep -c " $1 " /proc/self/mountinfo', [alice.mountpoint])).trim(), '1');
    await untilLive(alice, 'bob');
    await sh('ls "$1"', [alice.at('bob')]);
  });

  it('SIGTERM flushes, unmounts and says goodbye', async () => {
    const { host } = await pair();
    const [alice, bob] = [host('alice'), host('bob')];
    await sh('head -c 30000000 /dev/urandom > "$1/f" && cp "$1/f" "$2/f"', [alice.files, alice.at('bob')]);
    const pid = await alice.pid();
    process.kill(pid, 'SIGTERM');
    await eventually('the node has ended', 10_000, async () => (alive(pid) ? undefined : true));
    assert.equal(isMounted(alice.mountpoint), false);
    await eventually('bob sees it offline', 2000, async () => {
      const rows = (await bob.json(['peers'])) as { state: string }[];
      return rows[0]?.state === 'offline' ? true : undefined;
    });
    await sh('find "$2" -name f -exec cmp "$1/f" {} \\;', [alice.files, bob.home]);
  });

  it('a peer that lost its home is taken back by a new invitation', async () => {
    const { host } = await pair();
    const [alice, bob] = [host('alice'), host('bob')];
    await sh('echo kept > "$1/note"', [bob.at('alice')]);
    await bob.peerfs(['stop']);
    await sh('rm -rf "$1"', [bob.home]);
    await bob.start();
    const invite = (await alice.json(['invite', '--name', 'bob'])) as { invitation: string; code: string };
    await bob.json(['accept', invite.invitation, '--name', 'alice'], {
      env: { PEERFS_CODE: invite.code },
      timeoutMs: 30_000,
    });
    await bob.mount();
    await untilLive(bob, 'alice');
    await untilLive(alice, 'bob');
    const rows = (await alice.json(['peers'])) as { name: string }[];
    assert.deepEqual(
      rows.map((row) => row.name),
      ['bob'],
    );
    assert.equal(await sh('cat "$1/note"', [bob.at('alice')]), 'kept\n');
  });

  it('a session moves to a new connection while a copy runs: no operation fails', async () => {
    const opened = open('alice', 'bob');
    if (!opened.namespaces) return;
    const [alice, bob] = [opened.host('alice'), opened.host('bob')];
    for (const host of opened.hosts) await host.start(['--paths', 'tcp,udp']);
    await introduce(bob, alice);
    await alice.mount();
    await untilLive(alice, 'bob');
    await sh('head -c 150000000 /dev/urandom > "$1/big"', [alice.files]);
    const copying = run(['cp', `${alice.files}/big`, alice.at('bob', 'big')], { timeoutMs: 90_000 });
    const chaos = spawn(
      alice.enter[0] ?? 'sh',
      [
        ...alice.enter.slice(1),
        'sh',
        '-c',
        'for i in 1 2 3; do sleep 0.3; ss -K -t dst "$1" >/dev/null 2>&1; ip link set eth0 down; sleep 0.5; ip link set eth0 up; done',
        'sh',
        bob.address,
      ],
      { stdio: 'ignore' },
    );
    const ended = await copying;
    chaos.kill('SIGKILL');
    assert.equal(ended.status, 0, ended.stderr);
    await sh('cmp "$1/big" "$2"', [alice.files, alice.at('bob', 'big')]);
  });

  it('two nodes on one LAN find each other when their addresses are not in the invitation', async () => {
    const opened = open('alice', 'bob');
    if (!opened.namespaces) return;
    const [alice, bob] = [opened.host('alice'), opened.host('bob')];
    for (const host of opened.hosts) await host.start([], true);
    await introduce(bob, alice, ['--address', '10.77.0.250:9']);
    await untilLive(alice, 'bob');
    await untilLive(bob, 'alice');
  });
});
