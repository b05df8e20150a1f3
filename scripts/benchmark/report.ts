/** Results, and how they are shown: lines while they come, JSON, a table for docs/performance.md. */
import type { runMicro } from './micro.ts';
import type { Row, Target } from './row.ts';
import type { SystemName } from './stage.ts';

export interface Result {
  readonly row: string;
  readonly about: string;
  readonly unit: string;
  readonly system: SystemName | 'reference';
  readonly median: number;
  readonly all: readonly number[];
  /** How much better than sshfs (cubic) in the same run; absent without it. */
  readonly ratio?: number;
  readonly target?: string;
  readonly isMet?: boolean;
}

export interface Report {
  readonly machine: Readonly<Record<string, string | number>>;
  readonly scale: string;
  readonly results: readonly Result[];
  /** What the micro-benchmarks printed. */
  readonly micro?: Awaited<ReturnType<typeof runMicro>>;
}

const median = (values: readonly number[]) => [...values].sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN;

/** @param figures of one row, by system, a figure a round. */
export function judge(row: Row, figures: ReadonlyMap<Result['system'], readonly number[]>): Result[] {
  const { name, about, unit, lessIsBetter = false, targets } = row;
  const rival = figures.get('sshfs');
  const reference = figures.get('reference');
  return [...figures].map(([system, all]) => {
    const middle = median(all);
    const ratio = ratioOf(middle, rival === undefined ? undefined : median(rival), lessIsBetter);
    const asked = system === 'reference' ? undefined : targets[system];
    // Without the rival a ratio is not judged.
    const target = asked?.ratio !== undefined && ratio === undefined ? undefined : asked;
    return {
      row: name,
      about,
      unit,
      system,
      median: middle,
      all,
      ...(ratio === undefined ? {} : { ratio }),
      ...(target === undefined
        ? {}
        : {
            target: wordsOf(target, unit),
            isMet: isMet(target, middle, ratio, reference === undefined ? undefined : median(reference)),
          }),
    };
  });
}

/** @returns undefined without the rival, or where a figure is nothing to divide by. */
function ratioOf(own: number, rival: number | undefined, lessIsBetter: boolean): number | undefined {
  if (rival === undefined || rival <= 0 || own <= 0) return undefined;
  return lessIsBetter ? rival / own : own / rival;
}

function isMet(
  { ratio, atLeast, atMost, ofReference }: Target,
  figure: number,
  by = 0,
  reference = Number.NaN,
): boolean {
  return (
    (ratio === undefined || by >= ratio) &&
    (atLeast === undefined || figure >= atLeast) &&
    (atMost === undefined || figure <= atMost) &&
    (ofReference === undefined || figure >= ofReference * reference)
  );
}

function wordsOf({ ratio, atLeast, atMost, ofReference }: Target, unit: string): string {
  const words: string[] = [];
  if (ratio !== undefined) words.push(`${ratio} x sshfs`);
  if (atLeast !== undefined) words.push(`>= ${atLeast} ${unit}`.trim());
  if (atMost !== undefined) words.push(`<= ${atMost} ${unit}`.trim());
  if (ofReference !== undefined) words.push(`${ofReference * 100} % of the bare pair`);
  return words.join(', ');
}

function figure(value: number): string {
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

const shownName = (system: Result['system']) =>
  system === 'reference' ? 'bare pair' : system === 'tcp' || system === 'udp' ? `peerfs ${system}` : system;

export function lineOf(result: Result): string {
  const { row, system, median: middle, unit, ratio, target, isMet: met } = result;
  const judged = target === undefined ? '' : `  ${met === true ? 'met ' : 'MISS'}  ${target}`;
  const by = ratio === undefined ? ''.padStart(8) : `${ratio.toFixed(2)} x`.padStart(8);
  return `${row.padEnd(22)} ${shownName(system).padEnd(11)} ${figure(middle).padStart(8)} ${unit.padEnd(9)} ${by}${judged}`;
}

const SYSTEMS = ['tcp', 'udp', 'sshfs', 'sshfs-bbr', 'reference'] as const;

/** A table in Markdown, a line a row. */
export function tableOf({ results }: Report): string {
  const names = [...new Set(results.map(({ row }) => row))];
  const rows = names.map((name) => {
    const of = new Map(results.filter(({ row }) => row === name).map((result) => [result.system, result]));
    const [first] = of.values();
    const judged = [...of.values()].filter(({ target }) => target !== undefined);
    const figures = SYSTEMS.map((system) => {
      const result = of.get(system);
      if (result === undefined) return '';
      const by = result.ratio === undefined || system.startsWith('sshfs') ? '' : ` (${result.ratio.toFixed(2)} x)`;
      return `${figure(result.median)} ${result.unit}`.trim() + by;
    });
    const met = judged.map(({ system, isMet: isIt }) => (isIt === true ? 'yes' : `**${shownName(system)} no**`));
    const targets = [...new Set(judged.map(({ target }) => target))].join('; ');
    return [`\`${name}\` ${first?.about ?? ''}`, ...figures, targets, [...new Set(met)].join(', ')];
  });
  const lines = [
    ['workload', ...SYSTEMS.map(shownName), 'target', 'met'],
    ['---', ...SYSTEMS.map(() => '---:'), '---', '---'],
    ...rows,
  ];
  return `${lines.map((cells) => `| ${cells.join(' | ')} |`).join('\n')}\n`;
}
