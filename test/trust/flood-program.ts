/**
 * Sends handshakes to a UDP port at a pace, from many addresses of loopback: `node flood-program.js HOST PORT SOURCES RATE SECONDS`.
 * Its input is one hexadecimal line for each handshake, which are sent in turn. Says as JSON how many it sent and how many
 * replies came.
 */
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

const TICK_MS = 5;
/** After a pause of the process no more than this is made up for. */
const MOST_AT_ONCE = 400;

const [host = '', port = '', sources = '', rate = '', seconds = ''] = process.argv.slice(2);
const messages: Buffer[] = [];
for await (const line of createInterface({ input: process.stdin })) messages.push(Buffer.from(line, 'hex'));

let replies = 0;
const sockets: Socket[] = [];
for (let index = 0; index < Number(sources); index += 1) {
  const socket = createSocket('udp4');
  // 127.1.0.1 and up: nobody else has these.
  socket.bind(0, `127.1.${index >> 7}.${1 + (index & 127)}`);
  await once(socket, 'listening');
  socket.on('message', () => (replies += 1));
  socket.on('error', () => undefined);
  sockets.push(socket);
}

let sent = 0;
const begun = performance.now();
const timer = setInterval(() => {
  const elapsed = (performance.now() - begun) / 1000;
  if (elapsed > Number(seconds)) {
    clearInterval(timer);
    setTimeout(() => {
      console.log(JSON.stringify({ sent, replies, seconds: elapsed }));
      for (const socket of sockets) socket.close();
    }, 500);
    return;
  }
  const due = Math.min(Math.floor(elapsed * Number(rate)) - sent, MOST_AT_ONCE);
  for (let left = due; left > 0; left -= 1, sent += 1) {
    const message = messages[sent % messages.length];
    if (message !== undefined) sockets[sent % sockets.length]?.send(message, Number(port), host);
  }
}, TICK_MS);
