/** What a busy machine adds to a time that is promised, where the time is that of several processes' work. */
import { availableParallelism, loadavg } from 'node:os';

/**
 * @param ownMs what it adds when nothing runs but the test itself.
 * @returns as much longer as more wants to run than there are cores, milliseconds.
 */
export function slackMs(ownMs: number): number {
  return ownMs * Math.max(1, (loadavg()[0] ?? 0) / availableParallelism());
}
