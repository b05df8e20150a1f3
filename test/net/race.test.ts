import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Path } from '../../src/net/path.ts';
import { startRace, type Candidate } from '../../src/net/race.ts';
import { createManualClock, settle, type ManualClock } from '../manual-clock.ts';
import { createMemoryPathPair } from './memory-path.ts';

interface Attempt {
  readonly at: number;
  readonly host: string;
  readonly path: Path;
  closed: boolean;
  succeed(): void;
  fail(): void;
}

const candidate = (host: string): Candidate => ({ kind: 'tcp', host, port: 1 });

function start(clock: ManualClock, hosts: readonly string[], signal = new AbortController().signal) {
  const attempts: Attempt[] = [];
  const race = startRace({
    candidates: hosts.map(candidate),
    clock,
    signal,
    attempt: ({ host }) =>
      new Promise<{ path: Path; host: string }>((resolve, reject) => {
        const path: Path = createMemoryPathPair({ clock }).ends[0];
        const made: Attempt = {
          at: clock.now(),
          host,
          path,
          closed: false,
          succeed: () => resolve({ path, host }),
          fail: () => reject(new Error('nobody')),
        };
        path.close = () => (made.closed = true);
        attempts.push(made);
      }),
  });
  return { race, attempts };
}

test('the next is tried after a quarter of a second, or when the one before has failed', async () => {
  const clock = createManualClock();
  const { race, attempts } = start(clock, ['a', 'b', 'c']);
  await clock.run(250);
  attempts[1]?.fail();
  await settle();
  assert.deepEqual(
    attempts.map(({ at, host }) => [at, host]),
    [
      [0, 'a'],
      [250, 'b'],
      [250, 'c'],
    ],
  );
  attempts[0]?.succeed();
  assert.equal((await race.winner)?.host, 'a');
});

test('paths that come after the first are closed', async () => {
  const clock = createManualClock();
  const { race, attempts } = start(clock, ['a', 'b']);
  await clock.run(300);
  attempts[1]?.succeed();
  assert.equal((await race.winner)?.host, 'b');
  attempts[0]?.succeed();
  await settle();
  assert.deepEqual(
    attempts.map(({ closed }) => closed),
    [true, false],
  );
  assert.equal(clock.pending, 0);
});

test('when all have failed, or none was given, there is no winner', async () => {
  const clock = createManualClock();
  const { race, attempts } = start(clock, ['a']);
  attempts[0]?.fail();
  assert.equal(await race.winner, undefined);
  assert.equal(await start(clock, []).race.winner, undefined);
  race.add(candidate('b'));
  assert.equal(attempts.length, 1);
});

test('one that is added is tried at once, but not beside itself', async () => {
  const clock = createManualClock();
  const { race, attempts } = start(clock, ['a', 'b']);
  race.add(candidate('a'));
  race.add(candidate('c'));
  assert.deepEqual(
    attempts.map(({ host }) => host),
    ['a', 'b', 'c'],
  );
  attempts[2]?.succeed();
  assert.equal((await race.winner)?.host, 'c');
});

test('an ended race has no winner, and closes what still comes', async () => {
  const clock = createManualClock();
  const stop = new AbortController();
  const { race, attempts } = start(clock, ['a', 'b'], stop.signal);
  stop.abort();
  assert.equal(await race.winner, undefined);
  attempts[0]?.succeed();
  await clock.run(1000);
  assert.deepEqual(
    attempts.map(({ closed }) => closed),
    [true],
  );
});

test('however many are under way, Node sees no leak', async () => {
  const warnings: Error[] = [];
  const warned = (warning: Error) => warnings.push(warning);
  process.on('warning', warned);
  try {
    const clock = createManualClock();
    startRace({
      candidates: Array.from({ length: 40 }, (_, i) => candidate(`${i}`)),
      clock,
      signal: new AbortController().signal,
      attempt: (_candidate, signal) =>
        new Promise<{ path: Path }>((_resolve, reject) => {
          signal.addEventListener('abort', () => reject(new Error('ended')));
        }),
    });
    await clock.run(20_000);
    assert.deepEqual(warnings, []);
  } finally {
    process.off('warning', warned);
  }
});
