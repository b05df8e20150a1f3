/** INIT: what kernel and file system agree on at the beginning. Pure. */
import { INIT_IN, INIT_OUT } from './structures.ts';
import { INIT_FLAG, VERSION, type InitFlag } from './protocol.ts';

/** Largest payload of a READ or WRITE, bytes; 256 pages is the most that kernels take without a sysctl. */
export const MAX_TRANSFER_BYTES = 1 << 20;
const MAX_PAGES = 256;
/** Requests that the kernel keeps in flight on its own account (read-ahead, releases), and where it calls that crowded. */
const MAX_BACKGROUND = 64;
const CONGESTION_THRESHOLD = 48;
/** Times are kept to the nanosecond. */
const TIME_GRANULARITY_NSEC = 1;

/**
 * Asked for where the kernel has it. Left out with a reason:
 * WRITEBACK_CACHE gives size and mtime to the kernel, which then does not see a remote append; AUTO_INVAL_DATA drops a
 * file's pages after our own small write; ASYNC_DIO makes callers uninterruptible; CACHE_SYMLINKS would outlive the
 * judgement of a link at each readlink; READDIRPLUS_AUTO has the kernel look up each name of cp and tar by itself, which read
 * a whole directory first; REQUEST_TIMEOUT ends the whole mount when one lock is waited for too long.
 */
const WANTED: readonly InitFlag[] = [
  'ASYNC_READ',
  'POSIX_LOCKS',
  'FLOCK_LOCKS',
  'ATOMIC_O_TRUNC',
  'BIG_WRITES',
  'DONT_MASK',
  'DO_READDIRPLUS',
  'PARALLEL_DIROPS',
  'MAX_PAGES',
  'EXPLICIT_INVAL_DATA',
  'HANDLE_KILLPRIV_V2',
  'INIT_EXT',
  'HAS_EXPIRE_ONLY',
  'DIRECT_IO_ALLOW_MMAP',
  'ABORT_ERROR',
];

export interface Agreement {
  /** Minor version of the protocol that the kernel speaks. */
  readonly kernelMinor: number;
  readonly flags: ReadonlySet<InitFlag>;
  /** A fuse_init_out. */
  readonly reply: Uint8Array;
}

/**
 * @param request words of a fuse_init_in.
 * @returns undefined if the kernel is too old.
 */
export function negotiate(request: Uint32Array): Agreement | undefined {
  const { word } = INIT_IN;
  const kernelMinor = request[word.minor] ?? 0;
  if ((request[word.major] ?? 0) < VERSION.major || kernelMinor < VERSION.minorAtLeast) return undefined;
  const offered = [request[word.flags] ?? 0, request[word.flags2] ?? 0] as const;
  const chosen: [number, number] = [0, 0];
  const flags = new Set<InitFlag>();
  const hasSecondWord = ((offered[0] >>> INIT_FLAG.INIT_EXT) & 1) === 1;
  for (const flag of WANTED) {
    const half = INIT_FLAG[flag] >= 32 ? 1 : 0;
    const bit = INIT_FLAG[flag] & 31;
    if ((half === 1 && !hasSecondWord) || ((offered[half] >>> bit) & 1) === 0) continue;
    chosen[half] = (chosen[half] | (1 << bit)) >>> 0;
    flags.add(flag);
  }
  const reply = Buffer.alloc(INIT_OUT.sizeBytes);
  const { at } = INIT_OUT;
  reply.writeUInt32LE(VERSION.major, at.major);
  reply.writeUInt32LE(Math.min(kernelMinor, VERSION.minor), at.minor);
  reply.writeUInt32LE(Math.min(request[word.max_readahead] ?? 0, MAX_TRANSFER_BYTES), at.max_readahead);
  reply.writeUInt32LE(chosen[0], at.flags);
  reply.writeUInt32LE(chosen[1], at.flags2);
  reply.writeUInt16LE(MAX_BACKGROUND, at.max_background);
  reply.writeUInt16LE(CONGESTION_THRESHOLD, at.congestion_threshold);
  reply.writeUInt32LE(MAX_TRANSFER_BYTES, at.max_write);
  reply.writeUInt32LE(TIME_GRANULARITY_NSEC, at.time_gran);
  reply.writeUInt16LE(MAX_PAGES, at.max_pages);
  return { kernelMinor, flags, reply };
}
