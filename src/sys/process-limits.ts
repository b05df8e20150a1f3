/** What the system lets this process have, and what it must not do with its memory. */
import { declare } from './libc.ts';

/** sys/resource.h, sys/prctl.h of Linux. */
const RLIMIT_CORE = 4;
const RLIMIT_NOFILE = 7;
const PR_SET_DUMPABLE = 4;

const call = {
  getrlimit: declare('getrlimit', 'int', ['int', 'buffer']),
  setrlimit: declare('setrlimit', 'int', ['int', 'buffer']),
  prctl: declare('prctl', 'int', ['int', 'u64', 'u64', 'u64', 'u64']),
};

/** How many descriptors the process may have now. */
export function descriptorLimit(): number {
  const limit = Buffer.alloc(16);
  if (call.getrlimit(RLIMIT_NOFILE, limit) < 0) return 1024;
  return Math.min(Number(limit.readBigUInt64LE(0)), Number.MAX_SAFE_INTEGER);
}

/**
 * No dump of the process' memory is written, neither to a file nor to a program that collects them, and no other process
 * of the user reads that memory. Its children are not concerned by the latter.
 */
export function keepMemoryPrivate(): void {
  call.setrlimit(RLIMIT_CORE, Buffer.alloc(16));
  call.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}
