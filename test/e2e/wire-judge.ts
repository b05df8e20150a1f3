/**
 * Tells whether datagrams could be told from random bytes by one who knows no key: constant or uneven bytes at a place,
 * counters and lengths in clear, anything that comes twice, uneven bytes in all, what compresses.
 * Each bound is one that random bytes cross less than once in a million recordings.
 */
import { deflateRawSync } from 'node:zlib';

/** Places that are looked at, bytes from the start and from the end. */
const HEAD_BYTES = 64;
const TAIL_BYTES = 32;
/** Fields that are tried as counters and lengths begin at these first places. */
const FIELD_BYTES = 32;
/** Fewer than these say nothing. */
const LEAST = { datagrams: 6, counter: 16, uniform: 512, bytes: 20_000 } as const;
/** Natural logarithm of the probability below which chance is no explanation. */
const CHANCE = Math.log(1e-12);
/** Standard deviations. */
const DEVIATION = 8;
/** So many bytes never come twice by chance, wherever they stand. */
const UNIQUE_BYTES = 8;
/** A counter's next value is at most so much higher, where nobody hides it. */
const STEP = 4;

/** @returns what gives them away, in plain words; empty for random bytes. */
export function judge(datagrams: readonly Buffer[]): string[] {
  return [
    ...repeated(datagrams),
    ...unevenPlaces(datagrams),
    ...fieldsInClear(datagrams),
    ...unevenBytes(Buffer.concat(datagrams)),
  ];
}

function repeated(datagrams: readonly Buffer[]): string[] {
  const faults: string[] = [];
  for (const [where, part] of [
    ['begin', (datagram: Buffer) => datagram.subarray(0, UNIQUE_BYTES)],
    ['end', (datagram: Buffer) => datagram.subarray(-UNIQUE_BYTES)],
  ] as const) {
    const parts = datagrams
      .filter(({ length }) => length >= UNIQUE_BYTES)
      .map((datagram) => part(datagram).toString('hex'));
    const again = parts.length - new Set(parts).size;
    if (again > 0) faults.push(`${again} datagrams ${where} as others do`);
  }
  return faults;
}

function unevenPlaces(datagrams: readonly Buffer[]): string[] {
  const faults: string[] = [];
  const look = (place: string, column: readonly number[]): void => {
    if (column.length < LEAST.datagrams) return;
    const counts = countBytes(column);
    const most = Math.max(...counts);
    if (isNoChance(column.length, most, 256)) {
      faults.push(`${place} is ${counts.indexOf(most)} in ${most} of ${column.length}`);
    } else if (column.length >= LEAST.uniform && deviation(counts, column.length) > DEVIATION) {
      faults.push(`${place} is uneven: ${deviation(counts, column.length).toFixed(0)} standard deviations`);
    }
  };
  for (let at = 0; at < HEAD_BYTES; at += 1)
    look(
      `byte ${at}`,
      columnOf(datagrams, (datagram) => datagram[at]),
    );
  for (let at = 1; at <= TAIL_BYTES; at += 1) {
    look(
      `byte ${at} from the end`,
      columnOf(datagrams, (datagram) => datagram[datagram.length - at]),
    );
  }
  return faults;
}

function columnOf(datagrams: readonly Buffer[], pick: (datagram: Buffer) => number | undefined): number[] {
  return datagrams.map(pick).filter((value) => value !== undefined);
}

function fieldsInClear(datagrams: readonly Buffer[]): string[] {
  const faults: string[] = [];
  const areLengthsVaried = new Set(datagrams.map(({ length }) => length)).size >= LEAST.datagrams;
  for (const order of ['little', 'big'] as const) {
    for (const size of [1, 2, 4, 6] as const) {
      for (let at = 0; at < FIELD_BYTES; at += 1) {
        const long = datagrams.filter(({ length }) => length >= at + size);
        if (long.length < LEAST.counter) continue;
        const values = long.map((datagram) =>
          order === 'little' ? datagram.readUIntLE(at, size) : datagram.readUIntBE(at, size),
        );
        const field = `${order}-endian u${8 * size} at ${at}`;
        const steps = values.slice(1).map((value, index) => value - (values[index] ?? 0));
        const counted = steps.filter((step) => step >= 1 && step <= STEP).length;
        if (counted > steps.length / 2) faults.push(`${field} counts`);
        // Of random values as many rise as fall, with a variance of a twelfth of their number.
        const rising = steps.filter((step) => step > 0).length;
        if (Math.abs(rising - steps.length / 2) > DEVIATION * Math.sqrt(steps.length / 12)) {
          faults.push(`${field} rises in ${rising} of ${steps.length}`);
        }
        if (size !== 2 || !areLengthsVaried) continue;
        const differences = new Map<number, number>();
        for (const [index, { length }] of long.entries()) {
          const difference = (values[index] ?? 0) - length;
          differences.set(difference, (differences.get(difference) ?? 0) + 1);
        }
        const most = Math.max(...differences.values());
        if (isNoChance(long.length, most, 65_536))
          faults.push(`${field} tells the length in ${most} of ${long.length}`);
      }
    }
  }
  return faults;
}

function unevenBytes(all: Buffer): string[] {
  if (all.length < LEAST.bytes) return [];
  const faults: string[] = [];
  const off = deviation(countBytes(all), all.length);
  if (off > DEVIATION) faults.push(`all bytes together are uneven: ${off.toFixed(0)} standard deviations`);
  const ratio = deflateRawSync(all).length / all.length;
  if (ratio < 1) faults.push(`compresses to ${(ratio * 100).toFixed(2)} %`);
  return faults;
}

function countBytes(bytes: Iterable<number>): number[] {
  const counts = new Array<number>(256).fill(0);
  for (const byte of bytes) counts[byte] = (counts[byte] ?? 0) + 1;
  return counts;
}

/** Of the chi-squared statistic with 255 degrees of freedom, in standard deviations above its mean. */
function deviation(counts: readonly number[], total: number): number {
  const expected = total / 256;
  const statistic = counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
  return (statistic - 255) / Math.sqrt(2 * 255);
}

/** Whether one of so many equally likely values cannot come `most` times in `total`: the union bound over values and choices. */
function isNoChance(total: number, most: number, values: number): boolean {
  if (most < 2) return false;
  let choices = 0;
  for (let chosen = 1; chosen <= most; chosen += 1) choices += Math.log((total - most + chosen) / chosen);
  return Math.log(values) + choices - most * Math.log(values) < CHANCE;
}
