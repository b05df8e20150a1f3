import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AF_INET, AF_INET6, decodeSocketAddress, encodeSocketAddress } from '../../src/sys/socket-address.ts';
import { openUdpSocket } from '../../src/sys/udp.ts';

test('addresses survive their way through sockaddr', () => {
  for (const [family, host] of [
    [AF_INET, '192.0.2.7'],
    [AF_INET6, '192.0.2.7'],
    [AF_INET6, '2001:db8::1'],
    [AF_INET6, '::1'],
    [AF_INET6, 'fe80::1%5'],
  ] as const) {
    const bytes = encodeSocketAddress(family, { host, port: 40_000 });
    assert.ok(bytes !== undefined);
    assert.deepEqual(decodeSocketAddress(bytes), { host, port: 40_000 });
  }
});

test('what is no numeric address of the family has no sockaddr', () => {
  assert.equal(encodeSocketAddress(AF_INET, { host: 'localhost', port: 1 }), undefined);
  assert.equal(encodeSocketAddress(AF_INET, { host: '::1', port: 1 }), undefined);
  assert.equal(encodeSocketAddress(AF_INET6, { host: '1.2.3', port: 1 }), undefined);
  assert.equal(encodeSocketAddress(AF_INET, { host: '', port: 1 }), undefined);
});

test('a batch of 44 datagrams goes in one call and comes apart again', async () => {
  let count = 0;
  await new Promise<void>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`${count} of 44 datagrams`)), 2_000);
    const socket = openUdpSocket({
      host: '127.0.0.1',
      port: 0,
      onDatagram(datagram) {
        assert.equal(datagram.length, 1_000);
        if (++count < 44) return;
        clearTimeout(timer);
        void socket.close().then(resolve);
      },
    });
    assert.equal(socket.send(new Uint8Array(44_000), 1_000, socket.address), 'sent');
  });
});

test('who is sent many small datagrams does other things in between', async () => {
  let count = 0;
  let inTurn = 0;
  let most = 0;
  const onDatagram = () => {
    count++;
    most = Math.max(most, ++inTurn);
  };
  const socket = openUdpSocket({ host: '127.0.0.1', port: 0, onDatagram });
  const sender = openUdpSocket({ host: '127.0.0.1', port: 0, onDatagram: () => undefined });
  try {
    for (let i = 0; i < 1_000; i++) assert.equal(sender.send(new Uint8Array(1), 1, socket.address), 'sent');
    for (const end = performance.now() + 2_000; count < 1_000 && performance.now() < end; inTurn = 0) {
      await new Promise((resolve) => setImmediate(resolve));
    }
    assert.equal(count, 1_000);
    assert.ok(most <= 200, `${most} at once`);
  } finally {
    await sender.close();
    await socket.close();
  }
});
