/** Runs POSIX_PROGRAM and holds what it prints against what may fail. */
import { run } from '../e2e/lab.ts';
import { POSIX_PROGRAM } from './posix-program.ts';

/** Who runs the cases: see POSIX_PROGRAM. */
export type Caller = 'root' | 'user' | 'self';

export interface PosixRun {
  readonly passed: ReadonlySet<string>;
  /** By name: what was expected and what came. */
  readonly failed: ReadonlyMap<string, string>;
  readonly ms: number;
}

/** Cases that may fail on a mount. Each must fail: one that has begun to hold is to be taken off the list. */
export interface PosixException {
  readonly reason: string;
  readonly cases: readonly string[];
}

const TIME_LIMIT_MS = 150_000;

/**
 * @param directory empty and on the file system to be judged.
 * @param only cases whose names contain it.
 * @throws unless the program came to its end in time.
 */
export async function runPosixCases(directory: string, caller: Caller, only = ''): Promise<PosixRun> {
  const argv = ['python3', '-B', '-', directory, caller, only];
  const { status, stdout, stderr, ms } = await run(argv, { input: POSIX_PROGRAM, timeoutMs: TIME_LIMIT_MS });
  const lines = stdout.split('\n');
  if (status !== 0 || !lines.includes('done')) {
    throw new Error(
      `the cases as ${caller} ended with ${status} after ${ms.toFixed(0)} ms: ${lines.slice(-3).join(' | ')} ${stderr.slice(-3000)}`,
    );
  }
  const passed = new Set<string>();
  const failed = new Map<string, string>();
  for (const line of lines) {
    const [word, name = '', what = ''] = line.split('\t');
    if (word === 'ok') passed.add(name);
    else if (word === 'not ok') failed.set(name, what);
  }
  return { passed, failed, ms };
}

/** @returns a line for each case that failed unexpectedly, and for each exception that did not fail. */
export function judge({ passed, failed }: PosixRun, exceptions: readonly PosixException[]): string[] {
  const excepted = new Set(exceptions.flatMap(({ cases }) => cases));
  const wrong = [...failed].filter(([name]) => !excepted.has(name)).map(([name, what]) => `${name}: ${what}`);
  const healed = [...excepted].filter((name) => passed.has(name)).map((name) => `${name}: holds, though it is listed`);
  return [...wrong, ...healed];
}
