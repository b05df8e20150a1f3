// Throughput, latency and integrity of KCP over simulated links, in simulated time.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Kcp } from '../../src/net/kcp.ts';
import { createPair, type PairOptions } from './kcp-pair.ts';
import { createRandom, SimulatedLink, type LinkOptions } from './simulated-link.ts';

/** 100 Mbit/s in bytes per millisecond. */
const RATE = 12_500;
const MESSAGE_BYTES = 64 * 1024;

interface Transfer {
  readonly seconds: number;
  readonly megabytesPerSecond: number;
  readonly retransmissions: number;
  readonly longestWaitMs: number;
}

/** Sends `megabytes` one way in messages of 64 KiB and checks every byte. */
function transfer(megabytes: number, options: PairOptions): Transfer {
  const pair = createPair({ kcp: { sendWindowSegments: 16_384, receiveWindowSegments: 16_384 }, ...options });
  const count = Math.ceil((megabytes * 1e6) / MESSAGE_BYTES);
  let sent = 0;
  let received = 0;
  pair.a.poll = () => {
    while (sent < count && pair.a.kcp.unacknowledgedBytes < 8e6) {
      const message = new Uint8Array(MESSAGE_BYTES).fill(sent);
      new DataView(message.buffer).setUint32(0, sent++);
      assert.ok(pair.a.kcp.send(message));
    }
  };
  pair.b.poll = () => {
    for (let message = pair.b.kcp.receive(); message !== undefined; message = pair.b.kcp.receive()) {
      assert.equal(message.length, MESSAGE_BYTES);
      assert.equal(new DataView(message.buffer, message.byteOffset).getUint32(0), received);
      assert.equal(message[MESSAGE_BYTES - 1], received & 255);
      received++;
      if (received === count >> 1) pair.a.link.longestWaitMs = 0; // judge the queue after the start-up
    }
  };
  assert.ok(
    pair.run(() => received === count, 120_000),
    `${received} of ${count} messages`,
  );
  return {
    seconds: pair.now / 1e3,
    megabytesPerSecond: (count * MESSAGE_BYTES) / 1e3 / pair.now,
    retransmissions: pair.a.kcp.flight.retransmissions,
    longestWaitMs: pair.a.link.longestWaitMs,
  };
}

const path100 = { delayMs: 25, rate: RATE, queueBytes: RATE * 100 };

test('a 100 Mbit/s link of 50 ms is filled to 90 % and its queue stays short', () => {
  const result = transfer(40, { link: path100 });
  assert.ok(result.megabytesPerSecond >= 12.5 * 0.9, JSON.stringify(result));
  assert.ok(result.longestWaitMs < 20, JSON.stringify(result));
});

test('the start-up ends when the queue grows, not when it is full', () => {
  const result = transfer(10, { link: path100 });
  assert.ok(result.retransmissions < 100, JSON.stringify(result));
});

test('1 % loss leaves at least 85 % of the rate', () => {
  const result = transfer(40, { link: { ...path100, loss: 0.01 } });
  assert.ok(result.megabytesPerSecond >= 12.5 * 0.85, JSON.stringify(result));
});

test('5 % loss both ways leaves at least 70 % of the rate', () => {
  const result = transfer(30, { link: { ...path100, loss: 0.05 } });
  assert.ok(result.megabytesPerSecond >= 12.5 * 0.7, JSON.stringify(result));
});

test('a queue of a tenth of the round trip does not stop it', () => {
  const result = transfer(30, { link: { ...path100, queueBytes: RATE * 5 } });
  assert.ok(result.megabytesPerSecond >= 12.5 * 0.6, JSON.stringify(result));
});

test('reordering and duplicates cost little', () => {
  const result = transfer(30, { link: { ...path100, reorder: 0.1, duplicate: 0.02 } });
  assert.ok(result.megabytesPerSecond >= 12.5 * 0.7, JSON.stringify(result));
});

test('100 MB/s at 50 ms', () => {
  const result = transfer(200, { link: { delayMs: 25, rate: 125_000, queueBytes: 125_000 * 50 } });
  assert.ok(result.megabytesPerSecond >= 90, JSON.stringify(result));
});

test('a slow link of 1 Mbit/s keeps its queue bounded', () => {
  const result = transfer(2, { link: { delayMs: 25, rate: 125, queueBytes: 125 * 1_000 } });
  assert.ok(result.megabytesPerSecond >= 0.125 * 0.8, JSON.stringify(result));
  assert.ok(result.longestWaitMs < 250, JSON.stringify(result));
});

test('a rate that falls to a tenth is followed', () => {
  const rateNow = { delayMs: 10, rate: RATE, queueBytes: RATE * 40 };
  const pair = createPair({ link: rateNow });
  let received = 0;
  pair.a.poll = () => {
    while (pair.a.kcp.unacknowledgedBytes < 2e6) pair.a.kcp.send(new Uint8Array(32_768));
  };
  pair.b.poll = () => {
    for (let m = pair.b.kcp.receive(); m !== undefined; m = pair.b.kcp.receive()) received += m.length;
  };
  pair.run(() => false, 2_000);
  rateNow.rate = RATE / 10;
  pair.now = 2_000;
  pair.run(() => false, 5_000);
  const before = received;
  pair.a.link.longestWaitMs = 0;
  pair.run(() => false, 8_000);
  assert.ok((received - before) / 3_000 > (RATE / 10) * 0.7, `${(received - before) / 3_000}`);
  assert.ok(pair.a.link.longestWaitMs < 250, `${pair.a.link.longestWaitMs}`);
});

test('a blackout of a second is survived', () => {
  const link = { ...path100, loss: 0 };
  const pair = createPair({ link });
  let received = 0;
  pair.a.poll = () => {
    while (pair.a.kcp.unacknowledgedBytes < 2e6) pair.a.kcp.send(new Uint8Array(32_768));
  };
  pair.b.poll = () => {
    for (let m = pair.b.kcp.receive(); m !== undefined; m = pair.b.kcp.receive()) received += m.length;
  };
  pair.run(() => false, 1_000);
  link.loss = 1;
  pair.run(() => false, 2_000);
  link.loss = 0;
  pair.now = Math.max(pair.now, 2_000);
  const before = received;
  pair.run(() => false, 4_000);
  assert.ok((received - before) / 2_000 > RATE * 0.5, `${(received - before) / 2_000}`);
});

test('small messages now and then do not hold back the bulk that follows', () => {
  const pair = createPair({
    link: path100,
    kcp: { sendWindowSegments: 16_384, receiveWindowSegments: 16_384, stream: true },
  });
  let received = 0;
  pair.b.poll = () => {
    for (let m = pair.b.kcp.receive(); m !== undefined; m = pair.b.kcp.receive()) received += m.length;
  };
  for (let call = 0; call < 100; call++) {
    pair.a.kcp.send(new Uint8Array(call % 10 === 9 ? 20_000 : 200));
    pair.run(() => false, (call + 1) * 80);
    pair.now = (call + 1) * 80;
  }
  const before = received;
  pair.a.poll = () => {
    while (pair.a.kcp.unacknowledgedBytes < 8e6) pair.a.kcp.send(new Uint8Array(32_768));
  };
  pair.run(() => false, 10_000);
  assert.ok((received - before) / 2_000 > RATE * 0.75, `${(received - before) / 2_000} bytes/ms`);
});

test('calls beside the bulk of the other side, which delays them, do not hold back the bulk that follows', () => {
  const link = { delayMs: 10, rate: 100_000, queueBytes: 100_000 * 20 };
  const back = { ...link };
  const kcp = { sendWindowSegments: 16_384, receiveWindowSegments: 16_384, stream: true };
  const pair = createPair({ link, back, kcp });
  let received = 0;
  pair.b.poll = () => {
    for (let m = pair.b.kcp.receive(); m !== undefined; m = pair.b.kcp.receive()) received += m.length;
  };
  for (let call = 0; call < 400; call++) {
    if (call === 100) back.delayMs = 25;
    pair.a.kcp.send(new Uint8Array(200));
    pair.now = (call + 1) * 10;
    pair.run(() => false, pair.now);
  }
  back.delayMs = 10;
  const before = received;
  pair.a.poll = () => {
    while (pair.a.kcp.unacknowledgedBytes < 8e6) pair.a.kcp.send(new Uint8Array(32_768));
  };
  pair.run(() => false, 4_500);
  assert.ok((received - before) / 500 > 100_000 / 2, `${(received - before) / 500} bytes/ms`);
});

test('whoever waits for all of a piece before the next one leaves the start-up, too', () => {
  const kcp = { sendWindowSegments: 16_384, receiveWindowSegments: 16_384, stream: true };
  const pair = createPair({ link: path100, kcp });
  pair.a.poll = () => {
    if (pair.a.kcp.unacknowledgedBytes === 0) pair.a.kcp.send(new Uint8Array(900_000));
  };
  pair.b.poll = () => {
    while (pair.b.kcp.receive() !== undefined);
  };
  pair.run(() => false, 3_000);
  pair.a.link.longestWaitMs = 0;
  pair.run(() => false, 6_000);
  assert.ok(pair.a.link.longestWaitMs < 30, `${pair.a.link.longestWaitMs} ms`);
});

test('a rate that rises tenfold is found', () => {
  const link = { delayMs: 10, rate: RATE, queueBytes: RATE * 40 };
  const kcp = { sendWindowSegments: 16_384, receiveWindowSegments: 16_384, stream: true };
  const pair = createPair({ link, kcp });
  let received = 0;
  pair.a.poll = () => {
    while (pair.a.kcp.unacknowledgedBytes < 8e6) pair.a.kcp.send(new Uint8Array(32_768));
  };
  pair.b.poll = () => {
    for (let m = pair.b.kcp.receive(); m !== undefined; m = pair.b.kcp.receive()) received += m.length;
  };
  pair.run(() => false, 3_000);
  link.rate = 10 * RATE;
  link.queueBytes *= 10;
  pair.run(() => false, 4_500);
  const before = received;
  pair.run(() => false, 5_000);
  assert.ok((received - before) / 500 > 10 * RATE * 0.9, `${(received - before) / 500} bytes/ms`);
});

test('after a pause no more leaves at once than the queue of a device holds', () => {
  const kcp = { sendWindowSegments: 16_384, receiveWindowSegments: 16_384, stream: true };
  const pair = createPair({ link: { delayMs: 10, rate: 200_000, queueBytes: 200_000 * 20 }, kcp });
  pair.a.poll = () => {
    while (pair.a.kcp.unacknowledgedBytes < 16e6) pair.a.kcp.send(new Uint8Array(32_768));
  };
  pair.b.poll = () => {
    while (pair.b.kcp.receive() !== undefined);
  };
  pair.run(() => false, 2_000);
  const { flight } = pair.a.kcp;
  assert.ok(flight.congestion.bytesPerSecond > 100e6, `${flight.congestion.bytesPerSecond}`);
  const sentBefore = pair.a.link.sent;
  // All is acknowledged, and nothing was sent meanwhile: as if the process had stood still.
  for (const packet of pair.a.link.take(pair.now + 50)) pair.b.kcp.input(packet, pair.now + 50);
  pair.b.poll(pair.now + 50);
  pair.b.kcp.update(pair.now + 50);
  for (const packet of pair.b.link.take(pair.now + 100)) pair.a.kcp.input(packet, pair.now + 100);
  pair.a.poll(pair.now + 100);
  pair.a.kcp.update(pair.now + 100);
  const segments = pair.a.link.sent - sentBefore;
  assert.ok(segments > 50 && segments < 250, `${segments} segments`);
});

test('what waits for a segment that was lost is not changed by packets that come into the same memory', () => {
  const random = createRandom(3);
  const queued: Uint8Array[] = [];
  const options = { conversation: 1, stream: true, acknowledgeRuns: true };
  const sender = new Kcp({ ...options, output: (bytes, at, length) => queued.push(bytes.slice(at, at + length)) });
  const answers: Uint8Array[] = [];
  const receiver = new Kcp({ ...options, output: (bytes, at, length) => answers.push(bytes.slice(at, at + length)) });
  const sent = Buffer.from(Float64Array.from({ length: 50_000 }, random).buffer);
  sender.send(sent);
  const received: Buffer[] = [];
  const memory = new Uint8Array(1_500);
  for (let now = 0; Buffer.concat(received).length < sent.length && now < 5_000; now += 5) {
    sender.update(now);
    for (const packet of queued.splice(0)) {
      if (random() < 0.1) continue;
      memory.set(packet);
      assert.equal(receiver.inputSegment(memory.subarray(0, packet.length), 0), packet.length);
      for (let bytes = receiver.receive(); bytes !== undefined; bytes = receiver.receive()) {
        received.push(Buffer.from(bytes));
      }
      receiver.own();
      memory.fill(255);
    }
    receiver.update(now);
    for (const packet of answers.splice(0)) sender.input(packet, now + 5);
  }
  assert.ok(Buffer.concat(received).equals(sent));
});

for (const starts of [
  [0, 2_000],
  [0, 7_000],
]) {
  test(`flows that begin at ${starts.join(', ')} ms come to share a link`, () => {
    const { shares, queueMs } = shareLink(starts, path100, 10_000, 30_000);
    const sum = shares.reduce((a, b) => a + b, 0);
    const jain = sum ** 2 / (shares.length * shares.reduce((a, b) => a + b * b, 0));
    assert.ok(sum > 0.85 && jain > 0.9, `${shares.join(' ')}: ${jain}`);
    assert.ok(queueMs < 30, `${queueMs} ms`);
  });
}

/** Part of the link's rate that each flow has from `fromMs` to `untilMs`, and the mean wait in its queue. */
function shareLink(starts: readonly number[], link: LinkOptions, fromMs: number, untilMs: number) {
  let now = 0;
  const [forth, back] = [new SimulatedLink(link, 1), new SimulatedLink(link, 2)];
  const flows = starts.map((startMs, index) => {
    const end = (out: SimulatedLink) =>
      new Kcp({
        conversation: index,
        sendWindowSegments: 16_384,
        receiveWindowSegments: 16_384,
        stream: true,
        output: (bytes, start, length) => out.send(bytes.subarray(start, start + length), now),
      });
    return { startMs, sender: end(forth), receiver: end(back), bytes: 0 };
  });
  let waited = 0;
  let looks = 0;
  for (; now < untilMs; now += 1) {
    for (const packet of forth.take(now)) flows[packet[0] ?? 0]?.receiver.input(packet, now);
    for (const packet of back.take(now)) flows[packet[0] ?? 0]?.sender.input(packet, now);
    for (const flow of flows) {
      const { sender, receiver, startMs } = flow;
      for (let m = receiver.receive(); m !== undefined; m = receiver.receive())
        if (now >= fromMs) flow.bytes += m.length;
      while (now >= startMs && sender.unacknowledgedBytes < 8e6) sender.send(new Uint8Array(32_768));
      sender.update(now);
      receiver.update(now);
    }
    if (now < fromMs) continue;
    waited += forth.waitMs(now);
    looks++;
  }
  const rate = link.rate ?? Infinity;
  return { shares: flows.map(({ bytes }) => bytes / (untilMs - fromMs) / rate), queueMs: waited / looks };
}
