import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OPEN } from '../../src/wire/schema.ts';
import { settle } from '../manual-clock.ts';
import { createServer, p, type Client } from './remote-fixture.ts';
import { openFile, writeFile } from './tree-contract.ts';

const KIB = 1024;

function slow({ channel, serverChannel }: Client): void {
  channel.pace = 'slow';
  serverChannel.pace = 'slow';
}

function fast({ channel, serverChannel }: Client): void {
  channel.pace = 'fast';
  serverChannel.pace = 'fast';
}

async function createFixture() {
  const server = createServer();
  await writeFile(server.memory, p('f'), Buffer.alloc(2048 * KIB, 7));
  const [a, b] = [server.connect(), server.connect()];
  slow(a);
  return { server, a, b };
}

test('little of a file comes with its opening', async () => {
  const { server, a, b } = await createFixture();
  const options = { flags: OPEN.read, permissions: 0, uid: 0, gid: 0, wantBytes: 128 * KIB };
  assert.equal((await a.tree.open(p('f'), options)).firstBytes.length, 16 * KIB);
  assert.equal((await b.tree.open(p('f'), options)).firstBytes.length, 128 * KIB);
  await server.close();
});

test('reading in order asks for what is read and nothing else, and more again when the path is fast', async () => {
  const { server, a } = await createFixture();
  const { handle } = await openFile(a.tree, p('f'), OPEN.read);
  for (let at = 0; at < 512 * KIB; at += 128 * KIB) {
    assert.equal((await a.tree.read(handle, at, 128 * KIB)).length, 128 * KIB);
    await settle();
  }
  assert.equal(a.channel.calls.get('read'), 4);
  fast(a);
  for (let at = 512 * KIB; at < 2048 * KIB; at += 128 * KIB) await a.tree.read(handle, at, 128 * KIB);
  assert.ok((a.channel.calls.get('read') ?? 0) <= 12, 'pieces of 256 KiB');
  await server.close();
});

test('attributes are known for a minute without asking, and a recall still ends that at once', async () => {
  const { server, a, b } = await createFixture();
  await a.tree.getattr(p('f'), 0);
  await server.clock.run(25_000);
  const before = a.channel.calls.get('getattr');
  assert.ok(a.tree.leaseOf(p('f')) > 25_000);
  await a.tree.getattr(p('f'), 0);
  assert.equal(a.channel.calls.get('getattr'), before);
  await b.tree.setattr(p('f'), 0, { mode: 0o600 });
  assert.equal((await a.tree.getattr(p('f'), 0)).mode & 0o777, 0o600);
  await server.close();
});

test('a holder that vanished from a slow path delays a change by a minute at most', async () => {
  const { server, a, b } = await createFixture();
  await a.tree.getattr(p('f'), 0);
  a.serverChannel.setState('offline');
  let isDone = false;
  const changed = b.tree.setattr(p('f'), 0, { mode: 0o600 }).then(() => (isDone = true));
  await server.clock.run(server.leases.leaseMs.slow - 10);
  assert.equal(isDone, false);
  await server.clock.run(20);
  assert.equal(isDone, true);
  await changed;
  await server.close();
});

test('one that vanished after it had moved to a fast path delays a change like any other', async () => {
  const { server, a, b } = await createFixture();
  await a.tree.getattr(p('f'), 0);
  fast(a);
  await a.tree.statfs(p(''));
  await server.clock.run(50);
  await writeFile(a.tree, p('g'), Buffer.from('g'));
  await server.clock.run(50);
  assert.equal(a.channel.calls.get('renewLeases'), 3);
  await a.tree.getattr(p('f'), 0);
  a.serverChannel.setState('offline');
  let isDone = false;
  const changed = b.tree.setattr(p('f'), 0, { mode: 0o600 }).then(() => (isDone = true));
  await server.clock.run(server.leases.leaseMs.fast + 10);
  assert.equal(isDone, true);
  await changed;
  await server.close();
});
