import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { NetworkFinding, NetworkStatus } from '../../src/daemon/control-protocol.ts';
import { checkNetwork, type CheckedReach, type NetworkCheckOptions } from '../../src/daemon/network-check.ts';
import { createManualClock } from '../manual-clock.ts';

/** Everything works. */
const FINE: NetworkStatus = {
  nat: 'cone',
  candidates: [{ type: 'host', address: '192.168.1.5:4500' }],
  tor: { state: 'ready', progress: 100, detail: '' },
  dht: { state: 'ready', nodes: 12 },
  stun: [{ server: 'stun.example:3478', seen: '198.51.100.1:4500' }],
  turn: [{ server: 'turn.example:3478', relayed: '203.0.113.1:50000', fault: null }],
  portMapping: { by: 'upnp', external: '198.51.100.1:4500' },
};

const OFF: NetworkStatus = {
  nat: 'unknown',
  candidates: [{ type: 'host', address: '127.0.0.1:4500' }],
  tor: { state: 'off', progress: 0, detail: '' },
  dht: { state: 'off', nodes: 0 },
  stun: [],
  turn: [],
  portMapping: { by: null, external: null },
};

const mapping = (fault?: string): CheckedReach['mapping'] => ({
  check: async () => [],
  status: { by: undefined, external: undefined, protocols: [], fault },
});
const turnServer = { url: 'turn:turn.example', username: 'a', credentialFile: '/secret' };
const hellos = (hellosSent: number) => ({
  counters: { hellosSent, hellosOpened: 3, hellosDropped: 0, hellosLimited: 0 },
});

interface Given extends Partial<Omit<NetworkCheckOptions, 'reach'>> {
  readonly status?: Partial<NetworkStatus>;
  readonly reach?: Partial<CheckedReach>;
}

async function check({ status, reach, ...given }: Given = {}): Promise<NetworkFinding[]> {
  const clock = createManualClock();
  const told: NetworkFinding[] = [];
  const done = checkNetwork({
    reach: {
      commonPeers: { helping: 2 },
      dht: {},
      mapping: mapping(),
      stun: { networkChanged: () => undefined },
      status: () => ({ ...FINE, ...status }),
      ...reach,
    },
    config: { lan: true, 'turn.servers': [turnServer] },
    discovery: hellos(5),
    tell: (finding) => told.push(finding),
    clock,
    ...given,
  });
  await clock.run(60_000);
  const findings = await done;
  assert.deepEqual(told, findings);
  return findings;
}

async function about(way: string, given: Given): Promise<Omit<NetworkFinding, 'way'>[]> {
  return (await check(given))
    .filter((one) => one.way === way)
    .map(({ works, detail, advice }) => ({ works, detail, advice }));
}

describe('doctor --network, in the node', () => {
  it('where everything works nothing is advised', async () => {
    const findings = await check();
    assert.deepEqual(
      findings.map(({ way }) => way),
      ['This computer', 'Local network', 'STUN', 'Router', 'Port mapping', 'DHT', 'TURN', 'Tor', 'Peers in common'],
    );
    assert.ok(findings.every(({ works, advice }) => works === true && advice === ''));
  });

  it('where everything is turned off each says how to turn it on, and nothing is called broken but the network', async () => {
    const findings = await check({
      status: OFF,
      reach: { commonPeers: { helping: 0 }, dht: undefined, mapping: undefined, stun: undefined },
      config: { lan: false, 'turn.servers': [] },
      discovery: undefined,
    });
    assert.deepEqual(
      findings.map(({ way, works, advice }) => [
        way,
        works,
        /peerfs config set ([a-zA-Z.]*[a-zA-Z])/.exec(advice)?.[1] ?? advice,
      ]),
      [
        ['This computer', false, 'Connect it to a network.'],
        ['Local network', null, 'lan'],
        ['STUN', null, 'stun.servers'],
        ['Router', null, ''],
        ['Port mapping', null, 'portMapping'],
        ['DHT', null, 'dht'],
        ['TURN', null, 'turn.servers'],
        ['Tor', null, 'tor'],
        ['Peers in common', null, ''],
      ],
    );
  });

  it('the router, in words for each kind', async () => {
    const works = { none: true, cone: true, symmetric: false, blocked: false, unknown: null } as const;
    for (const nat of ['none', 'cone', 'symmetric', 'blocked', 'unknown'] as const) {
      const [finding] = await about('Router', { status: { nat } });
      assert.equal(finding?.works, works[nat], nat);
      assert.equal(finding.advice === '', works[nat] !== false, nat);
      assert.ok(finding.detail.length > 10, nat);
    }
  });

  it('the local network: a port that is taken, and hellos that nobody was there to be sent for', async () => {
    const [taken] = await about('Local network', { discovery: undefined });
    assert.equal(taken?.works, false);
    const [quiet] = await about('Local network', { discovery: hellos(0) });
    assert.deepEqual(quiet, { works: null, detail: 'no hello sent yet, for want of peers', advice: '' });
  });

  it('each STUN and TURN server is told of by name, with its fault', async () => {
    const stun = [{ server: 'dead.example:3478', seen: null }, ...FINE.stun];
    assert.deepEqual(
      (await about('STUN', { status: { stun } })).map(({ works }) => works),
      [false, true],
    );
    const turn = [
      { server: 'dead.example:3478', relayed: null, fault: 'it does not answer' },
      { server: 'slow.example:3478', relayed: null, fault: null },
      ...FINE.turn,
    ];
    assert.deepEqual(
      (await about('TURN', { status: { turn } })).map(({ works, detail }) => [works, detail]),
      [
        [false, 'dead.example:3478: it does not answer'],
        [false, 'slow.example:3478: does not answer'],
        [true, 'turn.example:3478 relays for us at 203.0.113.1:50000'],
      ],
    );
  });

  it('the router is asked for a port, and says why it gives none', async () => {
    const status = { portMapping: OFF.portMapping };
    const [refused] = await about('Port mapping', { status, reach: { mapping: mapping('the router refuses') } });
    assert.equal(refused?.detail, 'the router refuses');
    const [none] = await about('Port mapping', { status });
    assert.deepEqual([none?.works, none?.detail], [false, 'no router here opens ports (PCP, NAT-PMP, UPnP)']);
  });

  it('Tor: still starting is not broken, failed is', async () => {
    const [starting] = await about('Tor', { status: { tor: { state: 'starting', progress: 40, detail: 'loading' } } });
    assert.deepEqual([starting?.works, starting?.detail], [null, 'is still starting, 40 %: loading']);
    const [failed] = await about('Tor', { status: { tor: { state: 'failed', progress: 0, detail: 'no tor here' } } });
    assert.deepEqual([failed?.works, failed?.detail], [false, 'no tor here']);
  });

  it('what is still starting is waited for, but not for ever', async () => {
    let looks = 0;
    const late = (): NetworkStatus => ({ ...FINE, dht: { state: looks++ > 20 ? 'ready' : 'starting', nodes: looks } });
    const [ready] = await about('DHT', { reach: { status: late } });
    assert.equal(ready?.works, true);
    const [never] = await about('DHT', { status: { dht: { state: 'starting', nodes: 0 } } });
    assert.equal(never?.works, false);
  });
});
