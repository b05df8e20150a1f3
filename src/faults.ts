/**
 * Faults: failures that nobody raised on purpose, told to the log. Whoever waits gets EIO of them, which says nothing about
 * where the mistake lies.
 */
import { isErrorCode, PeerfsError } from './errors.ts';
import type { Logger } from './log.ts';

/** Each is told once, and no more than so many: the log is not to grow by them. */
const MOST = 64;

export class Faults {
  readonly #log: Logger;
  readonly #event: string;
  readonly #told = new Set<string>();

  constructor(log: Logger, event: string) {
    this.#log = log;
    this.#event = event;
  }

  /** @param during what went on, a name of ours. @param error anything that was thrown; what is no fault is passed over. */
  note(during: string, error: unknown): void {
    const fault = faultOf(error);
    if (fault === undefined) return;
    const known = `${during} ${fault}`;
    if (this.#told.has(known) || this.#told.size >= MOST) return;
    this.#told.add(known);
    this.#log.error(this.#event, { during, fault });
  }
}

/**
 * Kind and place of a failure that is a mistake in the program, without its text, which may hold a name; undefined for
 * those of the system, and of our own raising.
 */
export function faultOf(error: unknown): string | undefined {
  if (error instanceof PeerfsError) return undefined;
  if (!(error instanceof Error)) return typeof error;
  if ('errno' in error || ('code' in error && typeof error.code === 'string' && isErrorCode(error.code)))
    return undefined;
  const [, place] = /^\s+at .*?([^()\s/]+\.[jt]s:\d+):\d+\)?$/m.exec(error.stack ?? '') ?? [];
  return place === undefined ? error.name : `${error.name} at ${place}`;
}
