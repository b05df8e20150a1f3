import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HandleBudget } from '../../src/fs/served-handles.ts';
import { OPEN } from '../../src/wire/schema.ts';
import { settle } from '../manual-clock.ts';
import { createMemoryTree } from './memory-tree.ts';
import { createServer, folder, p } from './remote-fixture.ts';
import { fails, list, openFile, writeFile } from './tree-contract.ts';

const OWNER = { uid: 0, gid: 0 };
const S = 1;

test('a share that the peer may not write refuses everything that changes', async () => {
  const server = createServer();
  const shared = createMemoryTree({ clock: server.clock });
  await writeFile(shared, p('f'), Buffer.from('x'));
  server.folders = [...server.folders, folder(S, 'S', shared, false)];
  const tree = server.connect().remote.tree(S);
  await fails(tree.mkdir(p('d'), 0o755, OWNER), 'EROFS');
  await fails(tree.setattr(p('f'), 0, { mode: 0o600 }), 'EROFS');
  await fails(tree.unlink(p('f')), 'EROFS');
  await fails(tree.rename(p('f'), p('g'), 0), 'EROFS');
  await fails(tree.setxattr(p('f'), p('user.a'), Buffer.from('x'), 0), 'EROFS');
  for (const flag of [OPEN.write, OPEN.append, OPEN.create, OPEN.truncate]) {
    await fails(openFile(tree, p('f'), OPEN.read | flag), 'EROFS');
  }
  const { handle } = await openFile(tree, p('f'), OPEN.read);
  await fails(tree.fallocate(handle, 0, 0, 10), 'EROFS', 'EBADF');
  assert.equal((await shared.getattr(p('f'), 0)).size, 1);
  await shared.close();
  await server.close();
});

test('a share that is no longer given is stale, its handles closed, and the peer is told', async () => {
  const server = createServer();
  const shared = createMemoryTree({ clock: server.clock });
  await writeFile(shared, p('f'), Buffer.from('x'));
  const inboxOnly = server.folders;
  server.folders = [...inboxOnly, folder(S, 'S', shared)];
  const { remote } = server.connect();
  const tree = remote.tree(S);
  let told = 0;
  remote.onSharesChanged(() => (told += 1));
  assert.deepEqual(
    (await remote.shares()).map(({ share }) => share),
    [0, S],
  );
  const { handle } = await openFile(tree, p('f'), OPEN.read | OPEN.write);
  server.folders = inboxOnly;
  server.sharesChanged();
  await settle();
  assert.equal(told, 1);
  assert.equal(shared.handleCount, 0);
  assert.deepEqual(
    (await remote.shares()).map(({ share }) => share),
    [0],
  );
  await fails(tree.read(handle, 0, 1), 'ESTALE');
  await fails(tree.openDirectory(p('')), 'ESTALE');
  await shared.close();
  await server.close();
});

test('what is opened for a peer that restarts meanwhile is closed again, and takes nobody room', async () => {
  const server = createServer();
  server.budget = new HandleBudget(256 + 2 * 8);
  const { memory } = server;
  await writeFile(memory, p('f'), Buffer.from('x'));
  const { tree, serverChannel } = server.connect();
  const open = memory.open.bind(memory);
  for (let round = 0; round < 10; round++) {
    let go = () => {};
    const gate = new Promise<void>((resolve) => (go = resolve));
    memory.open = async (...given) => {
      await gate;
      return open(...given);
    };
    const opening = openFile(tree, p('f'), OPEN.read);
    await settle();
    serverChannel.restarted();
    go();
    await fails(opening, 'ESTALE');
    await settle();
    assert.equal(memory.handleCount, 0);
  }
  memory.open = open;
  await openFile(tree, p('f'), OPEN.read);
  assert.equal(memory.handleCount, 1);
  await server.close();
});

test('what a peer made that restarted meanwhile is told to the others', async () => {
  const server = createServer();
  const { memory } = server;
  const { tree, serverChannel } = server.connect();
  const other = server.connect();
  assert.deepEqual(await list(other.tree, p('')), []);
  const open = memory.open.bind(memory);
  let go = () => {};
  const gate = new Promise<void>((resolve) => (go = resolve));
  memory.open = async (...given) => {
    const opened = await open(...given);
    await gate;
    return opened;
  };
  const opening = openFile(tree, p('f'), OPEN.write | OPEN.create);
  await settle();
  const before = other.serverChannel.calls.get('recall') ?? 0;
  serverChannel.restarted();
  go();
  await fails(opening, 'ESTALE');
  assert.equal(memory.handleCount, 0);
  assert.ok((other.serverChannel.calls.get('recall') ?? 0) > before, 'nobody was told');
  assert.deepEqual(await list(other.tree, p('')), ['f']);
  await server.close();
});

test('rights that are taken away count for files that are open', async () => {
  const server = createServer();
  await writeFile(server.memory, p('f'), Buffer.from('x'));
  const { tree } = server.connect();
  const { handle } = await openFile(tree, p('f'), OPEN.read | OPEN.write);
  server.folders = [folder(0, '', server.memory, false)];
  server.sharesChanged();
  await tree.write(handle, 0, Buffer.from('y'));
  await fails(tree.fsync(handle, false), 'EROFS');
  await server.close();
});

test('a handle is good for the share it was opened in and for what it is', async () => {
  const server = createServer();
  const shared = createMemoryTree({ clock: server.clock });
  await writeFile(server.memory, p('f'), Buffer.from('x'));
  server.folders = [...server.folders, folder(S, 'S', shared)];
  const { channel } = server.connect();
  const open = { share: 0, path: p('f'), flags: OPEN.read, permissions: 0, ...OWNER, wantBytes: 0 };
  const { handle } = (await channel.call('open', open)).reply;
  await fails(channel.call('getattr', { share: S, path: p('f'), handle }), 'EBADF');
  await fails(channel.call('readDirectory', { handle, cursor: 0n, maxEntries: 1 }), 'ENOTDIR');
  const directory = (await channel.call('openDirectory', { share: 0, path: p(''), maxEntries: 0 })).reply.handle;
  await fails(channel.call('read', { handle: directory, offset: 0, length: 1 }), 'EISDIR');
  await fails(channel.call('read', { handle: 999, offset: 0, length: 1 }), 'EBADF');
  await shared.close();
  await server.close();
});

test('a peer may have so many files open and no more, and failed opens do not count', async () => {
  const server = createServer();
  await writeFile(server.memory, p('f'), Buffer.from('x'));
  const { tree } = server.connect();
  for (let count = 0; count < 5; count++) await fails(openFile(tree, p('absent'), OPEN.read), 'ENOENT');
  const handles = [];
  for (let count = 0; count < 4096; count++) handles.push((await openFile(tree, p('f'), OPEN.read)).handle);
  await fails(openFile(tree, p('f'), OPEN.read), 'EMFILE');
  await fails(tree.openDirectory(p('')), 'EMFILE');
  await tree.release(handles[0] ?? 0);
  await openFile(tree, p('f'), OPEN.read);
  await server.close();
  assert.equal(server.memory.handleCount, 0);
});

test('handles and locks of a peer that restarted are gone at once', async () => {
  const server = createServer();
  await writeFile(server.memory, p('f'), Buffer.from('x'));
  const [a, b] = [server.connect(), server.connect()];
  const lock = { owner: 1n, kind: 0, type: 1, start: 0n, end: 9n, pid: 1 };
  const held = await openFile(a.tree, p('f'), OPEN.read | OPEN.write);
  await a.tree.lock(held.handle, lock);
  const other = await openFile(b.tree, p('f'), OPEN.read | OPEN.write);
  await fails(b.tree.lock(other.handle, lock), 'EAGAIN');
  a.serverChannel.restarted();
  await b.tree.lock(other.handle, lock);
  await server.close();
});

test('handles and locks of a peer that is gone end with its lease, and not before', async () => {
  const server = createServer();
  await writeFile(server.memory, p('f'), Buffer.from('x'));
  const [a, b] = [server.connect(), server.connect()];
  const lock = { owner: 1n, kind: 0, type: 1, start: 0n, end: 9n, pid: 1 };
  const held = await openFile(a.tree, p('f'), OPEN.read | OPEN.write);
  await a.tree.lock(held.handle, lock);
  const other = await openFile(b.tree, p('f'), OPEN.read | OPEN.write);
  a.channel.setState('offline');
  a.serverChannel.setState('offline');
  await server.clock.run(server.leases.leaseMs.fast - 100);
  await fails(b.tree.lock(other.handle, lock), 'EAGAIN');
  await server.clock.run(200);
  await b.tree.lock(other.handle, lock);
  a.channel.setState('live');
  a.serverChannel.setState('live');
  await fails(a.tree.read(held.handle, 0, 1), 'EIO');
  await server.close();
});

test('owners of locks are different at different peers', async () => {
  const server = createServer();
  await writeFile(server.memory, p('f'), Buffer.from('x'));
  const [a, b] = [server.connect(), server.connect()];
  const lock = { owner: 7n, kind: 0, type: 1, start: 0n, end: 9n, pid: 1 };
  const first = await openFile(a.tree, p('f'), OPEN.read | OPEN.write);
  const second = await openFile(b.tree, p('f'), OPEN.read | OPEN.write);
  await a.tree.lock(first.handle, lock);
  await fails(b.tree.lock(second.handle, lock), 'EAGAIN');
  assert.equal((await b.tree.testLock(second.handle, lock))?.type, 1);
  await a.tree.flush(first.handle, 7n);
  await b.tree.lock(second.handle, lock);
  await server.close();
});

test('two peers with different rights to one folder see each other change it', async () => {
  const server = createServer();
  const shared = createMemoryTree({ clock: server.clock });
  await writeFile(shared, p('f'), Buffer.from('x'));
  server.folders = [...server.folders, folder(1, 'S', shared), folder(2, 'S read-only', shared, false)];
  const [a, b] = [server.connect(), server.connect()];
  const reader = a.remote.tree(2);
  await list(reader, p(''));
  await writeFile(b.remote.tree(1), p('f'), Buffer.from('longer'));
  assert.equal((await reader.getattr(p('f'), 0)).size, 6);
  await shared.close();
  await server.close();
});
