/**
 * Sends hostile datagrams to a port from a fresh one and counts the replies: `node prober.js HOST PORT COUNT`. Its input
 * is one hexadecimal line for each known datagram: they are sent again as they are, changed, cut and lengthened, among
 * random ones. Says as JSON what it sent, by kind, and how many replies came.
 */
import { createHash } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

/** Bytes: nothing, the least, what is shorter than any header, and what fills a packet. */
const LENGTHS = [0, 1, 7, 41, 42, 548, 1200, 1452, 1472] as const;
const MOST_BYTES = 1472;
/** Datagrams between two pauses, and milliseconds that a pause takes. */
const BURST = 25;
const PAUSE_MS = 5;
/** Milliseconds that a late reply has. */
const LAST_WAIT_MS = 2000;

const KINDS = ['random', 'replayed', 'flipped', 'cut', 'lengthened'] as const;

const [host = '', port = '', count = ''] = process.argv.slice(2);
const known: Buffer[] = [];
for await (const line of createInterface({ input: process.stdin })) known.push(Buffer.from(line, 'hex'));

let drawn = 0;
/** Always the same bytes, so that what is found can be found again. */
const draw = (bytes: number): Buffer =>
  createHash('shake256', { outputLength: Math.max(1, bytes) })
    .update(`prober ${(drawn += 1)}`)
    .digest()
    .subarray(0, bytes);
const below = (limit: number): number => draw(4).readUInt32LE() % limit;
const pick = <T>(from: readonly T[]): T | undefined => from[below(from.length)];

function make(kind: (typeof KINDS)[number]): Buffer {
  if (kind === 'random') return draw(pick([...LENGTHS, below(MOST_BYTES)]) ?? 0);
  const datagram = Buffer.from(pick(known) ?? draw(64));
  if (kind === 'cut') return datagram.subarray(0, below(datagram.length + 1));
  if (kind === 'lengthened') return Buffer.concat([datagram, draw(1 + below(400))]).subarray(0, MOST_BYTES);
  if (kind === 'flipped' && datagram.length > 0) {
    for (let left = pick([1, 1, 4, 32]) ?? 1; left > 0; left -= 1) {
      const at = below(datagram.length);
      datagram[at] = (datagram[at] ?? 0) ^ (1 + below(255));
    }
  }
  return datagram;
}

const socket = createSocket('udp4').bind(0);
await once(socket, 'listening');
const replies: string[] = [];
socket.on('message', (reply) => replies.push(reply.toString('hex')));
// Of a port that is closed, which it must not be.
socket.on('error', (error) => replies.push(String(error)));

const sent: Record<string, number> = {};
const send = (kind: string, datagram: Buffer): void => {
  sent[kind] = (sent[kind] ?? 0) + 1;
  socket.send(datagram, Number(port), host);
};
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
// Each once as it is, then by chance.
for (const [index, datagram] of known.entries()) {
  send('replayed', datagram);
  if (index % BURST === 0) await pause(PAUSE_MS);
}
for (let index = 0; index < Number(count); index += 1) {
  const kind = pick(KINDS) ?? 'random';
  send(kind, make(kind));
  if (index % BURST === 0) await pause(PAUSE_MS);
}
await pause(LAST_WAIT_MS);
console.log(JSON.stringify({ sent, replies }));
socket.close();
