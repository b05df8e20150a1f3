import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Kcp, type KcpOptions } from '../../src/net/kcp.ts';
import { createPair } from './kcp-pair.ts';
import { createRandom } from './simulated-link.ts';

const hex = (text: string) => new Uint8Array(Buffer.from(text.replaceAll(/\s/g, ''), 'hex'));

interface Recorder {
  readonly kcp: Kcp;
  readonly packets: Uint8Array[];
}

function record(options: Partial<KcpOptions> = {}): Recorder {
  const packets: Uint8Array[] = [];
  const kcp = new Kcp({
    conversation: 0x11223344,
    maxSegmentBytes: 27, // three bytes of data
    ...options,
    output: (bytes, start, length) => packets.push(bytes.slice(start, start + length)),
  });
  return { kcp, packets };
}

//                            conv     cmd frg wnd  ts       sn       una      len      data
const FIRST_FRAGMENT = hex('  44332211 51  01  8000 0a000000 00000000 00000000 03000000 616263');
const LAST_FRAGMENT = hex('   44332211 51  00  8000 0a000000 01000000 00000000 02000000 6465');
const ACKNOWLEDGEMENT = hex(' 44332211 52  00  0004 0a000000 01000000 02000000 00000000');
const WINDOW_ASK = hex('      44332211 53  00  8000 0a000000 00000000 00000000 00000000');

test('a message goes out in fragments, byte for byte as the reference has them', () => {
  const { kcp, packets } = record();
  kcp.send(new TextEncoder().encode('abcde'));
  kcp.flush(10);
  const first = FIRST_FRAGMENT.slice();
  first.set([0, 4], 6); // our window is 1,024
  const last = LAST_FRAGMENT.slice();
  last.set([0, 4], 6);
  assert.deepEqual(packets, [first, last]);
});

test('recorded fragments become the message and one acknowledgement for both', () => {
  const { kcp, packets } = record();
  kcp.input(Uint8Array.from([...FIRST_FRAGMENT, ...LAST_FRAGMENT]), 40);
  assert.equal(new TextDecoder().decode(kcp.receive()), 'abcde');
  kcp.flush(40);
  assert.deepEqual(packets, [ACKNOWLEDGEMENT]);
});

test('fragments in the wrong order wait, each is acknowledged', () => {
  const { kcp, packets } = record();
  kcp.input(LAST_FRAGMENT.slice(), 40);
  assert.equal(kcp.receive(), undefined);
  kcp.flush(40);
  kcp.input(FIRST_FRAGMENT.slice(), 41);
  kcp.flush(41);
  assert.equal(new TextDecoder().decode(kcp.receive()), 'abcde');
  assert.deepEqual(
    packets.map((packet) => [packet[4], packet[12], packet[16]]),
    [
      [82, 1, 0],
      [82, 0, 2],
    ],
  );
});

test('where runs are told, what comes beyond a gap is in the data of one acknowledgement, each time', () => {
  const { kcp, packets } = record({ acknowledgeRuns: true });
  const segment = (sn: number) => {
    const bytes = LAST_FRAGMENT.slice();
    bytes[12] = sn;
    return bytes;
  };
  kcp.input(Uint8Array.from([...segment(1), ...segment(2), ...segment(4)]), 40);
  kcp.flush(40);
  kcp.input(segment(5), 41);
  kcp.flush(41);
  kcp.input(segment(0), 42);
  kcp.flush(42);
  assert.deepEqual(
    packets.map((packet) => [packet[12], packet[16], ...packet.subarray(24)]),
    [
      [4, 0, 1, 0, 2, 0, 1, 0, 1, 0],
      [5, 0, 1, 0, 2, 0, 1, 0, 2, 0],
      [0, 3, 1, 0, 2, 0],
    ],
  );
});

test('the question for the window is answered', () => {
  const { kcp, packets } = record();
  kcp.input(WINDOW_ASK.slice(), 40);
  kcp.flush(40);
  assert.deepEqual(
    packets.map((packet) => packet[4]),
    [84],
  );
});

test('what is no segment of the conversation is dropped and counted', () => {
  const { kcp, packets } = record();
  const bad = [
    FIRST_FRAGMENT.subarray(0, 23),
    FIRST_FRAGMENT.subarray(0, 26), // data missing
    hex('45332211 51 00 8000 0a000000 00000000 00000000 00000000'), // another conversation
    hex('44332211 50 00 8000 0a000000 00000000 00000000 00000000'), // no such command
    hex('44332211 55 00 8000 0a000000 00000000 00000000 00000000'),
    hex('44332211 51 00 8000 0a000000 00000000 00000000 ffffffff'), // length beyond all
  ];
  for (const packet of bad) kcp.input(packet.slice(), 0);
  kcp.flush(0);
  assert.equal(kcp.statistics.malformed, bad.length);
  assert.deepEqual(packets, []);
});

test('acknowledgements of what was never sent change nothing', () => {
  const { kcp, packets } = record();
  kcp.send(Uint8Array.of(1));
  kcp.flush(0);
  kcp.input(hex('44332211 52 00 8000 00000000 05000000 00000000 00000000'), 1);
  kcp.input(hex('44332211 52 00 8000 00000000 ffffffff 09000000 00000000'), 1);
  assert.equal(kcp.unacknowledgedBytes, 1);
  kcp.update(400);
  assert.deepEqual([...(packets.at(-1)?.subarray(24) ?? [])], [1]);
});

test('a segment beyond the window is refused, a second copy of one too', () => {
  const { kcp } = record({ receiveWindowSegments: 256 });
  const segment = (sn: number) => {
    const bytes = LAST_FRAGMENT.slice();
    new DataView(bytes.buffer).setUint32(12, sn, true);
    return bytes;
  };
  kcp.input(segment(256), 0);
  kcp.input(segment(255), 0);
  kcp.input(segment(255), 0);
  assert.equal(kcp.statistics.refused, 2);
});

test('generated junk never throws', () => {
  const random = createRandom(5);
  const { kcp } = record();
  for (let i = 0; i < 20_000; i++) {
    const bytes = new Uint8Array(Math.trunc(random() * 80));
    for (let at = 0; at < bytes.length; at++) bytes[at] = random() * 256;
    if (random() < 0.9) bytes.set(FIRST_FRAGMENT.subarray(0, Math.min(5, bytes.length)));
    if (bytes.length > 24 && random() < 0.7) bytes.set([bytes.length - 24, 0, 0, 0], 20);
    kcp.input(bytes, i);
    kcp.receive();
    kcp.update(i);
  }
});

test('a message of 256 fragments goes, one of 257 is refused', () => {
  const { kcp } = record();
  assert.equal(kcp.send(new Uint8Array(3 * 256)), true);
  assert.equal(kcp.send(new Uint8Array(3 * 256 + 1)), false);
});

test('messages of all lengths come whole and in order over a link that loses, reorders and duplicates', () => {
  const random = createRandom(11);
  const link = { delayMs: 10, rate: 5_000, queueBytes: 100_000, loss: 0.05, reorder: 0.1, duplicate: 0.02 };
  const pair = createPair({ link });
  const lengths = Array.from({ length: 300 }, () => 1 + Math.trunc(random() * (random() < 0.2 ? 100_000 : 500)));
  let received = 0;
  pair.b.poll = () => {
    for (let message = pair.b.kcp.receive(); message !== undefined; message = pair.b.kcp.receive()) {
      assert.equal(message.length, lengths[received]);
      assert.ok(message.every((byte) => byte === (received & 255)));
      received++;
    }
  };
  lengths.forEach((length, i) => pair.a.kcp.send(new Uint8Array(length).fill(i)));
  assert.ok(pair.run(() => received === lengths.length, 60_000));
});

test('an acknowledgement that is lost makes nobody send again what has arrived, where runs are told', () => {
  const kcp = { acknowledgeRuns: true, stream: true, sendWindowSegments: 4_096, receiveWindowSegments: 4_096 };
  const link = { delayMs: 25, rate: 5_000, queueBytes: 1_000_000, loss: 0.03 };
  const pair = createPair({ link, kcp });
  let received = 0;
  pair.b.poll = () => {
    for (let bytes = pair.b.kcp.receive(); bytes !== undefined; bytes = pair.b.kcp.receive()) received += bytes.length;
  };
  for (let i = 0; i < 300; i++) pair.a.kcp.send(new Uint8Array(32_768));
  assert.ok(pair.run(() => received === 300 * 32_768, 60_000));
  const { retransmissions } = pair.a.kcp.flight;
  assert.ok(
    retransmissions <= pair.a.link.dropped * 1.2,
    `${retransmissions} for ${pair.a.link.dropped} that were lost`,
  );
});

test('clocks that wrap around do no harm', () => {
  const pair = createPair({ link: { delayMs: 10, loss: 0.05 }, startMs: 2 ** 32 - 200 });
  let received = 0;
  pair.b.poll = () => {
    while (pair.b.kcp.receive() !== undefined) received++;
  };
  for (let i = 0; i < 500; i++) pair.a.kcp.send(new Uint8Array(1_000));
  assert.ok(pair.run(() => received === 500, 2 ** 32 + 60_000));
});

test('a receiver that does not read closes the window; reading opens it again', () => {
  const pair = createPair({ link: { delayMs: 5 }, kcp: { receiveWindowSegments: 256 } });
  for (let i = 0; i < 600; i++) pair.a.kcp.send(new Uint8Array(100));
  assert.equal(
    pair.run(() => false, 3_000),
    false,
  );
  let received = 0;
  pair.b.poll = () => {
    while (pair.b.kcp.receive() !== undefined) received++;
  };
  assert.ok(pair.run(() => received === 600, 20_000));
});

test('a stream keeps its bytes and not its borders', () => {
  const pair = createPair({ link: { delayMs: 5, loss: 0.02 }, kcp: { stream: true } });
  const sent: number[] = [];
  const received: number[] = [];
  pair.b.poll = () => {
    for (let bytes = pair.b.kcp.receive(); bytes !== undefined; bytes = pair.b.kcp.receive()) received.push(...bytes);
  };
  for (let i = 0; i < 400; i++) {
    const piece = new Uint8Array((i * 7) % 90).fill(i);
    sent.push(...piece);
    pair.a.kcp.send(piece);
  }
  assert.ok(pair.run(() => received.length === sent.length, 20_000));
  assert.deepEqual(received, sent);
});

test('an idle conversation asks for no wake-up', () => {
  const pair = createPair({ link: { delayMs: 5 } });
  pair.a.kcp.send(Uint8Array.of(1));
  pair.run(() => false, 5_000);
  assert.equal(pair.a.kcp.check(pair.now), Infinity);
  assert.equal(pair.b.kcp.check(pair.now), Infinity);
  assert.equal(pair.a.kcp.unacknowledgedBytes, 0);
});
