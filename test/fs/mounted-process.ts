/**
 * A child process that mounts something, seen from the test: starts it, talks to it by JSON lines, ends it and what it
 * leaves behind. And programs that work on the mount, each with a time limit. The test itself never touches a mount:
 * it could hang for good.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtemp, rmdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { readMounts } from '../../src/sys/mount.ts';

/** Nothing in these tests takes longer unless it hangs. */
const LIMIT_MS = 60_000;

export interface ProgramResult {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly output: string;
  readonly errors: string;
}

export interface ProgramOptions {
  readonly input?: string;
}

/** Runs a program to its end, or kills it. */
export function runProgram(argv: readonly [string, ...string[]], options: ProgramOptions = {}): Promise<ProgramResult> {
  const [program, ...rest] = argv;
  const child = spawn(program, rest, {
    stdio: ['pipe', 'pipe', 'pipe'],
    timeout: LIMIT_MS,
    killSignal: 'SIGKILL',
  });
  let [output, errors] = ['', ''];
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString('utf8')));
  child.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString('utf8')));
  child.stdin.on('error', () => undefined);
  child.stdin.end(options.input ?? '');
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => resolve({ code, signal, output, errors }));
  });
}

/** Runs a Python script with arguments. @returns what it printed. @throws with its traceback when it fails */
export async function python(script: string, ...parameters: readonly string[]): Promise<string> {
  const { code, signal, output, errors } = await runProgram(['python3', '-', ...parameters], { input: script });
  if (code !== 0) throw new Error(`the program failed (${code ?? signal ?? '?'}): ${errors}${output}`);
  return output;
}

export interface MountedProcess {
  readonly directory: string;
  readonly process: ChildProcess;
  /** The first line it says: 'ready', or why not. */
  readonly greeting: unknown;
  /** Sends a command. @returns the answer. */
  ask(command: object): Promise<unknown>;
  /** The reason that the mount's onEnd was called with, each time. */
  readonly ends: readonly string[];
  /** Settles when onEnd was called. */
  readonly ended: Promise<void>;
  readonly exited: Promise<void>;
  /** Ends the process and what it left. Idempotent. */
  close(): Promise<void>;
}

export interface StartOptions {
  /** Of the script, behind the mountpoint. */
  readonly setting: object;
  /** Default: a folder of its own. */
  readonly directory?: string;
  /** What starts it, such as setpriv with its options; must become it by exec. */
  readonly wrapper?: readonly string[];
}

/** @param script URL of the compiled script; its arguments are the mountpoint and the setting as JSON. */
export async function startMounted(script: URL, options: StartOptions): Promise<MountedProcess> {
  const own = options.directory === undefined ? await mkdtemp(join(tmpdir(), 'peerfs-mount-')) : undefined;
  const directory = options.directory ?? own ?? '';
  const node = [process.execPath, script.pathname, directory, JSON.stringify(options.setting)];
  const [program = '', ...rest]: readonly string[] = [...(options.wrapper ?? []), ...node];
  const child = spawn(program, rest, { stdio: ['pipe', 'pipe', 'inherit'] });
  const answers: ((value: unknown) => void)[] = [];
  const early: unknown[] = [];
  const ends: string[] = [];
  let onEnded: () => void = () => undefined;
  const ended = new Promise<void>((resolve) => (onEnded = resolve));
  const exited = new Promise<void>((resolve) => child.on('close', () => resolve()));
  createInterface({ input: child.stdout }).on('line', (line) => {
    const value = JSON.parse(line) as unknown;
    if (typeof value === 'object' && value !== null && 'ended' in value) {
      ends.push(String(value.ended));
      onEnded();
      return;
    }
    const answer = answers.shift();
    if (answer === undefined) early.push(value);
    else answer(value);
  });
  child.stdin.on('error', () => undefined);
  const next = (): Promise<unknown> => {
    const had = early.shift();
    if (had !== undefined) return Promise.resolve(had);
    const answer = new Promise<unknown>((resolve) => answers.push(resolve));
    return Promise.race([answer, exited.then(() => Promise.reject(new Error('the mounting process has ended')))]);
  };
  const close = async (): Promise<void> => {
    child.stdin.end();
    const limit = setTimeout(() => child.kill('SIGKILL'), LIMIT_MS / 4);
    await exited;
    clearTimeout(limit);
    for (const { mountpoint } of readMounts().filter((entry) => entry.mountpoint === directory)) {
      await runProgram(['umount', '-l', mountpoint]);
    }
    if (own !== undefined) await rmdir(own);
  };
  let closing: Promise<void> | undefined;
  const greeting = await next();
  return {
    directory,
    process: child,
    greeting,
    ends,
    ended,
    exited,
    async ask(command) {
      child.stdin.write(`${JSON.stringify(command)}\n`);
      const reply = await next();
      if (typeof reply === 'object' && reply !== null && 'answer' in reply) return reply.answer;
      throw new Error(JSON.stringify(reply));
    },
    close: () => (closing ??= close()),
  };
}
