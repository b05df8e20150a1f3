/** Files that a mounting node makes for itself to begin with: what programs see, what the server hears, and when. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PeerfsError } from '../../src/errors.ts';
import { isProvisional } from '../../src/fs/creation.ts';
import { OPEN, RECALL, type Attributes } from '../../src/wire/schema.ts';
import { settle } from '../manual-clock.ts';
import { createMemoryTree } from './memory-tree.ts';
import { createServer, p, type Client, type Server } from './remote-fixture.ts';
import { fails, list, openFile, readFile, writeFile } from './tree-contract.ts';

const OWNER = { uid: 0, gid: 0 };
const NEW = OPEN.write | OPEN.create | OPEN.exclusive;
const text = (value: string) => Buffer.from(value);

/** A client that has just made the directory `d`, and counts from then on. */
async function createFixture(server: Server = createServer()): Promise<{ server: Server; a: Client }> {
  const a = server.connect();
  await list(a.tree, p(''));
  await server.clock.run(100);
  await a.tree.mkdir(p('d'), 0o755, OWNER);
  a.channel.calls.clear();
  return { server, a };
}

const calls = ({ channel }: Client): Record<string, number> => Object.fromEntries(channel.calls);

test('a new file costs one call, made by close, with all that was written and set meanwhile', async () => {
  const { server, a } = await createFixture();
  const { handle, attributes, created } = await openFile(a.tree, p('d/f'), NEW, 0, 0o640);
  assert.ok(created && isProvisional(attributes));
  assert.equal(attributes.mode, 0o100640);
  await a.tree.write(handle, 0, text('hello '));
  await a.tree.write(handle, 6, text('world'));
  await a.tree.setattr(p('d/f'), 0, { mtime: { sec: 1000, nsec: 5 } });
  await a.tree.setattr(p('d/f'), handle, { mode: 0o600 });
  assert.deepEqual(calls(a), {});
  await a.tree.flush(handle, 0n);
  assert.deepEqual(calls(a), { createFile: 1 });
  const there = await server.memory.getattr(p('d/f'), 0);
  assert.deepEqual([there.mode, there.size, there.mtimeSec, there.mtimeNsec], [0o100600, 11, 1000, 5]);
  assert.equal((await readFile(server.memory, p('d/f'))).toString(), 'hello world');
  assert.deepEqual(await a.tree.getattr(p('d/f'), 0), there);
  assert.deepEqual(await a.tree.getattr(p('d'), 0), await server.memory.getattr(p('d'), 0));
  await a.tree.flush(handle, 0n);
  await a.tree.release(handle);
  assert.deepEqual(calls(a), { createFile: 1 });
  await server.clock.run(100);
  assert.equal(server.memory.handleCount, 0);
  await server.close();
});

test('a file that stays open is at the server after a moment', async () => {
  const { server, a } = await createFixture();
  const first = await openFile(a.tree, p('d/f'), NEW);
  await server.clock.run(30);
  const second = await openFile(a.tree, p('d/g'), NEW);
  await a.tree.write(first.handle, 0, text('x'));
  await server.clock.run(25);
  assert.deepEqual(await list(server.memory, p('d')), [p('f')]);
  await server.clock.run(50);
  assert.deepEqual((await list(server.memory, p('d'))).sort(), [p('f'), p('g')]);
  await a.tree.write(second.handle, 0, text('late'));
  await a.tree.flush(second.handle, 0n);
  assert.deepEqual(calls(a), { createFile: 2, write: 1, flush: 1 });
  await server.close();
});

test('what is written after the first call follows it, also when it is much or out of order', async () => {
  const { server, a } = await createFixture();
  const whole = Buffer.alloc(700_000, 'abcdefg');
  for (const [name, step] of [
    ['even', 128 * 1024],
    ['odd', 100_000],
  ] as const) {
    const { handle } = await openFile(a.tree, p(`d/${name}`), NEW);
    for (let at = 0; at < whole.length; at += step) {
      const part = whole.subarray(at, at + step);
      assert.equal((await a.tree.write(handle, at, part)).size, at + part.length);
    }
    await a.tree.flush(handle, 0n);
    assert.ok(whole.equals(await readFile(server.memory, p(`d/${name}`))));
  }
  const { handle } = await openFile(a.tree, p('d/hole'), NEW);
  await a.tree.write(handle, 10, text('b'));
  await a.tree.write(handle, 0, text('a'));
  await a.tree.flush(handle, 0n);
  assert.deepEqual(await readFile(server.memory, p('d/hole')), Buffer.from('a\0\0\0\0\0\0\0\0\0b'));
  await server.close();
});

test('whoever looks at a new file in another way sees it at the server', async () => {
  const looks: Record<string, (a: Client, path: ReturnType<typeof p>) => Promise<unknown>> = {
    open: (a, path) => openFile(a.tree, path, OPEN.read),
    getattr: (a, path) => a.tree.getattr(path, 0),
    list: (a) => list(a.tree, p('d')),
    link: (a, path) => a.tree.link(path, 0, p('d/link')),
    setxattr: (a, path) => a.tree.setxattr(path, p('user.a'), text('1'), 0),
    truncate: (a, path) => a.tree.setattr(path, 0, { size: 3 }),
    chown: (a, path) => a.tree.setattr(path, 0, { uid: 1000 }).catch(() => undefined),
  };
  for (const [name, look] of Object.entries(looks)) {
    const { server, a } = await createFixture();
    const { handle } = await openFile(a.tree, p('d/f'), NEW);
    await a.tree.write(handle, 0, text('hello'));
    await look(a, p('d/f'));
    assert.equal(a.channel.calls.get('createFile'), 1, name);
    assert.equal((await readFile(server.memory, p('d/f'))).toString(), name === 'truncate' ? 'hel' : 'hello', name);
    await server.close();
  }
});

test('renaming, removing and replacing what was just made comes after it', async () => {
  const { server, a } = await createFixture();
  for (const name of ['f', 'g', 'h']) {
    const { handle } = await openFile(a.tree, p(`d/${name}`), NEW);
    await a.tree.write(handle, 0, text(name));
  }
  await Promise.all([
    a.tree.rename(p('d/f'), p('d/f2'), 0),
    a.tree.unlink(p('d/g')),
    fails(a.tree.mkdir(p('d/h'), 0o755, OWNER), 'EEXIST'),
  ]);
  assert.deepEqual((await list(server.memory, p('d'))).sort(), [p('f2'), p('h')]);
  const { handle } = await openFile(a.tree, p('d/i'), NEW);
  await fails(a.tree.rmdir(p('d')), 'ENOTEMPTY');
  await a.tree.rename(p('d'), p('e'), 0);
  await a.tree.write(handle, 0, text('still'));
  await a.tree.flush(handle, 0n);
  assert.equal((await readFile(server.memory, p('e/i'))).toString(), 'still');
  await server.close();
});

test('a file is made at the server first where we are not alone, do not know the names, or ask for more', async () => {
  const { server, a } = await createFixture();
  const isHeld = async (path: string, flags = NEW, permissions = 0o644) => {
    const { handle, attributes } = await openFile(a.tree, p(path), flags, 0, permissions);
    await a.tree.release(handle);
    return isProvisional(attributes);
  };
  assert.equal(await isHeld('d/1'), true);
  assert.equal(await isHeld('d/2', NEW | OPEN.append), false);
  assert.equal(await isHeld('d/3', NEW | OPEN.sync), false);
  assert.equal(await isHeld('d/4', NEW, 0o4755), false);
  assert.equal(await isHeld('d/1', OPEN.write | OPEN.create), false, 'it exists');
  assert.equal(await isHeld('d/5', OPEN.read | OPEN.write | OPEN.create | OPEN.truncate), true);
  await server.memory.mkdir(p('other'), 0o755, OWNER);
  assert.equal(await isHeld('other/1'), false, 'nobody said that we are alone');
  assert.equal(await isHeld('other/2'), false, 'whether it exists is not known');
  await fails(a.tree.getattr(p('other/3'), 0), 'ENOENT');
  assert.equal(await isHeld('other/3'), true);
  const b = server.connect();
  await list(b.tree, p('d'));
  assert.equal(await isHeld('d/6'), false, 'another looked');
  assert.equal(await isHeld('d/7'), true, 'the other has forgotten the directory by now');
  await server.clock.run(4500);
  assert.equal(await isHeld('d/8'), false, 'long ago');
  assert.equal(await isHeld('d/9'), true);
  await server.close();
});

test('in a directory that was there already, the names are learned beside the second file that is made', async () => {
  const { server, a } = await createFixture();
  await server.memory.mkdir(p('old'), 0o755, OWNER);
  for (const name of ['x', 'y', 'z']) await writeFile(server.memory, p(`old/${name}`), text(name));
  await writeFile(a.tree, p('old/1'), text('1'));
  await fails(a.tree.getattr(p('old/2'), 0), 'ENOENT');
  a.channel.calls.clear();
  const two = await openFile(a.tree, p('old/2'), NEW);
  await a.tree.flush(two.handle, 0n);
  await a.tree.unlink(p('old/y'));
  await settle();
  assert.deepEqual(calls(a), { createFile: 1, listDirectory: 1, unlink: 1 });
  a.channel.calls.clear();
  for (const name of ['3', '4', 'y']) {
    await fails(a.tree.getattr(p(`old/${name}`), 0), 'ENOENT');
    const { handle, attributes } = await openFile(a.tree, p(`old/${name}`), NEW);
    assert.ok(isProvisional(attributes));
    await a.tree.flush(handle, 0n);
  }
  assert.deepEqual(calls(a), { createFile: 3 });
  await fails(openFile(a.tree, p('old/x'), NEW), 'EEXIST');
  const b = server.connect();
  await writeFile(b.tree, p('old/5'), text('b'));
  await fails(openFile(a.tree, p('old/5'), NEW), 'EEXIST');
  assert.deepEqual((await list(a.tree, p('old'))).sort(), ['1', '2', '3', '4', '5', 'x', 'y', 'z'].map(p));
  await server.close();
});

test('another peer sees what was made before it looks, and of two who make a file one fails', async () => {
  const { server, a } = await createFixture();
  const b = server.connect();
  const { handle } = await openFile(a.tree, p('d/f'), NEW);
  await a.tree.write(handle, 0, text('mine'));
  await fails(openFile(b.tree, p('d/f'), NEW), 'EEXIST');
  assert.equal((await readFile(b.tree, p('d/f'))).toString(), 'mine');
  assert.deepEqual(await list(b.tree, p('d')), [p('f')]);
  await a.tree.flush(handle, 0n);

  const second = await openFile(a.tree, p('d/g'), NEW);
  assert.deepEqual((await list(b.tree, p('d'))).sort(), [p('f'), p('g')]);
  await a.tree.release(second.handle);
  await server.close();
});

test('what the server refuses is told by write, sync and close, and the name is forgotten', async () => {
  let code: 'ENOSPC' | undefined;
  const memory = createMemoryTree({
    fault: (method) => {
      if (method === 'open' && code !== undefined) throw new PeerfsError(code);
    },
  });
  const { server, a } = await createFixture(createServer(memory));
  const told: [string, number][] = [];
  a.tree.onInvalidate((path, what) => void told.push([path, what]));
  const one = await openFile(a.tree, p('d/f'), NEW);
  const two = await openFile(a.tree, p('d/g'), NEW);
  code = 'ENOSPC';
  await a.tree.write(one.handle, 0, text('x'));
  await fails(a.tree.flush(one.handle, 0n), 'ENOSPC');
  await fails(a.tree.flush(one.handle, 0n), 'ENOSPC');
  await fails(a.tree.write(one.handle, 1, text('y')), 'ENOSPC');
  await fails(a.tree.fsync(two.handle, false), 'ENOSPC');
  await fails(a.tree.read(one.handle, 0, 1), 'EBADF');
  await fails(a.tree.setattr(p('d/g'), two.handle, { mode: 0o600 }), 'ENOSPC');
  assert.deepEqual(
    told.filter(([, what]) => (what & RECALL.subtree) !== 0).map(([path]) => path),
    ['d/f', 'd/g'],
  );
  await a.tree.release(one.handle);
  await a.tree.release(two.handle);
  await fails(openFile(a.tree, p('d/h'), NEW), 'ENOSPC');
  code = undefined;
  await fails(a.tree.getattr(p('d/f'), 0), 'ENOENT');
  await writeFile(a.tree, p('d/f'), text('now'));
  assert.equal((await readFile(server.memory, p('d/f'))).toString(), 'now');
  await server.clock.run(100);
  assert.equal(memory.handleCount, 0);
  await server.close();
});

test('a disk that is full when the file is written leaves the file, and close tells', async () => {
  let isFull = true;
  const memory = createMemoryTree({
    fault: (method) => {
      if (method === 'write' && isFull) throw new PeerfsError('ENOSPC');
    },
  });
  const { server, a } = await createFixture(createServer(memory));
  const { handle } = await openFile(a.tree, p('d/f'), NEW);
  await a.tree.write(handle, 0, text('lost'));
  await fails(a.tree.flush(handle, 0n), 'ENOSPC');
  assert.equal((await a.tree.getattr(p('d/f'), 0)).size, 0);
  isFull = false;
  await a.tree.write(handle, 0, text('kept'));
  await a.tree.flush(handle, 0n);
  assert.equal((await readFile(memory, p('d/f'))).toString(), 'kept');
  await server.close();
});

test('a program of the server that was faster is told of by close: EEXIST if the name had to be new', async () => {
  const { server, a } = await createFixture();
  const exclusive = await openFile(a.tree, p('d/f'), NEW);
  const plain = await openFile(a.tree, p('d/g'), OPEN.write | OPEN.create);
  await a.tree.write(exclusive.handle, 0, text('mine'));
  await a.tree.write(plain.handle, 0, text('MINE'));
  await writeFile(server.memory, p('d/f'), text('theirs'));
  await writeFile(server.memory, p('d/g'), text('theirs'));
  await fails(a.tree.flush(exclusive.handle, 0n), 'EEXIST');
  await a.tree.flush(plain.handle, 0n);
  assert.equal((await readFile(a.tree, p('d/f'))).toString(), 'theirs');
  assert.equal((await readFile(a.tree, p('d/g'))).toString(), 'MINErs');
  await server.close();
});

test('one who is told to be alone only after that was recalled does not believe it', async () => {
  const server = createServer();
  const [a, b] = [server.connect(), server.connect()];
  await list(a.tree, p(''));
  await server.memory.mkdir(p('d'), 0o755, OWNER);
  await list(a.tree, p('d'));
  let release = () => {};
  a.channel.beforeReply = (name) =>
    name === 'symlink' ? new Promise<void>((resolve) => (release = resolve)) : undefined;
  const made = a.tree.symlink(p('d/l'), text('x'), OWNER);
  await settle();
  assert.deepEqual(await list(b.tree, p('d')), [p('l')]);
  release();
  await made;
  await fails(a.tree.getattr(p('d/f'), 0), 'ENOENT');
  const { attributes } = await openFile(a.tree, p('d/f'), NEW);
  assert.equal(isProvisional(attributes), false);
  await server.close();
});

test('another peer waits for one that vanished with files held back, no longer than it was promised', async () => {
  const { server, a } = await createFixture();
  const b = server.connect();
  const { handle } = await openFile(a.tree, p('d/f'), NEW);
  await a.tree.write(handle, 0, text('lost'));
  // Neither its calls nor its answers arrive from now on.
  a.channel.beforeSend = () => {
    throw new PeerfsError('ETIMEDOUT');
  };
  a.serverChannel.beforeSend = () => {
    throw new PeerfsError('ETIMEDOUT');
  };
  let isDone = false;
  const listed = list(b.tree, p('d')).finally(() => (isDone = true));
  await server.clock.run(4900);
  assert.equal(isDone, false);
  await server.clock.run(200);
  assert.equal(isDone, true);
  assert.deepEqual(await listed, []);
  await Promise.all([writeFile(b.tree, p('d/f'), text('other')), server.clock.run(15_000)]);
  await fails(a.tree.flush(handle, 0n), 'ETIMEDOUT');
  await server.close();
});

test('what was made here first keeps its first attributes for nobody: the mount is told what it is', async () => {
  const { server, a } = await createFixture();
  const told: [Attributes, Attributes][] = [];
  a.tree.onMade((first, now) => void told.push([first, now]));
  const { handle, attributes } = await openFile(a.tree, p('d/f'), NEW);
  assert.deepEqual(a.tree.known(p('d/f')), attributes);
  assert.deepEqual(a.tree.held(p('d/f')), attributes);
  assert.ok(a.tree.leaseOf(p('d/f')) > 0);
  await a.tree.write(handle, 0, text('x'));
  assert.equal(a.tree.known(p('d/f')), undefined);
  assert.equal(a.tree.held(p('d/f'))?.size, 1);
  await a.tree.flush(handle, 0n);
  const now = await server.memory.getattr(p('d/f'), 0);
  assert.deepEqual(told.at(-1)?.[1], now);
  assert.equal(told.at(-1)?.[0].inode, attributes.inode);
  assert.deepEqual(a.tree.known(p('d/f')), now);
  assert.equal(a.tree.held(p('d/f')), undefined);
  await server.close();
});

test('a node that ends has sent what it held back', async () => {
  const { server, a } = await createFixture();
  const { handle } = await openFile(a.tree, p('d/f'), NEW);
  await a.tree.write(handle, 0, text('x'));
  await a.tree.drained();
  assert.equal((await readFile(server.memory, p('d/f'))).toString(), 'x');
  await server.close();
});
