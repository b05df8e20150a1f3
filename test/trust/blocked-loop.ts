/**
 * Loaded into a node before it starts (`node --import`): on SIGUSR2 the event loop is busy for as long as the file exists
 * that PEERFS_TEST_BLOCK names. Threads and the kernel's buffers go on, as they do when a program hangs in its own code.
 */
import { existsSync } from 'node:fs';
import { isMainThread } from 'node:worker_threads';

const file = process.env['PEERFS_TEST_BLOCK'] ?? '';
if (isMainThread) {
  process.on('SIGUSR2', () => {
    while (existsSync(file));
  });
}
