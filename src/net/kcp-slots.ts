/**
 * Slots: memory for segments while they are in flight, or wait for those before them. Slots are handed out again last
 * in, first out, so that what is in use stays in the processor's cache; memory is taken in slabs, when it is first needed.
 */
const SLOTS_PER_SLAB = 64;

export class Slots {
  readonly #stride: number;
  readonly #slabs: Uint8Array[] = [];
  readonly #free: number[] = [];

  constructor(slotBytes: number) {
    this.#stride = (slotBytes + 63) & ~63;
  }

  take(): number {
    if (this.#free.length === 0) {
      const first = this.#slabs.length * SLOTS_PER_SLAB;
      this.#slabs.push(new Uint8Array(SLOTS_PER_SLAB * this.#stride));
      for (let slot = first + SLOTS_PER_SLAB - 1; slot >= first; slot--) this.#free.push(slot);
    }
    return this.#free.pop() ?? 0;
  }

  release(slot: number): void {
    this.#free.push(slot);
  }

  /** The slab that holds the slot; the slot begins at offset(). */
  slab(slot: number): Uint8Array {
    const slab = this.#slabs[Math.trunc(slot / SLOTS_PER_SLAB)];
    if (slab === undefined) throw new Error('no such slot');
    return slab;
  }

  offset(slot: number): number {
    return (slot % SLOTS_PER_SLAB) * this.#stride;
  }
}
