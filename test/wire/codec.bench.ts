/** Microseconds a frame of encoding and decoding, for the messages that come most. Not part of the gate. */
import { decodeFields } from '../../src/wire/codec.ts';
import { decodeFrame, encodeFrame } from '../../src/wire/frame.ts';
import { MESSAGES, type Attributes } from '../../src/wire/schema.ts';

const COUNT = 100_000;

function bench(name: string, run: () => void): void {
  for (let i = 0; i < COUNT / 10; i++) run();
  const start = process.hrtime.bigint();
  for (let i = 0; i < COUNT; i++) run();
  const us = Number(process.hrtime.bigint() - start) / 1000 / COUNT;
  process.stdout.write(
    `${name.padEnd(32)}${us.toFixed(2).padStart(9)} us${(1e6 / us).toFixed(0).padStart(10)} frames/s\n`,
  );
}

const { read, getattr } = MESSAGES;
const attributes: Attributes = {
  inode: 1234567890123n,
  device: 66306n,
  mode: 0o100644,
  nlink: 1,
  uid: 1000,
  gid: 1000,
  size: 4096,
  blocks: 8,
  blksize: 4096,
  atimeSec: 1_790_000_000,
  atimeNsec: 1,
  mtimeSec: 1_790_000_000,
  mtimeNsec: 2,
  ctimeSec: 1_790_000_000,
  ctimeNsec: 3,
  birthSec: 1_790_000_000,
  birthNsec: 4,
  flags: 0,
};

const request = { handle: 7, offset: 1 << 20, length: 4096 };
bench('encode a read request', () => void encodeFrame('request', read.tag, 12345, read.request, request));
const encoded = encodeFrame('request', read.tag, 12345, read.request, request);
bench('decode a read request', () => {
  const frame = decodeFrame(encoded);
  if (frame === undefined || frame === 'unknown') throw new Error('malformed');
  decodeFields(read.request, frame.bytes, frame.bodyStart, frame.bodyEnd);
});
const reply = { attributes, change: 99, leaseMs: 15_000 };
type Reply = Parameters<typeof encodeFrame<typeof getattr.reply>>[4];
const whole = { ...reply } as unknown as Reply;
bench('encode attributes', () => void encodeFrame('reply', getattr.tag, 12345, getattr.reply, whole));
const answered = encodeFrame('reply', getattr.tag, 12345, getattr.reply, whole);
bench('decode attributes', () => {
  const frame = decodeFrame(answered);
  if (frame === undefined || frame === 'unknown') throw new Error('malformed');
  decodeFields(getattr.reply, frame.bytes, frame.bodyStart, frame.bodyEnd);
});
