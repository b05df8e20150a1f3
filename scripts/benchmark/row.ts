/** A row of the benchmark: one workload, where it runs, and what is asked of each system. */
import type { LinkOptions } from './link.ts';
import type { Stage, System, SystemName } from './stage.ts';

/** quick: small amounts, one round. */
export type Scale = 'full' | 'quick';

export interface Target {
  /** Better than sshfs (cubic) in the same run by this factor. */
  readonly ratio?: number;
  /** In the row's unit. */
  readonly atLeast?: number;
  readonly atMost?: number;
  /** This part of the row's reference in the same run. */
  readonly ofReference?: number;
}

export interface Row {
  readonly name: string;
  /** In words, for the table. */
  readonly about: string;
  readonly unit: string;
  /** Times, delays, sizes: less is better. */
  readonly lessIsBetter?: boolean;
  /** undefined: loopback. */
  readonly link: LinkOptions | undefined;
  readonly systems: readonly SystemName[];
  readonly targets: Readonly<Partial<Record<SystemName, Target>>>;
  /** Part of `--quick`. */
  readonly quick?: boolean;
  /** So much memory is fetched before each run, MiB. */
  readonly warmMiB?: number;
  /** At most so many rounds. */
  readonly rounds?: number;
  /** One run. @returns the figure in `unit`. */
  measure(stage: Stage, system: System, scale: Scale): Promise<number>;
  /** What the same machine and link let through at all; once a round. */
  readonly reference?: (stage: Stage) => Promise<number>;
}
