/** sockaddr_in and sockaddr_in6 of Linux: bytes to host and port, and back. */
import { declare } from './libc.ts';

export const AF_INET = 2;
export const AF_INET6 = 10;
export const SOCKET_ADDRESS_BYTES = 28;

export interface HostPort {
  readonly host: string;
  readonly port: number;
}

const inetPton = declare('inet_pton', 'int', ['int', 'text', 'buffer']);
const inetNtop = declare('inet_ntop', 'pointer', ['int', 'buffer', 'buffer', 'uint32']);
const nameToIndex = declare('if_nametoindex', 'int', ['text']);

const MAPPED_PREFIX = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];

/**
 * @param family of the socket: under AF_INET6 an IPv4 host is written as a mapped address.
 * @returns the bytes; undefined if the host is no numeric address of that family.
 */
export function encodeSocketAddress(family: number, { host, port }: HostPort): Uint8Array | undefined {
  const [address = '', zone] = host.split('%', 2);
  const isIpv6 = address.includes(':');
  const raw = new Uint8Array(16);
  if (inetPton(isIpv6 ? AF_INET6 : AF_INET, address, raw) !== 1) return undefined;
  if (family === AF_INET && isIpv6) return undefined;
  const bytes = new Uint8Array(family === AF_INET ? 16 : SOCKET_ADDRESS_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, family, true);
  view.setUint16(2, port);
  if (family === AF_INET) {
    bytes.set(raw.subarray(0, 4), 4);
  } else if (isIpv6) {
    bytes.set(raw, 8);
    if (zone !== undefined) view.setUint32(24, /^\d+$/.test(zone) ? Number(zone) : nameToIndex(zone), true);
  } else {
    bytes.set(MAPPED_PREFIX, 8);
    bytes.set(raw.subarray(0, 4), 20);
  }
  return bytes;
}

/** Mapped IPv4 addresses are given in dotted form. */
export function decodeSocketAddress(bytes: Uint8Array): HostPort {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const port = view.getUint16(2);
  if (view.getUint16(0, true) === AF_INET) return { host: dotted(bytes, 4), port };
  if (MAPPED_PREFIX.every((byte, i) => bytes[8 + i] === byte)) return { host: dotted(bytes, 20), port };
  const text = Buffer.alloc(64);
  inetNtop(AF_INET6, bytes.slice(8, 24), text, text.length);
  const host = text.toString('latin1', 0, text.indexOf(0));
  const zone = view.getUint32(24, true);
  return { host: zone === 0 ? host : `${host}%${zone}`, port };
}

function dotted(bytes: Uint8Array, at: number): string {
  return bytes.subarray(at, at + 4).join('.');
}
