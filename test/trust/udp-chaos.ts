/** A bad network between two nodes: starts udp-chaos-program.ts and tells it what to spoil. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Address } from './raw-peer.ts';

/** Rates are probabilities of a datagram, 0 to 1. */
export interface Troubles {
  readonly lossRate: number;
  /** As much is lost, but many in a row. */
  readonly burstRate: number;
  readonly duplicateRate: number;
  /** Comes up to 80 ms late. */
  readonly reorderRate: number;
  /** One bit is another. */
  readonly corruptRate: number;
  readonly cutRate: number;
  /** Longer ones are lost. */
  readonly mtuBytes: number;
  /** 0: only to the target; 1: only from it; undefined: both ways. */
  readonly only?: 0 | 1;
}

export const NO_TROUBLE: Troubles = {
  lossRate: 0,
  burstRate: 0,
  duplicateRate: 0,
  reorderRate: 0,
  corruptRate: 0,
  cutRate: 0,
  mtuBytes: 65_535,
};

/** What was done to datagrams, counted. */
export interface Spoilt {
  passed: number;
  lost: number;
  duplicated: number;
  late: number;
  corrupted: number;
  cut: number;
  tooLong: number;
}

export interface Chaos {
  /** Stands for the target. */
  readonly at: Address;
  /** From now on, instead of those before. */
  set(troubles: Partial<Troubles>): void;
  /** Idempotent. */
  close(): Promise<Spoilt>;
}

const PROGRAM = join(import.meta.dirname, 'udp-chaos-program.js');

export async function startChaos(target: Address, seed: number): Promise<Chaos> {
  const child = spawn(process.execPath, [PROGRAM, String(seed), `${target.host}:${target.port}`], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const lines: string[] = [];
  const reader = createInterface({ input: child.stdout });
  reader.on('line', (line) => lines.push(line));
  const ended = once(child, 'close');
  await Promise.race([once(reader, 'line'), ended.then(() => Promise.reject(new Error('the proxy ended')))]);
  return {
    at: { host: '127.0.0.1', port: Number(lines[0]) },
    set: (troubles) => void child.stdin.write(`${JSON.stringify(troubles)}\n`),
    async close() {
      child.stdin.end();
      await ended;
      return JSON.parse(lines[1] ?? '{}') as Spoilt;
    },
  };
}
