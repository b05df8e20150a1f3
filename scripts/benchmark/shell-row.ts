/** Rows whose workload is a shell script that is timed. */
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { sh } from '../../test/e2e/lab.ts';
import type { Row, Scale } from './row.ts';
import { dropCaches, warmMemory, type Stage, type System } from './stage.ts';

const LIMIT_MS = 1_800_000;

/** $1: a fresh folder as mounted, $2: the same at the serving side, $3: a local one, $4: the count, $5: the mountpoint's parent. */
export interface ShellRow extends Omit<Row, 'measure'> {
  /** How much one run does; a rival that takes minutes may do less of it. */
  readonly count: Readonly<Record<Scale, number>>;
  readonly rivalCount?: number;
  /** Units a count: MB of a MiB, say. The figure is count x factor / seconds; with lessIsBetter it is the seconds. */
  readonly factor?: number;
  /** Not timed. */
  readonly prepare?: string;
  readonly timed: string;
}

export function shellRow(given: ShellRow): Row {
  const { count, rivalCount, factor = 1, prepare = ':', timed, ...row } = given;
  return {
    ...row,
    async measure(stage: Stage, system: System, scale: Scale): Promise<number> {
      const isRival = system.host === undefined;
      const amount = isRival && rivalCount !== undefined ? Math.min(rivalCount, count[scale]) : count[scale];
      const name = randomBytes(4).toString('hex');
      const served = join(stage.served, name);
      const local = join(stage.directory, name);
      const args = [join(system.mounted, name), served, local, String(amount)];
      await sh('mkdir -p "$2" "$3"', args);
      await sh(prepare, args, { timeoutMs: LIMIT_MS });
      if (row.warmMiB !== undefined) warmMemory(scale === 'quick' ? row.warmMiB / 4 : row.warmMiB);
      dropCaches();
      const started = performance.now();
      await sh(timed, args, { timeoutMs: LIMIT_MS });
      const seconds = (performance.now() - started) / 1000;
      await sh('rm -rf "$2" "$3"', args, { timeoutMs: LIMIT_MS });
      return row.lessIsBetter === true ? seconds : (amount * factor) / seconds;
    },
  };
}
