import assert from 'node:assert/strict';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fromText, type ByteString } from '../../src/bytestring.ts';
import { codeOf } from '../../src/errors.ts';
import * as data from '../../src/sys/file-data.ts';
import * as files from '../../src/sys/files.ts';
import { setFileLock, setRangeLock, testRangeLock } from '../../src/sys/kernel-locks.ts';
import * as xattrs from '../../src/sys/xattrs.ts';

const b = fromText;
const BENEATH = files.RESOLVE.BENEATH | files.RESOLVE.NO_SYMLINKS | files.RESOLVE.NO_MAGICLINKS;

describe('system calls on files', () => {
  let folder: string;
  let root: number;
  before(() => {
    folder = fs.mkdtempSync(path.join(tmpdir(), 'peerfs-sys-'));
    root = files.openAt(files.AT_FDCWD, b(folder), files.O.PATH | files.O.DIRECTORY);
    fs.mkdirSync(path.join(folder, 'a/b'), { recursive: true });
    fs.writeFileSync(path.join(folder, 'a/b/f'), 'hello');
    fs.symlinkSync('/etc', path.join(folder, 'escape'));
  });
  after(() => {
    files.closeDescriptor(root);
    fs.rmSync(folder, { recursive: true });
  });

  const throws = (code: string, action: () => unknown) => assert.throws(action, (error) => codeOf(error) === code);

  function withFile<T>(use: (descriptor: number) => T, flags: number = files.O.RDWR): T {
    const descriptor = files.openBeneath(root, 'a/b/f', flags, 0, BENEATH);
    try {
      return use(descriptor);
    } finally {
      files.closeDescriptor(descriptor);
    }
  }

  test('openBeneath stays below the directory', () => {
    assert.equal(
      withFile((descriptor) => files.statDescriptor(descriptor).size),
      5,
    );
    throws('EXDEV', () => files.openBeneath(root, '../x', files.O.PATH, 0, BENEATH));
    throws('EXDEV', () => files.openBeneath(root, '/etc/passwd', files.O.PATH, 0, BENEATH));
    throws('ELOOP', () => files.openBeneath(root, 'escape/passwd', files.O.RDONLY, 0, BENEATH));
    throws('ENOENT', () => files.openBeneath(root, 'none', files.O.PATH, 0, BENEATH));
    throws('ENAMETOOLONG', () => files.openBeneath(root, 'x'.repeat(5000), files.O.PATH, 0, BENEATH));
  });

  test('statx agrees with Node to the nanosecond', () => {
    const own = files.statAt(root, b('a'));
    const node = fs.statSync(path.join(folder, 'a'), { bigint: true });
    assert.equal(own.inode, node.ino);
    assert.equal(BigInt(own.mode), node.mode);
    assert.equal(BigInt(own.nlink), node.nlink);
    assert.equal(BigInt(own.size), node.size);
    assert.equal(BigInt(own.blocks), node.blocks);
    assert.equal(BigInt(own.mtimeSec) * 1_000_000_000n + BigInt(own.mtimeNsec), node.mtimeNs);
    assert.equal(BigInt(own.ctimeSec) * 1_000_000_000n + BigInt(own.ctimeNsec), node.ctimeNs);
    assert.equal(BigInt(own.atimeSec) * 1_000_000_000n + BigInt(own.atimeNsec), node.atimeNs);
  });

  test('times before 1970 and after 2038 are kept', () => {
    withFile((descriptor) => {
      files.changeTimes(descriptor, { sec: -1_000_000_000, nsec: 999_999_999 }, { sec: 5_000_000_000, nsec: 1 });
      const { atimeSec, atimeNsec, mtimeSec, mtimeNsec } = files.statDescriptor(descriptor);
      assert.deepEqual([atimeSec, atimeNsec, mtimeSec, mtimeNsec], [-1_000_000_000, 999_999_999, 5_000_000_000, 1]);
    }, files.O.PATH);
  });

  test('names are bytes', () => {
    const name = '\xff\x01\n' as ByteString;
    files.makeNode(root, name, 0o100644);
    assert.ok(fs.readdirSync(folder, 'latin1').includes(name));
    files.renameName(root, name, root, b('ü'), 0);
    assert.ok(fs.readdirSync(folder).includes('ü'));
    files.makeSymlink(root, b('l'), name);
    assert.equal(Buffer.from(files.readLink(root, b('l'))).toString('latin1'), name);
    files.removeName(root, b('l'), false);
    files.removeName(root, b('ü'), false);
  });

  test('sizes and positions have more than 32 bits', async () => {
    const far = 2 ** 40 + 7;
    await withFile(async (descriptor) => {
      assert.equal(files.versionOf(descriptor).size, 5);
    });
    const descriptor = files.openBeneath(root, 'a/b/f', files.O.RDWR, 0, BENEATH);
    data.setSize(descriptor, far);
    assert.equal(files.versionOf(descriptor).size, far);
    fs.writeSync(descriptor, 'data', 2 ** 39);
    assert.equal(data.seek(descriptor, 10_000, data.WHENCE.DATA), 2 ** 39);
    assert.equal(await data.copyRange(descriptor, 2 ** 39, descriptor, 2 ** 33, 4), 4);
    const bytes = Buffer.alloc(4);
    assert.equal(data.readAt(descriptor, bytes, 2 ** 33), 4);
    assert.equal(bytes.toString(), 'data');
    throws('ENXIO', () => data.seek(descriptor, far, data.WHENCE.DATA));
    data.setSize(descriptor, 5);
    files.closeDescriptor(descriptor);
    await assert.rejects(data.copyRange(-1, 0, -1, 0, 1), (error) => codeOf(error) === 'EBADF');
  });

  test('a listing is taken up where it was left', () => {
    const many = fs.mkdtempSync(path.join(folder, 'many-'));
    for (let i = 0; i < 3000; i++) fs.writeFileSync(path.join(many, `file-${i}`), '');
    const descriptor = files.openAt(files.AT_FDCWD, b(many), files.O.RDONLY | files.O.DIRECTORY);
    const all: data.DirectoryRow[] = [];
    for (let rows = data.readRows(descriptor); rows !== undefined; rows = data.readRows(descriptor)) all.push(...rows);
    assert.equal(new Set(all.map(({ name }) => name)).size, 3000);
    data.seekRows(descriptor, all[1499]?.cursor ?? 0n);
    assert.equal(data.readRows(descriptor)?.[0]?.name, all[1500]?.name);
    files.closeDescriptor(descriptor);
  });

  test('extended attributes work on descriptors of four digits and O_PATH ones', () => {
    const taken: number[] = [];
    while ((taken.at(-1) ?? 0) < 1000) taken.push(fs.openSync('/dev/null', 'r'));
    withFile((descriptor) => {
      assert.ok(descriptor >= 1000);
      assert.equal(xattrs.mayHaveXattrs(descriptor), false);
      xattrs.setXattr(descriptor, b('user.ü'), Buffer.from('value'), 0);
      assert.equal(xattrs.mayHaveXattrs(descriptor), true);
      assert.deepEqual(xattrs.listXattrs(descriptor), [b('user.ü')]);
      assert.equal(Buffer.from(xattrs.getXattr(descriptor, b('user.ü'))).toString(), 'value');
      throws('ERANGE', () => xattrs.setXattr(descriptor, b(`user.${'x'.repeat(252)}`), Buffer.alloc(1), 0));
      xattrs.removeXattr(descriptor, b('user.ü'));
      throws('ENODATA', () => xattrs.getXattr(descriptor, b('user.ü')));
    }, files.O.PATH);
    taken.forEach((descriptor) => fs.closeSync(descriptor));
  });

  test('locks of two open files conflict, also in one process', () => {
    withFile((one) =>
      withFile((two) => {
        assert.equal(setRangeLock(one, 1, 0n, 9n), true);
        assert.equal(setRangeLock(two, 0, 9n, 20n), false);
        assert.deepEqual(testRangeLock(two, 1, 0n, 100n), { type: 1, start: 0n, end: 9n, pid: 0 });
        assert.equal(setRangeLock(two, 1, 10n, 2n ** 63n - 1n), true);
        assert.equal(testRangeLock(one, 1, 10n, 11n)?.end, 2n ** 63n - 1n);
        assert.equal(setFileLock(one, 0), true);
        assert.equal(setFileLock(two, 0), true);
        assert.equal(setFileLock(two, 1), false);
      }),
    );
  });
});
