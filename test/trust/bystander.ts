/**
 * A peer that minds its own business while another misbehaves: bob works in a share of alice's, again and again, and each
 * operation is timed. The operations go to alice and her disk: nothing of them can be answered by bob's own node.
 */
import { join } from 'node:path';
import { run, type Host } from '../e2e/lab.ts';
import { median } from './node-watch.ts';

/** An operation that takes longer has failed. */
const LIMIT_MS = 10_000;
const PAUSE_MS = 250;

export interface Bystander {
  /** Ends it. @returns times in milliseconds. @throws Error when an operation failed. */
  end(): Promise<{ readonly count: number; readonly medianMs: number; readonly worstMs: number }>;
}

/** @param folder a writable one in the mount. */
export function startBystander(who: Host, folder: string): Bystander {
  const times: number[] = [];
  let ended = false;
  let failure: string | undefined;
  const isEnded = (): boolean => ended;
  const work = async (): Promise<void> => {
    while (!isEnded()) {
      const file = join(folder, `written-${times.length % 8}`);
      const argv = ['dd', 'if=/dev/zero', `of=${file}`, 'bs=4096', 'count=1', 'conv=fsync', 'status=none'];
      const outcome = await run([...who.enter, ...argv], { timeoutMs: LIMIT_MS });
      if (outcome.status !== 0) failure ??= `${outcome.status} after ${outcome.ms.toFixed(0)} ms: ${outcome.stderr}`;
      times.push(outcome.ms);
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  };
  const working = work();
  return {
    async end() {
      ended = true;
      await working;
      if (failure !== undefined) throw new Error(`another peer's write failed: ${failure}`);
      return { count: times.length, medianMs: median(times), worstMs: Math.max(...times) };
    },
  };
}
