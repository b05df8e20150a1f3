/**
 * How much may be fetched on a guess: the more guesses came true the more, so that what was fetched for nothing stays
 * within what was of use and a little. Pure; amounts are bytes with something for each file.
 */

/** Tuning, bytes. */
const FIRST = 96 * 1024;
/** A link of a gigabit per second and 30 ms. */
const MAX = 4 * 1024 * 1024;
/** With less room than this part of the window nothing is asked for: a call is to be worth its while. */
const LEAST_PART = 1 / 4;

export class PrefetchWindow {
  #size = FIRST;
  #outstanding = 0;

  /** Asked for or at hand, and not used. */
  get outstanding(): number {
    return this.#outstanding;
  }

  /** How much may be asked for now; 0 if it is not worth a call. */
  get room(): number {
    const room = this.#size - this.#outstanding;
    return room >= this.#size * LEAST_PART ? room : 0;
  }

  asked(amount: number): void {
    this.#outstanding += amount;
  }

  /** The guess came true. */
  used(amount: number): void {
    this.#outstanding -= amount;
    this.#size = Math.min(MAX, this.#size + amount);
  }

  /** It was fetched for nothing. */
  wasted(amount: number): void {
    this.#outstanding -= amount;
    this.#size = Math.max(FIRST, this.#size - amount);
  }

  /** It was not to be had. */
  notGiven(amount: number): void {
    this.#outstanding -= amount;
  }

  /** What is outstanding will not be used any more. */
  reset(): void {
    this.#outstanding = 0;
    this.#size = FIRST;
  }
}
