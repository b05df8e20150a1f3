import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { test, type TestContext } from 'node:test';
import { systemClock } from '../../src/clock.ts';
import { onionHost } from '../../src/crypto/onion.ts';
import { codeOf, type ErrorCode } from '../../src/errors.ts';
import type { TorAddress } from '../../src/net/tor-control.ts';
import { dialOnion } from '../../src/net/tor-dial.ts';
import { createManualClock, settle } from '../manual-clock.ts';

const HOST = onionHost(Buffer.alloc(32, 7));
/** Which method, that the password is right, and the reply to the request. */
const answers = (reply: number, more = ''): readonly Buffer[] => [
  Buffer.from([5, 2]),
  Buffer.from([1, 0]),
  Buffer.concat([Buffer.from([5, reply, 0, 1, 0, 0, 0, 0, 0, 0]), Buffer.from(more)]),
];

/** A SOCKS port that answers what comes with the next of `parts`, in pieces of `step` bytes. */
async function socksPort(t: TestContext, parts: readonly Uint8Array[], step: number): Promise<TorAddress> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.setNoDelay(true);
    const left = [...parts];
    socket.on('data', () => {
      const part = left.shift() ?? new Uint8Array(0);
      const send = (at: number): void => {
        if (at >= part.length || socket.destroyed) return;
        socket.write(part.subarray(at, at + step), () => setImmediate(send, at + step));
      };
      send(0);
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const bound = server.address();
  assert.ok(bound !== null && typeof bound === 'object');
  return { host: '127.0.0.1', port: bound.port };
}

const dial = (socks: TorAddress, signal = new AbortController().signal): Promise<Socket> =>
  dialOnion({ socks, host: HOST, port: 7, isolation: 'x', clock: systemClock, signal });

test('a granted connection is paused, and what came behind the reply is not lost', async (t) => {
  const said = Buffer.from('said first');
  for (const step of [1, 3, 1000]) {
    const socket = await dial(await socksPort(t, answers(0, 'said first'), step));
    assert.equal(socket.isPaused(), true);
    const heard: Buffer[] = [];
    socket.on('data', (chunk: Buffer) => heard.push(chunk));
    socket.resume();
    while (Buffer.concat(heard).length < said.length) await settle();
    assert.deepEqual(Buffer.concat(heard), said);
    socket.destroy();
  }
});

test('each refusal has its code', async (t) => {
  const codes: readonly (readonly [number, ErrorCode])[] = [
    [0x01, 'EHOSTDOWN'],
    [0x04, 'EHOSTDOWN'],
    [0x05, 'EHOSTDOWN'],
    [0x06, 'ETIMEDOUT'],
    [0xf0, 'EHOSTDOWN'],
    [0xf4, 'EHOSTDOWN'],
    [0xf7, 'ETIMEDOUT'],
    [0xff, 'EHOSTDOWN'],
  ];
  for (const [reply, code] of codes) {
    for (const step of [1, 1000]) {
      const socks = await socksPort(t, answers(reply), step);
      assert.equal(await dial(socks).catch(codeOf), code, `reply ${reply}`);
    }
  }
});

test('nobody there, nonsense, or no answer: the dial ends', async (t) => {
  await assert.rejects(dial({ path: '/nonexistent/socks' }), { code: 'EHOSTDOWN' });
  await assert.rejects(dial(await socksPort(t, [Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n')], 1000)), {
    code: 'EHOSTDOWN',
  });
  const silent = await socksPort(t, [], 1);
  const stop = new AbortController();
  const dialling = dial(silent, stop.signal);
  await settle();
  stop.abort();
  await assert.rejects(dialling, { code: 'CANCELLED' });

  const clock = createManualClock();
  const { signal } = new AbortController();
  const waiting = dialOnion({ socks: silent, host: HOST, port: 7, isolation: 'x', clock, signal });
  const outcome = waiting.catch(codeOf);
  // The connection itself has a time limit of its own, over when it is there.
  const turns = 20;
  for (let turn = 0; turn < turns; turn++) await settle();
  clock.advance(2_000);
  for (let turn = 0; turn < turns; turn++) await settle();
  clock.advance(100_000);
  assert.equal(await outcome, 'ETIMEDOUT');
});
