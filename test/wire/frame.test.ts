import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { PeerfsError } from '../../src/errors.ts';
import { decodeFields } from '../../src/wire/codec.ts';
import {
  FRAME_HEADER_BYTES,
  FRAME_KINDS,
  decodeFailure,
  decodeFrame,
  encodeEmptyFrame,
  encodeFailure,
  encodeFrame,
  payloadOf,
} from '../../src/wire/frame.ts';
import type { Frame } from '../../src/wire/frame.ts';
import { LIMITS, MESSAGES } from '../../src/wire/schema.ts';
import type { Fields, Message } from '../../src/wire/types.ts';
import { GOLDEN } from './golden-bytes.ts';
import { goldenFrames } from './golden-messages.ts';
import { createRandom } from './samples.ts';

function decoded(bytes: Uint8Array): Frame {
  const frame = decodeFrame(bytes);
  assert.ok(frame !== undefined && frame !== 'unknown');
  return frame;
}

describe('frames', () => {
  it('header, body and payload come out as they went in', () => {
    const head = encodeFrame('request', MESSAGES.write.tag, 2 ** 40 + 5, MESSAGES.write.request, {
      handle: 3,
      offset: 2 ** 33,
    });
    const frame = decoded(Buffer.concat([head, Buffer.from('payload')]));
    assert.equal(frame.kind, 'request');
    assert.equal(frame.tag, MESSAGES.write.tag);
    assert.equal(frame.callId, 2 ** 40 + 5);
    const values = decodeFields(MESSAGES.write.request, frame.bytes, frame.bodyStart, frame.bodyEnd);
    assert.deepEqual({ ...values }, { handle: 3, offset: 2 ** 33 });
    assert.equal(Buffer.from(payloadOf(frame)).toString(), 'payload');
  });

  it('a failure carries its code, and a text that is cut to what fits', () => {
    const failure = decodeFailure(decoded(encodeFailure(44, 9, 'ENOSPC', '€'.repeat(300))));
    assert.equal(failure.code, 'ENOSPC');
    assert.match(failure.text, /^€{66}$/);
  });

  it('an error number of a newer peer counts as EIO', () => {
    const bytes = encodeFailure(44, 9, 'ENOSPC');
    bytes.writeUInt32LE(999_999, FRAME_HEADER_BYTES);
    assert.equal(decodeFailure(decoded(bytes)).code, 'EIO');
  });

  it('what breaks the layout is undefined, a kind of a newer peer is unknown', () => {
    const good = encodeEmptyFrame('cancel', 58, 1);
    assert.equal(good.length, FRAME_HEADER_BYTES);
    assert.equal(decodeFrame(good.subarray(0, FRAME_HEADER_BYTES - 1)), undefined);
    const longBody = Buffer.from(good);
    longBody.writeUInt32LE(1, 11);
    assert.equal(decodeFrame(longBody), undefined);
    const bigId = Buffer.from(good);
    bigId.writeUInt32LE(0x20_0000, 7);
    assert.equal(decodeFrame(bigId), undefined);
    const newer = Buffer.from(good);
    newer[0] = Object.keys(FRAME_KINDS).length;
    assert.equal(decodeFrame(newer), 'unknown');
    assert.equal(decodeFrame(Buffer.alloc(LIMITS.frameBytes + 1)), undefined);
    assert.notEqual(decodeFrame(Buffer.alloc(LIMITS.frameBytes)), undefined);
  });

  it('the numbers of the kinds are their places', () => {
    assert.deepEqual(
      Object.values(FRAME_KINDS).map((kind) => kind.number),
      Object.keys(FRAME_KINDS).map((_, place) => place),
    );
  });

  it('junk never throws anything but PROTOCOL', () => {
    const random = createRandom(5);
    for (let round = 0; round < 20_000; round++) {
      const bytes = Buffer.from(Uint8Array.from({ length: Math.floor(random() * 60) }, () => random() * 256));
      if (bytes.length > FRAME_HEADER_BYTES) {
        bytes[0] = Math.floor(random() * 7);
        bytes.fill(0, 9, 15);
        bytes[11] = Math.floor(random() * 40);
      }
      const frame = decodeFrame(bytes);
      if (frame === undefined || frame === 'unknown') continue;
      try {
        decodeFailure(frame);
      } catch (error) {
        assert.ok(error instanceof PeerfsError && error.code === 'PROTOCOL');
      }
    }
  });
});

describe('golden bytes', () => {
  it('the bytes of every message are what they were', () => {
    const now = goldenFrames();
    for (const [name, hex] of Object.entries(GOLDEN)) assert.equal(now[name], hex, name);
    for (const name of Object.keys(now)) assert.ok(name in GOLDEN, `${name} is not in golden-bytes.ts: add its line`);
  });

  it('golden bytes decode', () => {
    const frames = goldenFrames();
    for (const [name, message] of Object.entries(MESSAGES) as [string, Message][]) {
      const sides: [string, Fields][] =
        message.kind === 'push'
          ? [['push', message.request]]
          : [
              ['request', message.request],
              ['reply', message.reply],
            ];
      for (const [side, fields] of sides) {
        const frame = decoded(Buffer.from(frames[`${name} ${side}`] ?? '', 'hex'));
        decodeFields(fields, frame.bytes, frame.bodyStart, frame.bodyEnd);
      }
    }
  });
});
