/**
 * Writes through one descriptor, one system call at a time: the kernel locks the file for each anyway, and threads that
 * wait for that lock spin. Those that come while one runs and follow each other in the file go together.
 */
import { write, writev } from 'node:fs';

/** Tuning: a call takes so many at most. */
const MAX_TOGETHER = 8;

interface Write {
  readonly offset: number;
  readonly bytes: Uint8Array;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

export class LocalWrites {
  readonly #descriptor: number;
  #waiting: Write[] = [];
  #isRunning = false;

  constructor(descriptor: number) {
    this.#descriptor = descriptor;
  }

  /** Writes all of `bytes`, which must stay unchanged until it settles. Rejects with the system's error. */
  write(offset: number, bytes: Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ offset, bytes, resolve, reject });
      if (!this.#isRunning) void this.#run();
    });
  }

  async #run(): Promise<void> {
    this.#isRunning = true;
    for (let [first] = this.#waiting; first !== undefined; [first] = this.#waiting) {
      const together = [first];
      let end = first.offset + first.bytes.length;
      for (const next of this.#waiting.slice(1, MAX_TOGETHER)) {
        if (next.offset !== end) break;
        together.push(next);
        end += next.bytes.length;
      }
      this.#waiting.splice(0, together.length);
      await this.#writeTogether(together);
    }
    this.#isRunning = false;
  }

  async #writeTogether(writes: readonly Write[]): Promise<void> {
    const [first] = writes;
    if (first === undefined) return;
    if (writes.length > 1) {
      const bytes = writes.reduce((sum, write) => sum + write.bytes.length, 0);
      const written = await writeSeveral(this.#descriptor, writes, first.offset).catch(() => 0);
      if (written === bytes) {
        for (const { resolve } of writes) resolve();
        return;
      }
    }
    // Written again where the call together came short: each learns what became of its own bytes.
    for (const one of writes) await writeWhole(this.#descriptor, one.bytes, one.offset).then(one.resolve, one.reject);
  }
}

function writeSeveral(descriptor: number, writes: readonly Write[], offset: number): Promise<number> {
  const parts = writes.map(({ bytes }) => bytes);
  return new Promise((resolve, reject) => {
    writev(descriptor, parts, offset, (error, written) => (error === null ? resolve(written) : reject(error)));
  });
}

async function writeWhole(descriptor: number, bytes: Uint8Array, offset: number): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    done += await new Promise<number>((resolve, reject) => {
      write(descriptor, bytes, done, bytes.length - done, offset + done, (error, written) =>
        error === null ? resolve(written) : reject(error),
      );
    });
  }
}
