import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import test from 'node:test';
import { openRouterSocket } from '../../src/net/router-socket.ts';

const PLACE = { gateway: '127.0.0.1', local: '127.0.0.1' };

test('what is sent before the socket is ready arrives, and only the gateway is heard', async (t) => {
  const router = createSocket('udp4');
  router.bind(0, '127.0.0.1');
  await once(router, 'listening');
  t.after(() => router.close());
  const heard: string[] = [];
  let news: () => void = () => undefined;
  const socket = openRouterSocket(PLACE, router.address().port, {
    input(datagram) {
      heard.push(Buffer.from(datagram).toString());
      news();
    },
    refused: () => heard.push('refused'),
  });
  t.after(() => socket.close());
  const answered = new Promise<void>((resolve) => (news = resolve));
  const stranger = createSocket('udp4');
  t.after(() => stranger.close());
  router.on('message', (_datagram, from) => {
    stranger.send('from elsewhere', from.port, from.address, () => router.send('answer', from.port, from.address));
  });
  socket.send(Buffer.from('question'));
  await answered;
  assert.deepEqual(heard, ['answer']);
});

/** Until the router refuses; the socket itself keeps no process alive. */
async function refusal(place: typeof PLACE, port: number): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const patience = setTimeout(() => reject(new Error('nothing refused')), 5000);
    const socket = openRouterSocket(place, port, {
      input: () => undefined,
      refused() {
        clearTimeout(patience);
        socket.close();
        socket.close();
        socket.send(Buffer.from('late'));
        resolve();
      },
    });
    socket.send(Buffer.from('question'));
  });
}

test('a port at which nobody listens refuses', async () => {
  const free = createSocket('udp4');
  free.bind(0, '127.0.0.1');
  await once(free, 'listening');
  const { port } = free.address();
  free.close();
  await once(free, 'close');
  await refusal(PLACE, port);
});

test('an address that is not of this computer refuses', async () => {
  await refusal({ gateway: '127.0.0.1', local: '192.0.2.1' }, 5351);
});
