/**
 * Handles at the server that are done with: collected for a moment and released by one call, which nobody waits for.
 */
import type { Clock, Timer } from '../clock.ts';
import { codeOf } from '../errors.ts';

/** Tuning. How long a release may wait for others, milliseconds: a file that is open for writing cannot be executed there. */
const WAIT_MS = 20;
/** With so many they go at once. */
const FULL = 64;

export class RemoteReleases {
  readonly #clock: Clock;
  readonly #send: (handles: readonly { readonly handle: number }[]) => Promise<unknown>;
  #waiting: { readonly handle: number }[] = [];
  #timer: Timer | undefined;
  #underWay: Promise<unknown> | undefined;

  /** @param send tells the server; what it fails with is nobody's concern. */
  constructor(clock: Clock, send: (handles: readonly { readonly handle: number }[]) => Promise<unknown>) {
    this.#clock = clock;
    this.#send = send;
  }

  add(handle: number): void {
    this.#waiting.push({ handle });
    if (this.#waiting.length >= FULL) this.flush();
    else this.#timer ??= this.#clock.after(WAIT_MS, () => this.flush());
  }

  /** Tells the server of all that wait. */
  flush(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    if (this.#waiting.length === 0) return;
    const handles = this.#waiting;
    this.#waiting = [];
    const sent = this.#send(handles)
      .catch(() => undefined)
      .then(() => {
        if (this.#underWay === sent) this.#underWay = undefined;
      });
    this.#underWay = sent;
  }

  /** Makes a call that opens something; once more if there was no room for it but for handles that are done with. */
  async opening<T>(open: () => Promise<T>): Promise<T> {
    try {
      return await open();
    } catch (error) {
      if (codeOf(error) !== 'EMFILE') throw error;
      this.flush();
      if (this.#underWay === undefined) throw error;
    }
    await this.#underWay;
    return open();
  }

  /** The server knows none of them any more. */
  forget(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#waiting = [];
  }
}
