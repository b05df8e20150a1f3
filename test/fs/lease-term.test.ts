import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Pace } from '../../src/net/channel.ts';
import { CONFIRMATIONS, LeaseTerm } from '../../src/fs/lease-term.ts';
import { PeerLease } from '../../src/fs/remote-lease.ts';
import { createManualClock, settle } from '../manual-clock.ts';
import { createRandom } from '../net/simulated-link.ts';

const LENGTHS = { fast: 15_000, slow: 60_000 };

function createTerm() {
  const state: { pace: Pace } = { pace: 'fast' };
  return { state, term: new LeaseTerm(LENGTHS, () => state.pace) };
}

describe('lease term', () => {
  it('is 15 s on a fast path and 60 s on a slow one, from the last call on', () => {
    const { state, term } = createTerm();
    assert.equal(term.heard(1_000), true, 'nothing was promised before');
    assert.equal(term.tell(), 15_000);
    assert.equal(term.endsAt, 16_000);
    state.pace = 'slow';
    assert.equal(term.endsAt, 16_000, 'the peer has not been told');
    assert.equal(term.tell(), 60_000);
    assert.equal(term.endsAt, 61_000);
    assert.equal(term.heard(61_000), false);
    assert.equal(term.heard(121_001), true);
  });

  it('a shorter one counts when three renewals have confirmed it, and not before', () => {
    const { state, term } = createTerm();
    term.heard(0);
    state.pace = 'slow';
    term.tell();
    state.pace = 'fast';
    assert.equal(term.tell(), 15_000);
    for (let callId = 1; callId < CONFIRMATIONS; callId++) {
      assert.equal(term.renew(callId), 15_000);
      assert.equal(term.renew(callId), 15_000, 'one that comes twice counts once');
      assert.equal(term.endsAt, 60_000);
    }
    term.renew(CONFIRMATIONS);
    assert.equal(term.endsAt, 15_000);
  });

  it('the longer one told in between begins the confirmation anew', () => {
    const { state, term } = createTerm();
    term.heard(0);
    state.pace = 'slow';
    term.tell();
    state.pace = 'fast';
    term.renew(1);
    term.renew(2);
    state.pace = 'slow';
    term.tell();
    state.pace = 'fast';
    term.renew(3);
    term.renew(4);
    assert.equal(term.endsAt, 60_000);
    term.renew(5);
    assert.equal(term.endsAt, 15_000);
  });

  it('a peer whose leases have ended is told anew', () => {
    const { state, term } = createTerm();
    term.heard(0);
    state.pace = 'slow';
    term.tell();
    state.pace = 'fast';
    assert.equal(term.heard(60_001), true);
    assert.equal(term.endsAt, 75_001);
  });

  it('the holder asks three times when it is told a shorter one, one after the other', async () => {
    const clock = createManualClock();
    let answer: () => void = () => undefined;
    let asked = 0;
    const lease = new PeerLease(clock, () => {
      asked += 1;
      return new Promise<void>((resolve) => (answer = resolve));
    });
    lease.heard(0);
    lease.learn(60_000, 0);
    lease.learn(15_000, 1);
    for (let count = 1; count <= CONFIRMATIONS; count++) {
      assert.equal(asked, count);
      answer();
      await settle();
    }
    assert.equal(asked, CONFIRMATIONS);
  });

  it('a late reply of an older call does not lengthen what a newer one said', () => {
    const clock = createManualClock();
    const lease = new PeerLease(clock, () => Promise.resolve());
    lease.heard(10);
    lease.learn(15_000, 10);
    lease.learn(60_000, 5);
    clock.advance(14_600);
    assert.equal(lease.leftMs(lease.epoch), 0);
  });

  it('a renewal that fails while a shorter term is being confirmed ends what was learned before', async () => {
    const lease = new PeerLease(createManualClock(), () => Promise.reject(new Error('gone')));
    lease.heard(0);
    lease.learn(60_000, 0);
    const { epoch } = lease;
    lease.learn(15_000, 0);
    await settle();
    assert.equal(lease.leftMs(epoch), 0);
  });

  it('whatever the delays, and however the pace changes, no holder trusts longer than its server thinks', async () => {
    for (let seed = 1; seed <= 60; seed++) {
      const random = createRandom(seed);
      const clock = createManualClock();
      const { state, term } = createTerm();
      let callId = 0;
      /** Each way takes up to 5 s: calls and replies overtake each other. */
      const call = (kind: 'renew' | 'tell' | 'read'): Promise<void> => {
        const sentAt = clock.now();
        const id = (callId += 1);
        return new Promise((resolve) => {
          clock.after(random() * 5_000, () => {
            term.heard(clock.now());
            const told = kind === 'renew' ? term.renew(id) : kind === 'tell' ? term.tell() : 0;
            clock.after(random() * 5_000, () => {
              lease.heard(sentAt);
              lease.learn(told, sentAt);
              resolve();
            });
          });
        });
      };
      const lease = new PeerLease(clock, () => call('renew'));
      for (let step = 0; step < 150; step++) {
        if (random() < 0.1) state.pace = state.pace === 'fast' ? 'slow' : 'fast';
        const kind = random();
        if (kind < 0.6) void call(kind < 0.3 ? 'tell' : 'read');
        await clock.run(random() * (random() < 0.05 ? 40_000 : 2_000));
        const trustedUntil = clock.now() + lease.leftMs(lease.epoch);
        const isTrusted = trustedUntil > clock.now();
        assert.ok(!isTrusted || trustedUntil <= term.endsAt, `seed ${seed}: ${trustedUntil} > ${term.endsAt}`);
      }
    }
  });
});
