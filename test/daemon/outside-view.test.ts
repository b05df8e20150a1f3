import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createOutsideView } from '../../src/daemon/outside-view.ts';
import { createAddressRules } from '../../src/net/address-rules.ts';
import { createCandidates } from '../../src/net/candidates.ts';
import { CANDIDATE_TRANSPORT, CANDIDATE_TYPE } from '../../src/wire/candidate.ts';
import { createManualClock } from '../manual-clock.ts';

const OWN = ['10.0.0.5', '2001:db8::5'];
const at = (host: string, port: number) => ({ host, port });

function createWorld() {
  const candidates = createCandidates(createAddressRules([], []));
  const view = createOutsideView({ candidates, transports: CANDIDATE_TRANSPORT.udp, clock: createManualClock() });
  return { candidates, view, told: () => candidates.list.map(({ host, port }) => `${host} ${port}`) };
}

describe('how others see this node', () => {
  it('what a server saw is a candidate until it sees something else or nothing', () => {
    const { candidates, view, told } = createWorld();
    view.answered('one:3478', at('198.51.100.1', 4500));
    assert.deepEqual(candidates.list, [
      { type: CANDIDATE_TYPE.reflexive, transports: CANDIDATE_TRANSPORT.udp, ...at('198.51.100.1', 4500) },
    ]);
    view.answered('one:3478', at('198.51.100.1', 4501));
    assert.deepEqual(told(), ['198.51.100.1 4501']);
    assert.deepEqual(view.seenBy('one:3478'), at('198.51.100.1', 4501));
    view.answered('one:3478', undefined);
    assert.deepEqual(told(), []);
  });

  it('of what peers and DHT nodes say the most are believed, a network having one voice', () => {
    const { view, told } = createWorld();
    for (let i = 1; i < 20; i++) view.vote(at(`203.0.113.${i}`, 1), at('192.88.99.1', 1));
    for (let i = 1; i < 4; i++) view.vote(at(`203.0.${i}.1`, 1), at('198.51.100.1', 4500));
    assert.deepEqual(told(), ['198.51.100.1 4500']);
  });

  it('on another network nothing of it holds', () => {
    const { view, told } = createWorld();
    view.answered('one:3478', at('198.51.100.1', 4500));
    view.forget();
    assert.deepEqual(told(), []);
    assert.equal(view.seenBy('one:3478'), undefined);
    assert.equal(view.natKind(OWN, false), 'unknown');
  });

  it('the router: none where an own address is seen', () => {
    const { view } = createWorld();
    view.answered('one:3478', at('2001:db8::5', 4500));
    assert.equal(view.natKind(OWN, true), 'none');
  });

  it('the router: cone where two servers see the same, symmetric where they do not', () => {
    const { view } = createWorld();
    view.answered('one:3478', at('198.51.100.1', 4500));
    assert.equal(view.natKind(OWN, true), 'unknown');
    view.answered('two:3478', at('198.51.100.1', 4500));
    assert.equal(view.natKind(OWN, true), 'cone');
    view.answered('two:3478', at('198.51.100.1', 4501));
    assert.equal(view.natKind(OWN, true), 'symmetric');
  });

  it('the router: blocked where servers were asked and nobody answers, not known where none was asked', () => {
    const { view } = createWorld();
    assert.equal(view.natKind(OWN, false), 'unknown');
    view.answered('one:3478', undefined);
    assert.equal(view.natKind(OWN, false), 'blocked');
    assert.equal(view.natKind(OWN, true), 'unknown');
  });
});
