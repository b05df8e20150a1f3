// Throughput, latency and integrity of KCP over simulated links, in simulated time.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createPair, type PairOptions } from './kcp-pair.ts';

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

test('a 100 Mbit/s link of 50 ms is filled to 85 % and its queue stays short', () => {
  const result = transfer(40, { link: path100 });
  assert.ok(result.megabytesPerSecond >= 12.5 * 0.85, JSON.stringify(result));
  assert.ok(result.longestWaitMs < 60, JSON.stringify(result));
});

test('1 % loss leaves at least 70 % of the rate', () => {
  const result = transfer(40, { link: { ...path100, loss: 0.01 } });
  assert.ok(result.megabytesPerSecond >= 12.5 * 0.7, JSON.stringify(result));
});

test('5 % loss both ways leaves at least half of the rate', () => {
  const result = transfer(30, { link: { ...path100, loss: 0.05 } });
  assert.ok(result.megabytesPerSecond >= 12.5 * 0.5, JSON.stringify(result));
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
