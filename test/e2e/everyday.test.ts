/**
 * What people do all day in a folder, done with ordinary programs in a peer's folder: two hosts, real nodes, real
 * mounts, once over KCP and once over TCP.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { introduce, openLab, sh, untilLive, type Host, type Lab } from './lab.ts';

const MAKE_TREE = `
mkdir -p "$1" && cd "$1"
for d in $(seq 12); do
  mkdir -p "dir $d/deep/er"
  for f in $(seq 20); do head -c $((f * d * 97)) /dev/urandom > "dir $d/deep/file-$f.bin"; done
done
head -c 20000000 /dev/urandom > big.bin
: > empty
printf x > $'odd \\n name \\xff \\\\ %2e%2e \\x1b'
printf y > "$(printf 'n%.0s' $(seq 255))"
ln -s "dir 1/deep/file-1.bin" link
ln -s nowhere dangling
ln big.bin hard.bin
mkfifo pipe
chmod 640 empty; chmod 755 "dir 3/deep/file-2.bin"; chmod 700 "dir 4"
touch -d '2001-02-03 04:05:06.123456789' "dir 2/deep/file-3.bin"
touch -d '1999-12-31 23:59:59.000000001' "dir 5"
`;

/** Everything that identifies a tree: type, mode, size, links, mtime in nanoseconds, link target, contents. */
const FINGERPRINT = `
cd "$1"
find . -mindepth 1 \\( -type f -printf '%y %m %s %n %T@ %p\\0' -o -type l -printf '%y %l %p\\0' -o -printf '%y %m %T@ %p\\0' \\) | sort -z | tr '\\0' '\\n'
find . -type f -print0 | sort -z | xargs -0 sha256sum -z | tr '\\0' '\\n'
`;

for (const path of ['udp', 'tcp']) {
  describe(`ordinary programs in a peer's folder over ${path}`, { timeout: 300_000 }, () => {
    let lab: Lab;
    let alice: Host;
    let bob: Host;
    let share: string;

    before(async () => {
      lab = openLab(['alice', 'bob', 'carol']);
      alice = lab.host('alice');
      bob = lab.host('bob');
      const carol = lab.host('carol');
      for (const host of lab.hosts) await host.start(['--paths', path]);
      await introduce(bob, alice);
      await introduce(carol, alice);
      share = `${bob.files}/work`;
      await sh('mkdir -p "$1"', [share]);
      await bob.json(['share', share, '--name', 'work', '--write']);
      await alice.mount();
      await bob.mount();
      await untilLive(alice, 'bob', path);
      await untilLive(bob, 'alice', path);
      await untilLive(alice, 'carol', path);
      await sh(MAKE_TREE, [`${alice.files}/tree`]);
    });

    after(() => lab.close());

    it('cp -a keeps every byte, mode, link and nanosecond, both ways', async () => {
      const to = alice.at('bob', 'work', 'tree');
      await sh('cp -a "$1" "$2"', [`${alice.files}/tree`, to]);
      const want = await sh(FINGERPRINT, [`${alice.files}/tree`]);
      assert.equal(await sh(FINGERPRINT, [to]), want, 'seen through the mount');
      assert.equal(await sh(FINGERPRINT, [`${share}/tree`]), want, "on bob's disk");
      await sh('cp -a "$1" "$2"', [to, `${alice.files}/back`]);
      assert.equal(await sh(FINGERPRINT, [`${alice.files}/back`]), want, 'copied back');
      await sh('cp -a "$1" "$2"', [`${share}/tree`, bob.at('alice', 'tree')]);
      assert.equal(await sh(FINGERPRINT, [bob.at('alice', 'tree')]), want, "in bob's inbox at alice's");
    });

    it('rsync --checksum finds nothing left to do after a copy', async () => {
      const to = alice.at('bob', 'work', 'rsync');
      await sh('rsync -a "$1/" "$2/"', [`${alice.files}/tree`, to]);
      const again = await sh('rsync -a --checksum --itemize-changes "$1/" "$2/"', [`${alice.files}/tree`, to]);
      assert.equal(again, '');
    });

    it('tar packs from and unpacks into a peer', async () => {
      await sh('tar --format=posix -C "$1" -cf - . | (mkdir "$2" && tar -C "$2" -xpf -)', [
        `${alice.files}/tree`,
        alice.at('bob', 'work', 'untar'),
      ]);
      await sh('tar --format=posix -C "$1" -cf "$2" .', [alice.at('bob', 'work', 'untar'), `${alice.files}/t.tar`]);
      await sh('mkdir "$1" && tar -C "$1" -xpf "$2"', [`${alice.files}/untar`, `${alice.files}/t.tar`]);
      assert.equal(await sh(FINGERPRINT, [`${alice.files}/untar`]), await sh(FINGERPRINT, [`${alice.files}/tree`]));
    });

    it('git clones into, commits in and checks a repository in a peer', async () => {
      const origin = `${alice.files}/origin`;
      await sh(
        `git init -q -b main "$1" && cd "$1" && cp -r "$2/dir 1" . && git add -A &&
         git -c user.name=a -c user.email=a@b commit -qm one`,
        [origin, `${alice.files}/tree`],
      );
      const clone = alice.at('bob', 'work', 'clone');
      await sh('git clone -q "$1" "$2"', [origin, clone]);
      await sh(
        `cd "$1" && echo more > more.txt && git add -A && git -c user.name=a -c user.email=a@b commit -qm two &&
         git gc -q && git fsck --full --strict && test -z "$(git status --porcelain)"`,
        [clone],
      );
      assert.equal((await sh('git -C "$1/clone" log --oneline | wc -l', [share])).trim(), '2');
    });

    it('gio lists, shows, copies and moves; trashing fails clearly and leaves the file', async () => {
      const folder = alice.at('bob', 'work', 'gio');
      await sh('mkdir "$1" && echo hello > "$1/a"', [folder]);
      assert.match(await sh('gio list "$1"', [folder]), /^a$/m);
      assert.match(await sh('gio info "$1/a"', [folder]), /size: 6/);
      await sh('gio copy "$1/a" "$1/b" && gio move "$1/b" "$1/c" && gio copy "$1/c" "$2/gio-out"', [
        folder,
        alice.files,
      ]);
      assert.equal(await sh('cat "$1/c" "$2/gio-out"', [folder, alice.files]), 'hello\nhello\n');
      await assert.rejects(sh('gio trash "$1/a"', [folder]));
      assert.equal(await sh('cat "$1/a"', [folder]), 'hello\n');
    });

    it("an editor's save (temporary file, fsync, rename) replaces the file whole", async () => {
      const save = `import os,sys
d=sys.argv[1]
open(d+'/doc','w').write('old')
for i in range(20):
    f=os.open(d+'/.doc.tmp',os.O_CREAT|os.O_EXCL|os.O_WRONLY,0o600)
    os.write(f,('text %d\\n'%i).encode()*1000); os.fsync(f); os.close(f)
    os.rename(d+'/.doc.tmp',d+'/doc')
    s=os.open(d,os.O_RDONLY); os.fsync(s); os.close(s)
    assert open(d+'/doc').read()==('text %d\\n'%i)*1000
`;
      const folder = alice.at('bob', 'work', 'editor');
      await sh('mkdir "$1"', [folder]);
      await sh('python3 - "$1"', [folder], { input: save });
      assert.equal(await sh('ls -A "$1/editor"', [share]), 'doc\n');
      assert.equal(await sh('tail -n 1 "$1/editor/doc"', [share]), 'text 19\n');
    });

    it('sqlite3 works in a peer and its database is whole', async () => {
      const database = alice.at('bob', 'work', 'data.sqlite');
      const script =
        'create table t(a integer primary key, b blob); begin;' +
        'with recursive n(i) as (select 1 union all select i+1 from n where i<20000) insert into t select i, randomblob(60) from n; commit;' +
        'create index x on t(b); delete from t where a%3=0; vacuum; pragma integrity_check; select count(*) from t;';
      assert.equal(await sh('sqlite3 "$1"', [database], { input: script }), 'ok\n13334\n');
      const here = await sh('sqlite3 "$1/data.sqlite" "pragma integrity_check; select count(*) from t"', [share]);
      assert.equal(here, 'ok\n13334\n');
    });

    it('find and du count what is there; ls -l shows the own user', async () => {
      const tree = alice.at('bob', 'work', 'tree');
      assert.equal(
        await sh('find "$1" | wc -l; du -sb "$1" | cut -f1', [tree]),
        await sh('find "$1" | wc -l; du -sb "$1" | cut -f1', [`${share}/tree`]),
      );
      assert.equal((await sh('stat -c %U "$1/big.bin"', [tree])).trim(), (await sh('id -un')).trim());
    });

    it("df shows the size of the peer's disk", async () => {
      const size = 'df --output=size,fstype -B1 "$1" | tail -n 1';
      const [bytes, type] = (await sh(size, [alice.at('bob', 'work')])).trim().split(/\s+/);
      const [want] = (await sh(size, [share])).trim().split(/\s+/);
      assert.equal(bytes, want);
      assert.equal(type, 'fuse.peerfs');
    });

    it('mv carries files between two peers', async () => {
      await sh('mkdir "$1/m" && cp -a "$2/dir 6" "$1/m/"', [alice.at('bob', 'work'), `${alice.files}/tree`]);
      const want = await sh(FINGERPRINT, [alice.at('bob', 'work', 'm')]);
      await sh('mv "$1" "$2"', [alice.at('bob', 'work', 'm'), alice.at('carol', 'm')]);
      assert.equal(await sh(FINGERPRINT, [alice.at('carol', 'm')]), want);
      await assert.rejects(sh('test -e "$1"', [`${share}/m`]));
    });

    it('a 4 GiB sparse file keeps its holes, read at both ends', async () => {
      const file = alice.at('bob', 'work', 'sparse');
      await sh(
        `truncate -s 4G "$1" && printf head | dd of="$1" conv=notrunc status=none &&
         printf tail | dd of="$1" bs=1 seek=$((4 * 1024 * 1024 * 1024 - 4)) conv=notrunc status=none`,
        [file],
      );
      assert.equal(await sh('head -c 4 "$1"; tail -c 4 "$1"; stat -c %s "$1"', [file]), 'headtail4294967296\n');
      assert.equal(await sh('tail -c 4 "$1/sparse"', [share]), 'tail');
      assert.ok(Number(await sh('stat -c %b "$1"', [file])) < 1000, 'holes stay holes');
      const seek = `import os,sys
f=os.open(sys.argv[1],os.O_RDONLY); h=os.lseek(f,0,os.SEEK_HOLE); d=os.lseek(f,h,os.SEEK_DATA)
assert 4<=h<=1<<20,h; assert d>=(4<<30)-(1<<20),d`;
      await sh('python3 - "$1"', [file], { input: seek });
    });

    it('a file that is removed or replaced while open stays readable and writable through its descriptor', async () => {
      const script = `import os,sys
d=sys.argv[1]
f=os.open(d+'/gone',os.O_CREAT|os.O_RDWR); os.write(f,b'abc'); os.unlink(d+'/gone')
assert os.pread(f,3,0)==b'abc'; os.pwrite(f,b'xyz',3); os.ftruncate(f,5)
s=os.fstat(f); assert s.st_size==5 and s.st_nlink==0,s
assert os.pread(f,9,0)==b'abcxy'; os.close(f)
open(d+'/r1','w').write('one'); open(d+'/r2','w').write('two')
f=os.open(d+'/r2',os.O_RDONLY); os.rename(d+'/r1',d+'/r2')
assert os.read(f,9)==b'two'; assert open(d+'/r2').read()=='one'; os.close(f)
assert sorted(os.listdir(d))==['r2'],os.listdir(d)`;
      await sh('mkdir "$1" && python3 - "$1"', [alice.at('bob', 'work', 'open')], { input: script });
    });

    it("two peers' files with equal inode numbers stay apart in cp -a and tar", async () => {
      // tmpfs numbers inodes from the beginning in each new instance.
      const script = `
        for h in "$1" "$2"; do mkdir -p "$h/tm" && mount -t tmpfs none "$h/tm" && for i in 1 2 3 4; do echo "$h$i" > "$h/tm/f$i"; ln "$h/tm/f$i" "$h/tm/l$i"; done; done
        stat -c %i "$1/tm/f1"; stat -c %i "$2/tm/f1"`;
      const carol = lab.host('carol');
      const numbers = (await sh(script, [bob.files, carol.files])).trim().split('\n');
      try {
        assert.equal(numbers[0], numbers[1], 'the test needs equal inode numbers');
        await bob.json(['share', `${bob.files}/tm`, '--name', 'tm']);
        await carol.json(['share', `${carol.files}/tm`, '--name', 'tm']);
        const both = `mkdir "$3" && cd "$4" && cp -a --parents bob/tm carol/tm "$3" && tar -cf "$3.tar" bob/tm carol/tm && mkdir "$3/tar" && tar -C "$3/tar" -xf "$3.tar"
          for p in "$3" "$3/tar"; do for i in 1 2 3 4; do cmp "$1/tm/f$i" "$p/bob/tm/l$i"; cmp "$2/tm/f$i" "$p/carol/tm/f$i"; done; done`;
        await sh(both, [bob.files, carol.files, `${alice.files}/equal`, alice.mountpoint]);
      } finally {
        await bob.json(['unshare', 'tm']);
        await carol.json(['unshare', 'tm']);
        await sh('umount "$1/tm"; umount "$2/tm"', [bob.files, carol.files]);
      }
    });

    it('a directory of 100,000 entries is listed whole', async () => {
      await sh('mkdir "$1/many" && cd "$1/many" && seq -f "entry number %.0f" 100000 | xargs -d "\\n" touch', [share]);
      assert.equal((await sh('ls -U "$1" | wc -l', [alice.at('bob', 'work', 'many')])).trim(), '100000');
      assert.equal(
        await sh('ls -lU --time-style=+%s "$1" | sort', [alice.at('bob', 'work', 'many')]),
        await sh('ls -lU --time-style=+%s "$1" | sort', [`${share}/many`]),
      );
    });
  });
}
