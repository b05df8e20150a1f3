/**
 * UdpPort: the node's one UDP socket, with batches where the system has them (src/sys/udp.ts) and by node:dgram
 * alone where not. Owns the queue for a moment's congestion and the counters; knows nothing of what datagrams hold.
 */
import { createSocket, type Socket } from 'node:dgram';
import { isIPv6 } from 'node:net';
import { PeerfsError } from '../errors.ts';
import { openUdpSocket, type UdpSocket } from '../sys/udp.ts';

/** Bytes that wait while the system takes none; more are dropped. Tuning. */
const MAX_QUEUED_BYTES = 4 << 20;
const RETRY_MS = 1;
/** Batches refused in one piece and taken singly before batching is given up. */
const MAX_REFUSED_BATCHES = 8;
const DGRAM_BUFFER_BYTES = 8 << 20;
const MAPPED = '::ffff:';

export interface UdpAddress {
  /** Numeric; IPv4 in dotted form also on a dual-stack socket, IPv6 without brackets. */
  readonly host: string;
  readonly port: number;
}

export interface UdpPortStatistics {
  datagramsSent: number;
  datagramsReceived: number;
  bytesSent: number;
  bytesReceived: number;
  /** Datagrams given up: the queue was full, or the network refused them. */
  sendsDropped: number;
}

export interface UdpPort {
  /** Where it listens; the port is the real one when 0 was asked for. */
  readonly address: UdpAddress;
  readonly statistics: Readonly<UdpPortStatistics>;
  /** Whether datagrams go and come many at a time. */
  readonly batched: boolean;
  /** Sends one datagram, which is copied or gone when this returns. Never throws for the network's sake. */
  send(datagram: Uint8Array, to: UdpAddress): void;
  /**
   * Sends datagrams that lie one behind the other, all `segmentBytes` long but the last, which may be shorter: at
   * most 64, and 65,000 bytes. The bytes are copied or gone when this returns.
   */
  sendBatch(datagrams: Uint8Array, segmentBytes: number, to: UdpAddress): void;
  /** Idempotent; after it nothing is received. Settles when the socket is gone. */
  close(): Promise<void>;
}

export interface UdpPortOptions {
  /** Numeric address to bind; '::' takes IPv4 too where the host allows (else IPv4 alone). */
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  /**
   * A datagram came. `datagram` is valid only during the call. The same `from` object may be given again for the
   * same address; compare with sameAddress().
   */
  readonly onDatagram: (datagram: Uint8Array, from: UdpAddress) => void;
  /** Use node:dgram alone, without batches. */
  readonly plain?: boolean;
}

export function sameAddress(a: UdpAddress, b: UdpAddress): boolean {
  return a === b || (a.port === b.port && a.host === b.host);
}

/** @throws PeerfsError ENVIRONMENT when the address cannot be bound. */
export async function openUdpPort(options: UdpPortOptions): Promise<UdpPort> {
  if (options.plain !== true) {
    try {
      return new BatchedPort(options);
    } catch {
      // No such calls here, or the address is taken: dgram will tell which.
    }
  }
  try {
    return await openDgram(options);
  } catch (error) {
    throw new PeerfsError('ENVIRONMENT', `cannot bind UDP port ${options.port}`, {
      hint: 'Choose another port with --listen, or stop the program that has it.',
      cause: error,
    });
  }
}

function createStatistics(): UdpPortStatistics {
  return { datagramsSent: 0, datagramsReceived: 0, bytesSent: 0, bytesReceived: 0, sendsDropped: 0 };
}

interface Waiting {
  readonly bytes: Uint8Array;
  readonly segmentBytes: number;
  readonly to: UdpAddress;
}

class BatchedPort implements UdpPort {
  readonly statistics = createStatistics();
  readonly #socket: UdpSocket;
  #batches = true;
  #refused = 0;
  #queue: Waiting[] = [];
  #queuedBytes = 0;
  #retry: NodeJS.Timeout | undefined;

  constructor({ host, port, onDatagram }: UdpPortOptions) {
    const { statistics } = this;
    this.#socket = openUdpSocket({
      host,
      port,
      onDatagram(datagram, from) {
        statistics.datagramsReceived++;
        statistics.bytesReceived += datagram.length;
        onDatagram(datagram, from);
      },
    });
  }

  get address(): UdpAddress {
    return this.#socket.address;
  }

  get batched(): boolean {
    return this.#batches;
  }

  send(datagram: Uint8Array, to: UdpAddress): void {
    this.sendBatch(datagram, datagram.length, to);
  }

  sendBatch(datagrams: Uint8Array, segmentBytes: number, to: UdpAddress): void {
    if (this.#queue.length > 0 || !this.#trySend(datagrams, segmentBytes, to)) {
      this.#enqueue(datagrams, segmentBytes, to);
    }
  }

  close(): Promise<void> {
    clearTimeout(this.#retry);
    this.#queue = [];
    return this.#socket.close();
  }

  /** @returns false when the system takes nothing at the moment. */
  #trySend(datagrams: Uint8Array, segmentBytes: number, to: UdpAddress): boolean {
    const count = Math.ceil(datagrams.length / segmentBytes);
    if (count > 1 && !this.#batches) return this.#sendSingly(datagrams, segmentBytes, to) !== 'busy';
    const result = this.#socket.send(datagrams, segmentBytes, to);
    if (result === 'busy') return false;
    if (result === 'sent') this.#count(count, datagrams.length);
    else if (count === 1) this.statistics.sendsDropped++;
    // A batch is refused when its datagrams are too long for the interface, or the interface knows no batches.
    else if (this.#sendSingly(datagrams, segmentBytes, to) === 'sent') {
      if (++this.#refused >= MAX_REFUSED_BATCHES) this.#batches = false;
    }
    return true;
  }

  /** @returns 'sent' when all went; what does not go at once is lost. */
  #sendSingly(datagrams: Uint8Array, segmentBytes: number, to: UdpAddress): 'sent' | 'busy' | 'failed' {
    for (let at = 0; at < datagrams.length; at += segmentBytes) {
      const datagram = datagrams.subarray(at, at + segmentBytes);
      const result = this.#socket.send(datagram, segmentBytes, to);
      if (result === 'sent') {
        this.#count(1, datagram.length);
        continue;
      }
      if (result === 'busy' && at === 0) return 'busy';
      this.statistics.sendsDropped += Math.ceil((datagrams.length - at) / segmentBytes);
      return 'failed';
    }
    return 'sent';
  }

  #count(datagrams: number, bytes: number): void {
    this.statistics.datagramsSent += datagrams;
    this.statistics.bytesSent += bytes;
  }

  #enqueue(datagrams: Uint8Array, segmentBytes: number, to: UdpAddress): void {
    if (this.#queuedBytes + datagrams.length > MAX_QUEUED_BYTES) {
      this.statistics.sendsDropped += Math.ceil(datagrams.length / segmentBytes);
      return;
    }
    this.#queue.push({ bytes: datagrams.slice(), segmentBytes, to });
    this.#queuedBytes += datagrams.length;
    this.#retry ??= setTimeout(() => this.#expiredRetry(), RETRY_MS).unref();
  }

  #expiredRetry(): void {
    this.#retry = undefined;
    let done = 0;
    for (const { bytes, segmentBytes, to } of this.#queue) {
      if (!this.#trySend(bytes, segmentBytes, to)) break;
      this.#queuedBytes -= bytes.length;
      done++;
    }
    this.#queue.splice(0, done);
    if (this.#queue.length > 0) this.#retry = setTimeout(() => this.#expiredRetry(), RETRY_MS).unref();
  }
}

async function openDgram(options: UdpPortOptions): Promise<UdpPort> {
  try {
    return await bindDgram(options, options.host);
  } catch (error) {
    if (options.host !== '::') throw error;
    return bindDgram(options, '0.0.0.0');
  }
}

function bindDgram(options: UdpPortOptions, host: string): Promise<UdpPort> {
  const type = isIPv6(host.split('%')[0] ?? '') ? 'udp6' : 'udp4';
  const socket = createSocket({
    type,
    // Addresses are numeric: nothing is looked up.
    lookup: (name, _options, found) => found(null, name, isIPv6(name) ? 6 : 4),
  });
  return new Promise((resolve, reject) => {
    socket.once('error', (error) => {
      socket.close();
      reject(error);
    });
    socket.bind({ address: host, port: options.port, exclusive: true }, () => {
      socket.removeAllListeners('error');
      resolve(new DgramPort(socket, type === 'udp6', options));
    });
  });
}

class DgramPort implements UdpPort {
  readonly batched = false;
  readonly statistics = createStatistics();
  readonly address: UdpAddress;
  readonly #socket: Socket;
  readonly #dual: boolean;
  #closed: Promise<void> | undefined;

  constructor(socket: Socket, dual: boolean, options: UdpPortOptions) {
    this.#socket = socket;
    this.#dual = dual;
    const { address, port } = socket.address();
    this.address = { host: address, port };
    try {
      socket.setRecvBufferSize(DGRAM_BUFFER_BYTES);
      socket.setSendBufferSize(DGRAM_BUFFER_BYTES);
    } catch {
      // The system's limit holds.
    }
    socket.on('error', () => undefined); // what one destination refuses is no fault of the port
    socket.on('message', (datagram, from) => {
      if (this.#closed !== undefined) return;
      this.statistics.datagramsReceived++;
      this.statistics.bytesReceived += datagram.length;
      const host = from.address.startsWith(MAPPED) ? from.address.slice(MAPPED.length) : from.address;
      options.onDatagram(datagram, { host, port: from.port });
    });
  }

  send(datagram: Uint8Array, to: UdpAddress): void {
    const { statistics } = this;
    if (this.#closed !== undefined || this.#socket.getSendQueueSize() > MAX_QUEUED_BYTES) {
      statistics.sendsDropped++;
      return;
    }
    const host = this.#dual && !isIPv6(to.host.split('%')[0] ?? '') ? MAPPED + to.host : to.host;
    try {
      this.#socket.send(datagram.slice(), to.port, host, (error) => {
        if (error !== null) {
          statistics.sendsDropped++;
          return;
        }
        statistics.datagramsSent++;
        statistics.bytesSent += datagram.length;
      });
    } catch {
      statistics.sendsDropped++; // port 0 and the like
    }
  }

  sendBatch(datagrams: Uint8Array, segmentBytes: number, to: UdpAddress): void {
    for (let at = 0; at < datagrams.length; at += segmentBytes)
      this.send(datagrams.subarray(at, at + segmentBytes), to);
  }

  close(): Promise<void> {
    this.#closed ??= new Promise((resolve) => {
      this.#socket.close(() => resolve());
    });
    return this.#closed;
  }
}
