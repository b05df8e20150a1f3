/**
 * STUN messages (RFC 8489) and the attributes of TURN (RFC 8656) that this node needs: as data, and to and from bytes.
 * Knows no keys: whoever checks or makes MESSAGE-INTEGRITY passes the function that computes it.
 *
 *     message   = [type u16][length of what follows the header u16][magic cookie u32][transaction 12][attributes]
 *     attribute = [type u16][length u16][value, padded to a multiple of 4]
 *
 * All integers are big-endian. Attributes that are not known here are passed over, also those that RFC 8489 section 14 would
 * have understood: servers still send what only RFC 3489 knew. FINGERPRINT is neither made nor checked: on the shared port
 * the transaction tells whether an answer is one.
 */

/** Specification: RFC 8489 section 5. */
export const STUN_HEADER_BYTES = 20;
export const STUN_TRANSACTION_BYTES = 12;
const MAGIC_COOKIE = 0x2112a442;

/** Methods: RFC 8489 section 18.1, RFC 8656 section 17. */
const STUN_METHOD = {
  binding: 0x001,
  allocate: 0x003,
  refresh: 0x004,
  send: 0x006,
  data: 0x007,
  createPermission: 0x008,
  channelBind: 0x009,
} as const;
export type StunMethod = keyof typeof STUN_METHOD;

const CLASS = { request: 0x000, indication: 0x010, success: 0x100, error: 0x110 } as const;
export type StunClass = keyof typeof CLASS;

const ATTRIBUTE = {
  username: 0x0006,
  messageIntegrity: 0x0008,
  errorCode: 0x0009,
  channelNumber: 0x000c,
  lifetime: 0x000d,
  xorPeerAddress: 0x0012,
  data: 0x0013,
  realm: 0x0014,
  nonce: 0x0015,
  xorRelayedAddress: 0x0016,
  requestedAddressFamily: 0x0017,
  requestedTransport: 0x0019,
  xorMappedAddress: 0x0020,
} as const;

const INTEGRITY_BYTES = 20;
/** IANA's number of UDP, for REQUESTED-TRANSPORT. */
const UDP = 17;
/** Longest text attributes that are taken: RFC 8489 section 14. Bytes. */
const MAX_TEXT_BYTES = 763;
/** Attributes of one message that are looked at. */
const MAX_ATTRIBUTES = 64;

export interface StunAddress {
  /** Numeric; IPv6 without brackets. */
  readonly host: string;
  readonly port: number;
}

export interface StunMessage {
  readonly method: StunMethod;
  readonly class: StunClass;
  /** STUN_TRANSACTION_BYTES long. */
  readonly transaction: Uint8Array;
  readonly username?: string;
  readonly realm?: string;
  readonly nonce?: string;
  readonly errorCode?: { readonly code: number; readonly reason: string };
  readonly channelNumber?: number;
  /** Seconds. */
  readonly lifetime?: number;
  readonly xorMappedAddress?: StunAddress;
  readonly xorRelayedAddress?: StunAddress;
  readonly xorPeerAddresses?: readonly StunAddress[];
  /** A view of the message. */
  readonly data?: Uint8Array;
  /** REQUESTED-TRANSPORT of UDP. */
  readonly requestsUdp?: boolean;
  /** REQUESTED-ADDRESS-FAMILY: 4 or 6. */
  readonly addressFamily?: 4 | 6;
}

/** HMAC-SHA1 of the bytes under the key of the credentials: 20 bytes. */
export type StunIntegrity = (bytes: Uint8Array) => Uint8Array;

export interface DecodedStun {
  readonly message: StunMessage;
  /** Whether MESSAGE-INTEGRITY is there and right under this key. */
  checkIntegrity(integrity: StunIntegrity): boolean;
}

/** @param integrity adds MESSAGE-INTEGRITY. @returns a buffer of its own. */
export function encodeStun(message: StunMessage, integrity?: StunIntegrity): Uint8Array {
  const attributes: Buffer[] = [];
  const add = (type: number, value: Uint8Array): void => {
    const padded = Buffer.alloc(4 + Math.ceil(value.length / 4) * 4);
    padded.writeUInt16BE(type, 0);
    padded.writeUInt16BE(value.length, 2);
    padded.set(value, 4);
    attributes.push(padded);
  };
  const text = (type: number, value: string | undefined): void => {
    if (value !== undefined) add(type, Buffer.from(value, 'utf8'));
  };
  const number = (type: number, value: number | undefined): void => {
    if (value === undefined) return;
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32BE(value, 0);
    add(type, bytes);
  };
  const { transaction } = message;
  if (message.requestsUdp === true) number(ATTRIBUTE.requestedTransport, UDP * 2 ** 24);
  if (message.addressFamily === 6) number(ATTRIBUTE.requestedAddressFamily, 2 * 2 ** 24);
  if (message.channelNumber !== undefined) number(ATTRIBUTE.channelNumber, message.channelNumber * 2 ** 16);
  number(ATTRIBUTE.lifetime, message.lifetime);
  for (const peer of message.xorPeerAddresses ?? []) add(ATTRIBUTE.xorPeerAddress, encodeAddress(peer, transaction));
  if (message.xorMappedAddress !== undefined) {
    add(ATTRIBUTE.xorMappedAddress, encodeAddress(message.xorMappedAddress, transaction));
  }
  if (message.xorRelayedAddress !== undefined) {
    add(ATTRIBUTE.xorRelayedAddress, encodeAddress(message.xorRelayedAddress, transaction));
  }
  if (message.data !== undefined) add(ATTRIBUTE.data, message.data);
  if (message.errorCode !== undefined) {
    const { code, reason } = message.errorCode;
    add(ATTRIBUTE.errorCode, Buffer.concat([Buffer.of(0, 0, Math.floor(code / 100), code % 100), Buffer.from(reason)]));
  }
  text(ATTRIBUTE.username, message.username);
  text(ATTRIBUTE.nonce, message.nonce);
  text(ATTRIBUTE.realm, message.realm);

  const length = attributes.reduce((sum, { length: bytes }) => sum + bytes, 0);
  const head = header(message, length + (integrity === undefined ? 0 : 4 + INTEGRITY_BYTES));
  const bytes = Buffer.concat([head, ...attributes]);
  if (integrity === undefined) return bytes;
  add(ATTRIBUTE.messageIntegrity, integrity(bytes));
  return Buffer.concat([bytes, attributes.at(-1) ?? Buffer.alloc(0)]);
}

function header({ method, class: kind, transaction }: StunMessage, length: number): Buffer {
  const bytes = Buffer.alloc(STUN_HEADER_BYTES);
  const bits = STUN_METHOD[method];
  bytes.writeUInt16BE(((bits & 0xf80) << 2) | ((bits & 0x70) << 1) | (bits & 0xf) | CLASS[kind], 0);
  bytes.writeUInt16BE(length, 2);
  bytes.writeUInt32BE(MAGIC_COOKIE, 4);
  bytes.set(transaction, 8);
  return bytes;
}

/** @param datagram one whole message. @returns undefined for what is none, or breaks the format. */
export function decodeStun(datagram: Uint8Array): DecodedStun | undefined {
  const bytes = Buffer.from(datagram.buffer, datagram.byteOffset, datagram.length);
  if (bytes.length < STUN_HEADER_BYTES || bytes.length % 4 !== 0) return undefined;
  const type = bytes.readUInt16BE(0);
  if ((type & 0xc000) !== 0 || bytes.readUInt32BE(4) !== MAGIC_COOKIE) return undefined;
  if (bytes.readUInt16BE(2) !== bytes.length - STUN_HEADER_BYTES) return undefined;
  const method = nameOf(STUN_METHOD, ((type & 0x3e00) >> 2) | ((type & 0xe0) >> 1) | (type & 0xf));
  const kind = nameOf(CLASS, type & 0x110);
  if (method === undefined || kind === undefined) return undefined;

  const transaction = Uint8Array.prototype.slice.call(bytes, 8, STUN_HEADER_BYTES);
  const found: { -readonly [K in keyof StunMessage]?: StunMessage[K] } = {};
  const peers: StunAddress[] = [];
  let integrityAt: number | undefined;
  let count = 0;
  for (let at = STUN_HEADER_BYTES; at < bytes.length;) {
    if (at + 4 > bytes.length || ++count > MAX_ATTRIBUTES) return undefined;
    const attribute = bytes.readUInt16BE(at);
    const length = bytes.readUInt16BE(at + 2);
    const value = bytes.subarray(at + 4, at + 4 + length);
    if (value.length !== length) return undefined;
    // What follows the integrity is not covered by it and does not count, but for the fingerprint.
    if (integrityAt === undefined) {
      if (attribute === ATTRIBUTE.messageIntegrity) integrityAt = at;
      else if (!take(attribute, value)) return undefined;
    }
    at += 4 + Math.ceil(length / 4) * 4;
  }

  /** @returns false for a value that breaks the format. */
  function take(attribute: number, value: Buffer): boolean {
    switch (attribute) {
      case ATTRIBUTE.username:
      case ATTRIBUTE.realm:
      case ATTRIBUTE.nonce: {
        if (value.length > MAX_TEXT_BYTES) return false;
        const name = nameOf(ATTRIBUTE, attribute);
        if (name === 'username' || name === 'realm' || name === 'nonce') found[name] = value.toString('utf8');
        return true;
      }
      case ATTRIBUTE.errorCode:
        if (value.length < 4 || value.length > 4 + MAX_TEXT_BYTES) return false;
        found.errorCode = {
          code: (value.readUInt8(2) & 7) * 100 + value.readUInt8(3),
          reason: value.toString('utf8', 4),
        };
        return true;
      case ATTRIBUTE.channelNumber:
        if (value.length !== 4) return false;
        found.channelNumber = value.readUInt16BE(0);
        return true;
      case ATTRIBUTE.lifetime:
        if (value.length !== 4) return false;
        found.lifetime = value.readUInt32BE(0);
        return true;
      case ATTRIBUTE.xorMappedAddress:
      case ATTRIBUTE.xorRelayedAddress:
      case ATTRIBUTE.xorPeerAddress: {
        const address = decodeAddress(value, transaction);
        if (address === undefined) return false;
        if (attribute === ATTRIBUTE.xorPeerAddress) peers.push(address);
        else if (attribute === ATTRIBUTE.xorMappedAddress) found.xorMappedAddress = address;
        else found.xorRelayedAddress = address;
        return true;
      }
      case ATTRIBUTE.data:
        found.data = value;
        return true;
      case ATTRIBUTE.requestedTransport:
        found.requestsUdp = value[0] === UDP;
        return true;
      case ATTRIBUTE.requestedAddressFamily:
        found.addressFamily = value[0] === 2 ? 6 : 4;
        return true;
      default:
        return true;
    }
  }

  const message: StunMessage = {
    ...found,
    method,
    class: kind,
    transaction,
    ...(peers.length === 0 ? {} : { xorPeerAddresses: peers }),
  };
  return {
    message,
    checkIntegrity(integrity) {
      if (integrityAt === undefined || bytes.readUInt16BE(integrityAt + 2) !== INTEGRITY_BYTES) return false;
      const covered = Buffer.from(bytes.subarray(0, integrityAt));
      covered.writeUInt16BE(integrityAt + 4 + INTEGRITY_BYTES - STUN_HEADER_BYTES, 2);
      const expected = integrity(covered);
      const given = bytes.subarray(integrityAt + 4, integrityAt + 4 + INTEGRITY_BYTES);
      return given.length === expected.length && given.equals(expected);
    },
  };
}

/** XOR-MAPPED-ADDRESS and its kin: RFC 8489 section 14.2. */
function encodeAddress({ host, port }: StunAddress, transaction: Uint8Array): Buffer {
  const address = host.includes(':') ? ipv6Bytes(host) : Buffer.from(host.split('.').map(Number));
  const bytes = Buffer.alloc(4 + address.length);
  bytes.writeUInt8(address.length === 16 ? 2 : 1, 1);
  bytes.writeUInt16BE(port ^ (MAGIC_COOKIE >>> 16), 2);
  bytes.set(xor(address, transaction), 4);
  return bytes;
}

function decodeAddress(value: Buffer, transaction: Uint8Array): StunAddress | undefined {
  const family = value.length < 4 ? 0 : value.readUInt8(1);
  if (value.length !== (family === 1 ? 8 : family === 2 ? 20 : -1)) return undefined;
  const port = value.readUInt16BE(2) ^ (MAGIC_COOKIE >>> 16);
  const address = xor(value.subarray(4), transaction);
  return { host: family === 1 ? address.join('.') : ipv6Text(address), port };
}

function xor(address: Uint8Array, transaction: Uint8Array): Buffer {
  const mask = Buffer.alloc(16);
  mask.writeUInt32BE(MAGIC_COOKIE, 0);
  mask.set(transaction, 4);
  return Buffer.from(address.map((byte, i) => byte ^ (mask[i] ?? 0)));
}

function ipv6Bytes(host: string): Buffer {
  const [head = '', tail] = host.split('::');
  const groupsOf = (text: string) => (text === '' ? [] : text.split(':').map((group) => Number.parseInt(group, 16)));
  const left = groupsOf(head);
  const right = tail === undefined ? [] : groupsOf(tail);
  const groups = [...left, ...new Array<number>(Math.max(0, 8 - left.length - right.length)).fill(0), ...right];
  const bytes = Buffer.alloc(16);
  groups.slice(0, 8).forEach((group, i) => bytes.writeUInt16BE(group & 0xffff, i * 2));
  return bytes;
}

/** As the system writes it (RFC 5952), so that texts of one address are equal. */
function ipv6Text(bytes: Buffer): string {
  const groups = Array.from({ length: 8 }, (_, i) => bytes.readUInt16BE(i * 2).toString(16));
  return new URL(`http://[${groups.join(':')}]`).hostname.slice(1, -1);
}

function nameOf<K extends string>(names: Readonly<Record<K, number>>, value: number): K | undefined {
  return (Object.keys(names) as K[]).find((name) => names[name] === value);
}
