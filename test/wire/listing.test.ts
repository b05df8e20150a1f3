import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ByteString } from '../../src/bytestring.ts';
import { PeerfsError } from '../../src/errors.ts';
import { ListingReader, ListingWriter, MAX_RECORD_BYTES } from '../../src/wire/listing.ts';
import { ATTRIBUTES, LIMITS, type Attributes, type DirectoryEntry } from '../../src/wire/schema.ts';
import { decodeStruct, encodeStruct } from '../../src/wire/codec.ts';
import { createRandom, sampleValues } from './samples.ts';

const ORDINARY: Attributes = {
  inode: 77_001n,
  device: (8n << 32n) | 1n,
  mode: 0o100644,
  nlink: 1,
  uid: 1000,
  gid: 1000,
  size: 4096,
  blocks: 8,
  blksize: 4096,
  atimeSec: 1_763_000_000,
  atimeNsec: 1,
  mtimeSec: 1_763_000_000,
  mtimeNsec: 123_456_789,
  ctimeSec: 1_763_000_000,
  ctimeNsec: 123_456_789,
  birthSec: 1_763_000_000,
  birthNsec: 0,
  flags: 0,
};
const entry = (name: string, cursor: bigint, change: Partial<Attributes> = {}): DirectoryEntry => ({
  name: name as ByteString,
  cursor,
  attributes: { ...ORDINARY, ...change },
});

function pageOf(entries: readonly DirectoryEntry[], maxBytes: number = LIMITS.pieceBytes): Uint8Array {
  const writer = new ListingWriter(maxBytes);
  writer.begin(maxBytes);
  for (const one of entries) assert.ok(writer.add(one));
  return writer.page();
}

/** With the limits of the times, which a page keeps within 2^50 seconds. */
function sampleAttributes(random: () => number): Attributes {
  const attributes = sampleValues(ATTRIBUTES.fields, random) as unknown as Attributes;
  const near = (sec: number) => sec % 2 ** 49;
  return {
    ...attributes,
    atimeSec: near(attributes.atimeSec),
    mtimeSec: near(attributes.mtimeSec),
    ctimeSec: near(attributes.ctimeSec),
    birthSec: near(attributes.birthSec),
  };
}

describe('listing: what goes in comes out', () => {
  it('for seeded values, in any mixture with what is like the entry before', () => {
    const random = createRandom(11);
    let before = sampleAttributes(random);
    const entries = Array.from({ length: 2000 }, (_, index): DirectoryEntry => {
      const other = sampleAttributes(random);
      const mixed = Object.fromEntries(
        Object.keys(ATTRIBUTES.fields).map((key) => {
          const field = key as keyof Attributes;
          return [field, random() < 0.3 ? other[field] : before[field]];
        }),
      ) as unknown as Attributes;
      before = mixed;
      const wide = BigInt(Math.floor(random() * 2 ** 32)) << 31n;
      return {
        name: `n-\xe4-${index}` as ByteString,
        cursor: random() < 0.5 ? BigInt(index) : wide,
        attributes: mixed,
      };
    });
    const reader = new ListingReader(pageOf(entries, 1024 * 1024), entries.length);
    assert.deepEqual(reader.read(7), entries.slice(0, 7));
    assert.equal(reader.left, 1993);
    assert.deepEqual(reader.read(5000), entries.slice(7));
    assert.deepEqual(reader.read(1), []);
  });

  it('for the edges of each number', () => {
    const most = 2n ** 64n - 1n;
    const entries = [
      entry('a', 1n),
      entry('b', most, { inode: most, device: most, size: Number.MAX_SAFE_INTEGER, blocks: Number.MAX_SAFE_INTEGER }),
      entry('c', most - 0xffff_ffffn, { inode: most - 0xffff_ffffn, uid: 0xffff_ffff, mode: 0xffff_ffff }),
      entry('d', 2n ** 53n, { inode: 2n ** 53n - 1n, atimeSec: 2 ** 50, mtimeSec: -(2 ** 50), ctimeNsec: 999_999_999 }),
      entry('e', 0n, { inode: 0n, atimeSec: -(2 ** 50), mtimeSec: 2 ** 50, birthSec: -1, birthNsec: 5 }),
      entry('x'.repeat(255), 2n ** 63n, { inode: 2n ** 32n, flags: 0xffff_ffff }),
    ];
    assert.deepEqual(new ListingReader(pageOf(entries), entries.length).read(99), entries);
  });

  it('times further away than any file system keeps are told as the farthest', () => {
    const far = new ListingReader(pageOf([entry('a', 1n, { mtimeSec: Number.MAX_SAFE_INTEGER })]), 1).read(1);
    assert.equal(far[0]?.attributes.mtimeSec, 2 ** 50);
  });
});

describe('listing: pages', () => {
  it('one behind the other are a page', () => {
    const first = [entry('a', 1n), entry('b', 2n)];
    const second = [entry('c', 3n), entry('d', 4n)];
    const both = Buffer.concat([pageOf(first), pageOf(second)]);
    assert.deepEqual(new ListingReader(both, 4).read(4), [...first, ...second]);
  });

  it('take no more entries than they have room for, and always one', () => {
    const writer = new ListingWriter(1000);
    writer.begin(1);
    assert.ok(writer.add(entry('x'.repeat(255), 1n)));
    assert.ok(!writer.add(entry('y', 2n)));
    assert.equal(writer.count, 1);
    writer.begin(300);
    assert.equal(writer.count, 0);
    let count = 0;
    while (writer.add(entry(`file-${count}`, BigInt(count), { size: count * 1000 }))) count++;
    assert.ok(writer.page().length <= 300 && count > 5, String(count));
    assert.equal(new ListingReader(writer.page(), count).read(99).length, count);
  });

  it('the largest record is within its bound', () => {
    const most = 2n ** 64n - 1n;
    const huge = {
      inode: most,
      device: most,
      size: Number.MAX_SAFE_INTEGER,
      blocks: Number.MAX_SAFE_INTEGER,
      mode: 0xffff_ffff,
      atimeSec: 2 ** 50,
      mtimeSec: -(2 ** 50),
    };
    assert.ok(pageOf([entry('x'.repeat(255), most, huge)]).length <= MAX_RECORD_BYTES);
  });

  it('of ordinary files are less than half as long as structs', () => {
    const entries = Array.from({ length: 1000 }, (_, index) =>
      entry(`picture-${index}.jpeg`, BigInt(index + 2), {
        inode: 77_001n + BigInt(index),
        size: 2_000_000 + index * 1237,
        blocks: 4000 + index,
        mtimeSec: 1_763_000_000 + index * 37,
        ctimeNsec: index * 77_777,
      }),
    );
    const structs = encodeStruct({ name: '', doc: '', fields: ATTRIBUTES.fields }, ORDINARY).length * entries.length;
    assert.ok(pageOf(entries).length * 2 < structs, String(pageOf(entries).length / entries.length));
    assert.ok(decodeStruct({ name: '', doc: '', fields: ATTRIBUTES.fields }, encodeStruct(ATTRIBUTES, ORDINARY)));
  });
});

describe('listing: bytes that break a rule', () => {
  const refused = (bytes: Uint8Array, count = 1) =>
    assert.throws(
      () => new ListingReader(bytes, count).read(count),
      (error: unknown) => error instanceof PeerfsError && error.code === 'PROTOCOL',
    );

  it('are refused: every cut, names that are none, differences out of range', () => {
    const whole = pageOf([entry('name', 2n ** 40n, { inode: 2n ** 40n })]);
    for (let length = 0; length < whole.length; length++) refused(whole.subarray(0, length));
    refused(whole, 2);
    for (const name of ['', '.', '..', 'a/b', 'a\0']) {
      const at = Buffer.from([0, 0x80, name.length, ...Buffer.from(name, 'latin1'), 0, 0]);
      refused(at);
    }
    // Below 0, above 32 bits, longer than any number, above 2^53 - 1.
    for (const cursor of ['01', '8080808020', 'ffffffffffffffff01', 'ffffffffffffff7f']) {
      refused(Buffer.concat([Buffer.from([0, 0x80, 1, 0x61]), Buffer.from(cursor, 'hex'), Buffer.alloc(9)]));
    }
  });

  it('or are read as something, whatever they are', () => {
    const random = createRandom(5);
    const pick = (limit: number) => Math.floor(random() * limit);
    const good = pageOf([entry('one', 1n), entry('two', 2n, { size: 2 ** 40 }), entry('three', 2n ** 60n)]);
    let failed = 0;
    for (let round = 0; round < 20_000; round++) {
      const bytes = Buffer.from(good);
      for (let flips = 1 + pick(3); flips > 0; flips--) bytes[pick(bytes.length)] = pick(256);
      try {
        new ListingReader(bytes.subarray(0, pick(3) === 0 ? pick(bytes.length) : bytes.length), 3).read(3);
      } catch (error) {
        failed += 1;
        assert.ok(error instanceof PeerfsError && error.code === 'PROTOCOL', String(error));
      }
    }
    assert.ok(failed > 1000 && failed < 19_500, `${failed} refused`);
  });
});

describe('listing: speed', () => {
  it('thousands of entries are written and read in milliseconds', (t) => {
    const entries = Array.from({ length: 4096 }, (_, index) =>
      entry(`file-${index}.txt`, BigInt(index + 2), {
        inode: 900n + BigInt(index),
        mtimeNsec: index * 1000,
        size: index,
      }),
    );
    const rounds = 20;
    const writer = new ListingWriter(LIMITS.pieceBytes);
    const write = () => {
      writer.begin(LIMITS.pieceBytes);
      for (const one of entries) writer.add(one);
      return writer.page();
    };
    const page = write();
    const started = performance.now();
    for (let i = 0; i < rounds; i++) write();
    const written = performance.now();
    for (let i = 0; i < rounds; i++) new ListingReader(page, entries.length).read(entries.length);
    const read = performance.now();
    const rate = (ms: number) => Math.round((rounds * entries.length) / (ms / 1000));
    t.diagnostic(`${rate(written - started)} entries/s written, ${rate(read - written)} read, ${page.length} bytes`);
    assert.ok(read - started < 5000);
  });
});
