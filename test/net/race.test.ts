import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Path, PathKind } from '../../src/net/path.ts';
import { startRace } from '../../src/net/race.ts';
import type { Target } from '../../src/net/targets.ts';
import { createManualClock, settle, type ManualClock } from '../manual-clock.ts';
import { createMemoryPathPair } from './memory-path.ts';

interface Attempt {
  readonly at: number;
  readonly host: string;
  readonly signal: AbortSignal;
  closed: boolean;
  succeed(): void;
  fail(): void;
}

const target = (host: string, kind: PathKind = 'tcp'): Target => ({ kind, host, port: 1 });
const RANK: Readonly<Record<PathKind, number>> = { tcp: 0, udp: 1, turn: 2, tor: 3 };

function start(clock: ManualClock, targets: readonly Target[], signal = new AbortController().signal) {
  const attempts: Attempt[] = [];
  const reached: string[] = [];
  const race = startRace({
    targets,
    clock,
    signal,
    rank: ({ kind }) => RANK[kind],
    onReached: (_made, { host }) => reached.push(host),
    attempt: ({ host }, each) =>
      new Promise<{ path: Path }>((resolve, reject) => {
        const path: Path = createMemoryPathPair({ clock }).ends[0];
        const made: Attempt = {
          at: clock.now(),
          host,
          signal: each,
          closed: false,
          succeed: () => resolve({ path }),
          fail: () => reject(new Error('nobody')),
        };
        each.addEventListener('abort', () => reject(new Error('aborted')));
        path.close = () => (made.closed = true);
        attempts.push(made);
      }),
  });
  let isDone = false;
  void race.done.then(() => (isDone = true));
  return { race, attempts, reached, done: () => isDone };
}

const begun = (attempts: readonly Attempt[]) => attempts.map(({ at, host }) => [at, host]);

test('the next is tried a little later, or when the one before has failed', async () => {
  const clock = createManualClock();
  const { attempts, reached, done } = start(clock, [target('a'), target('b'), target('c')]);
  await clock.run(50);
  attempts[1]?.fail();
  await settle();
  assert.deepEqual(begun(attempts), [
    [0, 'a'],
    [50, 'b'],
    [50, 'c'],
  ]);
  attempts[0]?.succeed();
  await settle();
  assert.deepEqual(reached, ['a']);
  assert.ok(done());
});

test('what could be better goes on beside a path that was made, what could not is given up', async () => {
  const clock = createManualClock();
  const { attempts, reached, done } = start(clock, [target('a', 'tcp'), target('b', 'udp'), target('c', 'udp')]);
  await clock.run(100);
  attempts[1]?.succeed();
  await settle();
  assert.deepEqual(
    attempts.map(({ signal }) => signal.aborted),
    [false, false, true],
  );
  assert.ok(!done());
  attempts[0]?.succeed();
  await settle();
  assert.deepEqual(reached, ['b', 'a']);
  assert.ok(done());
});

test('relays and Tor are tried when the others have had their chance', async () => {
  const clock = createManualClock();
  const { attempts } = start(clock, [target('a', 'tor'), target('b', 'turn'), target('c', 'udp')]);
  await clock.run(5000);
  assert.deepEqual(begun(attempts), [
    [0, 'c'],
    [500, 'b'],
    [1000, 'a'],
  ]);
});

test('IPv6 has a start before IPv4', async () => {
  const clock = createManualClock();
  const { attempts } = start(clock, [target('192.0.2.1'), target('2001:db8::1', 'udp')]);
  await clock.run(5000);
  assert.deepEqual(begun(attempts), [
    [0, '2001:db8::1'],
    [250, '192.0.2.1'],
  ]);
});

test('relays and Tor are tried at once when all others have failed', async () => {
  const clock = createManualClock();
  const { attempts } = start(clock, [target('a', 'udp'), target('b', 'tor')]);
  attempts[0]?.fail();
  await settle();
  assert.deepEqual(begun(attempts), [
    [0, 'a'],
    [0, 'b'],
  ]);
});

test('a path that somebody else made ends what is no better', async () => {
  const clock = createManualClock();
  const { race, attempts, done } = start(clock, [target('a', 'udp'), target('b', 'udp')]);
  race.reached(RANK.udp);
  await settle();
  assert.ok(attempts[0]?.signal.aborted);
  assert.equal(attempts.length, 1);
  assert.ok(done());
});

test('when all have failed, or none was given, it is over', async () => {
  const clock = createManualClock();
  const { race, attempts, done } = start(clock, [target('a')]);
  attempts[0]?.fail();
  await settle();
  assert.ok(done());
  race.add([target('b')]);
  assert.equal(attempts.length, 1);
  const empty = start(clock, []);
  await settle();
  assert.ok(empty.done());
});

test('one that is added is tried at once, but not beside itself', async () => {
  const clock = createManualClock();
  const { race, attempts, reached } = start(clock, [target('a'), target('b')]);
  race.add([target('a')]);
  race.add([target('c')]);
  assert.deepEqual(
    attempts.map(({ host }) => host),
    ['a', 'b', 'c'],
  );
  attempts[2]?.succeed();
  await settle();
  assert.deepEqual(reached, ['c']);
});

test('many that are added are paced like those of the beginning', async () => {
  const clock = createManualClock();
  const { race, attempts } = start(clock, [target('a')]);
  await clock.run(3000);
  race.add([target('192.0.2.1', 'udp'), target('2001:db8::1', 'udp'), target('relay', 'turn')]);
  await clock.run(5000);
  assert.deepEqual(begun(attempts), [
    [0, 'a'],
    [3000, '2001:db8::1'],
    [3250, '192.0.2.1'],
    [3500, 'relay'],
  ]);
});

test('an ended race reaches nobody, and closes what still comes', async () => {
  const clock = createManualClock();
  const stop = new AbortController();
  const { attempts, reached, done } = start(clock, [target('a'), target('b')], stop.signal);
  attempts[0]?.succeed();
  stop.abort();
  await clock.run(1000);
  assert.ok(done());
  assert.deepEqual(reached, []);
  assert.deepEqual(
    attempts.map(({ closed }) => closed),
    [true],
  );
  assert.equal(clock.pending, 0);
});

test('of many targets some wait until others have ended', async () => {
  const clock = createManualClock();
  const { attempts } = start(
    clock,
    Array.from({ length: 49 }, (_, i) => target(`${i}`)),
  );
  await clock.run(60_000);
  assert.equal(attempts.length, 48);
  attempts[0]?.fail();
  await settle();
  assert.equal(attempts.length, 49);
});

test('whatever is named while it runs, a bounded number is tried and a bounded number waits, the newest', async () => {
  const clock = createManualClock();
  const stop = new AbortController();
  const { race, attempts } = start(clock, [target('a')], stop.signal);
  for (let i = 0; i < 2000; i++) race.add([target(`b${i}`)]);
  for (let i = 0; i < 600; i++) {
    await clock.run(50);
    for (const attempt of attempts) attempt.fail();
    await settle();
  }
  assert.equal(attempts.length, 48 + 256);
  assert.ok(attempts.some(({ host }) => host === 'b1999'));
  assert.ok(attempts.slice(48).every(({ host }) => Number(host.slice(1)) >= 2000 - 256));
});
