/** Which signals wait for a thread, and whether one has ended it: proc_pid_status(5), proc_pid_stat(5). */
import { readFileSync } from 'node:fs';
import { constants } from 'node:os';

const { SIGHUP, SIGINT, SIGQUIT, SIGKILL, SIGTERM } = constants.signals;
const bit = (signal: number): number => 1 << (signal - 1);
/** Signals that mean "stop what you do". Others, such as SIGCHLD, SIGALRM or SIGURG, must not fail a system call. */
const ENDING = bit(SIGHUP) | bit(SIGINT) | bit(SIGQUIT) | bit(SIGKILL) | bit(SIGTERM);

/**
 * @param thread id of a thread; 0 for one that this process cannot see.
 * @returns whether an ending signal waits for it, or it is gone.
 */
export function hasEndingSignal(thread: number): boolean {
  if (thread === 0) return false;
  let status;
  try {
    status = readFileSync(`/proc/${thread}/status`, 'latin1');
  } catch {
    return true;
  }
  return ((mask(status, 'SigPnd') | mask(status, 'ShdPnd')) & ~mask(status, 'SigBlk') & ENDING) !== 0;
}

/** The low 32 signals of a line such as `SigPnd:	0000000000000002`. */
function mask(status: string, field: string): number {
  const start = status.indexOf(`${field}:`);
  if (start < 0) return 0;
  const end = status.indexOf('\n', start);
  return parseInt(status.slice(end - 8, end), 16) | 0;
}

/** include/linux/sched.h */
const PF_EXITING = 4;
/** Of a wait status (wait(2)): the signal that ended the process. */
const SIGNAL_MASK = 0x7f;
/** Positions behind the name, which may hold anything: flags is field 9, exit_code field 52. */
const FLAGS_FIELD = 9 - 3;
const EXIT_CODE_FIELD = 52 - 3;

/**
 * @param thread id of a thread; 0 for one that this process cannot see.
 * @returns whether a signal has ended it and it is on its way out, closing what it had open; or it is gone.
 */
export function isDying(thread: number): boolean {
  if (thread === 0) return false;
  let status;
  try {
    status = readFileSync(`/proc/${thread}/stat`, 'latin1');
  } catch {
    return true;
  }
  const fields = status.slice(status.lastIndexOf(')') + 2).split(' ');
  const isExiting = (Number(fields[FLAGS_FIELD]) & PF_EXITING) !== 0;
  return isExiting && (Number(fields[EXIT_CODE_FIELD]) & SIGNAL_MASK) !== 0;
}
