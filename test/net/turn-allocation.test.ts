import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { turnIntegrity, turnKey } from '../../src/crypto/turn-credentials.ts';
import { TurnAllocation } from '../../src/net/turn-allocation.ts';
import type { UdpAddress } from '../../src/net/udp-port.ts';
import { decodeStun, encodeStun, type StunMessage } from '../../src/wire/stun.ts';

const RELAYED = { host: '198.51.100.1', port: 50_000 };
const PEER = { host: '203.0.113.7', port: 4000 };
const REALM = 'example.org';

/** An allocation and the server's side of it, written out by hand: what it answers to what, and what it was asked. */
function play({ isLossy = true, lifetime = 600 } = {}) {
  let now = 0;
  const asked: StunMessage[] = [];
  const channelData: Buffer[] = [];
  const events: string[] = [];
  const got: { data: string; from: UdpAddress }[] = [];
  /** What a method is refused with, once for each entry; 'silence' for nothing at all. */
  const refusals = new Map<StunMessage['method'], (number | 'silence')[]>();
  let nonce = 'first';
  const integrity = turnIntegrity(turnKey('ann', REALM, 'secret'));
  const waiting: Uint8Array[] = [];

  const allocation = new TurnAllocation({
    username: 'ann',
    password: 'secret',
    isLossy,
    randomBytes,
    send: (bytes) => waiting.push(bytes),
    onData: (datagram, from) => got.push({ data: Buffer.from(datagram).toString(), from }),
    onAllocated: ({ host, port }) => events.push(`allocated ${host} ${port}`),
    onFailed: (reason) => events.push(`failed: ${reason}`),
  });

  function answer(bytes: Uint8Array): void {
    if ((bytes[0] ?? 0) >= 0x40) return void channelData.push(Buffer.from(bytes));
    const decoded = decodeStun(bytes);
    assert.ok(decoded !== undefined);
    const { message } = decoded;
    asked.push(message);
    if (message.class !== 'request') return;
    const { method, transaction } = message;
    const reply = (fields: Partial<StunMessage>, proven = true): void => {
      const whole = { method, transaction, class: 'success' as const, ...fields };
      allocation.input(encodeStun(whole, proven ? integrity : undefined), now);
    };
    const refuse = (code: number): void =>
      reply({ class: 'error', errorCode: { code, reason: 'no' }, realm: REALM, nonce }, false);
    if (refusals.get(method)?.[0] === 'silence') return void refusals.get(method)?.shift();
    if (message.nonce === undefined) return refuse(401);
    assert.ok(decoded.checkIntegrity(integrity), 'who asks knows the password');
    if (message.nonce !== nonce) return refuse(438);
    const refusal = refusals.get(method)?.shift();
    if (typeof refusal === 'number') return refuse(refusal);
    if (method === 'allocate') return reply({ lifetime, xorRelayedAddress: RELAYED });
    if (method === 'refresh') return reply({ lifetime: message.lifetime ?? lifetime });
    reply({});
  }

  /** The server takes all that is under way. */
  function flush(): void {
    for (let bytes = waiting.shift(); bytes !== undefined; bytes = waiting.shift()) answer(bytes);
  }

  return {
    allocation,
    asked,
    channelData,
    events,
    got,
    refusals,
    waiting,
    flush,
    get now() {
      return now;
    },
    setNonce: (to: string) => (nonce = to),
    integrity,
    start() {
      allocation.start(now);
      flush();
    },
    /** Lets time pass, with the calls that the allocation asks for. */
    pass(ms: number, { answered = true } = {}): void {
      const until = now + ms;
      for (let due = allocation.dueAt; due <= until; due = allocation.dueAt) {
        now = Math.max(now, due);
        allocation.tick(now);
        if (answered) flush();
      }
      now = until;
    },
    send(text: string, to: UdpAddress = PEER): void {
      allocation.sendTo(Buffer.from(text), to, now);
      flush();
    },
    count: (method: StunMessage['method']) => asked.filter((message) => message.method === method).length,
  };
}

test('an allocation is asked for twice: the first answer says how to prove who asks', () => {
  const server = play();
  server.start();
  assert.deepEqual(server.events, [`allocated ${RELAYED.host} ${RELAYED.port}`]);
  assert.deepEqual(
    server.asked.map(({ method, username }) => [method, username]),
    [
      ['allocate', undefined],
      ['allocate', 'ann'],
    ],
  );
  assert.ok(server.asked.every(({ requestsUdp }) => requestsUdp));
});

test('a request that gets no answer is sent again, and given up at last', () => {
  const server = play();
  server.refusals.set('allocate', ['silence', 'silence', 'silence', 'silence', 'silence', 'silence']);
  server.start();
  server.pass(10_000);
  assert.equal(server.count('allocate'), 5);
  assert.deepEqual(server.events, ['failed: it does not answer']);
  assert.equal(server.allocation.dueAt, Infinity);
});

test('an answer that does not prove that the server knows the password is none', () => {
  const server = play();
  server.allocation.start(server.now);
  server.flush();
  const before = server.asked.length;
  server.allocation.check(server.now);
  const { transaction } = decodeStun(server.waiting[0] ?? Buffer.alloc(0))?.message ?? {};
  assert.ok(transaction !== undefined);
  const forged = { method: 'refresh', class: 'success', transaction, lifetime: 0 } as const;
  assert.equal(server.allocation.input(encodeStun(forged), server.now), false);
  const wrong = turnIntegrity(turnKey('ann', REALM, 'guess'));
  assert.equal(server.allocation.input(encodeStun(forged, wrong), server.now), false);
  server.flush();
  assert.equal(server.asked.length, before + 1);
  assert.deepEqual(server.allocation.relayed, RELAYED);
});

test('it is refreshed often, and before a short lifetime ends', () => {
  const server = play();
  server.start();
  server.pass(101_000);
  assert.equal(server.count('refresh'), 4);
  const short = play({ lifetime: 8 });
  short.start();
  short.pass(21_000);
  assert.equal(short.count('refresh'), 5);
  assert.deepEqual(short.allocation.relayed, RELAYED);
});

test('a nonce that has become stale is replaced by the one that the server gives', () => {
  const server = play();
  server.start();
  server.setNonce('second');
  server.pass(25_000);
  assert.deepEqual(
    server.asked.filter(({ method }) => method === 'refresh').map(({ nonce }) => nonce),
    ['first', 'second'],
  );
  assert.deepEqual(server.allocation.relayed, RELAYED);
});

test('a server that finds every nonce stale is not asked for ever', () => {
  const server = play();
  server.start();
  server.refusals.set('refresh', new Array<number>(20).fill(438));
  server.pass(25_000);
  assert.equal(server.count('refresh'), 4);
  assert.match(server.events.at(-1) ?? '', /^failed: it refuses \(438 no\)$/);
});

test('an allocation that a node of before left at the server is given back first', () => {
  const server = play();
  server.refusals.set('allocate', [437]);
  server.start();
  assert.deepEqual(
    server.asked.map(({ method, lifetime }) => [method, lifetime]),
    [
      ['allocate', undefined],
      ['allocate', undefined],
      ['refresh', 0],
      ['allocate', undefined],
    ],
  );
  assert.deepEqual(server.allocation.relayed, RELAYED);
  const stubborn = play();
  stubborn.refusals.set('allocate', [437, 437]);
  stubborn.start();
  assert.equal(stubborn.events.at(-1), 'failed: it still holds an allocation of before');
});

test('whoever was let in before there was an allocation is let in when there is one, and again every 4 minutes', () => {
  const server = play();
  server.allocation.permit(PEER.host, server.now);
  server.start();
  assert.equal(server.count('createPermission'), 1);
  server.allocation.permit(PEER.host, server.now);
  assert.equal(server.count('createPermission'), 1);
  server.pass(250_000);
  assert.equal(server.count('createPermission'), 2);
});

test('over the bound of permissions the one that was of no use for longest makes room', () => {
  const server = play();
  server.start();
  for (let i = 0; i < 64; i++) {
    server.pass(1);
    server.allocation.permit(`203.0.113.${i}`, server.now);
  }
  server.pass(1);
  server.allocation.permit('203.0.113.0', server.now);
  server.allocation.permit('203.0.113.64', server.now);
  server.flush();
  server.asked.length = 0;
  server.pass(240_000);
  const renewed = server.asked.flatMap(({ method, xorPeerAddresses }) =>
    method === 'createPermission' ? (xorPeerAddresses ?? []) : [],
  );
  assert.equal(renewed.length, 64);
  const hosts = renewed.map(({ host }) => host);
  assert.ok(hosts.includes('203.0.113.0') && hosts.includes('203.0.113.64') && !hosts.includes('203.0.113.1'));
});

test('a peer that gets several datagrams gets a channel, by which they go and come', () => {
  const server = play();
  server.start();
  for (const text of ['1', '2', '3', '4', '5']) server.send(text);
  assert.deepEqual(
    server.asked.filter(({ method }) => method === 'send').map(({ data }) => Buffer.from(data ?? []).toString()),
    ['1', '2', '3'],
  );
  assert.deepEqual(
    server.channelData.map(String),
    ['4', '5'].map((text) => `\x40\x00\x00\x01${text}`),
  );
  const incoming = Buffer.from('\x40\x00\x00\x02hipadding');
  assert.equal(server.allocation.input(incoming, server.now), true);
  assert.deepEqual(server.got, [{ data: 'hi', from: PEER }]);
  for (const wrong of ['\x40\x01\x00\x02hi', '\x40\x00\x00\x03hi', '\x40\x00']) {
    assert.equal(server.allocation.input(Buffer.from(wrong), server.now), false);
  }
});

test('a channel in use is renewed and carries on; one that nobody uses is let go and its number rests', () => {
  const server = play();
  server.start();
  for (let i = 0; i < 3; i++) server.send('x');
  for (let minute = 0; minute < 30; minute++) {
    server.pass(60_000);
    server.send('y');
  }
  assert.ok(server.count('channelBind') >= 7);
  assert.equal(server.channelData.length, 30);
  const bound = server.count('channelBind');
  server.pass(30 * 60_000);
  assert.ok(server.count('channelBind') <= bound + 1);
  for (let i = 0; i < 3; i++) server.send('again');
  assert.equal(server.asked.findLast(({ method }) => method === 'channelBind')?.channelNumber, 0x4001);
});

test('a channel that is refused is not asked for with every datagram', () => {
  const server = play();
  server.start();
  server.refusals.set('channelBind', [403, 403]);
  for (let i = 0; i < 20; i++) server.send('x');
  assert.equal(server.count('channelBind'), 1);
  assert.equal(server.count('send'), 20);
  server.pass(61_000);
  server.send('x');
  assert.equal(server.count('channelBind'), 2);
});

test('a server that has forgotten the allocation is believed, whatever it was asked', () => {
  for (const method of ['refresh', 'createPermission', 'channelBind'] as const) {
    const server = play();
    server.start();
    server.refusals.set(method, [437]);
    for (let i = 0; i < 4; i++) server.send('x');
    server.pass(26_000);
    assert.equal(server.events.at(-1), 'failed: it has lost the allocation', method);
    assert.equal(server.allocation.relayed, undefined);
  }
});

test('a server that takes data and says nothing is asked whether the allocation still is', () => {
  const server = play();
  server.start();
  for (let i = 0; i < 3; i++) server.send('x');
  server.pass(1000);
  server.send('x');
  server.pass(2100);
  assert.equal(server.count('refresh'), 0);
  server.refusals.set('refresh', [437]);
  server.send('x');
  assert.equal(server.events.at(-1), 'failed: it has lost the allocation');
});

test('over a connection a request is sent once, and waited for longer while the server is heard', () => {
  const quiet = play({ isLossy: false });
  quiet.start();
  quiet.refusals.set('refresh', ['silence']);
  quiet.pass(40_000);
  assert.equal(quiet.count('refresh'), 1);
  assert.equal(quiet.events.at(-1), 'failed: it does not answer');

  const busy = play({ isLossy: false });
  busy.start();
  for (let i = 0; i < 3; i++) busy.send('x');
  busy.refusals.set('refresh', ['silence']);
  for (let second = 0; second < 45; second++) {
    busy.pass(1000);
    busy.allocation.input(Buffer.from('\x40\x00\x00\x01x'), busy.now);
  }
  assert.deepEqual(busy.allocation.relayed, RELAYED);
});

test('a server that relays from IPv6 alone is asked for that', () => {
  const server = play();
  server.refusals.set('allocate', [440]);
  server.start();
  assert.deepEqual(
    server.asked.map(({ addressFamily }) => addressFamily),
    [undefined, undefined, 6],
  );
  assert.deepEqual(server.allocation.relayed, RELAYED);
});

test('closing gives the allocation back, once, and nothing is taken after it', () => {
  const server = play();
  server.start();
  for (let i = 0; i < 3; i++) server.send('x');
  server.allocation.close(server.now);
  server.allocation.close(server.now);
  const last = server.waiting.splice(0);
  assert.deepEqual(
    last.map((bytes) => decodeStun(bytes)?.message).map((message) => [message?.method, message?.lifetime]),
    [['refresh', 0]],
  );
  assert.equal(server.allocation.input(Buffer.from('\x40\x00\x00\x01x'), server.now), false);
  server.send('x');
  server.allocation.permit('203.0.113.9', server.now);
  server.pass(600_000);
  assert.equal(server.waiting.length, 0);
  assert.deepEqual(server.got, []);
});

test('junk from the server is passed over', () => {
  const server = play();
  server.start();
  for (let i = 0; i < 3; i++) server.send('x');
  for (let i = 0; i < 2000; i++) server.allocation.input(randomBytes(i % 80), server.now);
  assert.deepEqual(server.allocation.relayed, RELAYED);
});
