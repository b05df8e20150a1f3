/** Numbers of the kernel's FUSE protocol (linux/fuse.h): versions, opcodes, flags. Layouts stand in structures.ts. */

export const VERSION = {
  major: 7,
  /** What we answer at most: the newest whose additions have been looked through. */
  minor: 38,
  /** What a kernel must speak: 7.31 is Linux 5.4, 2019. */
  minorAtLeast: 31,
} as const;

export const OPCODE = {
  LOOKUP: 1,
  FORGET: 2,
  GETATTR: 3,
  SETATTR: 4,
  READLINK: 5,
  SYMLINK: 6,
  MKNOD: 8,
  MKDIR: 9,
  UNLINK: 10,
  RMDIR: 11,
  RENAME: 12,
  LINK: 13,
  OPEN: 14,
  READ: 15,
  WRITE: 16,
  STATFS: 17,
  RELEASE: 18,
  FSYNC: 20,
  SETXATTR: 21,
  GETXATTR: 22,
  LISTXATTR: 23,
  REMOVEXATTR: 24,
  FLUSH: 25,
  INIT: 26,
  OPENDIR: 27,
  READDIR: 28,
  RELEASEDIR: 29,
  FSYNCDIR: 30,
  GETLK: 31,
  SETLK: 32,
  SETLKW: 33,
  ACCESS: 34,
  CREATE: 35,
  INTERRUPT: 36,
  BMAP: 37,
  DESTROY: 38,
  IOCTL: 39,
  POLL: 40,
  NOTIFY_REPLY: 41,
  BATCH_FORGET: 42,
  FALLOCATE: 43,
  READDIRPLUS: 44,
  RENAME2: 45,
  LSEEK: 46,
  COPY_FILE_RANGE: 47,
} as const;

/** Bit numbers in fuse_init_in and _out: 0 to 31 in `flags`, the rest in `flags2`. */
export const INIT_FLAG = {
  ASYNC_READ: 0,
  POSIX_LOCKS: 1,
  ATOMIC_O_TRUNC: 3,
  BIG_WRITES: 5,
  DONT_MASK: 6,
  FLOCK_LOCKS: 10,
  AUTO_INVAL_DATA: 12,
  DO_READDIRPLUS: 13,
  ASYNC_DIO: 15,
  WRITEBACK_CACHE: 16,
  PARALLEL_DIROPS: 18,
  ABORT_ERROR: 21,
  MAX_PAGES: 22,
  CACHE_SYMLINKS: 23,
  EXPLICIT_INVAL_DATA: 25,
  HANDLE_KILLPRIV_V2: 28,
  INIT_EXT: 30,
  HAS_EXPIRE_ONLY: 35,
  /** Since 7.39. */
  DIRECT_IO_ALLOW_MMAP: 36,
} as const;
export type InitFlag = keyof typeof INIT_FLAG;

export const SETATTR_VALID = {
  MODE: 1,
  UID: 2,
  GID: 4,
  SIZE: 8,
  ATIME: 16,
  MTIME: 32,
  FH: 64,
  ATIME_NOW: 128,
  MTIME_NOW: 256,
  KILL_SUIDGID: 2048,
} as const;

export const GETATTR_FH = 1;
export const LK_FLOCK = 1;
export const WRITE_KILL_SUIDGID = 4;
export const OPEN_KILL_SUIDGID = 1;
export const FSYNC_FDATASYNC = 1;
export const RELEASE_FLOCK_UNLOCK = 2;

/** fuse_open_out.open_flags */
export const FOPEN = { DIRECT_IO: 1, KEEP_CACHE: 2, CACHE_DIR: 8, PARALLEL_DIRECT_WRITES: 64 } as const;

/** Codes of notifications, which stand in the error field. */
export const NOTIFY = {
  INVAL_INODE: 2,
  INVAL_ENTRY: 3,
  STORE: 4,
  DELETE: 6,
  /** Since 7.44: every name is stale. */
  INC_EPOCH: 8,
} as const;

/** Records of a directory listing are padded to this, bytes. */
export const RECORD_ALIGN_BYTES = 8;
