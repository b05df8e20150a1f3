/**
 * A UDP socket of our own, for what node:dgram lacks: many datagrams a system call in both directions (UDP_SEGMENT,
 * UDP_GRO, recvmmsg). Linux. Owns descriptors, buffers and C structures; never waits.
 *
 * Readiness comes from libuv: a dgram socket whose descriptor is replaced by an epoll set that watches the real
 * socket. Its own attempts to read fail, and each failure means "readable".
 */
import { createSocket, type Socket as DatagramSocket } from 'node:dgram';
import { closeSync } from 'node:fs';
import { addressOf, declare, errno } from './libc.ts';
import { systemError } from './errno.ts';
import {
  AF_INET,
  AF_INET6,
  decodeSocketAddress,
  encodeSocketAddress,
  SOCKET_ADDRESS_BYTES,
  type HostPort,
} from './socket-address.ts';

const socket = declare('socket', 'int', ['int', 'int', 'int']);
const bind = declare('bind', 'int', ['int', 'buffer', 'uint32']);
const getsockname = declare('getsockname', 'int', ['int', 'buffer', 'buffer']);
const setsockopt = declare('setsockopt', 'int', ['int', 'int', 'int', 'buffer', 'uint32']);
const recvmmsg = declare('recvmmsg', 'int', ['int', 'pointer', 'uint32', 'int', 'pointer']);
const sendmsg = declare('sendmsg', 'long', ['int', 'pointer', 'int']);
const dup3 = declare('dup3', 'int', ['int', 'int', 'int']);
const epollCreate = declare('epoll_create1', 'int', ['int']);
const epollControl = declare('epoll_ctl', 'int', ['int', 'int', 'int', 'buffer']);

// Linux' numbers (asm-generic/socket.h, linux/in.h, linux/in6.h, linux/udp.h).
const SOCK_DGRAM = 2;
const SOCK_NONBLOCK = 0o4000;
const CLOEXEC = 0o2000000;
const SOL_IP = 0;
const SOL_SOCKET = 1;
const SOL_UDP = 17;
const SOL_IPV6 = 41;
const SO_SNDBUF = 7;
const SO_RCVBUF = 8;
const SO_SNDBUFFORCE = 32;
const SO_RCVBUFFORCE = 33;
const IP_MTU_DISCOVER = 10;
const IPV6_MTU_DISCOVER = 23;
const IPV6_V6ONLY = 26;
/** "Do not fragment" on every datagram, and no memory of the path's MTU: we probe it ourselves. */
const PMTUDISC_PROBE = 3;
const UDP_SEGMENT = 103;
const UDP_GRO = 104;
const MSG_DONTWAIT = 0x40;
const EPOLL_CTL_ADD = 1;
const EPOLLIN = 1;
const EAGAIN = 11;
const ENOBUFS = 105;

/** Tuning. */
const SOCKET_BUFFER_BYTES = 8 << 20;
const RECEIVE_VECTORS = 16;
const RECEIVE_BYTES = 65_536;
/** After so much others get their turn; looked at after each call. Small datagrams count for more than they are. */
const RECEIVE_AT_ONCE_BYTES = 128 * 1024;
const RECEIVE_LEAST_BYTES = 1024;
const KNOWN_ADDRESSES = 1_024;

// Layout of struct mmsghdr and what it points to, 64 bits. Bytes.
const MMSGHDR = 64;
const IOVEC = 16;
const CONTROL = 64;
const NAME = 32;
/** Of NAME, what a socket address takes (sockaddr_in6), in words of 32 bits. */
const NAME_WORDS = 7;
const VECTOR = MMSGHDR + IOVEC + NAME + CONTROL;

export type SendResult = 'sent' | 'busy' | 'failed';

export interface UdpSocket {
  readonly address: HostPort;
  /** Sends datagrams of `segmentBytes` (the last may be shorter) in one call. Never waits. */
  send(datagrams: Uint8Array, segmentBytes: number, to: HostPort): SendResult;
  /** Idempotent. Settles when libuv has let go of it. */
  close(): Promise<void>;
}

export interface UdpSocketOptions extends HostPort {
  /** `datagram` is valid during the call only. */
  readonly onDatagram: (datagram: Uint8Array, from: HostPort) => void;
}

/** @throws PeerfsError with the system's code if the address cannot be bound, or batches are not to be had. */
export function openUdpSocket(options: UdpSocketOptions): UdpSocket {
  return new BatchedSocket(options);
}

function int32(value: number): Uint8Array {
  return new Uint8Array(new Int32Array([value]).buffer);
}

function check(result: number, call: string): number {
  if (result < 0) throw systemError(errno(), call);
  return result;
}

class BatchedSocket implements UdpSocket {
  readonly address: HostPort;
  readonly #fd: number;
  readonly #family: number;
  readonly #receiver: Receiver;
  readonly #message = new SendMessage();
  readonly #encoded = new WeakMap<HostPort, Uint8Array>();
  readonly #watcher: Watcher;
  #closed: Promise<void> | undefined;

  constructor(options: UdpSocketOptions) {
    const { fd, family } = openSocket(options.host);
    this.#fd = fd;
    this.#family = family;
    try {
      prepare(fd, family);
      const host = family === AF_INET && options.host === '::' ? '0.0.0.0' : options.host;
      const name = encodeSocketAddress(family, { host, port: options.port });
      if (name === undefined) throw systemError(22, 'bind');
      check(bind(fd, name, name.length), 'bind');
      const bound = new Uint8Array(SOCKET_ADDRESS_BYTES);
      check(getsockname(fd, bound, int32(bound.length)), 'getsockname');
      this.address = decodeSocketAddress(bound);
      this.#receiver = new Receiver(fd, options.onDatagram);
      this.#watcher = watch(fd, () => this.#receiver.drain());
    } catch (error) {
      closeSync(fd);
      throw error;
    }
  }

  send(datagrams: Uint8Array, segmentBytes: number, to: HostPort): SendResult {
    if (this.#closed !== undefined) return 'failed';
    let name = this.#encoded.get(to);
    if (name === undefined) {
      name = encodeSocketAddress(this.#family, to);
      if (name === undefined) return 'failed';
      this.#encoded.set(to, name);
    }
    if (sendmsg(this.#fd, this.#message.set(datagrams, segmentBytes, name), MSG_DONTWAIT) >= 0) return 'sent';
    const code = errno();
    return code === EAGAIN || code === ENOBUFS ? 'busy' : 'failed';
  }

  close(): Promise<void> {
    if (this.#closed !== undefined) return this.#closed;
    this.#receiver.stop();
    this.#closed = this.#watcher.close().then(() => closeSync(this.#fd));
    return this.#closed;
  }
}

function openSocket(host: string): { fd: number; family: number } {
  const type = SOCK_DGRAM | SOCK_NONBLOCK | CLOEXEC;
  if (host.includes(':')) {
    const fd = socket(AF_INET6, type, 0);
    if (fd >= 0) return { fd, family: AF_INET6 };
    if (host !== '::') throw systemError(errno(), 'socket');
  }
  return { fd: check(socket(AF_INET, type, 0), 'socket'), family: AF_INET };
}

function prepare(fd: number, family: number): void {
  const set = (level: number, option: number, value: number) => setsockopt(fd, level, option, int32(value), 4);
  check(set(SOL_UDP, UDP_GRO, 1), 'UDP_GRO');
  check(set(SOL_UDP, UDP_SEGMENT, 0), 'UDP_SEGMENT');
  if (family === AF_INET6) {
    set(SOL_IPV6, IPV6_V6ONLY, 0);
    set(SOL_IPV6, IPV6_MTU_DISCOVER, PMTUDISC_PROBE);
  }
  set(SOL_IP, IP_MTU_DISCOVER, PMTUDISC_PROBE);
  // FORCE wants CAP_NET_ADMIN; without it the system's limit holds.
  if (set(SOL_SOCKET, SO_RCVBUFFORCE, SOCKET_BUFFER_BYTES) < 0) set(SOL_SOCKET, SO_RCVBUF, SOCKET_BUFFER_BYTES);
  if (set(SOL_SOCKET, SO_SNDBUFFORCE, SOCKET_BUFFER_BYTES) < 0) set(SOL_SOCKET, SO_SNDBUF, SOCKET_BUFFER_BYTES);
}

interface Watcher {
  close(): Promise<void>;
}

function watch(fd: number, readable: () => void): Watcher {
  const epoll = check(epollCreate(CLOEXEC), 'epoll_create1');
  const dummy = createSocket('udp4');
  dummy.on('error', readable);
  dummy.on('message', () => undefined);
  try {
    const event = new Uint8Array(12);
    event[0] = EPOLLIN;
    check(epollControl(epoll, EPOLL_CTL_ADD, fd, event), 'epoll_ctl');
    const stand = check(socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | CLOEXEC, 0), 'socket');
    dummy.bind({ fd: stand }); // and with it the dummy's to close
    // Before libuv sees the descriptor, which is after this turn of the loop.
    check(dup3(epoll, stand, CLOEXEC), 'dup3');
    sparingErrors(dummy, readable);
  } catch (error) {
    dummy.close();
    throw error;
  } finally {
    closeSync(epoll);
  }
  return {
    close: () =>
      new Promise((resolve) => {
        dummy.close(() => resolve());
      }),
  };
}

/**
 * Has the handle tell us itself: else node makes an Error of each attempt, which costs as much as the datagram. Only
 * where this node has what we look for; the event does otherwise.
 */
function sparingErrors(dummy: DatagramSocket, readable: () => void): void {
  const symbol = Object.getOwnPropertySymbols(dummy).find(({ description }) => description === 'state symbol');
  const state: unknown = symbol === undefined ? undefined : Reflect.get(dummy, symbol);
  const handle: unknown = typeof state === 'object' && state !== null ? Reflect.get(state, 'handle') : undefined;
  if (typeof handle !== 'object' || handle === null) return;
  if (typeof Reflect.get(handle, 'onmessage') === 'function') Reflect.set(handle, 'onmessage', () => readable());
}

/** One message header, for sendmsg. Its parts lie in one block of memory. */
class SendMessage {
  readonly #words = new BigUint64Array(24);
  readonly #u32 = new Uint32Array(this.#words.buffer);
  readonly #bytes = new Uint8Array(this.#words.buffer);
  readonly #address = addressOf(this.#words);

  /** @returns the address of a msghdr. Everything it names is used during the next call only. */
  set(datagrams: Uint8Array, segmentBytes: number, name: Uint8Array): number {
    // msghdr: name 0, name length 8, iovec 16, iovec count 24, control 32, control length 40, flags 48.
    const words = this.#words;
    const [nameAt, vectorAt, controlAt] = [128, 56, 72];
    this.#bytes.set(name, nameAt);
    words[0] = BigInt(this.#address + nameAt);
    words[1] = BigInt(name.length);
    words[2] = BigInt(this.#address + vectorAt);
    words[3] = 1n;
    words[vectorAt / 8] = BigInt(addressOf(datagrams));
    words[vectorAt / 8 + 1] = BigInt(datagrams.length);
    const segmented = datagrams.length > segmentBytes;
    words[4] = segmented ? BigInt(this.#address + controlAt) : 0n;
    words[5] = segmented ? 24n : 0n;
    if (segmented) {
      // cmsghdr: length 18 (16 and a u16), level, type; then the segment's length.
      words[controlAt / 8] = 18n;
      this.#u32[controlAt / 4 + 2] = SOL_UDP;
      this.#u32[controlAt / 4 + 3] = UDP_SEGMENT;
      this.#u32[controlAt / 4 + 4] = segmentBytes;
    }
    return this.#address;
  }
}

/** Message headers and buffers for recvmmsg; gives out the datagrams. */
class Receiver {
  readonly #fd: number;
  readonly #onDatagram: (datagram: Uint8Array, from: HostPort) => void;
  readonly #buffers = new Uint8Array(RECEIVE_VECTORS * RECEIVE_BYTES);
  readonly #block = new BigUint64Array((RECEIVE_VECTORS * VECTOR) / 8);
  readonly #u32 = new Uint32Array(this.#block.buffer);
  readonly #bytes = new Uint8Array(this.#block.buffer);
  readonly #address = addressOf(this.#block);
  readonly #known = new Map<string, HostPort>();
  readonly #lastName = new Uint32Array(NAME_WORDS);
  #last: HostPort = { host: '', port: 0 };
  #stopped = false;

  constructor(fd: number, onDatagram: (datagram: Uint8Array, from: HostPort) => void) {
    this.#fd = fd;
    this.#onDatagram = onDatagram;
    const buffers = addressOf(this.#buffers);
    const words = this.#block;
    for (let i = 0; i < RECEIVE_VECTORS; i++) {
      const header = (i * MMSGHDR) / 8;
      const vector = vectorAt(i) / 8;
      words[header] = BigInt(this.#address + nameAt(i));
      words[header + 2] = BigInt(this.#address + vectorAt(i));
      words[header + 3] = 1n;
      words[header + 4] = BigInt(this.#address + controlAt(i));
      words[vector] = BigInt(buffers + i * RECEIVE_BYTES);
      words[vector + 1] = BigInt(RECEIVE_BYTES);
    }
  }

  stop(): void {
    this.#stopped = true;
  }

  drain(): void {
    let taken = 0;
    while (taken < RECEIVE_AT_ONCE_BYTES && !this.#stopped) {
      for (let i = 0; i < RECEIVE_VECTORS; i++) {
        this.#u32[(i * MMSGHDR + 8) / 4] = NAME;
        this.#u32[(i * MMSGHDR + 40) / 4] = CONTROL;
      }
      const count = recvmmsg(this.#fd, this.#address, RECEIVE_VECTORS, MSG_DONTWAIT, 0);
      if (count <= 0) return;
      for (let i = 0; i < count; i++) taken += this.#give(i);
      if (count < RECEIVE_VECTORS) return;
    }
  }

  /** @returns for how many bytes that counts. */
  #give(i: number): number {
    const u32 = this.#u32;
    const length = u32[(i * MMSGHDR + 56) / 4] ?? 0;
    const from = this.#from(i);
    let segment = length;
    if ((u32[(i * MMSGHDR + 40) / 4] ?? 0) > 0) {
      const control = controlAt(i) / 4;
      if (u32[control + 2] === SOL_UDP && u32[control + 3] === UDP_GRO) segment = u32[control + 4] ?? length;
    }
    const start = i * RECEIVE_BYTES;
    for (let at = 0; at < length && !this.#stopped; at += segment) {
      this.#onDatagram(this.#buffers.subarray(start + at, start + Math.min(at + segment, length)), from);
    }
    const datagrams = segment === 0 ? 1 : Math.ceil(length / segment);
    return Math.max(length, datagrams * RECEIVE_LEAST_BYTES);
  }

  #from(i: number): HostPort {
    const at = nameAt(i) / 4;
    if (this.#isLast(at)) return this.#last;
    const name = this.#u32.subarray(at, at + NAME_WORDS);
    const key = name.join('.');
    let from = this.#known.get(key);
    if (from === undefined) {
      from = decodeSocketAddress(this.#bytes.slice(nameAt(i), nameAt(i) + SOCKET_ADDRESS_BYTES));
      if (this.#known.size >= KNOWN_ADDRESSES) this.#known.clear();
      this.#known.set(key, from);
    }
    this.#lastName.set(name);
    this.#last = from;
    return from;
  }

  /** Whether the name at this word is the one before it. */
  #isLast(at: number): boolean {
    for (let word = 0; word < NAME_WORDS; word++) {
      if (this.#u32[at + word] !== this.#lastName[word]) return false;
    }
    return true;
  }
}

function vectorAt(i: number): number {
  return RECEIVE_VECTORS * MMSGHDR + i * IOVEC;
}

function nameAt(i: number): number {
  return RECEIVE_VECTORS * (MMSGHDR + IOVEC) + i * NAME;
}

function controlAt(i: number): number {
  return RECEIVE_VECTORS * (MMSGHDR + IOVEC + NAME) + i * CONTROL;
}
