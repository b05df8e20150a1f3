/** Cases of what every call that takes a path does with odd paths, as part of POSIX_PROGRAM (posix-program.ts). */
export const PATH_CASES = String.raw`
def listing(path):
    return os.close(os.open(path, R | D))

# Every call that takes a path: what is to be there, and the call.
PATH_CALLS = (
    ('open', lambda p: os.close(os.open(p, R | NB))),
    ('open CREAT', lambda p: os.close(os.open(p, W | C | NB))),
    ('opendir', listing),
    ('stat', os.stat),
    ('lstat', os.lstat),
    ('access', lambda p: checked(libc.faccessat(AT_FDCWD, os.fsencode(p), os.F_OK, 0x200))),
    ('chmod', lambda p: os.chmod(p, 0o644)),
    ('chown', lambda p: os.chown(p, -1, -1)),
    ('lchown', lambda p: os.lchown(p, -1, -1)),
    ('truncate', lambda p: os.truncate(p, 0)),
    ('utimensat', lambda p: utimens(p, (1, 1), (2, 2))),
    ('chdir', os.chdir),
    ('statvfs', os.statvfs),
    ('readlink', os.readlink),
    ('mkdir', os.mkdir),
    ('mkfifo', os.mkfifo),
    ('symlink to', lambda p: os.symlink('target', p)),
    ('link from', lambda p: os.link(p, 'linked', follow_symlinks=False)),
    ('link to', lambda p: os.link('other', p)),
    ('unlink', os.unlink),
    ('rmdir', os.rmdir),
    ('rename from', lambda p: os.rename(p, 'renamed')),
    ('rename to', lambda p: os.rename('other', p)),
    ('getxattr', lambda p: os.getxattr(p, 'user.x')),
    ('setxattr', lambda p: os.setxattr(p, 'user.x', b'x')),
    ('listxattr', os.listxattr),
    ('removexattr', lambda p: os.removexattr(p, 'user.x')),
    ('mknod', lambda p: os.mknod(p, 0o644 | stat.S_IFREG)),
)
def path_of(size):
    """A path of that many bytes that leads here."""
    return './' * ((size - 1) // 2) + 'x' * (2 - size % 2)

ODD_PATHS = (
    ('below a file', 'file/x', 'ENOTDIR'),
    ('below a FIFO', 'fifo/x', 'ENOTDIR'),
    ('below nothing', 'absent/x', 'ENOENT'),
    ('below a dangling link', 'dangling/x', 'ENOENT'),
    ('below a link to a file', 'link/x', 'ENOTDIR'),
    ('below a link to itself', 'loop/x', 'ELOOP'),
    ('below 41 links', 'chain40/x', 'ELOOP'),
    ('of no bytes', '', 'ENOENT'),
    ('with a name of 256 bytes', 'n' * 256, 'ENAMETOOLONG'),
    ('with a directory of 256 bytes', 'n' * 256 + '/x', 'ENAMETOOLONG'),
    ('of 4,096 bytes', path_of(4096), 'ENAMETOOLONG'),
)

# Made by the first of these cases; none of them may change it.
ODD_PLACE = []

def odd_place():
    if not ODD_PLACE:
        for kind in ('file', 'fifo', 'dangling', 'link', 'loop', 'dir'):
            make(kind, kind)
        make('file', 'other')
        os.symlink('dir', 'chain0')
        for number in range(1, 41):
            os.symlink('chain%d' % (number - 1), 'chain%d' % number)
        # 40 links are followed, one more is not.
        os.stat('chain39')
        ODD_PLACE.extend([os.open('.', R | D), sorted(os.listdir('.'))])
    return ODD_PLACE

def odd_path(call, path, want):
    place, names = odd_place()
    os.fchdir(place)
    gives(want, call, path)
    os.fchdir(place)
    same('names', names, sorted(os.listdir('.')))

for call_name, call in PATH_CALLS:
    for path_name, path, want in ODD_PATHS:
        row('%s a path %s' % (call_name, path_name), odd_path, call, path, want)

def renamed(path):
    make('file', 'source')
    os.rename('source', path)

def linked(path):
    make('file', 'source')
    os.link('source', path)

MAKERS = (
    ('open', lambda p: put(p, b'x')), ('mkdir', os.mkdir), ('mkfifo', os.mkfifo),
    ('symlink', lambda p: os.symlink('t', p)), ('rename', renamed), ('link', linked),
)

def longest_name(maker):
    name = 'n' * NAME_MAX
    maker(name)
    same('listed', True, name in os.listdir('.'))
    os.lstat(name)
    os.rename(name, 'm' * NAME_MAX)
    same('renamed', False, exists(name))
    (os.rmdir if stat.S_ISDIR(os.lstat('m' * NAME_MAX).st_mode) else os.unlink)('m' * NAME_MAX)

def longest_path(maker):
    directory = ''
    while len(directory) + 201 < PATH_MAX - 1 - 10:
        directory += 'd' * 200 + '/'
        os.mkdir(directory)
    path = directory + 'x' * (PATH_MAX - 1 - len(directory))
    same('bytes', PATH_MAX - 1, len(path))
    maker(path)
    os.lstat(path)
    os.chmod(path, 0o700) if type_of(path) != stat.S_IFLNK else None
    os.rename(path, path[:-1] + 'y')
    gives('ENOENT', os.lstat, path)
    gives('ENAMETOOLONG', maker, path + 'x')
    (os.rmdir if type_of(path[:-1] + 'y') == stat.S_IFDIR else os.unlink)(path[:-1] + 'y')
    same('left', [], os.listdir(directory))

def deep(levels):
    """More bytes of path than one call can name, by going down step by step."""
    here = os.open('.', R | D)
    try:
        for _ in range(levels):
            os.mkdir('e' * NAME_MAX)
            os.chdir('e' * NAME_MAX)
        put('x', b'deep')
        same('contents', b'deep', get('x'))
        same('listed', ['x'], os.listdir('.'))
        os.rename('x', 'y')
        os.mkdir('z')
        os.rmdir('z')
        os.unlink('y')
        for _ in range(levels):
            os.chdir('..')
            os.rmdir('e' * NAME_MAX)
    finally:
        os.fchdir(here)
        os.close(here)

for maker_name, maker in MAKERS:
    row('%s a name of 255 bytes' % maker_name, longest_name, maker)
    row('%s a path of 4,095 bytes' % maker_name, longest_path, maker)
row('a tree of 16 names of 255 bytes', deep, 16)
row('a tree of 30 names of 255 bytes', deep, 30)
row('a tree of 40 names of 255 bytes', deep, 40)

def odd_name(name):
    put(name, b'odd')
    same('listed', [name], os.listdir(b'.'))
    same('contents', b'odd', get(name))
    os.rename(name, b'plain')
    os.rename(b'plain', name)
    os.link(name, b'second')
    os.unlink(name)
    same('listed', [b'second'], os.listdir(b'.'))
    os.symlink(name, b'link')
    same('link', name, os.readlink(b'link'))
    os.mkdir(name)
    os.mkdir(name + b'/' + name)
    same('listed below', [name], os.listdir(name))
    os.rmdir(name + b'/' + name)
    os.rmdir(name)

ODD_NAMES = (b' ', b'  lead and trail  ', b'-rf', b'new\nline', b'tab\t', b'esc\x1b[31m', b'back\\slash', b'quote\x27"', b'$(x)',
             b'*?[]', b'CON', b'nul.txt', b'a:b', b'%2e%2e', b'...', b'..x', b'. ', b'\xff\xfe', b'\xc0\x80', b'\xed\xa0\x80',
             b'e\xcc\x81', b'\xc3\xa9', b'\x01', b'\x7f', b'\x80' * 255, b'~', b'.peerfs', b'#x#', b'x~')
for name in ODD_NAMES:
    row('a name of the bytes %s' % ascii(name[:20])[2:-1], odd_name, name)

@case('names that differ in case or form are two')
def _():
    for name in (b'a', b'A', b'\xc3\xa9', b'e\xcc\x81'):
        put(name, name)
    same('listed', [b'A', b'a', b'e\xcc\x81', b'\xc3\xa9'], sorted(os.listdir(b'.')))
    for name in (b'a', b'A', b'\xc3\xa9', b'e\xcc\x81'):
        same('contents', name, get(name))

@case('a NUL in a name is refused')
def _():
    gives('ENOENT', lambda: checked(libc.mkdir(b'\0x', 0o755)))

@case('. and .. of a directory')
def _():
    os.makedirs('a/b')
    same('.', os.stat('a/b').st_ino, os.stat('a/b/.').st_ino)
    same('..', os.stat('a').st_ino, os.stat('a/b/..').st_ino)
    os.mkdir('c')
    os.rename('a/b', 'c/b')
    same('.. after a rename', os.stat('c').st_ino, os.stat('c/b/..').st_ino)

def bare(call, path, want):
    make('full dir', 'd')
    make('file', 'f')
    gives(want, call, path)

BARE = (
    ('mkdir', os.mkdir, 'd/.', 'EEXIST'), ('mkdir', os.mkdir, 'd/..', 'EEXIST'), ('mkdir', os.mkdir, '/', 'EEXIST'),
    ('rmdir', os.rmdir, 'd/.', 'EINVAL'), ('rmdir', os.rmdir, 'd/..', 'ENOTEMPTY'), ('rmdir', os.rmdir, '/', 'EBUSY'),
    ('unlink', os.unlink, 'd/.', 'EISDIR'), ('unlink', os.unlink, 'd/..', 'EISDIR'),
    ('rename from', lambda p: os.rename(p, 'x'), 'd/.', 'EBUSY|EINVAL'),
    ('rename from', lambda p: os.rename(p, 'x'), 'd/..', 'EBUSY|EINVAL'),
    ('rename to', lambda p: os.rename('d', p), 'd/.', 'EBUSY|EINVAL'),
    ('rename to', lambda p: os.rename('f', p), 'd/..', 'EBUSY|EINVAL'),
    ('link to', lambda p: os.link('f', p), 'd/.', 'EEXIST'), ('symlink to', lambda p: os.symlink('f', p), 'd/.', 'EEXIST'),
    ('mkfifo', os.mkfifo, 'd/..', 'EEXIST'), ('open CREAT|EXCL', lambda p: os.open(p, W | C | X), 'd/.', 'EEXIST|EISDIR'),
    ('unlink', os.unlink, 'f/', 'ENOTDIR'), ('unlink', os.unlink, 'd/', 'EISDIR'), ('rmdir', os.rmdir, 'f/', 'ENOTDIR'),
    ('mkdir', os.mkdir, 'f/', 'EEXIST'), ('mkdir', os.mkdir, 'd/', 'EEXIST'), ('stat', os.stat, 'f/', 'ENOTDIR'),
    ('rename from', lambda p: os.rename(p, 'x'), 'f/', 'ENOTDIR'),
    ('rename to', lambda p: os.rename('f', p), 'x/', 'ENOTDIR'),
    ('symlink to', lambda p: os.symlink('t', p), 'x/', 'ENOENT'), ('link to', lambda p: os.link('f', p), 'x/', 'ENOENT'),
    ('mkfifo', os.mkfifo, 'x/', 'ENOENT'), ('truncate', lambda p: os.truncate(p, 0), 'f/', 'ENOTDIR'),
    ('mkdir new', os.mkdir, 'x/', 'ok'), ('rename a directory to', lambda p: os.rename('d', p), 'x/', 'ok'),
    ('rename a directory from', lambda p: os.rename(p, 'x'), 'd/', 'ok'), ('rmdir of', lambda p: (os.mkdir(p), os.rmdir(p)), 'x/', 'ok'),
)
for call_name, call, path, want in BARE:
    row('%s %s' % (call_name, path), bare, call, path, want)
`;
