/**
 * Fields of messages as bytes, legal or not: made beside the codec, which refuses to write what breaks a rule. Every type at
 * its limits and beyond them; lengths that lie; names that lead elsewhere.
 */
import type { Field, Fields, FieldType } from '../../src/wire/types.ts';

/** What makes choices, and what the node is known to have. */
export interface Choices {
  /** 0 to below 1. */
  readonly random: () => number;
  /** Probability that a field breaks its rule. */
  readonly wild: number;
  /** Handles and shares that are good, as far as is known. */
  readonly handles: readonly number[];
  readonly shares: readonly number[];
}

const U32_MAX = 0xffff_ffff;
/** Longest value of bytes that is made as often as short ones; longer ones are rare. */
const SHORT_BYTES = 64;
/** Of `SHARE`'s tree and of what is made in it. */
export const NAMES = ['a', 'b', 'c', 'file', 'link', 'directory', 'ä\n\x1b[2J', '\xff\xfe', 'n'.repeat(255)];
const NO_NAMES = ['', '.', '..', 'a/b', '/', '\0', 'a\0b', 'n'.repeat(256)];
const NO_PATHS = ['/', '/etc/passwd', '..', 'a/..', '../a', 'a//b', 'a/', './a', 'a\0', 'n/'.repeat(2047) + 'n'];
/** Of `open` and `createFile`: what opens, what makes, what both. Other numbers mostly mean nothing. */
const OPEN_FLAGS = [1, 2, 3, 11, 15, 27, 43, 67, 131];
const ATTRIBUTE_NAMES = ['user.a', 'user.b', 'user.' + 'n'.repeat(250), 'trusted.a', 'security.capability', 'a'];

export function below(random: () => number, limit: number): number {
  return Math.floor(random() * limit);
}

export function pick<T>(random: () => number, from: readonly T[], otherwise: T): T {
  return from[below(random, from.length)] ?? otherwise;
}

function unsigned(bytes: number, value: bigint): Buffer {
  const out = Buffer.alloc(8);
  out.writeBigUInt64LE(BigInt.asUintN(64, value));
  return out.subarray(0, bytes);
}

/** Any of the values around 0, around the limit, at the type's end, and what lies between. */
function integer(bytes: number, limit: bigint, { random, wild }: Choices): Buffer {
  const most = (1n << BigInt(8 * bytes)) - 1n;
  const end = limit < most ? limit : most;
  const legal = [0n, 1n, end - 1n, end, BigInt(below(random, 65_536)) % (end + 1n), BigInt(below(random, 64))];
  const other = [end + 1n, most, 1n << BigInt(8 * bytes - 1), most - 1n];
  return unsigned(bytes, pick(random, random() < wild ? other : legal, 0n));
}

function withLength(bytes: number, body: Buffer, { random, wild }: Choices): Buffer {
  const lie = [0, body.length + 1, body.length - 1, 2 ** (8 * bytes) - 1];
  const said = random() < wild / 4 ? pick(random, lie, 0) : body.length;
  return Buffer.concat([unsigned(bytes, BigInt(Math.max(0, said))), body]);
}

function path(choices: Choices): Buffer {
  const { random, wild } = choices;
  if (random() < wild) return Buffer.from(pick(random, NO_PATHS, '/'), 'latin1');
  const depth = pick(random, [0, 1, 1, 1, 2, 3], 1);
  const names = Array.from({ length: depth }, () => pick(random, NAMES, 'a'));
  if (depth > 1 && random() < 0.7) names[0] = 'directory';
  return Buffer.from(names.join('/'), 'latin1');
}

function bytesOfLength(most: number, { random, wild }: Choices): Buffer {
  const rare = random() < 0.02;
  const length = random() < wild ? most + 1 : rare ? most : below(random, Math.min(most, SHORT_BYTES) + 1);
  // The same bytes over and over: making random ones would cost more than all else here.
  return Buffer.alloc(length, below(random, 256));
}

function list(fields: Fields, max: number, choices: Choices): Buffer {
  const { random, wild } = choices;
  const count = random() < 0.02 ? max : below(random, Math.min(max, 4) + 1);
  const elements = Array.from({ length: count }, () => withLength(2, wildFields(fields, choices), choices));
  const said = random() < wild ? pick(random, [max, max + 1, count + 1, U32_MAX], 0) : count;
  return Buffer.concat([unsigned(4, BigInt(said)), ...elements]);
}

function typed(type: FieldType, limit: bigint, choices: Choices): Buffer {
  const { random, wild } = choices;
  switch (type) {
    case 'u8':
      return integer(1, limit, choices);
    case 'u16':
      return integer(2, limit, choices);
    case 'u32':
      return integer(4, limit, choices);
    case 'u64':
    case 'i64':
      return integer(8, limit < 1n << 53n ? limit : (1n << 53n) - 1n, choices);
    case 'id64':
      return integer(8, limit, { ...choices, wild: 0.5 });
    case 'bool':
      return Buffer.of(random() < wild ? pick(random, [2, 255], 2) : below(random, 2));
    default:
      if ('fixed' in type) return Buffer.alloc(type.fixed, below(random, 256));
      if ('bytes' in type) return withLength(4, bytesOfLength(type.bytes, choices), choices);
      if ('path' in type) return withLength(2, path(choices), choices);
      if ('text' in type) {
        const texts = ['', 'a', 'ä€𐍈', 'x'.repeat(type.text)];
        const others = ['x'.repeat(type.text + 1), '\xff\xfe'];
        const isOther = random() < wild;
        return withLength(
          2,
          Buffer.from(pick(random, isOther ? others : texts, ''), isOther ? 'latin1' : 'utf8'),
          choices,
        );
      }
      if ('name' in type) {
        const names = type.rule === 'opaque' ? ATTRIBUTE_NAMES : NAMES;
        return withLength(2, Buffer.from(pick(random, random() < wild ? NO_NAMES : names, 'a'), 'latin1'), choices);
      }
      if ('list' in type) return list(type.list.fields, type.max, choices);
      return withLength(2, wildFields(type.struct.fields, choices), choices);
  }
}

function wildField(key: string, field: Field, choices: Choices): Buffer {
  const { random, wild, handles, shares } = choices;
  // What is good half the time gets past the first check and on to what lies behind it.
  const known = field.handle === true ? handles : key === 'share' ? shares : [];
  if (known.length > 0 && field.type === 'u32' && random() >= wild) {
    return unsigned(4, BigInt(pick(random, random() < 0.9 ? known : [0], 0)));
  }
  if (key === 'flags' && field.limit === 255 && random() < 0.8) return unsigned(4, BigInt(pick(random, OPEN_FLAGS, 1)));
  return typed(field.type, field.limit === undefined ? 1n << 64n : BigInt(field.limit), choices);
}

/** All fields, one behind the other. */
export function wildFields(fields: Fields, choices: Choices): Buffer {
  return Buffer.concat(Object.entries(fields).map(([key, field]) => wildField(key, field, choices)));
}
