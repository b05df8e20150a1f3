/**
 * KCP alone: one conversation in a pure loop, nothing lost, no delay. Prints JSON with segments a second.
 *
 *     node kcp.bench.js [megabytes]
 */
import { Flight } from '../../src/net/flight.ts';
import { Kcp } from '../../src/net/kcp.ts';

const PIECE_BYTES = 256 * 1024;
const WINDOW_SEGMENTS = 16_384;
const HEADER_BYTES = 24;

const megabytes = Number(process.argv[2] ?? 1_000);
let toReceiver: Uint8Array[] = [];
let toSender: Uint8Array[] = [];
let segments = 0;
const options = {
  conversation: 1,
  stream: true,
  sendWindowSegments: WINDOW_SEGMENTS,
  receiveWindowSegments: WINDOW_SEGMENTS,
};
const sender = new Kcp({
  ...options,
  flight: new Flight(),
  output(bytes, start, length) {
    segments++;
    toReceiver.push(bytes.slice(start, start + length));
  },
});
const receiver = new Kcp({
  ...options,
  output: (bytes, start, length) => toSender.push(bytes.slice(start, start + length)),
});

const piece = new Uint8Array(PIECE_BYTES);
const total = megabytes * 1e6;
let queued = 0;
let received = 0;
let now = 0;
const began = performance.now();
while (received < total) {
  now += 1;
  while (queued < total && sender.queuedBytes < 4 * PIECE_BYTES) {
    sender.send(piece);
    queued += PIECE_BYTES;
  }
  sender.update(now);
  for (const packet of toReceiver) receiver.input(packet, now);
  toReceiver = [];
  for (let bytes = receiver.receive(); bytes !== undefined; bytes = receiver.receive()) received += bytes.length;
  receiver.update(now);
  for (const packet of toSender) sender.input(packet, now);
  toSender = [];
}
const seconds = (performance.now() - began) / 1e3;
console.log(
  JSON.stringify({
    bench: 'kcp',
    segmentsPerSecond: Math.round(segments / seconds),
    megabytesPerSecond: Math.round(received / 1e6 / seconds),
    segmentBytes: Math.round(received / segments) + HEADER_BYTES,
  }),
);
