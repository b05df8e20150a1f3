/**
 * Datagrams of the BitTorrent DHT (BEP 5, 43, 44) at our border: what we send is made read-only, what comes in is read
 * strictly and written anew with the fields that we use and nothing else, so that the library behind never meets a value
 * of a wrong shape. Pure. Does not own which answers were asked for (dht-socket.ts).
 */
import { BlockList, isIPv4 } from 'node:net';
import type { UdpAddress } from './udp-port.ts';

/** BEP 5, 42, 44. Bytes. */
const NODE_ID_BYTES = 20;
const COMPACT_ADDRESS_BYTES = 6;
const COMPACT_NODE_BYTES = NODE_ID_BYTES + COMPACT_ADDRESS_BYTES;
const KEY_BYTES = 32;
const SIGNATURE_BYTES = 64;
const MAX_VALUE_BYTES = 1000;

/** Tuning: more than anybody sends. */
const MAX_DATAGRAM_BYTES = 4096;
const MAX_DEPTH = 4;
const MAX_ENTRIES = 256;
const MAX_TOKEN_BYTES = 256;
const MAX_NODES = 32;
const MAX_ERROR_BYTES = 128;

// Bencoding

/** Byte strings, integers, lists, dictionaries (keys in Latin-1). */
type Bencoded = Buffer | number | readonly Bencoded[] | Dictionary;
type Dictionary = ReadonlyMap<string, Bencoded>;

const CODE = { dictionary: 0x64, end: 0x65, integer: 0x69, list: 0x6c, colon: 0x3a, zero: 0x30, nine: 0x39 } as const;

/** Reads one value; undefined for anything that is not exactly one, is too deep or has too many entries. */
function decode(bytes: Buffer): Bencoded | undefined {
  let at = 0;
  let entries = 0;

  const number = (end: number): number | undefined => {
    const stop = bytes.indexOf(end, at);
    if (stop < 0 || stop - at > 17) return undefined;
    const text = bytes.toString('latin1', at, stop);
    at = stop + 1;
    const value = /^(0|-?[1-9][0-9]*)$/.test(text) ? Number(text) : NaN;
    return Number.isSafeInteger(value) ? value : undefined;
  };

  const text = (): Buffer | undefined => {
    const length = number(CODE.colon);
    if (length === undefined || length < 0 || length > bytes.length - at) return undefined;
    at += length;
    return bytes.subarray(at - length, at);
  };

  const value = (depth: number): Bencoded | undefined => {
    const code = bytes[at];
    if (code === undefined || depth > MAX_DEPTH || ++entries > MAX_ENTRIES) return undefined;
    if (code >= CODE.zero && code <= CODE.nine) return text();
    at += 1;
    if (code === CODE.integer) return number(CODE.end);
    if (code === CODE.list) return list(depth);
    if (code === CODE.dictionary) return dictionary(depth);
    return undefined;
  };

  const list = (depth: number): Bencoded | undefined => {
    const items: Bencoded[] = [];
    while (bytes[at] !== CODE.end) {
      const item = value(depth + 1);
      if (item === undefined) return undefined;
      items.push(item);
    }
    at += 1;
    return items;
  };

  const dictionary = (depth: number): Bencoded | undefined => {
    const found = new Map<string, Bencoded>();
    while (bytes[at] !== CODE.end) {
      const key = text();
      const item = key === undefined ? undefined : value(depth + 1);
      if (key === undefined || item === undefined) return undefined;
      found.set(key.toString('latin1'), item);
    }
    at += 1;
    return found;
  };

  const whole = value(0);
  return at === bytes.length ? whole : undefined;
}

/** Dictionaries in the order of their keys, as the signature's and everybody's canonical form has it. */
function encode(value: Bencoded): Buffer {
  if (typeof value === 'number') return Buffer.from(`i${value}e`, 'latin1');
  if (Buffer.isBuffer(value)) return Buffer.concat([Buffer.from(`${value.length}:`, 'latin1'), value]);
  if (!isDictionary(value)) return Buffer.concat([Buffer.from('l'), ...value.map(encode), Buffer.from('e')]);
  const sorted = [...value].sort(([a], [b]) => (a < b ? -1 : 1));
  const parts = sorted.flatMap(([key, item]) => [encode(Buffer.from(key, 'latin1')), encode(item)]);
  return Buffer.concat([Buffer.from('d'), ...parts, Buffer.from('e')]);
}

function isDictionary(value: Bencoded | undefined): value is Dictionary {
  return value instanceof Map;
}

function bytesOf(value: Bencoded | undefined, least: number, most: number = least): Buffer | undefined {
  return Buffer.isBuffer(value) && value.length >= least && value.length <= most ? value : undefined;
}

// Addresses

/** Special-purpose IPv4 addresses (RFC 6890) that lead nowhere, and those that lead into somebody's own network. */
const nowhere = new BlockList();
nowhere.addSubnet('0.0.0.0', 8);
nowhere.addSubnet('224.0.0.0', 3);
const inside = new BlockList();
for (const [net, prefix] of [
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.168.0.0', 16],
] as const) {
  inside.addSubnet(net, prefix);
}

/** Whether `host` may send us to `to`: somebody outside names nobody inside, and nobody names what is no host. */
function mayName(host: string, to: UdpAddress): boolean {
  if (to.port === 0 || !isIPv4(to.host) || nowhere.check(to.host)) return false;
  return !inside.check(to.host) || (isIPv4(host) && inside.check(host));
}

function compactAddress(bytes: Buffer): UdpAddress {
  return { host: bytes.subarray(0, 4).join('.'), port: bytes.readUInt16BE(4) };
}

function nodesOf(value: Bencoded | undefined, host: string): Buffer | undefined {
  if (!Buffer.isBuffer(value)) return undefined;
  const kept: Buffer[] = [];
  for (let at = 0; at + COMPACT_NODE_BYTES <= value.length && kept.length < MAX_NODES; at += COMPACT_NODE_BYTES) {
    const node = value.subarray(at, at + COMPACT_NODE_BYTES);
    if (mayName(host, compactAddress(node.subarray(NODE_ID_BYTES)))) kept.push(node);
  }
  return Buffer.concat(kept);
}

// Messages

export interface OutgoingQuery {
  /** The sender's own name for the query. */
  readonly transaction: Buffer;
  /** The same query under another transaction, marked read-only (BEP 43). */
  encode(transaction: Uint8Array): Buffer;
}

/** Reads a query that goes out; undefined for anything else, which must not go out. */
export function readQuery(datagram: Uint8Array): OutgoingQuery | undefined {
  const message = decode(Buffer.from(datagram.buffer, datagram.byteOffset, datagram.byteLength));
  if (!isDictionary(message) || bytesOf(message.get('y'), 1)?.toString('latin1') !== 'q') return undefined;
  const transaction = bytesOf(message.get('t'), 1, MAX_TOKEN_BYTES);
  if (transaction === undefined) return undefined;
  return {
    transaction,
    encode: (other) => encode(new Map([...message, ['t', Buffer.from(other)], ['ro', 1]])),
  };
}

export interface IncomingAnswer {
  readonly transaction: Buffer;
  /** Where the other side says our query came from (BEP 42). */
  readonly seen: UdpAddress | undefined;
  /** The same answer under another transaction, with what we use of it. */
  encode(transaction: Uint8Array): Buffer;
}

/**
 * Reads an answer or an error; undefined for queries and for what is no sound message.
 * @param host who sent it.
 */
export function readAnswer(datagram: Uint8Array, host: string): IncomingAnswer | undefined {
  if (datagram.length > MAX_DATAGRAM_BYTES || datagram[0] !== CODE.dictionary) return undefined;
  const message = decode(Buffer.from(datagram.buffer, datagram.byteOffset, datagram.byteLength));
  if (!isDictionary(message)) return undefined;
  const transaction = bytesOf(message.get('t'), 1, MAX_TOKEN_BYTES);
  const kind = bytesOf(message.get('y'), 1)?.toString('latin1');
  if (transaction === undefined) return undefined;
  const body = kind === 'r' ? reply(message.get('r'), host) : kind === 'e' ? failure(message.get('e')) : undefined;
  if (kind === undefined || body === undefined) return undefined;
  const compact = bytesOf(message.get('ip'), COMPACT_ADDRESS_BYTES);
  const seen = compact === undefined ? undefined : compactAddress(compact);
  return {
    transaction,
    seen: seen !== undefined && mayName(host, seen) ? seen : undefined,
    encode: (other) =>
      encode(
        new Map<string, Bencoded>([
          [kind, body],
          ['t', Buffer.from(other)],
          ['y', Buffer.from(kind)],
        ]),
      ),
  };
}

function reply(value: Bencoded | undefined, host: string): Bencoded | undefined {
  if (!isDictionary(value)) return undefined;
  const id = bytesOf(value.get('id'), NODE_ID_BYTES);
  if (id === undefined) return undefined;
  const kept = new Map<string, Bencoded>([['id', id]]);
  const keep = (key: string, bytes: Bencoded | undefined): void => {
    if (bytes !== undefined) kept.set(key, bytes);
  };
  keep('token', bytesOf(value.get('token'), 1, MAX_TOKEN_BYTES));
  keep('nodes', nodesOf(value.get('nodes'), host));
  const stored = bytesOf(value.get('v'), 1, MAX_VALUE_BYTES);
  const key = bytesOf(value.get('k'), KEY_BYTES);
  const signature = bytesOf(value.get('sig'), SIGNATURE_BYTES);
  const sequence = value.get('seq');
  // Immutable values are nobody's business here.
  if (stored !== undefined && key !== undefined && signature !== undefined) {
    if (typeof sequence === 'number' && sequence >= 0) {
      keep('v', stored);
      keep('k', key);
      keep('sig', signature);
      keep('seq', sequence);
    }
  }
  return kept;
}

function failure(value: Bencoded | undefined): Bencoded | undefined {
  if (value === undefined || typeof value === 'number' || Buffer.isBuffer(value) || isDictionary(value))
    return undefined;
  const [code, text] = value;
  if (typeof code !== 'number') return undefined;
  return [code, Buffer.isBuffer(text) ? text.subarray(0, MAX_ERROR_BYTES) : Buffer.alloc(0)];
}

/** What BEP 44 signs: the sequence number and the value of an item without salt. Undefined if that is not what it is. */
export function readSigned(signed: Uint8Array): { readonly seq: number; readonly value: Buffer } | undefined {
  const message = decode(Buffer.concat([Buffer.from('d'), signed, Buffer.from('e')]));
  if (!isDictionary(message) || message.size !== 2) return undefined;
  const seq = message.get('seq');
  const value = message.get('v');
  return typeof seq === 'number' && Buffer.isBuffer(value) ? { seq, value } : undefined;
}
