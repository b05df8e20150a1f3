/** Names that are none, or that would lead elsewhere, and where in a message names can stand: read from the protocol. */
import { decodeFields, encodeFields } from '../../src/wire/codec.ts';
import type { Field, Fields, ValuesOf } from '../../src/wire/types.ts';

/** @param outside a folder that names may try to reach. */
export function hostileNames(outside: string): readonly string[] {
  const up = '../outside';
  return [
    '..',
    '.',
    '/',
    '//',
    '../',
    '..//',
    './..',
    '...//..',
    up,
    `${up}/canary`,
    'a/../b',
    'd/..',
    'd/../..',
    `d/../../outside/canary`,
    `d/f/../../${up}/canary`,
    `./${up}`,
    'd/./f',
    'd//f',
    '/d/f',
    'd/f/',
    'd/',
    outside,
    `${outside}/canary`,
    `/${outside}/canary`,
    '/proc/self/root/etc',
    '\0',
    'd/f\0',
    `d\0/../../outside/canary`,
    'n'.repeat(256),
    `d/${'n'.repeat(256)}`,
    `d/${'x/'.repeat(5000)}x`,
    'x/'.repeat(20_000),
    'x'.repeat(65_535),
    // Through links that stand in the share.
    'absolute',
    'absolute/canary',
    'relative/canary',
    'relative/deep/d/f',
    'magic/etc',
    'd/up/outside/canary',
  ];
}

/** Legal, whatever they look like: they mean themselves. */
export const HARMLESS_NAMES: readonly string[] = [
  '%2e%2e',
  '%2e%2e%2foutside%2fcanary',
  '..%2f',
  '...',
  '..\\outside\\canary',
  '\xc0\xae\xc0\xae',
  '\xef\xbc\x8e\xef\xbc\x8e',
  'C:',
  'CON',
  '~',
  '$(touch canary)',
  'a\nb',
  '\x1b[31m',
  'n'.repeat(255),
  Array.from({ length: 15 }, () => 'n'.repeat(255)).join('/'),
  'x/'.repeat(2000) + 'x',
];

/** A place in a request where a name or path stands; `element`: of each element of a list. */
export interface Spot {
  readonly field: string;
  readonly element: string | undefined;
  readonly isPath: boolean;
}

/** Where names of files stand. Names of extended attributes are none. */
export function spotsOf(fields: Fields): readonly Spot[] {
  return Object.entries(fields).flatMap(([field, { type }]): readonly Spot[] => {
    if (typeof type === 'string') return [];
    if ('path' in type) return [{ field, element: undefined, isPath: true }];
    if ('name' in type) return type.rule === 'opaque' ? [] : [{ field, element: undefined, isPath: false }];
    if (!('list' in type)) return [];
    return spotsOf(type.list.fields).map((inner) => ({ field, element: inner.field, isPath: inner.isPath }));
  });
}

/** The request with that name at that spot. */
export function withName(
  request: Readonly<Record<string, unknown>>,
  spot: Spot,
  name: string,
): Record<string, unknown> {
  return { ...request, [spot.field]: spot.element === undefined ? name : [{ [spot.element]: name }] };
}

/** Values that pass for any request: the fields that say what is to be done come from the caller. */
export function plainRequest(fields: Fields, known: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const request: Record<string, unknown> = {};
  for (const [name, field] of Object.entries(fields)) request[name] = known[name] ?? plainValue(field);
  return request;
}

function plainValue({ type }: Field): unknown {
  if (type === 'bool') return false;
  if (type === 'id64') return 0n;
  if (typeof type === 'string') return 0;
  if ('fixed' in type) return new Uint8Array(type.fixed);
  if ('bytes' in type) return Buffer.from('x');
  if ('path' in type) return 'd/f';
  if ('name' in type) return 'user.x';
  if ('list' in type) return [plainRequest(type.list.fields, {})];
  if ('struct' in type) return plainRequest(type.struct.fields, {});
  return '';
}

const MARK = 'MARK-OF-A-NAME';

/**
 * The bytes of a request with any name at that spot, legal or not: as a peer sends that checks nothing.
 * @returns what the receiver makes of them. @throws what it throws.
 */
export function decodeHostile(
  fields: Fields,
  request: Readonly<Record<string, unknown>>,
  spot: Spot,
  name: string,
): ValuesOf<Fields> {
  const marked = Buffer.from(encodeFields(fields, withName(request, spot, MARK) as ValuesOf<Fields>));
  const at = marked.indexOf(MARK, 0, 'latin1');
  const bytes = Buffer.from(name, 'latin1');
  const head = Buffer.from(marked.subarray(0, at));
  head.writeUInt16LE(bytes.length & 0xffff, at - 2);
  // An element of a list stands in a struct with a length of its own.
  if (spot.element !== undefined) head.writeUInt16LE((bytes.length + 2) & 0xffff, at - 4);
  return decodeFields(fields, Buffer.concat([head, bytes, marked.subarray(at + MARK.length)]));
}
