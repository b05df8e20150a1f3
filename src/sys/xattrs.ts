/**
 * Extended attributes of the user namespace, by descriptor (through /proc, so that O_PATH ones serve too).
 * Synchronous; throws PeerfsError with the code of the errno. Others than user.* do not exist here.
 */
import { fromBytes, type ByteString } from '../bytestring.ts';
import { PeerfsError } from '../errors.ts';
import { addressOf, declare, errno } from './libc.ts';
import { codeOfErrno, systemError } from './errno.ts';

/** linux/limits.h: XATTR_SIZE_MAX and XATTR_LIST_MAX. */
const XATTR_BYTES = 65_536;
const PREFIX = 'user.';
/** linux/fcntl.h, linux/unistd.h; since Linux 6.13. */
const AT_SYMLINK_NOFOLLOW = 0x100;
const SYS_LISTXATTRAT = 465;

const call = {
  getxattr: declare('getxattr', 'long', ['pointer', 'pointer', 'buffer', 'size']),
  listxattr: declare('listxattr', 'long', ['pointer', 'pointer', 'size']),
  listxattrat: declare('syscall', 'long', ['long', 'int', 'pointer', 'int', 'pointer', 'size']),
  llistxattr: declare('llistxattr', 'long', ['pointer', 'pointer', 'size']),
  removexattr: declare('removexattr', 'int', ['pointer', 'pointer']),
  setxattr: declare('setxattr', 'int', ['pointer', 'pointer', 'buffer', 'size', 'int']),
};

const pathBytes = Buffer.alloc(512);
const pathAddress = addressOf(pathBytes);
const nameBytes = Buffer.alloc(256);
const nameAddress = addressOf(nameBytes);
const value = Buffer.alloc(XATTR_BYTES);
const valueAddress = addressOf(value);

const FD_FOLDER = '/proc/self/fd/';
pathBytes.write(FD_FOLDER, 'latin1');

/** Written by hand: this runs for every file that is looked at. */
function path(descriptor: number, name?: ByteString): number {
  // Exactly as many digits as it has: /proc knows no leading zeros.
  let end = FD_FOLDER.length + 1;
  for (let rest = descriptor; rest >= 10; rest = Math.floor(rest / 10)) end++;
  for (let at = end - 1, rest = descriptor; at >= FD_FOLDER.length; at--, rest = Math.floor(rest / 10)) {
    pathBytes[at] = 48 + (rest % 10);
  }
  if (name !== undefined) {
    pathBytes[end] = 47;
    end += 1 + pathBytes.write(name, end + 1, 'latin1');
  }
  pathBytes[end] = 0;
  return pathAddress;
}

function attributeName(name: ByteString): number {
  nameBytes[nameBytes.write(name, 0, 255, 'latin1')] = 0;
  return nameAddress;
}

function check(result: number, name: string): number {
  if (result < 0) throw systemError(errno(), name);
  return result;
}

/** @returns a fresh copy. @throws ENODATA */
export function getXattr(descriptor: number, name: ByteString): Uint8Array {
  if (!isUserXattr(name)) throw new PeerfsError('ENODATA');
  const length = check(call.getxattr(path(descriptor), attributeName(name), value, value.length), 'getxattr');
  return Uint8Array.prototype.slice.call(value, 0, length);
}

/** @param flags 1 it must not exist (EEXIST), 2 it must (ENODATA). */
export function setXattr(descriptor: number, name: ByteString, bytes: Uint8Array, flags: number): void {
  if (!isUserXattr(name)) throw new PeerfsError(name.length > 255 ? 'ERANGE' : 'EOPNOTSUPP');
  check(call.setxattr(path(descriptor), attributeName(name), bytes, bytes.length, flags), 'setxattr');
}

export function removeXattr(descriptor: number, name: ByteString): void {
  if (!isUserXattr(name)) throw new PeerfsError('ENODATA');
  check(call.removexattr(path(descriptor), attributeName(name)), 'removexattr');
}

/** Names of the user.* attributes; empty where the file system has none. */
export function listXattrs(descriptor: number): ByteString[] {
  const length = call.listxattr(path(descriptor), valueAddress, XATTR_BYTES);
  if (length < 0) {
    const error = systemError(errno(), 'listxattr');
    if (error.code === 'EOPNOTSUPP') return [];
    throw error;
  }
  const names = fromBytes(value, 0, length).split('\0') as ByteString[];
  return names.filter(isUserXattr);
}

let hasListAt = true;

/** A way through /proc costs four times the call by descriptor, and this runs for every entry of a listing. */
function listAt(directory: number, name: ByteString): number {
  if (hasListAt) {
    const text = attributeName(name);
    const length = call.listxattrat(SYS_LISTXATTRAT, directory, text, AT_SYMLINK_NOFOLLOW, valueAddress, XATTR_BYTES);
    if (length >= 0 || codeOfErrno(errno()) !== 'ENOSYS') return length;
    hasListAt = false;
  }
  return call.llistxattr(path(directory, name), valueAddress, XATTR_BYTES);
}

/**
 * Whether the file may have user.* attributes.
 * @param name in the directory `descriptor`, or none: the descriptor's own file. Links are not followed.
 */
export function mayHaveXattrs(descriptor: number, name?: ByteString): boolean {
  const length =
    name === undefined ? call.listxattr(path(descriptor), valueAddress, XATTR_BYTES) : listAt(descriptor, name);
  if (length <= 0) return length < 0 && codeOfErrno(errno()) !== 'EOPNOTSUPP';
  if (value.toString('latin1', 0, PREFIX.length) === PREFIX) return true;
  return value.subarray(0, length).includes(`\0${PREFIX}`, 0, 'latin1');
}

function isUserXattr(name: ByteString): boolean {
  return name.startsWith(PREFIX) && name.length > PREFIX.length && name.length <= 255;
}
