/**
 * TcpEndpoint: the stream half of an endpoint: over TCP, and, listening for nobody but Tor, over onion services. Makes
 * paths of connections whose handshake is done, both dialled and accepted. Sockets until then are tcp-port.ts; who is
 * let in is the Handshaker's affair.
 */
import type { Socket } from 'node:net';
import type { Clock } from '../clock.ts';
import type { Identity } from '../crypto/identity.ts';
import type { SessionKeys } from '../crypto/session-keys.ts';
import { createStream } from '../crypto/stream.ts';
import { PeerfsError } from '../errors.ts';
import { withReceiveBuffer } from '../sys/receive-buffer.ts';
import { LIMITS } from '../wire/schema.ts';
import { readAnswer, type Dialled, type DialTarget, type Handshaker } from './handshaker.ts';
import { createTcpPath, PACKET_TYPE_BYTES, type TcpPath } from './tcp-path.ts';
import { dialTcp, listenTcp, plainHost } from './tcp-port.ts';

/** Tuning. Milliseconds, for the connection and its handshake. */
const DIAL_MS = { tcp: 5000, tor: 60_000 } as const;
/** An answered connection that nothing comes on is closed after this. */
const PROVISIONAL_MS = 10_000;

export interface TcpEndpointOptions {
  readonly kind: 'tcp' | 'tor';
  /** Makes a connected, paused socket. Rejects EHOSTDOWN, CANCELLED. */
  readonly connect: (host: string, port: number, signal: AbortSignal) => Promise<Socket>;
  readonly listen: { readonly host: string; readonly port: number };
  readonly identity: Identity;
  readonly handshaker: Handshaker;
  readonly clock: Clock;
  /** A peer reached us, and can be dialled at `home` (port 0: it does not say). */
  readonly onPath: (peerId: string, path: TcpPath, home: { readonly host: string; readonly port: number }) => void;
}

export interface TcpEndpoint {
  readonly port: number;
  /** Connections that proved nothing. */
  readonly dropped: number;
  /** Rejects ETIMEDOUT, EHOSTDOWN, INVITE_*, CANCELLED. */
  connect(target: DialTarget, signal: AbortSignal): Promise<Dialled>;
  close(): Promise<void>;
}

interface NewTcpPath {
  readonly socket: Socket;
  /** What came behind the handshake. */
  readonly head: Uint8Array;
  readonly keys: SessionKeys;
  /** Ed25519 key of the peer. */
  readonly publicKey: Uint8Array;
  readonly isInitiator: boolean;
  readonly onConfirmed?: () => void;
}

/** @throws PeerfsError ENVIRONMENT when the address cannot be bound. */
export async function openTcpEndpoint(options: TcpEndpointOptions): Promise<TcpEndpoint> {
  const { kind, listen, identity, handshaker, clock, onPath } = options;
  const open = new Set<TcpPath>();
  /** Those of paths, until they are closed: a path's last words may be under way. */
  const sockets = new Set<Socket>();
  let dropped = 0;

  const createPath = (connected: NewTcpPath): TcpPath => {
    const { head, keys, publicKey, isInitiator, onConfirmed } = connected;
    const socket = withReceiveBuffer(connected.socket);
    const path = createTcpPath({
      kind,
      socket,
      head,
      stream: createStream({
        keys,
        maxFrameBytes: LIMITS.frameBytes + PACKET_TYPE_BYTES,
        now: clock.now(),
      }),
      clock,
      rekeying: handshaker.rekeying(publicKey, isInitiator, () => 0),
      onEnd: () => open.delete(path),
      ...(onConfirmed === undefined ? {} : { onConfirmed }),
    });
    open.add(path);
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    return path;
  };

  const listener = await listenTcp({
    ...listen,
    identity,
    clock,
    isOneSource: kind === 'tor',
    onDropped: () => (dropped += 1),
    onMessage: (message1, host) => handshaker.answer(message1, kind === 'tor' ? undefined : host, () => 0),
    onWelcome: (socket, head, { peerId, publicKey, keys, remotePort }) => {
      // Tor's connections come from this computer, whoever makes them.
      const home = { host: plainHost(socket.remoteAddress ?? ''), port: kind === 'tor' ? 0 : remotePort };
      const onConfirmed = () => onPath(peerId, path, home);
      const path = createPath({ socket, head, keys, publicKey, isInitiator: false, onConfirmed });
      clock.after(PROVISIONAL_MS, () => {
        if (!path.isConfirmed()) path.close();
      });
    },
  });

  return {
    port: listener.port,
    get dropped() {
      return dropped;
    },
    async connect(target, signal) {
      const { host, port, publicKey } = target;
      const initiation = handshaker.begin(target, 0);
      try {
        const connect = (each: AbortSignal) => options.connect(host, port, each);
        const timeoutMs = DIAL_MS[kind];
        const { socket, message2, head } = await dialTcp({ connect, initiation, clock, timeoutMs, signal });
        const done = initiation.finish(message2);
        try {
          if (done === undefined) throw new PeerfsError('EHOSTDOWN', 'somebody else answers there');
          const { name } = readAnswer(done.payload);
          return { path: createPath({ socket, head, keys: done.keys, publicKey, isInitiator: true }), name };
        } catch (error) {
          done?.keys.destroy();
          socket.destroy();
          throw error;
        }
      } finally {
        initiation.abandon();
      }
    },
    async close() {
      for (const path of [...open]) path.close();
      const gone = [...sockets].map((socket) => new Promise<void>((resolve) => socket.once('close', () => resolve())));
      await Promise.all([...gone, listener.close()]);
    },
  };
}
