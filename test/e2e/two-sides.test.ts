/** Two sides at work on the same files: appends, locks, fresh contents, changes made by programs on the peer's own disk. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { after, before, describe, it } from 'node:test';
import { eventually, introduce, openLab, run, sh, untilLive, type Host, type Lab } from './lab.ts';

describe('two sides of one folder', { timeout: 180_000 }, () => {
  let lab: Lab;
  let alice: Host;
  let carol: Host;
  let share: string;
  /** The same folder as alice and as carol see it. */
  let fromAlice: string;
  let fromCarol: string;

  before(async () => {
    lab = openLab(['alice', 'bob', 'carol']);
    alice = lab.host('alice');
    carol = lab.host('carol');
    const bob = lab.host('bob');
    for (const host of lab.hosts) await host.start();
    await introduce(bob, alice);
    await introduce(bob, carol);
    share = `${bob.files}/work`;
    await sh('mkdir -p "$1"', [share]);
    await bob.json(['share', share, '--name', 'work', '--write']);
    for (const host of [alice, carol]) {
      await host.mount();
      await untilLive(host, 'bob');
    }
    fromAlice = alice.at('bob', 'work');
    fromCarol = carol.at('bob', 'work');
  });

  after(() => lab.close());

  it('lines appended by two writers in turn and at once are all there, none torn', async () => {
    await sh('for i in $(seq 50); do echo "a $i" >> "$1/turn"; echo "c $i" >> "$2/turn"; done', [fromAlice, fromCarol]);
    const want = Array.from({ length: 50 }, (_, i) => `a ${i + 1}\nc ${i + 1}\n`).join('');
    assert.equal(await sh('cat "$1/turn"', [share]), want);
    assert.equal(await sh('cat "$1/turn"', [fromAlice]), want);
    const append = `import sys
f=open(sys.argv[1],'ab',buffering=0)
for i in range(300): f.write((sys.argv[2]*(100+i)+'\\n').encode())`;
    await Promise.all([
      run(['python3', '-c', append, `${fromAlice}/atonce`, 'a']),
      run(['python3', '-c', append, `${fromCarol}/atonce`, 'c']),
      run(['python3', '-c', append, `${share}/atonce`, 'b']),
    ]);
    const lines = (await sh('cat "$1/atonce"', [share])).trim().split('\n');
    assert.equal(lines.length, 900);
    for (const line of lines) assert.match(line, /^(a+|b+|c+)$/);
  });

  it('what one writer closed, the other reads at its next open', async () => {
    await sh(
      `for i in $(seq 60); do
         head -c $((i * 1000)) /dev/urandom > "$1/fresh"; cmp "$1/fresh" "$2/fresh"
         head -c 500 /dev/urandom > "$2/fresh"; cmp "$2/fresh" "$1/fresh"; test "$(stat -c %s "$1/fresh")" = 500
         mkdir "$1/d$i"; test -d "$2/d$i"; mv "$2/d$i" "$2/e$i"; test ! -e "$1/d$i"; test -d "$1/e$i"; rmdir "$1/e$i"; test ! -e "$2/e$i"
       done`,
      [fromAlice, fromCarol],
    );
  });

  it("changes by programs on the server's own disk are seen at once", async () => {
    await sh('echo one > "$1/local"; cat "$2/local" > /dev/null; ls -l "$2" > /dev/null', [share, fromAlice]);
    await sh(
      `for i in $(seq 30); do
         echo "number $i" > "$1/local"; sleep 0.1; test "$(cat "$2/local")" = "number $i"
         touch "$1/new$i"; sleep 0.1; test -e "$2/new$i"; rm "$1/new$i"; sleep 0.1; test ! -e "$2/new$i"
       done`,
      [share, fromAlice],
    );
  });

  for (const kind of ['flock', 'lockf']) {
    it(`${kind} locks exclude each other from both mounts and on the server`, async () => {
      await sh('rm -f "$1/count"; echo 0 > "$1/count"', [share]);
      const count = `import fcntl,os,sys
f=os.open(sys.argv[1],os.O_RDWR)
for i in range(40):
    fcntl.${kind}(f,fcntl.LOCK_EX)
    n=int(os.pread(f,20,0)); os.pwrite(f,b'%d\\n'%(n+1),0)
    fcntl.${kind}(f,fcntl.LOCK_UN)
`;
      const places = [fromAlice, fromCarol, share];
      const ends = await Promise.all(places.map((place) => run(['python3', '-c', count, `${place}/count`])));
      for (const end of ends) assert.equal(end.status, 0, end.stderr);
      assert.equal((await sh('cat "$1/count"', [share])).trim(), '120');
    });
  }

  it('a lock is refused while the other side holds it and free when its holder dies', async () => {
    await sh('touch "$1/held"', [share]);
    const hold = `import fcntl,sys,time
f=open(sys.argv[1],'r+'); fcntl.lockf(f,fcntl.LOCK_EX); print('held',flush=True); time.sleep(60)`;
    const holder = spawn('python3', ['-c', hold, `${fromCarol}/held`], { stdio: ['ignore', 'pipe', 'inherit'] });
    try {
      await new Promise((resolve) => holder.stdout.once('data', resolve));
      const attempt = `import fcntl,sys
f=open(sys.argv[1],'r+')
try: fcntl.lockf(f,fcntl.LOCK_EX|fcntl.LOCK_NB); print('had')
except BlockingIOError: print('refused')`;
      const ask = async (place: string) => (await sh('python3 -c "$1" "$2"', [attempt, `${place}/held`])).trim();
      assert.equal(await ask(fromAlice), 'refused');
      assert.equal(await ask(share), 'refused');
      holder.kill('SIGKILL');
      await eventually('the lock is free', 5000, async () => ((await ask(fromAlice)) === 'had' ? true : undefined));
    } finally {
      holder.kill('SIGKILL');
    }
  });
});
