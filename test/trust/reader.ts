/** How fast bob reads a file of alice's, past his kernel's cache: what others' misbehaviour may cost a living session. */
import { run, type Host } from '../e2e/lab.ts';
import { median } from './node-watch.ts';

const LIMIT_MS = 60_000;
const MIB = 2 ** 20;

/** Reads the file, of so many bytes, again and again for a while. @returns MiB a second of the run in the middle. */
export async function readingRate(who: Host, file: string, sizeBytes: number, forMs: number): Promise<number> {
  const rates: number[] = [];
  const until = performance.now() + forMs;
  do {
    const argv = ['dd', `if=${file}`, 'of=/dev/null', 'bs=1M', 'iflag=direct', 'status=none'];
    const outcome = await run([...who.enter, ...argv], { timeoutMs: LIMIT_MS });
    if (outcome.status !== 0) throw new Error(`reading failed after ${outcome.ms.toFixed(0)} ms: ${outcome.stderr}`);
    rates.push(sizeBytes / MIB / (outcome.ms / 1000));
  } while (performance.now() < until);
  return median(rates);
}
