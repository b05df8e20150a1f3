/**
 * What the manual pages of Linux say of each system call on files, as a program: it runs its cases one after the other,
 * each in a directory of its own below the one that it is given, and prints a line for each. It is Python because Node has
 * no renameat2, no utimensat with UTIME_OMIT, no mknod and cannot change who it is for one call.
 *
 * The cases stand in posix-*-cases.ts. A case that fails on a local file system is wrong itself.
 */
import { ATTRIBUTE_CASES } from './posix-attribute-cases.ts';
import { DATA_CASES } from './posix-data-cases.ts';
import { NAME_CASES } from './posix-name-cases.ts';
import { OPEN_CASES } from './posix-open-cases.ts';
import { PATH_CASES } from './posix-path-cases.ts';
import { RIGHTS_CASES } from './posix-rights-cases.ts';

/**
 * argv[1]: an empty directory. argv[2]: who runs the cases: `root`; `user`, a plain user, with root's help where a case
 * needs something prepared; `self`, whoever runs it, with no help. argv[3], if given: only cases whose names contain it.
 */
const BEGINNING = String.raw`
import contextlib, ctypes, errno, fcntl, mmap, os, resource, signal, socket, stat, struct, sys, time, traceback

TOP, MODE = os.path.abspath(sys.argv[1]), sys.argv[2]
ONLY = sys.argv[3] if len(sys.argv) > 3 else ''
# A plain user, a second one, and a group that the first is in besides its own.
USER, STRANGER, EXTRA = 65534, 65533, 65532
ME = {'root': 0, 'user': USER, 'self': os.getuid()}[MODE]
MY_GROUP = {'root': 0, 'user': USER, 'self': os.getgid()}[MODE]
NAME_MAX, PATH_MAX = 255, 4096
CASES = []

class Mismatch(Exception):
    pass

def case(name, who='any'):
    """who: any; root or user (that mode alone); helped (root or user, needs become())."""
    def add(function):
        CASES.append((name, who, function))
        return function
    return add

def row(name, function, *args, who='any'):
    """One line of a table of cases."""
    CASES.append((name, who, lambda: function(*args)))

def outcome(call, *args, **named):
    try:
        return 'ok', call(*args, **named)
    except OSError as error:
        code = errno.errorcode.get(error.errno, str(error.errno))
        return 'EOPNOTSUPP' if code == 'ENOTSUP' else code, None

def gives(want, call, *args, **named):
    """want: 'ok' or an error's name; several are separated by |."""
    came, value = outcome(call, *args, **named)
    if came not in want.split('|'):
        raise Mismatch('expected %s, came %s' % (want, came))
    return value

def same(what, want, came):
    if want != came:
        raise Mismatch('%s: expected %r, came %r' % (what, want, came))

@contextlib.contextmanager
def become(uid, gid=None, groups=()):
    """Makes the calls within it those of somebody else."""
    before = os.geteuid(), os.getegid(), os.getgroups()
    def switch(uid, gid, groups):
        os.seteuid(0)
        os.setgroups(list(groups))
        os.setegid(gid)
        os.seteuid(uid)
    switch(uid, uid if gid is None else gid, groups)
    try:
        yield
    finally:
        switch(*before)

def tick():
    """Long enough for the next time stamp to be another one."""
    time.sleep(0.012)

libc = ctypes.CDLL(None, use_errno=True)
AT_FDCWD, AT_SYMLINK_NOFOLLOW, AT_SYMLINK_FOLLOW, AT_EMPTY_PATH = -100, 0x100, 0x400, 0x1000
NOREPLACE, EXCHANGE, WHITEOUT = 1, 2, 4
NOW, OMIT = (1 << 30) - 1, (1 << 30) - 2

def checked(result):
    if result == -1:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result

def rename2(old, new, flags):
    checked(libc.renameat2(AT_FDCWD, os.fsencode(old), AT_FDCWD, os.fsencode(new), flags))

def utimens(path, atime, mtime, flags=0, fd=AT_FDCWD):
    """atime and mtime: (seconds, nanoseconds); the second may be NOW or OMIT. Both None: a null pointer."""
    times = None
    if atime is not None:
        times = struct.pack('qqqq', *atime, *mtime)
    checked(libc.futimens(fd, times) if path is None else libc.utimensat(fd, os.fsencode(path), times, flags))

def linkat(old, new, flags=0, fd=AT_FDCWD):
    checked(libc.linkat(fd, os.fsencode(old), AT_FDCWD, os.fsencode(new), flags))

def fallocate(fd, mode, offset, length):
    checked(libc.fallocate(fd, mode, ctypes.c_long(offset), ctypes.c_long(length)))

def make(kind, path):
    """Makes something of that kind at the path. @returns what it is called by."""
    if kind == 'file':
        put(path, b'contents')
    elif kind == 'dir':
        os.mkdir(path, 0o755)
    elif kind == 'full dir':
        os.mkdir(path, 0o755)
        put(path + '/inner', b'inner')
    elif kind == 'fifo':
        os.mkfifo(path, 0o644)
    elif kind == 'link':
        put(path + '.target', b'contents')
        os.symlink(os.path.basename(path) + '.target', path)
    elif kind == 'link to dir':
        os.mkdir(path + '.target', 0o755)
        os.symlink(os.path.basename(path) + '.target', path)
    elif kind == 'dangling':
        os.symlink('nowhere', path)
    elif kind == 'loop':
        os.symlink(os.path.basename(path), path)
    else:
        assert kind == 'absent', kind
    return path

KINDS = ('file', 'dir', 'full dir', 'fifo', 'link', 'link to dir', 'dangling', 'loop')

def put(path, contents=b'', mode=0o644):
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        os.write(fd, contents)
    finally:
        os.close(fd)

def get(path):
    fd = os.open(path, os.O_RDONLY)
    try:
        return os.read(fd, 1 << 20)
    finally:
        os.close(fd)

@contextlib.contextmanager
def opened(path, flags=os.O_RDONLY, mode=0o644):
    fd = os.open(path, flags, mode)
    try:
        yield fd
    finally:
        os.close(fd)

def mode_of(path):
    return os.lstat(path).st_mode & 0o7777

def type_of(path):
    try:
        return stat.S_IFMT(os.lstat(path).st_mode)
    except OSError:
        return None

def exists(path):
    return type_of(path) is not None

def chmod_exactly(path, mode):
    """By root where the owner may not."""
    os.chmod(path, mode)
    same('prepared mode', mode, mode_of(path))

def moving(path, fields, operation):
    """Of ctime and mtime exactly those in the text move by the operation."""
    look = (lambda: os.fstat(path)) if isinstance(path, int) else (lambda: os.lstat(path))
    before = look()
    tick()
    operation()
    after = look()
    for field in ('ctime', 'mtime'):
        was, came = (getattr(status, 'st_%s_ns' % field) for status in (before, after))
        if field in fields and not came > was:
            raise Mismatch('%s: expected to move, came %d after %d' % (field, came, was))
        if field not in fields and came != was:
            raise Mismatch('%s: expected to stay, came %d after %d' % (field, came, was))
`;

const END = String.raw`
def mine(who):
    return who == 'any' or who == MODE or (who == 'helped' and MODE != 'self')

def run(number, name, function):
    place = '%s/c%04d' % (TOP, number)
    os.umask(0o022)
    os.mkdir(place, 0o755)
    if MODE == 'user':
        os.chown(place, USER, USER)
    os.chdir(place)
    try:
        if MODE == 'user':
            with become(USER, USER, (USER, EXTRA)):
                function()
        else:
            function()
        return None
    except Mismatch as mismatch:
        return str(mismatch)
    except Exception as error:
        line = [frame.lineno for frame in traceback.extract_tb(error.__traceback__)][-1]
        return 'expected to go on, came %s: %s (line %d)' % (type(error).__name__, error, line)
    finally:
        os.chdir(TOP)

names = [name for name, _, _ in CASES]
for name in set(names):
    assert names.count(name) == 1, 'two cases are called ' + name
for number, (name, who, function) in enumerate(CASES):
    if mine(who) and ONLY in name:
        began = time.monotonic()
        failure = run(number, name, function)
        took = '%d ms' % (1000 * (time.monotonic() - began))
        print('%s\t%s\t%s' % (('ok', name, took) if failure is None else ('not ok', name, ascii(failure))), flush=True)
print('done')
`;

export const POSIX_PROGRAM = [
  BEGINNING,
  OPEN_CASES,
  PATH_CASES,
  NAME_CASES,
  ATTRIBUTE_CASES,
  DATA_CASES,
  RIGHTS_CASES,
  END,
].join('\n');
