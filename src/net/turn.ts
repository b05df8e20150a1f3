/**
 * Relay at a TURN server, reached by datagrams from the node's own UDP port or by a connection. Owns the way to the
 * server and beginning anew when it is lost; the protocol is turn-allocation.ts.
 */
import { connect, type Socket } from 'node:net';
import type { Clock, Timer } from '../clock.ts';
import { formatHostPort } from '../host-port.ts';
import type { Logger } from '../log.ts';
import { STUN_HEADER_BYTES } from '../wire/stun.ts';
import type { Relay } from './relay.ts';
import type { SharedPort } from './shared-port.ts';
import { TurnAllocation } from './turn-allocation.ts';
import { reaches } from './targets.ts';
import type { UdpAddress } from './udp-port.ts';

/** Tuning. */
/** A server that is lost is tried again after a pause between these. Milliseconds. */
const PAUSE_FIRST_MS = 1_000;
const PAUSE_MOST_MS = 60_000;
/** An allocation that was of use for so long is asked for again at once when it is lost. Milliseconds. */
const SETTLED_MS = 10_000;
/** A connection that is being closed has so long to send what was handed over last. Milliseconds. */
const LINGER_MS = 1_000;
const CONNECT_MS = 10_000;
/** Bytes that wait for a connection to take them; more are dropped, as a full queue on the way would. */
const MAX_QUEUED_BYTES = 1 << 20;
/** The longest message or ChannelData over a connection, header included. Bytes. */
const MAX_MESSAGE_BYTES = 66_000;
/** Those who were let through are let through again after the server was lost. */
const MAX_PERMITTED = 64;

export interface RelayServer {
  /** A name, or numeric without brackets. */
  readonly host: string;
  readonly port: number;
  readonly transport: 'udp' | 'tcp';
  readonly username: string;
  readonly password: string;
}

export interface RelayOptions {
  readonly server: RelayServer;
  /** Over UDP the server is spoken to from here. */
  readonly port: SharedPort;
  /** Numeric addresses of a name. */
  readonly resolve: (host: string) => Promise<readonly string[]>;
  readonly clock: Clock;
  readonly randomBytes: (length: number) => Uint8Array;
  readonly log: Logger;
}

/** The way to the server. */
interface Carrier {
  send(bytes: Uint8Array): void;
  close(): void;
}

/** Begins at once; never waits for the server. */
export function openRelay(options: RelayOptions): Relay {
  const { server, port, resolve, clock, randomBytes, log } = options;
  const listeners = new Set<() => void>();
  const permitted = new Set<string>();
  let receive: (datagram: Uint8Array, from: UdpAddress) => void = () => undefined;
  let carrier: Carrier | undefined;
  let allocation: TurnAllocation | undefined;
  let fault: string | undefined;
  let pauseMs = PAUSE_FIRST_MS;
  let attempts = 0;
  let allocatedAt: number | undefined;
  /** Either until the next attempt, or until the allocation has something to do. */
  let timer: Timer | undefined;
  let isPausing = false;
  /** When the timer of the allocation expires. */
  let armedAt = Infinity;
  let closed = false;

  const changed = (): void => {
    for (const listener of [...listeners]) listener();
  };

  const pause = (ms: number): void => {
    isPausing = true;
    timer?.cancel();
    timer = clock.after(ms, () => void begin());
  };

  const lost = (reason: string): void => {
    if (closed) return;
    const isSettled = allocatedAt !== undefined && clock.now() - allocatedAt >= SETTLED_MS;
    allocation = undefined;
    allocatedAt = undefined;
    carrier?.close();
    carrier = undefined;
    fault = reason;
    log.debug('turn.lost', { reason });
    armedAt = Infinity;
    pause(isSettled ? 0 : pauseMs);
    pauseMs = isSettled ? PAUSE_FIRST_MS : Math.min(PAUSE_MOST_MS, pauseMs * 2);
    changed();
  };

  /** Sees to it that the allocation is called when it has something to do. */
  const arm = (): void => {
    if (allocation === undefined || closed) return;
    const { dueAt } = allocation;
    // A timer that expires too early costs less than one for each datagram.
    if (dueAt >= armedAt) return;
    timer?.cancel();
    armedAt = dueAt;
    timer = clock.after(Math.max(0, dueAt - clock.now()), expired);
  };
  const expired = (): void => {
    armedAt = Infinity;
    allocation?.tick(clock.now());
    arm();
  };

  const begin = async (): Promise<void> => {
    isPausing = false;
    const found = await resolve(server.host).catch(() => []);
    if (closed) return;
    const usable = found.filter((one) => server.transport === 'tcp' || reaches(port.address.host, one));
    // One address that leads nowhere does not stand before the others for ever.
    const host = usable[attempts++ % Math.max(1, usable.length)];
    if (host === undefined) return lost('its name has no address that can be reached from here');
    const made = new TurnAllocation({
      username: server.username,
      password: server.password,
      isLossy: server.transport === 'udp',
      randomBytes,
      send: (bytes) => carrier?.send(bytes),
      onData: (datagram, from) => receive(datagram, from),
      onAllocated() {
        fault = undefined;
        attempts -= 1;
        allocatedAt = clock.now();
        changed();
      },
      onFailed: lost,
    });
    const start = (): void => {
      allocation = made;
      made.start(clock.now());
      for (const permittedHost of permitted) made.permit(permittedHost, clock.now());
      arm();
    };
    const input = (bytes: Uint8Array): boolean => {
      const isTaken = allocation === made && made.input(bytes, clock.now());
      arm();
      return isTaken;
    };
    const address = { host, port: server.port };
    if (server.transport === 'udp') {
      const leave = port.admit({ input }, address);
      carrier = { send: (bytes) => port.send(bytes, address), close: leave };
      start();
    } else {
      carrier = openConnection({ address, clock, onOpen: start, onMessage: (bytes) => void input(bytes), onEnd: lost });
    }
  };
  void begin();

  const send = (datagram: Uint8Array, to: UdpAddress): void => {
    allocation?.sendTo(datagram, to, clock.now());
    arm();
  };
  return {
    server: formatHostPort(server.host, server.port),
    transport: server.transport,
    get address() {
      return allocation?.relayed;
    },
    get fault() {
      return allocation?.relayed === undefined ? fault : undefined;
    },
    send,
    sendBatch(datagrams, segmentBytes, to) {
      for (let at = 0; at < datagrams.length; at += segmentBytes) send(datagrams.subarray(at, at + segmentBytes), to);
    },
    permit(host) {
      // Whoever was asked for last is the last to be forgotten.
      permitted.delete(host);
      permitted.add(host);
      for (const oldest of permitted) {
        if (permitted.size <= MAX_PERMITTED) break;
        permitted.delete(oldest);
      }
      allocation?.permit(host, clock.now());
      arm();
    },
    networkChanged() {
      if (closed) return;
      if (allocation?.relayed !== undefined) {
        allocation.check(clock.now());
        return arm();
      }
      pauseMs = PAUSE_FIRST_MS;
      if (isPausing) pause(0);
    },
    onChange(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    onDatagram(listener) {
      receive = listener;
    },
    async close() {
      if (closed) return;
      closed = true;
      timer?.cancel();
      allocation?.close(clock.now());
      carrier?.close();
    },
  };
}

interface ConnectionOptions {
  readonly address: UdpAddress;
  readonly clock: Clock;
  readonly onOpen: () => void;
  /** One whole message or ChannelData. */
  readonly onMessage: (bytes: Uint8Array) => void;
  readonly onEnd: (reason: string) => void;
}

/** A connection to the server, cut into messages. RFC 8489 section 6.2.2, RFC 8656 sections 12.4 and 12.5. */
function openConnection({ address, clock, onOpen, onMessage, onEnd }: ConnectionOptions): Carrier {
  const socket: Socket = connect({ ...address, noDelay: true });
  let gathered: Buffer = Buffer.alloc(0);
  let closed = false;
  const end = (reason: string): void => {
    if (closed) return;
    close();
    onEnd(reason);
  };
  const close = (): void => {
    closed = true;
    limit.cancel();
    socket.on('error', () => undefined);
    // What was handed over last, the end of the allocation, may still go out.
    socket.end();
    clock.after(LINGER_MS, () => socket.destroy());
  };
  const limit = clock.after(CONNECT_MS, () => end('cannot be connected to'));
  socket.on('connect', () => {
    limit.cancel();
    if (!closed) onOpen();
  });
  socket.on('error', () => end('cannot be connected to'));
  socket.on('close', () => end('closed the connection'));
  socket.on('data', (chunk: Buffer) => {
    gathered = gathered.length === 0 ? chunk : Buffer.concat([gathered, chunk]);
    while (!closed && gathered.length >= 4) {
      const first = gathered.readUInt8(0);
      const isChannel = first >= 0x40;
      if (first >= 0x50) return end('breaks the protocol');
      const length = gathered.readUInt16BE(2) + (isChannel ? 4 : STUN_HEADER_BYTES);
      const padded = Math.ceil(length / 4) * 4;
      if (padded > MAX_MESSAGE_BYTES) return end('breaks the protocol');
      if (gathered.length < padded) return;
      onMessage(gathered.subarray(0, length));
      gathered = gathered.subarray(padded);
    }
  });
  return {
    send(bytes) {
      if (closed || socket.writableLength > MAX_QUEUED_BYTES) return;
      const padding = (4 - (bytes.length % 4)) % 4;
      socket.write(padding === 0 ? bytes : Buffer.concat([bytes, Buffer.alloc(padding)]));
    },
    close,
  };
}
