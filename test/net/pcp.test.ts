import assert from 'node:assert/strict';
import test from 'node:test';
import { openPcp, epochHolds, type RouterSocketEvents } from '../../src/net/pcp.ts';
import { createManualClock, settle, type ManualClock } from '../manual-clock.ts';

const PLACE = { gateway: '192.168.1.1', local: '192.168.1.9' };
const REQUEST = { protocol: 'udp', internalPort: 4000, externalPort: 4000 } as const;

type Answer = (request: Buffer) => Buffer | undefined;

interface Bench {
  readonly clock: ManualClock;
  readonly mapper: ReturnType<typeof openPcp>;
  /** When and what the router was sent. */
  readonly sent: { readonly at: number; readonly bytes: Buffer }[];
  readonly events: RouterSocketEvents;
}

/** The client and a router that answers at once, or not at all. */
function bench(answer: Answer): Bench {
  const clock = createManualClock();
  const sent: { at: number; bytes: Buffer }[] = [];
  const box: { events?: RouterSocketEvents } = {};
  const mapper = openPcp({
    place: PLACE,
    secret: Buffer.alloc(32, 7),
    clock,
    openSocket(_place, events) {
      box.events = events;
      return {
        send(datagram) {
          const bytes = Buffer.from(datagram);
          sent.push({ at: clock.now(), bytes });
          const reply = answer(bytes);
          if (reply !== undefined) queueMicrotask(() => events.input(reply));
        },
        close: () => undefined,
      };
    },
  });
  assert.ok(box.events !== undefined);
  return { clock, mapper, sent, events: box.events };
}

interface PcpRouter {
  result?: number;
  epoch?: number;
  externalPort?: number;
}

/** What a router of PCP says to a request. */
function pcpAnswer(request: Buffer, { result = 0, epoch = 1000, externalPort = 4000 }: PcpRouter): Buffer {
  const reply = Buffer.from(request);
  reply.writeUInt8(request.readUInt8(1) | 0x80, 1);
  reply.writeUInt8(result, 3);
  reply.writeUInt32BE(epoch, 8);
  reply.fill(0, 12, 24);
  if (reply.length >= 60) {
    if (request.readUInt32BE(4) !== 0) reply.writeUInt16BE(externalPort, 42);
    Buffer.from('00000000000000000000ffff05060708', 'hex').copy(reply, 44);
  }
  return reply;
}

function natPmpAnswer(request: Buffer, epoch = 1000): Buffer {
  if (request.readUInt8(0) !== 0) return Buffer.from('0081000100000007', 'hex');
  const reply = Buffer.alloc(request.length === 2 ? 12 : 16);
  reply.writeUInt8(request.readUInt8(1) | 0x80, 1);
  reply.writeUInt32BE(epoch, 4);
  if (request.length === 2) Buffer.from('05060708', 'hex').copy(reply, 8);
  else request.copy(reply, 8, 4, 12);
  return reply;
}

test('a port is mapped by PCP, as the router grants it', async () => {
  const { mapper } = bench((request) => pcpAnswer(request, { externalPort: 4077 }));
  assert.deepEqual(await mapper.map(REQUEST), {
    by: 'pcp',
    protocol: 'udp',
    internalPort: 4000,
    external: { host: '5.6.7.8', port: 4077 },
    lifetimeMs: 3_600_000,
  });
});

test('a router that knows only NAT-PMP is asked by NAT-PMP, and from then on at once', async () => {
  const { mapper, sent } = bench((request) => natPmpAnswer(request));
  const mapped = await mapper.map(REQUEST);
  assert.equal(mapped.by, 'nat-pmp');
  assert.deepEqual(mapped.external, { host: '5.6.7.8', port: 4000 });
  sent.length = 0;
  await mapper.map({ ...REQUEST, protocol: 'tcp' });
  assert.deepEqual(
    sent.map(({ bytes }) => bytes.readUInt8(0)),
    [0, 0],
  );
});

test('a router of NAT-PMP that says nothing to other versions is found too', async () => {
  const { mapper, clock } = bench((request) => (request.readUInt8(0) === 0 ? natPmpAnswer(request) : undefined));
  const mapping = mapper.map(REQUEST);
  await clock.run(250);
  assert.equal((await mapping).by, 'nat-pmp');
});

test('a silent router is asked three times, the wait doubling from 250 ms', async () => {
  const { mapper, clock, sent } = bench(() => undefined);
  const mapping = assert.rejects(mapper.map(REQUEST), { code: 'ETIMEDOUT' });
  await clock.run(2000);
  await mapping;
  assert.deepEqual(
    sent.filter(({ bytes }) => bytes.readUInt8(0) === 2).map(({ at }) => at),
    [0, 250, 750],
  );
  assert.equal(clock.now() >= 1750, true);
});

test('a refused datagram ends the waiting', async () => {
  const { mapper, events } = bench(() => undefined);
  const mapping = assert.rejects(mapper.map(REQUEST), { code: 'ETIMEDOUT' });
  events.refused();
  await mapping;
});

test('a refusal is told in words', async () => {
  const { mapper } = bench((request) => pcpAnswer(request, { result: 2 }));
  await assert.rejects(mapper.map(REQUEST), { code: 'EACCES', message: /does not allow it \(PCP, result 2\)/ });
});

test('answers with another nonce, port or protocol, and junk, are passed over', async () => {
  const { mapper, sent, events } = bench(() => undefined);
  const mapping = mapper.map(REQUEST);
  const [first] = sent;
  assert.ok(first !== undefined);
  const right = pcpAnswer(first.bytes, { externalPort: 4444 });
  for (const at of [24, 36, 40, 41]) {
    const wrong = Buffer.from(right);
    wrong.writeUInt8(wrong.readUInt8(at) ^ 0x15, at);
    events.input(wrong);
  }
  events.input(Buffer.alloc(0));
  events.input(Buffer.alloc(60, 0xff));
  await settle();
  events.input(right);
  assert.equal((await mapping).external.port, 4444);
});

test('the nonce is the same for renewal and removal, and for another start with the same secret', async () => {
  const nonces: string[] = [];
  for (let start = 0; start < 2; start++) {
    const { mapper, sent } = bench((request) => pcpAnswer(request, {}));
    const mapped = await mapper.map(REQUEST);
    await mapper.map(REQUEST);
    await mapper.unmap(mapped);
    assert.equal(sent.at(-1)?.bytes.readUInt32BE(4), 0);
    assert.equal(sent.at(-1)?.bytes.readUInt16BE(42), 0);
    nonces.push(...sent.map(({ bytes }) => bytes.toString('hex', 24, 36)));
  }
  assert.equal(nonces.length, 6);
  assert.equal(new Set(nonces).size, 1);
});

test('a router whose clock went back has forgotten the mapping, and is asked so once', async () => {
  let epoch = 1000;
  const { mapper, clock } = bench((request) => pcpAnswer(request, { epoch }));
  const mapped = await mapper.map(REQUEST);
  await clock.run(60_000);
  epoch = 1060;
  assert.equal(await mapper.holds(mapped), true);
  await clock.run(60_000);
  epoch = 5;
  assert.equal(await mapper.holds(mapped), false);
  await clock.run(60_000);
  epoch = 65;
  assert.equal(await mapper.holds(mapped), true);
});

test('the epoch may go as clocks do, and no other way', () => {
  assert.equal(epochHolds(60, 1000, 1060), true);
  assert.equal(epochHolds(60, 1000, 1064), true);
  assert.equal(epochHolds(0, 1000, 999), true);
  assert.equal(epochHolds(0, 1000, 998), false);
  assert.equal(epochHolds(60, 1000, 1001), false);
  assert.equal(epochHolds(60, 1000, 1200), false);
});

test('probing tells of each protocol whether the router speaks it', async () => {
  const both = bench((request) => (request.readUInt8(0) === 2 ? pcpAnswer(request, {}) : natPmpAnswer(request)));
  assert.deepEqual(
    (await both.mapper.probe()).map(({ by, works }) => [by, works]),
    [
      ['pcp', true],
      ['nat-pmp', true],
    ],
  );
  const old = bench((request) => natPmpAnswer(request));
  assert.deepEqual(
    (await old.mapper.probe()).map(({ by, works }) => [by, works]),
    [
      ['pcp', false],
      ['nat-pmp', true],
    ],
  );
});

test('close rejects what waits, and leaves no timer', async () => {
  const { mapper, clock } = bench(() => undefined);
  const mapping = assert.rejects(mapper.map(REQUEST), { code: 'CANCELLED' });
  mapper.close();
  mapper.close();
  await mapping;
  await assert.rejects(mapper.map(REQUEST), { code: 'CANCELLED' });
  assert.equal(clock.pending, 0);
});
