/** Cases of modes, owners, times and sizes, as part of POSIX_PROGRAM (posix-program.ts). */
export const ATTRIBUTE_CASES = String.raw`
# --- chmod

def chmod_to(kind, mode):
    make(kind, 'x')
    gives('ok', os.chmod, 'x', mode)
    same('mode', mode, mode_of('x'))
    same('type', {'file': stat.S_IFREG, 'dir': stat.S_IFDIR, 'fifo': stat.S_IFIFO}[kind], type_of('x'))
    if kind != 'fifo':
        flags = R | (D if kind == 'dir' else 0)
        if mode & 0o400:
            with opened('x', flags) as fd:
                os.fchmod(fd, mode ^ 0o011)
                same('mode by descriptor', mode ^ 0o011, mode_of('x'))

for kind in ('file', 'dir', 'fifo'):
    for mode in (0, 0o111, 0o400, 0o444, 0o644, 0o700, 0o777, 0o1777, 0o2755, 0o4755, 0o6711, 0o7777):
        row('chmod %s to %04o' % (kind, mode), chmod_to, kind, mode)

@case('chmod of a link changes what it leads to')
def _():
    make('link', 'x')
    os.chmod('x', 0o600)
    same('mode', 0o600, mode_of('x.target'))
    same('link', 0o777, mode_of('x'))

@case('chmod of a link itself is refused')
def _():
    make('link', 'x')
    gives('EOPNOTSUPP|ENOSYS', lambda: checked(libc.fchmodat(AT_FDCWD, b'x', 0o600, AT_SYMLINK_NOFOLLOW)))
    same('link', 0o777, mode_of('x'))

@case("chmod of somebody else's file is EPERM", 'user')
def _():
    with become(0):
        put('x', b'x', 0o666)
        os.mkdir('d', 0o777)
    gives('EPERM', os.chmod, 'x', 0o600)
    gives('EPERM', os.chmod, 'd', 0o700)
    with opened('x') as fd:
        gives('EPERM', os.fchmod, fd, 0o600)

@case('chmod drops the set-group-id bit for who is not in the group', 'user')
def _():
    put('x', b'x', 0o755)
    with become(0):
        os.chown('x', USER, STRANGER)
    os.chmod('x', 0o2755)
    same('mode', 0o755, mode_of('x'))
    os.chmod('x', 0o4755)
    same('mode', 0o4755, mode_of('x'))

@case('chmod keeps the set-group-id bit for who is in the group', 'user')
def _():
    put('x', b'x', 0o755)
    os.chown('x', -1, EXTRA)
    os.chmod('x', 0o2755)
    same('mode', 0o2755, mode_of('x'))

@case('chmod of a file that is open counts for the next open', 'user')
def _():
    put('x', b'x')
    with opened('x', RW) as fd:
        os.fchmod(fd, 0)
        os.write(fd, b'y')
        same('read', b'y', os.pread(fd, 10, 0))
        gives('EACCES', os.open, 'x', R)

# --- set-group-id directories

@case('a set-group-id directory gives its group to what is made in it', 'helped')
def _():
    os.mkdir('d', 0o755)
    with become(0):
        os.chown('d', ME, EXTRA)
        os.chmod('d', 0o2775)
    same('prepared', 0o2775, mode_of('d'))
    put('d/f', b'x')
    os.mkdir('d/s', 0o755)
    os.mkfifo('d/p')
    os.symlink('t', 'd/l')
    for name in 'fspl':
        same('group of ' + name, EXTRA, os.lstat('d/' + name).st_gid)
        same('owner of ' + name, ME, os.lstat('d/' + name).st_uid)
    same('directories inherit the bit', 0o2755, mode_of('d/s'))
    same('files do not', 0o644, mode_of('d/f'))
    put('d/s/f', b'x')
    same('below', EXTRA, os.stat('d/s/f').st_gid)

@case('a set-group-id directory of a group that one is in, and of another owner', 'user')
def _():
    with become(0):
        os.mkdir('d')
        os.chown('d', STRANGER, EXTRA)
        os.chmod('d', 0o2775)
    put('d/f', b'x')
    os.mkdir('d/s', 0o755)
    os.mkfifo('d/p')
    os.symlink('t', 'd/l')
    for name in 'fspl':
        same('owner of ' + name, (USER, EXTRA), (os.lstat('d/' + name).st_uid, os.lstat('d/' + name).st_gid))
    same('modes', (0o644, 0o2755), (mode_of('d/f'), mode_of('d/s')))

@case('a directory that may be written by a group that one is in', 'user')
def _():
    with become(0):
        os.mkdir('d')
        os.chown('d', STRANGER, EXTRA)
        os.chmod('d', 0o775)
    os.close(os.open('d/f', W | C, 0o4640))
    os.mkdir('d/s', 0o1755)
    for name in 'fs':
        same('owner of ' + name, (USER, USER), (os.lstat('d/' + name).st_uid, os.lstat('d/' + name).st_gid))
    same('modes', (0o4640, 0o1755), (mode_of('d/f'), mode_of('d/s')))

@case('without the bit the group is that of who makes it', 'helped')
def _():
    os.mkdir('d', 0o755)
    with become(0):
        os.chown('d', ME, STRANGER)
    put('d/f', b'x')
    os.mkdir('d/s')
    same('groups', (MY_GROUP, MY_GROUP), (os.stat('d/f').st_gid, os.stat('d/s').st_gid))

# --- chown

def chown_to(kind, uid, gid, want_uid, want_gid):
    make(kind, 'x')
    gives('ok', os.lchown, 'x', uid, gid)
    status = os.lstat('x')
    same('owner', (want_uid, want_gid), (status.st_uid, status.st_gid))
    if kind == 'link':
        same('owner of what it leads to', (0, 0), (os.stat('x').st_uid, os.stat('x').st_gid))

for kind in ('file', 'dir', 'link', 'fifo'):
    for uid, gid, want in ((7, 8, (7, 8)), (7, -1, (7, 0)), (-1, 8, (0, 8)), (-1, -1, (0, 0)), (0, 0, (0, 0)),
                           (4294967294, 4294967294, (4294967294, 4294967294))):
        row('chown %s to %d:%d' % (kind, uid, gid), chown_to, kind, uid, gid, *want, who='root')

@case('chown follows links, fchown takes the file', 'root')
def _():
    make('link', 'x')
    os.chown('x', 7, 8)
    same('target', (7, 8), (os.stat('x.target').st_uid, os.stat('x.target').st_gid))
    same('link', (0, 0), (os.lstat('x').st_uid, os.lstat('x').st_gid))
    with opened('x.target') as fd:
        os.fchown(fd, 9, 10)
        same('by descriptor', (9, 10), (os.fstat(fd).st_uid, os.fstat(fd).st_gid))

def chown_refused(prepare, uid, gid, want):
    put('x', b'x')
    with become(0):
        os.chown('x', *prepare)
    before = os.stat('x')
    gives(want, os.chown, 'x', uid, gid)
    after = os.stat('x')
    if want != 'ok':
        same('owner', (before.st_uid, before.st_gid), (after.st_uid, after.st_gid))
        same('ctime', before.st_ctime_ns, after.st_ctime_ns)

for name, prepare, uid, gid, want in (
        ('own file to another owner', (USER, USER), STRANGER, -1, 'EPERM'),
        ('own file to root', (USER, USER), 0, -1, 'EPERM'),
        ('own file to oneself', (USER, USER), USER, -1, 'ok'),
        ('own file to its own group', (USER, USER), -1, USER, 'ok'),
        ('own file to a group one is in', (USER, USER), -1, EXTRA, 'ok'),
        ('own file to oneself and a group one is in', (USER, USER), USER, EXTRA, 'ok'),
        ('own file to a group one is not in', (USER, USER), -1, STRANGER, 'EPERM'),
        ('own file of a foreign group to nothing', (USER, STRANGER), -1, -1, 'ok'),
        ("somebody else's file to oneself", (STRANGER, USER), USER, -1, 'EPERM'),
        ("somebody else's file to a group one is in", (STRANGER, USER), -1, EXTRA, 'EPERM'),
        ("somebody else's file to nothing", (STRANGER, STRANGER), -1, -1, 'ok'),
        ("root's file to oneself", (0, 0), USER, USER, 'EPERM')):
    row('chown by a user: ' + name, chown_refused, prepare, uid, gid, want, who='user')

def privileges_after(mode, operation, want):
    put('x', b'contents', 0o777)
    if MODE == 'user':
        with become(0):
            os.chown('x', USER, EXTRA)
            os.chmod('x', mode)
    else:
        os.chmod('x', mode)
    same('prepared mode', mode, mode_of('x'))
    operation()
    same('mode', want, mode_of('x'))
    with opened('x') as fd:
        same('mode by descriptor', want, os.fstat(fd).st_mode & 0o7777)

def writing():
    with opened('x', W) as fd:
        os.write(fd, b'x')

def by_another(operation):
    def run():
        with become(STRANGER):
            operation()
    return run

for mode, kept, chowned in ((0o4777, 0o777, 0o777), (0o2777, 0o777, 0o777), (0o6777, 0o777, 0o777), (0o1777, 0o1777, 0o1777),
                            (0o2767, 0o2767, 0o2767), (0o6666, 0o2666, 0o2666)):
    row('chown clears set-id bits of %04o by root' % mode, privileges_after, mode,
        lambda: os.chown('x', 0, 5), chowned, who='root')
    row('chown clears set-id bits of %04o by the owner' % mode, privileges_after, mode,
        lambda: os.chown('x', USER, USER), chowned, who='user')
    row('write keeps the bits of %04o by root' % mode, privileges_after, mode, writing, mode, who='root')
for mode, want in ((0o4777, 0o777), (0o2777, 0o777), (0o6777, 0o777), (0o1777, 0o1777), (0o755, 0o755)):
    row('write clears set-id bits of %04o by the owner' % mode, privileges_after, mode, writing, want, who='user')
    row('truncate clears set-id bits of %04o by the owner' % mode, privileges_after, mode,
        lambda: os.truncate('x', 1), want, who='user')
    row('open TRUNC clears set-id bits of %04o by the owner' % mode, privileges_after, mode,
        lambda: os.close(os.open('x', W | T)), want, who='user')
for mode, want in ((0o4777, 0o777), (0o6777, 0o777)):
    row('write clears set-id bits of %04o by another' % mode, privileges_after, mode, by_another(writing), want, who='root')

# --- utimensat

T1, T2 = (1000000001, 123456789), (2000000002, 987654321)
STAMPS = {'set': (T1, T2), 'now': ((0, NOW), (0, NOW)), 'omit': ((0, OMIT), (0, OMIT))}

def utimens_pair(first, second, way):
    put('x', b'x')
    utimens('x', (5, 5), (6, 6))
    tick()
    before = os.stat('x')
    atime, mtime = STAMPS[first][0], STAMPS[second][1]
    if way == 'descriptor':
        with opened('x', RW) as fd:
            utimens(None, atime, mtime, 0, fd)
    else:
        utimens('x', atime, mtime)
    after = os.stat('x')
    for field, which, stamp, old in (('atime', first, T1, 5), ('mtime', second, T2, 6)):
        came = getattr(after, 'st_%s_ns' % field)
        if which == 'now':
            same(field + ' is now', True, abs(came / 1e9 - time.time()) < 30)
        else:
            want = stamp if which == 'set' else (old, old)
            same(field, want[0] * 10**9 + want[1], came)
    moved = after.st_ctime_ns > before.st_ctime_ns
    same('ctime moves', (first, second) != ('omit', 'omit'), moved)

for way in ('path', 'descriptor'):
    for first in STAMPS:
        for second in STAMPS:
            row('utimensat by %s, atime %s, mtime %s' % (way, first, second), utimens_pair, first, second, way)

def utimens_at(kind, seconds, nanoseconds):
    make(kind, 'x')
    gives('ok', utimens, 'x', (seconds, nanoseconds), (seconds, nanoseconds), AT_SYMLINK_NOFOLLOW)
    status = os.lstat('x')
    want = seconds * 10**9 + nanoseconds
    same('times', (want, want), (status.st_atime_ns, status.st_mtime_ns))

for kind in ('file', 'dir', 'fifo', 'link', 'dangling'):
    for seconds, nanoseconds in ((0, 0), (0, 1), (1, 999999999), (1700000000, 1)):
        row('utimensat %s to %d.%09d' % (kind, seconds, nanoseconds), utimens_at, kind, seconds, nanoseconds)
for seconds, nanoseconds in ((-1, 0), (-1, 999999999), (-2**31, 0), (2**31 - 1, 999999999), (2**31, 0), (2**32, 7), (2**32 + 2**31, 1)):
    row('utimensat to %d.%09d' % (seconds, nanoseconds), utimens_at, 'file', seconds, nanoseconds)

@case('utimensat of a link changes what it leads to')
def _():
    make('link', 'x')
    utimens('x', T1, T2)
    same('target', T2[0], int(os.stat('x.target').st_mtime))
    same('link', False, int(os.lstat('x').st_mtime) == T2[0])

@case('utimensat with nanoseconds out of range is EINVAL')
def _():
    put('x', b'x')
    before = os.stat('x').st_mtime_ns
    for bad in (10**9, -1, NOW + 1, OMIT - 1):
        gives('EINVAL', utimens, 'x', (1, bad), (1, 0))
        gives('EINVAL', utimens, 'x', (1, 0), (1, bad))
    same('mtime', before, os.stat('x').st_mtime_ns)

@case('utimensat without times is now')
def _():
    put('x', b'x')
    utimens('x', (5, 5), (6, 6))
    utimens('x', None, None)
    status = os.stat('x')
    same('now', True, abs(status.st_mtime - time.time()) < 30 and abs(status.st_atime - time.time()) < 30)

@case('utimensat NOW gives both the same time')
def _():
    put('x', b'x')
    utimens('x', (0, NOW), (0, NOW))
    status = os.stat('x')
    same('times', (status.st_mtime_ns, status.st_mtime_ns), (status.st_atime_ns, status.st_ctime_ns))

def utimens_rights(owner, mode, atime, mtime, want):
    put('x', b'x', mode)
    with become(0):
        os.chown('x', owner, owner)
        os.chmod('x', mode)
    before = os.stat('x')
    gives(want, utimens, 'x', atime, mtime)
    if want != 'ok':
        same('ctime', before.st_ctime_ns, os.stat('x').st_ctime_ns)

NOWS, OMITS = STAMPS['now'], STAMPS['omit']
for name, owner, mode, atime, mtime, want in (
        ('owner, exact', USER, 0o444, T1, T2, 'ok'), ('owner, now', USER, 0, *NOWS, 'ok'),
        ('owner, without times', USER, 0o444, None, None, 'ok'),
        ('may write, now', STRANGER, 0o666, *NOWS, 'ok'), ('may write, without times', STRANGER, 0o666, None, None, 'ok'),
        ('may write, exact', STRANGER, 0o666, T1, T2, 'EPERM'), ('may write, one now', STRANGER, 0o666, NOWS[0], T2, 'EPERM'),
        ('may write, atime now, mtime omitted', STRANGER, 0o666, NOWS[0], OMITS[1], 'EPERM'),
        ('may write, atime omitted, mtime exact', STRANGER, 0o666, OMITS[0], T2, 'EPERM'),
        ('may not write, now', STRANGER, 0o644, *NOWS, 'EACCES'),
        ('may not write, without times', STRANGER, 0o644, None, None, 'EACCES'),
        ('may not write, exact', STRANGER, 0o644, T1, T2, 'EPERM'), ('may not write, omitted', STRANGER, 0o600, *OMITS, 'ok'),
        ("root's file, exact", 0, 0o666, T1, T2, 'EPERM')):
    row('utimensat by a user: ' + name, utimens_rights, owner, mode, atime, mtime, want, who='user')

# --- truncate

def truncated(before, after, way):
    contents = bytes(i % 251 + 1 for i in range(before))
    put('x', contents)
    if way == 'path':
        os.truncate('x', after)
    else:
        with opened('x', RW) as fd:
            os.ftruncate(fd, after)
            same('size at once', after, os.fstat(fd).st_size)
    same('size', after, os.stat('x').st_size)
    same('contents', contents[:after] + b'\0' * (after - before), get('x'))

for way in ('path', 'descriptor'):
    for before, after in ((0, 0), (0, 1), (0, 5000), (1, 0), (100, 50), (100, 100), (100, 101), (4096, 4095), (4096, 4097),
                          (5000, 1), (5000, 8192), (100000, 65536), (65536, 200000), (3, 1000000)):
        row('truncate by %s from %d to %d' % (way, before, after), truncated, before, after, way)

def truncate_kind(kind, size, want):
    make(kind, 'x')
    gives(want, os.truncate, 'x', size)

for kind, size, want in (('dir', 0, 'EISDIR'), ('dir', 100, 'EISDIR'), ('fifo', 0, 'EINVAL'), ('absent', 0, 'ENOENT'),
                         ('link', 3, 'ok'), ('link to dir', 3, 'EISDIR'), ('dangling', 0, 'ENOENT'), ('loop', 0, 'ELOOP'),
                         ('file', -1, 'EINVAL'), ('file', -2**63, 'EINVAL'), ('file', 2**63 - 1, 'EFBIG|EINVAL'), ('file', 2**62, 'EFBIG')):
    row('truncate %s to %d' % (kind, size), truncate_kind, kind, size, want)

def ftruncate_of(kind, flags, size, want):
    make(kind, 'x')
    with opened('x', flags) as fd:
        gives(want, os.ftruncate, fd, size)

for kind, flags, size, want in (('file', R, 0, 'EINVAL|EBADF'), ('file', W, -1, 'EINVAL'), ('dir', R, 0, 'EINVAL|EBADF'),
                                ('file', W | A, 3, 'ok'), ('file', P, 0, 'EBADF'), ('fifo', RW | NB, 0, 'EINVAL')):
    row('ftruncate %s opened %s to %d' % (kind, said(flags), size), ftruncate_of, kind, flags, size, want)

@case('truncate then write beyond leaves zeros between')
def _():
    put('x', b'a' * 10000)
    with opened('x', RW) as fd:
        os.ftruncate(fd, 10)
        os.pwrite(fd, b'b', 5000)
        same('contents', b'a' * 10 + b'\0' * 4990 + b'b', os.pread(fd, 20000, 0))

@case('truncate shrink and grow gives zeros, not what was there')
def _():
    put('x', b'a' * 10000)
    os.truncate('x', 100)
    os.truncate('x', 10000)
    same('contents', b'a' * 100 + b'\0' * 9900, get('x'))

@case('truncate to 2^40 takes no room')
def _():
    put('x', b'x')
    os.truncate('x', 2**40)
    same('size', 2**40, os.stat('x').st_size)
    same('blocks', True, os.stat('x').st_blocks < 1000)
    with opened('x', RW) as fd:
        os.pwrite(fd, b'end', 2**40 - 3)
        same('read', b'end', os.pread(fd, 10, 2**40 - 3))

@case('truncate beyond the limit of the process is EFBIG')
def _():
    put('x', b'x')
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        gives('EFBIG', os.truncate, 'x', 1001)
        gives('ok', os.truncate, 'x', 1000)
        with opened('x', W) as fd:
            gives('EFBIG', os.pwrite, fd, b'x', 1000)
            same('up to the limit', 10, os.pwrite(fd, b'y' * 100, 990))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

# --- what moves which times

def file_times(fields, operation):
    put('x', b'contents')
    moving('x', fields, operation)

def written_to(call):
    def run():
        with opened('x', RW) as fd:
            call(fd)
    return run

for name, fields, operation in (
        ('chmod', 'ctime', lambda: os.chmod('x', 0o600)),
        ('chmod to what it is', 'ctime', lambda: os.chmod('x', 0o644)),
        ('fchmod', 'ctime', written_to(lambda fd: os.fchmod(fd, 0o600))),
        ('link', 'ctime', lambda: os.link('x', 'y')),
        ('unlink of another name', 'ctime', lambda: (os.link('x', 'y'), tick(), os.unlink('y'))),
        ('rename', 'ctime', lambda: os.rename('x', 'y') or os.rename('y', 'x')),
        ('setxattr', 'ctime', lambda: os.setxattr('x', 'user.a', b'1')),
        ('write', 'ctime mtime', written_to(lambda fd: os.write(fd, b'x'))),
        ('write of nothing', '', written_to(lambda fd: os.write(fd, b''))),
        ('append', 'ctime mtime', lambda: os.close((lambda fd: (os.write(fd, b'x'), fd)[1])(os.open('x', W | A)))),
        ('truncate', 'ctime mtime', lambda: os.truncate('x', 3)),
        ('truncate to more', 'ctime mtime', lambda: os.truncate('x', 30)),
        ('ftruncate', 'ctime mtime', written_to(lambda fd: os.ftruncate(fd, 3))),
        ('open TRUNC', 'ctime mtime', lambda: os.close(os.open('x', W | T))),
        ('open CREAT of what is there', '', lambda: os.close(os.open('x', W | C))),
        ('open, read, close', '', lambda: get('x')),
        ('stat and access', '', lambda: (os.stat('x'), os.access('x', os.R_OK))),
        ('fsync', '', written_to(os.fsync)),
        ('fallocate', 'ctime mtime', written_to(lambda fd: fallocate(fd, 0, 0, 100000))),
        ('write through mmap', 'ctime mtime', written_to(lambda fd: mapped(fd))),
        ('chmod that fails', '', lambda: gives('ENOTDIR', os.chmod, 'x/', 0o600)),
        ('truncate that fails', '', lambda: gives('EINVAL', os.truncate, 'x', -1)),
        ('link that fails', '', lambda: gives('EEXIST', os.link, 'x', 'x')),
        ('rename that fails', '', lambda: gives('ENOENT', os.rename, 'x', 'd/x'))):
    row('times of a file by ' + name, file_times, fields, operation)

def mapped(fd):
    with mmap.mmap(fd, 8) as memory:
        memory[0:3] = b'map'
        memory.flush()

row('times of a file by chown', file_times, 'ctime', lambda: os.chown('x', 5, 6), who='root')
row('times of a file by chown to nothing', file_times, 'ctime', lambda: os.chown('x', -1, -1))
row('times of a file by chown to what it is', file_times, 'ctime', lambda: os.chown('x', ME, MY_GROUP))

def parent_times(fields, prepare, operation, which='.'):
    make('dir', 'd')
    make('file', 'f')
    prepare()
    moving(which, fields, operation)

NOTHING = lambda: None
BOTH = 'ctime mtime'
for name, fields, prepare, operation in (
        ('open CREAT', BOTH, NOTHING, lambda: put('x')),
        ('open CREAT of what is there', '', NOTHING, lambda: put('f')),
        ('mkdir', BOTH, NOTHING, lambda: os.mkdir('x')),
        ('mkfifo', BOTH, NOTHING, lambda: os.mkfifo('x')),
        ('mknod', BOTH, NOTHING, lambda: os.mknod('x', 0o644 | stat.S_IFREG)),
        ('symlink', BOTH, NOTHING, lambda: os.symlink('t', 'x')),
        ('link', BOTH, NOTHING, lambda: os.link('f', 'x')),
        ('unlink', BOTH, NOTHING, lambda: os.unlink('f')),
        ('rmdir', BOTH, NOTHING, lambda: os.rmdir('d')),
        ('rename within', BOTH, NOTHING, lambda: os.rename('f', 'x')),
        ('rename over', BOTH, lambda: put('g'), lambda: os.rename('f', 'g')),
        ('rename out', BOTH, NOTHING, lambda: os.rename('f', 'd/f')),
        ('rename in', BOTH, lambda: put('d/x'), lambda: os.rename('d/x', 'x')),
        ('rename EXCHANGE', BOTH, NOTHING, lambda: rename2('f', 'd', EXCHANGE)),
        ('write to a file in it', '', NOTHING, lambda: put('f', b'more')),
        ('chmod of a file in it', '', NOTHING, lambda: os.chmod('f', 0o600)),
        ('truncate of a file in it', '', NOTHING, lambda: os.truncate('f', 1)),
        ('listing it', '', NOTHING, lambda: os.listdir('.')),
        ('a change two levels below', '', NOTHING, lambda: os.mkdir('d/x')),
        ('mkdir that fails', '', NOTHING, lambda: gives('EEXIST', os.mkdir, 'd')),
        ('unlink that fails', '', NOTHING, lambda: gives('EISDIR', os.unlink, 'd')),
        ('rmdir that fails', '', NOTHING, lambda: gives('ENOTDIR', os.rmdir, 'f')),
        ('link that fails', '', NOTHING, lambda: gives('EEXIST', os.link, 'f', 'd')),
        ('symlink that fails', '', NOTHING, lambda: gives('EEXIST', os.symlink, 't', 'f')),
        ('rename that fails', '', NOTHING, lambda: gives('ENOTDIR', os.rename, 'd', 'f')),
        ('open that fails', '', NOTHING, lambda: gives('EEXIST', os.open, 'f', W | C | X)),
        ('rename onto itself', '', NOTHING, lambda: os.rename('f', 'f')),
        ('chmod of itself', 'ctime', NOTHING, lambda: os.chmod('.', 0o711))):
    row('times of the directory by ' + name, parent_times, fields, prepare, operation)
for name, prepare, operation in (
        ('rename in', NOTHING, lambda: os.rename('f', 'd/f')),
        ('rename out', lambda: put('d/x'), lambda: os.rename('d/x', 'x')),
        ('open CREAT', NOTHING, lambda: put('d/x')),
        ('link', NOTHING, lambda: os.link('f', 'd/x'))):
    row('times of the other directory by ' + name, parent_times, BOTH, prepare, operation, 'd')

@case('times of an open file without a name')
def _():
    put('x', b'contents')
    with opened('x', RW) as fd:
        moving(fd, 'ctime', lambda: os.unlink('x'))
        moving(fd, 'ctime', lambda: os.fchmod(fd, 0o600))
        moving(fd, 'ctime mtime', lambda: (os.write(fd, b'x'), os.fsync(fd)))
        utimens(None, T1, T2, 0, fd)
        same('mtime', T2[0] * 10**9 + T2[1], os.fstat(fd).st_mtime_ns)

@case('times of a file as it is made and written stay in order')
def _():
    with opened('x', RW | C | X) as fd:
        first = os.fstat(fd)
        tick()
        os.write(fd, b'x')
        second = os.fstat(fd)
        tick()
        os.fchmod(fd, 0o600)
        third = os.fstat(fd)
    last = os.stat('x')
    same('mtime moves by write', True, second.st_mtime_ns > first.st_mtime_ns)
    same('mtime stays by chmod', second.st_mtime_ns, third.st_mtime_ns)
    same('mtime stays by close', third.st_mtime_ns, last.st_mtime_ns)
    same('ctime moves', True, third.st_ctime_ns > second.st_ctime_ns > first.st_ctime_ns)
    same('ctime stays by close', third.st_ctime_ns, last.st_ctime_ns)

@case('what is seen by path and by descriptor is the same')
def _():
    with opened('x', RW | C | X) as fd:
        for change in (lambda: os.write(fd, b'x' * 5000), lambda: os.fchmod(fd, 0o600), lambda: os.ftruncate(fd, 10),
                       lambda: utimens('x', T1, T2), lambda: os.link('x', 'y'), lambda: os.rename('x', 'z')):
            change()
            by_path, by_descriptor = os.stat('z' if exists('z') else 'x'), os.fstat(fd)
            for field in ('st_ino', 'st_mode', 'st_nlink', 'st_uid', 'st_gid', 'st_size', 'st_mtime_ns', 'st_ctime_ns'):
                same(field, getattr(by_path, field), getattr(by_descriptor, field))
`;
