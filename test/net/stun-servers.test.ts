import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PeerfsError } from '../../src/errors.ts';
import { watchReflexive } from '../../src/net/stun-servers.ts';
import type { StunClient } from '../../src/net/stun.ts';
import type { UdpAddress } from '../../src/net/udp-port.ts';
import { createManualClock, settle } from '../manual-clock.ts';

const SEEN: UdpAddress = { host: '198.51.100.1', port: 4500 };

interface WorldOptions {
  readonly servers: readonly string[];
  readonly names?: Readonly<Record<string, readonly string[]>>;
  readonly answer: (server: UdpAddress) => Promise<UdpAddress>;
}

function createWorld({ servers, names = {}, answer }: WorldOptions) {
  const clock = createManualClock();
  const asked: string[] = [];
  const seen: [string, UdpAddress | undefined][] = [];
  let isClosed = false;
  const client: StunClient = {
    reaches: (host) => !host.startsWith('fe80'),
    ask(server) {
      asked.push(`${server.host} ${server.port}`);
      return answer(server);
    },
    close: () => void (isClosed = true),
  };
  const watch = watchReflexive({
    client,
    servers,
    resolve: async (name) => names[name] ?? [name],
    clock,
    random: () => 0,
    onSeen: (server, address) => seen.push([server, address]),
  });
  return { clock, asked, seen, watch, isClosed: () => isClosed };
}

const silence = () => Promise.reject(new PeerfsError('ETIMEDOUT', 'no answer'));

test('every server is asked at once, and again before routers forget the port', async () => {
  const { clock, asked, seen } = createWorld({
    servers: ['192.0.2.1:3478', '[2001:db8::1]:3479'],
    answer: async () => SEEN,
  });
  await settle();
  assert.deepEqual(asked, ['192.0.2.1 3478', '2001:db8::1 3479']);
  assert.deepEqual(seen, [
    ['192.0.2.1:3478', SEEN],
    ['[2001:db8::1]:3479', SEEN],
  ]);
  await clock.run(24_999);
  assert.equal(asked.length, 2);
  await clock.run(1);
  assert.equal(asked.length, 4);
});

test('of a name with several addresses the first that answers counts', async () => {
  const { asked, seen } = createWorld({
    servers: ['stun.example:3478'],
    names: { 'stun.example': ['192.0.2.1', '192.0.2.2', '192.0.2.3'] },
    answer: ({ host }) => (host === '192.0.2.2' ? Promise.resolve(SEEN) : silence()),
  });
  await settle();
  assert.deepEqual(asked, ['192.0.2.1 3478', '192.0.2.2 3478']);
  assert.deepEqual(seen, [['stun.example:3478', SEEN]]);
});

test('IPv4 is asked first, for there are the routers that translate; what the port cannot send to is not asked', async () => {
  const { asked } = createWorld({
    servers: ['stun.example:3478'],
    names: { 'stun.example': ['fe80::1', '2001:db8::1', '192.0.2.1'] },
    answer: silence,
  });
  await settle();
  assert.deepEqual(asked, ['192.0.2.1 3478', '2001:db8::1 3478']);
});

test('a server that does not answer, or has no address, is said to see nothing and asked again sooner', async () => {
  const { clock, asked, seen } = createWorld({
    servers: ['192.0.2.1:3478', 'nowhere.example:3478'],
    names: { 'nowhere.example': [] },
    answer: silence,
  });
  await settle();
  assert.deepEqual(seen, [
    ['nowhere.example:3478', undefined],
    ['192.0.2.1:3478', undefined],
  ]);
  await clock.run(10_000);
  assert.equal(asked.length, 2);
  assert.equal(seen.length, 4);
});

test('on another network all are asked at once, and answers to older questions do not count', async () => {
  const answers: ((seen: UdpAddress) => void)[] = [];
  const { asked, seen, watch } = createWorld({
    servers: ['192.0.2.1:3478'],
    answer: () => new Promise((resolve) => answers.push(resolve)),
  });
  await settle();
  watch.networkChanged();
  await settle();
  assert.equal(asked.length, 2);
  answers[0]?.({ host: '203.0.113.9', port: 1 });
  answers[1]?.(SEEN);
  await settle();
  assert.deepEqual(seen, [['192.0.2.1:3478', SEEN]]);
});

test('after close nobody is asked, and nothing is said', async () => {
  const answers: ((seen: UdpAddress) => void)[] = [];
  const { clock, asked, seen, watch, isClosed } = createWorld({
    servers: ['192.0.2.1:3478', '192.0.2.2:3478'],
    answer: ({ host }) =>
      host.endsWith('.1') ? Promise.resolve(SEEN) : new Promise((resolve) => answers.push(resolve)),
  });
  await settle();
  watch.close();
  watch.close();
  watch.networkChanged();
  answers[0]?.(SEEN);
  await clock.run(60_000);
  assert.ok(isClosed());
  assert.equal(asked.length, 2);
  assert.equal(seen.length, 1);
  assert.equal(clock.pending, 0);
});
