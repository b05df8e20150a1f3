import assert from 'node:assert/strict';
import { test } from 'node:test';
import { join, type ByteString } from '../../src/bytestring.ts';
import type { DirectoryEntry } from '../../src/wire/schema.ts';
import { settle } from '../manual-clock.ts';
import { createRandom } from '../wire/samples.ts';
import { createServer, p, type Client, type Server } from './remote-fixture.ts';
import { fails, list, writeFile } from './tree-contract.ts';

const OWNER = { uid: 0, gid: 0 };
const text = (value: string) => Buffer.from(value);
const S_IFMT = 0o170000;
const S_IFDIR = 0o040000;

interface Fixture {
  readonly server: Server;
  readonly a: Client;
  readonly b: Client;
}

/** `t` with `wide` directories, each with `deep` of them, each with two files. */
async function createFixture(wide: number, deep: number): Promise<Fixture> {
  const server = createServer();
  await server.memory.mkdir(p('t'), 0o755, OWNER);
  for (let i = 0; i < wide; i++) {
    await server.memory.mkdir(p(`t/d${i}`), 0o755, OWNER);
    for (let j = 0; j < deep; j++) {
      await server.memory.mkdir(p(`t/d${i}/e${j}`), 0o755, OWNER);
      for (const name of ['f', 'g']) await writeFile(server.memory, p(`t/d${i}/e${j}/${name}`), text(name));
    }
  }
  return { server, a: server.connect(), b: server.connect() };
}

/** What a client asked for since it was last asked. */
function callsOf({ channel }: Client): { openDirectory: number; listDirectory: number } {
  const { openDirectory = 0, listDirectory = 0 } = Object.fromEntries(channel.calls);
  channel.calls.clear();
  return { openDirectory, listDirectory };
}

type Order = (a: { name: string }, b: { name: string }) => number;

/** Lists the directory and all below it, depth first. @returns the paths of all files. */
async function walk({ tree }: Pick<Client, 'tree'>, top: ByteString, order?: Order): Promise<string[]> {
  const handle = await tree.openDirectory(top);
  const entries: DirectoryEntry[] = [];
  for (let end = false; !end;) {
    const listing = await tree.readDirectory(handle, entries.at(-1)?.cursor ?? 0n, 5000);
    entries.push(...listing.entries);
    ({ end } = listing);
  }
  await tree.release(handle);
  const files: string[] = [];
  const sorted = order === undefined ? entries : entries.sort(order);
  for (const { name, attributes } of sorted) {
    const path = join(top, name);
    if ((attributes.mode & S_IFMT) === S_IFDIR) files.push(...(await walk({ tree }, path, order)));
    else files.push(path);
  }
  return files;
}

test('the directories of a tree that is walked through are there before they are opened', async () => {
  const { server, a } = await createFixture(12, 10);
  const files = await walk(a, p('t'));
  assert.equal(files.length, 240);
  const { openDirectory, listDirectory } = callsOf(a);
  assert.ok(openDirectory <= 4, `${openDirectory} opened`);
  assert.ok(listDirectory <= 133, `${listDirectory} listed`);
  await server.close();
});

test('in the order of names and of inode numbers, too', async () => {
  const byName: Order = (x, y) => (x.name < y.name ? -1 : 1);
  for (const order of [byName, (x: { name: string }, y: { name: string }) => byName(y, x)]) {
    const { server, a } = await createFixture(12, 10);
    await walk(a, p('t'), order);
    const { openDirectory, listDirectory } = callsOf(a);
    assert.ok(openDirectory + listDirectory <= 140, `${openDirectory} opened, ${listDirectory} listed`);
    if (order === byName) assert.ok(openDirectory <= 30, `${openDirectory} opened`);
    await server.close();
  }
});

test('a look here and there is no walk', async () => {
  const { server, a } = await createFixture(12, 10);
  await list(a.tree, p('t'));
  await list(a.tree, p('t/d3'));
  await list(a.tree, p('t/d7/e1'));
  await server.clock.run(4000);
  await list(a.tree, p('t/d1'));
  await server.clock.run(4000);
  await list(a.tree, p('t/d2'));
  assert.equal(callsOf(a).listDirectory, 0);
  await server.close();
});

test('a walk that stops costs no more than its beginning', async () => {
  const { server, a } = await createFixture(40, 10);
  await list(a.tree, p('t'));
  await list(a.tree, p('t/d0'));
  await list(a.tree, p('t/d0/e0'));
  await settle();
  assert.ok(callsOf(a).listDirectory <= 24);
  await server.close();
});

test('the longer a walk goes on the more is asked for at once, with a bound', async () => {
  const { server, a } = await createFixture(4, 400);
  let waiting = 0;
  let most = 0;
  const held: (() => void)[] = [];
  a.channel.beforeReply = (name) => {
    if (name !== 'listDirectory') return undefined;
    waiting += 1;
    most = Math.max(most, waiting);
    return new Promise<void>((resolve) =>
      held.push(() => {
        waiting -= 1;
        resolve();
      }),
    );
  };
  const walked = walk(a, p('t'));
  const turn = settle().then(() => undefined);
  for (let done: string[] | undefined = await Promise.race([walked, turn]); done === undefined;) {
    for (const release of held.splice(0)) release();
    done = await Promise.race([walked, settle().then(() => undefined)]);
  }
  assert.ok(most > 32 && most <= 64, `${most} at once`);
  assert.ok(callsOf(a).openDirectory <= 4);
  await server.close();
});

test('nothing is listed ahead on a slow path, nor kept where the server cannot promise anything', async () => {
  const { server, a } = await createFixture(6, 6);
  a.channel.pace = 'slow';
  await walk(a, p('t'));
  assert.equal(callsOf(a).listDirectory, 0);
  await server.close();
  const other = await createFixture(6, 6);
  other.server.memory.watch = async () => false;
  await walk(other.b, p('t'));
  const { openDirectory, listDirectory } = callsOf(other.b);
  assert.equal(openDirectory, 43);
  assert.ok(listDirectory <= 43, `${listDirectory} listed`);
  await other.server.close();
});

test('large directories are left to who opens them', async () => {
  const { server, a } = await createFixture(3, 3);
  for (let index = 0; index < 1500; index++) await writeFile(server.memory, p(`t/d2/e2/many-${index}`), text(''));
  assert.equal((await walk(a, p('t'))).length, 1518);
  assert.ok(callsOf(a).openDirectory >= 1);
  await server.close();
});

test('what another changes while a listing is on its way is not forgotten', async () => {
  const { server, a, b } = await createFixture(3, 3);
  const held: (() => void)[] = [];
  a.channel.beforeReply = (name) =>
    name === 'listDirectory' ? new Promise<void>((resolve) => held.push(resolve)) : undefined;
  await list(a.tree, p('t'));
  await list(a.tree, p('t/d0'));
  await list(a.tree, p('t/d0/e0'));
  await settle();
  assert.ok(held.length > 2);
  const removed = b.tree.unlink(p('t/d0/e1/f'));
  const made = b.tree.mkdir(p('t/d0/e1/new'), 0o755, OWNER);
  await settle();
  a.channel.beforeReply = () => undefined;
  for (const release of held) release();
  await Promise.all([removed, made]);
  assert.deepEqual((await list(a.tree, p('t/d0/e1'))).sort(), ['g', 'new']);
  await server.close();
});

test('what a program changes itself while a listing is on its way is not forgotten', async () => {
  const { server, a } = await createFixture(3, 3);
  const held: (() => void)[] = [];
  await list(a.tree, p('t'));
  await list(a.tree, p('t/d0'));
  a.channel.beforeReply = (name) =>
    name === 'listDirectory' ? new Promise<void>((resolve) => held.push(resolve)) : undefined;
  await list(a.tree, p('t/d0/e0'));
  await settle();
  a.channel.beforeReply = () => undefined;
  await a.tree.rename(p('t/d0/e1'), p('t/d0/moved'), 0);
  await a.tree.unlink(p('t/d0/e2/f'));
  for (const release of held) release();
  await settle();
  await fails(list(a.tree, p('t/d0/e1')), 'ENOENT');
  assert.deepEqual((await list(a.tree, p('t/d0/moved'))).sort(), ['f', 'g']);
  assert.deepEqual(await list(a.tree, p('t/d0/e2')), ['g']);
  await server.close();
});

test('two who walk through a tree and change it see each what the other has done, whatever was listed ahead', async () => {
  const random = createRandom(29);
  const pick = (limit: number) => Math.floor(random() * limit);
  const { server, a, b } = await createFixture(5, 4);
  // Replies come late and in any order.
  for (const client of [a, b]) {
    client.channel.beforeReply = (name) => {
      if (name !== 'listDirectory' || random() < 0.5) return undefined;
      return settle().then(() => (random() < 0.5 ? settle() : undefined));
    };
  }
  const directories = async (tree: Client['tree'] | Server['memory']): Promise<ByteString[]> => {
    const found = [p('t')];
    for (const at of found) {
      const handle = await tree.openDirectory(at);
      for (const { name, attributes } of (await tree.readDirectory(handle, 0n, 5000)).entries) {
        if ((attributes.mode & S_IFMT) === S_IFDIR) found.push(join(at, name));
      }
      await tree.release(handle);
    }
    return found;
  };
  for (let round = 0; round < 300; round++) {
    const [walker, changer] = random() < 0.5 ? [a, b] : [b, a];
    const walking = random() < 0.7 ? walk(walker, p('t')).catch(() => []) : undefined;
    for (let turns = pick(6); turns > 0; turns--) await Promise.resolve();
    const all = await directories(server.memory);
    const at = all[pick(all.length)] ?? p('t');
    const name = p(`n${pick(6)}`);
    const path = join(at, name);
    const kind = pick(6);
    try {
      if (kind === 0) await changer.tree.mkdir(path, 0o755, OWNER);
      else if (kind === 1) await changer.tree.mknod(path, 0o644, OWNER, false);
      else if (kind === 2) await changer.tree.unlink(path);
      else if (kind === 3) await changer.tree.rename(path, join(at, p(`n${pick(6)}`)), 0);
      else if (kind === 4 && at !== 't') await changer.tree.rename(at, p(`t/n${pick(6)}`), 0);
      else if (at.split('/').length > 2) await changer.tree.rmdir(at);
    } catch {
      // Refused by what stands there: nothing changed.
    }
    // The change was answered: whoever looks now must see it.
    const [seen, truth] = await Promise.all([walk(walker, p('t')), walk({ tree: server.memory as never }, p('t'))]);
    assert.deepEqual(seen.sort(), truth.sort(), `round ${round}, ${kind} at ${at}`);
    await walking;
  }
  assert.ok(callsOf(a).listDirectory > 50);
  await server.close();
});

test('listings that were taken ahead go with their server', async () => {
  const { server, a } = await createFixture(4, 4);
  await list(a.tree, p('t'));
  await list(a.tree, p('t/d0'));
  await list(a.tree, p('t/d0/e0'));
  await settle();
  a.tree.serverRestarted();
  callsOf(a);
  await list(a.tree, p('t/d0/e1'));
  assert.equal(callsOf(a).openDirectory, 1);
  await server.close();
});
