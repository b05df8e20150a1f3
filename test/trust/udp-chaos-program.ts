/**
 * A proxy for UDP that spoils what passes: `node udp-chaos-program.js SEED HOST:PORT`. Says the port at which it stands for the
 * target. Each line of its input is JSON with the troubles from then on (src of the type: udp-chaos.ts); at the end of its
 * input it says as JSON what it did.
 */
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { createRandom } from '../wire/samples.ts';
import { NO_TROUBLE, type Spoilt, type Troubles } from './udp-chaos.ts';

/** A datagram that is overtaken comes so much later. Milliseconds. */
const LATE_LEAST_MS = 5;
const LATE_MOST_MS = 80;
/** Datagrams that are lost in one go. */
const BURST = 20;
const BUFFER_BYTES = 4 << 20;

const [seed = '1', target = ''] = process.argv.slice(2);
const [host = '', port = ''] = target.split(':');
const random = createRandom(Number(seed));
const spoilt: Spoilt = { passed: 0, lost: 0, duplicated: 0, late: 0, corrupted: 0, cut: 0, tooLong: 0 };
let troubles: Troubles = NO_TROUBLE;
let lostInARow = [0, 0];

async function open(address: string): Promise<Socket> {
  const socket = createSocket('udp4');
  socket.bind(0, address);
  await once(socket, 'listening');
  socket.setRecvBufferSize(BUFFER_BYTES);
  socket.setSendBufferSize(BUFFER_BYTES);
  // Whoever is not there now may be there later.
  socket.on('error', () => undefined);
  return socket;
}

/** @returns what comes out, in order, with the delay of each. */
function spoil(datagram: Buffer, direction: 0 | 1): { readonly bytes: Buffer; readonly delayMs: number }[] {
  const { only, mtuBytes } = troubles;
  if (only !== undefined && only !== direction) return [{ bytes: datagram, delayMs: 0 }];
  if (datagram.length > mtuBytes) {
    spoilt.tooLong += 1;
    return [];
  }
  const left = lostInARow[direction] ?? 0;
  // A run begins so seldom that the share of what is lost is the rate.
  const begins = troubles.burstRate / (BURST * (1 - troubles.burstRate));
  if (left > 0 || random() < begins) {
    lostInARow =
      direction === 0
        ? [left > 0 ? left - 1 : BURST - 1, lostInARow[1] ?? 0]
        : [lostInARow[0] ?? 0, left > 0 ? left - 1 : BURST - 1];
    spoilt.lost += 1;
    return [];
  }
  if (random() < troubles.lossRate) {
    spoilt.lost += 1;
    return [];
  }
  const isDouble = random() < troubles.duplicateRate;
  if (isDouble) spoilt.duplicated += 1;
  return Array.from({ length: isDouble ? 2 : 1 }, () => {
    let bytes = datagram;
    let delayMs = 0;
    if (random() < troubles.reorderRate) {
      delayMs = LATE_LEAST_MS + random() * (LATE_MOST_MS - LATE_LEAST_MS);
      spoilt.late += 1;
    }
    if (bytes.length > 0 && random() < troubles.corruptRate) {
      bytes = Buffer.from(bytes);
      const at = Math.floor(random() * bytes.length);
      bytes[at] = (bytes[at] ?? 0) ^ (1 << Math.floor(random() * 8));
      spoilt.corrupted += 1;
    }
    if (random() < troubles.cutRate) {
      bytes = bytes.subarray(0, Math.floor(random() * bytes.length));
      spoilt.cut += 1;
    }
    return { bytes, delayMs };
  });
}

function pass(datagram: Buffer, direction: 0 | 1, send: (bytes: Buffer) => void): void {
  for (const { bytes, delayMs } of spoil(datagram, direction)) {
    spoilt.passed += 1;
    if (delayMs === 0) send(bytes);
    else setTimeout(() => send(bytes), delayMs);
  }
}

/** One for each client, as a router has a port for each. */
const upstream = new Map<string, Socket>();
const opening = new Set<string>();
const front = await open('127.0.0.1');
front.on('message', (datagram, from) => {
  const client = `${from.address}:${from.port}`;
  const up = upstream.get(client);
  if (up !== undefined) return pass(datagram, 0, (bytes) => up.send(bytes, Number(port), host));
  if (opening.has(client)) return;
  opening.add(client);
  // The first one is lost: it will be sent again.
  void open('127.0.0.1').then((socket) => {
    socket.on('message', (back) => pass(back, 1, (bytes) => front.send(bytes, from.port, from.address)));
    upstream.set(client, socket);
  });
});
console.log(front.address().port);
for await (const line of createInterface({ input: process.stdin })) {
  troubles = { ...NO_TROUBLE, ...(JSON.parse(line) as Partial<Troubles>) };
}
console.log(JSON.stringify(spoilt));
process.exit(0);
