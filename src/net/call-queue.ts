/** CallQueue: calls that wait for their turn, first in first out, but for those that are sent again: they come first. */

/** Tuning: places in front that are done with before the rest is moved up. */
const COMPACT_AFTER = 1024;

export class CallQueue<T> {
  #calls: T[] = [];
  #head = 0;

  get length(): number {
    return this.#calls.length - this.#head;
  }

  get first(): T | undefined {
    return this.#calls[this.#head];
  }

  push(call: T): void {
    this.#calls.push(call);
  }

  /** Takes the first away. */
  shift(): void {
    this.#head += 1;
    if (this.#head >= this.#calls.length) this.replace([]);
    else if (this.#head >= COMPACT_AFTER) this.replace(this.#calls.slice(this.#head));
  }

  /** In front of all others, in this order. */
  prepend(calls: readonly T[]): void {
    if (calls.length > 0) this.replace([...calls, ...this.#calls.slice(this.#head)]);
  }

  keep(wanted: (call: T) => boolean): void {
    this.replace(this.#calls.slice(this.#head).filter(wanted));
  }

  replace(calls: T[]): void {
    this.#calls = calls;
    this.#head = 0;
  }
}
