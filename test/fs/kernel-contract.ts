/**
 * What a FUSE binding must do, whatever it is made of: one suite for all, run through a real mount of a file system in
 * memory (test/fs/fuse/memory-kernel-fs.ts), from other processes, as programs see it.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { python, type MountedProcess } from './mounted-process.ts';

/** What a suite may except, because the binding cannot do it (each with its reason, beside the binding's test). */
export type Point =
  | 'data'
  | 'parallel writes'
  | 'names'
  | 'large directory'
  | 'rename'
  | 'rename flags'
  | 'links'
  | 'unlinked files'
  | 'special files'
  | 'umask'
  | 'times'
  | 'direct transfers'
  | 'holes'
  | 'allocation'
  | 'copy range'
  | 'posix locks'
  | 'flock'
  | 'lock interruption'
  | 'interrupts'
  | 'notifications'
  | 'status'
  | 'attributes of users'
  | 'other attributes'
  | 'wide numbers'
  | 'forgetting';

/** Each script gets a fresh folder of the mount as argument, and stands in it. */
const PRELUDE = `
import os, sys, errno, fcntl, ctypes, hashlib, signal, stat, struct, subprocess, threading, time, mmap
base = os.fsencode(sys.argv[1])
os.mkdir(base); os.chdir(base)
libc = ctypes.CDLL(None, use_errno=True)
def fails(code, call, *arguments, **named):
    try: call(*arguments, **named)
    except OSError as e: assert e.errno == code, (errno.errorcode[e.errno], errno.errorcode[code]); return
    raise AssertionError('did not fail with ' + errno.errorcode[code])
def put(name, data):
    with open(name, 'wb') as f: f.write(data)
def get(name):
    with open(name, 'rb') as f: return f.read()
def child(script, *arguments):
    return subprocess.Popen([sys.executable, '-c', script, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
def said(process, word):
    line = process.stdout.readline().strip().decode()
    assert line == word, line
`;

const BEHAVIOURS: readonly { readonly point: Point; readonly name: string; readonly script: string }[] = [
  {
    point: 'data',
    name: 'what is written, appended, overwritten and cut off is what is read',
    script: `
put('f', b'hello'); assert get('f') == b'hello'
with open('f', 'ab') as f: f.write(b' world')
assert get('f') == b'hello world'
fd = os.open('f', os.O_RDWR); os.pwrite(fd, b'J', 0); os.ftruncate(fd, 5); os.close(fd)
assert get('f') == b'Jello' and os.stat('f').st_size == 5
os.truncate('f', 8); assert get('f') == b'Jello\\0\\0\\0'
put('f', b''); assert os.stat('f').st_size == 0
fails(errno.EEXIST, os.open, 'f', os.O_CREAT | os.O_EXCL)
fails(errno.ENOENT, os.open, 'missing', os.O_RDONLY)
fails(errno.ENOTDIR, os.listdir, 'f')
os.mkdir('d'); put('d/x', b''); fails(errno.ENOTEMPTY, os.rmdir, 'd'); os.unlink('d/x'); os.rmdir('d')
with open('f', 'wb') as f: f.write(b'x'); f.flush(); os.fsync(f.fileno()); os.fdatasync(f.fileno())
d = os.open('.', os.O_RDONLY); os.fsync(d)
m = os.open('f', os.O_RDWR); os.ftruncate(m, 10000)
with mmap.mmap(m, 10000) as mem: mem[9000:9005] = b'paged'; mem.flush()
assert get('f')[9000:9005] == b'paged'
`,
  },
  {
    point: 'parallel writes',
    name: 'eight writers at once do not mix up their bytes',
    script: `
size = 24 << 20
def pattern(i): return hashlib.sha512(bytes([i])).digest() * (size // 64)
def write(i):
    with open('p%d' % i, 'wb', buffering=0) as f:
        data = memoryview(pattern(i))
        for at in range(0, size, 700001): f.write(data[at:at+700001])
threads = [threading.Thread(target=write, args=(i,)) for i in range(8)]
[t.start() for t in threads]; [t.join() for t in threads]
for i in range(8):
    fd = os.open('p%d' % i, os.O_RDONLY); os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED); os.close(fd)
    assert get('p%d' % i) == pattern(i), i
`,
  },
  {
    point: 'names',
    name: 'names are bytes, up to 255 of them',
    script: `
odd = [b'\\xff\\xfe', b'new\\nline', b' ', b'-rf', b'"quo\\'te"', b'$(x)', b'\\x01', 'ü'.encode(), 'u\\u0308'.encode(), b'x' * 255, b'\\xc3' * 255]
for name in odd: put(name, name)
assert sorted(os.listdir(b'.')) == sorted(odd)
for name in odd: assert get(name) == name
fails(errno.ENAMETOOLONG, put, b'x' * 256, b'')
for name in odd: os.rename(name, name[:-1] + b'!') ; os.unlink(name[:-1] + b'!')
assert os.listdir(b'.') == []
`,
  },
  {
    point: 'large directory',
    name: 'a folder of 10,000 names lists each once, with and without attributes',
    script: `
wanted = {b'\\xff%05d\\n' % i for i in range(10000)}
for name in wanted: os.close(os.open(name, os.O_CREAT | os.O_WRONLY))
found = os.listdir(b'.'); assert len(found) == 10000 and set(found) == wanted
rows = list(os.scandir(b'.')); assert {r.name for r in rows} == wanted and all(r.is_file() for r in rows)
assert all(r.inode() == r.stat().st_ino for r in rows)
assert subprocess.run(['find', '.', '-type', 'f', '-size', '0'], stdout=subprocess.PIPE).stdout.count(b'./') == 10000
for name in wanted: os.unlink(name)
assert os.listdir(b'.') == []
`,
  },
  {
    point: 'rename',
    name: 'rename replaces, also a file that is open',
    script: `
put('a', b'a'); put('b', b'b'); old = open('b', 'rb')
os.rename('a', 'b'); assert get('b') == b'a' and old.read() == b'b' and not os.path.exists('a')
os.mkdir('d'); os.mkdir('e'); os.rename('b', 'd/c'); assert get('d/c') == b'a'
fails(errno.ENOTEMPTY, os.rename, 'e', 'd'); fails(errno.ENOENT, os.rename, 'none', 'x')
os.rename('d', 'e'); assert get('e/c') == b'a'
`,
  },
  {
    point: 'rename flags',
    name: 'rename exchanges, and refuses to replace when told so',
    script: `
def rename(a, b, flags):
    if libc.renameat2(-100, a, -100, b, flags) < 0: raise OSError(ctypes.get_errno(), 'renameat2')
put('a', b'a'); put('b', b'b')
fails(errno.EEXIST, rename, b'a', b'b', 1)
rename(b'a', b'b', 2); assert get('a') == b'b' and get('b') == b'a'
rename(b'a', b'c', 1); assert get('c') == b'b'
`,
  },
  {
    point: 'links',
    name: 'hard and symbolic links',
    script: `
put('f', b'x'); os.link('f', 'g'); assert os.stat('f').st_nlink == 2 and os.stat('f').st_ino == os.stat('g').st_ino
os.unlink('f'); assert get('g') == b'x' and os.stat('g').st_nlink == 1
os.symlink(b'g\\xff/../g', b'l'); assert os.readlink(b'l') == b'g\\xff/../g'
os.symlink('g', 'm'); assert get('m') == b'x' and os.lstat('m').st_size == 1
`,
  },
  {
    point: 'unlinked files',
    name: 'a file that was unlinked while open lives on',
    script: `
fd = os.open('f', os.O_CREAT | os.O_RDWR); os.write(fd, b'here'); os.unlink('f')
os.pwrite(fd, b' still', 4); assert os.pread(fd, 99, 0) == b'here still'
assert os.fstat(fd).st_nlink == 0 and os.fstat(fd).st_size == 10
os.ftruncate(fd, 2); os.fchmod(fd, 0o600); assert os.fstat(fd).st_size == 2
put('f', b'new'); assert os.pread(fd, 99, 0) == b'he' and get('f') == b'new'
`,
  },
  {
    point: 'special files',
    name: 'FIFOs and regular files are made by mknod',
    script: `
os.mkfifo('p'); assert stat.S_ISFIFO(os.stat('p').st_mode)
os.mknod('r', 0o640 | stat.S_IFREG); assert stat.S_IMODE(os.stat('r').st_mode) == 0o640
reader = child("import sys; print(open('p').read())")
with open('p', 'w') as f: f.write('through')
said(reader, 'through')
`,
  },
  {
    point: 'umask',
    name: 'modes: the umask counts, set-id bits go when another writes',
    script: `
os.umask(0o027); put('f', b''); os.mkdir('d'); os.mkfifo('p')
assert [stat.S_IMODE(os.stat(n).st_mode) for n in 'fdp'] == [0o640, 0o750, 0o640]
os.chmod('f', 0o4755); assert stat.S_IMODE(os.stat('f').st_mode) == 0o4755
`,
  },
  {
    point: 'times',
    name: 'times keep their nanoseconds, are left out and set to now one by one',
    script: `
put('f', b'')
os.utime('f', ns=(1_000_000_000_123_456_789, 1_500_000_000_987_654_321))
s = os.stat('f'); assert (s.st_atime_ns, s.st_mtime_ns) == (1_000_000_000_123_456_789, 1_500_000_000_987_654_321)
class T(ctypes.Structure): _fields_ = [('s', ctypes.c_long), ('n', ctypes.c_long)]
def set(a, m): assert libc.utimensat(-100, b'f', (T * 2)(T(*a), T(*m)), 0) == 0
NOW, OMIT = 0x3fffffff, 0x3ffffffe
set((0, OMIT), (-5, 7)); s = os.stat('f'); assert s.st_atime_ns == 1_000_000_000_123_456_789 and s.st_mtime_ns == -5_000_000_000 + 7
set((1 << 33, 1), (0, OMIT)); s = os.stat('f'); assert s.st_atime_ns == (1 << 33) * 10**9 + 1 and s.st_mtime_ns == -5_000_000_000 + 7
set((0, OMIT), (0, NOW)); assert abs(os.stat('f').st_mtime - time.time()) < 10
`,
  },
  {
    point: 'direct transfers',
    name: 'direct requests of 1 MiB arrive whole, also several at once',
    script: `
size = 1 << 20
def work(i):
    memory = mmap.mmap(-1, size)
    fd = os.open('d%d' % i, os.O_CREAT | os.O_RDWR | os.O_DIRECT)
    for n in range(4):
        data = hashlib.sha256(bytes([i, n])).digest() * (size // 32)
        memory[:] = data; assert os.pwritev(fd, [memory], n * size) == size
    for n in range(4):
        assert os.preadv(fd, [memory], n * size) == size
        assert memory[:] == hashlib.sha256(bytes([i, n])).digest() * (size // 32)
    os.close(fd)
threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
[t.start() for t in threads]; [t.join() for t in threads]
assert all(os.stat('d%d' % i).st_size == 4 * size for i in range(4))
`,
  },
  {
    point: 'holes',
    name: 'holes of sparse files are found, behind 4 GiB too',
    script: `
fd = os.open('s', os.O_CREAT | os.O_RDWR); at = 5 << 30
os.pwrite(fd, b'x' * 4096, 4096); os.pwrite(fd, b'end', at)
assert os.fstat(fd).st_size == at + 3 and os.fstat(fd).st_blocks < 100
assert os.lseek(fd, 0, os.SEEK_DATA) == 4096 and os.lseek(fd, 4096, os.SEEK_HOLE) == 8192 and os.lseek(fd, 8192, os.SEEK_DATA) == at
fails(errno.ENXIO, os.lseek, fd, at + 3, os.SEEK_DATA)
assert os.pread(fd, 10, at - 1) == b'\\0end'
`,
  },
  {
    point: 'allocation',
    name: 'room is allocated and holes are punched',
    script: `
fd = os.open('f', os.O_CREAT | os.O_RDWR); os.posix_fallocate(fd, 0, 100000); assert os.fstat(fd).st_size == 100000
os.pwrite(fd, b'y' * 20000, 0)
libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_long, ctypes.c_long]
assert libc.fallocate(fd, 3, 4096, 8192) == 0, os.strerror(ctypes.get_errno())
assert os.pread(fd, 20000, 0) == b'y' * 4096 + bytes(8192) + b'y' * (20000 - 12288) and os.fstat(fd).st_size == 100000
`,
  },
  {
    point: 'copy range',
    name: 'copy_file_range copies',
    script: `
data = os.urandom(3_000_000); put('a', data)
a = os.open('a', os.O_RDONLY); b = os.open('b', os.O_CREAT | os.O_RDWR); done = 0
while done < len(data) - 7: done += os.copy_file_range(a, b, len(data) - 7 - done, 7 + done, done)
assert get('b') == data[7:]
`,
  },
  {
    point: 'posix locks',
    name: 'POSIX locks keep another process out, and end with the file',
    script: `
put('f', b''); f = os.open('f', os.O_RDWR); fcntl.lockf(f, fcntl.LOCK_EX, 10, 5)
other = child('''
import fcntl, os, struct, sys
f = os.open('f', os.O_RDWR)
try: fcntl.lockf(f, fcntl.LOCK_EX | fcntl.LOCK_NB, 5, 10); print('taken')
except OSError as e: print('busy')
t, w, s, l, p = struct.unpack('hhqqi4x', fcntl.fcntl(f, fcntl.F_GETLK, struct.pack('hhqqi4x', fcntl.F_WRLCK, 0, 0, 0, 0)))
print(t == fcntl.F_WRLCK, s, l, p == os.getppid()); sys.stdout.flush()
fcntl.lockf(f, fcntl.LOCK_EX, 5, 20); print('elsewhere'); sys.stdout.flush()
fcntl.lockf(f, fcntl.LOCK_EX, 10, 5); print('waited'); sys.stdout.flush()
''')
said(other, 'busy'); said(other, 'True 5 10 True'); said(other, 'elsewhere')
time.sleep(0.2); os.close(os.open('f', os.O_RDONLY)); said(other, 'waited'); assert other.wait() == 0
fcntl.lockf(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
`,
  },
  {
    point: 'flock',
    name: 'flock keeps another process out, and ends with the descriptor',
    script: `
put('f', b''); f = open('f'); fcntl.flock(f, fcntl.LOCK_EX)
other = child('''
import fcntl, sys
f = open('f')
try: fcntl.flock(f, fcntl.LOCK_SH | fcntl.LOCK_NB); print('taken')
except BlockingIOError: print('busy')
sys.stdout.flush(); fcntl.flock(f, fcntl.LOCK_EX); print('had'); sys.stdout.flush(); sys.stdin.read()
''')
said(other, 'busy'); time.sleep(0.2); f.close(); said(other, 'had')
g = open('f'); fails(errno.EAGAIN, fcntl.flock, g, fcntl.LOCK_EX | fcntl.LOCK_NB)
other.kill(); other.wait(); fcntl.flock(g, fcntl.LOCK_EX)
`,
  },
  {
    point: 'lock interruption',
    name: 'a wait for a lock ends at any signal',
    script: `
put('f', b''); f = open('f', 'r+'); fcntl.lockf(f, fcntl.LOCK_EX)
other = child('''
import ctypes, errno, fcntl, os, signal, struct
signal.signal(signal.SIGUSR1, lambda *_: None); signal.siginterrupt(signal.SIGUSR1, True)
libc = ctypes.CDLL(None, use_errno=True); f = os.open('f', os.O_RDWR); print('waits', flush=True)
lock = ctypes.create_string_buffer(struct.pack('hhqqi4x', fcntl.F_WRLCK, 0, 0, 0, 0))
assert libc.fcntl(f, fcntl.F_SETLKW, lock) == -1; print(errno.errorcode[ctypes.get_errno()])
''')
said(other, 'waits'); time.sleep(0.3); start = time.time(); other.send_signal(signal.SIGUSR1); said(other, 'EINTR')
assert time.time() - start < 1; f.close(); fcntl.lockf(open('f', 'r+'), fcntl.LOCK_EX | fcntl.LOCK_NB)
`,
  },
  {
    point: 'interrupts',
    name: 'a read that hangs ends at SIGINT and SIGKILL, not at SIGUSR1',
    script: `
put('hang-f', b'x' * 100)
reader = '''
import ctypes, errno, os, signal
for s in (signal.SIGUSR1, signal.SIGINT): signal.signal(s, lambda *_: None); signal.siginterrupt(s, True)
libc = ctypes.CDLL(None, use_errno=True); f = os.open('hang-f', os.O_RDONLY | os.O_DIRECT)
b = ctypes.create_string_buffer(8192); print('reads', flush=True)
r = libc.read(f, b, 4096); print(r, errno.errorcode.get(ctypes.get_errno()), flush=True)
'''
one = child(reader); said(one, 'reads'); time.sleep(0.2); one.send_signal(signal.SIGUSR1); time.sleep(0.4)
assert one.poll() is None; start = time.time(); one.send_signal(signal.SIGINT); said(one, '-1 EINTR')
assert time.time() - start < 0.6; one.wait()
two = child(reader); said(two, 'reads'); time.sleep(0.2); start = time.time(); two.kill(); two.wait(timeout=5)
assert time.time() - start < 1
`,
  },
  {
    point: 'status',
    name: 'df sees the sizes, beyond 32 bits',
    script: `
s = os.statvfs('.')
assert (s.f_bsize, s.f_frsize, s.f_blocks, s.f_bfree, s.f_bavail) == (4096, 4096, 3_000_000_000, 2_000_000_000, 1_900_000_000)
assert (s.f_files, s.f_ffree, s.f_namemax) == (5_000_000_000, 4_999_999_999, 255)
`,
  },
  {
    point: 'wide numbers',
    name: 'inode numbers have 64 bits',
    script: `
put('f', b''); assert os.stat('f').st_ino >= 0xffff000000000000 and os.listdir('.') == ['f']
assert [e.inode() for e in os.scandir('.')] == [os.stat('f').st_ino]
`,
  },
  {
    point: 'attributes of users',
    name: 'user.* attributes are kept, with their flags and limits',
    script: `
put('f', b''); big = os.urandom(60000)
os.setxattr('f', 'user.a', b'1'); os.setxattr('f', b'user.\\xff', big); os.setxattr('f', 'user.empty', b'')
assert os.getxattr('f', 'user.a') == b'1' and os.getxattr('f', b'user.\\xff') == big and os.getxattr('f', 'user.empty') == b''
assert sorted(map(os.fsencode, os.listxattr('f'))) == [b'user.a', b'user.empty', b'user.\\xff']
fails(errno.EEXIST, os.setxattr, 'f', 'user.a', b'2', os.XATTR_CREATE)
fails(errno.ENODATA, os.setxattr, 'f', 'user.b', b'2', os.XATTR_REPLACE)
b = ctypes.create_string_buffer(10); assert libc.getxattr(b'f', b'user.\\xff', b, 10) == -1 and ctypes.get_errno() == errno.ERANGE
os.removexattr('f', 'user.a'); fails(errno.ENODATA, os.getxattr, 'f', 'user.a'); fails(errno.ENODATA, os.removexattr, 'f', 'user.a')
`,
  },
  {
    point: 'other attributes',
    name: 'attributes of other namespaces do not exist and cannot be set',
    script: `
put('f', b'')
fails(errno.EOPNOTSUPP, os.getxattr, 'f', 'security.capability'); fails(errno.ENODATA, os.getxattr, 'f', 'trusted.x')
fails(errno.EOPNOTSUPP, os.setxattr, 'f', 'security.x', b''); fails(errno.EOPNOTSUPP, os.setxattr, 'f', 'trusted.x', b'')
fails(errno.EOPNOTSUPP, os.setxattr, 'f', 'system.posix_acl_access', struct.pack('<I', 2))
os.setxattr('f', 'user.after', b'all'); assert os.listxattr('f') == ['user.after']
`,
  },
];

export interface ContractOptions {
  /** Mounts, with names and attributes kept by the kernel for `validMs`. */
  readonly start: (validMs: number) => Promise<MountedProcess>;
  /** Points that are not expected, and why. */
  readonly except: Readonly<Partial<Record<Point, string>>>;
}

export function kernelContract(name: string, options: ContractOptions): void {
  const expected = (point: Point): boolean => !(point in options.except);

  describe(`${name}: what programs see`, () => {
    let mounted: MountedProcess | undefined;
    let folders = 0;
    before(async () => {
      mounted = await options.start(1000);
      assert.equal(mounted.greeting, 'ready');
    });
    after(() => mounted?.close());
    for (const { point, name: behaviour, script } of BEHAVIOURS) {
      if (!expected(point)) continue;
      test(behaviour, async () => {
        folders += 1;
        await python(PRELUDE + script, `${mounted?.directory ?? ''}/${folders}`);
      });
    }
  });

  if (expected('notifications')) {
    test(`${name}: what a peer changed is seen at once after a notification, though the kernel may keep it`, async () => {
      const mounted = await options.start(600_000);
      try {
        const { directory } = mounted;
        const look = (script: string): Promise<string> =>
          python(`import os, sys; os.chdir(sys.argv[1])\n${script}`, directory);
        await look(
          `open('a', 'w').write('old'); open('b', 'w').write('old'); open('a').read(); os.stat('a'); os.stat('b')`,
        );
        await mounted.ask({ do: 'change', name: 'a', text: 'new text', notify: false });
        assert.equal(await look(`print(os.stat('a').st_size)`), '3\n', 'kept without a word');
        await mounted.ask({ do: 'change', name: 'a', text: 'new text', notify: true });
        await seen(() => look(`print(open('a').read(), os.stat('a').st_size)`), 'new text 8\n');
        await mounted.ask({ do: 'vanish', name: 'b', notify: true });
        await seen(() => look(`print(os.path.exists('b'))`), 'False\n');
      } finally {
        await mounted.close();
      }
    });
  }

  if (expected('forgetting')) {
    test(`${name}: the kernel's references are counted to the last`, async () => {
      const mounted = await options.start(1000);
      try {
        await python(
          `${PRELUDE}
for i in range(300): put('f%d' % i, b'x')
list(os.scandir('.')); [os.stat('f%d' % i) for i in range(300)]
os.mkdir('d'); os.symlink('f1', 'l'); os.link('f2', 'h'); os.rename('f3', 'd/g'); os.unlink('f4')
subprocess.run(['ls', '-lR', '.'], stdout=subprocess.DEVNULL, check=True)`,
          `${mounted.directory}/w`,
        );
        const counts = async (): Promise<string> => {
          await python(`open('/proc/sys/vm/drop_caches', 'w').write('2')`);
          const { lookups, handles } = (await mounted.ask({ do: 'counts' })) as { lookups: number; handles: number };
          return `${lookups} ${handles}`;
        };
        await seen(counts, '0 0');
      } finally {
        await mounted.close();
      }
    });
  }
}

/** Waits until `look` says so: what crosses the kernel has no moment at which it must have happened. */
async function seen(look: () => Promise<string>, wanted: string): Promise<void> {
  const limit = performance.now() + 5000;
  for (;;) {
    const found = await look();
    if (found === wanted) return;
    if (performance.now() > limit) assert.equal(found, wanted);
  }
}
