/** What the kernel knows of a TCP connection: TCP_INFO of tcp(7), and bounds on what it takes ahead. Linux. */
import type { Socket } from 'node:net';
import { descriptorOf } from './descriptor.ts';
import { declare } from './libc.ts';

/** linux/tcp.h. */
const IPPROTO_TCP = 6;
const TCP_INFO = 11;
const TCP_NOTSENT_LOWAT = 25;
/** struct tcp_info: u64 tcpi_bytes_acked, since Linux 4.1. Bytes. */
const BYTES_ACKED_AT = 120;
const BYTES_ACKED_END = 128;

const getsockopt = declare('getsockopt', 'int', ['int', 'int', 'int', 'buffer', 'buffer']);
const setsockopt = declare('setsockopt', 'int', ['int', 'int', 'int', 'buffer', 'uint32']);

const info = Buffer.alloc(BYTES_ACKED_END);
const length = new Uint32Array(1);
const lengthBytes = new Uint8Array(length.buffer);

/**
 * Bytes that the far end's kernel has acknowledged since the connection began: only differences mean something.
 * undefined when the system does not say, or the socket is closed.
 */
export function acknowledgedBytes(socket: Socket): number | undefined {
  const descriptor = descriptorOf(socket);
  if (descriptor === undefined) return undefined;
  length[0] = BYTES_ACKED_END;
  if (getsockopt(descriptor, IPPROTO_TCP, TCP_INFO, info, lengthBytes) < 0) return undefined;
  return length[0] < BYTES_ACKED_END ? undefined : Number(info.readBigUInt64LE(BYTES_ACKED_AT));
}

/** The kernel takes no more while it holds so many bytes that it has not sent yet. No effect where it cannot be set. */
export function limitUnsentBytes(socket: Socket, bytes: number): void {
  const descriptor = descriptorOf(socket);
  const value = Buffer.alloc(4);
  value.writeUInt32LE(bytes);
  if (descriptor !== undefined) setsockopt(descriptor, IPPROTO_TCP, TCP_NOTSENT_LOWAT, value, value.length);
}
