/**
 * Starting a node as a process of its own, in the background or as the foreground child of a command. Owns how the
 * process is made and how its readiness or failure reaches whoever started it; src/daemon/main.ts is what runs in it.
 *
 * Light on purpose: the CLI loads this file.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { PeerfsError } from '../errors.ts';
import type { ConfigOverrides } from './config.ts';
import { fromControlError } from './control-client.ts';
import type { ControlError, MountStatus } from './control-protocol.ts';
import { prepareHome } from './home.ts';

/** How long a node may take to be ready. Taking down a dead mount is the longest part of it. */
const READY_MS = 20_000;
/** libuv's pool also carries system calls that wait for a disk (src/sys/libc.ts); its default is 4. */
const THREADS = 16;

export interface MountRequest {
  /** Absolute. */
  readonly directory?: string | undefined;
  readonly allowOther: boolean;
  readonly readOnly: boolean;
}

/** What main.ts is told in its parent's first message: nothing of it is for everybody's eyes. */
export type FirstMessage = Pick<NodeArguments, 'overrides' | 'passphrase'>;

/** What main.ts is given, but for FirstMessage as JSON, as its only argument: it can be seen in the process list. */
export interface NodeArguments {
  readonly home: string;
  readonly overrides: ConfigOverrides;
  /** Of a sealed identity; does not stand among the arguments. */
  readonly passphrase?: string | undefined;
  readonly mount?: MountRequest | undefined;
  /** Log to standard error, and end when standard input does. */
  readonly foreground: boolean;
}

export interface ReadyReport {
  readonly pid: number;
  readonly listening: readonly string[];
  readonly mount?: MountStatus | undefined;
}

/** What main.ts says to its parent. */
export type NodeReport =
  { readonly ready: ReadyReport } | { readonly progress: string } | { readonly error: ControlError };

export type LaunchOptions = Omit<NodeArguments, 'foreground'> & {
  readonly onProgress?: (text: string) => void;
};

/** Starts a node in the background. Settles when it is ready. @throws what kept it from starting. */
export async function launchNode(options: LaunchOptions): Promise<ReadyReport> {
  const home = prepareHome(options.home);
  const log = openSync(home.logFile, 'a', 0o600);
  try {
    const child = spawnNode({ ...options, home: home.directory, foreground: false }, ['ignore', log, log, 'ipc']);
    const ready = await readiness(child, options.onProgress, `Its log: ${home.logFile}`);
    child.disconnect();
    child.unref();
    return ready;
  } finally {
    closeSync(log);
  }
}

export interface ForegroundNode {
  readonly ready: Promise<ReadyReport>;
  /** Settles with its exit code when it has ended. */
  readonly ended: Promise<number>;
}

/** Runs a node until it ends; SIGINT, SIGTERM and SIGHUP go on to it, and it ends with this process. */
export function runNode(options: LaunchOptions): ForegroundNode {
  const home = prepareHome(options.home);
  // The pipe to its standard input closes with this process, however that ends.
  const child = spawnNode({ ...options, home: home.directory, foreground: true }, [
    'pipe',
    'inherit',
    'inherit',
    'ipc',
  ]);
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => child.kill(signal === 'SIGHUP' ? 'SIGTERM' : signal));
  }
  return {
    ready: readiness(child, options.onProgress, `Its home: ${home.directory}`),
    ended: new Promise((resolve, reject) => {
      child.on('exit', (code, signal) => {
        if (code !== null) resolve(code);
        else reject(new PeerfsError('EIO', `the node was ended from outside (${signal ?? 'no reason given'})`));
      });
    }),
  };
}

function spawnNode(node: NodeArguments, stdio: ('ignore' | 'pipe' | 'inherit' | 'ipc' | number)[]): ChildProcess {
  const { home, overrides, passphrase, mount, foreground } = node;
  const argument = JSON.stringify({ home, mount, foreground } satisfies Omit<NodeArguments, keyof FirstMessage>);
  const child = spawn(process.execPath, [join(import.meta.dirname, 'main.js'), argument], {
    // A terminal's Ctrl-C reaches the foreground command, which passes it on once.
    detached: true,
    cwd: '/',
    stdio,
    // A code that an acceptance is to find there is no business of the node's.
    env: { ...process.env, PEERFS_CODE: undefined, UV_THREADPOOL_SIZE: String(THREADS) },
  });
  // Settings may hold what is not for everybody's eyes (a bridge): they do not stand among the arguments.
  if (child.connected) child.send({ overrides, passphrase } satisfies FirstMessage, () => undefined);
  return child;
}

function readiness(
  child: ChildProcess,
  onProgress: ((text: string) => void) | undefined,
  hint: string,
): Promise<ReadyReport> {
  return new Promise((resolve, reject) => {
    const failed = (message: string) => reject(new PeerfsError('NODE_START_FAILED', message, { hint }));
    const limit = setTimeout(() => {
      failed(`the node was not ready within ${READY_MS / 1000} seconds`);
      child.kill('SIGTERM');
      child.unref();
    }, READY_MS);
    child.on('message', (report: NodeReport) => {
      if ('progress' in report) onProgress?.(report.progress);
      else if ('ready' in report) {
        clearTimeout(limit);
        resolve(report.ready);
      } else {
        clearTimeout(limit);
        reject(fromControlError(report.error));
      }
    });
    child.on('error', (error) => failed(`the node cannot be started: ${error.message}`));
    child.on('exit', (code, signal) => {
      clearTimeout(limit);
      failed(`the node ended while it started (${signal ?? `exit code ${code ?? 'unknown'}`})`);
    });
  });
}
