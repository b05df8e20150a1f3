import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OPEN, type ReplyOf } from '../../src/wire/schema.ts';
import type { Handlers } from '../../src/net/channel.ts';
import { handlersOf } from '../net/channel-pair.ts';
import { settle } from '../manual-clock.ts';
import { createServer, p, type Client, type Server } from './remote-fixture.ts';
import { fails, list, openFile, readFile, writeFile } from './tree-contract.ts';

const OWNER = { uid: 0, gid: 0 };
const text = (value: string) => Buffer.from(value);
const nameOf = (index: number) => String(index).padStart(4, '0');
const contentsOf = (index: number) => text(`contents of ${index}`.padEnd(200 + (index % 7), '.'));

interface Fixture {
  readonly server: Server;
  readonly a: Client;
  readonly b: Client;
  /** Opens, reads whole and releases as the mount does. */
  read(client: Client, path: string): Promise<string>;
  close(): Promise<void>;
}

/** A directory `d` of files that client `a` has listed. */
async function createFixture(count: number): Promise<Fixture> {
  const server = createServer();
  await server.memory.mkdir(p('d'), 0o755, OWNER);
  for (let index = 0; index < count; index++)
    await writeFile(server.memory, p(`d/${nameOf(index)}`), contentsOf(index));
  const [a, b] = [server.connect(), server.connect()];
  await list(a.tree, p('d'), 4096);
  a.channel.calls.clear();
  return {
    server,
    a,
    b,
    read: async ({ tree }, path) => {
      const opened = await openFile(tree, p(path), OPEN.read, 128 * 1024);
      const bytes = await tree.read(opened.handle, 0, 1024 * 1024);
      await tree.release(opened.handle);
      return Buffer.from(bytes).toString();
    },
    close: () => server.close(),
  };
}

/** What a client asked for since it was last asked. */
function callsOf({ channel }: Client): Record<string, number> {
  const calls = Object.fromEntries(channel.calls);
  channel.calls.clear();
  return calls;
}

/** Answers the client's readFiles with what `change` makes of the true reply. */
function lie(
  { serverChannel, serving, remote }: Client,
  change: (reply: ReplyOf<'readFiles'>, payload: Uint8Array) => { reply: ReplyOf<'readFiles'>; payload: Uint8Array },
): void {
  const handlers: Handlers = {
    ...handlersOf({}),
    ...serving.handlers,
    ...remote.handlers,
    readFiles: async (request, context) => {
      const { reply, payload = new Uint8Array() } = await serving.handlers.readFiles(request, context);
      return change(reply, payload);
    },
  };
  serverChannel.serve(handlers, {});
}

test('a directory that is walked through costs two openings and a few calls for all the rest', async () => {
  const { a, read, close } = await createFixture(300);
  for (let index = 0; index < 300; index++)
    assert.equal(await read(a, `d/${nameOf(index)}`), contentsOf(index).toString());
  const { open, read: reads, readFiles } = callsOf(a);
  assert.equal(open, 2);
  assert.equal(reads, undefined);
  assert.ok(readFiles !== undefined && readFiles <= 12, `${readFiles} calls`);
  await close();
});

test('several programs that walk through parts of it at once are all served', async () => {
  const { a, read, close } = await createFixture(400);
  const walk = async (part: number) => {
    for (let index = part * 50; index < part * 50 + 50; index++) {
      assert.equal(await read(a, `d/${nameOf(index)}`), contentsOf(index).toString());
      await settle();
    }
  };
  await Promise.all(Array.from({ length: 8 }, (_, part) => walk(part)));
  const { open = 0, readFiles = 0 } = callsOf(a);
  // The first window is soon shared out.
  assert.ok(open + readFiles < 150, `${open} openings, ${readFiles} calls for many`);
  await close();
});

test('the order in which programs see inode numbers is followed', async () => {
  const { a, server, read, close } = await createFixture(100);
  const shown = (inode: bigint) => (inode * 2654435761n) % 4294967296n;
  a.tree.shownInodes(({ inode }) => shown(inode));
  const inodes = new Map<number, bigint>();
  for (let index = 0; index < 100; index++) {
    inodes.set(index, shown((await server.memory.getattr(p(`d/${nameOf(index)}`), 0)).inode));
  }
  const order = [...inodes].sort(([, x], [, y]) => (x < y ? -1 : 1)).map(([index]) => index);
  for (const index of order) assert.equal(await read(a, `d/${nameOf(index)}`), contentsOf(index).toString());
  assert.equal(callsOf(a)['open'], 2);
  await close();
});

test('a few files opened here and there have nothing fetched', async () => {
  const { a, read, close } = await createFixture(300);
  for (const index of [10, 200, 50, 120]) await read(a, `d/${nameOf(index)}`);
  await settle();
  assert.deepEqual(callsOf(a), { open: 4 });
  await close();
});

test('a program that stops has had little fetched for nothing', async () => {
  const { a, read, close } = await createFixture(300);
  for (let index = 0; index < 3; index++) await read(a, `d/${nameOf(index)}`);
  await settle();
  const { readFiles } = callsOf(a);
  assert.equal(readFiles, 1, 'one call of the first window');
  await close();
});

test('the next directory is fetched when it is listed', async () => {
  const { a, server, read, close } = await createFixture(50);
  await server.memory.mkdir(p('e'), 0o755, OWNER);
  for (let index = 0; index < 50; index++) await writeFile(server.memory, p(`e/${nameOf(index)}`), contentsOf(index));
  for (let index = 0; index < 50; index++) await read(a, `d/${nameOf(index)}`);
  await list(a.tree, p('e'), 4096);
  callsOf(a);
  for (let index = 0; index < 50; index++)
    assert.equal(await read(a, `e/${nameOf(index)}`), contentsOf(index).toString());
  assert.equal(callsOf(a)['open'], undefined);
  await close();
});

test('a tree of many small directories that is walked through costs no opening for each of them', async () => {
  const { a, server, read, close } = await createFixture(0);
  const directories = Array.from({ length: 40 }, (_, index) => `t/${nameOf(index)}`);
  await server.memory.mkdir(p('t'), 0o755, OWNER);
  for (const [index, directory] of directories.entries()) {
    await server.memory.mkdir(p(directory), 0o755, OWNER);
    for (let file = 0; file <= index % 3; file++)
      await writeFile(server.memory, p(`${directory}/${file}`), contentsOf(file));
  }
  await list(a.tree, p('t'));
  a.channel.calls.clear();
  for (const [index, directory] of directories.entries()) {
    await list(a.tree, p(directory));
    for (let file = 0; file <= index % 3; file++) {
      assert.equal(await read(a, `${directory}/${file}`), contentsOf(file).toString());
    }
    await settle();
  }
  const { open = 0 } = callsOf(a);
  assert.ok(open <= 6, `${open} openings`);
  await close();
});

test('nothing is fetched on a slow path', async () => {
  const { a, read, close } = await createFixture(50);
  a.channel.pace = 'slow';
  a.serverChannel.pace = 'slow';
  for (let index = 0; index < 20; index++) await read(a, `d/${nameOf(index)}`);
  assert.equal(callsOf(a)['readFiles'], undefined);
  await close();
});

test('large files are left out, and those between them are fetched', async () => {
  const { a, server, read, close } = await createFixture(40);
  const large = Buffer.alloc(200 * 1024, 'x');
  for (let index = 0; index < 40; index += 4) await writeFile(server.memory, p(`d/${nameOf(index)}`), large);
  await list(a.tree, p('d'), 4096);
  callsOf(a);
  for (let index = 0; index < 40; index++) {
    assert.equal(await read(a, `d/${nameOf(index)}`), (index % 4 === 0 ? large : contentsOf(index)).toString());
  }
  const { open } = callsOf(a);
  assert.ok(open !== undefined && open <= 12, `${open} openings`);
  await close();
});

test('a file that is opened again while its contents are at hand costs nothing', async () => {
  const { a, read, close } = await createFixture(5);
  await read(a, 'd/0003');
  callsOf(a);
  for (let round = 0; round < 5; round++) assert.equal(await read(a, 'd/0003'), contentsOf(3).toString());
  assert.deepEqual(callsOf(a), {});
  await close();
});

test('where looks are followed by openings the contents come with the look', async () => {
  const { a, b, server, read, close } = await createFixture(0);
  await server.memory.mkdir(p('e'), 0o755, OWNER);
  for (let index = 0; index < 40; index++) await writeFile(server.memory, p(`e/${nameOf(index)}`), contentsOf(index));
  const look = async (index: number) => {
    await a.tree.getattr(p(`e/${nameOf(index)}`), 0);
    assert.equal(await read(a, `e/${nameOf(index)}`), contentsOf(index).toString());
  };
  for (let index = 0; index < 39; index++) await look((index * 7) % 40);
  const { getattr = 0, open = 0, look: looks = 0 } = callsOf(a);
  assert.equal(getattr + looks, 39);
  assert.ok(open <= 6, `${open} openings`);
  const last = (39 * 7) % 40;
  await a.tree.getattr(p(`e/${nameOf(last)}`), 0);
  await writeFile(b.tree, p(`e/${nameOf(last)}`), text('new'));
  assert.equal(await read(a, `e/${nameOf(last)}`), 'new');
  await close();
});

test('what another peer wrote is read by whoever opens the file after that', async () => {
  const { a, b, read, close } = await createFixture(100);
  for (let index = 0; index < 5; index++) await read(a, `d/${nameOf(index)}`);
  for (let index = 5; index < 100; index += 3) await writeFile(b.tree, p(`d/${nameOf(index)}`), text(`new ${index}`));
  for (let index = 0; index < 100; index++) {
    const expected = index >= 5 && (index - 5) % 3 === 0 ? `new ${index}` : contentsOf(index).toString();
    assert.equal(await read(a, `d/${nameOf(index)}`), expected);
  }
  await close();
});

test('a reply that a recall has overtaken is not kept', async () => {
  const { a, b, read, close } = await createFixture(50);
  let letGo = (): void => undefined;
  a.channel.beforeReply = (name) =>
    name === 'readFiles' ? new Promise((resolve) => (letGo = () => resolve())) : undefined;
  await read(a, 'd/0000');
  await read(a, 'd/0001');
  await settle();
  await writeFile(b.tree, p('d/0002'), text('newer'));
  letGo();
  a.channel.beforeReply = () => undefined;
  assert.equal(await read(a, 'd/0002'), 'newer');
  assert.equal(await read(a, 'd/0003'), contentsOf(3).toString());
  await close();
});

test('who opens a file that is on its way waits for it and asks no more', async () => {
  const { a, read, close } = await createFixture(50);
  let letGo = (): void => undefined;
  a.channel.beforeReply = (name) =>
    name === 'readFiles' ? new Promise((resolve) => (letGo = () => resolve())) : undefined;
  await read(a, 'd/0000');
  await read(a, 'd/0001');
  const reading = read(a, 'd/0002');
  await settle();
  assert.equal(callsOf(a)['open'], 2);
  a.channel.beforeReply = () => undefined;
  letGo();
  assert.equal(await reading, contentsOf(2).toString());
  assert.equal(callsOf(a)['open'], undefined);
  await close();
});

test('our own writing, truncating and renaming are seen by our own reading', async () => {
  const { a, read, close } = await createFixture(30);
  for (let index = 0; index < 5; index++) await read(a, `d/${nameOf(index)}`);
  await settle();
  const { handle } = await openFile(a.tree, p('d/0010'), OPEN.write);
  await a.tree.write(handle, 0, text('OWN'));
  assert.equal((await read(a, 'd/0010')).slice(0, 6), 'OWNten');
  await a.tree.release(handle);
  assert.equal((await read(a, 'd/0010')).slice(0, 6), 'OWNten');
  await a.tree.setattr(p('d/0011'), 0, { size: 4 });
  assert.equal(await read(a, 'd/0011'), 'cont');
  await a.tree.rename(p('d/0012'), p('d/0013'), 0);
  assert.equal(await read(a, 'd/0013'), contentsOf(12).toString());
  await fails(read(a, 'd/0012'), 'ENOENT');
  await writeFile(a.tree, p('d/0014'), text('whole'));
  assert.equal(await read(a, 'd/0014'), 'whole');
  await close();
});

test('a file opened without asking is asked for when something needs the server, and stays open when its name goes', async () => {
  const { a, b, read, server, close } = await createFixture(30);
  for (let index = 0; index < 5; index++) await read(a, `d/${nameOf(index)}`);
  await settle();
  const open = async (index: number) => (await openFile(a.tree, p(`d/${nameOf(index)}`), OPEN.read)).handle;
  const [unlinked, replaced, renamed, locked] = [await open(6), await open(7), await open(8), await open(9)];
  await server.clock.run(100);
  assert.equal(server.memory.handleCount, 0, 'the server knows of none');

  await a.tree.unlink(p('d/0006'));
  assert.equal((await a.tree.getattr(p('d/0006'), unlinked)).nlink, 0);
  await a.tree.rename(p('d/0020'), p('d/0007'), 0);
  assert.equal((await a.tree.getattr(p('d/0007'), replaced)).nlink, 0);
  await a.tree.rename(p('d/0008'), p('d/moved'), 0);
  assert.equal((await a.tree.getattr(p('d/moved'), renamed)).size, contentsOf(8).length);
  await a.tree.lock(locked, { owner: 1n, type: 0, start: 0n, end: 10n, pid: 1, kind: 0 });
  await fails(
    openFile(b.tree, p('d/0009'), OPEN.read | OPEN.write).then(({ handle }) =>
      b.tree.lock(handle, { owner: 2n, type: 1, start: 0n, end: 10n, pid: 2, kind: 0 }),
    ),
    'EAGAIN',
  );
  for (const [handle, index] of [
    [unlinked, 6],
    [replaced, 7],
    [renamed, 8],
    [locked, 9],
  ] as const) {
    assert.equal(Buffer.from(await a.tree.read(handle, 0, 1000)).toString(), contentsOf(index).toString());
    await a.tree.release(handle);
  }
  await close();
});

test('a file that another peer replaced while it was open is read as it was; one that was written to, as it is', async () => {
  const { a, b, read, close } = await createFixture(30);
  for (let index = 0; index < 5; index++) await read(a, `d/${nameOf(index)}`);
  await settle();
  const open = async (index: number) => (await openFile(a.tree, p(`d/${nameOf(index)}`), OPEN.read)).handle;
  const handles = [await open(6), await open(7), await open(8)] as const;
  await writeFile(b.tree, p('d/new'), text('another file'));
  await b.tree.rename(p('d/new'), p('d/0006'), 0);
  await writeFile(b.tree, p('d/0007'), text('written to'));
  await b.tree.unlink(p('d/0008'));
  const contents = await Promise.all(handles.map((handle) => a.tree.read(handle, 0, 1000)));
  assert.deepEqual(
    contents.map((bytes) => Buffer.from(bytes).toString()),
    [contentsOf(6).toString(), 'written to', contentsOf(8).toString()],
  );
  assert.equal(await read(a, 'd/0006'), 'another file');
  for (const handle of handles) await a.tree.release(handle);
  await close();
});

test('when the server restarts nothing that was fetched before is believed', async () => {
  const { a, server, read, close } = await createFixture(30);
  for (let index = 0; index < 5; index++) await read(a, `d/${nameOf(index)}`);
  await settle();
  // Its old self cannot tell: the leases are gone.
  await server.memory.setattr(p('d/0010'), 0, { size: 3 });
  a.channel.restarted();
  assert.equal(await read(a, 'd/0010'), 'con');
  await close();
});

test('without contact for longer than the lease nothing that was fetched is believed', async () => {
  const { a, server, read, close } = await createFixture(30);
  for (let index = 0; index < 5; index++) await read(a, `d/${nameOf(index)}`);
  await settle();
  const { handle } = await openFile(a.tree, p('d/0011'), OPEN.read);
  await server.clock.run(20_000);
  await server.memory.setattr(p('d/0010'), 0, { size: 3 });
  await server.memory.setattr(p('d/0011'), 0, { size: 3 });
  assert.equal(await read(a, 'd/0010'), 'con');
  assert.equal(Buffer.from(await a.tree.read(handle, 0, 1000)).toString(), 'con');
  await a.tree.release(handle);
  await close();
});

test('contents that a local program changes are recalled', async () => {
  const { a, server, read, close } = await createFixture(30);
  for (let index = 0; index < 5; index++) await read(a, `d/${nameOf(index)}`);
  await settle();
  await writeFile(server.memory.local, p('d/0010'), text('by a local program'));
  await settle();
  assert.equal(await read(a, 'd/0010'), 'by a local program');
  await close();
});

for (const [what, change] of [
  [
    'sizes that lie',
    (reply, payload) => ({
      reply: {
        ...reply,
        files: reply.files.map((file) => ({ ...file, attributes: { ...file.attributes, size: 100_000_000 } })),
      },
      payload,
    }),
  ],
  ['contents that are missing', (reply, payload) => ({ reply, payload: payload.subarray(0, 100) })],
  [
    'positions that were not asked for',
    (reply, payload) => ({
      reply: { ...reply, files: reply.files.map((file) => ({ ...file, position: 127 })) },
      payload,
    }),
  ],
  [
    'one file again and again',
    (reply, payload) => ({
      reply: {
        ...reply,
        files: Array.from({ length: 128 }, () => ({ ...reply.files[0], position: 0 })) as typeof reply.files,
      },
      payload,
    }),
  ],
  [
    'directories and links instead of files',
    (reply, payload) => ({
      reply: {
        ...reply,
        files: reply.files.map((file) => ({ ...file, attributes: { ...file.attributes, mode: 0o040755 } })),
      },
      payload,
    }),
  ],
  ['no lease', (reply, payload) => ({ reply: { ...reply, leaseMs: 0 }, payload })],
  ['more bytes than files', (reply) => ({ reply: { ...reply, files: [] }, payload: new Uint8Array(256 * 1024) })],
] as readonly [string, Parameters<typeof lie>[1]][]) {
  test(`a server whose replies have ${what} is asked for each file by itself`, async () => {
    const { a, read, close } = await createFixture(60);
    lie(a, change);
    for (let index = 0; index < 60; index++)
      assert.equal(await read(a, `d/${nameOf(index)}`), contentsOf(index).toString());
    const { open = 0, readFiles = 0 } = callsOf(a);
    assert.ok(open >= 55, `${open} openings`);
    assert.ok(readFiles <= 60, `${readFiles} calls`);
    await close();
  });
}

test('a readFiles that fails costs the walk nothing', async () => {
  const { a, read, close } = await createFixture(60);
  a.channel.beforeSend = (name) => {
    if (name === 'readFiles') throw new Error('no such call');
  };
  for (let index = 0; index < 60; index++)
    assert.equal(await read(a, `d/${nameOf(index)}`), contentsOf(index).toString());
  await close();
});

test(
  'a directory with very many files is looked at in pieces, one with too many not at all',
  { timeout: 60_000 },
  async () => {
    const server = createServer();
    await server.memory.mkdir(p('d'), 0o755, OWNER);
    for (let index = 0; index < 5000; index++) await server.memory.mknod(p(`d/${nameOf(index)}`), 0o644, OWNER, false);
    const a = server.connect();
    await list(a.tree, p('d'), 4096);
    a.channel.calls.clear();
    for (let index = 0; index < 200; index++) {
      assert.equal((await readFile(a.tree, p(`d/${nameOf(index)}`))).length, 0);
      await server.clock.run(1);
    }
    assert.ok((a.channel.calls.get('open') ?? 0) <= 10, `${a.channel.calls.get('open')} openings`);
    await server.close();
  },
);

/** Numbers from 0 to 1, the same each time. */
function createRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

/**
 * Close-to-open: a reader that opens after a writer has closed sees that writer's file or a newer one, whole. Replies
 * arrive late and in any order, so that recalls overtake them; a walk is always under way.
 */
for (let seed = 1; seed <= 12; seed++) {
  test(`two peers that change what both walk through never read what is older than the last close (seed ${seed})`, async () => {
    const FILES = 24;
    const server = createServer();
    await server.memory.mkdir(p('d'), 0o755, OWNER);
    const random = createRandom(seed);
    const versionText = (index: number, version: number) =>
      `${index} is ${version};`.padEnd(30 + ((index * 7 + version * 13) % 300), String(version % 10));
    /** Of each file: the version that was closed last, and the one being written. */
    const closed = new Map<number, number>();
    const writing = new Map<number, number>();
    for (let index = 0; index < FILES; index++) {
      await writeFile(server.memory, p(`d/${nameOf(index)}`), text(versionText(index, 0)));
      closed.set(index, 0);
    }
    const clients = [server.connect(), server.connect()];
    for (const { channel, serverChannel } of clients) {
      for (const end of [channel, serverChannel]) {
        end.beforeReply = () =>
          random() < 0.6 ? new Promise((resolve) => server.clock.after(random() * 40, () => resolve())) : undefined;
      }
    }
    const pause = () => new Promise<void>((resolve) => server.clock.after(random() * 20, resolve));

    async function readOne({ tree }: Client, index: number): Promise<void> {
      const least = closed.get(index) ?? 0;
      const opened = await openFile(tree, p(`d/${nameOf(index)}`), OPEN.read, 128 * 1024);
      if (random() < 0.3) await pause();
      const bytes = await tree.read(opened.handle, 0, 4096);
      await tree.release(opened.handle);
      const most = Math.max(closed.get(index) ?? 0, writing.get(index) ?? 0);
      const allowed = Array.from({ length: most - least + 1 }, (_, step) => versionText(index, least + step));
      const found = Buffer.from(bytes).toString();
      // While it is written in place a reader may see it cut or half old.
      const isBeingWritten = writing.has(index) || (closed.get(index) ?? 0) > least;
      if (!isBeingWritten) assert.equal(found, allowed[0]);
      else if (found.length > 0) {
        const version = Number(/ is (\d+);/.exec(found)?.[1] ?? most);
        assert.ok(version >= least, `${index}: read ${version}, closed was ${least}`);
      }
    }

    async function writeOne({ tree }: Client, index: number): Promise<void> {
      if (writing.has(index)) return;
      const version = (closed.get(index) ?? 0) + 1;
      writing.set(index, version);
      const path = p(`d/${nameOf(index)}`);
      const kind = random();
      if (kind < 0.5) await writeFile(tree, path, text(versionText(index, version)));
      else if (kind < 0.8) {
        const temporary = p(`d/tmp-${index}-${version}`);
        await writeFile(tree, temporary, text(versionText(index, version)));
        await tree.rename(temporary, path, 0);
      } else {
        const { handle } = await openFile(tree, path, OPEN.read | OPEN.write);
        await tree.setattr(path, handle, { size: 0 });
        await tree.write(handle, 0, text(versionText(index, version)));
        await tree.flush(handle, 1n);
        await tree.release(handle);
      }
      closed.set(index, version);
      writing.delete(index);
    }

    async function walker(client: Client): Promise<void> {
      for (let round = 0; round < 6; round++) {
        await list(client.tree, p('d'), 4096);
        for (let index = 0; index < FILES; index++) {
          await readOne(client, index);
          if (random() < 0.1) await pause();
        }
        if (random() < 0.1) await new Promise<void>((resolve) => server.clock.after(16_000, resolve));
      }
    }
    async function writer(client: Client): Promise<void> {
      for (let step = 0; step < 30; step++) {
        await writeOne(client, Math.floor(random() * FILES));
        await pause();
      }
    }

    const state = { isDone: false };
    const all = Promise.all(clients.flatMap((client) => [walker(client), walker(client), writer(client)])).finally(
      () => {
        state.isDone = true;
      },
    );
    all.catch(() => undefined);
    while (!state.isDone) {
      await settle();
      server.clock.step();
    }
    await all;
    const fetched = clients.map(({ channel }) => channel.calls.get('readFiles') ?? 0);
    assert.ok(
      fetched.some((count) => count > 0),
      'it was put to the test',
    );
    await server.close();
  });
}
