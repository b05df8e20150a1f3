/** Small files that a node makes for itself to begin with: nothing is lost, doubled or kept silent. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { introduce, openLab, run, sh, untilLive, type Host, type Lab } from './lab.ts';

const python = (script: string, ...args: string[]) =>
  run(['python3', '-c', `import errno, os, sys\n${script}`, ...args], { timeoutMs: 60_000 });

describe('files that are made here first', { timeout: 180_000 }, () => {
  let lab: Lab;
  let alice: Host;
  let bob: Host;
  let share: string;
  let fromAlice: string;
  let fromCarol: string;

  before(async () => {
    lab = openLab(['alice', 'bob', 'carol']);
    alice = lab.host('alice');
    bob = lab.host('bob');
    const carol = lab.host('carol');
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

  const callsSent = async () => {
    const match = /"callsSent": ?(\d+)/.exec(JSON.stringify(await alice.json(['status'])));
    return Number(match?.[1]);
  };

  it('copying and unpacking many small files costs one call for each and keeps contents, modes and times', async () => {
    const source = `${alice.files}/source`;
    await sh(
      `mkdir -p "$1"; cd "$1"; for i in $(seq 300); do head -c $((i * 97 % 9000)) /dev/urandom > "f$i"; done
       chmod 640 f1; chmod 400 f2; chmod 755 f3; touch -d @1000000000.5 f4; tar --format=posix -cf "$1.tar" -C "$1/.." source`,
      [source],
    );
    const before = await callsSent();
    await sh('cp -r "$1" "$2/copied"', [source, fromAlice], { timeoutMs: 60_000 });
    const between = await callsSent();
    await sh('mkdir "$2/unpacked" && tar xf "$1.tar" -C "$2/unpacked"', [source, fromAlice], { timeoutMs: 60_000 });
    const afterwards = await callsSent();
    // A busy machine holds some back for longer than a moment: then writing and closing are calls, too.
    assert.ok(between - before < 600, `${between - before} calls for cp`);
    assert.ok(afterwards - between < 600, `${afterwards - between} calls for tar`);
    await sh(
      `diff -r "$1" "$2/copied"; diff -r "$1" "$2/unpacked/source"; diff -r "$1" "$3/unpacked/source"
       cd "$1"; want="$(stat -c '%n %a %y' f1 f2 f3 f4)"; cd "$2/unpacked/source"; test "$want" = "$(stat -c '%n %a %y' f1 f2 f3 f4)"`,
      [source, share, fromCarol],
      { timeoutMs: 60_000 },
    );
  });

  it('a program sees one file, with one number, from its making on', async () => {
    const outcome = await python(
      `d = sys.argv[1]
os.mkdir(d)
for i in range(30):
    path = d + '/f%d' % i
    fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o640)
    first = os.fstat(fd)
    assert first.st_size == 0 and first.st_mode == 0o100640, first
    os.write(fd, b'x' * (i + 1))
    middle = os.fstat(fd)
    assert (middle.st_ino, middle.st_size) == (first.st_ino, i + 1), (first, middle)
    assert os.stat(path) == middle
    assert os.pread(fd, 100, 0) == b'x' * (i + 1)
    os.close(fd)
    last = os.stat(path)
    assert last == middle, (middle, last)
    assert {e.name: e.inode() for e in os.scandir(d)}['f%d' % i] == first.st_ino
    os.rename(path, path + '.new')
    assert os.stat(path + '.new').st_ino == first.st_ino
    assert not os.path.exists(path)`,
      `${fromAlice}/numbers`,
    );
    assert.equal(outcome.status, 0, outcome.stderr);
  });

  it('a name that must be new is made by one alone: here, at another mount, or on the disk of the peer', async () => {
    const outcome = await python(
      `def make(path):
    try:
        return os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    except FileExistsError:
        return None
def close(fd):
    try:
        os.close(fd)
        return True
    except OSError as error:
        assert error.errno == errno.EEXIST, error
        return False
alice, carol, disk = sys.argv[1:4]
os.mkdir(alice + '/once')
late = 0
for i in range(60):
    name = '/once/f%d' % i
    mine = make(alice + name)
    assert mine is not None
    rival = (carol if i % 2 else disk) + name
    theirs = make(rival)
    is_mine = close(mine)
    if i % 2: assert is_mine and theirs is None, i
    elif theirs is None: assert is_mine, i
    else: assert not is_mine, i
    late += not is_mine
    if theirs is not None: os.close(theirs)
assert late > 0, 'the disk was never faster'
print(late)`,
      fromAlice,
      fromCarol,
      share,
    );
    assert.equal(outcome.status, 0, outcome.stderr);
  });

  it('eight programs fill one directory at once while another mount lists it', async () => {
    await sh(
      `mkdir "$1/eight"
       (for i in $(seq 20); do ls -l "$2/eight" > "$3/listed"; done) & listing=$!
       for p in 1 2 3 4 5 6 7 8; do
         (for i in $(seq 50); do echo "$p $i" > "$1/eight/$p-$i"; done) & all="\${all:-} $!"
       done
       for p in $all $listing; do wait $p; done
       test "$(ls "$2/eight" | wc -l)" = 400; test "$(ls "$3/eight" | wc -l)" = 400
       for p in 1 2 3 4 5 6 7 8; do for i in $(seq 50); do test "$(cat "$3/eight/$p-$i")" = "$p $i"; done; done`,
      [fromAlice, fromCarol, share],
      { timeoutMs: 120_000 },
    );
  });

  it('a full disk is told by write or close, and what fits is whole', async () => {
    if (process.getuid?.() !== 0) return console.log('# not root: no disk to fill');
    const small = `${bob.files}/small`;
    await sh('mkdir "$1" && mount -t tmpfs -o size=300k none "$1"', [small]);
    try {
      await bob.json(['share', small, '--name', 'small', '--write']);
      const outcome = await python(
        `d = sys.argv[1] + '/d'
os.mkdir(d)
failed = 0
for i in range(120):
    try:
        fd = os.open(d + '/f%d' % i, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        try:
            os.write(fd, bytes([i]) * 4096)
        finally:
            os.close(fd)
        ok = True
    except OSError as error:
        assert error.errno == errno.ENOSPC, error
        ok = False
        failed += 1
    if ok:
        assert open(sys.argv[2] + '/d/f%d' % i, 'rb').read() == bytes([i]) * 4096, i
assert failed > 10, failed
for name in os.listdir(d)[:40]: os.unlink(d + '/' + name)
for i in range(20):
    with open(d + '/again%d' % i, 'wb') as f: f.write(b'y' * 4096)
    assert open(sys.argv[2] + '/d/again%d' % i, 'rb').read() == b'y' * 4096`,
        alice.at('bob', 'small'),
        small,
      );
      assert.equal(outcome.status, 0, outcome.stderr);
    } finally {
      await bob.peerfs(['unshare', 'small']);
      await sh('umount "$1"', [small]);
    }
  });
});
