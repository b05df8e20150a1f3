/**
 * What every Tree must do, whatever stands behind it: run for the tree in memory, over a local folder, and over the
 * wire. A tree with a documented limit names it in `exceptions`.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { fromText, join, toBytes, type ByteString } from '../../src/bytestring.ts';
import { codeOf, type ErrorCode } from '../../src/errors.ts';
import type { Handle, LockRequest, OpenedFile, Tree } from '../../src/fs/tree.ts';
import { FALLOCATE, LOCK_KIND, LOCK_TYPE, OPEN, RENAME, SEEK, XATTR } from '../../src/wire/schema.ts';

export interface ContractTree {
  readonly tree: Tree;
  /** The same files through a tree that may not change them, if there is one. */
  readonly readOnly?: Tree;
  close(): Promise<void>;
}

export interface ContractSubject {
  /** An empty tree. */
  create(): Promise<ContractTree>;
  /** Entries of the large directory; default 2,000. */
  readonly manyEntries?: number;
  readonly exceptions?: {
    /** The file system below has no user.* attributes. */
    readonly xattrs?: boolean;
    /** No holes, fallocate or copyRange. */
    readonly ranges?: boolean;
    readonly fifo?: boolean;
    /** How far times may be cut, nanoseconds; default 1 (none). */
    readonly timeUnit?: number;
  };
}

const OWNER = { uid: 0, gid: 0 };
const READ_WRITE = OPEN.read | OPEN.write;
const S_IFMT = 0o170000;
const KIB = 1024;
const GIB = 1024 ** 3;

export const p = (path: string) => fromText(path);
const text = (value: string) => Buffer.from(value);

export async function fails(promise: Promise<unknown>, ...codes: ErrorCode[]): Promise<void> {
  let outcome: string = 'no error';
  try {
    await promise;
  } catch (error) {
    outcome = codeOf(error);
  }
  assert.ok(codes.includes(outcome as ErrorCode), `expected ${codes.join(' or ')}, got ${outcome}`);
}

export function openFile(
  tree: Tree,
  path: ByteString,
  flags: number,
  wantBytes = 0,
  permissions = 0o644,
): Promise<OpenedFile> {
  return tree.open(path, { ...OWNER, flags, permissions, wantBytes });
}

export async function writeFile(tree: Tree, path: ByteString, bytes: Uint8Array): Promise<void> {
  const { handle } = await openFile(tree, path, OPEN.write | OPEN.create | OPEN.truncate);
  if (bytes.length > 0) await tree.write(handle, 0, bytes);
  await tree.flush(handle, 1n);
  await tree.release(handle);
}

export async function readFile(tree: Tree, path: ByteString): Promise<Buffer> {
  const { handle, attributes } = await openFile(tree, path, OPEN.read);
  const pieces: Uint8Array[] = [];
  for (let at = 0; at < attributes.size; at += 128 * KIB) pieces.push(await tree.read(handle, at, 128 * KIB));
  await tree.release(handle);
  return Buffer.concat(pieces);
}

/** All names of a directory, with listings of at most `page` entries. */
export async function list(tree: Tree, path: ByteString, page = 100): Promise<ByteString[]> {
  const handle = await tree.openDirectory(path);
  const names: ByteString[] = [];
  let cursor = 0n;
  for (let end = false; !end;) {
    const listing = await tree.readDirectory(handle, cursor, page);
    end = listing.end;
    for (const entry of listing.entries) {
      names.push(entry.name);
      cursor = entry.cursor;
    }
    assert.ok(end || listing.entries.length > 0, 'an empty listing that is not the last');
  }
  await tree.release(handle);
  return names;
}

export function treeContract(name: string, subject: ContractSubject): void {
  const { exceptions = {}, manyEntries = 2000 } = subject;

  describe(`${name}: Tree`, () => {
    let made: ContractTree;
    let tree: Tree;
    before(async () => {
      made = await subject.create();
      tree = made.tree;
    });
    after(() => made.close());

    /** A directory of its own for each test. */
    let next = 0;
    async function directory(): Promise<ByteString> {
      const path = p(`t${next++}`);
      await tree.mkdir(path, 0o755, OWNER);
      return path;
    }

    test('a file keeps its bytes', async () => {
      const f = join(await directory(), p('f'));
      const bytes = Buffer.alloc(300 * KIB, 'peerfs ');
      await writeFile(tree, f, bytes);
      assert.deepEqual(await readFile(tree, f), bytes);
      assert.equal((await tree.getattr(f, 0)).size, bytes.length);
    });

    test('reading stops at the end of the file', async () => {
      const f = join(await directory(), p('f'));
      await writeFile(tree, f, text('hello'));
      const { handle } = await openFile(tree, f, OPEN.read);
      assert.equal(Buffer.from(await tree.read(handle, 3, 100)).toString(), 'lo');
      assert.equal((await tree.read(handle, 5, 100)).length, 0);
      assert.equal((await tree.read(handle, 5000, 100)).length, 0);
      await tree.release(handle);
    });

    test('open gives attributes and at most as much of the beginning as wanted', async () => {
      const f = join(await directory(), p('f'));
      await writeFile(tree, f, text('hello world'));
      const opened = await openFile(tree, f, OPEN.read, 5);
      assert.equal(opened.created, false);
      assert.equal(opened.attributes.size, 11);
      assert.ok('hello'.startsWith(Buffer.from(opened.firstBytes).toString()));
      await tree.release(opened.handle);
    });

    test('errors of missing and wrong things', async () => {
      const d = await directory();
      const f = join(d, p('f'));
      await writeFile(tree, f, text('x'));
      await tree.symlink(join(d, p('l')), text('f'), OWNER);
      const none = join(d, p('none'));
      await fails(tree.getattr(none, 0), 'ENOENT');
      await fails(tree.getattr(join(none, p('x')), 0), 'ENOENT');
      await fails(tree.getattr(join(f, p('x')), 0), 'ENOTDIR');
      await fails(tree.getattr(join(join(d, p('l')), p('x')), 0), 'ELOOP', 'ENOTDIR');
      await fails(tree.setattr(none, 0, { mode: 0o600 }), 'ENOENT');
      await fails(openFile(tree, none, OPEN.read), 'ENOENT');
      await fails(openFile(tree, d, OPEN.read), 'EISDIR');
      await fails(openFile(tree, join(d, p('l')), OPEN.read), 'ELOOP');
      await fails(openFile(tree, f, OPEN.write | OPEN.create | OPEN.exclusive), 'EEXIST');
      await fails(tree.openDirectory(f), 'ENOTDIR');
      await fails(tree.openDirectory(none), 'ENOENT');
      await fails(tree.openDirectory(join(d, p('l'))), 'ELOOP', 'ENOTDIR');
      await fails(tree.mkdir(f, 0o755, OWNER), 'EEXIST');
      await fails(tree.mkdir(join(none, p('x')), 0o755, OWNER), 'ENOENT');
      await fails(tree.mknod(f, 0o644, OWNER, false), 'EEXIST');
      await fails(tree.symlink(f, text('x'), OWNER), 'EEXIST');
      await fails(tree.unlink(none), 'ENOENT');
      await fails(tree.unlink(d), 'EISDIR', 'EPERM');
      await fails(tree.rmdir(f), 'ENOTDIR');
      await fails(tree.rmdir(d), 'ENOTEMPTY');
      await fails(tree.rmdir(none), 'ENOENT');
      await fails(tree.readlink(f), 'EINVAL');
      await fails(tree.rename(none, f, 0), 'ENOENT');
      await fails(tree.link(none, 0, join(d, p('y'))), 'ENOENT');
      await fails(tree.link(f, 0, f), 'EEXIST');
      await fails(tree.link(d, 0, join(d, p('y'))), 'EPERM');
      await fails(tree.setattr(d, 0, { size: 0 }), 'EISDIR', 'EINVAL');
    });

    test('handles that are not open are refused', async () => {
      const never = 4_000_000_000;
      await fails(tree.read(never, 0, 1), 'EBADF', 'ESTALE');
      await fails(tree.write(never, 0, text('x')), 'EBADF', 'ESTALE');
      await fails(tree.readDirectory(never, 0n, 1), 'EBADF', 'ESTALE');
      await tree.release(never);
      const f = join(await directory(), p('f'));
      await writeFile(tree, f, text('x'));
      const reading = await openFile(tree, f, OPEN.read);
      await fails(tree.write(reading.handle, 0, text('x')), 'EBADF');
      await tree.release(reading.handle);
      const writing = await openFile(tree, f, OPEN.write);
      await fails(tree.read(writing.handle, 0, 1), 'EBADF');
      await tree.release(writing.handle);
    });

    test('the root is a directory that can be neither made, removed nor renamed', async () => {
      const d = await directory();
      const root = await tree.getattr(p(''), 0);
      assert.equal(root.mode & S_IFMT, 0o040000);
      await fails(tree.mkdir(p(''), 0o755, OWNER), 'EEXIST');
      await fails(tree.rmdir(p('')), 'EBUSY');
      await fails(tree.unlink(p('')), 'EISDIR', 'EPERM', 'EBUSY');
      await fails(tree.rename(p(''), join(d, p('x')), 0), 'EBUSY');
      await fails(tree.rename(d, p(''), 0), 'EBUSY');
      assert.ok((await list(tree, p(''))).includes(d));
    });

    test('any legal name survives', async () => {
      const d = await directory();
      const names = [
        p('plain'),
        p('with space'),
        p('ünïcödé 文件 🙂'),
        p('a\nb\tc\x01'),
        p('-rf'),
        p('back\\slash'),
        p('...'),
        p('~'),
        p('x'.repeat(255)),
        '\xff\xfe\x80' as ByteString,
        '\xff'.repeat(255) as ByteString,
      ];
      for (const name of names) await writeFile(tree, join(d, name), toBytes(name));
      assert.deepEqual((await list(tree, d)).sort(), [...names].sort());
      for (const name of names) assert.deepEqual(await readFile(tree, join(d, name)), toBytes(name));
      for (const name of names) await tree.rename(join(d, name), join(d, p('moved')), 0);
      assert.deepEqual(await list(tree, d), [p('moved')]);
    });

    test('names of more than 255 bytes are refused', async () => {
      const d = await directory();
      const long = join(d, p('x'.repeat(256)));
      await fails(tree.getattr(long, 0), 'ENAMETOOLONG', 'EINVAL', 'PROTOCOL');
      await fails(tree.mkdir(long, 0o755, OWNER), 'ENAMETOOLONG', 'EINVAL', 'PROTOCOL');
    });

    test('a new file has the permissions asked for, without set-id bits', async () => {
      const d = await directory();
      const opened = await openFile(tree, join(d, p('f')), READ_WRITE | OPEN.create, 0, 0o4666);
      assert.equal(opened.created, true);
      assert.equal(opened.attributes.mode & 0o7777, 0o666);
      await tree.release(opened.handle);
      assert.equal((await tree.mkdir(join(d, p('d')), 0o1777, OWNER)).mode & 0o7777, 0o1777);
      assert.equal((await tree.mknod(join(d, p('n')), 0o600, OWNER, false)).mode, 0o100600);
      assert.equal((await tree.setattr(join(d, p('n')), 0, { mode: 0o6751 })).mode & 0o7777, 0o751);
      const readOnlyFile = await openFile(tree, join(d, p('ro')), OPEN.write | OPEN.create, 0, 0o444);
      await tree.write(readOnlyFile.handle, 0, text('writable by its creator'));
      await tree.release(readOnlyFile.handle);
    });

    test('a FIFO can be made and is not opened', { timeout: 10_000 }, async () => {
      if (exceptions.fifo === true) return;
      const f = join(await directory(), p('fifo'));
      assert.equal((await tree.mknod(f, 0o644, OWNER, true)).mode & S_IFMT, 0o010000);
      await fails(openFile(tree, f, OPEN.read), 'ENXIO', 'EPERM');
      await fails(openFile(tree, f, READ_WRITE), 'ENXIO', 'EPERM');
      await tree.unlink(f);
    });

    test('links keep their target and are not followed', async () => {
      const d = await directory();
      const l = join(d, p('l'));
      const target = Buffer.from('../\xff/no where', 'latin1');
      const attributes = await tree.symlink(l, target, OWNER);
      assert.equal(attributes.mode & S_IFMT, 0o120000);
      assert.deepEqual(Buffer.from(await tree.readlink(l)), target);
      assert.equal((await tree.getattr(l, 0)).size, target.length);
      await tree.setattr(l, 0, { mtime: { sec: 5, nsec: 6 } });
      assert.equal((await tree.getattr(l, 0)).mtimeSec, 5);
      await tree.unlink(l);
      assert.deepEqual(await list(tree, d), []);
    });

    test('hard links share one inode', async () => {
      const d = await directory();
      const [a, b, c] = [join(d, p('a')), join(d, p('b')), join(d, p('c'))];
      await writeFile(tree, a, text('one'));
      const linked = await tree.link(a, 0, b);
      assert.equal(linked.nlink, 2);
      const { handle } = await openFile(tree, b, READ_WRITE);
      assert.equal((await tree.link(a, handle, c)).nlink, 3);
      await tree.write(handle, 0, text('two'));
      await tree.release(handle);
      assert.equal((await readFile(tree, a)).toString(), 'two');
      assert.equal((await tree.getattr(a, 0)).inode, (await tree.getattr(c, 0)).inode);
      await tree.unlink(a);
      assert.equal((await tree.getattr(b, 0)).nlink, 2);
      await tree.rename(b, c, 0);
      assert.deepEqual((await list(tree, d)).sort(), [p('b'), p('c')]);
    });

    test('an unlinked file lives as long as its handle', async () => {
      const f = join(await directory(), p('f'));
      await writeFile(tree, f, text('alive'));
      const { handle } = await openFile(tree, f, READ_WRITE);
      await tree.unlink(f);
      await fails(tree.getattr(f, 0), 'ENOENT');
      assert.equal((await tree.getattr(f, handle)).nlink, 0);
      assert.equal(Buffer.from(await tree.read(handle, 0, 10)).toString(), 'alive');
      assert.equal((await tree.write(handle, 5, text('!'))).size, 6);
      assert.equal((await tree.setattr(f, handle, { size: 2, mode: 0o600 })).size, 2);
      await tree.release(handle);
    });

    test('rename replaces what stands there, also while it is open', async () => {
      const d = await directory();
      const [a, b] = [join(d, p('a')), join(d, p('b'))];
      await writeFile(tree, a, text('new'));
      await writeFile(tree, b, text('old'));
      const { handle } = await openFile(tree, b, OPEN.read);
      await tree.rename(a, b, 0);
      assert.equal(Buffer.from(await tree.read(handle, 0, 10)).toString(), 'old');
      assert.equal((await readFile(tree, b)).toString(), 'new');
      assert.deepEqual(await list(tree, d), [p('b')]);
      await tree.release(handle);
    });

    test('rename obeys its flags and the kinds of files', async () => {
      const d = await directory();
      const [a, b, sub] = [join(d, p('a')), join(d, p('b')), join(d, p('sub'))];
      await writeFile(tree, a, text('A'));
      await writeFile(tree, b, text('B'));
      await tree.mkdir(sub, 0o755, OWNER);
      await tree.mkdir(join(sub, p('in')), 0o755, OWNER);
      await fails(tree.rename(a, b, RENAME.noReplace), 'EEXIST');
      await tree.rename(a, b, RENAME.exchange);
      assert.equal((await readFile(tree, a)).toString(), 'B');
      await fails(tree.rename(a, join(d, p('none')), RENAME.exchange), 'ENOENT');
      await fails(tree.rename(a, b, RENAME.exchange | RENAME.noReplace), 'EINVAL');
      await fails(tree.rename(sub, join(sub, p('x')), 0), 'EINVAL');
      await fails(tree.rename(a, sub, 0), 'EISDIR');
      await fails(tree.rename(sub, a, 0), 'ENOTDIR');
      await tree.mkdir(join(d, p('empty')), 0o755, OWNER);
      await fails(tree.rename(join(d, p('empty')), sub, 0), 'ENOTEMPTY', 'EEXIST');
      await tree.rename(sub, join(d, p('empty')), 0);
      await tree.rename(a, join(d, p('c')), RENAME.noReplace);
      assert.deepEqual((await list(tree, d)).sort(), [p('b'), p('c'), p('empty')]);
      assert.deepEqual(await list(tree, join(d, p('empty'))), [p('in')]);
    });

    test('creating exclusively has one winner', async () => {
      const f = join(await directory(), p('f'));
      const flags = OPEN.write | OPEN.create | OPEN.exclusive;
      const results = await Promise.allSettled(Array.from({ length: 8 }, () => openFile(tree, f, flags)));
      const won = results.filter((result) => result.status === 'fulfilled');
      assert.equal(won.length, 1);
      for (const { value } of won) await tree.release(value.handle);
    });

    test('truncating open, setattr of the size, writing behind the end', async () => {
      const f = join(await directory(), p('f'));
      await writeFile(tree, f, text('0123456789'));
      assert.equal((await tree.setattr(f, 0, { size: 4 })).size, 4);
      const opened = await openFile(tree, f, READ_WRITE);
      const written = await tree.write(opened.handle, 6, text('67'));
      assert.deepEqual([written.size, written.end], [8, 8]);
      assert.deepEqual(Buffer.from(await tree.read(opened.handle, 0, 100)), text('0123\0\x0067'));
      const again = await openFile(tree, f, OPEN.write | OPEN.truncate);
      assert.equal(again.attributes.size, 0);
      assert.equal((await tree.getattr(f, opened.handle)).size, 0);
      await tree.release(opened.handle);
      await tree.release(again.handle);
    });

    test('appends of two handles follow each other', async () => {
      const f = join(await directory(), p('f'));
      const flags = OPEN.write | OPEN.append | OPEN.create;
      const a = await openFile(tree, f, flags);
      const b = await openFile(tree, f, flags);
      const lines: Promise<{ end: number }>[] = [];
      for (let i = 0; i < 50; i++) {
        lines.push(tree.write(a.handle, 0, text(`a${String(i).padStart(7, '0')}\n`)));
        lines.push(tree.write(b.handle, 0, text(`b${String(i).padStart(7, '0')}\n`)));
      }
      const ends = (await Promise.all(lines)).map(({ end }) => end);
      assert.equal(Math.max(...ends), 900);
      assert.equal(new Set(ends).size, 100);
      await tree.release(a.handle);
      await tree.release(b.handle);
      const written = (await readFile(tree, f)).toString().trimEnd().split('\n');
      assert.equal(written.length, 100);
      for (const own of ['a', 'b']) {
        const mine = written.filter((line) => line.startsWith(own));
        assert.deepEqual(mine, [...mine].sort());
      }
    });

    test('sizes and offsets have 64 bits, and holes stay holes', async () => {
      const f = join(await directory(), p('sparse'));
      const { handle } = await openFile(tree, f, READ_WRITE | OPEN.create);
      const far = 5 * GIB + 123;
      const written = await tree.write(handle, far, text('end'));
      assert.deepEqual([written.size, written.end], [far + 3, far + 3]);
      assert.equal(Buffer.from(await tree.read(handle, far, 10)).toString(), 'end');
      assert.ok((await tree.read(handle, 4 * GIB, 4096)).every((byte) => byte === 0));
      const attributes = await tree.getattr(f, 0);
      assert.equal(attributes.size, far + 3);
      if (exceptions.ranges !== true) {
        assert.ok(attributes.blocks < 1000);
        assert.equal(await tree.seek(handle, 0, SEEK.hole), 0);
        const data = await tree.seek(handle, 0, SEEK.data);
        assert.ok(data <= far && data > 4 * GIB);
        await fails(tree.seek(handle, far + 3, SEEK.data), 'ENXIO');
      }
      await tree.setattr(f, handle, { size: 6 * GIB });
      assert.equal((await tree.getattr(f, 0)).size, 6 * GIB);
      await tree.release(handle);
      await tree.unlink(f);
    });

    test('fallocate makes room and holes', async () => {
      if (exceptions.ranges === true) return;
      const f = join(await directory(), p('f'));
      await writeFile(tree, f, Buffer.alloc(64 * KIB, 1));
      const { handle } = await openFile(tree, f, READ_WRITE);
      await tree.fallocate(handle, FALLOCATE.punchHole | FALLOCATE.keepSize, 16 * KIB, 16 * KIB);
      assert.ok((await tree.read(handle, 16 * KIB, 16 * KIB)).every((byte) => byte === 0));
      assert.equal((await tree.read(handle, 32 * KIB, 1))[0], 1);
      await tree.fallocate(handle, FALLOCATE.keepSize, 0, 128 * KIB);
      assert.equal((await tree.getattr(f, 0)).size, 64 * KIB);
      await tree.fallocate(handle, 0, 0, 128 * KIB);
      assert.equal((await tree.getattr(f, 0)).size, 128 * KIB);
      await tree.release(handle);
    });

    test('copyRange copies within the tree', async () => {
      if (exceptions.ranges === true) return;
      const d = await directory();
      const bytes = Buffer.from(Array.from({ length: 100_000 }, (_, i) => i % 251));
      await writeFile(tree, join(d, p('a')), bytes);
      const a = await openFile(tree, join(d, p('a')), OPEN.read);
      const b = await openFile(tree, join(d, p('b')), READ_WRITE | OPEN.create);
      let done = 0;
      while (done < 90_000) {
        const copied = await tree.copyRange(a.handle, 10_000 + done, b.handle, done, 90_000 - done);
        assert.ok(copied > 0);
        done += copied;
      }
      assert.equal(await tree.copyRange(a.handle, 100_000, b.handle, 0, 10), 0);
      await tree.release(a.handle);
      await tree.release(b.handle);
      assert.deepEqual(await readFile(tree, join(d, p('b'))), bytes.subarray(10_000));
    });

    test('times are kept to the nanosecond, and what is not given stays', async () => {
      const f = join(await directory(), p('f'));
      await writeFile(tree, f, text('x'));
      const unit = exceptions.timeUnit ?? 1;
      const cut = (nsec: number) => nsec - (nsec % unit);
      const set = await tree.setattr(f, 0, {
        atime: { sec: 1_000_000_000, nsec: 123_456_789 },
        mtime: { sec: 4_000_000_000, nsec: 987_654_321 },
      });
      assert.deepEqual([set.atimeSec, cut(set.atimeNsec)], [1_000_000_000, cut(123_456_789)]);
      assert.deepEqual([set.mtimeSec, cut(set.mtimeNsec)], [4_000_000_000, cut(987_654_321)]);
      const only = await tree.setattr(f, 0, { mtime: { sec: -5, nsec: 1 } });
      assert.deepEqual([only.atimeSec, only.mtimeSec], [1_000_000_000, -5]);
      const now = await tree.setattr(f, 0, { atime: 'now' });
      assert.ok(now.atimeSec > 1_000_000_000);
      assert.equal(now.mtimeSec, -5);
    });

    test('changes move the times of the file and of its directory', async () => {
      const d = await directory();
      const f = join(d, p('f'));
      const past = { sec: 1000, nsec: 0 };
      await tree.setattr(d, 0, { mtime: past });
      await writeFile(tree, f, text('x'));
      assert.ok((await tree.getattr(d, 0)).mtimeSec > 1000);
      await tree.setattr(f, 0, { mtime: past });
      await writeFile(tree, f, text('y'));
      assert.ok((await tree.getattr(f, 0)).mtimeSec > 1000);
    });

    test('directories count their subdirectories and list what they hold', async () => {
      const d = await directory();
      await tree.mkdir(join(d, p('a')), 0o755, OWNER);
      await tree.mkdir(join(d, p('b')), 0o755, OWNER);
      await writeFile(tree, join(d, p('c')), text('123'));
      assert.equal((await tree.getattr(d, 0)).nlink, 4);
      const handle = await tree.openDirectory(d);
      const { entries, end } = await tree.readDirectory(handle, 0n, 100);
      assert.equal(end, true);
      assert.equal(entries.find((entry) => entry.name === p('c'))?.attributes.size, 3);
      await tree.release(handle);
      await tree.rmdir(join(d, p('a')));
      assert.equal((await tree.getattr(d, 0)).nlink, 3);
    });

    test('a listing can be taken up at any cursor', async () => {
      const d = await directory();
      for (let i = 0; i < 40; i++) await tree.mknod(join(d, p(`f${i}`)), 0o644, OWNER, false);
      const handle = await tree.openDirectory(d);
      const all = (await tree.readDirectory(handle, 0n, 100)).entries;
      const middle = all[19];
      assert.ok(middle !== undefined);
      const rest = (await tree.readDirectory(handle, middle.cursor, 100)).entries;
      assert.deepEqual(
        rest.map(({ name }) => name),
        all.slice(20).map(({ name }) => name),
      );
      assert.equal((await tree.readDirectory(handle, 0n, 7)).entries.length, 7);
      await tree.release(handle);
    });

    test('a listing that is begun again has what was made since, and none of a directory that was removed', async () => {
      const d = await directory();
      await tree.mkdir(join(d, p('a')), 0o755, OWNER);
      const handle = await tree.openDirectory(d);
      const names = async () => (await tree.readDirectory(handle, 0n, 100)).entries.map(({ name }) => name).sort();
      assert.deepEqual(await names(), [p('a')]);
      await tree.mkdir(join(d, p('b')), 0o755, OWNER);
      assert.deepEqual(await names(), [p('a'), p('b')]);
      await tree.rename(d, p('elsewhere'), 0);
      await tree.rmdir(p('elsewhere/a'));
      assert.deepEqual(await names(), [p('b')]);
      await tree.rmdir(p('elsewhere/b'));
      await tree.rmdir(p('elsewhere'));
      // Linux has getdents64 fail, which readdir(3) takes for the end.
      const left = await names().catch((error: unknown) => codeOf(error));
      assert.ok(left === 'ENOENT' || left.length === 0, String(left));
      await tree.release(handle);
    });

    test(`a directory of ${manyEntries} entries is listed whole`, async () => {
      const d = await directory();
      const wanted = Array.from({ length: manyEntries }, (_, i) => p(`entry-${i}`));
      for (let i = 0; i < manyEntries; i += 200) {
        await Promise.all(wanted.slice(i, i + 200).map((name) => tree.mknod(join(d, name), 0o644, OWNER, false)));
      }
      const names = await list(tree, d, 1000);
      assert.equal(names.length, manyEntries);
      assert.equal(new Set(names).size, manyEntries);
    });

    test('extended attributes of users', async () => {
      if (exceptions.xattrs === true) return;
      const f = join(await directory(), p('f'));
      await writeFile(tree, f, text('x'));
      const value = Buffer.from([0, 1, 2, 255]);
      await tree.setxattr(f, p('user.a'), value, 0);
      assert.deepEqual(Buffer.from(await tree.getxattr(f, p('user.a'))), value);
      await fails(tree.setxattr(f, p('user.a'), value, XATTR.create), 'EEXIST');
      await fails(tree.setxattr(f, p('user.b'), value, XATTR.replace), 'ENODATA');
      await tree.setxattr(f, p('user.b'), Buffer.alloc(0), XATTR.create);
      assert.deepEqual([...(await tree.listxattr(f))].sort(), [p('user.a'), p('user.b')]);
      assert.equal((await tree.getattr(f, 0)).flags & 1, 1);
      await tree.removexattr(f, p('user.a'));
      await fails(tree.getxattr(f, p('user.a')), 'ENODATA');
      await fails(tree.removexattr(f, p('user.a')), 'ENODATA');
      await fails(tree.getxattr(f, p('security.x')), 'ENODATA');
      await fails(tree.setxattr(f, p('trusted.x'), value, 0), 'EOPNOTSUPP');
    });

    test('statfs tells of room', async () => {
      const status = await tree.statfs(p(''));
      assert.ok(status.blockSize > 0 && status.blocks > 0 && status.blocks >= status.blocksFree);
      assert.equal(status.nameMax, 255);
      await fails(tree.statfs(p('does/not/exist')), 'ENOENT');
    });

    test('fsync and flush of files and directories succeed', async () => {
      const d = await directory();
      const { handle } = await openFile(tree, join(d, p('f')), OPEN.write | OPEN.create | OPEN.sync);
      await tree.write(handle, 0, text('x'));
      await tree.fsync(handle, false);
      await tree.fsync(handle, true);
      await tree.flush(handle, 7n);
      await tree.release(handle);
      const open = await tree.openDirectory(d);
      await tree.fsync(open, false);
      await tree.release(open);
    });

    test('a share that maps owners refuses to give files away', async () => {
      const f = join(await directory(), p('f'));
      await writeFile(tree, f, text('x'));
      const { uid, gid } = await tree.getattr(f, 0);
      await tree.setattr(f, 0, { uid, gid });
      await fails(tree.setattr(f, 0, { uid: uid + 1 }), 'EPERM');
    });

    test('a read-only tree changes nothing and shows everything', async () => {
      const { readOnly } = made;
      if (readOnly === undefined) return;
      const d = await directory();
      const f = join(d, p('f'));
      await writeFile(tree, f, text('fixed'));
      assert.equal((await readFile(readOnly, f)).toString(), 'fixed');
      const x = join(d, p('x'));
      await fails(readOnly.mkdir(x, 0o755, OWNER), 'EROFS');
      await fails(readOnly.mknod(x, 0o644, OWNER, false), 'EROFS');
      await fails(readOnly.symlink(x, text('f'), OWNER), 'EROFS');
      await fails(readOnly.link(f, 0, x), 'EROFS');
      await fails(readOnly.unlink(f), 'EROFS');
      await fails(readOnly.rmdir(d), 'EROFS');
      await fails(readOnly.rename(f, x, 0), 'EROFS');
      await fails(readOnly.setattr(f, 0, { mode: 0o600 }), 'EROFS');
      await fails(readOnly.setattr(f, 0, { size: 0 }), 'EROFS');
      await fails(readOnly.setxattr(f, p('user.a'), text('x'), 0), 'EROFS');
      await fails(openFile(readOnly, f, OPEN.write), 'EROFS');
      await fails(openFile(readOnly, f, OPEN.read | OPEN.truncate), 'EROFS');
      await fails(openFile(readOnly, x, OPEN.write | OPEN.create), 'EROFS');
      assert.deepEqual(await list(readOnly, d), [p('f')]);
      assert.equal((await readFile(tree, f)).toString(), 'fixed');
    });

    describe('locks', () => {
      let f: ByteString;
      let handles: Handle[];
      before(async () => {
        f = join(await directory(), p('f'));
        await writeFile(tree, f, Buffer.alloc(100));
        handles = [];
        for (let i = 0; i < 3; i++) handles.push((await openFile(tree, f, READ_WRITE)).handle);
      });
      after(async () => {
        for (const handle of handles) await tree.release(handle);
      });
      const range = (owner: bigint, type: number, start: number, end: number): LockRequest => ({
        owner,
        type,
        start: BigInt(start),
        end: BigInt(end),
        pid: Number(owner),
        kind: LOCK_KIND.posix,
      });
      const { read, write, unlock } = LOCK_TYPE;
      const lock = (which: number, request: LockRequest, signal?: AbortSignal) =>
        tree.lock(handles[which] ?? 0, request, signal);

      test('write locks exclude, read locks share, unlocking frees a part', async () => {
        await lock(0, range(1n, write, 0, 99));
        await fails(lock(1, range(2n, read, 50, 50)), 'EAGAIN');
        const found = await tree.testLock(handles[1] ?? 0, range(2n, write, 10, 20));
        assert.deepEqual([found?.type, found?.start, found?.end], [write, 0n, 99n]);
        await lock(0, range(1n, unlock, 40, 59));
        await lock(1, range(2n, write, 40, 59));
        await fails(lock(1, range(2n, write, 39, 59)), 'EAGAIN');
        await lock(1, range(2n, unlock, 0, 99));
        await lock(0, range(1n, read, 0, 99));
        await lock(1, range(2n, read, 0, 99));
        await fails(lock(1, range(2n, write, 0, 0)), 'EAGAIN');
        await tree.flush(handles[0] ?? 0, 1n);
        await lock(1, range(2n, write, 0, 0));
        await tree.flush(handles[1] ?? 0, 2n);
        assert.equal(await tree.testLock(handles[0] ?? 0, range(1n, write, 0, 99)), undefined);
      });

      test('waiting ends when the lock is free, or when it is aborted', { timeout: 20_000 }, async () => {
        await lock(0, range(1n, write, 0, 9));
        const abort = new AbortController();
        const given = lock(1, range(2n, write, 0, 9), abort.signal);
        const had = lock(2, range(3n, write, 0, 9), new AbortController().signal);
        abort.abort();
        await fails(given, 'EINTR', 'CANCELLED');
        await tree.flush(handles[0] ?? 0, 1n);
        await had;
        await fails(lock(0, range(1n, read, 0, 9)), 'EAGAIN');
        await tree.flush(handles[2] ?? 0, 3n);
      });

      test('waiting in a circle is refused', { timeout: 20_000 }, async () => {
        await lock(0, range(1n, write, 0, 0));
        await lock(1, range(2n, write, 1, 1));
        const abort = new AbortController();
        const first = lock(0, range(1n, write, 1, 1), abort.signal);
        await tree.getattr(f, 0);
        await fails(lock(1, range(2n, write, 0, 0), new AbortController().signal), 'EDEADLK');
        await tree.flush(handles[1] ?? 0, 2n);
        await first;
        await tree.flush(handles[0] ?? 0, 1n);
      });

      test('flock belongs to the handle and ends with it', async () => {
        const flock = (owner: bigint, type: number): LockRequest => ({
          ...range(owner, type, 0, 0),
          kind: LOCK_KIND.flock,
        });
        const { handle } = await openFile(tree, f, OPEN.read);
        await tree.lock(handle, flock(10n, write));
        await fails(lock(1, flock(11n, read)), 'EAGAIN');
        await lock(1, range(2n, write, 0, 9));
        await tree.release(handle);
        await lock(1, flock(11n, read));
        await lock(2, flock(12n, read));
        await fails(lock(2, flock(12n, write)), 'EAGAIN');
        await lock(1, flock(11n, unlock));
        await lock(2, flock(12n, unlock));
        await tree.flush(handles[1] ?? 0, 2n);
      });

      test('locks of a released handle are gone', async () => {
        const { handle } = await openFile(tree, f, READ_WRITE);
        await tree.lock(handle, range(20n, write, 0, 99));
        await fails(lock(0, range(1n, read, 5, 5)), 'EAGAIN');
        await tree.release(handle);
        await lock(0, range(1n, read, 5, 5));
        await tree.flush(handles[0] ?? 0, 1n);
      });
    });
  });
}
