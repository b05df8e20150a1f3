/** The CLI's end of the control socket. Light on purpose: every command loads this file. */
import { closeSync, constants, openSync } from 'node:fs';
import { connect } from 'node:net';
import { dirname } from 'node:path';
import { isErrorCode, PeerfsError } from '../errors.ts';
import {
  CONTROL_VERSION,
  readJsonLines,
  socketAddress,
  type ControlCalls,
  type ControlError,
  type ControlMethod,
} from './control-protocol.ts';
import type { Home } from './home.ts';

export interface AskOptions {
  readonly onProgress?: (text: string) => void;
  /** Gets what the node says in place of onProgress, where a method's progress is for programs. */
  readonly onLine?: (line: string) => void;
  /** Aborting ends the wait with CANCELLED; a node cannot be told to give up what it has begun. */
  readonly signal?: AbortSignal;
  /** Fail with ETIMEDOUT after this time. Without it the answer is waited for: accepting may take days. */
  readonly limitMs?: number;
}

/** A node answers at once, or says what it is doing. Milliseconds. */
const SILENCE_MS = 4000;
/** For questions that are answered from memory. Milliseconds. */
const QUICK_MS = 10_000;

/**
 * One request to the node of this home.
 * @throws NODE_NOT_RUNNING when there is none; what the node answered otherwise.
 */
export function askNode<M extends ControlMethod>(
  home: Home,
  method: M,
  params: ControlCalls[M]['params'],
  options: AskOptions = {},
): Promise<ControlCalls[M]['result']> {
  return new Promise((resolve, reject) => {
    let folder: number;
    try {
      folder = openSync(dirname(home.socket), constants.O_RDONLY | constants.O_DIRECTORY);
    } catch (error) {
      reject(notRunning(home, error));
      return;
    }
    const socket = connect(socketAddress(home.socket, folder));
    let heard = false;
    const cancel = () => done(() => reject(new PeerfsError('CANCELLED', 'cancelled')));
    const done = (settle: () => void) => {
      clearTimeout(silence);
      clearTimeout(limit);
      options.signal?.removeEventListener('abort', cancel);
      socket.destroy();
      settle();
    };
    const silence = setTimeout(() => options.onProgress?.('Waiting for the node to answer...'), SILENCE_MS);
    const limit =
      options.limitMs === undefined ? undefined : setTimeout(() => done(() => reject(mute(home))), options.limitMs);
    options.signal?.addEventListener('abort', cancel, { once: true });
    if (options.signal?.aborted === true) cancel();
    socket.on('connect', () => socket.write(`${JSON.stringify({ version: CONTROL_VERSION, method, params })}\n`));
    socket.on('error', (error) => done(() => reject(notRunning(home, error))));
    socket.on('close', () => {
      closeSync(folder);
      clearTimeout(silence);
      clearTimeout(limit);
      options.signal?.removeEventListener('abort', cancel);
      const message = heard ? 'the node has stopped' : 'the node ended before it answered';
      reject(new PeerfsError('NODE_NOT_RUNNING', message, { hint: seeLog(home) }));
    });
    readJsonLines(socket, (reply) => {
      if (typeof reply !== 'object' || reply === null) return;
      clearTimeout(silence);
      heard = true;
      if ('progress' in reply) (options.onLine ?? options.onProgress)?.(String(reply.progress));
      else if ('result' in reply) done(() => resolve(reply.result as ControlCalls[M]['result']));
      else if ('error' in reply) done(() => reject(fromControlError(reply.error as ControlError)));
    });
  });
}

/** Whether a node of this home answers. */
export async function isRunning(home: Home): Promise<boolean> {
  try {
    await askNode(home, 'id', {}, { limitMs: QUICK_MS });
    return true;
  } catch (error) {
    if (error instanceof PeerfsError && error.code === 'NODE_NOT_RUNNING') return false;
    throw error;
  }
}

export function fromControlError(error: ControlError): PeerfsError {
  const code = isErrorCode(error.code) ? error.code : 'EIO';
  return new PeerfsError(code, error.message, error.hint === undefined ? {} : { hint: error.hint });
}

function mute(home: Home): PeerfsError {
  return new PeerfsError('ETIMEDOUT', `the node of ${home.directory} does not answer`, {
    hint: `Look at ${home.logFile}; the process is in ${home.pidFile}.`,
  });
}

function seeLog(home: Home): string {
  return `Its log: ${home.logFile}`;
}

function notRunning(home: Home, error: unknown): PeerfsError {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  if (code === 'EACCES' || code === 'EPERM') {
    return new PeerfsError('EACCES', `the node of ${home.directory} belongs to another user`, {
      hint: 'Name your own home with --home or PEERFS_HOME.',
      cause: error,
    });
  }
  return new PeerfsError('NODE_NOT_RUNNING', `no node is running for the home ${home.directory}`, {
    hint: 'Start one: peerfs start (or: peerfs mount)',
    cause: error,
  });
}
