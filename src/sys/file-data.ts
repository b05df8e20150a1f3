/**
 * System calls on the contents of open files and directories that Node lacks: holes, allocation, copying, listing.
 * Synchronous; they throw PeerfsError with the code of the errno.
 */
import { fromBytes, type ByteString } from '../bytestring.ts';
import { addressOf, declare, declareAsync, errno } from './libc.ts';
import { codeOfErrno, systemError } from './errno.ts';

/** unistd.h of Linux. */
export const WHENCE = { SET: 0, CURRENT: 1, DATA: 3, HOLE: 4 } as const;

const call = {
  fallocate: declare('fallocate', 'int', ['int', 'int', 'i64', 'i64']),
  fstatfs: declare('fstatfs', 'int', ['int', 'buffer']),
  ftruncate: declare('ftruncate', 'int', ['int', 'i64']),
  getdents64: declare('getdents64', 'long', ['int', 'pointer', 'size']),
  lseek: declare('lseek', 'long', ['int', 'i64', 'int']),
  preadv2: declare('preadv2', 'long', ['int', 'pointer', 'int', 'i64', 'int']),
  pread: declare('pread64', 'long', ['int', 'buffer', 'size', 'i64']),
};

function check(result: number, name: string): number {
  if (result < 0) throw systemError(errno(), name);
  return result;
}

export function setSize(descriptor: number, size: number): void {
  check(call.ftruncate(descriptor, size), 'ftruncate');
}

/** @param mode FALLOC_FL bits. */
export function allocate(descriptor: number, mode: number, offset: number, length: number): void {
  check(call.fallocate(descriptor, mode, offset, length), 'fallocate');
}

/** @throws ENXIO behind the end. */
export function seek(descriptor: number, offset: number, whence: number): number {
  return check(call.lseek(descriptor, offset, whence), 'lseek');
}

/** Reads into `bytes` from a position. @returns bytes read. */
export function readAt(descriptor: number, bytes: Uint8Array, offset: number): number {
  return check(call.pread(descriptor, bytes, bytes.length, offset), 'pread');
}

/** linux/fs.h: fail rather than wait for a disk. */
const RWF_NOWAIT = 8;
/** struct iovec: address and length, 64 bits each. */
const vector = new BigUint64Array(2);
const vectorAddress = addressOf(vector);

/**
 * Reads what the kernel has in memory, without waiting: may run on any thread.
 * @returns bytes read, fewer at the end of the file or where memory ends; 0 if there is nothing or it would wait;
 * undefined if the file system cannot tell.
 */
export function readCached(descriptor: number, bytes: Uint8Array, offset: number): number | undefined {
  vector[0] = BigInt(addressOf(bytes));
  vector[1] = BigInt(bytes.length);
  const done = call.preadv2(descriptor, vectorAddress, 1, offset, RWF_NOWAIT);
  if (done >= 0) return done;
  return codeOfErrno(errno()) === 'EOPNOTSUPP' ? undefined : 0;
}

/** linux/magic.h: file systems that are nothing but memory. */
const IN_MEMORY: ReadonlySet<number> = new Set([0x0102_1994, 0x8584_58f6]);

/** Whether the file stands on no disk (tmpfs, ramfs): reading it waits for nothing but what was swapped out. */
export function isInMemory(descriptor: number): boolean {
  return IN_MEMORY.has(fileSystemSizes(descriptor).type);
}

/** struct statfs of 64-bit Linux: eight-byte words, but the fsid. */
const statfsBytes = Buffer.alloc(128);

export interface FileSystemSizes {
  /** Magic number of the file system. */
  readonly type: number;
  readonly blockSize: number;
  readonly blocks: number;
  readonly blocksFree: number;
  readonly blocksAvailable: number;
  readonly files: number;
  readonly filesFree: number;
  readonly nameMax: number;
}

export function fileSystemSizes(descriptor: number): FileSystemSizes {
  check(call.fstatfs(descriptor, statfsBytes), 'fstatfs');
  const at = (index: number) => Math.min(Number(statfsBytes.readBigUInt64LE(index * 8)), Number.MAX_SAFE_INTEGER);
  return {
    type: at(0),
    // Block counts are in units of f_frsize where there is one.
    blockSize: at(9) === 0 ? at(1) : at(9),
    blocks: at(2),
    blocksFree: at(3),
    blocksAvailable: at(4),
    files: at(5),
    filesFree: at(6),
    nameMax: at(8),
  };
}

export interface DirectoryRow {
  readonly name: ByteString;
  /** Where the listing goes on: for lseek. */
  readonly cursor: bigint;
}

const LISTING_BYTES = 64 * 1024;
const listing = Buffer.alloc(LISTING_BYTES);
const listingAddress = addressOf(listing);

/** The next rows of an open directory, without `.` and `..`; undefined at its end. */
export function readRows(descriptor: number, maxBytes: number = LISTING_BYTES): DirectoryRow[] | undefined {
  const length = check(call.getdents64(descriptor, listingAddress, Math.min(maxBytes, LISTING_BYTES)), 'getdents64');
  if (length === 0) return undefined;
  const rows: DirectoryRow[] = [];
  // struct linux_dirent64: ino u64, next offset i64, record length u16, type u8, name.
  for (let at = 0; at < length; at += listing.readUInt16LE(at + 16)) {
    const name = fromBytes(listing, at + 19, listing.indexOf(0, at + 19));
    if (name !== '.' && name !== '..') rows.push({ name, cursor: listing.readBigUInt64LE(at + 8) });
  }
  return rows;
}

/** Makes the next readRows go on at a cursor; 0n: at the beginning. */
export function seekRows(descriptor: number, cursor: bigint): void {
  // As a bigint: cursors of some file systems (hashes in ext4) use all of 63 bits.
  check(call.lseek(descriptor, cursor, WHENCE.SET), 'lseek');
}

const copyAsync = declareAsync('copy_file_range', 'long', ['int', 'buffer', 'int', 'buffer', 'size', 'uint32']);

/** On a thread of libuv's pool. @returns bytes copied, which may be fewer. */
export async function copyRange(
  source: number,
  sourceAt: number,
  target: number,
  targetAt: number,
  length: number,
): Promise<number> {
  const positions = Buffer.alloc(16);
  positions.writeBigInt64LE(BigInt(sourceAt), 0);
  positions.writeBigInt64LE(BigInt(targetAt), 8);
  const from = positions.subarray(0, 8);
  const to = positions.subarray(8, 16);
  const copied = await copyAsync(source, from, target, to, length, 0);
  if (copied < 0) throw systemError(-copied, 'copy_file_range');
  return Number(positions.readBigInt64LE(0)) - sourceAt;
}
