/** Cases of contents, open files and listings, as part of POSIX_PROGRAM (posix-program.ts). */
export const DATA_CASES = String.raw`
# --- reading and writing

@case('read and write at odd places')
def _():
    model = bytearray()
    with opened('x', RW | C | X) as fd:
        for offset, size in ((0, 1), (4095, 2), (10000, 5000), (3, 4096), (65530, 20), (131072, 262144), (0, 0), (200000, 1)):
            piece = bytes((offset + i) % 255 + 1 for i in range(size))
            same('written', size, os.pwrite(fd, piece, offset))
            if len(model) < offset + size and size:
                model.extend(b'\0' * (offset + size - len(model)))
            model[offset:offset + size] = piece
            same('size', len(model), os.fstat(fd).st_size)
        same('contents', True, os.pread(fd, 1 << 20, 0) == bytes(model))
        for offset, size in ((0, 0), (0, 5), (4094, 4), (len(model) - 1, 10), (len(model), 10), (len(model) + 5, 1)):
            same('piece', bytes(model[offset:offset + size]), os.pread(fd, size, offset))
    same('contents', True, get('x') == bytes(model))

def append(flags):
    put('x', b'start')
    with opened('x', flags) as first, opened('x', flags) as second:
        os.write(first, b'1')
        os.write(second, b'2')
        os.lseek(first, 0, 0)
        os.write(first, b'3')
        os.pwrite(second, b'4', 0)
        same('size', 9, os.fstat(first).st_size)
        same('place', 7 + 1, os.lseek(first, 0, os.SEEK_CUR))
    same('contents', b'start1234', get('x'))

row('append by two descriptors, WRONLY', append, W | A)
row('append by two descriptors, RDWR', append, RW | A)

@case('append follows a truncation')
def _():
    put('x', b'0123456789')
    with opened('x', W | A) as fd:
        os.truncate('x', 2)
        os.write(fd, b'z')
        os.ftruncate(fd, 0)
        os.write(fd, b'y')
    same('contents', b'y', get('x'))

@case('a descriptor that fcntl makes appending')
def _():
    put('x', b'0123456789')
    with opened('x', RW) as fd:
        fcntl.fcntl(fd, fcntl.F_SETFL, A)
        os.write(fd, b'end')
        same('contents', b'0123456789end', os.pread(fd, 100, 0))
        fcntl.fcntl(fd, fcntl.F_SETFL, 0)
        os.pwrite(fd, b'B', 0)
        same('contents', b'B123456789end', os.pread(fd, 100, 0))

def wrong_way(kind, flags, call, want):
    make(kind, 'x')
    with opened('x', flags) as fd:
        gives(want, call, fd)

for name, kind, flags, call, want in (
        ('read of WRONLY', 'file', W, lambda fd: os.read(fd, 1), 'EBADF'),
        ('write of RDONLY', 'file', R, lambda fd: os.write(fd, b'x'), 'EBADF'),
        ('read of a directory', 'dir', R, lambda fd: os.read(fd, 1), 'EISDIR'),
        ('pread of a directory', 'dir', R, lambda fd: os.pread(fd, 1, 0), 'EISDIR'),
        ('write of a directory', 'dir', R, lambda fd: os.write(fd, b'x'), 'EBADF'),
        ('read of PATH', 'file', P, lambda fd: os.read(fd, 1), 'EBADF'),
        ('fchmod of PATH', 'file', P, lambda fd: os.fchmod(fd, 0o600), 'EBADF'),
        ('getdents of a file', 'file', R, lambda fd: os.listdir(fd), 'ENOTDIR'),
        ('pread at -1', 'file', R, lambda fd: os.pread(fd, 1, -1), 'EINVAL'),
        ('pwrite at -1', 'file', W, lambda fd: os.pwrite(fd, b'x', -1), 'EINVAL'),
        ('lseek to -1', 'file', R, lambda fd: os.lseek(fd, -1, os.SEEK_SET), 'EINVAL'),
        ('lseek before the beginning', 'file', R, lambda fd: os.lseek(fd, -9, os.SEEK_END), 'EINVAL'),
        ('lseek by an unknown way', 'file', R, lambda fd: os.lseek(fd, 0, 99), 'EINVAL'),
        ('lseek of a FIFO', 'fifo', RW | NB, lambda fd: os.lseek(fd, 0, 0), 'ESPIPE'),
        ('lseek DATA behind the end', 'file', R, lambda fd: os.lseek(fd, 100, os.SEEK_DATA), 'ENXIO'),
        ('lseek HOLE behind the end', 'file', R, lambda fd: os.lseek(fd, 100, os.SEEK_HOLE), 'ENXIO'),
        ('mmap for writing of RDONLY', 'file', R, lambda fd: mmap.mmap(fd, 8), 'EACCES'),
        ('fallocate of RDONLY', 'file', R, lambda fd: fallocate(fd, 0, 0, 10), 'EBADF'),
        ('fallocate of nothing', 'file', RW, lambda fd: fallocate(fd, 0, 0, 0), 'EINVAL'),
        ('fallocate at -1', 'file', RW, lambda fd: fallocate(fd, 0, -1, 10), 'EINVAL'),
        ('fallocate PUNCH_HOLE without KEEP_SIZE', 'file', RW, lambda fd: fallocate(fd, 2, 0, 10), 'EOPNOTSUPP'),
        ('fallocate beyond all sizes', 'file', RW, lambda fd: fallocate(fd, 0, 2**62, 2**62), 'EFBIG'),
        ('pwrite beyond all sizes', 'file', W, lambda fd: os.pwrite(fd, b'xx', 2**63 - 1), 'EFBIG|EINVAL'),
        ('fsync of a FIFO', 'fifo', RW | NB, os.fsync, 'EINVAL'),
        ('fsync of RDONLY', 'file', R, os.fsync, 'ok'), ('fdatasync of RDONLY', 'file', R, os.fdatasync, 'ok'),
        ('fsync of a directory', 'dir', R, os.fsync, 'ok'), ('fdatasync of a directory', 'dir', R, os.fdatasync, 'ok'),
        ('fsync of PATH', 'file', P, os.fsync, 'EBADF'), ('syncfs', 'file', R, lambda fd: checked(libc.syncfs(fd)), 'ok')):
    row(name, wrong_way, kind, flags, call, want)

@case('a write beyond what the file system can hold is EFBIG')
def _():
    with opened('x', RW | C) as fd:
        def write():
            os.pwrite(fd, b'x', 2**62)
            os.fsync(fd)
        gives('EFBIG', write)

@case('lseek finds data and holes')
def _():
    with opened('x', RW | C) as fd:
        os.pwrite(fd, b'x' * 65536, 1 << 20)
        os.ftruncate(fd, 2 << 20)
        same('data', 1 << 20, os.lseek(fd, 0, os.SEEK_DATA))
        same('hole', (1 << 20) + 65536, os.lseek(fd, 1 << 20, os.SEEK_HOLE))
        same('hole at the beginning', 0, os.lseek(fd, 0, os.SEEK_HOLE))
        gives('ENXIO', os.lseek, fd, (1 << 20) + 65536, os.SEEK_DATA)
        same('end', 2 << 20, os.lseek(fd, 0, os.SEEK_END))

@case('fallocate grows, keeps the size, punches and zeroes')
def _():
    with opened('x', RW | C) as fd:
        fallocate(fd, 0, 0, 20000)
        same('size', 20000, os.fstat(fd).st_size)
        fallocate(fd, 1, 0, 50000)
        same('kept', 20000, os.fstat(fd).st_size)
        os.pwrite(fd, b'a' * 20000, 0)
        fallocate(fd, 3, 4096, 4096)
        same('punched', b'a' * 4096 + b'\0' * 4096 + b'a' * (20000 - 8192), os.pread(fd, 30000, 0))
        fallocate(fd, 0x10, 0, 10)
        same('zeroed', b'\0' * 10 + b'a', os.pread(fd, 11, 0))
    os.posix_fallocate(os.open('y', RW | C), 0, 5000)
    same('size', 5000, os.stat('y').st_size)

@case('copy_file_range copies within a file system')
def _():
    put('a', bytes(range(256)) * 400)
    with opened('a') as source, opened('b', RW | C) as target:
        left = 102400
        while left:
            left -= os.copy_file_range(source, target, left)
        same('at the end', 0, os.copy_file_range(source, target, 10))
        same('piece', 5, os.copy_file_range(source, target, 5, 10, 200000))
    same('contents', True, get('b') == bytes(range(256)) * 400 + b'\0' * (200000 - 102400) + bytes(range(10, 15)))

@case('sendfile and splice read what was written')
def _():
    put('a', b'spliced' * 1000)
    reader, writer = os.pipe()
    with opened('a') as source, opened('b', W | C) as target:
        same('sent', 7000, os.sendfile(target, source, 0, 7000))
        same('spliced', 7000, os.splice(source, writer, 7000, offset_src=0))
        same('read', b'spliced' * 1000, os.read(reader, 10000))
    os.close(reader)
    os.close(writer)
    same('contents', b'spliced' * 1000, get('b'))

@case('mmap shows what is written and writes what is changed')
def _():
    put('x', b'a' * 10000)
    with opened('x', RW) as fd, mmap.mmap(fd, 10000) as memory:
        os.pwrite(fd, b'write', 5000)
        same('seen in memory', b'write', memory[5000:5005])
        memory[0:3] = b'map'
        same('seen by read', b'map', os.pread(fd, 3, 0))
        memory.flush()
        memory[9999:10000] = b'z'
    same('contents', b'map' + b'a' * 4997 + b'write' + b'a' * 4994 + b'z', get('x'))

@case('mmap outlives the descriptor and the name')
def _():
    put('x', b'a' * 5000)
    fd = os.open('x', RW)
    memory = mmap.mmap(fd, 5000)
    os.close(fd)
    os.unlink('x')
    same('contents', b'a' * 5000, memory[:])
    memory[0:1] = b'b'
    memory.close()

@case('mmap behind the end is SIGBUS')
def _():
    put('x', b'a' * 100)
    child = os.fork()
    if child == 0:
        with opened('x', RW) as fd:
            memory = mmap.mmap(fd, 100)
            os.truncate('x', 0)
            memory[50]
        os._exit(0)
    same('signal', signal.SIGBUS, os.WTERMSIG(os.waitpid(child, 0)[1]))

@case('duplicates share their place')
def _():
    put('x', b'0123456789')
    with opened('x') as fd:
        other = os.dup(fd)
        os.read(fd, 3)
        same('read', b'345', os.read(other, 3))
        os.close(other)
        same('read', b'678', os.read(fd, 3))

@case('a child inherits what is open')
def _():
    with opened('x', RW | C) as fd:
        child = os.fork()
        if child == 0:
            os.write(fd, b'child')
            os._exit(0)
        os.waitpid(child, 0)
        os.write(fd, b' parent')
    same('contents', b'child parent', get('x'))

@case('readv and writev keep their order')
def _():
    with opened('x', RW | C) as fd:
        same('written', 9, os.writev(fd, [b'one', b'', b'two', b'333']))
        room = bytearray(4), bytearray(5)
        os.lseek(fd, 0, 0)
        same('read', 9, os.readv(fd, room))
        same('contents', b'onetwo333', bytes(room[0] + room[1]))
        same('pwritev', 4, os.pwritev(fd, [b'AB', b'CD'], 3))
    same('contents', b'oneABCD33', get('x'))

# --- without a name

@case('a file without a name is whole as long as it is open')
def _():
    put('x', b'contents')
    with opened('x', RW) as fd, opened('x') as second:
        os.unlink('x')
        gives('ENOENT', os.stat, 'x')
        same('read', b'contents', os.pread(fd, 100, 0))
        os.pwrite(fd, b'!' * 100000, 8)
        same('size', 100008, os.fstat(second).st_size)
        same('read by the other', b'contents!', os.pread(second, 9, 0))
        os.ftruncate(fd, 4)
        same('size', 4, os.fstat(second).st_size)
        os.fchmod(fd, 0o600)
        same('mode', 0o600, os.fstat(second).st_mode & 0o7777)
        utimens(None, T1, T2, 0, fd)
        same('mtime', T2[0], int(os.fstat(second).st_mtime))
        os.fsync(fd)
        same('nlink', 0, os.fstat(fd).st_nlink)
    same('listed', [], os.listdir('.'))

@case('fchown of a file without a name', 'root')
def _():
    put('x', b'x')
    with opened('x', RW) as fd:
        os.unlink('x')
        os.fchown(fd, 7, 8)
        same('owner', (7, 8), (os.fstat(fd).st_uid, os.fstat(fd).st_gid))

@case('a file made and unlinked at once')
def _():
    with opened('x', RW | C | X) as fd:
        os.unlink('x')
        os.write(fd, b'temporary')
        same('read', b'temporary', os.pread(fd, 100, 0))
        same('size and nlink', (9, 0), (os.fstat(fd).st_size, os.fstat(fd).st_nlink))
        same('listed', [], os.listdir('.'))
        put('x', b'another')
        same('read', b'temporary', os.pread(fd, 100, 0))
    same('contents', b'another', get('x'))

@case('a file opened again by /proc is the same')
def _():
    put('x', b'contents')
    with opened('x', RW) as fd:
        os.unlink('x')
        with opened('/proc/self/fd/%d' % fd, RW) as again:
            os.write(again, b'C')
            same('read', b'Contents', os.pread(fd, 100, 0))

@case('a directory with a file that is open and has no name can be removed')
def _():
    os.mkdir('d')
    with opened('d/x', RW | C) as fd:
        os.unlink('d/x')
        same('listed', [], os.listdir('d'))
        gives('ok', os.rmdir, 'd')
        os.write(fd, b'x')
        same('read', b'x', os.pread(fd, 10, 0))

@case('one of two names goes while the file is open')
def _():
    put('x', b'contents')
    os.link('x', 'y')
    with opened('x', RW) as fd:
        os.unlink('x')
        os.pwrite(fd, b'C', 0)
        same('by the other name', b'Contents', get('y'))
        same('nlink', 1, os.fstat(fd).st_nlink)
        os.rename('y', 'z')
        os.pwrite(fd, b'K', 0)
        same('renamed', b'Kontents', get('z'))

# --- listings

def names_of(count):
    return ['n%04d' % number for number in range(count)]

def fill(count):
    os.mkdir('d')
    for name in names_of(count):
        put('d/' + name)

libc.opendir.restype = libc.readdir.restype = ctypes.c_void_p
libc.telldir.restype = ctypes.c_long
for function in (libc.readdir, libc.closedir, libc.rewinddir, libc.telldir):
    function.argtypes = [ctypes.c_void_p]
libc.seekdir.argtypes = [ctypes.c_void_p, ctypes.c_long]

@contextlib.contextmanager
def stream(path):
    handle = libc.opendir(os.fsencode(path))
    if not handle:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    try:
        yield handle
    finally:
        libc.closedir(handle)

def next_entry(handle):
    """(inode, type, name), or None at the end."""
    entry = libc.readdir(handle)
    if not entry:
        return None
    inode = ctypes.c_ulong.from_address(entry).value
    return inode, ctypes.c_ubyte.from_address(entry + 18).value, ctypes.string_at(entry + 19).decode()

def rest(handle):
    entries = []
    while (entry := next_entry(handle)) is not None:
        entries.append(entry)
    return entries

@case('a listing has every name once, with its inode and type')
def _():
    os.mkdir('d')
    for kind in ('file', 'dir', 'fifo', 'dangling'):
        make(kind, 'd/' + kind)
    with stream('d') as handle:
        entries = rest(handle)
    same('names', sorted(['.', '..', 'file', 'dir', 'fifo', 'dangling']), sorted(name for _, _, name in entries))
    for inode, kind, name in entries:
        same('inode of ' + name, os.lstat('d/' + name).st_ino, inode)
        same('type of ' + name, stat.S_IFMT(os.lstat('d/' + name).st_mode) >> 12, kind)

def big_listing(count):
    fill(count)
    same('names', names_of(count), sorted(os.listdir('d')))
    with stream('d') as handle:
        names = [name for _, _, name in rest(handle)]
        same('names', sorted(['.', '..'] + names_of(count)), sorted(names))
        libc.rewinddir(handle)
        same('again', sorted(names), sorted(name for _, _, name in rest(handle)))

for count in (0, 1, 100, 300):
    row('a listing of %d' % count, big_listing, count)

@case('removing while listing leaves nothing')
def _():
    fill(200)
    seen = []
    for entry in os.scandir('d'):
        seen.append(entry.name)
        os.unlink(entry.path)
    same('seen', names_of(200), sorted(seen))
    same('left', [], os.listdir('d'))
    os.rmdir('d')

@case('making while listing shows old names once')
def _():
    fill(150)
    seen = []
    with stream('d') as handle:
        for number in range(400):
            entry = next_entry(handle)
            if entry is None:
                break
            seen.append(entry[2])
            if number < 50:
                put('d/new%d' % number)
        seen += [name for _, _, name in rest(handle)]
    old = [name for name in seen if name.startswith('n0')]
    same('old names', names_of(150), sorted(old))
    same('all once', len(seen), len(set(seen)))
    same('afterwards', 200, len(os.listdir('d')))

@case('renaming while listing shows what is not renamed once')
def _():
    fill(150)
    seen = []
    with stream('d') as handle:
        for number in range(50):
            seen.append(next_entry(handle)[2])
        for name in names_of(150)[::7]:
            os.rename('d/' + name, 'd/moved-' + name)
        seen += [name for _, _, name in rest(handle)]
    kept = set(names_of(150)) - set(names_of(150)[::7])
    same('kept', True, kept <= set(seen))
    same('once', len(seen), len(set(seen)))

@case('rewinddir sees what was made since')
def _():
    fill(3)
    with stream('d') as handle:
        rest(handle)
        put('d/new')
        os.unlink('d/n0001')
        libc.rewinddir(handle)
        same('names', sorted(['.', '..', 'n0000', 'n0002', 'new']), sorted(name for _, _, name in rest(handle)))

@case('seekdir goes back to where telldir was')
def _():
    fill(100)
    with stream('d') as handle:
        places = []
        while True:
            place = libc.telldir(handle)
            entry = next_entry(handle)
            if entry is None:
                break
            places.append((place, entry))
        for place, entry in places[::-17]:
            libc.seekdir(handle, place)
            same('entry', entry, next_entry(handle))

@case('a listing by descriptor goes on after a rename of the directory')
def _():
    fill(10)
    with opened('d', R | D) as fd:
        os.rename('d', 'e')
        same('names', names_of(10), sorted(os.listdir(fd)))
        put('e/x')
        same('names', names_of(10) + ['x'], sorted(os.listdir(fd)))

@case('a tree of directories is walked and removed')
def _():
    want = set()
    for a in 'abc':
        for b in 'xyz':
            os.makedirs('d/%s/%s' % (a, b))
            put('d/%s/%s/f' % (a, b), b'x')
            want.add('d/%s/%s/f' % (a, b))
    came = {os.path.join(at, name) for at, _, names in os.walk('d') for name in names}
    same('files', want, came)
    import shutil
    shutil.rmtree('d')
    same('left', [], os.listdir('.'))

# --- extended attributes

@case('user attributes are set, read, listed and removed')
def _():
    put('x', b'x')
    same('none', [], os.listxattr('x'))
    os.setxattr('x', 'user.a', b'one')
    os.setxattr('x', 'user.b', b'\0\xff' * 100)
    os.setxattr('x', 'user.empty', b'')
    same('a', b'one', os.getxattr('x', 'user.a'))
    same('b', b'\0\xff' * 100, os.getxattr('x', 'user.b'))
    same('empty', b'', os.getxattr('x', 'user.empty'))
    same('listed', ['user.a', 'user.b', 'user.empty'], sorted(os.listxattr('x')))
    gives('EEXIST', os.setxattr, 'x', 'user.a', b'two', os.XATTR_CREATE)
    gives('ENODATA', os.setxattr, 'x', 'user.c', b'two', os.XATTR_REPLACE)
    gives('ok', os.setxattr, 'x', 'user.a', b'two', os.XATTR_REPLACE)
    same('a', b'two', os.getxattr('x', 'user.a'))
    os.rename('x', 'y')
    os.removexattr('y', 'user.a')
    gives('ENODATA', os.getxattr, 'y', 'user.a')
    gives('ENODATA', os.removexattr, 'y', 'user.a')
    same('listed', ['user.b', 'user.empty'], sorted(os.listxattr('y')))
    with opened('y', RW) as fd:
        os.setxattr(fd, 'user.f', b'by descriptor')
        same('by descriptor', b'by descriptor', os.getxattr(fd, 'user.f'))

@case('user attributes of directories')
def _():
    os.mkdir('d')
    os.setxattr('d', 'user.a', b'one')
    same('read', b'one', os.getxattr('d', 'user.a'))

@case('user attributes of FIFOs and links are EPERM')
def _():
    os.mkfifo('p')
    gives('EPERM', os.setxattr, 'p', 'user.a', b'x')
    os.symlink('t', 'l')
    gives('EPERM', os.setxattr, 'l', 'user.a', b'x', follow_symlinks=False)

@case('a user attribute does not fit')
def _():
    put('x', b'x')
    os.setxattr('x', 'user.a', b'0123456789')
    room = ctypes.create_string_buffer(4)
    gives('ERANGE', lambda: checked(libc.getxattr(b'x', b'user.a', room, 4)))
    same('size', 10, checked(libc.getxattr(b'x', b'user.a', None, 0)))
    gives('ERANGE', os.setxattr, 'x', 'user.' + 'n' * 251, b'')
    gives('ok', os.setxattr, 'x', 'user.' + 'n' * 250, b'')
    gives('E2BIG', os.setxattr, 'x', 'user.b', b'x' * 65537)

@case('trusted attributes are kept for root', 'root')
def _():
    put('x', b'x')
    os.setxattr('x', 'trusted.a', b'one')
    same('read', b'one', os.getxattr('x', 'trusted.a'))

@case('security attributes are kept for root', 'root')
def _():
    put('x', b'x')
    os.setxattr('x', 'security.a', b'one')
    same('read', b'one', os.getxattr('x', 'security.a'))

@case('access control lists are kept')
def _():
    put('x', b'x')
    acl = struct.pack('<IHHiHHiHHiHHiHHi', 2, 1, 6, -1, 2, 4, 12345, 4, 4, -1, 0x10, 4, -1, 0x20, 4, -1)
    os.setxattr('x', 'system.posix_acl_access', acl)
    same('read', acl, os.getxattr('x', 'system.posix_acl_access'))

@case('inode flags are kept')
def _():
    put('x', b'x')
    with opened('x') as fd:
        flags = bytearray(8)
        fcntl.ioctl(fd, 0x80086601, flags)
        fcntl.ioctl(fd, 0x40086602, struct.pack('q', struct.unpack('q', flags)[0] | 0x80))
        fcntl.ioctl(fd, 0x80086601, flags)
        same('no-atime flag', 0x80, struct.unpack('q', flags)[0] & 0x80)
`;
