/** ChannelPaths: all paths of a channel, and which of them calls ride on. Owns no state of the peer. */
import type { ChannelPath } from './channel-path.ts';

export class ChannelPaths {
  #all: readonly ChannelPath[] = [];
  #active: ChannelPath | undefined;

  /** Every path that has not ended, ready or not; a new array after each change. */
  get all(): readonly ChannelPath[] {
    return this.#all;
  }

  get active(): ChannelPath | undefined {
    return this.#active;
  }

  /** Whether a path waits for its hello or for a sign of life. */
  get undecided(): boolean {
    return this.#all.some((one) => !one.ready || one.doubt > 0 || one.peerLeft);
  }

  add(path: ChannelPath): void {
    this.#all = [...this.#all, path];
  }

  remove(path: ChannelPath): void {
    this.#all = this.#all.filter((one) => one !== path);
  }

  /** Takes the best path for calls: one that answers, then the lowest preference, then the shortest round trip. */
  choose(): void {
    let best: ChannelPath | undefined;
    for (const one of this.#all) {
      if (one.ready && (best === undefined || isBetter(one, best))) best = one;
    }
    this.#active = best;
  }

  /** Asks each for a sign of life. */
  probe(): void {
    for (const one of this.#all) if (one.ready) one.ask();
  }

  /** Silence counts from now. */
  expectAnswers(): void {
    for (const one of this.#all) one.expectAnswer();
  }

  /**
   * Counts silence; closes paths without a hello.
   * @returns whether anything was heard on a path in use, and the bytes that all carried.
   */
  tick(
    elapsedMs: number,
    patienceMs: (slow: boolean) => number,
  ): { readonly heard: boolean; readonly bytesMoved: number } {
    let heard = false;
    let bytesMoved = 0;
    for (const one of this.#all) {
      if (one.tick(elapsedMs) && one.ready) heard = true;
      bytesMoved += one.takeBytesMoved();
      if (one.ready) continue;
      one.helloMs += elapsedMs;
      if (one.helloMs >= patienceMs(one.slow)) one.close('timeout');
    }
    return { heard, bytesMoved };
  }
}

function isBetter(one: ChannelPath, other: ChannelPath): boolean {
  if (one.doubt !== other.doubt) return one.doubt < other.doubt;
  if (one.preference !== other.preference) return one.preference < other.preference;
  return (one.path.statistics.rttMs ?? Infinity) < (other.path.statistics.rttMs ?? Infinity);
}
