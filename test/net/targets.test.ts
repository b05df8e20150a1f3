import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createAddressRules } from '../../src/net/address-rules.ts';
import { createCandidates } from '../../src/net/candidates.ts';
import type { Relay } from '../../src/net/relay.ts';
import { candidateOf, permitThrough, reaches, targetsOf } from '../../src/net/targets.ts';
import { CANDIDATE_TYPE, MAX_CANDIDATES, type WireCandidate } from '../../src/wire/candidate.ts';

const ONION = `${'a'.repeat(56)}.onion`;
const BOTH = 3;

const candidate = (type: keyof typeof CANDIDATE_TYPE, host: string, transports = BOTH, port = 7): WireCandidate => ({
  type: CANDIDATE_TYPE[type],
  transports,
  host,
  port,
});

function fakeRelay(host: string | undefined, permitted: string[] = []): Relay {
  return {
    server: `turn:${host ?? 'lost'}`,
    transport: 'udp',
    address: host === undefined ? undefined : { host, port: 9 },
    fault: undefined,
    permit: (allowed) => permitted.push(allowed),
    networkChanged: () => undefined,
    onChange: () => () => undefined,
    onDatagram: () => undefined,
    send: () => undefined,
    sendBatch: () => undefined,
    close: async () => undefined,
  };
}

const kinds = ['tcp', 'udp', 'turn', 'tor'] as const;

test('each candidate is dialled by the paths that lead to it, in the order of the kinds', () => {
  const told = [
    candidate('onion', ONION, 2),
    candidate('host', '192.168.1.2'),
    candidate('reflexive', '198.51.100.1', 1),
    candidate('relayed', '198.51.100.9', 1),
  ];
  assert.deepEqual(
    targetsOf(told, { kinds, relays: [] }).map(({ kind, host }) => [kind, host]),
    [
      ['tcp', '192.168.1.2'],
      ['udp', '192.168.1.2'],
      ['udp', '198.51.100.1'],
      ['turn', '198.51.100.9'],
      ['tor', ONION],
    ],
  );
  assert.deepEqual(
    targetsOf(told, { kinds: ['udp'], relays: [] }).map(({ host }) => host),
    ['192.168.1.2', '198.51.100.1'],
  );
});

test('a relay of ours leads to addresses outside, of its own family, once it has its own', () => {
  const relays = [fakeRelay('203.0.113.1'), fakeRelay(undefined)];
  const told = [
    candidate('host', '10.0.0.1'),
    candidate('host', '2001:db8::1'),
    candidate('reflexive', '198.51.100.1', 1),
    candidate('mapped', '198.51.100.2', 2),
  ];
  const through = targetsOf(told, { kinds, relays }).filter(({ via }) => via !== undefined);
  assert.deepEqual(
    through.map(({ kind, host, via }) => [kind, host, via?.server]),
    [['turn', '198.51.100.1', 'turn:203.0.113.1']],
  );
});

test('an address told twice is one target, by each relay another', () => {
  const relays = [fakeRelay('203.0.113.1'), fakeRelay('203.0.113.2')];
  const told = [candidate('reflexive', '198.51.100.1', 1), candidate('reflexive', '198.51.100.1', 1)];
  assert.equal(targetsOf(told, { kinds, relays }).length, 3);
});

test('who may dial by our relay is let through it, and nobody of a private network', () => {
  const permitted: string[] = [];
  const told = [candidate('host', '10.0.0.1'), candidate('reflexive', '198.51.100.1', 1), candidate('onion', ONION, 2)];
  permitThrough([fakeRelay('203.0.113.1', permitted)], told);
  assert.deepEqual(permitted, ['198.51.100.1']);
});

test('an address from before is good for datagrams and connections, an onion for Tor alone', () => {
  const found = targetsOf([candidateOf({ host: '192.0.2.1', port: 1 }), candidateOf({ host: ONION, port: 2 })], {
    kinds,
    relays: [],
  });
  assert.deepEqual(
    found.map(({ kind }) => kind),
    ['tcp', 'udp', 'tor'],
  );
});

test('a socket of one family reaches that family, one for all reaches both', () => {
  assert.ok(reaches('::', '192.0.2.1') && reaches('::', '2001:db8::1'));
  assert.ok(reaches('0.0.0.0', '192.0.2.1') && !reaches('0.0.0.0', '2001:db8::1'));
  assert.ok(!reaches('2001:db8::2', '192.0.2.1') && reaches('2001:db8::2', '2001:db8::1'));
});

test('own candidates stand best first, each address once, and a change is told once', () => {
  const candidates = createCandidates(createAddressRules([], ['10.9.0.0/16']));
  let changes = 0;
  candidates.onChange(() => (changes += 1));
  candidates.set('tor', [candidate('onion', ONION, 2)]);
  candidates.set('stun', [candidate('reflexive', '198.51.100.1', 1), candidate('reflexive', '192.0.2.1', 1)]);
  candidates.set('local', [
    candidate('host', '192.0.2.1'),
    candidate('host', '2001:db8::1'),
    candidate('host', '10.9.1.1'),
  ]);
  assert.equal(changes, 3);
  candidates.set('local', [candidate('host', '2001:db8::1'), candidate('host', '192.0.2.1')]);
  candidates.set('nothing', []);
  assert.equal(changes, 3);
  assert.deepEqual(
    candidates.list.map(({ type, host, transports }) => [type, host, transports]),
    [
      [CANDIDATE_TYPE.host, '2001:db8::1', 3],
      [CANDIDATE_TYPE.host, '192.0.2.1', 3],
      [CANDIDATE_TYPE.reflexive, '198.51.100.1', 1],
      [CANDIDATE_TYPE.onion, ONION, 2],
    ],
  );
});

test('of what a peer tells only sound and allowed candidates are tried, and not more than the bound', () => {
  const candidates = createCandidates(createAddressRules([], ['192.0.3.0/24']));
  const told = [
    candidate('host', '127.0.0.1'),
    candidate('host', '192.0.3.1'),
    candidate('host', 'evil.example'),
    candidate('host', '239.255.255.250'),
    candidate('mapped', '255.255.255.255'),
    candidate('reflexive', '0.0.0.0'),
    candidate('relayed', '::ffff:192.0.2.1'),
    candidate('host', 'fe80::1%eth0'),
    candidate('host', '192.0.2.1', 0),
    candidate('host', '192.0.2.1', BOTH, 0),
    candidate('onion', '192.0.2.1'),
    { ...candidate('host', '192.0.2.1'), type: 99 },
    candidate('host', '192.0.2.2'),
  ];
  assert.deepEqual(
    candidates.accept(told).map(({ host }) => host),
    ['192.0.2.2'],
  );
  const many = Array.from({ length: MAX_CANDIDATES + 1 }, (_, i) => candidate('host', `192.0.2.${i}`));
  assert.equal(candidates.accept(many).length, MAX_CANDIDATES);
});
