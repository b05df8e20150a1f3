import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import { MEETING_SIGNAL_BYTES, meetingPlace } from '../../src/crypto/meeting.ts';
import { decodeLeftSignal, encodeLeftSignal, openLeftSignal } from '../../src/net/left-signal.ts';

describe('what is left for the other side', () => {
  const secret = randomBytes(32);
  const place = meetingPlace(secret, 0, 1000);
  const open = (value: Uint8Array, at = place): string | undefined => {
    const left = decodeLeftSignal(value);
    const signal = left === undefined ? undefined : openLeftSignal(at, left);
    return signal === undefined ? undefined : Buffer.from(signal).toString('latin1');
  };

  it('is opened by who knows the secret, and of one length', () => {
    const lengths = new Set<number>();
    for (const length of [0, 1, MEETING_SIGNAL_BYTES - 1, MEETING_SIGNAL_BYTES]) {
      const signal = randomBytes(length);
      const value = encodeLeftSignal(meetingPlace(secret, 0, 1000), 2 ** 53 - 1, signal);
      assert.equal(open(value), signal.toString('latin1'));
      assert.equal(decodeLeftSignal(value)?.sequence, 2 ** 53 - 1);
      lengths.add(value.length);
    }
    assert.deepEqual([...lengths], [1014]);
    assert.throws(() => encodeLeftSignal(place, 1, randomBytes(MEETING_SIGNAL_BYTES + 1)), RangeError);
  });

  it('is opened at no other place', () => {
    const value = encodeLeftSignal(place, 1, Buffer.from('signal'));
    assert.equal(open(value, meetingPlace(secret, 1, 1000)), undefined);
    assert.equal(open(value, meetingPlace(secret, 0, 1001)), undefined);
    assert.equal(open(value, meetingPlace(randomBytes(32), 0, 1000)), undefined);
  });

  it('is not opened when any byte is another, the number included', () => {
    const value = Buffer.from(encodeLeftSignal(place, 1, Buffer.from('signal')));
    for (let at = 0; at < value.length; at += at < 80 ? 1 : 31) {
      const changed = Buffer.from(value);
      changed.writeUInt8(changed.readUInt8(at) ^ 1, at);
      assert.equal(open(changed), undefined, `byte ${at}`);
    }
  });

  it('makes no sense when it is cut, or its number is too large', () => {
    const value = Buffer.from(encodeLeftSignal(place, 1, Buffer.from('signal')));
    for (const length of [0, 1, 7, 8, 71, 72, 1013])
      assert.equal(decodeLeftSignal(value.subarray(0, length)), undefined);
    value.fill(255, 0, 8);
    assert.equal(decodeLeftSignal(value), undefined);
  });
});
