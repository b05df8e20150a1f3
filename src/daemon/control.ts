/**
 * The control socket of a running node: takes requests of its own user's processes and hands them to the node.
 * Owns the socket file (0600, in a folder that is 0700), who may connect, and the limits; not what the methods do.
 */
import { chmodSync, closeSync, constants, openSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { dirname } from 'node:path';
import { PeerfsError } from '../errors.ts';
import type { Logger } from '../log.ts';
import { socketPeer } from '../sys/socket-peer.ts';
import {
  CONTROL_VERSION,
  readJsonLines,
  socketAddress,
  type ControlCalls,
  type ControlMethod,
  type ControlReply,
} from './control-protocol.ts';
import { toControlError, traceOf, understand } from './failure.ts';

/** Connections at once; more are refused. */
const CONNECTIONS = 64;
/** What may wait for a caller that does not read, beyond one more line: progress above it is dropped. Tuning, bytes. */
const BACKLOG_BYTES = 1024 * 1024;

export interface ControlContext {
  /**
   * Tells the user what is going on.
   * @returns false when it was dropped: the caller is gone, or reads too slowly.
   */
  progress(text: string): boolean;
  /** Aborted when the caller is gone. */
  readonly signal: AbortSignal;
}

/** Parameters are as the caller sent them: each handler checks what it takes. */
export type ControlHandlers = {
  readonly [M in ControlMethod]: (
    params: Readonly<Record<string, unknown>>,
    context: ControlContext,
  ) => Promise<ControlCalls[M]['result']>;
};

export interface ControlSocket {
  /** Idempotent; requests in flight are cut off. */
  close(): void;
}

/** Replaces a socket file that a killed node left: the caller holds the home's lock. */
export async function openControlSocket(path: string, handlers: ControlHandlers, log: Logger): Promise<ControlSocket> {
  rmSync(path, { force: true });
  const sockets = new Set<Socket>();
  const server = createServer({ pauseOnConnect: false }, (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => socket.destroy());
    if (!isOwnUser(socket)) {
      log.warn('control.refused');
      socket.destroy();
      return;
    }
    serveConnection(socket, handlers, log);
  });
  server.maxConnections = CONNECTIONS;
  const folder = openSync(dirname(path), constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await listen(server, socketAddress(path, folder));
  } finally {
    closeSync(folder);
  }
  chmodSync(path, 0o600);
  let open = true;
  return {
    close() {
      if (!open) return;
      open = false;
      server.close();
      for (const socket of sockets) socket.destroySoon();
      rmSync(path, { force: true });
    },
  };
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    // Nobody else may connect in the moment before chmod either: the folder is 0700.
    server.listen(path, () => {
      server.removeListener('error', reject);
      resolve();
    });
  });
}

function isOwnUser(socket: Socket): boolean {
  const handle: unknown = Reflect.get(socket, '_handle');
  const descriptor: unknown = typeof handle === 'object' && handle !== null ? Reflect.get(handle, 'fd') : undefined;
  if (typeof descriptor !== 'number') return false;
  try {
    const { uid } = socketPeer(descriptor);
    return uid === process.getuid?.() || uid === 0;
  } catch {
    return false;
  }
}

function serveConnection(socket: Socket, handlers: ControlHandlers, log: Logger): void {
  const gone = new AbortController();
  socket.on('close', () => gone.abort());
  let asked = false;
  const send = (reply: ControlReply) => {
    if (socket.writable) socket.write(`${JSON.stringify(reply)}\n`);
  };
  readJsonLines(socket, (value) => {
    if (asked) return;
    asked = true;
    const progress = (text: string): boolean => {
      if (!socket.writable || socket.writableLength > BACKLOG_BYTES) return false;
      send({ progress: text });
      return true;
    };
    const context: ControlContext = { progress, signal: gone.signal };
    answer(value, handlers, context)
      .catch((error: unknown): ControlReply => {
        if (understand(error) === undefined) log.error('control.failed', { error: traceOf(error) });
        return { error: toControlError(error) };
      })
      .then((reply) => {
        send(reply);
        socket.end();
      })
      .catch((error: unknown) => log.error('control.reply', { error: traceOf(error) }));
  });
}

async function answer(value: unknown, handlers: ControlHandlers, context: ControlContext): Promise<ControlReply> {
  const request = isRecord(value) ? value : {};
  const { version, method, params } = request;
  if (version !== CONTROL_VERSION) {
    throw new PeerfsError('USAGE', 'the running node is of another version of peerfs', {
      hint: 'Restart it: peerfs stop && peerfs start',
    });
  }
  if (typeof method !== 'string' || !isMethod(method, handlers)) {
    throw new PeerfsError('USAGE', 'the running node does not know this command', {
      hint: 'Restart it: peerfs stop && peerfs start',
    });
  }
  return { result: await handlers[method](isRecord(params) ? params : {}, context) };
}

function isMethod(method: string, handlers: ControlHandlers): method is ControlMethod {
  return Object.hasOwn(handlers, method);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
