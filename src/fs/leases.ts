/**
 * The lease table of a node: which peer was promised to be told before what it knows of a directory stops being true.
 */
import type { Clock } from '../clock.ts';

export interface LeaseTableOptions {
  readonly clock: Clock;
  /** How long a lease lives after the last call of its holder, milliseconds. */
  readonly leaseMs?: number;
}

export class LeaseTable {
  readonly leaseMs: number;
  readonly clock: Clock;

  constructor(options: LeaseTableOptions) {
    this.clock = options.clock;
    this.leaseMs = options.leaseMs ?? 10_000;
  }
}
