import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Clock, Timer } from '../../src/clock.ts';
import { LockTable, unionOf, applyRange, type LockBackend, type PosixLock } from '../../src/fs/local-locks.ts';
import { createLocalTree } from '../../src/fs/local-tree.ts';
import type { LockRequest } from '../../src/fs/tree.ts';
import { LOCK_KIND, LOCK_TYPE, OPEN } from '../../src/wire/schema.ts';
import { fails, openFile, p, writeFile } from './tree-contract.ts';

const { read, write, unlock } = LOCK_TYPE;
const LAST = 2n ** 63n - 1n;

const range = (owner: bigint, type: number, start: number | bigint, end: number | bigint): LockRequest => ({
  owner,
  type,
  start: BigInt(start),
  end: BigInt(end),
  pid: 1,
  kind: LOCK_KIND.posix,
});
const show = (locks: readonly PosixLock[]) =>
  locks.map(({ owner, type, start, end }) => `${owner}:${type} ${start}-${end}`);

describe('ranges of one owner', () => {
  test('split, replace and join', () => {
    let locks = applyRange([], 1, range(1n, write, 0, 99));
    locks = applyRange(locks, 1, range(1n, unlock, 40, 59));
    assert.deepEqual(show(locks), ['1:1 0-39', '1:1 60-99']);
    locks = applyRange(locks, 1, range(1n, read, 20, 70));
    assert.deepEqual(show(locks), ['1:1 0-19', '1:0 20-70', '1:1 71-99']);
    locks = applyRange(locks, 1, range(1n, write, 20, 70));
    assert.deepEqual(show(locks), ['1:1 0-99']);
    locks = applyRange(locks, 1, range(1n, write, 100, LAST));
    assert.deepEqual(show(locks), [`1:1 0-${LAST}`]);
    assert.deepEqual(applyRange(locks, 1, range(1n, unlock, 0, LAST)), []);
  });

  test('leave those of others alone', () => {
    const locks = applyRange(applyRange([], 1, range(1n, read, 0, 9)), 2, range(2n, read, 5, 14));
    assert.deepEqual(show(applyRange(locks, 1, range(1n, unlock, 0, 99))), ['2:0 5-14']);
  });

  test('add up to the strongest of all owners', () => {
    const locks = [range(1n, read, 0, 9), range(2n, read, 5, 14), range(3n, write, 20, 29)].reduce<PosixLock[]>(
      (all, one) => applyRange(all, 1, one),
      [],
    );
    assert.deepEqual(unionOf(locks, 0n, 39n), [
      { type: read, start: 0n, end: 14n },
      { type: unlock, start: 15n, end: 19n },
      { type: write, start: 20n, end: 29n },
      { type: unlock, start: 30n, end: 39n },
    ]);
  });

  test('agree byte for byte with a plain table under random requests', () => {
    let seed = 7;
    const random = (below: number) => (seed = (seed * 1103515245 + 12345) & 0x7fffffff) % below;
    const plain = new Map<string, number>();
    let locks: PosixLock[] = [];
    for (let step = 0; step < 3000; step++) {
      const owner = BigInt(random(3));
      const start = random(40);
      const end = start + random(20);
      const type = random(3);
      locks = applyRange(locks, 1, range(owner, type, start, end));
      for (let byte = start; byte <= end; byte++) plain.set(`${owner}/${byte}`, type);
    }
    for (let byte = 0n; byte < 60n; byte++) {
      for (let owner = 0n; owner < 3n; owner++) {
        const held = locks.filter((lock) => lock.owner === owner && lock.start <= byte && byte <= lock.end);
        assert.ok(held.length <= 1);
        assert.equal(held[0]?.type ?? unlock, plain.get(`${owner}/${byte}`) ?? unlock);
      }
    }
  });
});

describe('the lock table', () => {
  /** Somebody outside who holds everything until let go, and a clock that runs when told. */
  function outside() {
    let isHeld = true;
    let timers: { delayMs: number; expired: () => void }[] = [];
    const backend: LockBackend = {
      setRanges: () => !isHeld,
      setFlock: () => !isHeld,
      test: () => undefined,
      forget: () => undefined,
    };
    const clock: Clock = {
      now: () => 0,
      slept: () => 0,
      wallMs: () => 0,
      after(delayMs, expired): Timer {
        const timer = { delayMs, expired };
        timers.push(timer);
        return { cancel: () => (timers = timers.filter((other) => other !== timer)) };
      },
    };
    return {
      backend,
      clock,
      letGo: () => (isHeld = false),
      tick() {
        const due = timers;
        timers = [];
        due.forEach(({ expired }) => expired());
        return due.map(({ delayMs }) => delayMs);
      },
    };
  }

  test('tries again and more and more seldom when a program outside holds the lock', async () => {
    const { backend, clock, letGo, tick } = outside();
    const table = new LockTable(clock, backend);
    await fails(table.lock('f', 1, range(1n, write, 0, 9)), 'EAGAIN');
    let had = false;
    const waiting = table.lock('f', 1, range(1n, write, 0, 9), new AbortController().signal).then(() => (had = true));
    const delays = Array.from({ length: 8 }, () => tick()).flat();
    assert.deepEqual(delays, [10, 20, 40, 80, 160, 320, 500, 500]);
    assert.equal(had, false);
    letGo();
    tick();
    await waiting;
    assert.deepEqual(tick(), []);
  });

  test('finds a circle over three owners and two files', async () => {
    const table = new LockTable();
    const abort = new AbortController();
    await table.lock('f', 1, range(1n, write, 0, 0));
    await table.lock('f', 2, range(2n, write, 1, 1));
    await table.lock('g', 3, range(3n, write, 0, 0));
    const waits = [
      table.lock('f', 1, range(1n, write, 1, 1), abort.signal),
      table.lock('g', 4, range(2n, write, 0, 0), abort.signal),
    ];
    await fails(table.lock('f', 3, range(3n, write, 0, 0), abort.signal), 'EDEADLK');
    abort.abort();
    for (const wait of waits) await fails(wait, 'EINTR');
    table.close();
  });

  test('ends the waiting of a released handle', async () => {
    const table = new LockTable();
    await table.lock('f', 1, range(1n, write, 0, 0));
    const waiting = table.lock('f', 2, range(2n, write, 0, 0), new AbortController().signal);
    table.releaseHandle('f', 2);
    await fails(waiting, 'EBADF');
    await fails(table.lock('f', 2, range(2n, write, 5, 4)), 'EINVAL');
  });

  test('grants one wait after the other as locks go', async () => {
    const table = new LockTable();
    const order: number[] = [];
    await table.lock('f', 1, range(1n, write, 0, 0));
    const waits = [2n, 3n, 4n].map(async (owner) => {
      await table.lock('f', Number(owner), range(owner, write, 0, 0), new AbortController().signal);
      order.push(Number(owner));
      table.releaseOwner('f', owner);
    });
    table.releaseOwner('f', 1n);
    await Promise.all(waits);
    assert.deepEqual(order, [2, 3, 4]);
  });
});

const PROGRAM = fileURLToPath(new URL('./lock-program.js', import.meta.url));

function program(file: string, kind: string, action: string): ChildProcess {
  return spawn(process.execPath, [PROGRAM, file, kind, action], { stdio: ['pipe', 'pipe', 'inherit'] });
}
const exitOf = (child: ChildProcess) => new Promise<number | null>((resolve) => child.once('exit', resolve));

describe('locks and programs of this machine', { timeout: 30_000 }, () => {
  for (const kind of ['fcntl', 'flock']) {
    test(`${kind} excludes them and is excluded by them`, async () => {
      const root = fs.mkdtempSync(path.join(tmpdir(), 'peerfs-locks-'));
      const tree = await createLocalTree({ root, writable: true, idmap: 'user' });
      const file = path.join(root, 'f');
      const lockKind = kind === 'fcntl' ? LOCK_KIND.posix : LOCK_KIND.flock;
      const wanted = { ...range(1n, write, 0, 9), kind: lockKind };
      let holder: ChildProcess | undefined;
      try {
        await writeFile(tree, p('f'), Buffer.alloc(100));
        const { handle } = await openFile(tree, p('f'), OPEN.read | OPEN.write);
        await tree.lock(handle, wanted);
        assert.equal(await exitOf(program(file, kind, 'try')), 1);
        await tree.lock(handle, { ...wanted, type: unlock });
        assert.equal(await exitOf(program(file, kind, 'try')), 0);

        holder = program(file, kind, 'hold');
        await new Promise((resolve) => holder?.stdout?.once('data', resolve));
        await fails(tree.lock(handle, wanted), 'EAGAIN');
        if (kind === 'fcntl') {
          const found = await tree.testLock(handle, wanted);
          assert.deepEqual([found?.type, found?.pid, found?.end], [write, holder.pid, 9n]);
        }
        const waiting = tree.lock(handle, wanted, new AbortController().signal);
        holder.stdin?.end();
        await waiting;
        await tree.flush(handle, 1n);
        await tree.release(handle);
        assert.equal(await exitOf(program(file, kind, 'try')), 0);
      } finally {
        holder?.kill('SIGKILL');
        await tree.close();
        fs.rmSync(root, { recursive: true });
      }
    });
  }
});
