import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ByteString } from '../../src/bytestring.ts';
import type { DirectoryRow, EntryReply, KernelNotifier, OpenIntent, RequestContext } from '../../src/fs/kernel.ts';
import { createMount, type Mount } from '../../src/fs/mount.ts';
import type { MountFileSystemOptions } from '../../src/fs/mount-core.ts';
import type { MountedPeer } from '../../src/fs/mount-peers.ts';
import { staysInside } from '../../src/fs/mount-names.ts';
import { silentLogger } from '../../src/log.ts';
import { settle } from '../manual-clock.ts';
import { createMemoryTree } from './memory-tree.ts';
import { createServer, folder, p, type Client, type Server } from './remote-fixture.ts';
import { fails, openFile, readFile, writeFile } from './tree-contract.ts';

const OWNER = { uid: 0, gid: 0 };
const ROOT = 1;
const context: RequestContext = { uid: 1000, gid: 1000, pid: 1, signal: new AbortController().signal };
const READ: OpenIntent = {
  read: true,
  write: false,
  append: false,
  truncate: false,
  exclusive: false,
  sync: false,
  dataSync: false,
  direct: false,
};
const WRITE: OpenIntent = { ...READ, write: true };
const text = (value: string) => Buffer.from(value);

interface Fixture {
  readonly mount: Mount;
  readonly peers: { name: string; server: Server; client: Client }[];
  readonly told: string[];
  changePeers(list: readonly MountedPeer[]): void;
  close(): Promise<void>;
}

function createFixture(names: readonly string[], options: Partial<MountFileSystemOptions> = {}): Fixture {
  const peers = names.map((name) => {
    const server = createServer();
    return { name, server, client: server.connect() };
  });
  let list: readonly MountedPeer[] = peers.map(({ name, client }) => ({
    petname: p(name),
    peerId: `id of ${name}`,
    remote: client.remote,
  }));
  const listeners = new Set<() => void>();
  const clock = peers[0]?.server.clock;
  assert.ok(clock);
  const mount = createMount({
    peers: {
      list: () => list,
      onChange: (listener) => {
        listeners.add(listener);
        return () => listeners.delete(listener);
      },
    },
    uid: 1000,
    gid: 1000,
    inodeKey: Buffer.alloc(16, 7),
    readOnly: false,
    clock,
    log: silentLogger,
    ...options,
  });
  const told: string[] = [];
  const notifier: KernelNotifier = {
    invalidateInode: (node, offset, length) => void told.push(`inode ${node} ${offset} ${length}`),
    invalidateEntry: (parent, name) => void told.push(`entry ${parent} ${name}`),
    deleteEntry: (parent, child, name) => void told.push(`delete ${parent} ${child} ${name}`),
  };
  mount.setNotifier(notifier);
  return {
    mount,
    peers,
    told,
    changePeers: (next) => {
      list = next;
      for (const listener of listeners) listener();
    },
    close: async () => {
      await mount.close();
      for (const { server } of peers) await server.close();
    },
  };
}

async function find(mount: Mount, path: string): Promise<EntryReply> {
  let entry: EntryReply | undefined;
  for (const name of path.split('/')) {
    const found = await mount.lookup(entry?.node ?? ROOT, p(name), context);
    assert.ok(found.node !== 0, `${name} of ${path} is there`);
    entry = found as EntryReply;
  }
  assert.ok(entry);
  return entry;
}

async function isAbsent(mount: Mount, parent: number, name: string): Promise<boolean> {
  return (await mount.lookup(parent, p(name), context)).node === 0;
}

/** All rows, `batch` a call. */
async function rows(mount: Mount, node: number, batch = 100, plus = true): Promise<DirectoryRow[]> {
  const { handle } = await mount.opendir(node, context);
  const all: DirectoryRow[] = [];
  for (;;) {
    let left = batch;
    const before = all.length;
    const add = (row: DirectoryRow) => {
      if (left === 0) return false;
      left -= 1;
      all.push(row);
      return true;
    };
    await mount.readdir(handle, all.at(-1)?.cursor ?? 0n, plus, add, context);
    if (all.length === before) break;
  }
  await mount.releasedir(handle);
  return all;
}

const namesOf = (found: readonly DirectoryRow[]): ByteString[] =>
  found.map(({ name }) => name).filter((name) => name !== '.' && name !== '..');

function peerOf(fixture: Fixture, index = 0): Fixture['peers'][number] {
  const peer = fixture.peers[index];
  assert.ok(peer);
  return peer;
}

test('the root lists all peers, online or not, and nothing can be made in it', async () => {
  const fixture = createFixture(['alice', 'bob']);
  const { mount } = fixture;
  peerOf(fixture, 1).client.channel.setState('offline');
  assert.deepEqual(namesOf(await rows(mount, ROOT)), ['alice', 'bob']);
  await fails(mount.mkdir(ROOT, p('carol'), 0o755, context), 'EPERM');
  await fails(mount.mkdir(ROOT, p('bob'), 0o755, context), 'EEXIST');
  await fails(mount.rmdir(ROOT, p('bob'), context), 'EBUSY');
  await fails(mount.rename(ROOT, p('bob'), ROOT, p('robert'), 0, context), 'EBUSY');
  await fixture.close();
});

test('an offline peer fails at once while its folder and other peers answer', async () => {
  const fixture = createFixture(['alice', 'bob']);
  const { mount } = fixture;
  const bob = await find(mount, 'bob');
  const { channel } = peerOf(fixture, 1).client;
  channel.setState('offline');
  channel.calls.clear();
  assert.equal((await mount.getattr(bob.node, undefined, context)).attributes.mode, 0o040700);
  await fails(mount.opendir(bob.node, context), 'EHOSTDOWN');
  await fails(mount.lookup(bob.node, p('x'), context), 'EHOSTDOWN');
  assert.deepEqual([...channel.calls], []);
  const alice = await find(mount, 'alice');
  assert.deepEqual(namesOf(await rows(mount, alice.node)), []);
  channel.setState('live');
  assert.deepEqual(namesOf(await rows(mount, bob.node)), []);
  await fixture.close();
});

test("a peer's folder shows the inbox and the shares; a share whose name is taken is shown renamed and stays so", async () => {
  const fixture = createFixture(['alice']);
  const { mount } = fixture;
  const { server } = peerOf(fixture);
  const photos = createMemoryTree({ clock: server.clock });
  await writeFile(photos, p('cat.jpg'), text('meow'));
  await writeFile(server.memory, p('Photos'), text('mine'));
  server.folders = [...server.folders, folder(1, 'Photos', photos), folder(2, 'Music', photos, false)];
  server.sharesChanged();
  await settle();
  const alice = await find(mount, 'alice');
  assert.deepEqual(namesOf(await rows(mount, alice.node)), ['Photos (share)', 'Music', 'Photos']);
  assert.equal((await find(mount, 'alice/Photos (share)/cat.jpg')).attributes.size, 4);
  assert.equal((await find(mount, 'alice/Photos')).attributes.size, 4);
  await server.memory.local.unlink(p('Photos'));
  server.sharesChanged();
  await settle();
  assert.deepEqual(namesOf(await rows(mount, alice.node)), ['Photos (share)', 'Music']);

  await writeFile(server.memory.local, p('Music'), text('x'));
  assert.deepEqual(namesOf(await rows(mount, alice.node)), ['Photos (share)', 'Music', 'Music (inbox)']);
  assert.equal((await find(mount, 'alice/Music (inbox)')).attributes.size, 1);
  await photos.close();
  await fixture.close();
});

test('folders of shares cannot be renamed or removed, and shares are file systems of their own', async () => {
  const fixture = createFixture(['alice', 'bob']);
  const { mount } = fixture;
  const { server } = peerOf(fixture);
  const shared = createMemoryTree({ clock: server.clock });
  server.folders = [...server.folders, folder(1, 'S', shared), folder(2, 'R', createMemoryTree(), false)];
  server.sharesChanged();
  await settle();
  const alice = await find(mount, 'alice');
  const bob = await find(mount, 'bob');
  const s = await find(mount, 'alice/S');
  const r = await find(mount, 'alice/R');
  await fails(mount.rmdir(alice.node, p('S'), context), 'EBUSY');
  await fails(mount.rename(alice.node, p('S'), alice.node, p('T'), 0, context), 'EBUSY');
  await fails(mount.mkdir(alice.node, p('S'), 0o755, context), 'EEXIST');
  await fails(mount.mkdir(r.node, p('x'), 0o755, context), 'EROFS');
  const { entry } = await mount.create(alice.node, p('f'), 0o644, WRITE, context);
  await fails(mount.rename(alice.node, p('f'), s.node, p('f'), 0, context), 'EXDEV');
  await fails(mount.rename(alice.node, p('f'), bob.node, p('f'), 0, context), 'EXDEV');
  await fails(mount.link(entry.node, s.node, p('f'), context), 'EXDEV');
  await mount.rename(alice.node, p('f'), alice.node, p('g'), 0, context);
  assert.equal((await find(mount, 'alice/g')).node, entry.node);
  await shared.close();
  await fixture.close();
});

test('files with equal inode numbers at two peers, and in two shares, have different numbers here', async () => {
  const fixture = createFixture(['alice', 'bob']);
  for (const { server } of fixture.peers) await writeFile(server.memory, p('f'), text('x'));
  const [a, b] = [peerOf(fixture, 0).server.memory, peerOf(fixture, 1).server.memory];
  assert.equal((await a.getattr(p('f'), 0)).inode, (await b.getattr(p('f'), 0)).inode);
  const first = (await find(fixture.mount, 'alice/f')).attributes.inode;
  const second = (await find(fixture.mount, 'bob/f')).attributes.inode;
  assert.notEqual(first, second);
  const alice = await find(fixture.mount, 'alice');
  for (const plus of [true, false]) {
    const row = (await rows(fixture.mount, alice.node, 100, plus)).find(({ name }) => name === 'f');
    assert.equal(row?.inode, first);
  }
  await fixture.close();
});

test('hard links are one node', async () => {
  const fixture = createFixture(['alice']);
  const { mount } = fixture;
  const alice = await find(mount, 'alice');
  const { entry, open } = await mount.create(alice.node, p('f'), 0o644, WRITE, context);
  const linked = await mount.link(entry.node, alice.node, p('g'), context);
  assert.equal(linked.node, entry.node);
  assert.equal(linked.attributes.nlink, 2);
  assert.equal(linked.attributesMs, 0);
  await mount.unlink(alice.node, p('f'), context);
  assert.equal((await mount.getattr(entry.node, undefined, context)).attributes.nlink, 1);
  await mount.release(open.handle);
  await fixture.close();
});

test('of a file of several names one goes on when another client removes or replaces another', async () => {
  for (const kept of ['f', 'g']) {
    const fixture = createFixture(['alice']);
    const { mount, told } = fixture;
    const { server } = peerOf(fixture);
    await writeFile(server.memory.local, p('f'), text('one file'));
    await server.memory.local.link(p('f'), 0, p('g'));
    const alice = await find(mount, 'alice');
    const [node, other] = [(await find(mount, 'alice/f')).node, (await find(mount, 'alice/g')).node];
    assert.equal(node, other);
    const lost = kept === 'f' ? 'g' : 'f';
    const elsewhere = server.connect().tree;
    await elsewhere.unlink(p(lost));
    await settle();
    assert.ok(told.includes(`entry ${alice.node} f`) && told.includes(`entry ${alice.node} g`), told.join());
    const opened = await mount.open(node, READ, context);
    assert.equal(Buffer.concat(await mount.read(opened.handle, 0, 20, context)).toString(), 'one file');
    await mount.release(opened.handle);
    // The kernel may still hold the name when it opens.
    await find(mount, `alice/${kept}`);
    await server.memory.local.link(p(kept), 0, p(lost));
    await find(mount, `alice/${lost}`);
    await elsewhere.unlink(p(lost));
    await writeFile(elsewhere, p(lost), text('another'));
    const truncated = await mount.open(node, { ...WRITE, truncate: true }, context);
    await mount.release(truncated.handle);
    assert.equal((await mount.getattr(node, undefined, context)).attributes.size, 0);
    assert.equal((await readFile(server.memory.local, p(lost))).toString(), 'another');
    assert.equal(
      (await mount.getattr((await find(mount, `alice/${lost}`)).node, undefined, context)).attributes.size,
      7,
    );
    await fixture.close();
  }
});

test('a file of several names is reached though one stood in a directory that others removed', async () => {
  const fixture = createFixture(['alice']);
  const { mount } = fixture;
  const { local } = peerOf(fixture).server.memory;
  for (const directory of ['d1', 'd2']) await local.mkdir(p(directory), 0o755, OWNER);
  await writeFile(local, p('d1/a'), text('one file'));
  await local.link(p('d1/a'), 0, p('d2/b'));
  const { node } = await find(mount, 'alice/d2/b');
  assert.equal((await find(mount, 'alice/d1/a')).node, node);
  await local.unlink(p('d1/a'));
  await local.rmdir(p('d1'));
  await settle();
  const alice = await find(mount, 'alice');
  assert.ok(await isAbsent(mount, alice.node, 'd1'));
  assert.equal((await mount.getattr(node, undefined, context)).attributes.size, 8);
  const opened = await mount.open(node, READ, context);
  await mount.release(opened.handle);
  await fixture.close();
});

test('where another file stands under the name that is opened, the kernel looks again', async () => {
  const fixture = createFixture(['alice']);
  const { mount } = fixture;
  const { memory } = peerOf(fixture).server;
  await writeFile(memory.local, p('f'), text('old'));
  const { node } = await find(mount, 'alice/f');
  await memory.local.unlink(p('f'));
  await writeFile(memory.local, p('f'), text('new'));
  await fails(mount.open(node, WRITE, context), 'ESTALE');
  const again = await mount.open((await find(mount, 'alice/f')).node, READ, context);
  assert.equal(Buffer.concat(await mount.read(again.handle, 0, 20, context)).toString(), 'new');
  await mount.release(again.handle);
  await fixture.close();
});

test('a file that is removed while open goes on', async () => {
  const fixture = createFixture(['alice']);
  const { mount } = fixture;
  const alice = await find(mount, 'alice');
  const { entry, open } = await mount.create(alice.node, p('f'), 0o644, WRITE, context);
  await mount.unlink(alice.node, p('f'), context);
  assert.ok(await isAbsent(mount, alice.node, 'f'));
  await mount.write(open.handle, 0, text('hello'), false, context);
  const found = await mount.getattr(entry.node, undefined, context);
  assert.deepEqual([found.attributes.nlink, found.attributes.size], [0, 5]);
  await mount.setattr(entry.node, { size: 2, handle: open.handle }, context);
  assert.equal(Buffer.concat(await mount.read(open.handle, 0, 10, context)).toString(), 'he');
  await mount.flush(open.handle, 0n, context);
  await mount.release(open.handle);
  mount.forget(entry.node, 1);
  await fails(mount.getattr(entry.node, undefined, context), 'ESTALE');
  await peerOf(fixture).server.clock.run(100);
  assert.equal(peerOf(fixture).server.memory.handleCount, 0);
  await fixture.close();
});

test('a file that is made here first keeps its number, and the kernel keeps little of what is said of it', async () => {
  const fixture = createFixture(['alice']);
  const { mount } = fixture;
  const { server, client } = peerOf(fixture);
  const alice = await find(mount, 'alice');
  const d = await mount.mkdir(alice.node, p('d'), 0o755, context);
  client.channel.calls.clear();
  const { entry, open } = await mount.create(d.node, p('f'), 0o640, { ...WRITE, exclusive: true }, context);
  assert.ok(entry.entryMs > 1000 && entry.attributesMs > 0 && entry.attributesMs < 100);
  assert.equal(await mount.write(open.handle, 0, text('hello'), false, context), 5);
  const chowned = await mount.setattr(entry.node, { uid: 1000, gid: 1000 }, context);
  assert.deepEqual([chowned.attributes.size, chowned.attributesMs], [5, 0]);
  await mount.setattr(entry.node, { mode: 0o600 }, context);
  await fails(mount.setattr(entry.node, { uid: 1 }, context), 'EPERM');
  assert.deepEqual([...client.channel.calls], []);
  await mount.flush(open.handle, 0n, context);
  assert.deepEqual([...client.channel.calls], [['createFile', 1]]);
  await mount.getattr(d.node, undefined, context);
  const now = await mount.getattr(entry.node, undefined, context);
  assert.equal(now.attributes.inode, entry.attributes.inode);
  assert.ok(now.attributesMs > 1000);
  assert.deepEqual([...client.channel.calls], [['createFile', 1]]);
  const found = await find(mount, 'alice/d/f');
  assert.deepEqual([found.node, found.attributes.inode], [entry.node, entry.attributes.inode]);
  for (const plus of [true, false]) {
    const row = (await rows(mount, d.node, 100, plus)).find(({ name }) => name === 'f');
    assert.equal(row?.inode, entry.attributes.inode);
  }
  assert.equal((await server.memory.getattr(p('d/f'), 0)).mode, 0o100600);
  await fixture.close();
});

test('the kernel is told to forget a name that was made here first and refused by the peer', async () => {
  const fixture = createFixture(['alice']);
  const { mount, told } = fixture;
  const { server } = peerOf(fixture);
  const alice = await find(mount, 'alice');
  const d = await mount.mkdir(alice.node, p('d'), 0o755, context);
  const { entry, open } = await mount.create(d.node, p('f'), 0o640, { ...WRITE, exclusive: true }, context);
  await writeFile(server.memory, p('d/f'), text('theirs'));
  told.length = 0;
  await fails(mount.flush(open.handle, 0n, context), 'EEXIST');
  assert.ok(told.includes(`entry ${d.node} f`), told.join());
  await fails(mount.getattr(entry.node, open.handle, context), 'EEXIST');
  const other = await find(mount, 'alice/d/f');
  assert.notEqual(other.node, entry.node);
  assert.equal(other.attributes.size, 6);
  await mount.release(open.handle);
  await fixture.close();
});

test('owners: chown to oneself succeeds, to others fails, modes are kept', async () => {
  const fixture = createFixture(['alice']);
  const { mount } = fixture;
  const alice = await find(mount, 'alice');
  const made = await mount.mkdir(alice.node, p('d'), 0o750, context);
  assert.deepEqual([made.attributes.uid, made.attributes.gid, made.attributes.mode & 0o777], [1000, 1000, 0o750]);
  await mount.setattr(made.node, { uid: 1000, gid: 1000 }, context);
  await fails(mount.setattr(made.node, { uid: 0 }, context), 'EPERM');
  await fails(mount.setattr(made.node, { gid: 5 }, context), 'EPERM');
  await mount.setattr(alice.node, { mtime: { sec: 5, nsec: 7 } }, context);
  assert.equal((await mount.getattr(alice.node, undefined, context)).attributes.mtimeNsec, 7);
  await fixture.close();
});

test('a link with several names is judged by the one that stands highest', async () => {
  const fixture = createFixture(['alice'], { links: 'confined' });
  const { mount } = fixture;
  const alice = await find(mount, 'alice');
  const d = await mount.mkdir(alice.node, p('d'), 0o755, context);
  const e = await mount.mkdir(d.node, p('e'), 0o755, context);
  const link = await mount.symlink(e.node, p('l'), text('../../x'), context);
  assert.equal(Buffer.from(await mount.readlink(link.node, context)).toString(), '../../x');
  await mount.link(link.node, alice.node, p('l'), context);
  await fails(mount.readlink(link.node, context), 'EPERM');
  await mount.link(link.node, e.node, p('again'), context);
  await fails(mount.readlink(link.node, context), 'EPERM');
  await mount.unlink(alice.node, p('l'), context);
  assert.equal(Buffer.from(await mount.readlink(link.node, context)).toString(), '../../x');
  await fixture.close();
});

test('links that could lead out of their share cannot be read unless verbatim', async () => {
  for (const [target, depth, inside] of [
    ['a/b', 0, true],
    ['../x', 1, true],
    ['./../x', 1, true],
    ['../x', 0, false],
    ['../../x', 1, false],
    ['/etc/passwd', 3, false],
    ['d/../x', 3, false],
    ['..', 1, true],
  ] as const) {
    assert.equal(staysInside(text(target), depth), inside, `${target} at depth ${depth}`);
  }
  for (const links of ['confined', 'verbatim'] as const) {
    const fixture = createFixture(['alice'], { links });
    const alice = await find(fixture.mount, 'alice');
    const link = await fixture.mount.symlink(alice.node, p('l'), text('/etc/passwd'), context);
    if (links === 'confined') await fails(fixture.mount.readlink(link.node, context), 'EPERM');
    else assert.equal(Buffer.from(await fixture.mount.readlink(link.node, context)).toString(), '/etc/passwd');
    await fixture.close();
  }
});

test('the kernel keeps pages of a file that nobody changed since, and only of that', async () => {
  const fixture = createFixture(['alice']);
  const { mount } = fixture;
  const { server } = peerOf(fixture);
  await writeFile(server.memory, p('f'), text('one'));
  const other = server.connect();
  const f = await find(mount, 'alice/f');
  const open = async () => {
    const opened = await mount.open(f.node, READ, context);
    await mount.read(opened.handle, 0, 100, context);
    await mount.flush(opened.handle, 0n, context);
    await mount.release(opened.handle);
    return opened.keepCache;
  };
  assert.equal(await open(), false);
  assert.equal(await open(), true);
  fixture.told.length = 0;
  await writeFile(other.tree, p('f'), text('two'));
  assert.ok(fixture.told.includes(`inode ${f.node} 0 0`));
  assert.equal(await open(), false);
  assert.equal(await open(), true);
  const writing = await mount.open(f.node, WRITE, context);
  await mount.write(writing.handle, 0, text('three'), false, context);
  await mount.flush(writing.handle, 0n, context);
  await mount.release(writing.handle);
  assert.equal(await open(), true);
  await fixture.close();
});

test('names that others make, remove and change are told to the kernel', async () => {
  const fixture = createFixture(['alice']);
  const { mount, told } = fixture;
  const { server } = peerOf(fixture);
  await server.memory.mkdir(p('d'), 0o755, OWNER);
  await writeFile(server.memory, p('d/f'), text('x'));
  const other = server.connect();
  const d = await find(mount, 'alice/d');
  const f = await find(mount, 'alice/d/f');
  await mount.getattr(f.node, undefined, context);
  assert.ok(await isAbsent(mount, d.node, 'new'));
  told.length = 0;
  await other.tree.mkdir(p('d/new'), 0o755, OWNER);
  assert.ok(told.includes(`entry ${d.node} new`));
  assert.ok(told.includes(`entry ${d.node} f`));
  assert.ok(!(await isAbsent(mount, d.node, 'new')));
  await find(mount, 'alice/d/f');
  told.length = 0;
  await other.tree.setattr(p('d/f'), 0, { mode: 0o600 });
  assert.deepEqual(told, [`inode ${f.node} 0 -1`]);
  await find(mount, 'alice/d/f');
  await other.tree.rename(p('d'), p('e'), 0);
  assert.ok(await isAbsent(mount, (await find(mount, 'alice')).node, 'd'));
  assert.equal((await find(mount, 'alice/e')).node, d.node);
  assert.equal((await find(mount, 'alice/e/f')).node, f.node);
  await fixture.close();
});

test('a file that was replaced under its name is stale for who knew the old one', async () => {
  const fixture = createFixture(['alice']);
  const { mount } = fixture;
  const { server } = peerOf(fixture);
  await writeFile(server.memory, p('f'), text('x'));
  const other = server.connect();
  const f = await find(mount, 'alice/f');
  await writeFile(other.tree, p('g'), text('longer'));
  await other.tree.rename(p('g'), p('f'), 0);
  await fails(mount.getattr(f.node, undefined, context), 'ESTALE');
  assert.equal((await find(mount, 'alice/f')).attributes.size, 6);
  await fixture.close();
});

test('a listing goes on where it stopped, counts what it delivers, and starts anew from the beginning', async () => {
  const fixture = createFixture(['alice']);
  const { mount } = fixture;
  const { server } = peerOf(fixture);
  await server.memory.mkdir(p('d'), 0o755, OWNER);
  for (let index = 0; index < 25; index++) await writeFile(server.memory, p(`d/${index}`), text('x'));
  const d = await find(mount, 'alice/d');
  for (const batch of [1, 7, 100]) assert.equal(new Set(namesOf(await rows(mount, d.node, batch))).size, 25);
  const { handle } = await mount.opendir(d.node, context);
  const seen: DirectoryRow[] = [];
  const take = (row: DirectoryRow) => seen.push(row) > 0;
  await mount.readdir(handle, 0n, true, take, context);
  await mount.unlink(d.node, p('0'), context);
  seen.length = 0;
  await mount.readdir(handle, 0n, true, take, context);
  assert.ok(seen.length === 27 || seen.length === 26);
  await mount.releasedir(handle);
  assert.equal(namesOf(await rows(mount, d.node)).length, 24);
  await fixture.close();
});

test('whoever is interrupted gets EINTR, and what came too late is given back', async () => {
  const fixture = createFixture(['alice']);
  const { mount } = fixture;
  const { server, client } = peerOf(fixture);
  await writeFile(server.memory, p('f'), text('x'));
  const f = await find(mount, 'alice/f');
  let release = () => {};
  client.channel.beforeReply = (name) =>
    name === 'open' ? new Promise<void>((resolve) => (release = resolve)) : undefined;
  const abort = new AbortController();
  const opening = mount.open(f.node, READ, { ...context, signal: abort.signal });
  await settle();
  abort.abort();
  await fails(opening, 'EINTR');
  release();
  await settle();
  await server.clock.run(100);
  assert.equal(server.memory.handleCount, 0);
  await fixture.close();
});

test('locks hold between mounts, and a wait ends with its caller', async () => {
  const fixture = createFixture(['alice']);
  const { mount } = fixture;
  const { server } = peerOf(fixture);
  await writeFile(server.memory, p('f'), text('x'));
  const other = server.connect();
  const held = await openFile(other.tree, p('f'), 3);
  await other.tree.lock(held.handle, { owner: 1n, kind: 0, type: 1, start: 0n, end: 9n, pid: 4 });
  const f = await find(mount, 'alice/f');
  const { handle } = await mount.open(f.node, WRITE, context);
  const lock = { owner: 1n, kind: 0, type: 1, start: 5n, end: 5n, pid: 7 };
  await fails(mount.setlk(handle, lock, false, context), 'EAGAIN');
  assert.equal((await mount.getlk(handle, lock, context))?.pid, 0);
  const abort = new AbortController();
  const waiting = mount.setlk(handle, lock, true, { ...context, signal: abort.signal });
  await settle();
  abort.abort();
  await fails(waiting, 'EINTR');
  const second = mount.setlk(handle, lock, true, context);
  await settle();
  await other.tree.release(held.handle);
  await second;
  await mount.release(handle);
  await fixture.close();
});

test('a read-only mount changes nothing', async () => {
  const fixture = createFixture(['alice'], { readOnly: true });
  const { mount } = fixture;
  await writeFile(peerOf(fixture).server.memory, p('f'), text('x'));
  const alice = await find(mount, 'alice');
  const f = await find(mount, 'alice/f');
  await fails(mount.mkdir(alice.node, p('d'), 0o755, context), 'EROFS');
  await fails(mount.open(f.node, WRITE, context), 'EROFS');
  await fails(mount.setattr(f.node, { mode: 0o600 }, context), 'EROFS');
  await fails(mount.unlink(alice.node, p('f'), context), 'EROFS');
  await fixture.close();
});

test('peers that come, go and are renamed change the root', async () => {
  const fixture = createFixture(['alice', 'bob']);
  const { mount } = fixture;
  const [alice, bob] = fixture.peers.map(({ name, client }) => ({
    petname: p(name),
    peerId: `id of ${name}`,
    remote: client.remote,
  }));
  assert.ok(alice && bob);
  const before = await find(mount, 'bob');
  fixture.changePeers([{ ...bob, petname: p('robert') }]);
  assert.deepEqual(namesOf(await rows(mount, ROOT)), ['robert']);
  assert.equal((await find(mount, 'robert')).node, before.node);
  assert.ok(await isAbsent(mount, ROOT, 'alice'));
  await fixture.close();
});

test('names too long are refused as such', async () => {
  const fixture = createFixture(['alice']);
  const alice = await find(fixture.mount, 'alice');
  await fails(fixture.mount.lookup(alice.node, p('n'.repeat(256)), context), 'ENAMETOOLONG');
  await fails(fixture.mount.mkdir(alice.node, p('n'.repeat(256)), 0o755, context), 'ENAMETOOLONG');
  await fixture.mount.mkdir(alice.node, p('n'.repeat(255)), 0o755, context);
  await fixture.close();
});

test('a large file written and read through the mount keeps its bytes', async () => {
  const fixture = createFixture(['alice']);
  const { mount } = fixture;
  const alice = await find(fixture.mount, 'alice');
  const bytes = Buffer.alloc(5 * 1024 * 1024 + 123);
  for (let index = 0; index < bytes.length; index += 4) bytes.writeUInt32LE(index, Math.min(index, bytes.length - 4));
  const { entry, open } = await mount.create(alice.node, p('f'), 0o644, WRITE, context);
  for (let at = 0; at < bytes.length; at += 100_000) {
    await mount.write(open.handle, at, bytes.subarray(at, at + 100_000), false, context);
  }
  await mount.flush(open.handle, 0n, context);
  await mount.release(open.handle);
  assert.deepEqual(await readFile(peerOf(fixture).server.memory, p('f')), bytes);
  for (const step of [4096, 128 * 1024, 300_000, 1024 * 1024]) {
    const { handle } = await mount.open(entry.node, READ, context);
    const parts: Uint8Array[] = [];
    for (let at = 0; at < bytes.length; at += step) parts.push(...(await mount.read(handle, at, step, context)));
    assert.equal(Buffer.compare(Buffer.concat(parts), bytes), 0, `in steps of ${step}`);
    await mount.release(handle);
  }
  await fixture.close();
});
