import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import {
  helperRank,
  hourOf,
  MEETING_SIGNAL_BYTES,
  meetingPlace,
  openSignal,
  PLACE_BYTES,
  placeOf,
  placesAround,
  SEALED_SIGNAL_BYTES,
  sealSignal,
  signAtPlace,
  untilNextHourMs,
  verifyAtPlace,
} from '../../src/crypto/meeting.ts';
import { SIGNAL_BYTES } from '../../src/wire/candidate.ts';

const HOUR_MS = 3_600_000;
const HOUR = 472_222;
const secret = Buffer.alloc(32, 7);

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

test('both nodes make the same place from the secret; it stays the same for ever', () => {
  const one = meetingPlace(secret, 0, HOUR);
  const other = meetingPlace(Uint8Array.from(secret), 0, HOUR);
  assert.deepEqual(one, other);
  assert.equal(one.hour, HOUR);
  assert.equal(one.place.length, PLACE_BYTES);
  assert.equal(hex(one.place), hex(placeOf(one.publicKey)));
  assert.equal(hex(one.publicKey), '43dcf43e5c8909d1f88bfa3f441b19114e5460ad85ae22041f0d825be50401cf');
  assert.equal(hex(one.sealKey), '9416ab4868b6e3e12a06ff7cb93eb17ecba562e7d0019a86065de28b8c3aecc2');
  assert.equal(hex(one.place), 'c3202bb2bd63008124c9611f224c2adb8e12861d8a91cb9b505744caca4c33c1');
});

test('every hour, side and secret has keys of its own, and a token serves as a secret', () => {
  const places = [
    meetingPlace(secret, 0, HOUR),
    meetingPlace(secret, 1, HOUR),
    meetingPlace(secret, 0, HOUR + 1),
    meetingPlace(Buffer.alloc(32, 8), 0, HOUR),
    meetingPlace(Buffer.alloc(16, 7), 0, HOUR),
  ];
  const keys = places.flatMap(({ place, publicKey, secretKey, sealKey }) => [place, publicKey, secretKey, sealKey]);
  assert.equal(new Set(keys.map(hex)).size, places.length * 4);
});

test('a sealed signal has one length, other bytes each time, and opens at its place', () => {
  const place = meetingPlace(secret, 1, HOUR);
  for (const length of [0, 1, 100, MEETING_SIGNAL_BYTES - 1, MEETING_SIGNAL_BYTES]) {
    const signal = randomBytes(length);
    const sealed = sealSignal(place, signal);
    assert.equal(sealed.length, SEALED_SIGNAL_BYTES);
    assert.notDeepEqual(sealed, sealSignal(place, signal));
    assert.deepEqual(Buffer.from(openSignal(place, sealed) ?? 'none'), signal);
  }
});

test('a place takes every signal there is, and what is stored stays under 1,000 bytes', () => {
  assert.equal(MEETING_SIGNAL_BYTES, SIGNAL_BYTES);
  assert.ok(`${SEALED_SIGNAL_BYTES}:`.length + SEALED_SIGNAL_BYTES < 1000);
  assert.throws(() => sealSignal(meetingPlace(secret, 0, HOUR), Buffer.alloc(MEETING_SIGNAL_BYTES + 1)), RangeError);
});

test('what was sealed for another hour or side, changed, cut or lengthened does not open', () => {
  const place = meetingPlace(secret, 0, HOUR);
  const sealed = Buffer.from(sealSignal(place, Buffer.from('here')));
  assert.equal(openSignal(meetingPlace(secret, 1, HOUR), sealed), undefined);
  assert.equal(openSignal(meetingPlace(secret, 0, HOUR + 1), sealed), undefined);
  for (const at of [0, 23, 24, 500, SEALED_SIGNAL_BYTES - 1]) {
    const changed = Buffer.from(sealed);
    changed.writeUInt8(changed.readUInt8(at) ^ 1, at);
    assert.equal(openSignal(place, changed), undefined);
  }
  for (const length of [0, 1, 41, SEALED_SIGNAL_BYTES - 1]) {
    assert.equal(openSignal(place, sealed.subarray(0, length)), undefined);
  }
  assert.equal(openSignal(place, Buffer.concat([sealed, Buffer.alloc(1)])), undefined);
});

test('signatures are checked against the place, and nonsense is no signature', () => {
  const place = meetingPlace(secret, 0, HOUR);
  const bytes = randomBytes(200);
  const signature = signAtPlace(place, bytes);
  assert.equal(verifyAtPlace(place.publicKey, bytes, signature), true);
  assert.equal(verifyAtPlace(place.publicKey, randomBytes(200), signature), false);
  assert.equal(verifyAtPlace(meetingPlace(secret, 1, HOUR).publicKey, bytes, signature), false);
  assert.equal(verifyAtPlace(place.publicKey, bytes, signature.subarray(1)), false);
  assert.equal(verifyAtPlace(place.publicKey.subarray(1), bytes, signature), false);
  assert.equal(verifyAtPlace(Buffer.alloc(32), bytes, Buffer.alloc(64)), false);
});

test('hours around: clocks up to an hour apart share the place that either publishes to', () => {
  const now = HOUR * HOUR_MS;
  assert.deepEqual(placesAround(now), [HOUR, HOUR - 1, HOUR + 1]);
  assert.deepEqual(placesAround(now + HOUR_MS - 1), [HOUR, HOUR - 1, HOUR + 1]);
  assert.deepEqual(placesAround(now + HOUR_MS), [HOUR + 1, HOUR, HOUR + 2]);
  assert.deepEqual(placesAround(0), [0, 1]);
  for (let skewMs = -HOUR_MS; skewMs <= HOUR_MS; skewMs += 60_000) {
    for (let minute = 0; minute < 60; minute += 7) {
      const at = now + minute * 60_000;
      assert.ok(placesAround(at).includes(hourOf(at + skewMs)));
    }
  }
});

test('the turn of the hour is always ahead', () => {
  assert.equal(untilNextHourMs(HOUR * HOUR_MS), HOUR_MS);
  assert.equal(untilNextHourMs(HOUR * HOUR_MS + 1), HOUR_MS - 1);
  assert.equal(untilNextHourMs(HOUR * HOUR_MS - 1), 1);
});

test('both prefer the same helpers, other pairs others', () => {
  const secrets = [randomBytes(32), randomBytes(16)];
  const helpers = Array.from({ length: 20 }, (_, i) => `helper-${i}`);
  const orders = secrets.map((one) => {
    const rank = (helper: string): number => helperRank(Uint8Array.from(one), helper);
    assert.ok(helpers.every((helper) => Number.isSafeInteger(rank(helper)) && rank(helper) >= 0));
    assert.deepEqual(helpers.map(rank), helpers.map(rank));
    return helpers.toSorted((a, b) => rank(a) - rank(b)).join();
  });
  assert.notEqual(orders[0], orders[1]);
});
