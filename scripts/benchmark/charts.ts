/** Charts of throughput, as SVG, from the JSON of the sweeps. */
import type { Result } from './report.ts';

export interface ChartOptions {
  readonly title: string;
  readonly xTitle: string;
  /** Where a sweep's row names have the x value: behind this. */
  readonly prefix: string;
}

const WIDTH = 720;
const HEIGHT = 400;
const LEFT = 64;
const RIGHT = 150;
const TOP = 48;
const BOTTOM = 56;
/** Mbit/s: the link's own rate and a little above. */
const MAX = 100;
const STEP = 20;

const LINES = [
  { system: 'udp', name: 'peerfs', colour: '#2f7ed8', dash: '' },
  { system: 'sshfs-bbr', name: 'sshfs, bbr', colour: '#c77c11', dash: '6 3' },
  { system: 'sshfs', name: 'sshfs, cubic', colour: '#c0392b', dash: '2 3' },
] as const;

/** Values on the x axis stand at equal distances: they are chosen, not measured. */
export function chartOf(results: readonly Result[], { title, xTitle, prefix }: ChartOptions): string {
  const points = results.flatMap((result) =>
    result.row.startsWith(prefix) ? [{ ...result, x: Number(result.row.slice(prefix.length)) }] : [],
  );
  const values = [...new Set(points.map(({ x }) => x))].sort((a, b) => a - b);
  const place = (x: number) => LEFT + (values.indexOf(x) * (WIDTH - LEFT - RIGHT)) / Math.max(1, values.length - 1);
  const height = (y: number) => HEIGHT - BOTTOM - (Math.min(y, MAX) / MAX) * (HEIGHT - TOP - BOTTOM);
  const parts: string[] = [];
  for (let y = 0; y <= MAX; y += STEP) {
    parts.push(
      `<line class="grid" x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${height(y)}" y2="${height(y)}"/>`,
      `<text x="${LEFT - 8}" y="${height(y) + 4}" text-anchor="end">${y}</text>`,
    );
  }
  for (const x of values)
    parts.push(`<text x="${place(x)}" y="${HEIGHT - BOTTOM + 20}" text-anchor="middle">${x}</text>`);
  const ends: number[] = [];
  for (const { system, name, colour, dash } of LINES) {
    const line = points.filter((point) => point.system === system).sort((a, b) => a.x - b.x);
    const last = line.at(-1);
    if (last === undefined) continue;
    const path = line.map(({ x, median }) => `${place(x).toFixed(1)},${height(median).toFixed(1)}`).join(' ');
    parts.push(
      `<polyline points="${path}" fill="none" stroke="${colour}" stroke-width="2.5" stroke-dasharray="${dash}"/>`,
    );
    for (const { x, median } of line) {
      parts.push(`<circle cx="${place(x).toFixed(1)}" cy="${height(median).toFixed(1)}" r="3.5" fill="${colour}"/>`);
    }
    // Names that would lie on each other move apart.
    let at = height(last.median) + 4;
    while (ends.some((other) => Math.abs(other - at) < 16)) at -= 16;
    ends.push(at);
    parts.push(
      `<text x="${WIDTH - RIGHT + 12}" y="${at.toFixed(1)}" style="fill:${colour};font-weight:600">${name}</text>`,
    );
  }
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${title}">
<style>
svg { background: #ffffff } text { font: 13px system-ui, sans-serif; fill: #333333 } .title { font-size: 15px; font-weight: 600 } .grid { stroke: #d5d5d5 }
@media (prefers-color-scheme: dark) { svg { background: #0d1117 } text { fill: #d0d7de } .grid { stroke: #30363d } }
</style>
<text class="title" x="${LEFT}" y="24">${title}</text>
${parts.join('\n')}
<text x="${(LEFT + WIDTH - RIGHT) / 2}" y="${HEIGHT - 14}" text-anchor="middle">${xTitle}</text>
<text transform="translate(18 ${(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)" text-anchor="middle">Mbit/s of file contents</text>
</svg>
`;
}
