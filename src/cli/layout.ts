/** How text is laid out on a terminal: columns, lines that are not too long, times and amounts. Pure. */

/** Columns of a terminal that everyone has. */
const COLUMNS = 80;

/** Rows under headings, in columns as wide as their widest cell. */
export function table(headings: readonly string[], rows: readonly (readonly string[])[]): string {
  return columns([headings, ...rows]).join('\n');
}

/** Cells in columns as wide as the widest of each. */
export function columns(rows: readonly (readonly string[])[]): string[] {
  const widths: number[] = [];
  for (const row of rows) row.forEach((cell, i) => (widths[i] = Math.max(widths[i] ?? 0, cell.length)));
  return rows.map((row) =>
    row
      .map((cell, i) => cell.padEnd(widths[i] ?? 0))
      .join('  ')
      .trimEnd(),
  );
}

/**
 * Breaks a text into lines of 80 columns; what is longer stays whole.
 * @param text is broken at blanks; a list between its texts.
 * @param first what the first line begins with; the others are indented as far.
 */
export function wrapped(first: string, text: string | readonly string[]): string[] {
  const indent = ' '.repeat(first.length);
  const lines: string[] = [];
  let line = first;
  let isEmpty = true;
  for (const word of typeof text === 'string' ? text.split(' ') : text) {
    if (!isEmpty && line.length + 1 + word.length > COLUMNS) {
      lines.push(line);
      line = indent;
      isEmpty = true;
    }
    line += isEmpty ? word : ` ${word}`;
    isEmpty = false;
  }
  return [...lines, line.trimEnd()];
}

/** Texts with a comma after each but the last. */
export function listed(texts: readonly string[]): string[] {
  return texts.map((text, at) => (at === texts.length - 1 ? text : `${text},`));
}

/** @returns the time of an ISO 8601 text, hh:mm:ss of this computer's zone. */
export function timeOfDay(at: string): string {
  return new Date(at).toTimeString().slice(0, 8);
}

export function ago(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 2 * 86_400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86_400)} days ago`;
}

export function rate(bytesPerSecond: number): string {
  if (bytesPerSecond >= 1e6) return `${(bytesPerSecond / 1e6).toFixed(1)} MB/s`;
  return `${(bytesPerSecond / 1e3).toFixed(1)} kB/s`;
}

export function roundTrip(ms: number | null): string {
  if (ms === null) return '-';
  return `${ms < 10 ? ms.toFixed(1) : ms.toFixed(0)} ms`;
}
