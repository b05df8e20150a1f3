import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { PeerfsError } from '../../src/errors.ts';
import { decodeFields, encodeFields } from '../../src/wire/codec.ts';
import { ATTRIBUTES, MESSAGES, READ_FILE, SHARE_INFO } from '../../src/wire/schema.ts';
import type { Fields, FieldType, Message } from '../../src/wire/types.ts';
import { createRandom, sampleValues, STRANGE_PATH } from './samples.ts';

const one = (type: FieldType, limit?: number): Fields => ({
  value: limit === undefined ? { type, doc: '' } : { type, doc: '', limit },
});
const encodeOne = (type: FieldType, value: unknown, limit?: number) =>
  encodeFields(one(type, limit), { value: value as never });
const decodeOne = (type: FieldType, hex: string, limit?: number) =>
  decodeFields(one(type, limit), Buffer.from(hex, 'hex')).value as unknown;
const code = (expected: string) => (error: unknown) => error instanceof PeerfsError && error.code === expected;

/** Every field set of the protocol. */
const FIELD_SETS: readonly (readonly [string, Fields])[] = [
  ...Object.entries(MESSAGES).flatMap(([name, message]: [string, Message]) => [
    [`${name} request`, message.request] as const,
    [`${name} reply`, message.reply] as const,
  ]),
  ...[ATTRIBUTES, READ_FILE, SHARE_INFO].map((struct) => [struct.name, struct.fields] as const),
];

describe('codec: what goes in comes out', () => {
  it('for every field set of the protocol, with seeded values', () => {
    const random = createRandom(1);
    for (const [name, fields] of FIELD_SETS) {
      for (let round = 0; round < 50; round++) {
        const values = sampleValues(fields, random);
        const bytes = encodeFields(fields, values);
        const again = decodeFields(fields, bytes);
        assert.deepEqual(encodeFields(fields, again), bytes, name);
        assert.deepEqual(Object.keys(again), Object.keys(values));
      }
    }
  });

  it('for the edges of each integer type', () => {
    const edges: readonly [FieldType, unknown, string][] = [
      ['u8', 255, 'ff'],
      ['u16', 0xfffe, 'feff'],
      ['u32', 0xffff_fffe, 'feffffff'],
      ['u64', 0, '0000000000000000'],
      ['u64', 2 ** 32, '0000000001000000'],
      ['u64', Number.MAX_SAFE_INTEGER, 'ffffffffffff1f00'],
      ['i64', -1, 'ffffffffffffffff'],
      ['i64', Number.MAX_SAFE_INTEGER, 'ffffffffffff1f00'],
      ['i64', Number.MIN_SAFE_INTEGER, '010000000000e0ff'],
      ['i64', -(2 ** 32), '00000000ffffffff'],
      ['id64', 2n ** 64n - 1n, 'ffffffffffffffff'],
      ['bool', true, '01'],
      ['bool', false, '00'],
    ];
    for (const [type, value, hex] of edges) {
      assert.equal(encodeOne(type, value).toString('hex'), hex);
      assert.equal(decodeOne(type, hex), value);
    }
  });

  it('for names and paths that are not UTF-8, and names of 255 bytes', () => {
    const long = 'x'.repeat(254) + '\xff';
    assert.equal(decodeOne({ name: 255 }, encodeOne({ name: 255 }, long).toString('hex')), long);
    assert.equal(decodeOne({ path: 4095 }, encodeOne({ path: 4095 }, STRANGE_PATH).toString('hex')), STRANGE_PATH);
    assert.equal(decodeOne({ path: 4095 }, '0000'), '');
  });

  it('with room left in front for a header', () => {
    const bytes = encodeFields(one('u8'), { value: 7 }, 3);
    assert.equal(bytes.length, 4);
    assert.equal(bytes[3], 7);
  });

  it('with byte fields as views, not copies', () => {
    const bytes = encodeOne({ bytes: 10 }, Uint8Array.of(1, 2, 3));
    const value = decodeFields(one({ bytes: 10 }), bytes).value as unknown as Uint8Array;
    assert.equal(value.buffer, bytes.buffer);
  });
});

describe('codec: what breaks a rule is refused', () => {
  const malformed: readonly [string, FieldType, string, number?][] = [
    ['an integer cut short', 'u32', '010203'],
    ['an integer above its limit', 'u32', '09000000', 8],
    ['a u64 above 2^53 - 1', 'u64', '0000000000002000'],
    ['an i64 above 2^53 - 1', 'i64', '0000000000002000'],
    ['an i64 below -(2^53 - 1)', 'i64', '000000000000e0ff'],
    ['a bool of 2', 'bool', '02'],
    ['bytes longer than the frame', { bytes: 100 }, '05000000aabb'],
    ['bytes of 4 GiB', { bytes: 100 }, 'ffffffff'],
    ['bytes above the limit', { bytes: 1 }, '02000000aabb'],
    ['an empty name', { name: 255 }, '0000'],
    ['a name with a slash', { name: 255 }, '0300612f62'],
    ['a name with NUL', { name: 255 }, '0300610062'],
    ['the name ..', { name: 255 }, '02002e2e'],
    ['a name of 256 bytes', { name: 255 }, `0001${'61'.repeat(256)}`],
    ['an absolute path', { path: 4095 }, '02002f61'],
    ['a path with ..', { path: 4095 }, '0400612f2e2e'],
    ['a path with an empty name', { path: 4095 }, '0400612f2f62'],
    ['a path that ends in a slash', { path: 4095 }, '0200612f'],
    ['an empty attribute name', { name: 255, rule: 'opaque' }, '0000'],
    ['a text that is not UTF-8', { text: 10 }, '0200c328'],
    ['a text cut short', { text: 10 }, '0500616263'],
    ['a list longer than its bytes', { list: SHARE_INFO, max: 1000 }, 'e8030000aabbcc'],
    ['a list above its limit', { list: { name: 'S', doc: '', fields: {} }, max: 2 }, '03000000000000000000'],
    ['a struct longer than its frame', { struct: SHARE_INFO }, 'ffff00'],
  ];
  for (const [what, type, hex, limit] of malformed) {
    it(`${what} is PROTOCOL`, () => assert.throws(() => decodeOne(type, hex, limit), code('PROTOCOL')));
  }

  it('a value that cannot be sent has the POSIX code that says why', () => {
    assert.throws(() => encodeOne('u32', -1), code('EOVERFLOW'));
    assert.throws(() => encodeOne('u32', 2 ** 32), code('EOVERFLOW'));
    assert.throws(() => encodeOne('u64', 2 ** 53), code('EOVERFLOW'));
    assert.throws(() => encodeOne('u32', 1.5), code('EOVERFLOW'));
    assert.throws(() => encodeOne('u32', Number.NaN), code('EOVERFLOW'));
    assert.throws(() => encodeOne('id64', -1n), code('EOVERFLOW'));
    assert.throws(() => encodeOne({ name: 255 }, 'x'.repeat(256)), code('ENAMETOOLONG'));
    assert.throws(() => encodeOne({ name: 255 }, '..'), code('EINVAL'));
    assert.throws(() => encodeOne({ path: 4095 }, 'a//b'), code('EINVAL'));
    assert.throws(() => encodeOne({ bytes: 2 }, Uint8Array.of(1, 2, 3)), code('E2BIG'));
    assert.throws(() => encodeOne('bool', 1), code('EINVAL'));
  });

  it('the empty name and attribute names with slashes pass where the field says so', () => {
    assert.equal(decodeOne({ name: 255, rule: 'nameOrEmpty' }, '0000'), '');
    assert.equal(decodeOne({ name: 255, rule: 'opaque' }, '0300612f62'), 'a/b');
  });
});

describe('codec: peers of other versions', () => {
  const older: Fields = { a: { type: 'u8', doc: '' } };
  const newer: Fields = {
    a: { type: 'u8', doc: '' },
    b: { type: 'u16', doc: '', default: 9 },
    c: { type: { text: 10 }, doc: '', default: 'none' },
  };

  it('fields of a newer peer are skipped', () => {
    const bytes = encodeFields(newer, { a: 1, b: 2, c: 'x' });
    assert.deepEqual({ ...decodeFields(older, bytes) }, { a: 1 });
  });

  it('fields that an older peer did not send have their defaults', () => {
    assert.deepEqual({ ...decodeFields(newer, encodeFields(older, { a: 1 })) }, { a: 1, b: 9, c: 'none' });
  });

  it('a field that is cut in the middle is malformed even if it has a default', () => {
    assert.throws(() => decodeFields(newer, Buffer.from('0102', 'hex')), code('PROTOCOL'));
  });

  it('structs inside lists grow and shrink the same way', () => {
    const olderList = one({ list: { name: 'E', doc: '', fields: older }, max: 9 });
    const newerList = one({ list: { name: 'E', doc: '', fields: newer }, max: 9 });
    const long = encodeFields(newerList, {
      value: [
        { a: 1, b: 2, c: 'x' },
        { a: 3, b: 4, c: 'y' },
      ],
    });
    const short = encodeFields(olderList, { value: [{ a: 1 }, { a: 3 }] });
    const plain = (value: unknown) => JSON.parse(JSON.stringify(value)) as unknown;
    assert.deepEqual(plain(decodeFields(olderList, long)), { value: [{ a: 1 }, { a: 3 }] });
    assert.deepEqual(plain(decodeFields(newerList, short)), {
      value: [
        { a: 1, b: 9, c: 'none' },
        { a: 3, b: 9, c: 'none' },
      ],
    });
  });
});

describe('codec: junk', () => {
  it('20,000 mutations of real messages give values or PROTOCOL, and nothing else', () => {
    const random = createRandom(20_000);
    const pick = (limit: number) => Math.floor(random() * limit);
    let refused = 0;
    for (let round = 0; round < 20_000; round++) {
      const [name, fields] = FIELD_SETS[pick(FIELD_SETS.length)] ?? ['', {}];
      let bytes: Buffer = encodeFields(fields, sampleValues(fields, random));
      for (let flips = 1 + pick(4); flips > 0 && bytes.length > 0; flips--) {
        const kind = pick(4);
        const at = pick(bytes.length);
        if (kind === 0) bytes = bytes.subarray(0, at);
        else if (kind === 1) bytes = Buffer.concat([bytes, Buffer.alloc(pick(9), pick(256))]);
        else bytes[at] = kind === 2 ? 0xff : pick(256);
      }
      try {
        decodeFields(fields, bytes);
      } catch (error) {
        refused += 1;
        assert.ok(error instanceof PeerfsError && error.code === 'PROTOCOL', `${name}: ${String(error)}`);
      }
    }
    assert.ok(refused > 2000 && refused < 19_000, `${refused} refused`);
  });

  it('no length in the bytes makes the decoder allocate more than they hold', () => {
    const fields = one({ list: READ_FILE, max: 0xffff_ffff });
    const before = process.memoryUsage().heapUsed;
    for (let round = 0; round < 1000; round++) {
      assert.throws(() => decodeFields(fields, Buffer.from('ffffffff00000000', 'hex')), code('PROTOCOL'));
    }
    assert.ok(process.memoryUsage().heapUsed - before < 64 * 1024 * 1024);
  });
});

describe('codec: speed', () => {
  it('thousands of structs encode and decode in milliseconds', (t) => {
    const random = createRandom(3);
    const fields = one({ list: READ_FILE, max: 4096 });
    const values = { value: Array.from({ length: 4096 }, () => sampleValues(READ_FILE.fields, random)) } as never;
    let bytes = encodeFields(fields, values);
    const rounds = 10;
    const started = performance.now();
    for (let i = 0; i < rounds; i++) bytes = encodeFields(fields, values);
    const encoded = performance.now();
    for (let i = 0; i < rounds; i++) decodeFields(fields, bytes);
    const decoded = performance.now();
    const rate = (ms: number) => Math.round((rounds * 4096) / (ms / 1000));
    t.diagnostic(`${rate(encoded - started)} structs/s encoded, ${rate(decoded - encoded)} decoded`);
    assert.ok(decoded - started < 5000);
  });
});
