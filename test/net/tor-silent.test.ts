import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { test } from 'node:test';
import { systemClock } from '../../src/clock.ts';
import { silentLogger } from '../../src/log.ts';
import { openTor } from '../../src/net/tor-client.ts';

test('a control port that takes connections and says nothing does not hold up the end', async (t) => {
  const sockets: Socket[] = [];
  const server = createServer((socket) => sockets.push(socket.on('error', () => undefined))).listen(0, '127.0.0.1');
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  await once(server, 'listening');
  const bound = server.address();
  assert.ok(bound !== null && typeof bound === 'object');
  const tor = openTor({
    mode: { control: `127.0.0.1:${bound.port}` },
    dataDirectory: tmpdir(),
    clock: systemClock,
    log: silentLogger,
  });
  await once(server, 'connection');
  const from = performance.now();
  await tor.close();
  assert.ok(performance.now() - from < 5000);
  assert.equal(tor.status.state, 'off');
});
