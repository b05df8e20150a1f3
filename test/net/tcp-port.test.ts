import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { test } from 'node:test';
import { initiate, respond } from '../../src/crypto/handshake.ts';
import { createIdentity } from '../../src/crypto/identity.ts';
import { listenTcp, type TcpListener } from '../../src/net/tcp-port.ts';
import { createManualClock, settle, type ManualClock } from '../manual-clock.ts';

const LEAST_MS = 5_000;
const MOST_MS = 30_000;
/** Connections of one source that are listened to, and those over that which are held. */
const PER_SOURCE = 16;
const DECOYS = 256;

interface Stranger {
  readonly socket: Socket;
  /** When it was closed by the listener, Clock.now(). */
  closedAt: number | undefined;
  reset: boolean;
  received: number;
}

interface World {
  readonly clock: ManualClock;
  readonly listener: TcpListener;
  readonly messages: number[];
  readonly dropped: () => number;
  readonly identity: ReturnType<typeof createIdentity>;
  come(count: number, from?: string): Promise<Stranger[]>;
  /** Lets sockets work in real time. */
  pass(): Promise<void>;
}

async function withListener(run: (world: World) => Promise<void>, isOneSource = false): Promise<void> {
  const clock = createManualClock();
  const identity = createIdentity();
  const messages: number[] = [];
  let dropped = 0;
  const listener = await listenTcp({
    host: '127.0.0.1',
    port: 0,
    identity,
    clock,
    isOneSource,
    onMessage: (message) => void messages.push(message.length),
    onWelcome: () => assert.fail('nobody is welcome'),
    onDropped: () => (dropped += 1),
  });
  const strangers: Stranger[] = [];
  try {
    await run({
      clock,
      listener,
      messages,
      identity,
      dropped: () => dropped,
      async come(count, from = '127.0.0.9') {
        const come = Array.from({ length: count }, () => {
          const socket = connect({ host: '127.0.0.1', port: listener.port, localAddress: from });
          const stranger: Stranger = { socket, closedAt: undefined, reset: false, received: 0 };
          socket.on('error', () => (stranger.reset = true));
          socket.on('data', (chunk) => (stranger.received += chunk.length));
          socket.on('close', () => (stranger.closedAt = clock.now()));
          strangers.push(stranger);
          return stranger;
        });
        await Promise.all(come.map(({ socket }) => once(socket, 'connect')));
        return come;
      },
      async pass() {
        for (let i = 0; i < 20; i++) await settle();
        await new Promise((resolve) => setTimeout(resolve, 20));
      },
    });
  } finally {
    for (const { socket } of strangers) socket.destroy();
    await listener.close();
  }
}

test('whoever proves nothing is closed in silence, without a reset, at a time that cannot be foretold', async () => {
  await withListener(async ({ clock, identity, come, pass, messages, dropped }) => {
    const psk = randomBytes(32);
    const genuine = initiate({
      identity: createIdentity(),
      remotePublicKey: identity.publicKey,
      psk,
      payload: new Uint8Array(0),
    }).message;
    assert.ok(respond(identity, genuine));
    // Nothing, noise, a handshake that proves nothing, one cut short, and much noise: all look alike.
    const openings = [undefined, randomBytes(10), genuine, genuine.subarray(0, 100), randomBytes(200_000)];
    const strangers = await come(openings.length * 3);
    strangers.forEach(({ socket }, at) => {
      const opening = openings[at % openings.length];
      if (opening !== undefined) socket.write(opening);
    });
    await pass();
    assert.deepEqual(messages, [genuine.length, genuine.length, genuine.length]);
    clock.advance(LEAST_MS - 1);
    await pass();
    assert.ok(strangers.every(({ closedAt }) => closedAt === undefined));
    for (let ms = LEAST_MS; ms < MOST_MS; ms += 250) {
      clock.advance(250);
      for (let i = 0; i < 4; i++) await settle();
    }
    clock.advance(250);
    await pass();
    assert.ok(strangers.every(({ closedAt }) => closedAt !== undefined));
    assert.ok(strangers.every(({ reset, received }) => !reset && received === 0));
    assert.ok(new Set(strangers.map(({ closedAt }) => closedAt)).size > 5);
    assert.equal(dropped(), strangers.length);
  });
});

test('a source over its limit sees no difference; its handshakes are not looked at', async () => {
  await withListener(async ({ clock, come, pass, messages, identity }) => {
    const psk = randomBytes(32);
    const message = () =>
      initiate({ identity: createIdentity(), remotePublicKey: identity.publicKey, psk, payload: new Uint8Array(0) })
        .message;
    const strangers = await come(PER_SOURCE + 10);
    await pass();
    for (const { socket } of strangers) socket.write(message());
    await pass();
    assert.equal(messages.length, PER_SOURCE);
    assert.ok(strangers.every(({ closedAt }) => closedAt === undefined));
    const [other] = await come(1, '127.0.0.10');
    other?.socket.write(message());
    await pass();
    assert.equal(messages.length, PER_SOURCE + 1);
    clock.advance(MOST_MS);
    await pass();
    assert.ok(strangers.every(({ closedAt, reset }) => closedAt !== undefined && !reset));
  });
});

test('what one source can hold open is bounded', async () => {
  await withListener(async ({ come, pass, dropped }) => {
    const strangers = await come(PER_SOURCE + DECOYS + 20);
    const limit = performance.now() + 5000;
    while (dropped() < 20 && performance.now() < limit) await pass();
    await pass();
    const open = strangers.filter(({ closedAt }) => closedAt === undefined);
    assert.equal(open.length, PER_SOURCE + DECOYS);
  });
});

test('closing the listener ends what is half open', async () => {
  const waiting: Stranger[] = [];
  await withListener(async ({ come, pass }) => {
    waiting.push(...(await come(PER_SOURCE + 5)));
    await pass();
  });
  assert.ok(waiting.every(({ socket }) => socket.destroyed));
});

test('who is refused and never closes its end is closed after a while', async () => {
  const clock = createManualClock();
  const identity = createIdentity();
  const listener = await listenTcp({
    host: '127.0.0.1',
    port: 0,
    identity,
    clock,
    onMessage: () => ({ message: Buffer.from('no'), keys: undefined }),
    onWelcome: () => assert.fail('nobody is welcome'),
    onDropped: () => undefined,
  });
  const socket = connect({ host: '127.0.0.1', port: listener.port, allowHalfOpen: true });
  try {
    await once(socket, 'connect');
    const { message } = initiate({
      identity: createIdentity(),
      remotePublicKey: identity.publicKey,
      psk: randomBytes(32),
      payload: new Uint8Array(0),
    });
    socket.write(message);
    const [said] = (await once(socket, 'data')) as [Buffer];
    assert.equal(said.toString(), 'no');
    const reset = once(socket, 'error');
    clock.advance(3_000);
    // Closed for good: what is written now comes back as a reset.
    const writing = setInterval(() => socket.write('x'), 10);
    await reset.finally(() => clearInterval(writing));
  } finally {
    socket.destroy();
    await listener.close();
  }
});

test('where all come from one address, as from Tor, some who are silent or send noise do not keep others out', async () => {
  await withListener(async ({ clock, come, pass, messages, identity }) => {
    const { message } = initiate({
      identity: createIdentity(),
      remotePublicKey: identity.publicKey,
      psk: randomBytes(32),
      payload: new Uint8Array(0),
    });
    const [noisy, silent] = [await come(120), await come(100)];
    for (const { socket } of noisy) socket.write(randomBytes(200));
    await pass();
    const more = await come(120);
    for (const { socket } of more) socket.write(randomBytes(200));
    await pass();
    const [peer] = await come(1);
    peer?.socket.write(message);
    for (let i = 0; i < 100 && messages.length === 0; i++) await pass();
    assert.deepEqual(messages, [message.length]);
    clock.advance(MOST_MS);
    await pass();
    assert.ok([...noisy, ...silent, ...more].every(({ closedAt, reset }) => closedAt !== undefined && !reset));
  }, true);
});
