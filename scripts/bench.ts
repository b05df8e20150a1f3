/**
 * Benchmarks: named workloads (benchmark/rows.ts) through peerfs and sshfs, side by side in one run.
 *
 *     bench [--quick] [--rounds N] [--only-peerfs] [--json FILE] [--table FILE] [--charts FOLDER] [NAME...]
 *
 * A name is a row's, or the beginning of rows' names with a star; `micro` runs the micro-benchmarks, `sweeps` what the
 * charts show. Another build's command is measured with PEERFS_TEST_CLI=.../bin/peerfs.js.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { run } from '../test/e2e/lab.ts';
import { chartOf } from './benchmark/charts.ts';
import { runMicro } from './benchmark/micro.ts';
import { judge, lineOf, tableOf, type Report, type Result } from './benchmark/report.ts';
import type { Row, Scale } from './benchmark/row.ts';
import { ROWS, SWEEPS } from './benchmark/rows.ts';
import { openStage, type Stage } from './benchmark/stage.ts';

const ROUNDS = 5;

const { values: flags, positionals } = parseArgs({
  options: {
    quick: { type: 'boolean' },
    rounds: { type: 'string' },
    'only-peerfs': { type: 'boolean' },
    json: { type: 'string' },
    table: { type: 'string' },
    charts: { type: 'string' },
  },
  allowPositionals: true,
});
const scale: Scale = flags.quick === true ? 'quick' : 'full';
const rounds = flags.rounds === undefined ? (scale === 'quick' ? 1 : ROUNDS) : Number(flags.rounds);

function fail(message: string): never {
  console.error(`bench: ${message}`);
  process.exit(2);
}

function choose(): readonly Row[] {
  const names = positionals.filter((name) => name !== 'micro');
  if (names.length === 0)
    return positionals.length > 0 ? [] : ROWS.filter((row) => scale === 'full' || row.quick === true);
  const all = [...ROWS, ...SWEEPS.loss, ...SWEEPS.rtt];
  const wanted = names.map((name) => (name === 'sweeps' ? 'sweep-*' : name));
  const fits = (row: Row, name: string) =>
    name.endsWith('*') ? row.name.startsWith(name.slice(0, -1)) : row.name === name;
  for (const name of wanted) {
    if (!all.some((row) => fits(row, name)))
      fail(`no row ${name}; there are ${ROWS.map((row) => row.name).join(', ')}, sweeps, micro`);
  }
  return all.filter((row) => wanted.some((name) => fits(row, name)));
}

if (!Number.isInteger(rounds) || rounds < 1) fail('--rounds takes a number from 1 on');
const chosen = choose();
if (chosen.some((row) => row.link !== undefined) && process.getuid?.() !== 0)
  fail('rows over an emulated link need root');

let stage: Stage | undefined;
let isEnding = false;
async function end(status: number): Promise<never> {
  if (isEnding) return new Promise(() => undefined);
  isEnding = true;
  await stage?.close().catch((error: unknown) => console.error(String(error)));
  process.exit(status);
}
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => void end(130));

async function measure(row: Row, standing: Stage): Promise<Result[]> {
  const figures = new Map<Result['system'], number[]>();
  const note = (system: Result['system'], figure: number) =>
    figures.set(system, [...(figures.get(system) ?? []), figure]);
  for (let round = 0; round < Math.min(rounds, row.rounds ?? rounds); round++) {
    for (const system of standing.systems) {
      // With bbr sshfs stands in the table once.
      if (!row.systems.includes(system.name) || (system.name === 'sshfs-bbr' && round > 0)) continue;
      note(system.name, await row.measure(standing, system, scale));
    }
    if (row.reference !== undefined) note('reference', await row.reference(standing));
  }
  return judge(row, figures);
}

async function machine(): Promise<Report['machine']> {
  return {
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    kernel: (await run(['uname', '-r'])).stdout.trim(),
    node: process.version,
    sshfs: /SSHFS.*/.exec((await run(['sshfs', '--version'])).stdout)?.[0] ?? '',
    rounds,
  };
}

/** After each row: what was measured is there, whatever becomes of the rest. */
function write(report: Report): void {
  const { json, table, charts } = flags;
  if (json !== undefined) writeFileSync(json, `${JSON.stringify(report, undefined, 2)}\n`);
  if (table !== undefined) writeFileSync(table, tableOf(report));
  if (charts === undefined) return;
  mkdirSync(charts, { recursive: true });
  const overLoss = {
    title: 'Reading a file over 100 Mbit/s, 50 ms round trip',
    xTitle: 'packets lost each way, %',
    prefix: 'sweep-loss-',
  };
  const overRoundTrip = {
    title: 'Reading a file over 100 Mbit/s, nothing lost',
    xTitle: 'round trip, ms',
    prefix: 'sweep-rtt-',
  };
  writeFileSync(join(charts, 'loss.svg'), chartOf(report.results, overLoss));
  writeFileSync(join(charts, 'rtt.svg'), chartOf(report.results, overRoundTrip));
}

const isOurs = (name: string) => name === 'tcp' || name === 'udp';

try {
  const results: Result[] = [];
  const stages = new Map<string, Row[]>();
  for (const row of chosen) {
    const key = JSON.stringify(row.link ?? 'loopback');
    stages.set(key, [...(stages.get(key) ?? []), row]);
  }
  for (const rows of stages.values()) {
    const names = new Set(
      rows.flatMap((row) => row.systems).filter((name) => flags['only-peerfs'] !== true || isOurs(name)),
    );
    stage = await openStage(rows[0]?.link, [...names]);
    for (const row of rows) {
      const judged = await measure(row, stage);
      results.push(...judged);
      for (const result of judged) console.log(lineOf(result));
      write({ machine: await machine(), scale, results });
    }
    await stage.close();
    stage = undefined;
  }
  if (positionals.includes('micro')) write({ machine: await machine(), scale, results, micro: await runMicro() });
  await end(0);
} catch (error) {
  console.error(`bench: ${error instanceof Error ? error.message : String(error)}`);
  await end(1);
}
