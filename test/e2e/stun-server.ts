/**
 * A STUN server (RFC 8489) of a few lines for the laboratory, which tells each client where it sees it:
 * `node stun-server.js ADDRESS:PORT...`. Says "ready" when it listens everywhere.
 */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { decodeStun, encodeStun } from '../../src/wire/stun.ts';

for (const address of process.argv.slice(2)) {
  const at = address.lastIndexOf(':');
  const socket = createSocket('udp4').bind(Number(address.slice(at + 1)), address.slice(0, at));
  await once(socket, 'listening');
  socket.on('message', (datagram, { address: host, port }) => {
    const message = decodeStun(datagram)?.message;
    if (message?.method !== 'binding' || message.class !== 'request') return;
    const { transaction } = message;
    const xorMappedAddress = { host, port };
    socket.send(encodeStun({ method: 'binding', class: 'success', transaction, xorMappedAddress }), port, host);
  });
}
console.log('ready');
