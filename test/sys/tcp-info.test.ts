import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, Socket } from 'node:net';
import { test } from 'node:test';
import { acknowledgedBytes, limitUnsentBytes } from '../../src/sys/tcp-info.ts';

test('acknowledged bytes grow by what the far end took, and end with the socket', async () => {
  const server = createServer((socket) => socket.resume());
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  assert.ok(address !== null && typeof address === 'object');
  const socket = connect(address.port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    limitUnsentBytes(socket, 64 * 1024);
    const before = acknowledgedBytes(socket) ?? -1;
    assert.ok(before >= 0);
    await new Promise((resolve) => socket.write(Buffer.alloc(100_000), resolve));
    const limit = performance.now() + 5000;
    while (acknowledgedBytes(socket) !== before + 100_000) {
      assert.ok(performance.now() < limit, 'never acknowledged');
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    socket.destroy();
    assert.equal(acknowledgedBytes(socket), undefined);
    assert.equal(acknowledgedBytes(new Socket()), undefined);
    limitUnsentBytes(socket, 1);
  } finally {
    socket.destroy();
    server.close();
  }
});
