import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createDhtSocket, type DhtSocket } from '../../src/net/dht-socket.ts';
import type { PortGuest } from '../../src/net/shared-port.ts';
import type { UdpAddress } from '../../src/net/udp-port.ts';
import { createManualClock, type ManualClock } from '../manual-clock.ts';

const ID = 'i'.repeat(20);
const NODE: UdpAddress = { host: '198.51.100.1', port: 6881 };
const latin = (text: string): Buffer => Buffer.from(text, 'latin1');
const QUERY = latin(`d1:ad2:id20:${ID}e1:q4:ping1:t2:ab1:y1:qe`);
/** With 203.0.113.5:6881 as our address. */
const answerTo = (transaction: string): Buffer =>
  latin(`d2:ip6:\xcb\x00\x71\x05\x1a\xe11:rd2:id20:${ID}e1:t4:${transaction}1:y1:re`);

interface Bench {
  readonly socket: DhtSocket;
  readonly clock: ManualClock;
  readonly sent: { readonly bytes: Buffer; readonly to: UdpAddress }[];
  /** What reached the library. */
  readonly messages: { readonly text: string; readonly from: unknown }[];
  readonly votes: { readonly voter: UdpAddress; readonly seen: UdpAddress }[];
  readonly guests: Set<PortGuest>;
  send(to?: UdpAddress): string;
  input(datagram: Uint8Array, from?: UdpAddress): boolean;
}

function createBench(): Bench {
  const clock = createManualClock();
  const [sent, messages, votes]: [Bench['sent'], Bench['messages'], Bench['votes']] = [[], [], []];
  const guests = new Set<PortGuest>();
  let transactions = 0;
  const socket = createDhtSocket({
    port: {
      address: { host: '::', port: 7000 },
      send: (datagram, to) => void sent.push({ bytes: Buffer.from(datagram), to }),
      admit(guest) {
        guests.add(guest);
        return () => void guests.delete(guest);
      },
    },
    clock,
    timeoutMs: 500,
    randomBytes(length) {
      const bytes = Buffer.alloc(length);
      bytes.writeUInt32BE(transactions++);
      return bytes;
    },
    onVote: (voter, seen) => void votes.push({ voter, seen }),
  });
  socket.on('message', (bytes: Buffer, from: unknown) => messages.push({ text: bytes.toString('latin1'), from }));
  return {
    socket,
    clock,
    sent,
    messages,
    votes,
    guests,
    send(to = NODE) {
      socket.send(QUERY, 0, QUERY.length, to.port, to.host);
      return /1:t4:(.{4})/s.exec(sent.at(-1)?.bytes.toString('latin1') ?? '')?.[1] ?? '';
    },
    input: (datagram, from = NODE) => [...guests].some((guest) => guest.input(datagram, from)),
  };
}

test('the answer to a query reaches the library under its own transaction, and its vote counts', () => {
  const { socket, send, input, messages, votes } = createBench();
  const transaction = send();
  assert.equal(input(answerTo(transaction)), true);
  assert.deepEqual(messages, [
    { text: `d1:rd2:id20:${ID}e1:t2:ab1:y1:re`, from: { address: NODE.host, port: NODE.port } },
  ]);
  assert.deepEqual(votes, [{ voter: NODE, seen: { host: '203.0.113.5', port: 6881 } }]);
  assert.deepEqual(socket.counters, { queries: 1, answers: 1, late: 0, unsolicited: 0 });
});

test('an answer nobody asked for does not count: from elsewhere, a second time, to another transaction, too late', () => {
  const { socket, clock, send, input, messages, votes } = createBench();
  const transaction = send();
  assert.equal(input(answerTo('none')), false);
  assert.equal(input(answerTo(transaction), { ...NODE, port: 6882 }), false);
  assert.equal(input(answerTo(transaction), { ...NODE, host: '198.51.100.2' }), false);
  assert.deepEqual([messages, votes], [[], []]);
  assert.equal(input(answerTo(transaction)), true);
  assert.equal(input(answerTo(transaction)), false);
  const late = send();
  clock.advance(5001);
  assert.equal(input(answerTo(late)), false);
  assert.equal(votes.length, 1);
  assert.equal(socket.counters.unsolicited, 5);
});

test('answers later than the library waits are counted as late', () => {
  const { socket, clock, send, input } = createBench();
  const transaction = send();
  clock.advance(501);
  assert.equal(input(answerTo(transaction)), true);
  assert.equal(socket.counters.late, 1);
});

test('queries of others and what is no message are nothing to us: nothing is sent, nobody hears of it', () => {
  const { sent, input, messages } = createBench();
  assert.equal(input(QUERY), false);
  assert.equal(input(Buffer.alloc(0)), false);
  assert.equal(input(Buffer.alloc(1200, 0x64)), false);
  assert.deepEqual([sent, messages], [[], []]);
});

test('the library sends nothing but queries', async () => {
  const { socket, sent } = createBench();
  const reply = latin(`d1:rd2:id20:${ID}e1:t2:ab1:y1:re`);
  await new Promise<void>((resolve) => socket.send(reply, 0, reply.length, 1, NODE.host, () => resolve()));
  assert.deepEqual(sent, []);
});

test('queries under way are bounded: the oldest is forgotten', () => {
  const { send, input } = createBench();
  const first = send();
  const second = send();
  for (let n = 2; n <= 1024; n++) send();
  assert.equal(input(answerTo(first)), false);
  assert.equal(input(answerTo(second)), true);
});

test('closing leaves the port, and nothing is sent after it', async () => {
  const { socket, sent, guests, send } = createBench();
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
  socket.close();
  socket.close();
  await closed;
  send();
  assert.deepEqual([guests.size, sent.length], [0, 0]);
});
