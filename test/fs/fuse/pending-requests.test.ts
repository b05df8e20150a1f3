import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PeerfsError } from '../../../src/errors.ts';
import { PendingRequests } from '../../../src/fs/fuse/pending-requests.ts';
import { OPCODE } from '../../../src/fs/fuse/protocol.ts';
import { FuseRequest } from '../../../src/fs/fuse/request.ts';
import { IN_HEADER } from '../../../src/fs/fuse/structures.ts';
import { createManualClock, type ManualClock } from '../../manual-clock.ts';

const UNIQUE = 42;

function setUp(opcode: number): {
  clock: ManualClock;
  pending: PendingRequests;
  request: FuseRequest;
  answers: string[];
  signals: Set<number>;
  dying: Set<number>;
} {
  const clock = createManualClock();
  const signals = new Set<number>();
  const dying = new Set<number>();
  const answers: string[] = [];
  const pending = new PendingRequests({
    clock,
    hasEndingSignal: (thread) => signals.has(thread),
    isDying: (thread) => dying.has(thread),
    fail: (request, error) => {
      request.answered = true;
      answers.push(error.code);
    },
  });
  const words = new Uint32Array(IN_HEADER.sizeBytes / 4);
  words[IN_HEADER.word.opcode] = opcode;
  words[IN_HEADER.word.unique] = UNIQUE;
  words[IN_HEADER.word.pid] = 7;
  const request = new FuseRequest(words);
  pending.add(request);
  return { clock, pending, request, answers, signals, dying };
}

test('a wait for a lock is aborted at any signal, and answered if the file system does not', () => {
  const { clock, pending, request, answers } = setUp(OPCODE.SETLKW);
  assert.equal(pending.interrupt(UNIQUE), true);
  assert.equal(request.signal.aborted, true);
  assert.deepEqual(answers, []);
  clock.advance(50);
  assert.deepEqual(answers, ['EINTR']);
});

test('another request goes on until an ending signal waits for its caller', () => {
  const { clock, pending, request, answers, signals } = setUp(OPCODE.READ);
  pending.interrupt(UNIQUE);
  clock.advance(1000);
  assert.equal(request.signal.aborted, false);
  signals.add(7);
  clock.advance(150);
  assert.equal(request.signal.aborted, true);
  assert.deepEqual(answers, ['EINTR']);
});

test('nobody looks any more when it has been answered', () => {
  const { clock, pending, request, answers, signals } = setUp(OPCODE.READ);
  pending.interrupt(UNIQUE);
  request.answered = true;
  pending.delete(request);
  signals.add(7);
  clock.advance(1000);
  assert.deepEqual([answers.length, clock.pending], [0, 0]);
});

test('an unknown request is said to be unknown', () => {
  assert.equal(setUp(OPCODE.READ).pending.interrupt(UNIQUE + 2), false);
});

test('all that wait can be failed together', () => {
  const { pending, request, answers } = setUp(OPCODE.READ);
  pending.failAll(new PeerfsError('EIO'));
  assert.deepEqual([answers, request.signal.aborted], [['EIO'], true]);
});

test('a file that a killed process closes by dying is not waited for, though the kernel sends no interrupt', () => {
  const { clock, request, answers, dying } = setUp(OPCODE.FLUSH);
  clock.advance(1000);
  assert.equal(request.signal.aborted, false);
  dying.add(7);
  clock.advance(150);
  assert.equal(request.signal.aborted, true);
  assert.deepEqual(answers, ['EINTR']);
});
