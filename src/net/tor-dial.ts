/**
 * Connections to onion services through a Tor's SOCKS port. Owns what its replies mean; the SOCKS5 exchange itself is
 * that of npm `socks`.
 *
 * Specification: RFC 1928; torspec socks-extensions and proposal 304 (the replies from 0xF0 on, which Tor sends where
 * its SocksPort has the flag ExtendedErrors).
 */
import type { Socket } from 'node:net';
import { SocksClient } from 'socks';
import type { Clock } from '../clock.ts';
import { PeerfsError } from '../errors.ts';
import { connectTo, type TorAddress } from './tor-control.ts';

/** Tuning: Tor itself gives up after two minutes. Milliseconds. */
const DIAL_MS = 90_000;

/** RFC 1928 and proposal 304: replies, in words. */
const REPLIES: Readonly<Record<number, string>> = {
  0x01: 'Tor failed',
  0x04: 'the onion service is not there',
  0x05: 'the onion service refused the connection',
  0x06: 'Tor took too long',
  0xf0: 'the onion service is not published',
  0xf1: 'what is published of the onion service is not valid',
  0xf2: 'the onion service could not be introduced to',
  0xf3: 'the onion service did not come to the meeting',
  0xf4: 'the onion service is restricted, and there is no key for it',
  0xf5: 'the onion service is restricted, and our key is not allowed',
  0xf6: 'this is no onion address',
  0xf7: 'the onion service took too long to answer',
};
const LATE: ReadonlySet<number> = new Set([0x06, 0xf7]);
/** Specification: where the reply stands in all that the server sends before the data, with a password. */
const REPLY_AT = 2 + 2 + 1;

export interface DialOptions {
  readonly socks: TorAddress;
  readonly host: string;
  readonly port: number;
  /** Streams of other users of the same Tor share no circuit with those of this name. */
  readonly isolation: string;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/** @returns a paused socket, the caller's. Rejects EHOSTDOWN, ETIMEDOUT, CANCELLED. */
export async function dialOnion({ socks, host, port, isolation, clock, signal }: DialOptions): Promise<Socket> {
  const socket = await connectTo(socks, clock, signal);
  let answer = Buffer.alloc(0);
  const end: { late?: boolean } = {};
  const listen = (chunk: Buffer): void => {
    if (answer.length <= REPLY_AT) answer = Buffer.concat([answer, chunk.subarray(0, REPLY_AT + 1)]);
  };
  const destroy = (): void => void socket.destroy();
  // `socks` forgets its own listener when it gives up.
  socket.on('error', destroy);
  socket.on('data', listen);
  const timer = clock.after(DIAL_MS, () => {
    end.late = true;
    destroy();
  });
  signal.addEventListener('abort', destroy);
  if (isAborted(signal)) destroy();
  try {
    await SocksClient.createConnection({
      command: 'connect',
      destination: { host, port },
      // The socket is connected already: the proxy's address is not used.
      proxy: { host: 'localhost', port: 1, type: 5, userId: 'peerfs', password: isolation },
      existing_socket: socket,
      timeout: 2 * DIAL_MS,
    });
    return await settled(socket);
  } catch {
    // What npm socks throws holds the password, so it goes no further.
    destroy();
    socket.on('error', () => undefined);
    if (isAborted(signal)) throw new PeerfsError('CANCELLED', 'no longer wanted');
    const reply = answer.length > REPLY_AT ? answer.readUInt8(REPLY_AT) : 0;
    if (end.late === true || LATE.has(reply)) throw new PeerfsError('ETIMEDOUT', REPLIES[reply] ?? 'Tor took too long');
    throw new PeerfsError('EHOSTDOWN', REPLIES[reply] ?? 'Tor closed the connection');
  } finally {
    timer.cancel();
    signal.removeEventListener('abort', destroy);
    socket.off('data', listen);
    socket.off('error', destroy);
  }
}

const isAborted = (signal: AbortSignal): boolean => signal.aborted;

/**
 * npm `socks` gives back what came behind the reply, and lets the socket flow, a moment after it said that it is done:
 * what flows until then is kept, and put back.
 */
function settled(socket: Socket): Promise<Socket> {
  const early: Buffer[] = [];
  const keep = (chunk: Buffer): void => void early.push(chunk);
  socket.on('data', keep);
  return new Promise((resolve, reject) =>
    setImmediate(() => {
      socket.pause();
      socket.off('data', keep);
      if (socket.destroyed) return reject(new PeerfsError('EHOSTDOWN', 'the connection was closed'));
      if (early.length > 0) socket.unshift(Buffer.concat(early));
      resolve(socket);
    }),
  );
}
