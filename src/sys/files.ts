/**
 * System calls on names and descriptors that Node lacks or offers only by path: the at-family relative to a directory's
 * descriptor, with names as bytes. Synchronous: they belong on a disk thread (src/fs/disk-worker.ts).
 *
 * Every function throws a PeerfsError with the code of the errno. Descriptors are close-on-exec. Not owned: data
 * beyond the first bytes (src/sys/file-data.ts), extended attributes (src/sys/xattrs.ts), locks (src/sys/kernel-locks.ts).
 */
import { constants } from 'node:fs';
import type { ByteString } from '../bytestring.ts';
import { addressOf, declare, errno } from './libc.ts';
import { systemError } from './errno.ts';

/** open(2): from the platform where Node knows them, else asm-generic/fcntl.h. */
export const O = {
  RDONLY: constants.O_RDONLY,
  WRONLY: constants.O_WRONLY,
  RDWR: constants.O_RDWR,
  CREAT: constants.O_CREAT,
  EXCL: constants.O_EXCL,
  TRUNC: constants.O_TRUNC,
  APPEND: constants.O_APPEND,
  NONBLOCK: constants.O_NONBLOCK,
  SYNC: constants.O_SYNC,
  DSYNC: constants.O_DSYNC,
  DIRECTORY: constants.O_DIRECTORY,
  NOFOLLOW: constants.O_NOFOLLOW,
  NOCTTY: constants.O_NOCTTY,
  CLOEXEC: 0o2000000,
  PATH: 0o10000000,
} as const;

/** openat2(2), linux/openat2.h. */
export const RESOLVE = { NO_XDEV: 1, NO_MAGICLINKS: 2, NO_SYMLINKS: 4, BENEATH: 8 } as const;

/** linux/fcntl.h, linux/stat.h */
export const AT_FDCWD = -100;
const AT_SYMLINK_NOFOLLOW = 0x100;
const AT_REMOVEDIR = 0x200;
const AT_SYMLINK_FOLLOW = 0x400;
const AT_EMPTY_PATH = 0x1000;
const STATX_BASIC_AND_BIRTH = 0xfff;
const STATX_ATTR_MOUNT_ROOT = 0x2000;
const UTIME_NOW = 0x3fffffff;
const UTIME_OMIT = 0x3ffffffe;
/** linux/sched.h */
const CLONE_FS = 0x200;

const SYS_OPENAT2 = 437;
const PATH_BYTES = 4096;

const call = {
  close: declare('close', 'int', ['int']),
  fchmod: declare('fchmod', 'int', ['int', 'uint32']),
  chmod: declare('chmod', 'int', ['pointer', 'uint32']),
  fchownat: declare('fchownat', 'int', ['int', 'pointer', 'uint32', 'uint32', 'int']),
  linkat: declare('linkat', 'int', ['int', 'pointer', 'int', 'pointer', 'int']),
  mkdirat: declare('mkdirat', 'int', ['int', 'pointer', 'uint32']),
  mknodat: declare('mknodat', 'int', ['int', 'pointer', 'uint32', 'u64']),
  openat: declare('openat', 'int', ['int', 'pointer', 'int', 'uint32']),
  openat2: declare('syscall', 'long', ['long', 'int', 'pointer', 'pointer', 'size']),
  readlinkat: declare('readlinkat', 'long', ['int', 'pointer', 'buffer', 'size']),
  renameat2: declare('renameat2', 'int', ['int', 'pointer', 'int', 'pointer', 'uint32']),
  setfsgid: declare('setfsgid', 'int', ['uint32']),
  setfsuid: declare('setfsuid', 'int', ['uint32']),
  statx: declare('statx', 'int', ['int', 'pointer', 'int', 'uint32', 'pointer']),
  symlinkat: declare('symlinkat', 'int', ['pointer', 'int', 'pointer']),
  umask: declare('umask', 'int', ['uint32']),
  unlinkat: declare('unlinkat', 'int', ['int', 'pointer', 'int']),
  unshare: declare('unshare', 'int', ['int']),
  utimensat: declare('utimensat', 'int', ['int', 'pointer', 'buffer', 'int']),
};

/** Calls are synchronous, so that one set of buffers a thread does. */
interface TextBuffer {
  readonly bytes: Buffer;
  readonly address: number;
}
function textBuffer(): TextBuffer {
  const bytes = Buffer.alloc(PATH_BYTES + 1);
  return { bytes, address: addressOf(bytes) };
}
const firstText = textBuffer();
const secondText = textBuffer();
const EMPTY = textBuffer();
const statBytes = new ArrayBuffer(256);
const stat = {
  u32: new Uint32Array(statBytes),
  i32: new Int32Array(statBytes),
  u64: new BigUint64Array(statBytes),
  address: addressOf(new Uint8Array(statBytes)),
};
/** struct open_how: flags, mode, resolve, 64 bits each, of which the lower halves are used. */
const how = new Uint32Array(6);
const howAddress = addressOf(how);
const HOW_BYTES = 24;
const times = Buffer.alloc(32);

function inText(buffer: TextBuffer, text: string): number {
  if (text.length > PATH_BYTES) throw systemError(36, 'path');
  buffer.bytes.write(text, 0, 'latin1');
  buffer.bytes[text.length] = 0;
  return buffer.address;
}

function check(result: number, name: string): number {
  if (result < 0) throw systemError(errno(), name);
  return result;
}

/** What statx(2) tells. Times are seconds and nanoseconds. */
export interface FileStatus {
  readonly inode: bigint;
  /** Major number in the upper, minor in the lower 32 bits. */
  readonly device: bigint;
  readonly mode: number;
  readonly nlink: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  /** Units of 512 bytes. */
  readonly blocks: number;
  readonly blksize: number;
  readonly atimeSec: number;
  readonly atimeNsec: number;
  readonly mtimeSec: number;
  readonly mtimeNsec: number;
  readonly ctimeSec: number;
  readonly ctimeNsec: number;
  /** 0 where the file system keeps none. */
  readonly birthSec: number;
  readonly birthNsec: number;
  /** Something is mounted here. False on kernels before 5.8, which do not tell. */
  readonly isMountRoot: boolean;
}

const word = (index: number): number => stat.u32[index] ?? 0;
const double = (index: number): number => word(index + 1) * 2 ** 32 + word(index);
const seconds = (index: number): number => (stat.i32[index + 1] ?? 0) * 2 ** 32 + word(index);
let device = { major: -1, minor: -1, id: 0n };

/** Offsets of struct statx (linux/stat.h), in words of 32 bits. */
function statusOf(): FileStatus {
  const major = word(34);
  const minor = word(35);
  if (device.major !== major || device.minor !== minor) {
    device = { major, minor, id: (BigInt(major) << 32n) | BigInt(minor) };
  }
  return {
    inode: stat.u64[4] ?? 0n,
    device: device.id,
    mode: word(7) & 0xffff,
    nlink: word(4),
    uid: word(5),
    gid: word(6),
    size: double(10),
    blocks: double(12),
    blksize: word(1),
    atimeSec: seconds(16),
    atimeNsec: word(18),
    mtimeSec: seconds(28),
    mtimeNsec: word(30),
    ctimeSec: seconds(24),
    ctimeNsec: word(26),
    birthSec: seconds(20),
    birthNsec: word(22),
    isMountRoot: (word(2) & STATX_ATTR_MOUNT_ROOT) !== 0,
  };
}

/** Of an open file, also one opened O_PATH. */
export function statDescriptor(descriptor: number): FileStatus {
  check(call.statx(descriptor, EMPTY.address, AT_EMPTY_PATH, STATX_BASIC_AND_BIRTH, stat.address), 'statx');
  return statusOf();
}

/** Of a name in a directory; a link itself. */
export function statAt(directory: number, name: ByteString): FileStatus {
  const flags = AT_SYMLINK_NOFOLLOW;
  check(call.statx(directory, inText(firstText, name), flags, STATX_BASIC_AND_BIRTH, stat.address), 'statx');
  return statusOf();
}

/** Resolves `path` below `directory` under RESOLVE bits. @throws ENOSYS where the kernel lacks openat2 (before 5.6). */
export function openBeneath(directory: number, path: string, flags: number, mode: number, resolve: number): number {
  how[0] = flags | O.CLOEXEC;
  how[2] = mode;
  how[4] = resolve;
  return check(call.openat2(SYS_OPENAT2, directory, inText(firstText, path), howAddress, HOW_BYTES), 'openat2');
}

export function openAt(directory: number, name: string, flags: number, mode = 0): number {
  return check(call.openat(directory, inText(firstText, name), flags | O.CLOEXEC, mode), 'openat');
}

/** Another descriptor of the same inode with other flags, through /proc: the inode cannot be swapped in between. */
export function reopen(descriptor: number, flags: number): number {
  return openAt(AT_FDCWD, procPath(descriptor), flags);
}

/** A path that leads to the inode of the descriptor. */
export function procPath(descriptor: number): string {
  return `/proc/self/fd/${descriptor}`;
}

export function closeDescriptor(descriptor: number): void {
  call.close(descriptor);
}

export function makeDirectory(directory: number, name: ByteString, permissions: number): void {
  check(call.mkdirat(directory, inText(firstText, name), permissions), 'mkdirat');
}

/** @param mode type (regular or FIFO) and permissions. */
export function makeNode(directory: number, name: ByteString, mode: number): void {
  check(call.mknodat(directory, inText(firstText, name), mode, 0), 'mknodat');
}

export function makeSymlink(directory: number, name: ByteString, target: ByteString): void {
  const address = inText(secondText, target);
  check(call.symlinkat(address, directory, inText(firstText, name)), 'symlinkat');
}

/** Gives the inode of `descriptor` (O_PATH does) the name. */
export function makeLink(descriptor: number, directory: number, name: ByteString): void {
  const source = inText(secondText, procPath(descriptor));
  check(call.linkat(AT_FDCWD, source, directory, inText(firstText, name), AT_SYMLINK_FOLLOW), 'linkat');
}

/** The same from a name; a link is linked itself. */
export function makeLinkAt(from: number, oldName: ByteString, directory: number, name: ByteString): void {
  const source = inText(secondText, oldName);
  check(call.linkat(from, source, directory, inText(firstText, name), 0), 'linkat');
}

export function removeName(directory: number, name: ByteString, isDirectory: boolean): void {
  check(call.unlinkat(directory, inText(firstText, name), isDirectory ? AT_REMOVEDIR : 0), 'unlinkat');
}

/** @param flags of renameat2(2). */
export function renameName(from: number, oldName: ByteString, to: number, newName: ByteString, flags: number): void {
  const source = inText(secondText, oldName);
  check(call.renameat2(from, source, to, inText(firstText, newName), flags), 'renameat2');
}

const linkTarget = Buffer.alloc(PATH_BYTES);

/** @returns a fresh copy. */
export function readLink(directory: number, name: ByteString): Uint8Array {
  const length = check(
    call.readlinkat(directory, inText(firstText, name), linkTarget, linkTarget.length),
    'readlinkat',
  );
  return Uint8Array.prototype.slice.call(linkTarget, 0, length);
}

/** Works on O_PATH descriptors too. A link has no permissions: EOPNOTSUPP. */
export function changeMode(descriptor: number, permissions: number): void {
  check(call.chmod(inText(firstText, procPath(descriptor)), permissions), 'chmod');
}

/** Of an open (not O_PATH) file: also when it has no name left and /proc is missing. */
export function changeModeOpen(descriptor: number, permissions: number): void {
  check(call.fchmod(descriptor, permissions), 'fchmod');
}

/** Absent ids stay. */
export function changeOwner(descriptor: number, uid: number | undefined, gid: number | undefined): void {
  const keep = 0xffffffff;
  check(call.fchownat(descriptor, EMPTY.address, uid ?? keep, gid ?? keep, AT_EMPTY_PATH), 'fchownat');
}

export type NewTime = { readonly sec: number; readonly nsec: number } | 'now' | undefined;

function putTime(offset: number, time: NewTime): void {
  const isTime = typeof time === 'object';
  times.writeBigInt64LE(isTime ? BigInt(time.sec) : 0n, offset);
  const nsec = isTime ? time.nsec : time === 'now' ? UTIME_NOW : UTIME_OMIT;
  times.writeBigInt64LE(BigInt(nsec), offset + 8);
}

/** Undefined times stay. Works on O_PATH descriptors, of links too. */
export function changeTimes(descriptor: number, atime: NewTime, mtime: NewTime): void {
  putTime(0, atime);
  putTime(16, mtime);
  const failed = call.utimensat(descriptor, EMPTY.address, times, AT_EMPTY_PATH) < 0;
  // Kernels before 5.8 know no AT_EMPTY_PATH here; through /proc a link's target would be meant, so links stay EINVAL.
  if (failed) check(call.utimensat(AT_FDCWD, inText(firstText, procPath(descriptor)), times, 0), 'utimensat');
}

/**
 * Gives this thread a umask of its own, and none, so that files get the permissions that were asked for.
 * @returns false where the thread cannot part from the process' umask (it is left alone then).
 */
export function dropUmask(): boolean {
  if (call.unshare(CLONE_FS) < 0) return false;
  call.umask(0);
  return true;
}

/** Runs `create` so that what it creates belongs to these ids; this thread only; needs root. */
export function asOwner<T>(uid: number, gid: number, create: () => T): T {
  call.setfsgid(gid);
  call.setfsuid(uid);
  try {
    return create();
  } finally {
    call.setfsuid(process.geteuid?.() ?? 0);
    call.setfsgid(process.getegid?.() ?? 0);
  }
}

const AT_STATX_DONT_SYNC = 0x4000;
const STATX_MTIME = 0x40;
const STATX_SIZE = 0x200;

/**
 * Size (bytes) and time of the last change of an open file as this kernel knows it. Asks no disk and no server, so it may
 * run on any thread.
 */
export function versionOf(descriptor: number): Pick<FileStatus, 'size' | 'mtimeSec' | 'mtimeNsec'> {
  const flags = AT_EMPTY_PATH | AT_STATX_DONT_SYNC;
  check(call.statx(descriptor, EMPTY.address, flags, STATX_SIZE | STATX_MTIME, stat.address), 'statx');
  return { size: double(10), mtimeSec: seconds(28), mtimeNsec: word(30) };
}
