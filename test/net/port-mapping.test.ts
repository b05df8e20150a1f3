import assert from 'node:assert/strict';
import test from 'node:test';
import { PeerfsError } from '../../src/errors.ts';
import { silentLogger } from '../../src/log.ts';
import { openPortMapping, type PortMapping, type PortMappingStatus } from '../../src/net/port-mapping.ts';
import type { Mapped, MappingProtocol, PortMapper } from '../../src/net/port-mapper.ts';
import { createManualClock, type ManualClock } from '../manual-clock.ts';

const MINUTE = 60_000;

interface FakeMapper extends PortMapper {
  /** What was asked, such as `map udp 4000`. */
  readonly asked: string[];
  externalHost: string;
  /** What each call throws. */
  fault: PeerfsError | undefined;
  forgot: boolean;
  /** External ports that the router gives instead of these. */
  readonly others: Map<string, number>;
  lifetimeMs: number;
  closed: boolean;
  /** Calls never end. */
  hangs: boolean;
}

function fakeMapper(by: MappingProtocol): FakeMapper {
  const answer = async <T>(value: T): Promise<T> => {
    if (mapper.hangs) await new Promise(() => undefined);
    if (mapper.fault !== undefined) throw mapper.fault;
    return value;
  };
  const mapper: FakeMapper = {
    asked: [],
    externalHost: '5.6.7.8',
    fault: undefined,
    forgot: false,
    others: new Map(),
    lifetimeMs: 60 * MINUTE,
    closed: false,
    hangs: false,
    checkMs: MINUTE,
    prepare: () => Promise.resolve(),
    async map({ protocol, internalPort, externalPort }) {
      mapper.asked.push(`map ${protocol} ${externalPort}`);
      const port = mapper.others.get(`${protocol} ${externalPort}`) ?? externalPort;
      const external = { host: mapper.externalHost, port };
      return answer({ by, protocol, internalPort, external, lifetimeMs: mapper.lifetimeMs });
    },
    async holds() {
      const held = !mapper.forgot;
      return answer(held);
    },
    async unmap({ protocol, external }: Mapped) {
      mapper.asked.push(`unmap ${protocol} ${external.port}`);
      return answer(undefined);
    },
    probe: async () => [{ by, works: mapper.fault === undefined, detail: '' }],
    close: () => void (mapper.closed = true),
  };
  return mapper;
}

interface Bench {
  readonly clock: ManualClock;
  readonly pcp: FakeMapper;
  readonly upnp: FakeMapper;
  readonly mapping: PortMapping;
  readonly told: PortMappingStatus[];
  place: { gateway: string; local: string } | undefined;
  opened: number;
}

function bench(
  prepare: (bench: { readonly pcp: FakeMapper; readonly upnp: FakeMapper }) => void = () => undefined,
): Bench {
  const clock = createManualClock();
  const [pcp, upnp] = [fakeMapper('pcp'), fakeMapper('upnp')];
  prepare({ pcp, upnp });
  const told: PortMappingStatus[] = [];
  const mapping: PortMapping = openPortMapping({
    port: 4000,
    protocols: ['udp', 'tcp'],
    clock,
    random: () => 0,
    log: silentLogger,
    onChange: () => told.push(mapping.status),
    gateway: () => made.place,
    openMappers() {
      made.opened += 1;
      return [pcp, upnp];
    },
  });
  const made: Bench = {
    clock,
    pcp,
    upnp,
    mapping,
    told,
    place: { gateway: '192.168.1.1', local: '192.168.1.9' },
    opened: 0,
  };
  return made;
}

const silent = new PeerfsError('ETIMEDOUT', 'silence');
const MAPPED = { by: 'pcp', external: { host: '5.6.7.8', port: 4000 }, protocols: ['udp', 'tcp'], fault: undefined };

test('one external port is mapped for datagrams and connections, the same as inside, by PCP alone', async () => {
  const { clock, mapping, pcp, upnp, told } = bench();
  await clock.run(0);
  assert.deepEqual(mapping.status, MAPPED);
  assert.deepEqual(pcp.asked, ['map udp 4000', 'map tcp 4000']);
  assert.deepEqual(upnp.asked, []);
  assert.equal(told.length, 1);
});

test('UPnP is asked where PCP gets no answer or none that helps', async () => {
  for (const fault of [silent, new PeerfsError('EACCES', 'no')]) {
    const { clock, mapping } = bench(({ pcp }) => (pcp.fault = fault));
    await clock.run(0);
    assert.deepEqual(mapping.status, { ...MAPPED, by: 'upnp' });
  }
});

test('where the two protocols get different ports, another one is tried for both', async () => {
  const { clock, mapping, pcp } = bench(({ pcp: router }) => router.others.set('tcp 4000', 5000));
  await clock.run(0);
  assert.deepEqual(pcp.asked, [
    'map udp 4000',
    'map tcp 4000',
    'unmap tcp 5000',
    'unmap udp 4000',
    'map udp 20000',
    'map tcp 20000',
  ]);
  assert.deepEqual(mapping.status.external, { host: '5.6.7.8', port: 20_000 });
});

test('where they never get the same, datagrams alone are mapped', async () => {
  const { clock, mapping } = bench(({ pcp }) => pcp.others.set('tcp 4000', 5000).set('tcp 20000', 5001));
  await clock.run(0);
  assert.deepEqual(mapping.status.protocols, ['udp']);
});

test('it is renewed at half its lifetime, at the port that was given', async () => {
  const { clock, pcp } = bench(({ pcp: router }) => router.others.set('udp 4000', 4100));
  await clock.run(0);
  pcp.asked.length = 0;
  await clock.run(30 * MINUTE - 1);
  assert.deepEqual(pcp.asked, []);
  await clock.run(1);
  assert.deepEqual(pcp.asked, ['map udp 4100', 'map tcp 4100']);
});

test('a mapping without an end is renewed too', async () => {
  const { clock, pcp } = bench(({ pcp: router }) => (router.lifetimeMs = Infinity));
  await clock.run(0);
  pcp.asked.length = 0;
  await clock.run(30 * MINUTE);
  assert.equal(pcp.asked.length, 2);
});

test('a router that has forgotten the mapping is asked again within a minute', async () => {
  const { clock, pcp, told } = bench();
  await clock.run(0);
  pcp.asked.length = 0;
  pcp.forgot = true;
  pcp.externalHost = '5.6.7.9';
  await clock.run(MINUTE);
  assert.deepEqual(pcp.asked, ['map udp 4000', 'map tcp 4000']);
  assert.equal(told.at(-1)?.external?.host, '5.6.7.9');
});

test('retries come after 30 s, doubling up to a quarter of an hour', async () => {
  const { clock, pcp, mapping } = bench(({ pcp: router, upnp }) => (router.fault = upnp.fault = silent));
  await clock.run(0);
  assert.equal(mapping.status.fault, 'the router answers neither PCP, NAT-PMP nor UPnP');
  const at: number[] = [];
  for (let second = 1; second <= 4000; second++) {
    const before = pcp.asked.length;
    await clock.run(1000);
    if (pcp.asked.length > before) at.push(second);
  }
  assert.deepEqual(at, [30, 90, 210, 450, 930, 1830, 2730, 3630]);
});

test('a silent router leaves the mapping as it is until it has run out', async () => {
  const { clock, pcp, upnp, mapping } = bench();
  await clock.run(0);
  pcp.fault = upnp.fault = silent;
  await clock.run(59 * MINUTE);
  assert.deepEqual(mapping.status, MAPPED);
  await clock.run(20 * MINUTE);
  assert.deepEqual(mapping.status, {
    by: undefined,
    external: undefined,
    protocols: [],
    fault: 'the router answers neither PCP, NAT-PMP nor UPnP',
  });
  pcp.fault = undefined;
  await clock.run(20 * MINUTE);
  assert.deepEqual(mapping.status, MAPPED);
});

test('a router that is itself behind another one is told as a fault, and its port is not offered but kept', async () => {
  for (const host of ['10.1.2.3', '100.64.0.9', '192.168.178.20']) {
    const { clock, mapping, pcp } = bench(({ pcp: router }) => (router.externalHost = host));
    await clock.run(0);
    assert.equal(mapping.status.external, undefined);
    assert.equal(mapping.status.by, 'pcp');
    assert.match(mapping.status.fault ?? '', /behind another router/);
    await mapping.close();
    assert.deepEqual(pcp.asked.slice(-2), ['unmap udp 4000', 'unmap tcp 4000']);
  }
});

test('without a router nobody is asked, until the network changes', async () => {
  const made = bench();
  made.place = undefined;
  await made.clock.run(0);
  assert.equal(made.opened, 0);
  assert.match(made.mapping.status.fault ?? '', /no router/);
  made.place = { gateway: '192.168.1.1', local: '192.168.1.9' };
  made.mapping.networkChanged();
  await made.clock.run(0);
  assert.deepEqual(made.mapping.status, MAPPED);
});

test('in another network the router there is asked, and the one of before forgotten', async () => {
  const made = bench();
  await made.clock.run(0);
  made.place = { gateway: '10.0.0.1', local: '10.0.0.2' };
  made.pcp.externalHost = '9.9.9.9';
  made.mapping.networkChanged();
  await made.clock.run(0);
  assert.equal(made.opened, 2);
  assert.equal(made.mapping.status.external?.host, '9.9.9.9');
});

test('a network that changes while the router is asked is looked at afterwards', async () => {
  const made = bench();
  const begun = made.clock.step();
  assert.ok(begun);
  made.place = { gateway: '10.0.0.1', local: '10.0.0.2' };
  made.mapping.networkChanged();
  await made.clock.run(0);
  assert.equal(made.opened, 2);
  assert.deepEqual(made.mapping.status, MAPPED);
});

test('check tries at once, and tells of every protocol', async () => {
  const made = bench(({ pcp, upnp }) => (pcp.fault = upnp.fault = silent));
  await made.clock.run(0);
  made.upnp.fault = undefined;
  assert.deepEqual(await made.mapping.check(), [
    { by: 'pcp', works: false, detail: '' },
    { by: 'upnp', works: true, detail: '' },
  ]);
  assert.equal(made.mapping.status.by, 'upnp');
});

test('close takes the mapping down, and leaves no timer', async () => {
  const { clock, mapping, pcp, upnp } = bench();
  await clock.run(0);
  await mapping.close();
  await mapping.close();
  assert.deepEqual(pcp.asked.slice(-2), ['unmap udp 4000', 'unmap tcp 4000']);
  assert.deepEqual([pcp.closed, upnp.closed], [true, true]);
  assert.equal(mapping.status.external, undefined);
  mapping.networkChanged();
  assert.equal(clock.pending, 0);
});

test('close waits no longer than a second for the router', async () => {
  const { clock, mapping, pcp } = bench();
  await clock.run(0);
  pcp.hangs = true;
  const closing = mapping.close();
  await clock.run(1000);
  await closing;
  assert.equal(pcp.closed, true);
});
