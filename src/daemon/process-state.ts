/** What the kernel says of a process: proc(5), /proc/PID/stat. */
import { readFileSync } from 'node:fs';

/** Whether the process is there, and not a zombie that waits for its parent. */
export function isAlive(pid: number): boolean {
  const state = stateOf(pid);
  return state !== undefined && !'ZX'.includes(state);
}

/** Whether the process is there and stands still: SIGSTOP, Ctrl-Z. (One that is traced does so now and then.) */
export function isStopped(pid: number): boolean {
  return stateOf(pid) === 'T';
}

/** One letter; undefined if there is no such process. */
function stateOf(pid: number): string | undefined {
  try {
    // The state follows the name, which may itself hold anything.
    return /\) ([A-Za-z]) [^)]*$/.exec(readFileSync(`/proc/${pid}/stat`, 'latin1'))?.[1];
  } catch {
    return undefined;
  }
}
