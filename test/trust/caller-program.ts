/**
 * One operation on a mount by one process, in Python, whose calls are the kernel's own: prepares, says `ready`, waits for a
 * line, makes the call, says how it ended and how long it took, ends. What it holds open stays open until its end.
 *
 * Python's own functions try again after EINTR (PEP 475), which would hide the very failure that is looked for: where they
 * do, libc's are called.
 *
 * Arguments: a folder with a file (4 MiB) named after each operation, a folder `listed` and nothing else; the operation;
 * what SIGUSR1 does (`default`; `handler` interrupts calls, `restart` has the kernel restart them); `stay` to wait for a signal
 * at the end, with all open that was open.
 */
export const CALLER_PROGRAM = `
import ctypes, errno, fcntl, json, mmap, os, signal, sys, time

folder, name, handling = sys.argv[1:4]
stays = sys.argv[4:] == ['stay']
own, new, listed = folder + '/' + name, folder + '/new-' + name, folder + '/listed'
libc = ctypes.CDLL(None, use_errno=True)
FAR, LONG = 3 << 20, ctypes.c_long
buffer = ctypes.create_string_buffer(b'x' * 65536, 65536)

def direct(call, *args):
    result = call(*args)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result

def open_own(flags):
    return direct(libc.open, os.fsencode(own), flags)

def write(fd, size=65536):
    direct(libc.pwrite, fd, buffer, LONG(size), LONG(0))

def prepare_map():
    fd = open_own(os.O_RDONLY)
    return mmap.mmap(fd, 0, prot=mmap.PROT_READ)

def write_and_sync(fd):
    write(fd)
    direct(libc.fsync, fd)

def write_and_close(fd):
    write(fd)
    direct(libc.close, fd)

def create(_):
    fd = direct(libc.open, os.fsencode(new), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    write(fd, 100)
    direct(libc.close, fd)

def opened(flags):
    return lambda: open_own(flags)

nothing = lambda: None
OPERATIONS = {
    'stat': (nothing, lambda _: os.stat(own)),
    'open': (nothing, lambda _: open_own(os.O_RDONLY)),
    'read': (opened(os.O_RDONLY), lambda fd: direct(libc.pread, fd, buffer, LONG(4096), LONG(FAR))),
    'mapped-read': (prepare_map, lambda mapped: mapped[FAR]),
    'write': (opened(os.O_RDWR), write),
    'append': (opened(os.O_WRONLY | os.O_APPEND), lambda fd: direct(libc.write, fd, buffer, LONG(100))),
    'fsync': (opened(os.O_RDWR), write_and_sync),
    'close': (opened(os.O_RDWR), write_and_close),
    'create': (nothing, create),
    'readdir': (nothing, lambda _: os.listdir(listed)),
    'mkdir': (nothing, lambda _: os.mkdir(new)),
    'symlink': (nothing, lambda _: os.symlink('x', new)),
    'link': (nothing, lambda _: os.link(own, new)),
    'rename': (nothing, lambda _: os.rename(own, new)),
    'unlink': (nothing, lambda _: os.unlink(own)),
    'rmdir': (nothing, lambda _: os.rmdir(listed + '/empty')),
    'chmod': (nothing, lambda _: os.chmod(own, 0o600)),
    'utimes': (nothing, lambda _: os.utime(own, (1, 1))),
    'truncate': (nothing, lambda _: direct(libc.truncate, os.fsencode(own), LONG(10))),
    'ftruncate': (opened(os.O_RDWR), lambda fd: direct(libc.ftruncate, fd, LONG(10))),
    'setxattr': (nothing, lambda _: os.setxattr(own, 'user.a', b'1')),
    'listxattr': (nothing, lambda _: os.listxattr(own)),
    'statfs': (nothing, lambda _: os.statvfs(folder)),
    'flock': (opened(os.O_RDWR), lambda fd: direct(libc.flock, fd, fcntl.LOCK_EX | fcntl.LOCK_NB)),
}

signals = 0
def count(*_):
    global signals
    signals += 1

signal.signal(signal.SIGINT, signal.SIG_DFL)
if handling != 'default':
    signal.signal(signal.SIGUSR1, count)
    signal.siginterrupt(signal.SIGUSR1, handling == 'handler')
prepare, act = OPERATIONS[name]
prepared = prepare()
print('ready', flush=True)
sys.stdin.readline()
begun = time.monotonic()
try:
    act(prepared)
    result = 'ok'
except OSError as error:
    result = errno.errorcode.get(error.errno, str(error.errno))
seconds = time.monotonic() - begun
print(json.dumps({'result': result, 'ms': seconds * 1000, 'signals': signals}), flush=True)
if stays:
    signal.pause()
os._exit(0)
`;

/** Those that the peer must do before they can succeed. */
const DONE_BY_PEER = [
  'append',
  'fsync',
  'close',
  'create',
  'mkdir',
  'symlink',
  'link',
  'rename',
  'unlink',
  'rmdir',
  'chmod',
  'utimes',
  'truncate',
  'ftruncate',
  'setxattr',
  'flock',
] as const;

/** Those that caches may answer. */
const ANSWERED_HERE = ['stat', 'open', 'read', 'mapped-read', 'write', 'readdir', 'listxattr', 'statfs'] as const;

export type Operation = (typeof DONE_BY_PEER)[number] | (typeof ANSWERED_HERE)[number];

export const OPERATIONS: readonly Operation[] = [...ANSWERED_HERE, ...DONE_BY_PEER];

export const needsPeer = (operation: Operation): boolean => DONE_BY_PEER.some((one) => one === operation);
