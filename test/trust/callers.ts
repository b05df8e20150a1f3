/**
 * Processes that make one operation on a mount each (caller-program.ts), seen from the test: started ready, let go together,
 * sent signals, and timed. They are children with pipes, so this process never touches the mount and no hang is its own.
 */
import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CALLER_PROGRAM, OPERATIONS, type Operation } from './caller-program.ts';

/** What SIGUSR1 does to a caller: ends it; interrupts its calls; restarts them (sigaction(2), SA_RESTART). */
export type Handling = 'default' | 'handler' | 'restart';

export interface CallerOptions {
  /** Undefined: default. */
  readonly handling?: Handling;
  /** Wait for a signal when the call has returned, instead of ending. */
  readonly stays?: boolean;
  /** Undefined: all. */
  readonly operations?: readonly Operation[];
  /** Each in a folder of its own, as prepareFolders() makes them. */
  readonly isApart?: boolean;
}

export interface CallerEnd {
  readonly operation: Operation;
  /** `ok`, the name of an errno, or of the signal that ended it; `hung` when it did not end in time. */
  readonly result: string;
  /** What the call itself took, as the caller measured it; NaN if it did not live to tell. */
  readonly ms: number;
  /** From the start of the call to the end of the process, which closes what it had open. */
  readonly goneMs: number;
  /** SIGUSR1s that its handler saw. */
  readonly signals: number;
}

export interface Caller {
  readonly operation: Operation;
  go(): void;
  signal(signal: NodeJS.Signals): void;
  /** Settles when the process has ended; after `limitMs` with the result `hung` and SIGKILL for it. */
  ended(limitMs: number): Promise<CallerEnd>;
}

/** A file is larger than what is fetched with its opening, and what is read of it lies at its end. */
const FILE_BYTES = 4 * 1024 * 1024;
/** Python starts in 20 ms; many at once on a busy machine take longer. */
const READY_LIMIT_MS = 20_000;

/** Makes a folder with what the operations need. @param folder on the serving side's disk. */
export function prepareFolder(folder: string, operations: readonly Operation[] = OPERATIONS): void {
  mkdirSync(join(folder, 'listed', 'empty'), { recursive: true });
  const contents = Buffer.alloc(FILE_BYTES, 'peerfs ');
  for (const operation of operations) writeFileSync(join(folder, operation), contents);
}

/** The same, a folder for each operation: the kernel has those that change a folder wait for each other. */
export function prepareFolders(folder: string): void {
  for (const operation of OPERATIONS) prepareFolder(join(folder, operation), [operation]);
}

/** Starts one caller an operation; settles when all of them have prepared. @param folder in the mount. */
export async function startCallers(
  folder: string,
  { handling = 'default', stays = false, operations = OPERATIONS, isApart = false }: CallerOptions = {},
): Promise<readonly Caller[]> {
  const started = operations.map((operation) =>
    startCaller(operation, [
      isApart ? join(folder, operation) : folder,
      operation,
      handling,
      ...(stays ? ['stay'] : []),
    ]),
  );
  try {
    await Promise.all(started.map(({ ready }) => ready));
  } catch (error) {
    for (const { caller } of started) caller.signal('SIGKILL');
    throw error;
  }
  return started.map(({ caller }) => caller);
}

function startCaller(
  operation: Operation,
  args: readonly string[],
): { readonly caller: Caller; readonly ready: Promise<void> } {
  const child = spawn('python3', ['-c', CALLER_PROGRAM, ...args], { stdio: 'pipe' });
  let said = '';
  let wrong = '';
  let begunAt = NaN;
  child.stderr.on('data', (chunk: Buffer) => (wrong += chunk.toString()));
  child.stdin.on('error', () => undefined);
  const gone = new Promise<CallerEnd>((resolve) => {
    child.on('exit', (_code, signal) => {
      const goneMs = performance.now() - begunAt;
      // Its last words may still be in the pipe.
      child.on('close', () => {
        const line = said.split('\n')[1];
        const { result, ms, signals } =
          line === undefined || line === '' ? { result: signal ?? wrong, ms: NaN, signals: 0 } : parseReport(line);
        resolve({ operation, result, ms, goneMs, signals });
      });
    });
  });
  const ready = firstLine(child, () => said, operation);
  child.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()));
  const caller: Caller = {
    operation,
    go() {
      begunAt = performance.now();
      child.stdin.write('go\n');
    },
    signal: (signal) => void child.kill(signal),
    async ended(limitMs) {
      let timer: NodeJS.Timeout | undefined;
      const late = new Promise<CallerEnd>((resolve) => {
        timer = setTimeout(() => {
          child.kill('SIGKILL');
          resolve({ operation, result: 'hung', ms: NaN, goneMs: Infinity, signals: 0 });
        }, limitMs);
      });
      return Promise.race([gone, late]).finally(() => clearTimeout(timer));
    },
  };
  return { caller, ready };
}

function firstLine(child: ChildProcessWithoutNullStreams, said: () => string, operation: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const limit = setTimeout(() => reject(new Error(`${operation}: not prepared in time`)), READY_LIMIT_MS);
    const settle = (end: () => void) => {
      clearTimeout(limit);
      end();
    };
    child.stdout.on('data', (chunk: Buffer) => {
      if (`${said()}${chunk.toString()}`.startsWith('ready\n')) settle(resolve);
    });
    child.on('error', (error) => settle(() => reject(error)));
    child.on('exit', () => settle(() => reject(new Error(`${operation}: could not prepare`))));
  });
}

function parseReport(line: string): { readonly result: string; readonly ms: number; readonly signals: number } {
  return JSON.parse(line) as { readonly result: string; readonly ms: number; readonly signals: number };
}
