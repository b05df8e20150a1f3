/** Cases of who may do what, as part of POSIX_PROGRAM (posix-program.ts). */
export const RIGHTS_CASES = String.raw`
# --- permission bits of files: as the owner, as one of the group, as another

CLASSES = (('owner', USER, USER, 6), ('group', STRANGER, EXTRA, 3), ('other', STRANGER, STRANGER, 0))

def bits_of_file(shift, uid, gid, bits):
    # The two other classes are given the opposite: they must not count.
    mode = sum((bits if at == shift else bits ^ 7) << at for at in (0, 3, 6))
    with become(0):
        put('x', b'contents')
        os.chown('x', uid, gid)
        os.chmod('x', mode)
    may_read, may_write, may_execute = bits & 4, bits & 2, bits & 1
    for flags, may in ((R, may_read), (W, may_write), (RW, may_read and may_write), (W | A, may_write)):
        fd = gives('ok' if may else 'EACCES', os.open, 'x', flags)
        if fd is not None:
            os.close(fd)
    gives('ok' if may_write else 'EACCES', os.truncate, 'x', 4)
    gives('ok' if may_write else 'EACCES', lambda: os.close(os.open('x', W | T)))
    for wish, may in ((os.R_OK, may_read), (os.W_OK, may_write), (os.X_OK, may_execute), (os.F_OK, True)):
        same('access', bool(may), os.access('x', wish, effective_ids=True))
    gives('ok', os.stat, 'x')
    gives('ok' if may_read else 'EACCES', lambda: os.close(os.open('x', R | C)))

def bits_of_directory(shift, uid, gid, bits):
    mode = sum((bits if at == shift else bits ^ 7) << at for at in (0, 3, 6))
    with become(0):
        os.mkdir('d')
        put('d/old', b'old')
        os.chmod('d/old', 0o666)
        os.mkdir('d/sub')
        os.chown('d/sub', uid, gid)
        os.chown('d', uid, gid)
        os.chmod('d', mode)
    may_list, may_search, may_change = bits & 4, bits & 1, bits & 3 == 3
    gives('ok' if may_list else 'EACCES', os.listdir, 'd')
    for call in (lambda: os.stat('d/old'), lambda: get('d/old'), lambda: os.truncate('d/old', 1), lambda: os.stat('d/sub/..'),
                 lambda: os.lstat('d/sub')):
        gives('ok' if may_search else 'EACCES', call)
    gives('ENOENT' if may_search else 'EACCES', os.stat, 'd/absent')
    for call in (lambda: put('d/new'), lambda: os.mkdir('d/dir'), lambda: os.mkfifo('d/fifo'), lambda: os.symlink('t', 'd/link'),
                 lambda: os.rename('d/new', 'd/newer'), lambda: os.unlink('d/newer'), lambda: os.rmdir('d/dir'),
                 lambda: os.unlink('d/fifo'), lambda: os.rename('d/old', 'moved'), lambda: os.rename('moved', 'd/old')):
        came, _ = outcome(call)
        if may_change:
            same('a change', 'ok', came)
        elif came not in ('EACCES', 'ENOENT'):
            raise Mismatch('a change: expected EACCES, came ' + came)
    gives('ok' if may_change else 'EACCES', os.mkdir, 'd/again')

for name, uid, gid, shift in CLASSES:
    for bits in range(8):
        row('file with %o for its %s' % (bits, name), bits_of_file, shift, uid, gid, bits, who='user')
        row('directory with %o for its %s' % (bits, name), bits_of_directory, shift, uid, gid, bits, who='user')

def root_may(mode):
    put('x', b'x')
    os.mkdir('d')
    os.chown('x', USER, USER)
    os.chown('d', USER, USER)
    os.chmod('x', mode)
    os.chmod('d', mode)
    same('read', b'x', get('x'))
    put('x', b'y')
    put('d/x', b'z')
    same('listed', ['x'], os.listdir('d'))
    same('may execute', bool(mode & 0o111), os.access('x', os.X_OK))

for mode in (0, 0o100, 0o001, 0o400, 0o777):
    row('root with mode %03o' % mode, root_may, mode, who='root')

def below_closed(call):
    os.makedirs('d/s')
    put('d/s/x', b'x')
    put('y', b'y')
    os.chmod('d', 0o600)
    try:
        gives('EACCES', call)
    finally:
        os.chmod('d', 0o700)
    same('contents', b'x', get('d/s/x'))

for name, call in (('open', lambda: os.open('d/s/x', R)), ('stat', lambda: os.stat('d/s/x')), ('chmod', lambda: os.chmod('d/s/x', 0)),
                   ('chown', lambda: os.chown('d/s/x', -1, -1)), ('truncate', lambda: os.truncate('d/s/x', 0)),
                   ('utimensat', lambda: utimens('d/s/x', None, None)), ('unlink', lambda: os.unlink('d/s/x')),
                   ('rmdir', lambda: os.rmdir('d/s')), ('mkdir', lambda: os.mkdir('d/s/d')), ('link from', lambda: os.link('d/s/x', 'z')),
                   ('link to', lambda: os.link('y', 'd/s/z')), ('rename from', lambda: os.rename('d/s/x', 'z')),
                   ('rename to', lambda: os.rename('y', 'd/s/z')), ('symlink', lambda: os.symlink('t', 'd/s/z')),
                   ('readlink', lambda: os.readlink('d/s/x')), ('chdir', lambda: os.chdir('d/s')), ('mkfifo', lambda: os.mkfifo('d/s/p'))):
    row('%s below a directory that may not be searched' % name, below_closed, call, who='user')

@case('rights are those at the time of opening', 'user')
def _():
    put('x', b'contents')
    with opened('x', RW) as fd:
        os.chmod('x', 0)
        same('read', b'contents', os.read(fd, 100))
        os.pwrite(fd, b'C', 0)
        os.ftruncate(fd, 3)
    os.chmod('x', 0o600)
    same('contents', b'Con', get('x'))

@case('rights given by root count at once', 'user')
def _():
    with become(0):
        put('x', b'secret', 0o600)
    gives('EACCES', os.open, 'x', R)
    with become(0):
        os.chmod('x', 0o644)
    same('read', b'secret', get('x'))
    with become(0):
        os.chmod('x', 0o600)
    gives('EACCES', os.open, 'x', R)
    with become(0):
        os.chown('x', USER, USER)
    same('read', b'secret', get('x'))

@case('a file made by a user is his, also in a directory of root', 'user')
def _():
    with become(0):
        os.mkdir('d', 0o777)
        os.chmod('d', 0o777)
    put('d/f', b'x')
    os.mkdir('d/d')
    os.symlink('t', 'd/l')
    os.mkfifo('d/p')
    os.link('d/f', 'd/h')
    for name in 'fdlph':
        same('owner of ' + name, (USER, USER), (os.lstat('d/' + name).st_uid, os.lstat('d/' + name).st_gid))

# --- sticky directories

def sticky(directory_owner, file_owner, kind, call, want):
    with become(0):
        os.mkdir('s')
        if kind == 'dir':
            os.mkdir('s/x')
            os.chmod('s/x', 0o777)
        else:
            put('s/x', b'x', 0o666)
            os.chmod('s/x', 0o666)
        os.chown('s/x', file_owner, file_owner)
        os.chown('s', directory_owner, directory_owner)
        os.chmod('s', 0o1777)
    gives(want, call, kind)
    if want != 'ok':
        same('stands', True, exists('s/x'))

def replace(kind):
    (os.mkdir if kind == 'dir' else put)('mine')
    os.rename('mine', 's/x')

def swap(kind):
    put('mine')
    rename2('mine', 's/x', EXCHANGE)

for kind in ('file', 'dir'):
    for call_name, call in (('remove', lambda kind: (os.rmdir if kind == 'dir' else os.unlink)('s/x')),
                            ('rename', lambda kind: os.rename('s/x', 's/y')), ('move out', lambda kind: os.rename('s/x', 'y')),
                            ('replace', replace), ('exchange', swap)):
        for whose, directory_owner, file_owner, want in (('own', STRANGER, USER, 'ok'), ('foreign', STRANGER, STRANGER, 'EPERM'),
                                                         ("root's", 0, 0, 'EPERM'), ('foreign in an own directory', USER, STRANGER, 'ok')):
            if kind == 'dir' and call_name == 'move out' and file_owner != USER:
                want = want if want == 'EPERM' else 'ok'
            row('sticky: %s a %s %s' % (call_name, whose, kind), sticky, directory_owner, file_owner, kind, call, want, who='user')

@case('sticky: others may make, read and write what is in it', 'user')
def _():
    with become(0):
        os.mkdir('s')
        os.chmod('s', 0o1777)
        put('s/x', b'x')
        os.chmod('s/x', 0o666)
    put('s/mine', b'mine')
    put('s/x', b'changed')
    os.link('s/mine', 's/link')
    os.unlink('s/link')
    os.rename('s/mine', 's/mine2')
    same('contents', b'changed', get('s/x'))

@case('sticky: root may all', 'root')
def _():
    os.mkdir('s')
    os.chmod('s', 0o1777)
    put('s/x', b'x')
    os.chown('s/x', USER, USER)
    os.chown('s', USER, USER)
    os.rename('s/x', 's/y')
    os.unlink('s/y')

# --- who else may be refused

@case('a process with a umask of its own', 'user')
def _():
    os.umask(0o077)
    put('x', b'x', 0o666)
    os.mkdir('d', 0o777)
    with become(STRANGER):
        gives('EACCES', os.open, 'x', R)
        gives('EACCES', os.listdir, 'd')

@case('a group is one by any of its members', 'user')
def _():
    put('x', b'x', 0o640)
    os.chown('x', -1, EXTRA)
    with become(STRANGER, STRANGER, (EXTRA,)):
        same('read', b'x', get('x'))
        gives('EACCES', os.open, 'x', W)
    with become(STRANGER):
        gives('EACCES', os.open, 'x', R)

@case("renaming somebody else's directory to another parent needs write permission on it", 'user')
def _():
    with become(0):
        for name in 'ab':
            os.mkdir(name)
            os.chmod(name, 0o777)
        os.mkdir('a/d', 0o755)
    gives('EACCES', os.rename, 'a/d', 'b/d')
    gives('ok', os.rename, 'a/d', 'a/e')

@case('a directory without write permission keeps its names', 'user')
def _():
    os.mkdir('d')
    put('d/x', b'x')
    os.mkdir('d/s')
    os.chmod('d', 0o555)
    try:
        for call in (lambda: os.unlink('d/x'), lambda: os.rmdir('d/s'), lambda: os.rename('d/x', 'd/y'), lambda: os.rename('d/x', 'y'),
                     lambda: os.open('d/n', W | C), lambda: os.mkdir('d/n'), lambda: os.symlink('t', 'd/n'), lambda: os.mkfifo('d/n'),
                     lambda: os.link('d/x', 'd/n'), lambda: rename2('d/x', 'd/s', EXCHANGE)):
            gives('EACCES', call)
        put('d/x', b'written')
        os.chmod('d/x', 0o600)
        gives('EEXIST', os.mkdir, 'd/s')
        gives('EEXIST', os.open, 'd/x', W | C | X)
    finally:
        os.chmod('d', 0o755)

@case('user attributes need the right to the file', 'user')
def _():
    with become(0):
        put('x', b'x')
        os.setxattr('x', 'user.a', b'1')
        os.chmod('x', 0o644)
    same('read', b'1', os.getxattr('x', 'user.a'))
    gives('EACCES', os.setxattr, 'x', 'user.a', b'2')
    gives('EACCES', os.removexattr, 'x', 'user.a')
    with become(0):
        os.chmod('x', 0o600)
    gives('EACCES', os.getxattr, 'x', 'user.a')
`;
