import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { test, type TestContext } from 'node:test';
import { systemClock } from '../../src/clock.ts';
import { codeOf, PeerfsError } from '../../src/errors.ts';
import {
  connectControl,
  createReplyReader,
  keywords,
  quote,
  type ControlConnection,
  type Reply,
} from '../../src/net/tor-control.ts';

/** Replies of every shape, with events between them, as tor 0.4.9 sends them. */
const TRANSCRIPT = [
  '250-PROTOCOLINFO 1',
  '250-AUTH METHODS=COOKIE,SAFECOOKIE COOKIEFILE="/run/a \\"b\\"/cookie"',
  '250-VERSION Tor="0.4.9.11"',
  '250 OK',
  '650 STATUS_CLIENT NOTICE BOOTSTRAP PROGRESS=14 TAG=handshake SUMMARY="Handshaking with a relay"',
  '250+config-text=',
  'SocksPort auto',
  '..dotted',
  '..',
  '',
  '250 not the end of it',
  '.',
  '250-more=1',
  '250 OK',
  '650+HS_DESC_CONTENT x',
  'text',
  '.',
  '650 OK',
  '552 Unknown Onion Service id',
  '',
].join('\r\n');

const EXPECTED: readonly Reply[] = [
  {
    status: 250,
    lines: [
      { text: 'PROTOCOLINFO 1' },
      { text: 'AUTH METHODS=COOKIE,SAFECOOKIE COOKIEFILE="/run/a \\"b\\"/cookie"' },
      { text: 'VERSION Tor="0.4.9.11"' },
      { text: 'OK' },
    ],
  },
  {
    status: 650,
    lines: [{ text: 'STATUS_CLIENT NOTICE BOOTSTRAP PROGRESS=14 TAG=handshake SUMMARY="Handshaking with a relay"' }],
  },
  {
    status: 250,
    lines: [
      { text: 'config-text=', data: 'SocksPort auto\n.dotted\n.\n\n250 not the end of it\n' },
      { text: 'more=1' },
      { text: 'OK' },
    ],
  },
  { status: 650, lines: [{ text: 'HS_DESC_CONTENT x', data: 'text\n' }, { text: 'OK' }] },
  { status: 552, lines: [{ text: 'Unknown Onion Service id' }] },
];

test('replies are the same whole, byte by byte, and cut in two anywhere', () => {
  assert.deepEqual(createReplyReader().push(TRANSCRIPT), EXPECTED);
  const bytewise = createReplyReader();
  assert.deepEqual(
    Array.from(TRANSCRIPT).flatMap((byte) => bytewise.push(byte)),
    EXPECTED,
  );
  for (let cut = 1; cut < TRANSCRIPT.length; cut++) {
    const reader = createReplyReader();
    assert.deepEqual([...reader.push(TRANSCRIPT.slice(0, cut)), ...reader.push(TRANSCRIPT.slice(cut))], EXPECTED);
  }
});

test('whoever does not speak the protocol, or never comes to an end, is given up', () => {
  const refused = (error: unknown): boolean => error instanceof PeerfsError && error.code === 'PROTOCOL';
  for (const line of ['', 'HTTP/1.1 400 Bad Request', '25 OK', '250', '250*OK', '950 OK', '\x00\x01\x02']) {
    assert.throws(() => createReplyReader().push(`${line}\r\n`), refused, line);
  }
  assert.throws(() => createReplyReader().push('2'.repeat(300_000)), refused);
  const endless = createReplyReader();
  assert.throws(() => {
    for (let line = 0; line < 1000; line++) endless.push(`250-${'x'.repeat(10_000)}\r\n`);
  }, refused);
  const block = createReplyReader();
  block.push('250+x\r\n');
  assert.throws(() => {
    for (let line = 0; line < 1000; line++) block.push(`${'x'.repeat(10_000)}\r\n`);
  }, refused);
});

test('words with a value are found, quoted or plain; quoting is undone', () => {
  const words = keywords('AUTH METHODS=A,B EMPTY= COOKIEFILE="/a \\"b\\"\\\\c\\n\\303\\244 X=1" LAST=x=y plain');
  assert.deepEqual(Object.fromEntries(words), {
    METHODS: 'A,B',
    EMPTY: '',
    COOKIEFILE: '/a "b"\\c\n\xc3\xa4 X=1',
    LAST: 'x=y',
  });
  assert.equal(quote('a "b" \\'), '"a \\"b\\" \\\\"');
});

interface Far {
  readonly connection: ControlConnection;
  readonly socket: Socket;
  readonly events: string[];
  readonly closes: number[];
}

/** A connection, and what stands for Tor at its other end. */
async function pair(t: TestContext): Promise<Far> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const bound = server.address();
  assert.ok(bound !== null && typeof bound === 'object');
  const events: string[] = [];
  const closes: number[] = [];
  const accepted = once(server, 'connection');
  const connection = await connectControl({
    address: { host: '127.0.0.1', port: bound.port },
    clock: systemClock,
    onEvent: ({ lines }) => events.push(lines[0]?.text ?? ''),
    onClose: () => closes.push(1),
  });
  const [socket] = (await accepted) as [Socket];
  socket.on('error', () => undefined);
  t.after(() => {
    connection.close();
    socket.destroy();
    server.close();
  });
  return { connection, socket, events, closes };
}

test('commands sent together get their own replies, with events between them', async (t) => {
  const { connection, socket, events } = await pair(t);
  const replies = Promise.all(['ONE', 'TWO', 'THREE'].map((line) => connection.command(line)));
  let heard = '';
  while (!heard.endsWith('THREE\r\n')) heard += String((await once(socket, 'data'))[0]);
  assert.equal(heard, 'ONE\r\nTWO\r\nTHREE\r\n');
  socket.write('250-1\r\n250 OK\r\n650 HS_DESC UP');
  socket.write('LOADED x\r\n552 two\r\n650 OTHER\r\n250 three\r\n');
  assert.deepEqual(
    (await replies).map(({ status, lines }) => `${status} ${lines[0]?.text ?? ''}`),
    ['250 1', '552 two', '250 three'],
  );
  assert.deepEqual(events, ['HS_DESC UPLOADED x', 'OTHER']);
});

test('a command is one line', async (t) => {
  const { connection } = await pair(t);
  for (const line of ['A\r\nB', 'A\nB', 'A\r', 'A\0']) {
    assert.throws(() => connection.command(line), { code: 'EINVAL' });
  }
});

test('what waits when the connection ends is rejected, and so is what comes after; close is idempotent', async (t) => {
  const { connection, socket, closes } = await pair(t);
  const waiting = connection.command('ONE');
  socket.destroy();
  await assert.rejects(waiting, { code: 'EHOSTDOWN' });
  await assert.rejects(connection.command('TWO'), { code: 'EHOSTDOWN' });
  connection.close();
  connection.close();
  assert.equal(closes.length, 1);
});

test('a port that is not a control port ends the connection', async (t) => {
  const { connection, socket, closes } = await pair(t);
  const waiting = connection.command('PROTOCOLINFO 1');
  socket.write('HTTP/1.1 400 Bad Request\r\n\r\n');
  await assert.rejects(waiting, { code: 'PROTOCOL' });
  assert.equal(closes.length, 1);
});

test('where nobody listens, connecting is refused', async () => {
  const nobody = { onEvent: () => undefined, onClose: () => undefined, clock: systemClock };
  await assert.rejects(connectControl({ ...nobody, address: { path: '/nonexistent/socket' } }), { code: 'EHOSTDOWN' });
});

test('a block of empty lines without end is no reply', () => {
  const reader = createReplyReader();
  reader.push('250+x=\r\n');
  assert.throws(
    () => {
      for (let i = 0; i < 100; i++) reader.push('\n'.repeat(100_000));
    },
    (error) => codeOf(error) === 'PROTOCOL',
  );
});
