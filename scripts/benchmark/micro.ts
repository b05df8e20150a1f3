/** Micro-benchmarks of the layers, each in a process of its own: where a regression arises. */
import { join } from 'node:path';
import { run } from '../../test/e2e/lab.ts';

const BENCHES = [
  'test/net/kcp.bench.js',
  'test/net/udp-path.bench.js',
  'test/crypto/session.bench.js',
  'test/wire/codec.bench.js',
  'test/net/channel.bench.js',
];

/** Prints what they say. @returns it, by name. */
export async function runMicro(): Promise<Readonly<Record<string, string>>> {
  const said: Record<string, string> = {};
  for (const bench of BENCHES) {
    const outcome = await run([process.execPath, join(import.meta.dirname, '../..', bench)], { timeoutMs: 300_000 });
    if (outcome.status !== 0) throw new Error(`${bench}: exit ${outcome.status}: ${outcome.stderr}`);
    said[bench] = outcome.stdout.trim();
    console.log(`${bench}\n${outcome.stdout}`);
  }
  return said;
}
