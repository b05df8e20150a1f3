/**
 * The key that a code and a salt stand for: Argon2id in a thread of its own, because it takes a quarter of a second
 * (src/crypto/argon2-thread.ts is that thread).
 */
import { Worker } from 'node:worker_threads';

/** Argon2id, version 1.3: part of the format `peerfs-invite-1`. */
export const ARGON2 = { passes: 3, memoryBytes: 64 * 1024 * 1024 } as const;

/** What the thread is given. */
export interface CodeKeyRequest {
  readonly code: Uint8Array;
  readonly salt: Uint8Array;
}

/**
 * @param salt 16 bytes.
 * @returns 32 bytes.
 * @throws Error if the thread failed (memory).
 */
export async function codeKey(code: string, salt: Uint8Array): Promise<Uint8Array> {
  const workerData: CodeKeyRequest = { code: Buffer.from(code, 'utf8'), salt };
  const worker = new Worker(new URL('./argon2-thread.js', import.meta.url), {
    workerData,
    execArgv: [],
    name: 'argon2',
  });
  try {
    return await new Promise<Uint8Array>((resolve, reject) => {
      worker.once('message', (key: unknown) => {
        if (key instanceof Uint8Array) resolve(key);
        else reject(new Error('key derivation gave no key'));
      });
      worker.once('error', reject);
      worker.once('exit', () => reject(new Error('key derivation ended early')));
    });
  } finally {
    workerData.code.fill(0);
    await worker.terminate();
  }
}
