import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AddressVotes } from '../../src/net/address-votes.ts';

const OUTSIDE = '203.0.113.5';
const SECOND_MS = 1000;
const MINUTE_MS = 60_000;

/** A voter of its own network. */
const voter = (n: number) => ({ host: `198.51.${n}.1`, port: 6881 });
const seen = (port: number, host = OUTSIDE) => ({ host, port });

test('without votes nothing is known, one vote is an address and no more', () => {
  const votes = new AddressVotes();
  assert.equal(votes.current(0), undefined);
  votes.vote(voter(1), seen(4000), 0);
  assert.deepEqual(votes.current(1), {
    host: OUTSIDE,
    port: 4000,
    hostVotes: 1,
    portVotes: 1,
    portsDiffer: undefined,
  });
});

test('networks that see the same port: ports do not differ', () => {
  const votes = new AddressVotes();
  for (const n of [1, 2, 3]) votes.vote(voter(n), seen(4000), n);
  assert.deepEqual(votes.current(10), {
    host: OUTSIDE,
    port: 4000,
    hostVotes: 3,
    portVotes: 3,
    portsDiffer: false,
  });
});

test('every destination sees another port: ports differ', () => {
  const votes = new AddressVotes();
  votes.vote(voter(1), seen(4001), 0);
  votes.vote(voter(2), seen(4002), 100);
  assert.equal(votes.current(200)?.portsDiffer, true);
  votes.vote(voter(3), seen(4003), 300);
  assert.deepEqual(votes.current(400), {
    host: OUTSIDE,
    port: 4003,
    hostVotes: 3,
    portVotes: 1,
    portsDiffer: true,
  });
});

test('two single votes far apart in time may be a change: not known', () => {
  const votes = new AddressVotes();
  votes.vote(voter(1), seen(4001), 0);
  votes.vote(voter(2), seen(4002), MINUTE_MS);
  assert.equal(votes.current(MINUTE_MS)?.portsDiffer, undefined);
  assert.equal(votes.current(MINUTE_MS)?.port, 4002);
});

test('the router gave us another port: the new one counts once two networks agree', () => {
  const votes = new AddressVotes();
  for (const n of [1, 2, 3, 4]) votes.vote(voter(n), seen(4000), n);
  votes.vote(voter(5), seen(5000), MINUTE_MS);
  assert.equal(votes.current(MINUTE_MS)?.port, 4000);
  votes.vote(voter(1), seen(5000), MINUTE_MS + SECOND_MS);
  const now = votes.current(MINUTE_MS + SECOND_MS);
  assert.deepEqual([now?.port, now?.portVotes, now?.portsDiffer], [5000, 2, false]);
});

test('a network has one vote however many addresses it has', () => {
  const votes = new AddressVotes();
  for (let n = 1; n < 200; n++) votes.vote({ host: `192.0.2.${n}`, port: n }, seen(1, '203.0.113.66'), n);
  for (const n of [1, 2]) votes.vote(voter(n), seen(4000), 200 + n);
  for (let n = 1; n < 200; n++) votes.vote({ host: `192.0.2.${n}`, port: n }, seen(1, '203.0.113.66'), 300 + n);
  const now = votes.current(600);
  assert.deepEqual([now?.host, now?.port, now?.hostVotes], [OUTSIDE, 4000, 2]);
});

test('one that lies among many changes nothing', () => {
  const votes = new AddressVotes();
  for (const n of [1, 2, 3]) votes.vote(voter(n), seen(4000), n);
  votes.vote(voter(9), seen(9999), 4);
  votes.vote(voter(4), seen(4000), 5);
  votes.vote(voter(5), seen(4000), 6);
  const now = votes.current(10);
  assert.deepEqual([now?.port, now?.portVotes, now?.portsDiffer], [4000, 5, false]);
});

test('old votes do not count, and none after the network changed', () => {
  const votes = new AddressVotes();
  votes.vote(voter(1), seen(4000), 0);
  assert.equal(votes.current(15 * MINUTE_MS)?.port, 4000);
  assert.equal(votes.current(15 * MINUTE_MS + 1), undefined);
  votes.vote(voter(1), seen(4000), 16 * MINUTE_MS);
  votes.forget();
  assert.equal(votes.current(16 * MINUTE_MS), undefined);
});

test('IPv6 is counted by itself, a /48 having one vote', () => {
  const votes = new AddressVotes();
  const six = { host: '2001:db8:9::5', port: 4000 };
  votes.vote({ host: '2001:db8:1::1', port: 1 }, six, 0);
  votes.vote({ host: '2001:db8:1:ffff::2', port: 1 }, six, 1);
  votes.vote({ host: '2001:db8::2', port: 1 }, six, 1);
  votes.vote(voter(1), seen(4000), 2);
  assert.deepEqual([votes.current(3)?.hostVotes, votes.current(3, 6)?.hostVotes], [1, 2]);
});

test('what is kept is bounded', () => {
  const votes = new AddressVotes();
  for (let n = 0; n < 256; n++) votes.vote({ host: `10.0.${n}.1`, port: 1 }, seen(4000), n);
  assert.equal(votes.current(300)?.hostVotes, 64);
});
