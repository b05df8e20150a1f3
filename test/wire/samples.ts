/** Seeded randomness, and legal values for any field set: what the tests of src/wire are made of. */
import { fromText } from '../../src/bytestring.ts';
import type { Fields, FieldType } from '../../src/wire/types.ts';

/** Numbers from 0 to below 1; the same for the same seed (mulberry32). */
export function createRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

function below(random: () => number, limit: number): number {
  return Math.floor(random() * limit);
}

function bytes(random: () => number, length: number): Uint8Array {
  return Uint8Array.from({ length }, () => below(random, 256));
}

function name(random: () => number, most: number): string {
  return Buffer.from(Uint8Array.from({ length: 1 + below(random, most) }, () => 0x61 + below(random, 150))).toString(
    'latin1',
  );
}

function value(type: FieldType, limit: number, random: () => number): unknown {
  const edge = random();
  const integer = (most: number) => (edge < 0.1 ? 0 : edge < 0.2 ? most : below(random, most + 1));
  switch (type) {
    case 'u8':
      return integer(Math.min(limit, 0xff));
    case 'u16':
      return integer(Math.min(limit, 0xffff));
    case 'u32':
      return integer(Math.min(limit, 0xffff_ffff));
    case 'u64':
      return integer(Math.min(limit, Number.MAX_SAFE_INTEGER));
    case 'i64':
      return integer(Number.MAX_SAFE_INTEGER) * (random() < 0.5 ? 1 : -1) || 0;
    case 'id64':
      return (BigInt(below(random, 2 ** 32)) << 32n) | BigInt(below(random, 2 ** 32));
    case 'bool':
      return random() < 0.5;
    default:
      if ('fixed' in type) return bytes(random, type.fixed);
      if ('bytes' in type) return bytes(random, below(random, Math.min(type.bytes, 40) + 1));
      if ('name' in type) return name(random, Math.min(type.name, 40));
      if ('path' in type) {
        return Array.from({ length: below(random, 4) }, () => name(random, 30)).join('/');
      }
      if ('text' in type) return 'aä€𐍈'.slice(0, below(random, 5));
      if ('list' in type) {
        return Array.from({ length: below(random, Math.min(type.max, 4)) }, () =>
          sampleValues(type.list.fields, random),
        );
      }
      return sampleValues(type.struct.fields, random);
  }
}

/** Legal values, edges included now and then. */
export function sampleValues(fields: Fields, random: () => number): Record<string, never> {
  return Object.fromEntries(
    Object.entries(fields).map(([key, field]) => [key, value(field.type, field.limit ?? Infinity, random)]),
  ) as Record<string, never>;
}

/** A path whose bytes are not UTF-8. */
export const STRANGE_PATH = `${fromText('ä')}/\xff\xfe` as ReturnType<typeof fromText>;
