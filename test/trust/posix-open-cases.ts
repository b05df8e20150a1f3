/** Cases of open(2), as part of POSIX_PROGRAM (posix-program.ts). */
export const OPEN_CASES = String.raw`
R, W, RW, C, X, T, A = os.O_RDONLY, os.O_WRONLY, os.O_RDWR, os.O_CREAT, os.O_EXCL, os.O_TRUNC, os.O_APPEND
NF, D, NB, P = os.O_NOFOLLOW, os.O_DIRECTORY, os.O_NONBLOCK, os.O_PATH
FLAG_NAMES = ((W, 'WRONLY'), (RW, 'RDWR'), (C, 'CREAT'), (X, 'EXCL'), (T, 'TRUNC'), (A, 'APPEND'), (NF, 'NOFOLLOW'),
              (D, 'DIRECTORY'), (NB, 'NONBLOCK'), (P, 'PATH'))

def said(flags):
    names = [name for bit, name in FLAG_NAMES if flags & bit]
    return '|'.join((['RDONLY'] if flags & 3 == 0 and not flags & P else []) + names)

# kind, flags, what comes of it
OPENS = (
    ('absent', R, 'ENOENT'), ('absent', W, 'ENOENT'), ('absent', RW, 'ENOENT'), ('absent', W | T, 'ENOENT'),
    ('absent', W | A, 'ENOENT'), ('absent', R | D, 'ENOENT'), ('absent', R | NF, 'ENOENT'), ('absent', P, 'ENOENT'),
    ('absent', R | C, 'ok'), ('absent', W | C, 'ok'), ('absent', RW | C, 'ok'), ('absent', R | C | X, 'ok'),
    ('absent', W | C | X, 'ok'), ('absent', RW | C | X, 'ok'), ('absent', W | C | T, 'ok'), ('absent', W | C | A, 'ok'),
    ('absent', W | C | NF, 'ok'), ('absent', W | C | X | NF | T | A, 'ok'), ('absent', R | X, 'ENOENT'),
    ('file', R, 'ok'), ('file', W, 'ok'), ('file', RW, 'ok'), ('file', R | C, 'ok'), ('file', W | C, 'ok'),
    ('file', RW | C | T, 'ok'), ('file', R | C | X, 'EEXIST'), ('file', W | C | X, 'EEXIST'),
    ('file', W | C | X | T, 'EEXIST'), ('file', W | T, 'ok'), ('file', RW | T, 'ok'), ('file', R | T, 'ok'),
    ('file', W | A, 'ok'), ('file', RW | A, 'ok'), ('file', W | A | T, 'ok'), ('file', R | NF, 'ok'),
    ('file', R | D, 'ENOTDIR'), ('file', W | D, 'ENOTDIR'), ('file', P, 'ok'), ('file', P | D, 'ENOTDIR'),
    ('file', R | NB, 'ok'),
    ('dir', R, 'ok'), ('dir', R | D, 'ok'), ('dir', R | NF, 'ok'), ('dir', P, 'ok'), ('dir', P | D, 'ok'),
    ('dir', W, 'EISDIR'), ('dir', RW, 'EISDIR'), ('dir', R | C, 'EISDIR'), ('dir', W | C, 'EISDIR'),
    ('dir', W | D, 'EISDIR'), ('dir', R | T, 'EISDIR'), ('dir', W | T, 'EISDIR'), ('dir', W | A, 'EISDIR'),
    ('dir', R | C | X, 'EEXIST'), ('dir', W | C | X, 'EEXIST'),
    ('link', R, 'ok'), ('link', W, 'ok'), ('link', W | T, 'ok'), ('link', R | C, 'ok'), ('link', R | NF, 'ELOOP'),
    ('link', W | NF, 'ELOOP'), ('link', W | C | NF, 'ELOOP'), ('link', R | C | X, 'EEXIST'),
    ('link', W | C | X | NF, 'EEXIST'), ('link', R | D, 'ENOTDIR'), ('link', R | D | NF, 'ENOTDIR'),
    ('link', P | NF, 'ok'), ('link', P, 'ok'),
    ('link to dir', R, 'ok'), ('link to dir', R | D, 'ok'), ('link to dir', R | NF, 'ELOOP'),
    ('link to dir', R | D | NF, 'ENOTDIR'), ('link to dir', W, 'EISDIR'), ('link to dir', R | C, 'EISDIR'),
    ('link to dir', R | C | X, 'EEXIST'),
    ('dangling', R, 'ENOENT'), ('dangling', W, 'ENOENT'), ('dangling', W | T, 'ENOENT'), ('dangling', W | C, 'ok'),
    ('dangling', R | C | X, 'EEXIST'), ('dangling', W | C | X | NF, 'EEXIST'), ('dangling', R | NF, 'ELOOP'),
    ('dangling', W | C | NF, 'ELOOP'), ('dangling', P | NF, 'ok'), ('dangling', P, 'ENOENT'),
    ('loop', R, 'ELOOP'), ('loop', W | C, 'ELOOP'), ('loop', R | NF, 'ELOOP'), ('loop', R | C | X, 'EEXIST'),
    ('loop', R | D, 'ELOOP'), ('loop', P | NF, 'ok'), ('loop', P, 'ELOOP'),
    ('fifo', R | NB, 'ok'), ('fifo', W | NB, 'ENXIO'), ('fifo', RW | NB, 'ok'), ('fifo', R | D, 'ENOTDIR'),
    ('fifo', R | C | X, 'EEXIST'), ('fifo', RW | T | NB, 'ok'), ('fifo', P, 'ok'), ('fifo', R | NF | NB, 'ok'),
)

def open_kind(kind, flags, want):
    make(kind, 'x')
    inode = os.stat('x').st_ino if kind in ('file', 'dir', 'link', 'link to dir', 'fifo') else None
    fd = gives(want, os.open, 'x', flags, 0o640)
    if fd is None:
        same('what stands there', {'absent': None, 'file': stat.S_IFREG, 'dir': stat.S_IFDIR, 'fifo': stat.S_IFIFO}
             .get(kind, stat.S_IFLNK), type_of('x'))
        if kind in ('file', 'link'):
            same('contents', b'contents', get('x'))
        return
    try:
        status = os.fstat(fd)
        if flags & P and flags & NF and kind in ('link', 'dangling', 'loop'):
            same('type', stat.S_IFLNK, stat.S_IFMT(status.st_mode))
            return
        if inode is not None:
            same('inode', inode, status.st_ino)
        if kind in ('absent', 'dangling'):
            same('mode', 0o100640, status.st_mode)
            same('owner', (ME, MY_GROUP), (status.st_uid, status.st_gid))
            same('size', 0, status.st_size)
        if kind == 'dangling':
            same('the link leads to it', status.st_ino, os.lstat('nowhere').st_ino)
        if kind in ('file', 'link') and not flags & P:
            same('size', 0 if flags & T else 8, status.st_size)
            readable, writable = flags & 3 != W, flags & 3 != R
            came = gives('ok' if readable else 'EBADF', os.read, fd, 100)
            if readable:
                same('contents', b'' if flags & T else b'contents', came)
            os.lseek(fd, 0, os.SEEK_SET)
            gives('ok' if writable else 'EBADF', os.write, fd, b'NEW')
            if writable:
                old = b'' if flags & T else b'contents'
                same('contents', old + b'NEW' if flags & A else b'NEW' + old[3:], get('x'))
    finally:
        os.close(fd)

for kind, flags, want in OPENS:
    row('open %s %s' % (kind, said(flags)), open_kind, kind, flags, want)

def with_mode(umask, asked, want):
    os.umask(umask)
    os.close(os.open('x', W | C | X, asked))
    same('mode', want, mode_of('x'))
    os.mkdir('d', asked)
    same('mode of a directory', want & 0o1777, mode_of('d') & 0o1777)
    os.mkfifo('p', asked)
    same('mode of a FIFO', want, mode_of('p'))
    os.mknod('n', asked | stat.S_IFREG)
    same('mode of a node', want, mode_of('n'))

for umask, asked, want in ((0, 0o777, 0o777), (0o022, 0o777, 0o755), (0o077, 0o666, 0o600), (0o777, 0o777, 0), (0, 0, 0),
                           (0o070, 0o777, 0o707), (0o022, 0o1777, 0o1755), (0, 0o111, 0o111), (0o027, 0o640, 0o640)):
    row('made with mode %o under umask %03o' % (asked, umask), with_mode, umask, asked, want)

@case('open with mode 0 gives a descriptor that can be written')
def _():
    with opened('x', RW | C | X, 0) as fd:
        os.write(fd, b'abc')
        same('contents', b'abc', os.pread(fd, 10, 0))
    same('mode', 0, mode_of('x'))
    same('size', 3, os.stat('x').st_size)

@case('open read-only with mode 0444 for writing, made in the same call')
def _():
    with opened('x', W | C, 0o444) as fd:
        os.write(fd, b'abc')
    same('contents', b'abc', get('x'))

@case('open TRUNC of a file that is open elsewhere')
def _():
    make('file', 'x')
    with opened('x') as reader:
        same('before', b'contents', os.pread(reader, 100, 0))
        os.close(os.open('x', W | T))
        same('after', b'', os.pread(reader, 100, 0))
        same('size', 0, os.fstat(reader).st_size)

@case('open EXCL makes one winner of many')
def _():
    wins = 0
    for _ in range(20):
        came, fd = outcome(os.open, 'x', W | C | X)
        if fd is not None:
            wins += 1
            os.close(fd)
        else:
            same('for the others', 'EEXIST', came)
    same('winners', 1, wins)

@case('open a name with a slash behind it')
def _():
    make('file', 'x')
    make('dir', 'd')
    gives('ENOTDIR', os.open, 'x/', R)
    gives('EISDIR', os.open, 'new/', W | C)
    os.close(gives('ok', os.open, 'd/', R))
    same('made', False, exists('new'))

@case('open a running program for writing is ETXTBSY')
def _():
    put('sleep', open('/bin/sleep', 'rb').read(), 0o755)
    child = os.posix_spawn('./sleep', ['sleep', '30'], {})
    try:
        gives('ETXTBSY', os.open, 'sleep', W)
        gives('ETXTBSY', os.truncate, 'sleep', 0)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    os.close(gives('ok', os.open, 'sleep', W))

@case('execute a file that is open for writing is ETXTBSY')
def _():
    put('true', open('/bin/true', 'rb').read(), 0o755)
    with opened('true', W):
        gives('ETXTBSY', os.posix_spawn, './true', ['true'], {})
    same('then', 0, os.waitpid(os.posix_spawn('./true', ['true'], {}), 0)[1])

@case('execute without execute permission is EACCES')
def _():
    put('true', open('/bin/true', 'rb').read(), 0o644)
    gives('EACCES', os.posix_spawn, './true', ['true'], {})

@case('openat goes from the directory, wherever it was moved')
def _():
    os.mkdir('d')
    with opened('d', R | D) as at:
        os.rename('d', 'e')
        os.close(os.open('f', W | C, 0o644, dir_fd=at))
        same('made in it', True, exists('e/f'))
        os.mkdir('g', dir_fd=at)
        os.rename('f', 'h', src_dir_fd=at, dst_dir_fd=at)
        os.symlink('h', 'l', dir_fd=at)
        same('listed', ['g', 'h', 'l'], sorted(os.listdir(at)))
        same('link', 'h', os.readlink('l', dir_fd=at))
        os.unlink('h', dir_fd=at)
        os.rmdir('g', dir_fd=at)
        same('left', ['l'], os.listdir('e'))

@case('openat from a file is ENOTDIR')
def _():
    make('file', 'x')
    with opened('x') as at:
        gives('ENOTDIR', os.open, 'y', R, dir_fd=at)
        gives('ENOTDIR', os.mkdir, 'y', dir_fd=at)
        gives('ENOTDIR', os.stat, 'y', dir_fd=at)

@case('open TMPFILE makes a file without a name that linkat names')
def _():
    fd = gives('ok', os.open, '.', RW | os.O_TMPFILE, 0o600)
    with contextlib.closing(os.fdopen(fd, 'r+b', 0)):
        os.write(fd, b'nameless')
        same('nlink', 0, os.fstat(fd).st_nlink)
        linkat('/proc/self/fd/%d' % fd, 'x', AT_SYMLINK_FOLLOW)
        same('nlink', 1, os.fstat(fd).st_nlink)
    same('contents', b'nameless', get('x'))

@case('open with O_SYNC and O_DSYNC')
def _():
    for number, flag in enumerate((os.O_SYNC, os.O_DSYNC)):
        with opened('x%d' % number, W | C | flag) as fd:
            os.write(fd, b'abc')
        same('contents', b'abc', get('x%d' % number))

@case('open with O_DIRECT reads and writes whole pages')
def _():
    page = mmap.mmap(-1, 4096)
    page.write(b'd' * 4096)
    with opened('x', RW | C | os.O_DIRECT) as fd:
        same('written', 4096, os.writev(fd, [page]))
        os.lseek(fd, 0, 0)
        same('read', 4096, os.readv(fd, [page]))
    same('contents', b'd' * 4096, get('x'))

@case('open with O_NOATIME', 'helped')
def _():
    make('file', 'x')
    os.close(gives('ok', os.open, 'x', R | os.O_NOATIME))

@case("open with O_NOATIME of somebody else's file is EPERM", 'user')
def _():
    with become(0):
        put('x', b'x', 0o666)
    gives('EPERM', os.open, 'x', R | os.O_NOATIME)
`;
