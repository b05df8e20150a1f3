/** Two TcpPaths joined by a real connection on loopback, under the keys of a real handshake. */
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import type { Clock } from '../../src/clock.ts';
import { initiate, respond } from '../../src/crypto/handshake.ts';
import { createIdentity } from '../../src/crypto/identity.ts';
import { createStream, type SealedStream } from '../../src/crypto/stream.ts';
import { createRekeying } from '../../src/net/rekeying.ts';
import { createTcpPath, PACKET_TYPE_BYTES, type TcpPath } from '../../src/net/tcp-path.ts';
import { LIMITS } from '../../src/wire/schema.ts';

const NO_BYTES = new Uint8Array(0);

export interface TcpPair {
  /** The first began the connection. */
  readonly paths: readonly [TcpPath, TcpPath];
  readonly sockets: readonly [Socket, Socket];
  readonly streams: readonly [SealedStream, SealedStream];
  close(): void;
}

/** @param clock of both ends. */
export async function createTcpPair(clock: Clock, kind: 'tcp' | 'tor' = 'tcp'): Promise<TcpPair> {
  const identities = [createIdentity(), createIdentity()] as const;
  const psk = new Uint8Array(32);
  const initiation = initiate({
    identity: identities[0],
    remotePublicKey: identities[1].publicKey,
    psk,
    payload: NO_BYTES,
  });
  const answer = respond(identities[1], initiation.message)?.complete(psk)?.answer(NO_BYTES);
  const keys = answer && initiation.finish(answer.message)?.keys;
  if (answer === undefined || keys === undefined) throw new Error('the handshake failed');

  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address !== 'object') throw new Error('no port');
  const accepted = once(server, 'connection') as Promise<[Socket]>;
  const dialled = connect(address.port, '127.0.0.1');
  await once(dialled, 'connect');
  const [taken] = await accepted;
  server.close();

  const sockets = [dialled, taken] as const;
  const options = { maxFrameBytes: LIMITS.frameBytes + PACKET_TYPE_BYTES, now: clock.now() };
  const streams = [createStream({ keys, ...options }), createStream({ keys: answer.keys, ...options })] as const;
  const make = (side: 0 | 1): TcpPath =>
    createTcpPath({
      kind,
      socket: sockets[side],
      stream: streams[side],
      clock,
      rekeying: createRekeying({
        identity: identities[side],
        remotePublicKey: identities[side === 0 ? 1 : 0].publicKey,
        pairSecret: () => psk,
        isInitiator: side === 0,
        newIndex: () => 0,
        clock,
      }),
    });
  const paths = [make(0), make(1)] as const;
  return {
    paths,
    sockets,
    streams,
    close() {
      for (const path of paths) path.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}
