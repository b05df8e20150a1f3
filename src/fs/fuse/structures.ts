/**
 * The structures of the kernel's FUSE protocol (linux/fuse.h, version 7.38 with its later additions), written once,
 * as data. Owns where each field lies; what opcodes and flags mean stands in protocol.ts.
 *
 * All are packed as C packs them on 64 bits; the test compares sizes and offsets with the system's header.
 */

/** Bytes of each kind of field; an array of n is written `[kind, n]`. */
const KIND_BYTES = { u16: 2, u32: 4, u64: 8 } as const;
type Kind = keyof typeof KIND_BYTES;
type FieldKind = Kind | readonly [Kind, number];
type Fields = Readonly<Record<string, FieldKind | Structure<Fields>>>;

export interface Structure<F> {
  /** As in the header. */
  readonly name: string;
  readonly sizeBytes: number;
  /** Offsets in bytes. */
  readonly at: { readonly [K in keyof F]: number };
  /** Offsets in 32-bit words; of a 16-bit field, the word that it lies in. */
  readonly word: { readonly [K in keyof F]: number };
}

const isStructure = (kind: FieldKind | Structure<Fields>): kind is Structure<Fields> =>
  typeof kind === 'object' && 'sizeBytes' in kind;

/** Each field is aligned to its own size (a nested structure to 8), which is what the protocol takes care of. */
function structure<const F extends Fields>(name: string, fields: F): Structure<F> {
  const at: Record<string, number> = {};
  const word: Record<string, number> = {};
  let offset = 0;
  for (const [field, kind] of Object.entries(fields)) {
    at[field] = offset;
    word[field] = offset >> 2;
    if (isStructure(kind)) offset += kind.sizeBytes;
    else if (typeof kind === 'string') offset += KIND_BYTES[kind];
    else offset += KIND_BYTES[kind[0]] * kind[1];
  }
  return { name, sizeBytes: offset, at, word } as Structure<F>;
}

export const IN_HEADER = structure('fuse_in_header', {
  len: 'u32',
  opcode: 'u32',
  unique: 'u64',
  nodeid: 'u64',
  uid: 'u32',
  gid: 'u32',
  pid: 'u32',
  total_extlen: 'u16',
  padding: 'u16',
});
export const OUT_HEADER = structure('fuse_out_header', { len: 'u32', error: 'u32', unique: 'u64' });

export const ATTR = structure('fuse_attr', {
  ino: 'u64',
  size: 'u64',
  blocks: 'u64',
  atime: 'u64',
  mtime: 'u64',
  ctime: 'u64',
  atimensec: 'u32',
  mtimensec: 'u32',
  ctimensec: 'u32',
  mode: 'u32',
  nlink: 'u32',
  uid: 'u32',
  gid: 'u32',
  rdev: 'u32',
  blksize: 'u32',
  flags: 'u32',
});
export const ENTRY_OUT = structure('fuse_entry_out', {
  nodeid: 'u64',
  generation: 'u64',
  entry_valid: 'u64',
  attr_valid: 'u64',
  entry_valid_nsec: 'u32',
  attr_valid_nsec: 'u32',
  attr: ATTR,
});
export const ATTR_OUT = structure('fuse_attr_out', {
  attr_valid: 'u64',
  attr_valid_nsec: 'u32',
  dummy: 'u32',
  attr: ATTR,
});

export const INIT_IN = structure('fuse_init_in', {
  major: 'u32',
  minor: 'u32',
  max_readahead: 'u32',
  flags: 'u32',
  flags2: 'u32',
  unused: ['u32', 11],
});
export const INIT_OUT = structure('fuse_init_out', {
  major: 'u32',
  minor: 'u32',
  max_readahead: 'u32',
  flags: 'u32',
  max_background: 'u16',
  congestion_threshold: 'u16',
  max_write: 'u32',
  time_gran: 'u32',
  max_pages: 'u16',
  map_alignment: 'u16',
  flags2: 'u32',
  unused: ['u32', 7],
});

export const FORGET_IN = structure('fuse_forget_in', { nlookup: 'u64' });
export const FORGET_ONE = structure('fuse_forget_one', { nodeid: 'u64', nlookup: 'u64' });
export const BATCH_FORGET_IN = structure('fuse_batch_forget_in', { count: 'u32', dummy: 'u32' });
export const GETATTR_IN = structure('fuse_getattr_in', { getattr_flags: 'u32', dummy: 'u32', fh: 'u64' });
export const SETATTR_IN = structure('fuse_setattr_in', {
  valid: 'u32',
  padding: 'u32',
  fh: 'u64',
  size: 'u64',
  lock_owner: 'u64',
  atime: 'u64',
  mtime: 'u64',
  ctime: 'u64',
  atimensec: 'u32',
  mtimensec: 'u32',
  ctimensec: 'u32',
  mode: 'u32',
  unused4: 'u32',
  uid: 'u32',
  gid: 'u32',
  unused5: 'u32',
});
export const MKNOD_IN = structure('fuse_mknod_in', { mode: 'u32', rdev: 'u32', umask: 'u32', padding: 'u32' });
export const MKDIR_IN = structure('fuse_mkdir_in', { mode: 'u32', umask: 'u32' });
export const RENAME_IN = structure('fuse_rename_in', { newdir: 'u64' });
export const RENAME2_IN = structure('fuse_rename2_in', { newdir: 'u64', flags: 'u32', padding: 'u32' });
export const LINK_IN = structure('fuse_link_in', { oldnodeid: 'u64' });
export const OPEN_IN = structure('fuse_open_in', { flags: 'u32', open_flags: 'u32' });
export const CREATE_IN = structure('fuse_create_in', { flags: 'u32', mode: 'u32', umask: 'u32', open_flags: 'u32' });
export const OPEN_OUT = structure('fuse_open_out', { fh: 'u64', open_flags: 'u32', padding: 'u32' });
export const RELEASE_IN = structure('fuse_release_in', {
  fh: 'u64',
  flags: 'u32',
  release_flags: 'u32',
  lock_owner: 'u64',
});
export const FLUSH_IN = structure('fuse_flush_in', { fh: 'u64', unused: 'u32', padding: 'u32', lock_owner: 'u64' });
export const FSYNC_IN = structure('fuse_fsync_in', { fh: 'u64', fsync_flags: 'u32', padding: 'u32' });
export const READ_IN = structure('fuse_read_in', {
  fh: 'u64',
  offset: 'u64',
  size: 'u32',
  read_flags: 'u32',
  lock_owner: 'u64',
  flags: 'u32',
  padding: 'u32',
});
export const WRITE_IN = structure('fuse_write_in', {
  fh: 'u64',
  offset: 'u64',
  size: 'u32',
  write_flags: 'u32',
  lock_owner: 'u64',
  flags: 'u32',
  padding: 'u32',
});
export const WRITE_OUT = structure('fuse_write_out', { size: 'u32', padding: 'u32' });
export const STATFS_OUT = structure('fuse_kstatfs', {
  blocks: 'u64',
  bfree: 'u64',
  bavail: 'u64',
  files: 'u64',
  ffree: 'u64',
  bsize: 'u32',
  namelen: 'u32',
  frsize: 'u32',
  padding: 'u32',
  spare: ['u32', 6],
});
/** The kernel sends the last two fields only where SETXATTR_EXT is negotiated, which it is not. */
export const SETXATTR_IN = structure('fuse_setxattr_in', {
  size: 'u32',
  flags: 'u32',
  setxattr_flags: 'u32',
  padding: 'u32',
});
/** FUSE_COMPAT_SETXATTR_IN_SIZE */
export const SETXATTR_IN_SHORT_BYTES = SETXATTR_IN.at.setxattr_flags;
export const GETXATTR_IN = structure('fuse_getxattr_in', { size: 'u32', padding: 'u32' });
export const GETXATTR_OUT = structure('fuse_getxattr_out', { size: 'u32', padding: 'u32' });
export const FILE_LOCK = structure('fuse_file_lock', { start: 'u64', end: 'u64', type: 'u32', pid: 'u32' });
export const LK_IN = structure('fuse_lk_in', {
  fh: 'u64',
  owner: 'u64',
  lk: FILE_LOCK,
  lk_flags: 'u32',
  padding: 'u32',
});
export const INTERRUPT_IN = structure('fuse_interrupt_in', { unique: 'u64' });
export const FALLOCATE_IN = structure('fuse_fallocate_in', {
  fh: 'u64',
  offset: 'u64',
  length: 'u64',
  mode: 'u32',
  padding: 'u32',
});
export const LSEEK_IN = structure('fuse_lseek_in', { fh: 'u64', offset: 'u64', whence: 'u32', padding: 'u32' });
export const LSEEK_OUT = structure('fuse_lseek_out', { offset: 'u64' });
export const COPY_FILE_RANGE_IN = structure('fuse_copy_file_range_in', {
  fh_in: 'u64',
  off_in: 'u64',
  nodeid_out: 'u64',
  fh_out: 'u64',
  off_out: 'u64',
  len: 'u64',
  flags: 'u64',
});
/** The name follows, padded to 8 bytes; in the header its field counts as none. */
export const DIRENT = structure('fuse_dirent', { ino: 'u64', off: 'u64', namelen: 'u32', type: 'u32' });

export const NOTIFY_INVAL_INODE_OUT = structure('fuse_notify_inval_inode_out', { ino: 'u64', off: 'u64', len: 'u64' });
export const NOTIFY_INVAL_ENTRY_OUT = structure('fuse_notify_inval_entry_out', {
  parent: 'u64',
  namelen: 'u32',
  flags: 'u32',
});
/** The data follow. */
export const NOTIFY_STORE_OUT = structure('fuse_notify_store_out', {
  nodeid: 'u64',
  offset: 'u64',
  size: 'u32',
  padding: 'u32',
});
export const NOTIFY_DELETE_OUT = structure('fuse_notify_delete_out', {
  parent: 'u64',
  child: 'u64',
  namelen: 'u32',
  padding: 'u32',
});
