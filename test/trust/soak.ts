/**
 * A soak is the long run of what a test of this folder shows in a short one, by the same code. Each NAME.soak.ts here exports
 * one as `soak`; `scripts/soak NAME` runs it.
 */
export interface Soak {
  /** What it shows, in a line. */
  readonly about: string;
  /** Runs it in full. @returns what was seen: counts and times, a line each. @throws when a promise was broken. */
  readonly run: (say: (line: string) => void) => Promise<readonly string[]>;
}
