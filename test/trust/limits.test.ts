/** What one peer may take of a node: each bound at one less, as much, and one more. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ByteString } from '../../src/bytestring.ts';
import { LOCKS_PER_CALLER, LockTable, unionOf, WAITING_PER_CALLER, type PosixLock } from '../../src/fs/local-locks.ts';
import { HandleBudget, HANDLES_PER_PEER, ServedHandles } from '../../src/fs/served-handles.ts';
import { Turnstile } from '../../src/fs/turnstile.ts';
import { encodeFrame } from '../../src/wire/frame.ts';
import { MESSAGES, OPEN } from '../../src/wire/schema.ts';
import { createServer, p } from '../fs/remote-fixture.ts';
import { fails, openFile, writeFile } from '../fs/tree-contract.ts';
import { createManualClock, settle } from '../manual-clock.ts';
import { createChannelPair } from '../net/channel-pair.ts';

const CALLER = 1n << 64n;
const OTHER = 2n << 64n;

const range = (owner: bigint, at: number, type = 1) => ({
  owner,
  kind: 0,
  type,
  start: BigInt(at * 2),
  end: BigInt(at * 2),
  pid: 1,
});

test('a peer has so many locks and no more, over all files; another peer has its own', async () => {
  const table = new LockTable(createManualClock());
  for (let at = 0; at < LOCKS_PER_CALLER; at++) await table.lock(`f${at % 3}`, 1, range(CALLER + BigInt(at % 5), at));
  await fails(table.lock('f0', 1, range(CALLER, LOCKS_PER_CALLER)), 'ENOLCK');
  await fails(table.lock('new', 1, { ...range(CALLER, 0), kind: 1 }), 'ENOLCK');
  // To take a lock apart is to have one more.
  await table.lock('f9', 2, { ...range(OTHER, 0), start: 0n, end: 100n });
  await table.lock('f9', 2, range(OTHER, 5, 2));
  await table.lock('f0', 1, range(CALLER, 0, 2));
  await table.lock('f0', 1, range(CALLER, LOCKS_PER_CALLER));
  await fails(table.lock('f0', 1, range(CALLER, LOCKS_PER_CALLER + 1)), 'ENOLCK');
  table.releaseHandle('f0', 1);
  await table.lock('f0', 1, range(CALLER, 0));
  table.close();
});

test('a whole-file lock and its return take no longer for many locks of others in between', async () => {
  const table = new LockTable(createManualClock());
  for (let at = 0; at < LOCKS_PER_CALLER; at++) await table.lock('f', 1, range(CALLER + BigInt(at % 2), at, 0));
  const started = performance.now();
  for (let round = 0; round < 10; round++) {
    await table.lock('f', 2, { ...range(OTHER, 0, 0), end: 1n << 62n });
    await table.lock('f', 2, { ...range(OTHER, 0, 2), end: 1n << 62n });
  }
  const eachMs = (performance.now() - started) / 20;
  assert.ok(eachMs < 50, `${eachMs.toFixed(1)} ms each`);
  table.close();
});

test('the union of locks is the strongest on each byte, however they lie', () => {
  let state = 5;
  const random = (below: number) => (state = (state * 1103515245 + 12345) & 0x7fffffff) % below;
  for (let round = 0; round < 200; round++) {
    const locks: PosixLock[] = Array.from({ length: random(8) }, () => {
      const start = random(20);
      const end = BigInt(start + random(6));
      return { owner: BigInt(random(4)), type: random(2), start: BigInt(start), end, pid: 1, handle: 1 };
    });
    const [first, last] = [3, 17];
    const union = unionOf(locks, BigInt(first), BigInt(last));
    assert.equal(union[0]?.start, BigInt(first));
    assert.equal(union.at(-1)?.end, BigInt(last));
    for (let byte = first; byte <= last; byte++) {
      const here = locks.filter(({ start, end }) => start <= byte && byte <= end).map(({ type }) => type);
      const want = here.length === 0 ? 2 : Math.max(...here);
      const tiles = union.filter(({ start, end }) => start <= byte && byte <= end);
      assert.deepEqual(
        tiles.map(({ type }) => type),
        [want],
        `byte ${byte} of round ${round}`,
      );
    }
  }
});

test('a peer waits for so many locks at once and no more', async () => {
  const table = new LockTable(createManualClock());
  await table.lock('f', 1, range(OTHER, 0));
  const stop = new AbortController();
  const waits = Array.from({ length: WAITING_PER_CALLER }, (_, index) =>
    table.lock('f', 2, range(CALLER + BigInt(index), 0), stop.signal),
  );
  await fails(table.lock('f', 2, range(CALLER + 999n, 0), stop.signal), 'ENOLCK');
  stop.abort();
  for (const wait of waits) await fails(wait, 'EINTR');
  const again = new AbortController();
  const wait = table.lock('f', 2, range(CALLER, 0), again.signal);
  table.releaseHandle('f', 1);
  await wait;
  table.close();
});

test('handles of all peers together are bounded by what the process may have, and one peer cannot take all', () => {
  const plenty = new HandleBudget(1_048_576);
  assert.equal(plenty.perPeer, HANDLES_PER_PEER);
  const budget = new HandleBudget(1024);
  const MOST = (1024 - 256) / 2;
  const [greedy, second, third] = [new ServedHandles(budget), new ServedHandles(budget), new ServedHandles(budget)];
  const reserve = (handles: ServedHandles, count: number) => Array.from({ length: count }, () => handles.reserve());
  reserve(greedy, MOST / 2);
  assert.throws(() => greedy.reserve(), { code: 'EMFILE' });
  const [place] = reserve(second, MOST / 2 - 1);
  reserve(third, 1);
  assert.throws(() => third.reserve(), { code: 'ENFILE' });
  place?.leave();
  place?.leave();
  third.reserve();
  assert.throws(() => third.reserve(), { code: 'ENFILE' });
});

test('what a peer closes, or leaves open when it goes, is given back to all', async () => {
  const server = createServer();
  server.budget = new HandleBudget(256 + 2 * 8);
  await writeFile(server.memory, p('f'), Buffer.from('x'));
  const [a, b, c] = [server.connect(), server.connect(), server.connect()];
  const open = (client: typeof a) => openFile(client.tree, p('f'), OPEN.read);
  for (const client of [a, b]) {
    for (let count = 0; count < 4; count++) await open(client);
    await fails(open(client), 'EMFILE');
  }
  await fails(open(c), 'ENFILE');
  await fails(openFile(a.tree, p('absent'), OPEN.read), 'EMFILE');
  a.serving.close();
  for (let count = 0; count < 4; count++) await open(c);
  await fails(open(c), 'EMFILE');
  await server.close();
});

test('calls that keep a thread run so many at a time, in order', async () => {
  const turnstile = new Turnstile(4);
  const done: (() => void)[] = [];
  const started: number[] = [];
  const all = Array.from({ length: 9 }, (_, index) =>
    turnstile.pass(() => {
      started.push(index);
      return new Promise<void>((resolve) => done.push(resolve));
    }),
  );
  await settle();
  assert.deepEqual(started, [0, 1, 2, 3]);
  done[2]?.();
  await settle();
  assert.deepEqual(started, [0, 1, 2, 3, 4]);
  for (let next = 0; next < 9; next++) {
    done[next]?.();
    await settle();
  }
  await Promise.all(all);
  assert.deepEqual(started, [0, 1, 2, 3, 4, 5, 6, 7, 8]);
});

test('2,048 calls of a peer run at a time; one more is refused, and taken when one has ended', async () => {
  const CALLS = 2048;
  const ends: (() => void)[] = [];
  const pair = createChannelPair({
    readlink: () => new Promise((resolve) => ends.push(() => resolve({ reply: { target: new Uint8Array() } }))),
  });
  // A peer that keeps to no bound of its own speaks frames.
  const { ends: paths } = pair.link();
  await settle();
  const say = (callId: number) =>
    paths[0].send(0, [
      encodeFrame('request', MESSAGES.readlink.tag, callId, MESSAGES.readlink.request, {
        share: 0,
        path: 'l' as ByteString,
      }),
    ]);
  const run = async (from: number, below: number) => {
    for (let callId = from; callId < below; callId++) {
      say(callId);
      if (callId % 64 === 0) await pair.clock.run(1);
    }
    await pair.clock.run(100);
  };
  const BASE = 1_000_000;
  await run(BASE, BASE + CALLS - 1);
  assert.equal(ends.length, CALLS - 1);
  await run(BASE + CALLS - 1, BASE + CALLS);
  assert.equal(ends.length, CALLS);
  await run(BASE + CALLS, BASE + CALLS + 1);
  assert.equal(ends.length, CALLS);
  ends[0]?.();
  await settle();
  await run(BASE + CALLS + 1, BASE + CALLS + 2);
  assert.equal(ends.length, CALLS + 1);
  for (const end of ends) end();
});
