import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { homeAt, homeDirectory, homeFault, prepareHome } from '../../src/daemon/home.ts';
import { tryLockFile } from '../../src/sys/file-lock.ts';
import { temporaryFolder } from './temporary-home.ts';

const mode = (path: string) => statSync(path).mode & 0o7777;

describe('where the home is', () => {
  it('the flag wins over PEERFS_HOME, that over XDG_DATA_HOME, that over ~/.local/share', () => {
    const environment = { PEERFS_HOME: '/p', XDG_DATA_HOME: '/x' };
    assert.equal(homeDirectory('/f', environment), '/f');
    assert.equal(homeDirectory(undefined, environment), '/p');
    assert.equal(homeDirectory(undefined, { XDG_DATA_HOME: '/x' }), '/x/peerfs');
    assert.equal(homeDirectory(undefined, {}), join(homedir(), '.local/share/peerfs'));
  });

  it('an empty variable counts as none, a relative XDG_DATA_HOME too', () => {
    assert.equal(
      homeDirectory(undefined, { PEERFS_HOME: '', XDG_DATA_HOME: 'x' }),
      join(homedir(), '.local/share/peerfs'),
    );
  });
});

describe('making the home', () => {
  for (const umask of [0, 0o077, 0o777 & 0o022]) {
    it(`is 0700 under umask ${umask.toString(8)}, parents included in the making`, (t) => {
      const folder = temporaryFolder(t);
      const before = process.umask(umask);
      t.after(() => process.umask(before));
      prepareHome(join(folder, 'a/b'));
      assert.equal(mode(join(folder, 'a/b')), 0o700);
    });
  }

  it('an empty folder that others can enter is closed', (t) => {
    const home = join(temporaryFolder(t), 'home');
    mkdirSync(home);
    chmodSync(home, 0o755);
    prepareHome(home);
    assert.equal(mode(home), 0o700);
  });

  it('a folder with something in it that others can enter is refused and left alone', (t) => {
    const home = join(temporaryFolder(t), 'home');
    mkdirSync(home);
    writeFileSync(join(home, 'x'), '');
    chmodSync(home, 0o750);
    assert.throws(() => prepareHome(home), { code: 'HOME_INSECURE' });
    assert.equal(mode(home), 0o750);
    chmodSync(home, 0o700);
    assert.equal(homeFault(home), undefined);
    prepareHome(home);
  });

  it('a file in its place is refused', (t) => {
    const home = join(temporaryFolder(t), 'home');
    writeFileSync(home, '');
    assert.throws(() => prepareHome(home), { code: 'HOME_INSECURE' });
  });

  it('a link to the home is followed once, so that all agree on one lock', (t) => {
    const folder = temporaryFolder(t);
    prepareHome(join(folder, 'real'));
    symlinkSync('real', join(folder, 'link'));
    assert.equal(prepareHome(join(folder, 'link')).lockFile, homeAt(join(folder, 'real')).lockFile);
  });

  it('a place where no folder can be made is an error of the environment', () => {
    assert.throws(() => prepareHome('/dev/null/home'), { code: 'ENVIRONMENT' });
    assert.throws(() => prepareHome('/proc/self/fd/none/home'), { code: 'ENVIRONMENT' });
  });
});

describe('the lock of the home', () => {
  it('is had once at a time', (t) => {
    const file = join(temporaryFolder(t), 'lock');
    const lock = tryLockFile(file);
    assert.ok(lock);
    assert.equal(tryLockFile(file), undefined);
    lock.release();
    lock.release();
    const again = tryLockFile(file);
    assert.ok(again);
    again.release();
    assert.equal(mode(file), 0o600);
  });
});
