import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import test from 'node:test';
import {
  decodeRouterResponse,
  encodeNatPmpAddress,
  encodeNatPmpMap,
  encodePcpAnnounce,
  encodePcpMap,
} from '../../src/wire/pcp.ts';

/** Of miniupnpd 2.3.1. */
const PCP_MAP_ANSWER =
  '0281000000000e10000034f2000000000000000000000000' +
  '09386d7030eb96d14c0c06ce1100000015b315b300000000000000000000ffff0b007101';
const PCP_ANNOUNCE_ANSWER = '0280000000000000000034f2000000000000000000000000';
const NAT_PMP_ADDRESS_ANSWER = '00800000000034f20b007101';
const NAT_PMP_MAP_ANSWER = '00810000000034f2115c115c00000e10';

const decode = (hex: string) => decodeRouterResponse(Buffer.from(hex, 'hex'));

test('requests are as their specifications draw them', () => {
  const nonce = Buffer.from('000102030405060708090a0b', 'hex');
  const map = encodePcpMap({
    protocol: 'udp',
    nonce,
    client: '192.168.77.2',
    internalPort: 0x1234,
    suggestedPort: 0x5678,
    lifetimeSeconds: 3600,
  });
  assert.equal(
    map.toString('hex'),
    '0201000000000e1000000000000000000000ffffc0a84d02' +
      '000102030405060708090a0b110000001234567800000000000000000000ffff00000000',
  );
  assert.equal(encodePcpAnnounce('192.168.77.2').toString('hex'), '020000000000000000000000000000000000ffffc0a84d02');
  assert.equal(encodeNatPmpAddress().toString('hex'), '0000');
  const natPmp = { protocol: 'tcp', internalPort: 0x1234, suggestedPort: 0x5678, lifetimeSeconds: 3600 } as const;
  assert.equal(encodeNatPmpMap(natPmp).toString('hex'), '000200001234567800000e10');
});

test('answers of a real router are read', () => {
  assert.deepEqual(decode(PCP_MAP_ANSWER), {
    kind: 'pcp-map',
    result: 0,
    epoch: 0x34f2,
    lifetimeSeconds: 3600,
    nonce: Uint8Array.from(Buffer.from('09386d7030eb96d14c0c06ce', 'hex')),
    protocol: 'udp',
    internalPort: 5555,
    externalPort: 5555,
    externalHost: '11.0.113.1',
  });
  assert.deepEqual(decode(PCP_ANNOUNCE_ANSWER), { kind: 'pcp-other', opcode: 0, result: 0, epoch: 0x34f2 });
  assert.deepEqual(decode(NAT_PMP_ADDRESS_ANSWER), {
    kind: 'nat-pmp-address',
    result: 0,
    epoch: 0x34f2,
    host: '11.0.113.1',
  });
  assert.deepEqual(decode(NAT_PMP_MAP_ANSWER), {
    kind: 'nat-pmp-map',
    result: 0,
    epoch: 0x34f2,
    protocol: 'udp',
    internalPort: 4444,
    externalPort: 4444,
    lifetimeSeconds: 3600,
  });
});

test('a router of NAT-PMP only says so to a version that it does not know', () => {
  assert.deepEqual(decode('0081000100000007'), { kind: 'nat-pmp-other', result: 1, epoch: 7 });
});

test('an answer cut anywhere is no success of a mapping', () => {
  for (const hex of [PCP_MAP_ANSWER, NAT_PMP_MAP_ANSWER, NAT_PMP_ADDRESS_ANSWER]) {
    const whole = Buffer.from(hex, 'hex');
    for (let length = 0; length < whole.length; length++) {
      assert.equal(decodeRouterResponse(whole.subarray(0, length)), undefined, `${length} bytes`);
    }
  }
});

test('requests, other versions, junk and what is too long are no answers', () => {
  assert.equal(decode('0001000000000e10'), undefined);
  assert.equal(decode(PCP_MAP_ANSWER.replace(/^02/, '03')), undefined);
  assert.equal(decode(PCP_MAP_ANSWER.replace(/^02/, '01')), undefined);
  assert.equal(
    decodeRouterResponse(Buffer.concat([Buffer.from(PCP_MAP_ANSWER, 'hex'), Buffer.alloc(1044)])),
    undefined,
  );
  for (let round = 0; round < 2000; round++) {
    const junk = randomBytes(round % 80);
    if (round % 2 === 0 && junk.length > 1) junk[0] = round % 4;
    assert.doesNotThrow(() => decodeRouterResponse(junk));
  }
});
