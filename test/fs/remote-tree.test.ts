import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RECALL, OPEN } from '../../src/wire/schema.ts';
import { settle } from '../manual-clock.ts';
import { createServer, folder, p, type Client } from './remote-fixture.ts';
import { fails, list, openFile, readFile, treeContract, writeFile } from './tree-contract.ts';

treeContract('remote', {
  async create() {
    const server = createServer();
    server.folders = [folder(0, '', server.memory), folder(1, 'readonly', server.memory, false)];
    const { tree, remote } = server.connect();
    return { tree, readOnly: remote.tree(1), close: () => server.close() };
  },
});

const OWNER = { uid: 0, gid: 0 };
const text = (value: string) => Buffer.from(value);

/** Calls that a client made while `work` ran. */
async function callsOf(client: Client, work: () => Promise<unknown>): Promise<Record<string, number>> {
  client.channel.calls.clear();
  await work();
  return Object.fromEntries(client.channel.calls);
}

test('under a lease, attributes, absence and listings cost no call', async () => {
  const server = createServer();
  await server.memory.mkdir(p('d'), 0o755, OWNER);
  await writeFile(server.memory, p('d/f'), text('x'));
  const a = server.connect();
  await list(a.tree, p('d'));
  const calls = await callsOf(a, async () => {
    assert.equal((await a.tree.getattr(p('d/f'), 0)).size, 1);
    await fails(a.tree.getattr(p('d/absent'), 0), 'ENOENT');
    assert.deepEqual(await list(a.tree, p('d')), [p('f')]);
    assert.ok(a.tree.leaseOf(p('d/f')) > 10_000);
  });
  assert.deepEqual(calls, {});
  await server.close();
});

test('a name that is absent is remembered once its directory is leased', async () => {
  const server = createServer();
  await writeFile(server.memory, p('f'), text('x'));
  const a = server.connect();
  await a.tree.getattr(p('f'), 0);
  await fails(a.tree.getattr(p('absent'), 0), 'ENOENT');
  const calls = await callsOf(a, () => fails(a.tree.getattr(p('absent'), 0), 'ENOENT'));
  assert.deepEqual(calls, {});
  const b = server.connect();
  await b.tree.mkdir(p('absent'), 0o755, OWNER);
  assert.equal((await a.tree.getattr(p('absent'), 0)).mode & 0o777, 0o755);
  await server.close();
});

test('what one peer changed, another sees as soon as the call has returned', async () => {
  const server = createServer();
  await server.memory.mkdir(p('d'), 0o755, OWNER);
  await writeFile(server.memory, p('d/f'), text('old'));
  const a = server.connect();
  const b = server.connect();
  await list(a.tree, p('d'));
  await list(a.tree, p(''));

  await writeFile(b.tree, p('d/f'), text('newer'));
  assert.equal((await a.tree.getattr(p('d/f'), 0)).size, 5);
  assert.equal((await readFile(a.tree, p('d/f'))).toString(), 'newer');

  await b.tree.setattr(p('d/f'), 0, { mode: 0o600 });
  assert.equal((await a.tree.getattr(p('d/f'), 0)).mode & 0o777, 0o600);

  await list(a.tree, p('d'));
  await writeFile(b.tree, p('d/g'), text('g'));
  assert.deepEqual((await list(a.tree, p('d'))).sort(), [p('f'), p('g')]);

  await b.tree.unlink(p('d/f'));
  await fails(a.tree.getattr(p('d/f'), 0), 'ENOENT');

  await list(a.tree, p('d'));
  await b.tree.rename(p('d'), p('e'), 0);
  await fails(a.tree.getattr(p('d/g'), 0), 'ENOENT');
  assert.equal((await a.tree.getattr(p('e/g'), 0)).size, 1);
  await server.close();
});

test('what becomes of a directory whose names we change comes with the reply, and others are still heard', async () => {
  const server = createServer();
  await server.memory.mkdir(p('d'), 0o755, OWNER);
  await server.memory.mkdir(p('e'), 0o755, OWNER);
  const [a, b] = [server.connect(), server.connect()];
  await list(a.tree, p(''));
  await list(a.tree, p('d'));
  const calls = await callsOf(a, async () => {
    const before = await a.tree.getattr(p('d'), 0);
    await a.tree.mkdir(p('d/sub'), 0o755, OWNER);
    const after = await a.tree.getattr(p('d'), 0);
    assert.deepEqual(after, await server.memory.getattr(p('d'), 0));
    assert.equal(after.nlink, before.nlink + 1);
    await Promise.all(['f', 'g', 'h'].map((name) => a.tree.mkdir(p(`d/${name}`), 0o755, OWNER)));
    await a.tree.rmdir(p('d/g'));
    await a.tree.rename(p('d/h'), p('e/h'), 0);
    for (const path of ['d', 'e']) {
      assert.deepEqual(await a.tree.getattr(p(path), 0), await server.memory.getattr(p(path), 0));
    }
  });
  assert.deepEqual(calls, { mkdir: 4, rmdir: 1, rename: 1 });
  await b.tree.setattr(p('d'), 0, { mode: 0o700 });
  assert.equal((await a.tree.getattr(p('d'), 0)).mode & 0o777, 0o700);
  await server.close();
});

test('what is said of a directory too late is not believed', async () => {
  const server = createServer();
  await server.memory.mkdir(p('d'), 0o755, OWNER);
  const [a, b] = [server.connect(), server.connect()];
  await list(a.tree, p(''));
  await list(a.tree, p('d'));
  let release = () => {};
  a.channel.beforeReply = (name) =>
    name === 'symlink' ? new Promise<void>((resolve) => (release = resolve)) : undefined;
  const made = a.tree.symlink(p('d/l'), Buffer.from('x'), OWNER);
  await settle();
  await b.tree.setattr(p('d'), 0, { mode: 0o700 });
  release();
  await made;
  assert.equal((await a.tree.getattr(p('d'), 0)).mode & 0o777, 0o700);

  const slow = a.tree.symlink(p('d/m'), Buffer.from('x'), OWNER);
  await settle();
  await a.tree.mkdir(p('d/later'), 0o755, OWNER);
  release();
  await slow;
  assert.deepEqual(await a.tree.getattr(p('d'), 0), await server.memory.getattr(p('d'), 0));
  await server.close();
});

test('what a program of the server changed is told at once', async () => {
  const server = createServer();
  await server.memory.mkdir(p('d'), 0o755, OWNER);
  await writeFile(server.memory, p('d/f'), text('old'));
  const a = server.connect();
  await list(a.tree, p('d'));
  const told: [string, number][] = [];
  a.tree.onInvalidate((path, what) => void told.push([path, what]));
  await writeFile(server.memory.local, p('d/f'), text('newer'));
  await settle();
  assert.equal((await a.tree.getattr(p('d/f'), 0)).size, 5);
  assert.ok(told.some(([path, what]) => path === 'd/f' && (what & RECALL.contents) !== 0));
  await server.close();
});

test('own changes are not recalled from the one who made them', async () => {
  const server = createServer();
  const a = server.connect();
  await list(a.tree, p(''));
  const calls = await callsOf(a, async () => {
    await a.tree.mkdir(p('d'), 0o755, OWNER);
    await writeFile(a.tree, p('d/f'), text('x'));
    assert.equal((await a.tree.getattr(p('d/f'), 0)).size, 1);
    assert.deepEqual(await list(a.tree, p('d')), [p('f')]);
    await fails(a.tree.getattr(p('d/g'), 0), 'ENOENT');
    await server.clock.run(100);
  });
  assert.deepEqual(calls, { mkdir: 1, createFile: 1, release: 1 });
  assert.equal(a.serverChannel.calls.get('recall'), undefined);
  await server.close();
});

test('many writes of one peer are recalled from another once', async () => {
  const server = createServer();
  await writeFile(server.memory, p('f'), text('x'));
  const a = server.connect();
  const b = server.connect();
  await a.tree.getattr(p('f'), 0);
  const { handle } = await openFile(b.tree, p('f'), OPEN.write);
  for (let index = 0; index < 20; index++) {
    await b.tree.write(handle, index * 1000, Buffer.alloc(1000, index));
    await b.tree.fsync(handle, false);
  }
  assert.equal(a.serverChannel.calls.get('recall'), 1);
  assert.equal((await a.tree.getattr(p('f'), 0)).size, 20_000);
  await server.close();
});

test('a reply that a recall overtook is delivered and not kept', async () => {
  const server = createServer();
  await writeFile(server.memory, p('f'), text('old'));
  const a = server.connect();
  const b = server.connect();
  let release = () => {};
  a.channel.beforeReply = (name) =>
    name === 'getattr' ? new Promise<void>((resolve) => (release = resolve)) : undefined;
  const late = a.tree.getattr(p('f'), 0);
  await settle();
  a.channel.beforeReply = () => undefined;
  await writeFile(b.tree, p('f'), text('newer'));
  release();
  assert.equal((await late).size, 3);
  assert.equal(a.tree.leaseOf(p('f')), 0);
  assert.equal((await a.tree.getattr(p('f'), 0)).size, 5);
  await server.close();
});

test('a listing that a change of our own overtook is asked for anew', async () => {
  const server = createServer();
  await writeFile(server.memory, p('f'), text('x'));
  const a = server.connect();
  let release = () => {};
  a.channel.beforeReply = (name) =>
    name === 'openDirectory' ? new Promise<void>((resolve) => (release = resolve)) : undefined;
  const late = list(a.tree, p(''));
  await settle();
  a.channel.beforeReply = () => undefined;
  await a.tree.mkdir(p('d'), 0o755, OWNER);
  release();
  assert.deepEqual((await late).sort(), [p('d'), p('f')]);
  assert.deepEqual((await list(a.tree, p(''))).sort(), [p('d'), p('f')]);
  await server.close();
});

test('after a removal or a rename that failed, what others change in the directory is seen', async () => {
  const server = createServer();
  const [a, b] = [server.connect(), server.connect()];
  for (const name of ['d', 'e']) {
    await server.memory.mkdir(p(name), 0o755, OWNER);
    await writeFile(server.memory, p(`${name}/f`), text('x'));
  }
  const stale: string[] = [];
  a.tree.onInvalidate((path, what) => void stale.push(`${path} ${what}`));
  for (const [index, fail] of [() => a.tree.rmdir(p('d')), () => a.tree.rename(p('e'), p('d'), 0)].entries()) {
    assert.equal((await list(a.tree, p('d'))).length, 1 + index);
    await fails(fail(), 'ENOTEMPTY');
    assert.ok(stale.includes(`d ${RECALL.subtree}`));
    await b.tree.mknod(p(`d/${index}`), 0o644, OWNER, false);
    assert.equal((await list(a.tree, p('d'))).length, 2 + index);
    stale.length = 0;
  }
  await server.close();
});

for (const who of ['the writer', 'another peer', 'a program of the server'] as const) {
  test(`what is written to a file that lost one of its names is seen under the other: ${who} removed it`, async () => {
    const server = createServer();
    const [a, b] = [server.connect(), server.connect()];
    await writeFile(server.memory.local, p('f'), text('as it was'));
    if (who !== 'the writer') await server.memory.local.link(p('f'), 0, p('g'));
    const { handle } = await openFile(a.tree, p('f'), OPEN.write);
    if (who === 'the writer') await a.tree.link(p('f'), 0, p('g'));
    await (who === 'the writer' ? a.tree : who === 'another peer' ? b.tree : server.memory.local).unlink(p('f'));
    await settle();
    // It has one name now, which leases cover.
    for (const { tree } of [a, b]) {
      assert.equal((await tree.getattr(p('g'), 0)).size, 9);
      assert.ok(tree.leaseOf(p('g')) > 0);
    }
    await a.tree.write(handle, 9, text(' and more'));
    await a.tree.flush(handle, 0n);
    for (const { tree } of [a, b]) assert.equal((await tree.getattr(p('g'), 0)).size, 18);
    assert.equal((await readFile(b.tree, p('g'))).toString(), 'as it was and more');
    await a.tree.setattr(p('g'), handle, { size: 2 });
    for (const { tree } of [a, b]) assert.equal((await tree.getattr(p('g'), 0)).size, 2);
    // A file without any name concerns nobody.
    await b.tree.unlink(p('g'));
    await b.tree.getattr(p(''), 0);
    await a.tree.write(handle, 0, text('more'));
    await a.tree.flush(handle, 0n);
    assert.ok(b.tree.leaseOf(p('')) > 0);
    await server.close();
  });
}

test('a file that was moved where nobody looked is seen under its new name when its writer goes on', async () => {
  const server = createServer();
  const [a, b] = [server.connect(), server.connect()];
  await server.memory.local.mkdir(p('d'), 0o755, OWNER);
  await writeFile(server.memory.local, p('d/f'), text('as it was'));
  const { handle } = await openFile(a.tree, p('d/f'), OPEN.write);
  await server.clock.run(server.leases.leaseMs.fast + 1000);
  // It is heard again, and has no lease on the folder any more.
  await a.tree.statfs(p(''));
  await server.memory.local.rename(p('d/f'), p('d/g'), 0);
  assert.equal((await b.tree.getattr(p('d/g'), 0)).size, 9);
  assert.ok(b.tree.leaseOf(p('d/g')) > 0);
  await a.tree.write(handle, 9, text(' and more'));
  await a.tree.flush(handle, 0n);
  assert.equal((await b.tree.getattr(p('d/g'), 0)).size, 18);
  await server.close();
});

for (const who of ['another peer', 'a program of the server'] as const) {
  test(`what is written to a file that ${who} moved is seen under its new name, by the writer too`, async () => {
    const server = createServer();
    const [a, b] = [server.connect(), server.connect()];
    await server.memory.local.mkdir(p('d'), 0o755, OWNER);
    await writeFile(server.memory.local, p('d/f'), text('as it was'));
    const { handle } = await openFile(a.tree, p('d/f'), OPEN.write);
    await (who === 'another peer' ? b.tree : server.memory.local).rename(p('d/f'), p('d/g'), 0);
    await settle();
    for (const { tree } of [a, b]) {
      assert.equal((await tree.getattr(p('d/g'), 0)).size, 9);
      assert.ok(tree.leaseOf(p('d/g')) > 0);
    }
    await a.tree.write(handle, 9, text(' and more'));
    await a.tree.flush(handle, 0n);
    for (const { tree } of [a, b]) assert.equal((await tree.getattr(p('d/g'), 0)).size, 18);
    await server.close();
  });
}

test('a lease ends with its time, and a change does not wait for it then', async () => {
  const server = createServer();
  await writeFile(server.memory, p('f'), text('old'));
  const a = server.connect();
  const b = server.connect();
  await a.tree.getattr(p('f'), 0);
  server.clock.advance(server.leases.leaseMs.fast + 1);
  assert.equal(a.tree.leaseOf(p('f')), 0);
  a.serverChannel.setState('offline');
  await writeFile(b.tree, p('f'), text('newer'));
  assert.equal(a.serverChannel.calls.get('recall'), undefined);
  assert.equal((await a.tree.getattr(p('f'), 0)).size, 5);
  await server.close();
});

test('what expired unseen does not come back to life with the next call', async () => {
  const server = createServer();
  await writeFile(server.memory, p('f'), text('old'));
  await writeFile(server.memory, p('g'), text('g'));
  const a = server.connect();
  const b = server.connect();
  await a.tree.getattr(p('f'), 0);
  server.clock.advance(server.leases.leaseMs.fast + 1);
  await writeFile(b.tree, p('f'), text('newer'));
  await a.tree.getattr(p('g'), 0);
  assert.equal((await a.tree.getattr(p('f'), 0)).size, 5);
  await server.close();
});

test('a change waits for a silent holder until its lease has ended, not longer', async () => {
  const server = createServer();
  await writeFile(server.memory, p('f'), text('old'));
  const a = server.connect();
  const b = server.connect();
  await a.tree.getattr(p('f'), 0);
  a.serverChannel.setState('offline');
  let isDone = false;
  const written = b.tree.setattr(p('f'), 0, { mode: 0o600 }).then(() => (isDone = true));
  await server.clock.run(server.leases.leaseMs.fast - 10);
  assert.equal(isDone, false);
  assert.equal(a.tree.leaseOf(p('f')), 0);
  await server.clock.run(20);
  assert.equal(isDone, true);
  await written;
  await server.close();
});

test('a second change of the same file waits for a recall that is under way', async () => {
  const server = createServer();
  await writeFile(server.memory, p('f'), text('old'));
  const [a, b, c] = [server.connect(), server.connect(), server.connect()];
  await a.tree.getattr(p('f'), 0);
  let acknowledge = () => {};
  a.serverChannel.beforeReply = (name) =>
    name === 'recall' ? new Promise<void>((resolve) => (acknowledge = resolve)) : undefined;
  let done = 0;
  const first = b.tree.setattr(p('f'), 0, { mode: 0o600 }).then(() => (done += 1));
  await settle();
  const second = c.tree.setattr(p('f'), 0, { mode: 0o640 }).then(() => (done += 1));
  await settle();
  assert.equal(done, 0);
  acknowledge();
  await Promise.all([first, second]);
  await server.close();
});

test('using a lease renews it before it ends', async () => {
  const server = createServer();
  await writeFile(server.memory, p('f'), text('x'));
  const a = server.connect();
  await a.tree.getattr(p('f'), 0);
  const calls = await callsOf(a, async () => {
    for (let seconds = 0; seconds < 60; seconds++) {
      server.clock.advance(1000);
      await a.tree.getattr(p('f'), 0);
      await settle();
    }
  });
  assert.deepEqual(Object.keys(calls), ['renewLeases']);
  await server.close();
});

test('files with several names are asked for each time', async () => {
  const server = createServer();
  await server.memory.mkdir(p('d'), 0o755, OWNER);
  await writeFile(server.memory, p('f'), text('old'));
  await server.memory.link(p('f'), 0, p('d/g'));
  const a = server.connect();
  const b = server.connect();
  await list(a.tree, p(''));
  assert.equal((await a.tree.getattr(p('f'), 0)).nlink, 2);
  await writeFile(b.tree, p('d/g'), text('newer'));
  assert.equal((await a.tree.getattr(p('f'), 0)).size, 5);
  await server.close();
});

test('an offline peer is EHOSTDOWN at once, also for what was cached', async () => {
  const server = createServer();
  await writeFile(server.memory, p('f'), text('x'));
  const a = server.connect();
  await list(a.tree, p(''));
  a.channel.setState('offline');
  await fails(a.tree.getattr(p('f'), 0), 'EHOSTDOWN');
  await fails(list(a.tree, p('')), 'EHOSTDOWN');
  a.channel.setState('live');
  assert.equal((await a.tree.getattr(p('f'), 0)).size, 1);
  await server.close();
});

/** The server's node is another one: it knows no handle. */
function restart(client: Client): void {
  client.serverChannel.restarted();
  client.channel.restarted();
}

test('an open file goes on after a restart of the server if it still stands at its path', async () => {
  const server = createServer();
  await writeFile(server.memory, p('f'), text('hello'));
  const a = server.connect();
  const { handle } = await openFile(a.tree, p('f'), OPEN.read | OPEN.write, 0);
  restart(a);
  assert.equal(Buffer.from(await a.tree.read(handle, 0, 10)).toString(), 'hello');
  await a.tree.write(handle, 5, text(' world'));
  await a.tree.flush(handle, 0n);
  assert.equal((await readFile(a.tree, p('f'))).toString(), 'hello world');
  await server.close();
});

test('an open file whose path has another file after a restart is stale', async () => {
  const server = createServer();
  await writeFile(server.memory, p('f'), text('hello'));
  const a = server.connect();
  const { handle } = await openFile(a.tree, p('f'), OPEN.read);
  await server.memory.unlink(p('f'));
  await writeFile(server.memory, p('f'), text('other'));
  restart(a);
  await fails(a.tree.read(handle, 0, 10), 'ESTALE');
  await a.tree.release(handle);
  await server.close();
});

test('a handle whose locks were lost fails', async () => {
  const server = createServer();
  await writeFile(server.memory, p('f'), text('hello'));
  const a = server.connect();
  const { handle } = await openFile(a.tree, p('f'), OPEN.read | OPEN.write);
  const lock = { owner: 1n, kind: 0, type: 1, start: 0n, end: 9n, pid: 1 } as const;
  await a.tree.lock(handle, lock);
  restart(a);
  await fails(a.tree.read(handle, 0, 10), 'EIO');
  await fails(a.tree.write(handle, 0, text('x')), 'EIO');
  await fails(a.tree.lock(handle, { ...lock, start: 20n, end: 29n }), 'ENOLCK');
  await fails(a.tree.testLock(handle, lock), 'ENOLCK');
  await a.tree.release(handle);
  await server.close();
});

test('a write whose outcome a restart hid is made again; a mkdir is not', async () => {
  const server = createServer();
  await writeFile(server.memory, p('f'), text('hello'));
  const a = server.connect();
  const { handle } = await openFile(a.tree, p('f'), OPEN.read | OPEN.write);
  const unknown = (names: string[]) => (name: string) => {
    if (!names.includes(name)) return undefined;
    a.channel.beforeReply = () => undefined;
    restart(a);
    return Promise.reject(Object.assign(new Error('restarted'), { code: 'OUTCOME_UNKNOWN' }));
  };
  a.channel.beforeReply = unknown(['write']);
  await a.tree.write(handle, 0, text('HELLO'));
  await a.tree.fsync(handle, false);
  assert.equal((await readFile(server.memory, p('f'))).toString(), 'HELLO');
  a.channel.beforeReply = unknown(['mkdir']);
  await fails(a.tree.mkdir(p('d'), 0o755, OWNER), 'EIO');
  await server.close();
});

test('sizes of unwritten bytes are seen, and errors come at the next flush', async () => {
  const server = createServer();
  await writeFile(server.memory, p('f'), text(''));
  const a = server.connect();
  const { handle } = await openFile(a.tree, p('f'), OPEN.write);
  let release = () => {};
  const held = new Promise<void>((resolve) => (release = resolve));
  a.channel.beforeReply = (name) => (name === 'write' ? held : undefined);
  await a.tree.write(handle, 0, Buffer.alloc(3 * 1024 * 1024));
  assert.equal((await a.tree.getattr(p('f'), 0)).size, 3 * 1024 * 1024);
  const [row] = (await a.tree.readDirectory(await a.tree.openDirectory(p('')), 0n, 10)).entries;
  assert.equal(row?.attributes.size, 3 * 1024 * 1024);
  release();
  await a.tree.flush(handle, 0n);
  a.channel.beforeReply = (name) =>
    name === 'write' ? Promise.reject(Object.assign(new Error('full'), { code: 'ENOSPC' })) : undefined;
  await a.tree.write(handle, 0, text('x'));
  await fails(a.tree.flush(handle, 0n), 'ENOSPC');
  await a.tree.flush(handle, 0n);
  await a.tree.release(handle);
  await server.close();
});

test('bytes that are unwritten are in what is read', async () => {
  const server = createServer();
  await writeFile(server.memory, p('f'), text('aaaaaaaaaa'));
  const a = server.connect();
  const { handle } = await openFile(a.tree, p('f'), OPEN.read | OPEN.write);
  assert.equal(Buffer.from(await a.tree.read(handle, 0, 10)).toString(), 'aaaaaaaaaa');
  await a.tree.write(handle, 2, text('bb'));
  await a.tree.write(handle, 3, text('cc'));
  assert.equal(Buffer.from(await a.tree.read(handle, 0, 10)).toString(), 'aabccaaaaa');
  const second = await openFile(a.tree, p('f'), OPEN.read | OPEN.write, 100);
  await a.tree.write(second.handle, 0, text('X'));
  assert.equal(Buffer.from(await a.tree.read(handle, 0, 10)).toString(), 'Xabccaaaaa');
  await server.close();
});

test('appends of two peers do not overwrite each other', async () => {
  const server = createServer();
  await writeFile(server.memory, p('log'), text(''));
  const [a, b] = [server.connect(), server.connect()];
  const first = await openFile(a.tree, p('log'), OPEN.write | OPEN.append);
  const second = await openFile(b.tree, p('log'), OPEN.write | OPEN.append);
  await a.tree.write(first.handle, 0, text('one\n'));
  await b.tree.write(second.handle, 0, text('two\n'));
  assert.deepEqual(await a.tree.write(first.handle, 4, text('three\n')), { size: 14, end: 14 });
  assert.equal((await readFile(a.tree, p('log'))).toString(), 'one\ntwo\nthree\n');
  await server.close();
});

test('an open file follows renames of its own and of other peers', async () => {
  const server = createServer();
  await writeFile(server.memory, p('f'), text('x'));
  const [a, b] = [server.connect(), server.connect()];
  const { handle } = await openFile(a.tree, p('f'), OPEN.write);
  await b.tree.rename(p('f'), p('g'), 0);
  await writeFile(b.tree, p('f'), text('other'));
  assert.equal((await b.tree.getattr(p('g'), 0)).size, 1);
  await a.tree.write(handle, 0, text('longer'));
  await a.tree.flush(handle, 0n);
  assert.equal((await b.tree.getattr(p('g'), 0)).size, 6);
  assert.equal((await a.tree.getattr(p('f'), 0)).size, 5);
  assert.equal((await a.tree.getattr(p('g'), 0)).size, 6);
  await server.close();
});
