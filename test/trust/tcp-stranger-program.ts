/**
 * Connects to a port as strangers do and counts what comes back: `node tcp-stranger-program.js HOST PORT SECONDS`. Its input is
 * one hexadecimal line for each message that a peer once sent. Some connect and say nothing, some send a byte now and then,
 * some are gone at once, some speak another protocol, some send what a peer sent, changed, cut or as it is. Says as JSON how
 * many connections there were, by kind, and how many bytes came.
 */
import { randomBytes, randomInt } from 'node:crypto';
import { connect } from 'node:net';
import { createInterface } from 'node:readline';

/** Connections at once: more than one source is given. */
const AT_ONCE = 120;
const TRICKLE_MS = 200;
const AGAIN_MS = 20;

const GREETINGS = [
  'GET / HTTP/1.1\r\nHost: example\r\n\r\n',
  'SSH-2.0-OpenSSH_9.6\r\n',
  'EHLO example\r\n',
  '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03',
  '\x00\x00\x00\x85\xffSMBr',
] as const;
const KINDS = ['silent', 'slow', 'scanner', 'greeting', 'noise', 'replayed', 'flipped', 'cut'] as const;

const [host = '', port = '', seconds = ''] = process.argv.slice(2);
const known: Buffer[] = [];
for await (const line of createInterface({ input: process.stdin })) known.push(Buffer.from(line, 'hex'));

const opened: Record<string, number> = {};
let bytes = 0;
let refused = 0;
let ended = false;
const sockets = new Set<ReturnType<typeof connect>>();

function say(kind: (typeof KINDS)[number]): Buffer | undefined {
  const message = Buffer.from(known[randomInt(known.length)] ?? randomBytes(64));
  switch (kind) {
    case 'greeting':
      return Buffer.from(GREETINGS[randomInt(GREETINGS.length)] ?? '', 'latin1');
    case 'noise':
      return randomBytes(randomInt(1, 70_000));
    case 'replayed':
      return message;
    case 'flipped': {
      const at = randomInt(message.length);
      message[at] = (message[at] ?? 0) ^ (1 << randomInt(8));
      return message;
    }
    case 'cut':
      return message.subarray(0, randomInt(message.length));
    default:
      return undefined;
  }
}

function open(): void {
  if (ended) return;
  const kind = KINDS[randomInt(KINDS.length)] ?? 'silent';
  opened[kind] = (opened[kind] ?? 0) + 1;
  const socket = connect({ host, port: Number(port) });
  sockets.add(socket);
  let trickle: NodeJS.Timeout | undefined;
  socket.on('data', (chunk) => (bytes += chunk.length));
  socket.on('error', () => (refused += 1));
  socket.on('close', () => {
    clearInterval(trickle);
    sockets.delete(socket);
    if (!ended) setTimeout(open, AGAIN_MS);
  });
  socket.on('connect', () => {
    if (kind === 'scanner') return void socket.resetAndDestroy();
    if (kind === 'slow') trickle = setInterval(() => socket.write(randomBytes(1)), TRICKLE_MS);
    const said = say(kind);
    if (said !== undefined) socket.write(said);
  });
}

for (let count = 0; count < AT_ONCE; count += 1) open();
setTimeout(
  () => {
    ended = true;
    console.log(JSON.stringify({ opened, bytes, refused }));
    for (const socket of sockets) socket.destroy();
  },
  Number(seconds) * 1000,
);
