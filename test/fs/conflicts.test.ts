/** Writes that waited for longer than a lease: what becomes of them if others changed the file meanwhile, and if not. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PeerfsError } from '../../src/errors.ts';
import { OPEN } from '../../src/wire/schema.ts';
import { settle } from '../manual-clock.ts';
import { createServer, p, type Client, type Server } from './remote-fixture.ts';
import { fails, openFile, readFile, writeFile } from './tree-contract.ts';

const text = (value: string) => Buffer.from(value);
const AWAY_MS = 20_000;

interface Fixture {
  readonly server: Server;
  readonly a: Client;
  readonly b: Client;
  readonly handle: number;
  /** Written and answered for, and held up on its way to the server. */
  away(passTime?: () => void | Promise<void>): Promise<void>;
  back(): Promise<void>;
  readonly contents: () => Promise<string>;
}

async function createFixture(): Promise<Fixture> {
  const server = createServer();
  await writeFile(server.memory, p('f'), text('as it was'));
  const [a, b] = [server.connect(), server.connect()];
  const { handle } = await openFile(a.tree, p('f'), OPEN.read | OPEN.write);
  await a.tree.write(handle, 0, text('AS'));
  await a.tree.fsync(handle, false);
  let arrive = () => {};
  return {
    server,
    a,
    b,
    handle,
    away: async (passTime = () => server.clock.run(AWAY_MS)) => {
      const held = new Promise<void>((resolve) => (arrive = resolve));
      a.channel.beforeArrival = () => held;
      await a.tree.write(handle, 3, text('IT'));
      a.serverChannel.setState('reconnecting');
      await passTime();
    },
    back: async () => {
      a.serverChannel.setState('live');
      a.channel.beforeArrival = () => undefined;
      arrive();
      await settle();
    },
    contents: async () => (await readFile(server.memory.local, p('f'))).toString(),
  };
}

test('they arrive if nobody changed the file', async () => {
  for (const isForgotten of [false, true]) {
    const { server, a, handle, away, back, contents } = await createFixture();
    await away();
    if (isForgotten) {
      a.serverChannel.setState('offline');
      await server.clock.run(AWAY_MS);
    }
    await back();
    await a.tree.fsync(handle, false);
    assert.equal(await contents(), 'AS IT was');
    assert.deepEqual(a.refused, []);
    await server.close();
  }
});

for (const [who, change] of [
  ['another peer', ({ b }) => writeFile(b.tree, p('f'), text('theirs'))],
  ['a program of the server', ({ server }) => writeFile(server.memory.local, p('f'), text('theirs'))],
] as const satisfies readonly (readonly [string, (fixture: Fixture) => Promise<void>])[]) {
  for (const isForgotten of [false, true]) {
    test(`they are refused and told of if ${who} changed it${isForgotten ? ', by a server that has forgotten us' : ''}`, async () => {
      const fixture = await createFixture();
      const { server, a, handle, away, back, contents } = fixture;
      await away();
      if (isForgotten) {
        a.serverChannel.setState('offline');
        await server.clock.run(AWAY_MS);
      }
      await change(fixture);
      await back();
      await fails(a.tree.fsync(handle, false), 'ESTALE');
      assert.equal(await contents(), 'theirs');
      assert.deepEqual(
        a.refused.map(({ share, path, offset, bytes }) => [share, path, offset, Buffer.from(bytes).toString()]),
        [[0, 'f', 3, 'IT']],
      );
      // Told once, the writer goes on as any who is there.
      await a.tree.write(handle, 0, text('ours'));
      await a.tree.flush(handle, 0n);
      assert.equal(await contents(), 'oursrs');
      await server.close();
    });
  }
}

test('a change that waited for our lease to end is one that was made while we were away', async () => {
  const { server, a, b, handle, away, back, contents } = await createFixture();
  let theirs: Promise<void> | undefined;
  await away(async () => {
    a.serverChannel.beforeReply = () => new Promise(() => undefined);
    await server.clock.run(5000);
    theirs = writeFile(b.tree, p('f'), text('theirs'));
    await server.clock.run(13_000);
    await theirs;
  });
  await back();
  await fails(a.tree.fsync(handle, false), 'ESTALE');
  assert.equal(await contents(), 'theirs');
  await server.close();
});

test('own changes of all kinds are none of others', async () => {
  const { server, a, handle, away, back, contents } = await createFixture();
  await a.tree.rename(p('f'), p('g'), 0);
  await a.tree.rename(p('g'), p('f'), 0);
  await a.tree.setattr(p('f'), handle, { size: 6 });
  await a.tree.setattr(p('f'), handle, { mtime: { sec: 4_000_000_000, nsec: 1 } });
  await a.tree.write(handle, 0, text('a'));
  await a.tree.fsync(handle, false);
  const other = await openFile(a.tree, p('f'), OPEN.write | OPEN.append);
  await a.tree.write(other.handle, 0, text('!'));
  await away();
  a.serverChannel.setState('offline');
  await server.clock.run(AWAY_MS);
  await back();
  await a.tree.fsync(handle, false);
  assert.equal(await contents(), 'aS IT !');
  assert.deepEqual(a.refused, []);
  await server.close();
});

test('nor is a write of which the answer was lost with the server', async () => {
  const { server, a, handle, contents } = await createFixture();
  let restart = () => {};
  const held = new Promise<void>((_resolve, reject) => {
    restart = () => reject(new PeerfsError('OUTCOME_UNKNOWN', 'restarted'));
  });
  a.channel.beforeReply = (name) => (name === 'write' ? held : undefined);
  await a.tree.write(handle, 3, text('IT'));
  await server.clock.run(AWAY_MS);
  a.channel.beforeReply = () => undefined;
  a.channel.restarted();
  restart();
  await a.tree.fsync(handle, false);
  assert.equal(await contents(), 'AS IT was');
  assert.deepEqual(a.refused, []);
  await server.close();
});

test('a laptop that slept is one that was away', async () => {
  const { server, a, b, handle, away, back, contents } = await createFixture();
  await away(() => server.clock.sleep(8 * 3_600_000));
  assert.equal(a.tree.leaseOf(p('f')), 0);
  await writeFile(b.tree, p('f'), text('theirs'));
  await back();
  await fails(a.tree.fsync(handle, false), 'ESTALE');
  assert.equal(await contents(), 'theirs');
  assert.equal(a.refused.length, 1);
  await server.close();
});

test('another file at the path is a change, too', async () => {
  const { server, a, b, handle, away, back, contents } = await createFixture();
  await away();
  a.serverChannel.setState('offline');
  await server.clock.run(AWAY_MS);
  await writeFile(b.tree, p('g'), text('theirs'));
  await b.tree.rename(p('g'), p('f'), 0);
  await back();
  await fails(a.tree.flush(handle, 0n), 'ESTALE');
  assert.equal(await contents(), 'theirs');
  assert.equal(a.refused.length, 1);
  await server.close();
});

test('what is written after coming back is no conflict, whatever others did meanwhile', async () => {
  const { server, a, b, handle, contents } = await createFixture();
  a.serverChannel.setState('reconnecting');
  await server.clock.run(AWAY_MS);
  await writeFile(b.tree, p('f'), text('theirs'));
  a.serverChannel.setState('live');
  await a.tree.write(handle, 0, text('ours'));
  await a.tree.fsync(handle, false);
  assert.equal(await contents(), 'oursrs');
  assert.deepEqual(a.refused, []);
  await server.close();
});

test('nor is what was written while a path moved, though leases had ended for silence', async () => {
  const { server, a, b, handle, contents } = await createFixture();
  await server.clock.run(AWAY_MS);
  await writeFile(b.tree, p('f'), text('theirs'));
  a.serverChannel.setState('reconnecting');
  await server.clock.run(1000);
  a.serverChannel.setState('live');
  const opens = a.channel.calls.get('open');
  await a.tree.write(handle, 0, text('ours'));
  await a.tree.fsync(handle, false);
  assert.equal(a.channel.calls.get('open'), opens, 'its locks would be lost');
  assert.equal(await contents(), 'oursrs');
  await server.close();
});

test('nor is what a peer writes that was silent, but there', async () => {
  const { server, a, b, handle, contents } = await createFixture();
  await server.clock.run(AWAY_MS);
  await writeFile(b.tree, p('f'), text('theirs'));
  await a.tree.write(handle, 0, text('ours'));
  const opens = a.channel.calls.get('open');
  await a.tree.fsync(handle, false);
  assert.equal(a.channel.calls.get('open'), opens);
  assert.equal(await contents(), 'oursrs');
  await server.close();
});
