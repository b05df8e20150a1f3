/**
 * From what the kernel tells of a file to the Attributes of the protocol, and a flat form of these for the messages
 * between threads (structured cloning of an object with 18 names costs several times the system call).
 */
import { ATTRIBUTE_FLAGS, type Attributes } from '../wire/schema.ts';
import type { FileStatus } from '../sys/files.ts';

export const S_IFMT = 0o170000;
export const S_IFIFO = 0o010000;
export const S_IFDIR = 0o040000;
export const S_IFREG = 0o100000;
export const S_IFLNK = 0o120000;

const SET_IDS = 0o6000;

/** @param hidesSetIds set-user-id and set-group-id bits are not shown. */
export function attributesOf(status: FileStatus, hasXattrs: boolean, hidesSetIds: boolean): Attributes {
  // Written out: a spread costs more than the system call.
  return {
    inode: status.inode,
    device: status.device,
    mode: hidesSetIds ? status.mode & ~SET_IDS : status.mode,
    nlink: status.nlink,
    uid: status.uid,
    gid: status.gid,
    size: status.size,
    blocks: status.blocks,
    blksize: status.blksize,
    atimeSec: status.atimeSec,
    atimeNsec: status.atimeNsec,
    mtimeSec: status.mtimeSec,
    mtimeNsec: status.mtimeNsec,
    ctimeSec: status.ctimeSec,
    ctimeNsec: status.ctimeNsec,
    birthSec: status.birthSec,
    birthNsec: status.birthNsec,
    flags: hasXattrs ? ATTRIBUTE_FLAGS.hasXattrs : 0,
  };
}

/** The same text for the same inode. */
export function fileKey(status: { readonly device: bigint; readonly inode: bigint }): string {
  return `${status.device}:${status.inode}`;
}

/** Numbers of one packed Attributes. */
export const PACKED_NUMBERS = 20;
const LOW = 0xffffffffn;

/** Writes the attributes into `to` from index `at` on. */
export function packAttributes(a: Attributes, to: number[] | Float64Array, at = 0): void {
  to[at] = Number(a.inode >> 32n);
  to[at + 1] = Number(a.inode & LOW);
  to[at + 2] = Number(a.device >> 32n);
  to[at + 3] = Number(a.device & LOW);
  to[at + 4] = a.mode;
  to[at + 5] = a.nlink;
  to[at + 6] = a.uid;
  to[at + 7] = a.gid;
  to[at + 8] = a.size;
  to[at + 9] = a.blocks;
  to[at + 10] = a.blksize;
  to[at + 11] = a.atimeSec;
  to[at + 12] = a.atimeNsec;
  to[at + 13] = a.mtimeSec;
  to[at + 14] = a.mtimeNsec;
  to[at + 15] = a.ctimeSec;
  to[at + 16] = a.ctimeNsec;
  to[at + 17] = a.birthSec;
  to[at + 18] = a.birthNsec;
  to[at + 19] = a.flags;
}

export function unpackAttributes(from: ArrayLike<number>, at = 0): Attributes {
  const n = (index: number): number => from[at + index] ?? 0;
  return {
    inode: (BigInt(n(0)) << 32n) | BigInt(n(1)),
    device: (BigInt(n(2)) << 32n) | BigInt(n(3)),
    mode: n(4),
    nlink: n(5),
    uid: n(6),
    gid: n(7),
    size: n(8),
    blocks: n(9),
    blksize: n(10),
    atimeSec: n(11),
    atimeNsec: n(12),
    mtimeSec: n(13),
    mtimeNsec: n(14),
    ctimeSec: n(15),
    ctimeNsec: n(16),
    birthSec: n(17),
    birthNsec: n(18),
    flags: n(19),
  };
}
