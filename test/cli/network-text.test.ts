import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { findingLines, networkLines, peerLines, reachesOthers } from '../../src/cli/network-text.ts';
import type { NetworkStatus, PeerStatus } from '../../src/daemon/control-protocol.ts';

const NOW = Date.UTC(2026, 0, 1);
const before = (ms: number) => new Date(NOW - ms).toISOString();

const NETWORK: NetworkStatus = {
  nat: 'symmetric',
  candidates: [
    { type: 'host', address: '192.168.1.5:41000' },
    { type: 'relayed', address: '203.0.113.9:50000' },
  ],
  tor: { state: 'starting', progress: 45, detail: 'asking for relay descriptors' },
  dht: { state: 'ready', nodes: 87 },
  stun: [
    { server: 'stun.example:3478', seen: '198.51.100.2:1024' },
    { server: 'mute.example:3478', seen: null },
  ],
  turn: [{ server: 'turn:turn.example', relayed: null, fault: 'the password is wrong' }],
  portMapping: { by: 'upnp', external: '198.51.100.2:41000' },
};

const PEER: PeerStatus = {
  name: 'bob',
  id: 'abc',
  state: 'live',
  path: 'udp',
  slow: false,
  rttMs: 12,
  paths: [
    { kind: 'udp', remote: '[2001:db8::1]:41000', active: true, rttMs: 12.3, loss: 0.012, bytesPerSecond: 1_200_000 },
    { kind: 'tor', remote: `${'o'.repeat(56)}.onion:1`, active: false, rttMs: 823, loss: null, bytesPerSecond: 0 },
  ],
  ways: [
    { way: 'lan', result: 'failed', at: before(130_000) },
    { way: 'address', result: 'worked', at: before(3000) },
    { way: 'dht', result: 'untried', at: null },
    { way: 'peer', result: 'off', at: null },
    { way: 'tor', result: 'found', at: before(8_000_000) },
  ],
  lastSeenAt: before(0),
};

describe('what status says', () => {
  it('the network: one line for each thing, named once', () => {
    assert.deepEqual(networkLines(NETWORK), [
      'network',
      '  router     another port for each destination: direct connections are hard',
      '  reachable  192.168.1.5:41000 (its own)',
      '             203.0.113.9:50000 (relayed by TURN)',
      '  Tor        starting 45 %: asking for relay descriptors',
      '  DHT        ready, 87 nodes',
      '  STUN       stun.example:3478: sees 198.51.100.2:1024',
      '             mute.example:3478: no answer',
      '  TURN       turn:turn.example: the password is wrong',
      '  mapping    198.51.100.2:41000 by upnp',
    ]);
  });

  it('a network of which nothing is known', () => {
    const nothing: NetworkStatus = {
      nat: 'unknown',
      candidates: [],
      tor: { state: 'off', progress: 0, detail: '' },
      dht: { state: 'off', nodes: 0 },
      stun: [],
      turn: [],
      portMapping: { by: null, external: null },
    };
    assert.deepEqual(networkLines(nothing).slice(2), [
      '  reachable  at no address',
      '  Tor        off',
      '  DHT        off',
      '  STUN       no servers are asked',
      '  TURN       no servers are set',
      '  mapping    no port opened',
    ]);
  });

  it('a peer: its paths in columns, the one in use marked, and each way with its last result', () => {
    assert.deepEqual(peerLines([PEER], NOW), [
      'bob: live by udp',
      '  * udp     12 ms    1.2 % loss    1.2 MB/s  [2001:db8::1]:41000',
      `    tor    823 ms             -    0.0 kB/s  ${'o'.repeat(56)}.onion:1`,
      '    ways: local network failed 2 min ago, last address worked 3 s ago,',
      '          DHT untried, peer in common off, Tor found 2 h ago',
    ]);
  });

  it('a peer on a slow path: what that means', () => {
    const [first, second = ''] = peerLines([{ ...PEER, path: 'tor', slow: true }], NOW);
    assert.equal(first, 'bob: live by tor');
    assert.match(second, /slow: over Tor nothing is read ahead/);
  });

  it('a peer that is not there: since when', () => {
    const away = { ...PEER, state: 'offline', path: null, paths: [], ways: [], lastSeenAt: before(7_200_000) } as const;
    assert.deepEqual(peerLines([away], NOW), ['bob: offline, last seen 2 h ago']);
    assert.deepEqual(peerLines([{ ...away, lastSeenAt: null }], NOW), ['bob: offline, never seen']);
  });

  it('nothing that comes from elsewhere reaches the terminal raw', () => {
    const evil = '\u001b[31m\u202e\n';
    const lines = [
      ...networkLines({
        ...NETWORK,
        tor: { state: 'failed', progress: 0, detail: evil },
        turn: [{ server: evil, relayed: null, fault: evil }],
        stun: [{ server: evil, seen: evil }],
      }),
      ...peerLines([{ ...PEER, name: evil, paths: PEER.paths.map((path) => ({ ...path, remote: evil })) }], NOW),
      ...findingLines({ way: evil, works: true, detail: evil, advice: evil }),
    ];
    for (const line of lines) assert.doesNotMatch(line, /[\x00-\x1f\u202e]/);
  });
});

describe('what doctor --network says', () => {
  it('a mark, the way, what was found; the advice below', () => {
    assert.deepEqual(findingLines({ way: 'DHT', works: true, detail: '87 nodes answer', advice: '' }), [
      'ok    DHT: 87 nodes answer',
    ]);
    assert.deepEqual(
      findingLines({ way: 'Tor', works: false, detail: 'x '.repeat(50).trim(), advice: 'Install it.' }),
      [`FAIL  Tor: ${'x '.repeat(35).trim()}`, `      ${'x '.repeat(15).trim()}`, '      Install it.'],
    );
    assert.match(findingLines({ way: 'LAN', works: null, detail: 'off', advice: '' })[0] ?? '', /^-- {4}LAN: off$/);
  });

  it('one way that works is enough, an address of its own is none', () => {
    const finding = { detail: '', advice: '' };
    assert.equal(reachesOthers([]), false);
    assert.equal(reachesOthers([{ ...finding, way: 'This computer', works: true }]), false);
    assert.equal(reachesOthers([{ ...finding, way: 'Tor', works: null }]), false);
    assert.equal(reachesOthers([{ ...finding, way: 'Tor', works: true }]), true);
  });
});
