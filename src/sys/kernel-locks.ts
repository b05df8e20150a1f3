/**
 * Locks of the kernel on open files: ranges that belong to an open file description (OFD locks, fcntl(2)) and flock(2).
 * None of these calls waits. Owns no table of who holds what (src/fs/local-locks.ts).
 */
import { declare, errno } from './libc.ts';
import { codeOfErrno, systemError } from './errno.ts';

/** asm-generic/fcntl.h and sys/file.h */
const F_OFD_GETLK = 36;
const F_OFD_SETLK = 37;
const F_RDLCK = 0;
const F_WRLCK = 1;
const F_UNLCK = 2;
const LOCK_SH = 1;
const LOCK_EX = 2;
const LOCK_NB = 4;
const LOCK_UN = 8;
const LAST_BYTE = 2n ** 63n - 1n;

const call = {
  fcntl: declare('fcntl', 'int', ['int', 'int', 'buffer']),
  flock: declare('flock', 'int', ['int', 'int']),
};

/** 0 read, 1 write, 2 unlock. */
export type LockType = number;

/** struct flock of 64-bit Linux: type i16, whence i16, start i64 at 8, length i64, pid i32. */
const flockBytes = Buffer.alloc(32);
const KERNEL_TYPE = [F_RDLCK, F_WRLCK, F_UNLCK] as const;

function fill(type: LockType, start: bigint, end: bigint): Buffer {
  flockBytes.fill(0);
  flockBytes.writeInt16LE(KERNEL_TYPE[type] ?? F_UNLCK, 0);
  flockBytes.writeBigInt64LE(start, 8);
  flockBytes.writeBigInt64LE(end >= LAST_BYTE ? 0n : end - start + 1n, 16);
  return flockBytes;
}

function isConflict(number: number): boolean {
  const code = codeOfErrno(number);
  return code === 'EAGAIN' || code === 'EACCES';
}

/** @returns false at a conflict. @throws EBADF where the descriptor is not open for that kind of lock. */
export function setRangeLock(descriptor: number, type: LockType, start: bigint, end: bigint): boolean {
  if (call.fcntl(descriptor, F_OFD_SETLK, fill(type, start, end)) >= 0) return true;
  const number = errno();
  if (isConflict(number)) return false;
  throw systemError(number, 'fcntl');
}

/** The lock of somebody else that is in the way; pid is 0 where the kernel does not tell it. */
export function testRangeLock(
  descriptor: number,
  type: LockType,
  start: bigint,
  end: bigint,
): { type: LockType; start: bigint; end: bigint; pid: number } | undefined {
  const bytes = fill(type, start, end);
  if (call.fcntl(descriptor, F_OFD_GETLK, bytes) < 0) throw systemError(errno(), 'fcntl');
  const found = KERNEL_TYPE.indexOf(bytes.readInt16LE(0) as 0 | 1 | 2);
  if (found === 2) return undefined;
  const from = bytes.readBigInt64LE(8);
  const length = bytes.readBigInt64LE(16);
  return {
    type: found,
    start: from,
    end: length === 0n ? LAST_BYTE : from + length - 1n,
    pid: Math.max(0, bytes.readInt32LE(24)),
  };
}

/** @returns false at a conflict. */
export function setFileLock(descriptor: number, type: LockType): boolean {
  const operation = type === 0 ? LOCK_SH : type === 1 ? LOCK_EX : LOCK_UN;
  if (call.flock(descriptor, operation | LOCK_NB) >= 0) return true;
  const number = errno();
  if (isConflict(number)) return false;
  throw systemError(number, 'flock');
}
