/** What a node looks like from outside: whether it lives, what it says in its log, what memory it has. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { alive, type Host } from '../e2e/lab.ts';

const MIB = 2 ** 20;
/** Said by a node whose code failed where nobody was above to catch it. */
const FAULTS = /"?(node\.crash|node\.rejection)/;

/** Memory in use by the process (VmRSS), MiB. */
export function residentMib(pid: number): number {
  const found = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'));
  if (found === null) throw new Error(`process ${pid} says nothing of its memory`);
  return (Number(found[1]) * 1024) / MIB;
}

/** What is wrong with the node of this host, by its process and its log; undefined: nothing. */
export function faultOf(host: Host, pid: number): string | undefined {
  const file = join(host.home, 'node.log');
  const lines = existsSync(file) ? readFileSync(file, 'utf8').split('\n') : [];
  const said = lines.find((line) => FAULTS.test(line));
  if (said !== undefined) return `the node of ${host.name} says ${said}`;
  return alive(pid) ? undefined : `the node of ${host.name} has ended; ${lines.slice(-5).join('\n')}`;
}

/** Of measured times or sizes. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}
