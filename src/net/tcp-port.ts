/**
 * TCP connections until their handshake is done: the listener that takes message 1 from strangers and stays silent
 * unless it proves something, and dialling. Owns half-open connections and their bounds; paths take over from there.
 *
 * A stranger sees one thing whatever it does: its bytes are taken, nothing comes back, and after a random time the
 * connection is closed. So it is for noise, for a handshake that proves nothing, for one cut short, and for the
 * connection over the limit of its source, whose bytes are thrown away unread. Only when those too are many are
 * connections closed at once.
 */
import { randomInt } from 'node:crypto';
import { createServer, connect, type Server, type Socket } from 'node:net';
import type { Clock, Timer } from '../clock.ts';
import { HANDSHAKE_LIMITS, messageLength, type Initiation } from '../crypto/handshake.ts';
import type { Identity } from '../crypto/identity.ts';
import { PeerfsError } from '../errors.ts';
import { sourceOf } from './rate-limit.ts';
import type { ResponderAnswer, Welcome } from './responder.ts';

/** Tuning. */
const MAX_HALF_OPEN = 256;
const MAX_HALF_OPEN_PER_SOURCE = 16;
/** Connections over those limits that are held open for show. */
const MAX_DECOYS = 256;
/** Who has proven nothing is closed after a random time between these. Milliseconds. */
const UNPROVEN_LEAST_MS = 5_000;
const UNPROVEN_MOST_MS = 30_000;
/** What a connection may send before its handshake proves itself; a peer's first frames may follow at once. Bytes. */
const MAX_EARLY_BYTES = 64 * 1024;
/** Who was told why it is refused has so long to close. Milliseconds. */
const REFUSED_MS = 2_000;

export interface TcpListenerOptions {
  readonly host: string;
  readonly port: number;
  readonly identity: Identity;
  readonly clock: Clock;
  /** All come from one address, whoever they are, as from Tor: a source has no share of its own to use up. */
  readonly isOneSource?: boolean;
  /** A whole message 1. @returns undefined for silence. */
  readonly onMessage: (message1: Uint8Array, host: string) => ResponderAnswer;
  /** Message 2 is on its way; `head` came behind message 1. */
  readonly onWelcome: (socket: Socket, head: Uint8Array, welcome: Welcome) => void;
  /** A connection ended, or was never listened to, and had proven nothing. */
  readonly onDropped: () => void;
}

export interface TcpListener {
  readonly port: number;
  close(): Promise<void>;
}

/** @throws PeerfsError ENVIRONMENT when the address cannot be bound. */
export async function listenTcp(options: TcpListenerOptions): Promise<TcpListener> {
  const { host, port, identity, clock, isOneSource = false } = options;
  const halfOpen = new Map<Socket, string>();
  const decoys = new Set<Socket>();
  const refused = new Set<Socket>();

  /** Ends the connection some time from now, as if nobody were there. */
  const expire = (socket: Socket): Timer =>
    clock.after(randomInt(UNPROVEN_LEAST_MS, UNPROVEN_MOST_MS), () => {
      options.onDropped();
      socket.destroy();
    });

  const hold = (socket: Socket): void => {
    if (decoys.size >= MAX_DECOYS) {
      options.onDropped();
      socket.destroy();
      return;
    }
    decoys.add(socket);
    const timer = expire(socket);
    socket.on('close', () => {
      timer.cancel();
      decoys.delete(socket);
    });
    // Without a listener for it, what comes is thrown away; closing with bytes unread would show as a reset.
    socket.resume();
  };

  /** Whoever never closes its end would keep the connection, and the listener from closing, for ever. */
  const refuse = (socket: Socket): void => {
    refused.add(socket);
    socket.end();
    const timer = clock.after(REFUSED_MS, () => socket.destroy());
    socket.on('close', () => {
      timer.cancel();
      refused.delete(socket);
    });
  };

  const accept = (socket: Socket): void => {
    const source = sourceOf(plainHost(socket.remoteAddress ?? ''));
    socket.on('error', () => socket.destroy());
    const ofSource = [...halfOpen.values()].filter((other) => other === source).length;
    const most = isOneSource ? MAX_HALF_OPEN : MAX_HALF_OPEN_PER_SOURCE;
    if (halfOpen.size >= MAX_HALF_OPEN || ofSource >= most) return hold(socket);
    halfOpen.set(socket, source);
    let gathered = Buffer.alloc(0);
    let expected: number | undefined;
    let silent = false;
    const end = (): void => {
      timer.cancel();
      halfOpen.delete(socket);
      decoys.delete(socket);
    };
    const timer = expire(socket);
    const take = (chunk: Buffer): void => {
      // A stranger is read to the deadline and never answered: when we gave up is not to be seen.
      if (silent) return;
      gathered = Buffer.concat([gathered, chunk]);
      if (gathered.length < HANDSHAKE_LIMITS.headerBytes) return;
      expected ??= messageLength(identity, gathered.subarray(0, HANDSHAKE_LIMITS.headerBytes));
      if (expected === undefined || gathered.length > MAX_EARLY_BYTES) return hush();
      if (gathered.length < expected) return;
      const answer = options.onMessage(gathered.subarray(0, expected), plainHost(socket.remoteAddress ?? ''));
      if (answer === undefined) return hush();
      end();
      socket.off('data', take);
      socket.write(answer.message);
      if (answer.keys === undefined) refuse(socket);
      else options.onWelcome(socket, gathered.subarray(expected), answer);
    };
    const hush = (): void => {
      silent = true;
      gathered = Buffer.alloc(0);
      // Where all are of one source, noise must not keep the others out.
      if (!isOneSource || decoys.size >= MAX_DECOYS) return;
      halfOpen.delete(socket);
      decoys.add(socket);
    };
    socket.on('data', take);
    socket.on('close', end);
  };

  const server = createServer({ noDelay: true }, accept);
  await bind(server, host, port);
  // A connection that could not be taken (no descriptors left) is no end of the node.
  server.on('error', options.onDropped);
  const bound = server.address();
  return {
    port: bound !== null && typeof bound === 'object' ? bound.port : port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of [...halfOpen.keys(), ...decoys, ...refused]) socket.destroy();
      }),
  };
}

function bind(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) =>
      reject(
        new PeerfsError('ENVIRONMENT', `cannot listen on TCP ${host}:${port}: ${cause.code ?? cause.message}`, {
          cause,
          hint: 'Choose another address or port with --listen.',
        }),
      ),
    );
    server.listen({ host, port }, resolve);
  });
}

/** IPv4 as such, also where it comes through a dual-stack socket. */
export function plainHost(host: string): string {
  return host.startsWith('::ffff:') ? host.slice(7) : host;
}

/** Connects to an address. @returns a paused socket. Rejects EHOSTDOWN, CANCELLED. */
export function connectTcp(host: string, port: number, signal: AbortSignal): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, noDelay: true });
    const settle = (act: () => void): void => {
      signal.removeEventListener('abort', aborted);
      socket.off('error', failed).off('connect', connected);
      act();
    };
    const fail = (error: PeerfsError): void =>
      settle(() => {
        socket.on('error', () => undefined);
        socket.destroy();
        reject(error);
      });
    const aborted = () => fail(new PeerfsError('CANCELLED', 'no longer wanted'));
    const failed = (cause: Error) => fail(new PeerfsError('EHOSTDOWN', 'cannot connect', { cause }));
    const connected = () => settle(() => resolve(socket.pause()));
    signal.addEventListener('abort', aborted);
    socket.on('error', failed).on('connect', connected);
    if (signal.aborted) aborted();
  });
}

export interface DialOptions {
  /** Makes a connected, paused socket. */
  readonly connect: (signal: AbortSignal) => Promise<Socket>;
  readonly initiation: Initiation;
  readonly clock: Clock;
  /** For the connection and the handshake. */
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

export interface DialledSocket {
  /** Paused. */
  readonly socket: Socket;
  readonly message2: Uint8Array;
  /** What came behind it. */
  readonly head: Uint8Array;
}

/** Connects, sends message 1 and reads message 2. Rejects ETIMEDOUT, EHOSTDOWN, CANCELLED. */
export async function dialTcp({
  connect: open,
  initiation,
  clock,
  timeoutMs,
  signal,
}: DialOptions): Promise<DialledSocket> {
  const stop = new AbortController();
  let late = false;
  const timer = clock.after(timeoutMs, () => {
    late = true;
    stop.abort();
  });
  /** Asked anew after each wait, which the compiler cannot see. */
  const isLate = () => late;
  const aborted = () => stop.abort();
  signal.addEventListener('abort', aborted);
  if (signal.aborted) aborted();
  try {
    const socket = await open(stop.signal);
    return await shakeHands(socket, initiation, stop.signal);
  } catch (error) {
    if (isLate()) throw new PeerfsError('ETIMEDOUT', 'no answer');
    throw error;
  } finally {
    timer.cancel();
    signal.removeEventListener('abort', aborted);
  }
}

function shakeHands(socket: Socket, initiation: Initiation, signal: AbortSignal): Promise<DialledSocket> {
  return new Promise((resolve, reject) => {
    let gathered = Buffer.alloc(0);
    const settle = (act: () => void): void => {
      signal.removeEventListener('abort', aborted);
      socket.off('error', failed).off('close', closed).off('data', take);
      act();
    };
    const fail = (error: PeerfsError): void =>
      settle(() => {
        socket.on('error', () => undefined);
        socket.destroy();
        reject(error);
      });
    const aborted = () => fail(new PeerfsError('CANCELLED', 'no longer wanted'));
    const failed = (cause: Error) => fail(new PeerfsError('EHOSTDOWN', 'cannot connect', { cause }));
    const closed = () => fail(new PeerfsError('EHOSTDOWN', 'the connection was closed'));
    const take = (chunk: Buffer): void => {
      gathered = Buffer.concat([gathered, chunk]);
      if (gathered.length < HANDSHAKE_LIMITS.headerBytes) return;
      const length = initiation.answerLength(gathered.subarray(0, HANDSHAKE_LIMITS.headerBytes));
      if (length === undefined || length > HANDSHAKE_LIMITS.messageBytes) {
        return fail(new PeerfsError('EHOSTDOWN', 'somebody else answers there'));
      }
      if (gathered.length < length) return;
      settle(() => {
        socket.pause();
        resolve({ socket, message2: gathered.subarray(0, length), head: gathered.subarray(length) });
      });
    };
    signal.addEventListener('abort', aborted);
    if (signal.aborted) return aborted();
    socket.on('error', failed).on('close', closed).on('data', take);
    socket.write(initiation.message);
    socket.resume();
  });
}
