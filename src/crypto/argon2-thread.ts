/** The thread in which codeKey (src/crypto/code-key.ts) runs Argon2id: one request, one answer. */
import { parentPort, workerData } from 'node:worker_threads';
import { ARGON2, type CodeKeyRequest } from './code-key.ts';
import { argon2id } from './sodium.ts';

const { code, salt } = workerData as CodeKeyRequest;
const key = argon2id({ password: code, salt, ...ARGON2 });
code.fill(0);
parentPort?.postMessage(key);
