/** Runs the program of writer-program.ts and reads what it says. */
import { join } from 'node:path';
import { sh } from '../e2e/lab.ts';

export interface Written {
  /** The call that failed; undefined when none did. */
  readonly call?: string;
  readonly code?: string;
}

const PROGRAM = join(import.meta.dirname, 'writer-program.js');

/** @param ending what the program does after its last write, before it closes the file. */
export async function write(path: string, bytes: number, ending: 'fsync' | 'close' = 'close'): Promise<Written> {
  const args = [process.execPath, PROGRAM, path, String(bytes), ending];
  return JSON.parse(await sh('"$@"', args, { timeoutMs: 30_000 })) as Written;
}
