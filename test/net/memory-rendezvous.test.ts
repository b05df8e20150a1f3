import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createManualClock } from '../manual-clock.ts';
import { createMemoryRendezvous } from './memory-rendezvous.ts';
import { testRendezvousContract } from './rendezvous-contract.ts';

testRendezvousContract('memory', async () => {
  const clock = createManualClock();
  const rendezvous = createMemoryRendezvous(clock);
  return {
    nodes: [rendezvous.open(), rendezvous.open('peer')],
    pass: () => clock.run(100),
    close: async () => undefined,
  };
});

test('memory: what was said while the way did not work is heard when it does', async () => {
  const clock = createManualClock();
  const rendezvous = createMemoryRendezvous(clock);
  const secret = Buffer.alloc(32, 1);
  const heard: string[] = [];
  const onSignal = (signal: Uint8Array): void => void heard.push(Buffer.from(signal).toString());
  const a = rendezvous.open().meet({ secret, side: 0, onSignal });
  const b = rendezvous.open().meet({ secret, side: 1, onSignal: () => undefined });
  rendezvous.setAvailable(false);
  for (const meeting of [a, b]) meeting.attend('active');
  b.say(Buffer.from('b'));
  await clock.run(1000);
  assert.deepEqual([heard, a.status.state, rendezvous.attended], [[], 'unavailable', 2]);
  rendezvous.setAvailable(true);
  await clock.run(1000);
  assert.deepEqual([heard, a.status.state, b.status.state], [['b'], 'found', 'looking']);
});
