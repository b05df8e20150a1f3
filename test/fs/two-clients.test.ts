/**
 * Two mounting nodes that change the same directories at once, over channels that delay calls, answers and recalls at
 * random: who made a name is never in doubt, and in the end both see what is there.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { join, type ByteString } from '../../src/bytestring.ts';
import { codeOf } from '../../src/errors.ts';
import type { Tree } from '../../src/fs/tree.ts';
import { OPEN, RENAME } from '../../src/wire/schema.ts';
import { settle } from '../manual-clock.ts';
import { createRandom } from '../wire/samples.ts';
import { createServer, p, type Client, type Server } from './remote-fixture.ts';
import { list, readFile } from './tree-contract.ts';

const OWNER = { uid: 0, gid: 0 };
const DIRECTORIES = ['', 'd', 'd/e'].map(p);
const NAMES = ['a', 'b', 'c', 'x1', 'x2'].map(p);
const ROUNDS = 60;
const AT_ONCE = 4;

interface Fixture {
  readonly server: Server;
  readonly clients: readonly Client[];
  readonly random: () => number;
  readonly pick: <T>(items: readonly T[]) => T;
  readonly balance: Balance;
  /** A program of the server takes part: only its changes may have close say that a new name is not there. */
  readonly hasLocal: boolean;
}

function createFixture(seed: number, hasLocal = false): Fixture {
  const random = createRandom(seed);
  const server = createServer();
  const clients = [server.connect(), server.connect(), server.connect()];
  /** Some turns of the event loop, mostly none. */
  const delay = async () => {
    for (let turns = Math.floor(random() ** 3 * 12); turns > 0; turns--) await settle();
  };
  for (const { channel, serverChannel } of clients) {
    for (const end of [channel, serverChannel]) {
      end.beforeArrival = delay;
      end.beforeReply = delay;
    }
  }
  const pick = <T>(items: readonly T[]): T => items[Math.floor(random() * items.length)] as T;
  return { server, clients, random, pick, balance: new Balance(), hasLocal };
}

/** Lets time and turns pass until all have ended. */
async function finish<T>({ server }: Fixture, work: readonly Promise<T>[]): Promise<T[]> {
  const state = { isDone: false };
  const all = Promise.all(work).finally(() => (state.isDone = true));
  for (let turn = 0; !state.isDone; turn++) {
    await settle();
    if (turn % 4 === 3) server.clock.advance(1);
    assert.ok(turn < 20_000, 'calls wait for each other');
  }
  return all;
}

/** The code of what an operation fails with; undefined if it succeeds. */
const outcome = (work: Promise<unknown>): Promise<string | undefined> =>
  work.then(
    () => undefined,
    (error: unknown) => codeOf(error),
  );

/** What must be there, by who succeeded: how often a name was made minus how often it went. */
class Balance {
  readonly counts = new Map<ByteString, number>();

  add(path: ByteString, by: number): void {
    this.counts.set(path, (this.counts.get(path) ?? 0) + by);
  }
}

/** Makes a name that must be new. */
async function create(fixture: Fixture, tree: Tree, path: ByteString, bytes: Uint8Array): Promise<void> {
  const { balance } = fixture;
  const flags = OPEN.write | OPEN.create | OPEN.exclusive;
  let handle: number;
  try {
    ({ handle } = await tree.open(path, { ...OWNER, flags, permissions: 0o644, wantBytes: 0 }));
  } catch (error) {
    assert.ok(['EEXIST', 'ENOENT', 'ENOTDIR'].includes(codeOf(error)), codeOf(error));
    return;
  }
  balance.add(path, 1);
  const fill = async () => {
    await tree.write(handle, 0, bytes);
    await tree.setattr(path, handle, { mode: 0o600 });
    await tree.flush(handle, 0n);
  };
  const failed = await outcome(fill());
  if (failed !== undefined) {
    assert.ok(
      fixture.hasLocal && ['EEXIST', 'ENOENT'].includes(failed),
      `${path} was made, and then was not: ${failed}`,
    );
    balance.add(path, -1);
  }
  await tree.release(handle);
}

/** Some operations of one client in one directory, one after the other. */
async function program(fixture: Fixture, text: string): Promise<void> {
  const { server, clients, random, pick, balance, hasLocal } = fixture;
  const tree = hasLocal && random() < 0.2 ? server.memory.local : pick(clients).tree;
  const directory = pick(DIRECTORIES);
  for (let left = 1 + Math.floor(random() * 8); left > 0; left--) {
    const path = join(directory, pick(NAMES));
    const kind = random();
    if (kind < 0.55) await create(fixture, tree, path, Buffer.from(text));
    else if (kind < 0.75) await outcome(tree.unlink(path).then(() => balance.add(path, -1)));
    else if (kind < 0.85) {
      const to = join(pick(DIRECTORIES), pick(NAMES));
      const moved = tree.rename(path, to, RENAME.noReplace).then(() => {
        balance.add(path, -1);
        balance.add(to, 1);
      });
      await outcome(moved);
    } else if (kind < 0.93) await outcome(tree.getattr(path, 0));
    else await outcome(list(tree, directory));
  }
}

/** 61, 185, 341 and 358 have found faults. More: in the environment. */
const SEEDS = (process.env['PEERFS_TEST_SEEDS'] ?? '1 2 61 185 341 358').split(' ').map(Number);
for (const seed of SEEDS)
  for (const hasLocal of [false, true]) {
    const who = hasLocal ? 'and programs of the server' : 'clients alone';
    test(`names that must be new are made once, whoever makes and removes them (${who}, seed ${seed})`, async () => {
      const fixture = createFixture(seed, hasLocal);
      const { server, clients, balance } = fixture;
      await server.memory.mkdir(p('d'), 0o755, OWNER);
      await server.memory.mkdir(p('d/e'), 0o755, OWNER);
      let held = 0;
      for (let round = 0; round < ROUNDS; round++) {
        const work: Promise<unknown>[] = [];
        for (let count = 0; count < AT_ONCE; count++) work.push(program(fixture, `${seed} ${round} ${count}`));
        await finish(fixture, work);
        held = clients.reduce((sum, { channel }) => sum + (channel.calls.get('createFile') ?? 0), 0);
        if (round % 5 !== 4) continue;
        await finish(fixture, [server.clock.run(100)]);
        for (const directory of DIRECTORIES) {
          const there = new Set(await list(server.memory, directory));
          for (const name of NAMES) {
            const path = join(directory, name);
            assert.equal(balance.counts.get(path) ?? 0, there.has(name) ? 1 : 0, `round ${round}: ${path}`);
          }
          for (const { tree } of clients) {
            const [seen] = await finish(fixture, [list(tree, directory)]);
            assert.deepEqual(seen?.sort(), [...there].sort(), `round ${round}: ${directory}`);
          }
        }
      }
      assert.ok(held > 3, 'files were made here first');
      await server.close();
    });
  }

for (const seed of SEEDS) {
  test(`what one has closed all see, whoever writes (seed ${seed})`, async () => {
    const fixture = createFixture(seed + 100);
    const { server, clients, random, pick } = fixture;
    await server.memory.mkdir(p('d'), 0o755, OWNER);
    for (let round = 0; round < ROUNDS; round++) {
      const writer = pick(clients);
      const path = join(p('d'), pick(NAMES));
      const text = `${round} `.repeat(1 + Math.floor(random() * 2000));
      const write = async () => {
        const flags = OPEN.write | OPEN.create | OPEN.truncate;
        const options = { ...OWNER, flags, permissions: 0o644, wantBytes: 0 };
        const { handle } = await writer.tree.open(path, options);
        const middle = Math.floor(random() * text.length);
        await writer.tree.write(handle, 0, Buffer.from(text.slice(0, middle)));
        if (random() < 0.3) await settle();
        await writer.tree.write(handle, middle, Buffer.from(text.slice(middle)));
        await writer.tree.flush(handle, 0n);
        await writer.tree.release(handle);
      };
      const looking = clients.map(({ tree }) => outcome(readFile(tree, path)));
      await finish<unknown>(fixture, [write(), ...looking]);
      for (const { tree } of clients) {
        const [bytes] = await finish(fixture, [readFile(tree, path)]);
        assert.equal(bytes?.toString(), text, `round ${round}`);
        const [found] = await finish(fixture, [tree.getattr(path, 0)]);
        assert.deepEqual(found, await server.memory.getattr(path, 0));
      }
      if (random() < 0.5) await finish(fixture, [pick(clients).tree.unlink(path)]);
    }
    await server.close();
  });
}
