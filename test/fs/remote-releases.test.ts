import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PeerfsError } from '../../src/errors.ts';
import { RemoteReleases } from '../../src/fs/remote-releases.ts';
import { createManualClock, settle } from '../manual-clock.ts';
import { fails } from './tree-contract.ts';

function createFixture() {
  const clock = createManualClock();
  const sent: number[][] = [];
  const releases = new RemoteReleases(clock, async (handles) => sent.push(handles.map(({ handle }) => handle)));
  return { clock, sent, releases };
}

test('handles are released together after a moment, or when there are many', () => {
  const { clock, sent, releases } = createFixture();
  releases.add(1);
  releases.add(2);
  assert.equal(sent.length, 0);
  clock.advance(20);
  assert.deepEqual(sent, [[1, 2]]);
  for (let handle = 100; handle < 164; handle++) releases.add(handle);
  assert.equal(sent.at(-1)?.length, 64);
  assert.equal(clock.pending, 0);
});

test('what a server that is gone knew is not released at the next', () => {
  const { clock, sent, releases } = createFixture();
  releases.add(1);
  releases.forget();
  clock.advance(100);
  assert.equal(sent.length, 0);
});

test('an opening that finds no room is tried again once handles that are done with are released', async () => {
  const { sent, releases } = createFixture();
  let tries = 0;
  const open = async () => {
    tries += 1;
    if (sent.length === 0) throw new PeerfsError('EMFILE');
    return tries;
  };
  await fails(releases.opening(open), 'EMFILE');
  assert.equal(tries, 1);
  releases.add(1);
  assert.equal(await releases.opening(open), 3);
  await settle();
  await fails(
    releases.opening(() => Promise.reject(new PeerfsError('EMFILE'))),
    'EMFILE',
  );
});
