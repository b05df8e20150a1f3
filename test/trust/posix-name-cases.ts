/** Cases of calls that make, move and remove names, as part of POSIX_PROGRAM (posix-program.ts). */
export const NAME_CASES = String.raw`
SOURCES = ('file', 'dir', 'full dir', 'link', 'dangling', 'fifo')
TARGETS = ('absent', 'file', 'dir', 'full dir', 'link', 'link to dir', 'dangling', 'fifo')
DIRECTORIES = ('dir', 'full dir')

def rename_want(source, target):
    if target == 'absent':
        return 'ok'
    if source in DIRECTORIES:
        return {'dir': 'ok', 'full dir': 'ENOTEMPTY|EEXIST'}.get(target, 'ENOTDIR')
    return 'EISDIR' if target in DIRECTORIES else 'ok'

def rename_over(source, target):
    make(source, 'a')
    make(target, 'b')
    moved = os.lstat('a').st_ino
    want = rename_want(source, target)
    gives(want, os.rename, 'a', 'b')
    if want == 'ok':
        same('old name', False, exists('a'))
        same('new name', moved, os.lstat('b').st_ino)
        same('listed', True, 'b' in os.listdir('.') and 'a' not in os.listdir('.'))
        if source == 'full dir':
            same('below', b'inner', get('b/inner'))
        if target == 'link':
            same('what the link led to', b'contents', get('b.target'))
    else:
        same('old name', moved, os.lstat('a').st_ino)
        same('new name', True, exists('b'))

def rename_noreplace(source, target):
    make(source, 'a')
    make(target, 'b')
    moved = os.lstat('a').st_ino
    gives('ok' if target == 'absent' else 'EEXIST', rename2, 'a', 'b', NOREPLACE)
    same('where it is', moved, os.lstat('b' if target == 'absent' else 'a').st_ino)

def rename_exchange(source, target):
    make(source, 'a')
    make(target, 'b')
    inodes = [os.lstat(name).st_ino if exists(name) else None for name in 'ab']
    gives('ENOENT' if target == 'absent' else 'ok', rename2, 'a', 'b', EXCHANGE)
    after = [os.lstat(name).st_ino if exists(name) else None for name in 'ab']
    same('inodes', inodes if target == 'absent' else inodes[::-1], after)
    if source == 'full dir' and target != 'absent':
        same('below', b'inner', get('b/inner'))

for source in SOURCES:
    for target in TARGETS:
        row('rename %s onto %s' % (source, target), rename_over, source, target)
        row('rename NOREPLACE %s onto %s' % (source, target), rename_noreplace, source, target)
        row('rename EXCHANGE %s and %s' % (source, target), rename_exchange, source, target)

@case('rename flags that exclude each other')
def _():
    make('file', 'a')
    make('file', 'b')
    gives('EINVAL', rename2, 'a', 'b', NOREPLACE | EXCHANGE)
    gives('EINVAL', rename2, 'a', 'b', 8)

@case('rename WHITEOUT leaves a character device', 'root')
def _():
    make('file', 'a')
    gives('ok', rename2, 'a', 'b', WHITEOUT)
    same('left', stat.S_IFCHR, type_of('a'))

@case('rename of an absent name')
def _():
    make('file', 'b')
    gives('ENOENT', os.rename, 'a', 'b')
    gives('ENOENT', os.rename, 'a', 'a')
    same('contents', b'contents', get('b'))

@case('rename onto itself')
def _():
    for kind in KINDS:
        name = make(kind, kind)
        inode = os.lstat(name).st_ino
        gives('ok', os.rename, name, name)
        same('inode', inode, os.lstat(name).st_ino)

@case('rename of one hard link onto another does nothing')
def _():
    make('file', 'a')
    os.link('a', 'b')
    gives('ok', os.rename, 'a', 'b')
    same('listed', ['a', 'b'], sorted(os.listdir('.')))
    same('nlink', 2, os.stat('a').st_nlink)
    gives('EEXIST', rename2, 'a', 'b', NOREPLACE)
    gives('ok', rename2, 'a', 'b', EXCHANGE)
    same('listed', ['a', 'b'], sorted(os.listdir('.')))

@case('rename into its own subtree')
def _():
    os.makedirs('a/b/c')
    gives('EINVAL', os.rename, 'a', 'a/x')
    gives('EINVAL', os.rename, 'a', 'a/b/c/x')
    gives('EINVAL', os.rename, 'a', 'a/b')
    gives('EINVAL', rename2, 'a', 'a/b', EXCHANGE)
    gives('EINVAL', rename2, 'a/b', 'a', EXCHANGE)
    same('listed', ['b'], os.listdir('a'))

@case('rename onto an ancestor')
def _():
    os.makedirs('a/b/c')
    make('file', 'a/f')
    gives('ENOTEMPTY|EEXIST', os.rename, 'a/b', 'a')
    gives('ENOTEMPTY|EEXIST', os.rename, 'a/b/c', 'a')
    gives('ENOTEMPTY|EEXIST|EISDIR', os.rename, 'a/f', 'a')

@case('rename of a directory moves all below it')
def _():
    os.makedirs('a/b/c')
    put('a/b/c/x', b'x')
    os.mkdir('d')
    with opened('a/b/c/x', RW) as fd:
        os.rename('a/b', 'd/e')
        same('by descriptor', b'x', os.pread(fd, 10, 0))
        os.write(fd, b'yz')
    same('below the new name', b'yz', get('d/e/c/x'))
    gives('ENOENT', os.stat, 'a/b')
    gives('ENOENT', os.stat, 'a/b/c/x')
    same('nlink of the parents', (2, 3), (os.stat('a').st_nlink, os.stat('d').st_nlink))

@case('rename of the directory that one is in')
def _():
    os.mkdir('a')
    os.chdir('a')
    os.rename('../a', '../b')
    put('x', b'x')
    os.chdir('..')
    same('contents', b'x', get('b/x'))

@case('rename over a file that is open')
def _():
    put('a', b'new')
    put('b', b'old')
    with opened('b', RW) as fd:
        os.rename('a', 'b')
        same('open', b'old', os.pread(fd, 10, 0))
        same('nlink', 0, os.fstat(fd).st_nlink)
        os.pwrite(fd, b'OLD', 0)
        same('named', b'new', get('b'))

@case('rename over a hard link leaves the other name')
def _():
    put('a', b'new')
    put('b', b'old')
    os.link('b', 'c')
    os.rename('a', 'b')
    same('contents', (b'new', b'old'), (get('b'), get('c')))
    same('nlink', (1, 1), (os.stat('b').st_nlink, os.stat('c').st_nlink))

@case('rename of a link moves the link')
def _():
    make('link', 'a')
    os.rename('a', 'b')
    same('link', 'a.target', os.readlink('b'))
    same('target', True, exists('a.target'))

@case('rename back and forth many times')
def _():
    put('a', b'x')
    for number in range(50):
        os.rename('a' if number % 2 == 0 else 'b', 'b' if number % 2 == 0 else 'a')
        same('names', ['b' if number % 2 == 0 else 'a'], os.listdir('.'))

# --- removing

def unlink_kind(kind, want):
    make(kind, 'x')
    nlink = os.stat('.').st_nlink
    gives(want, os.unlink, 'x')
    same('stands', want == 'EISDIR', exists('x'))
    same('nlink of the directory', nlink, os.stat('.').st_nlink)
    if kind == 'link':
        same('target', b'contents', get('x.target'))

for kind in KINDS + ('absent',):
    row('unlink %s' % kind, unlink_kind, kind,
        'ENOENT' if kind == 'absent' else 'EISDIR' if kind in DIRECTORIES else 'ok')

def rmdir_kind(kind, want):
    make(kind, 'x')
    gives(want, os.rmdir, 'x')
    same('stands', kind not in ('dir', 'absent'), exists('x'))

for kind in KINDS + ('absent',):
    row('rmdir %s' % kind, rmdir_kind, kind,
        {'absent': 'ENOENT', 'dir': 'ok', 'full dir': 'ENOTEMPTY|EEXIST'}.get(kind, 'ENOTDIR'))

# --- making

def make_over(kind, call):
    make(kind, 'x')
    before = os.lstat('x').st_ino
    put('other', b'other')
    gives('EEXIST', call, 'x')
    same('inode', before, os.lstat('x').st_ino)

for call_name, call in (('mkdir', os.mkdir), ('mkfifo', os.mkfifo), ('mknod', lambda p: os.mknod(p, 0o644 | stat.S_IFREG)),
                        ('symlink', lambda p: os.symlink('t', p)), ('link', lambda p: os.link('other', p))):
    for kind in KINDS:
        row('%s where %s stands' % (call_name, kind), make_over, kind, call)

def made(call, kind, mode):
    call('x')
    status = os.lstat('x')
    same('type and mode', kind | mode, status.st_mode)
    same('owner', (ME, MY_GROUP), (status.st_uid, status.st_gid))
    same('nlink', 2 if kind == stat.S_IFDIR else 1, status.st_nlink)
    same('listed', ['x'], os.listdir('.'))
    now = time.time()
    for field in ('st_atime', 'st_mtime', 'st_ctime'):
        same(field + ' is now', True, abs(getattr(status, field) - now) < 30)
    same('times', (status.st_mtime_ns, status.st_mtime_ns), (status.st_ctime_ns, status.st_atime_ns))

row('mkdir', made, lambda p: os.mkdir(p, 0o750), stat.S_IFDIR, 0o750)
row('mkfifo', made, lambda p: os.mkfifo(p, 0o640), stat.S_IFIFO, 0o640)
row('mknod of a file', made, lambda p: os.mknod(p, 0o640 | stat.S_IFREG), stat.S_IFREG, 0o640)
row('mknod of a file without a type', made, lambda p: checked(libc.mknod(os.fsencode(p), 0o600, 0)), stat.S_IFREG, 0o600)
row('mknod of a FIFO', made, lambda p: os.mknod(p, 0o640 | stat.S_IFIFO), stat.S_IFIFO, 0o640)
row('symlink', made, lambda p: os.symlink('t', p), stat.S_IFLNK, 0o777)
row('open CREAT', made, lambda p: os.close(os.open(p, W | C, 0o640)), stat.S_IFREG, 0o640)

def special(kind, device=0):
    gives('ok', os.mknod, 'x', 0o644 | kind, device)
    same('type', kind, type_of('x'))
    same('device', device, os.lstat('x').st_rdev)

row('mknod of a character device', special, stat.S_IFCHR, os.makedev(1, 3), who='root')
row('mknod of a block device', special, stat.S_IFBLK, os.makedev(7, 99), who='root')
row('mknod of a socket', special, stat.S_IFSOCK)

@case('bind makes a socket')
def _():
    with socket.socket(socket.AF_UNIX) as server:
        gives('ok', server.bind, 'x')
        server.listen()
        with socket.socket(socket.AF_UNIX) as client:
            gives('ok', client.connect, 'x')
    same('type', stat.S_IFSOCK, type_of('x'))

for what, kind in (('character', stat.S_IFCHR), ('block', stat.S_IFBLK)):
    row('mknod of a %s device by a user is EPERM' % what,
        lambda kind: gives('EPERM', os.mknod, 'x', 0o644 | kind, os.makedev(1, 3)), kind, who='user')

@case('mknod of a directory or a link is refused')
def _():
    gives('EPERM|EINVAL', os.mknod, 'x', 0o755 | stat.S_IFDIR)
    gives('EPERM|EINVAL', os.mknod, 'x', 0o755 | stat.S_IFLNK)

@case('a FIFO carries bytes between two who open it')
def _():
    os.mkfifo('p', 0o600)
    reader = os.open('p', R | NB)
    writer = os.open('p', W)
    os.write(writer, b'through')
    same('read', b'through', os.read(reader, 100))
    os.close(writer)
    same('end', b'', os.read(reader, 100))
    os.close(reader)
    same('size', 0, os.stat('p').st_size)

# --- links

def link_kind(kind):
    make(kind, 'x')
    if kind in DIRECTORIES:
        gives('EPERM', os.link, 'x', 'y')
        same('made', False, exists('y'))
        return
    linkat('x', 'y')
    first, second = os.lstat('x'), os.lstat('y')
    same('inode', first.st_ino, second.st_ino)
    same('type', first.st_mode, second.st_mode)
    same('nlink', (2, 2), (first.st_nlink, second.st_nlink))
    os.unlink('x')
    same('nlink', 1, os.lstat('y').st_nlink)
    same('inode', first.st_ino, os.lstat('y').st_ino)

for kind in KINDS:
    row('link %s' % kind, link_kind, kind)

@case('link with AT_SYMLINK_FOLLOW')
def _():
    make('link', 'a')
    linkat('a', 'b', AT_SYMLINK_FOLLOW)
    same('inode', os.stat('a.target').st_ino, os.lstat('b').st_ino)
    make('dangling', 'c')
    gives('ENOENT', linkat, 'c', 'd', AT_SYMLINK_FOLLOW)

@case('link by descriptor')
def _():
    put('a', b'x')
    with opened('a') as fd:
        linkat('/proc/self/fd/%d' % fd, 'b', AT_SYMLINK_FOLLOW)
        same('inode', os.fstat(fd).st_ino, os.stat('b').st_ino)

@case('link of a file without a name is ENOENT')
def _():
    put('a', b'x')
    with opened('a') as fd:
        os.unlink('a')
        gives('ENOENT', linkat, '/proc/self/fd/%d' % fd, 'b', AT_SYMLINK_FOLLOW)

@case('link many and remove them again')
def _():
    put('a', b'x')
    for number in range(20):
        os.link('a', 'l%d' % number)
        same('nlink', number + 2, os.stat('a').st_nlink)
    for number in range(20):
        os.unlink('l%d' % number)
        same('nlink', 20 - number, os.stat('a').st_nlink)

@case('what is written by one name is read by the other')
def _():
    put('a', b'one')
    os.mkdir('d')
    os.link('a', 'd/b')
    put('d/b', b'two')
    same('contents', b'two', get('a'))
    os.truncate('a', 1)
    same('size', 1, os.stat('d/b').st_size)
    os.chmod('a', 0o600)
    same('mode', 0o600, mode_of('d/b'))

def symlink_of(size):
    target = 't' * size if size <= 255 else ('t' * 199 + '/') * (size // 200) + 't' * (size % 200)
    os.symlink(target, 'x')
    same('read', target, os.readlink('x'))
    same('size', size, os.lstat('x').st_size)

for size in (1, 2, 59, 60, 61, 255, 256, 1000, 4000, 4095):
    row('symlink of %d bytes' % size, symlink_of, size)

@case('symlink of 4,096 bytes and of none')
def _():
    gives('ENAMETOOLONG', os.symlink, 't' * 4096, 'x')
    gives('ENOENT', os.symlink, '', 'x')
    same('made', [], os.listdir('.'))

TARGET_TEXTS = ('.', '..', '/', '/etc/passwd', '../..', 'a//b', './a/', 'x\ny', ' ', '\x1b[0m', 'a/../b', '//')
def verbatim(target):
    os.symlink(target, 'x')
    same('read', target, os.readlink('x'))

for target in TARGET_TEXTS:
    row('symlink to %s' % ascii(target), verbatim, target)

@case('a link whose target is no UTF-8')
def _():
    os.symlink(b'\xff\xfe', b'x')
    same('read', b'\xff\xfe', os.readlink(b'x'))

def readlink_kind(kind):
    make(kind, 'x')
    want = {'link': 'x.target', 'link to dir': 'x.target', 'dangling': 'nowhere', 'loop': 'x'}.get(kind)
    came = gives('EINVAL' if want is None else 'ok', os.readlink, 'x')
    same('read', want, came)

for kind in KINDS:
    row('readlink %s' % kind, readlink_kind, kind)

@case('readlink into too little room gives the beginning')
def _():
    os.symlink('0123456789', 'x')
    room = ctypes.create_string_buffer(4)
    same('bytes', 4, checked(libc.readlink(b'x', room, 4)))
    same('read', b'0123', room.raw)
    gives('EINVAL', lambda: checked(libc.readlink(b'x', room, 0)))

@case('operations go through links that do not stand last')
def _():
    make('link to dir', 'd')
    put('d/x', b'x')
    same('contents', b'x', get('d.target/x'))
    os.rename('d/x', 'd/y')
    os.mkdir('d/z')
    os.symlink('y', 'd/l')
    same('listed', ['l', 'y', 'z'], sorted(os.listdir('d')))
    os.rmdir('d/z')
    os.unlink('d/y')

@case('links to links are followed, 40 at most')
def _():
    put('l0', b'end')
    for number in range(1, 42):
        os.symlink('l%d' % (number - 1), 'l%d' % number)
    same('40', b'end', get('l40'))
    gives('ELOOP', os.open, 'l41', R)

# --- counting

@case('nlink of directories')
def _():
    os.mkdir('d')
    same('empty', 2, os.stat('d').st_nlink)
    for number in range(5):
        os.mkdir('d/s%d' % number)
        same('with directories', 3 + number, os.stat('d').st_nlink)
    put('d/f', b'x')
    os.symlink('s0', 'd/l')
    same('with other files', 7, os.stat('d').st_nlink)
    os.mkdir('e')
    os.rename('d/s0', 'e/s0')
    same('after a move', (6, 3), (os.stat('d').st_nlink, os.stat('e').st_nlink))
    rename2('d/f', 'e/s0', EXCHANGE)
    same('after an exchange', (7, 2), (os.stat('d').st_nlink, os.stat('e').st_nlink))
    for name in ('f', 's1', 's2', 's3', 's4'):
        os.rmdir('d/' + name)
    same('after removals', 2, os.stat('d').st_nlink)

@case('nlink of a directory that a directory replaces')
def _():
    os.makedirs('d/a')
    os.makedirs('d/b')
    os.rename('d/a', 'd/b')
    same('nlink', 3, os.stat('d').st_nlink)

@case('nlink of a file through its life')
def _():
    put('a', b'x')
    with opened('a') as fd:
        same('made', 1, os.fstat(fd).st_nlink)
        os.link('a', 'b')
        same('linked', 2, os.fstat(fd).st_nlink)
        put('c', b'y')
        os.rename('c', 'a')
        same('one replaced', 1, os.fstat(fd).st_nlink)
        os.unlink('b')
        same('removed', 0, os.fstat(fd).st_nlink)

# --- directories that are gone

@case('a directory that was removed while one is in it')
def _():
    os.mkdir('d')
    with opened('d', R | D) as at:
        os.chdir('d')
        os.rmdir('../d')
        gives('ENOENT', os.open, 'x', W | C)
        gives('ENOENT', os.mkdir, 'x')
        gives('ENOENT', os.symlink, 't', 'x')
        gives('ENOENT', os.stat, 'x')
        same('nlink', 0, os.fstat(at).st_nlink)
        same('listed', [], os.listdir(at))

@case('a directory that another one replaced')
def _():
    os.mkdir('a')
    os.mkdir('b')
    with opened('b', R | D) as at:
        os.rename('a', 'b')
        gives('ENOENT', os.open, 'x', W | C, dir_fd=at)
        put('b/x', b'x')
        same('listed', (['x'], []), (os.listdir('b'), os.listdir(at)))

@case('a name that is made again is another file')
def _():
    put('a', b'one')
    with opened('a') as fd:
        os.unlink('a')
        put('a', b'two')
        same('another', False, os.fstat(fd).st_ino == os.stat('a').st_ino)
        same('contents', (b'one', b'two'), (os.pread(fd, 10, 0), get('a')))
`;
