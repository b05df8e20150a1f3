/** A lock on a whole file that lives as long as the process that holds it: flock(2). */
import { closeSync, constants, openSync } from 'node:fs';
import { declare, errno } from './libc.ts';
import { codeOfErrno, systemError } from './errno.ts';

/** flock(2), asm-generic/fcntl.h. */
const LOCK_EX = 2;
const LOCK_NB = 4;

const flock = declare('flock', 'int', ['int', 'int']);

export interface FileLock {
  /** Idempotent. The kernel does the same when the process ends, however it ends. */
  release(): void;
}

/**
 * Creates the file (0600) if it is missing.
 * @returns undefined when another process holds the lock.
 */
export function tryLockFile(path: string): FileLock | undefined {
  // Node opens with O_CLOEXEC: no child process inherits the lock.
  const descriptor = openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600);
  if (flock(descriptor, LOCK_EX | LOCK_NB) < 0) {
    const number = errno();
    closeSync(descriptor);
    if (codeOfErrno(number) === 'EAGAIN') return undefined;
    throw systemError(number, 'flock');
  }
  let held = true;
  return {
    release() {
      if (held) closeSync(descriptor);
      held = false;
    },
  };
}
