/**
 * The protocol between two peers, as data: every message, field, limit and unit. Types, codec, dispatcher and
 * docs/protocol.md come from here and nowhere else.
 *
 * Once released, tags and field order never change: fields are appended with a `default`, messages get new tags.
 */
import { PATH_MAX_BYTES, NAME_MAX_BYTES, SHARE_PATH_MAX_BYTES, type ByteString } from '../bytestring.ts';
import { SIGNAL_PUSH } from './candidate.ts';
import type { Field, Fields, Message, Struct, ValuesOf } from './types.ts';

export const PROTOCOL_VERSION = 1;

/** Names of optional abilities, sent in `hello`. */
export const FEATURES = ['leases', 'locks'] as const;

/** Specification limits of version 1. Bytes unless the name says otherwise. */
export const LIMITS = {
  /** A whole frame, header and payload included. */
  frameBytes: 288 * 1024,
  /** Data of one read or write call. */
  pieceBytes: 256 * 1024,
  /** One copyRange call. */
  copyBytes: 64 * 1024 * 1024,
  /** One release call. */
  releasedHandles: 256,
  /** One readFiles call. Their attributes fit beside `pieceBytes` into a frame. */
  filesPerCall: 128,
  xattrBytes: 64 * 1024,
  entriesPerReply: 8192,
  shares: 1024,
  petnameBytes: 64,
  /** What lies at one place of a mailbox. */
  leftSignalBytes: 1024,
  /** Places that a peer watches in one mailbox. A reply with a value of full length for each is under `frameBytes`. */
  watchedPlaces: 256,
} as const;

const path = (doc: string) => ({ type: { path: SHARE_PATH_MAX_BYTES }, doc }) as const satisfies Field;
const share = {
  type: 'u32',
  doc: "number of the share, from listShares; 0 is the caller's inbox",
} as const satisfies Field;
const handle = { type: 'u32', doc: 'handle from open, openDirectory; never 0', handle: true } as const satisfies Field;
const handleOrNone = {
  type: 'u32',
  doc: 'an open handle of the same file, which is then used instead of the path; 0 for none',
  handle: true,
} as const satisfies Field;
const uid = {
  type: 'u32',
  doc: 'owner of what is created; ignored unless the share maps ids as they are',
} as const satisfies Field;
const gid = {
  type: 'u32',
  doc: 'group of what is created; ignored unless the share maps ids as they are',
} as const satisfies Field;
const permissions = {
  type: 'u32',
  doc: 'permission bits, umask already applied',
  limit: 0o7777,
} as const satisfies Field;
const offset = { type: 'u64', doc: 'position in the file, bytes' } as const satisfies Field;
const change = {
  type: 'u64',
  doc: "the share's change number when this was read: pushes with a higher number are newer than it",
} as const satisfies Field;
const leaseMs = {
  type: 'u32',
  doc: 'milliseconds for which the caller will be told of changes before others see them; 0: no lease',
} as const satisfies Field;

export const HANDLE = {
  name: 'Handle',
  doc: 'An open file or directory of the caller.',
  fields: { handle },
} as const satisfies Struct;

export const ATTRIBUTES = {
  name: 'Attributes',
  doc: 'What stat(2) tells of a file. `inode`, `device` and the birth time identify it within the share.',
  fields: {
    inode: { type: 'id64', doc: 'inode number on the server' },
    device: { type: 'id64', doc: 'device number on the server' },
    mode: { type: 'u32', doc: 'type and permission bits as in st_mode' },
    nlink: { type: 'u32', doc: 'number of hard links' },
    uid: { type: 'u32', doc: "owner; the peer's own numbers" },
    gid: { type: 'u32', doc: "group; the peer's own numbers" },
    size: { type: 'u64', doc: 'bytes' },
    blocks: { type: 'u64', doc: 'allocated, in units of 512 bytes' },
    blksize: { type: 'u32', doc: 'preferred size of input and output, bytes' },
    atimeSec: { type: 'i64', doc: 'last access, seconds since the epoch' },
    atimeNsec: { type: 'u32', doc: 'and nanoseconds', limit: 999_999_999 },
    mtimeSec: { type: 'i64', doc: 'last change of the contents, seconds since the epoch' },
    mtimeNsec: { type: 'u32', doc: 'and nanoseconds', limit: 999_999_999 },
    ctimeSec: { type: 'i64', doc: 'last change of the inode, seconds since the epoch' },
    ctimeNsec: { type: 'u32', doc: 'and nanoseconds', limit: 999_999_999 },
    birthSec: { type: 'i64', doc: 'birth, seconds since the epoch; 0 where unknown' },
    birthNsec: { type: 'u32', doc: 'and nanoseconds', limit: 999_999_999 },
    flags: { type: 'u32', doc: 'bit 0: has user.* extended attributes (or the server cannot tell)' },
  },
} as const satisfies Struct;

export const ATTRIBUTE_FLAGS = { hasXattrs: 1 } as const;

export const FILE_NAME = {
  name: 'FileName',
  doc: 'A name in a directory.',
  fields: { name: { type: { name: NAME_MAX_BYTES }, doc: 'the name' } },
} as const satisfies Struct;

export const READ_FILE = {
  name: 'ReadFile',
  doc: 'A file that was read whole.',
  fields: {
    position: { type: 'u32', doc: 'of its name among those asked for, from 0', limit: LIMITS.filesPerCall - 1 },
    attributes: { type: { struct: ATTRIBUTES }, doc: 'when it was read; `size` is the length of its contents' },
  },
} as const satisfies Struct;

export const SHARE_INFO = {
  name: 'ShareInfo',
  doc: 'A folder that the server gives to the caller.',
  fields: {
    share: { type: 'u32', doc: "number, stable for the life of the share; 0 is the caller's inbox" },
    name: { type: { name: NAME_MAX_BYTES, rule: 'nameOrEmpty' }, doc: 'name to show; empty for the inbox' },
    writable: { type: 'bool', doc: 'whether the caller may change it' },
    idmap: { type: 'u8', doc: '0: files belong to the serving user; 1: numeric ids pass as they are', limit: 1 },
  },
} as const satisfies Struct;

const place = {
  type: { fixed: 32 },
  doc: 'name of a place; who knows it may leave and watch there',
} as const satisfies Field;
const leftValue = {
  type: { bytes: LIMITS.leftSignalBytes },
  doc: 'a LeftSignal; opaque to the mailbox',
} as const satisfies Field;

export const PLACE = {
  name: 'Place',
  doc: 'Where two peers leave signals for each other. Its name is a hash that only they can compute, another each hour.',
  fields: { place },
} as const satisfies Struct;

export const SIGNAL_AT_PLACE = {
  name: 'SignalAtPlace',
  doc: 'What lies at a place now, left by another than the caller; the newest if several left something.',
  fields: { place, value: leftValue },
} as const satisfies Struct;

export const LEFT_SIGNAL = {
  name: 'LeftSignal',
  doc: 'What one peer leaves for another. The mailbox cannot check or open it, the receiver does both.',
  fields: {
    sequence: {
      type: 'u64',
      doc: "the sender's clock when it first said this, milliseconds since the epoch, rising: lower ones are old",
    },
    signature: {
      type: { fixed: 64 },
      doc: "by the place's key pair (Ed25519), over `peerfs 1 left`, NUL, the sequence as it stands here and `sealed`",
    },
    sealed: { type: { fixed: 942 }, doc: 'a Signal, padded and sealed for the place (XChaCha20-Poly1305)' },
  },
} as const satisfies Struct;

const call = <const M extends Omit<Message, 'kind' | 'requestPayload' | 'replyPayload'> & Partial<Message>>(
  message: M,
) => ({
  requestPayload: 0,
  replyPayload: 0,
  kind: 'call' as const,
  ...message,
});

const push = <const F extends Fields>(tag: number, from: Message['from'], doc: string, request: F) => ({
  tag,
  kind: 'push' as const,
  doc,
  from,
  idempotent: true,
  request,
  requestPayload: 0,
  reply: {},
  replyPayload: 0,
});

/** setattr's `valid` bits: which of the fields count. */
export const SETATTR = {
  mode: 1,
  uid: 2,
  gid: 4,
  size: 8,
  atime: 16,
  mtime: 32,
  atimeNow: 64,
  mtimeNow: 128,
} as const;

/** open's flags. Numbers of the protocol, not of any platform. */
export const OPEN = {
  read: 1,
  write: 2,
  append: 4,
  create: 8,
  exclusive: 16,
  truncate: 32,
  /** Every write waits for the disk. */
  sync: 64,
  dataSync: 128,
} as const;

export const RENAME = { noReplace: 1, exchange: 2 } as const;
export const LOCK_TYPE = { read: 0, write: 1, unlock: 2 } as const;
export const LOCK_KIND = { posix: 0, flock: 1 } as const;
export const SEEK = { data: 0, hole: 1 } as const;
export const FALLOCATE = { keepSize: 1, punchHole: 2, zeroRange: 16 } as const;
export const XATTR = { create: 1, replace: 2 } as const;
/** What of a directory or file a lease covered and a recall ends. */
export const RECALL = {
  /** The names in the directory and the attributes of its files. */
  entries: 1,
  /** Attributes of one file. */
  attributes: 2,
  /** Contents of one file. */
  contents: 4,
  /** Everything below the path. */
  subtree: 8,
  /** That nobody else looks at or changes names in the directory. */
  sole: 16,
} as const;

/** Where the caller is promised to be alone. */
export const SOLE = { parent: 1, made: 2 } as const;

const attributesReply = {
  attributes: { type: { struct: ATTRIBUTES }, doc: 'after the call' },
  change,
  leaseMs,
} as const satisfies Fields;

/** Attributes to be set; `valid` bits of SETATTR say which. */
const attributeFields = {
  mode: { type: 'u32', doc: 'permission bits', limit: 0o7777 },
  atimeSec: { type: 'i64', doc: 'seconds' },
  atimeNsec: { type: 'u32', doc: 'nanoseconds', limit: 999_999_999 },
  mtimeSec: { type: 'i64', doc: 'seconds' },
  mtimeNsec: { type: 'u32', doc: 'nanoseconds', limit: 999_999_999 },
} as const satisfies Fields;

const done = { change } as const satisfies Fields;

const maxEntries = {
  type: 'u32',
  doc: 'at most so many entries; 0 for none',
  limit: LIMITS.entriesPerReply,
} as const satisfies Field;
/** What stands in the payload is laid out in src/wire/listing.ts. */
const listingReply = {
  count: { type: 'u32', doc: 'entries in the payload', limit: LIMITS.entriesPerReply },
  next: { type: 'id64', doc: 'cursor at which the listing goes on after them' },
  end: { type: 'bool', doc: 'nothing follows them' },
  change,
} as const satisfies Fields;

/** Of calls that change names: what became of the directories, so that the caller need not ask. */
const namesReply = {
  directories: {
    type: { list: ATTRIBUTES, max: 2 },
    doc: 'the directories whose names were changed, after the call (of a rename the old first; one if both are one); empty unless leases of the caller cover them all',
  },
  order: {
    type: 'u64',
    doc: 'of all that replies of one boot of the server say of a directory in `directories`, the highest is the newest',
  },
  sole: {
    type: 'u8',
    doc: 'where the caller is alone now: 1 in the directory of the (new) name, 2 in the directory that was made, which is empty. Nobody else sees or changes names there before the caller has answered a recall (16), so it may answer for names there before it has asked. Local programs of the server are not held up',
    limit: 3,
  },
  soleMs: { type: 'u32', doc: 'how long that holds after the last call of the caller that is answered, milliseconds' },
} as const satisfies Fields;

export const MESSAGES = {
  hello: push(1, 'either', 'The first frame of each side on a path. Nothing else counts before it.', {
    version: { type: 'u16', doc: 'highest protocol version spoken; both use the lower of the two' },
    features: { type: { text: 1024 }, doc: 'names of abilities, separated by spaces; unknown ones are ignored' },
    bootId: { type: { fixed: 16 }, doc: 'random, new at each start of the node' },
    name: { type: { text: LIMITS.petnameBytes }, doc: 'what the peer calls itself; a suggestion only' },
  }),
  goodbye: push(2, 'either', 'The sender is about to close: the peer is offline from now on.', {
    reason: { type: 'u8', doc: '0: shutting down; 1: removed as a peer; 2: path no longer needed' },
  }),
  acknowledge: push(3, 'either', 'Replies that the sender has seen: the other side forgets them.', {
    fromCall: { type: 'u64', doc: 'first call of a run of calls that have all been answered' },
    belowCall: { type: 'u64', doc: 'the call after the last of them' },
  }),
  signal: push(
    4,
    'either',
    'Where the sender can be reached now: after `hello` on each path, and when it changes. The receiver looks for a better path.',
    SIGNAL_PUSH,
  ),

  listShares: call({
    tag: 16,
    from: 'client',
    idempotent: true,
    doc: 'The folders that the caller may see.',
    request: {},
    reply: { shares: { type: { list: SHARE_INFO, max: LIMITS.shares }, doc: 'the inbox first' } },
  }),
  sharesChanged: push(17, 'server', 'The list of shares is no longer what it was.', {}),

  statfs: call({
    tag: 32,
    from: 'client',
    idempotent: true,
    doc: 'Sizes of the file system that holds the share.',
    request: { share, path: path('any file of the share') },
    reply: {
      blockSize: { type: 'u32', doc: 'bytes' },
      blocks: { type: 'u64', doc: 'in all' },
      blocksFree: { type: 'u64', doc: 'free' },
      blocksAvailable: { type: 'u64', doc: 'free to the caller' },
      files: { type: 'u64', doc: 'inodes in all' },
      filesFree: { type: 'u64', doc: 'inodes free' },
      nameMax: { type: 'u32', doc: 'longest name, bytes' },
    },
  }),
  getattr: call({
    tag: 33,
    from: 'client',
    idempotent: true,
    doc: 'Attributes of a file; links are not followed.',
    request: { share, path: path('the file'), handle: handleOrNone },
    reply: attributesReply,
  }),
  setattr: call({
    tag: 34,
    from: 'client',
    idempotent: false,
    doc: 'Changes attributes. `valid` says which: 1 mode, 2 uid, 4 gid, 8 size, 16 atime, 32 mtime, 64 atime is now, 128 mtime is now.',
    request: {
      share,
      path: path('the file'),
      handle: handleOrNone,
      valid: { type: 'u32', doc: 'bits as above', limit: 255 },
      mode: { type: 'u32', doc: 'permission bits', limit: 0o7777 },
      uid: { type: 'u32', doc: 'owner' },
      gid: { type: 'u32', doc: 'group' },
      size: { type: 'u64', doc: 'bytes' },
      atimeSec: { type: 'i64', doc: 'seconds' },
      atimeNsec: { type: 'u32', doc: 'nanoseconds', limit: 999_999_999 },
      mtimeSec: { type: 'i64', doc: 'seconds' },
      mtimeNsec: { type: 'u32', doc: 'nanoseconds', limit: 999_999_999 },
    },
    reply: attributesReply,
  }),
  readlink: call({
    tag: 35,
    from: 'client',
    idempotent: true,
    doc: 'Target of a symbolic link, as it is.',
    request: { share, path: path('the link') },
    reply: { target: { type: { bytes: PATH_MAX_BYTES }, doc: 'bytes without NUL' } },
  }),
  mkdir: call({
    tag: 36,
    from: 'client',
    idempotent: false,
    doc: 'Makes a directory.',
    request: { share, path: path('the new directory'), permissions, uid, gid },
    reply: { ...attributesReply, ...namesReply },
  }),
  mknod: call({
    tag: 37,
    from: 'client',
    idempotent: false,
    doc: 'Makes a regular file or a FIFO. Device nodes and sockets are refused (EPERM).',
    request: {
      share,
      path: path('the new file'),
      permissions,
      uid,
      gid,
      fifo: { type: 'bool', doc: 'a FIFO instead of a regular file' },
    },
    reply: { ...attributesReply, ...namesReply },
  }),
  symlink: call({
    tag: 38,
    from: 'client',
    idempotent: false,
    doc: 'Makes a symbolic link.',
    request: {
      share,
      path: path('the new link'),
      target: { type: { bytes: PATH_MAX_BYTES }, doc: 'bytes without NUL' },
      uid,
      gid,
    },
    reply: { ...attributesReply, ...namesReply },
  }),
  link: call({
    tag: 39,
    from: 'client',
    idempotent: false,
    doc: 'Gives a file another name in the same share.',
    request: { share, path: path('the file'), handle: handleOrNone, newPath: path('its new name') },
    reply: { ...attributesReply, ...namesReply },
  }),
  unlink: call({
    tag: 40,
    from: 'client',
    idempotent: false,
    doc: 'Removes a name that is not a directory. Open handles stay good.',
    request: { share, path: path('the name') },
    reply: { ...done, ...namesReply },
  }),
  rmdir: call({
    tag: 41,
    from: 'client',
    idempotent: false,
    doc: 'Removes an empty directory.',
    request: { share, path: path('the directory') },
    reply: { ...done, ...namesReply },
  }),
  rename: call({
    tag: 42,
    from: 'client',
    idempotent: false,
    doc: 'Renames within a share. `flags`: 1 fail if the new name exists, 2 exchange the two.',
    request: {
      share,
      path: path('old name'),
      newPath: path('new name'),
      flags: { type: 'u32', doc: 'as above', limit: 3 },
    },
    reply: { ...done, ...namesReply },
  }),
  open: call({
    tag: 43,
    from: 'client',
    idempotent: false,
    doc: 'Opens a regular file, creating it if asked. `flags`: 1 read, 2 write, 4 append, 8 create, 16 exclusive, 32 truncate, 64 sync, 128 data sync. The payload is the beginning of the file.',
    request: {
      share,
      path: path('the file'),
      flags: { type: 'u32', doc: 'as above', limit: 255 },
      permissions,
      uid,
      gid,
      wantBytes: { type: 'u32', doc: 'how much of the beginning to send back, at most', limit: LIMITS.pieceBytes },
    },
    reply: {
      handle,
      created: { type: 'bool', doc: 'whether the file is new' },
      attributes: { type: { struct: ATTRIBUTES }, doc: 'after opening' },
      change,
      leaseMs,
      ...namesReply,
    },
    replyPayload: LIMITS.pieceBytes,
  }),
  createFile: call({
    tag: 65,
    from: 'client',
    idempotent: false,
    doc: 'Opens a regular file as `open` does, creating it; writes the payload to its beginning; then sets attributes as `setattr` does. What fails after the opening is told in `failure`: the file stays as it is then, and the handle is good.',
    request: {
      share,
      path: path('the file'),
      flags: { type: 'u32', doc: "as open's; without 8 it fails (EINVAL)", limit: 255 },
      permissions,
      uid,
      gid,
      valid: { type: 'u32', doc: "setattr's bits, but those of owner, group and size", limit: 241 },
      ...attributeFields,
    },
    requestPayload: LIMITS.pieceBytes,
    reply: {
      handle,
      created: { type: 'bool', doc: 'whether the file is new' },
      failure: { type: 'u16', doc: 'number of an error code; 0 if all was done' },
      attributes: { type: { struct: ATTRIBUTES }, doc: 'after all' },
      change,
      leaseMs,
      ...namesReply,
    },
  }),
  read: call({
    tag: 44,
    from: 'client',
    idempotent: true,
    doc: 'Reads. The payload is shorter than asked only at the end of the file.',
    request: { handle, offset, length: { type: 'u32', doc: 'bytes', limit: LIMITS.pieceBytes } },
    reply: { change },
    replyPayload: LIMITS.pieceBytes,
  }),
  look: call({
    tag: 71,
    from: 'client',
    idempotent: true,
    doc: 'As getattr, of a file that may be opened next. The payload is the whole contents, if it is a regular file of at most that many bytes, with one name, that can be read; else it is empty.',
    request: {
      share,
      path: path('the file'),
      wantBytes: { type: 'u32', doc: 'contents of at most so many bytes are wanted', limit: LIMITS.pieceBytes },
    },
    reply: attributesReply,
    replyPayload: LIMITS.pieceBytes,
  }),
  readFiles: call({
    tag: 70,
    from: 'client',
    idempotent: true,
    doc: 'Reads small files of one directory whole. The payload is their contents, one after the other. Left out are names that a lease cannot cover or that cannot be read, and what does not fit: the caller opens those by themselves. Without a lease all are left out.',
    request: {
      share,
      directory: path('the directory'),
      names: { type: { list: FILE_NAME, max: LIMITS.filesPerCall }, doc: 'of the files' },
      room: { type: 'u32', doc: 'for all contents together, bytes', limit: LIMITS.pieceBytes },
    },
    reply: {
      files: { type: { list: READ_FILE, max: LIMITS.filesPerCall }, doc: 'positions ascending' },
      change,
      leaseMs,
    },
    replyPayload: LIMITS.pieceBytes,
  }),
  write: call({
    tag: 45,
    from: 'client',
    idempotent: false,
    doc: 'Writes the payload, all of it or an error. On a handle opened for appending `offset` is ignored.',
    request: { handle, offset },
    requestPayload: LIMITS.pieceBytes,
    reply: {
      size: { type: 'u64', doc: 'of the file after the write, bytes' },
      end: { type: 'u64', doc: 'position behind the last byte written, bytes' },
      mtimeSec: { type: 'i64', doc: 'last change of the contents then, seconds since the epoch' },
      mtimeNsec: { type: 'u32', doc: 'and nanoseconds', limit: 999_999_999 },
      change,
    },
  }),
  fsync: call({
    tag: 46,
    from: 'client',
    idempotent: true,
    doc: 'Returns when the file (or directory) is on the disk.',
    request: { handle, dataOnly: { type: 'bool', doc: 'as fdatasync(2)' } },
    reply: done,
  }),
  flush: call({
    tag: 47,
    from: 'client',
    idempotent: true,
    doc: 'A descriptor of the handle was closed: its POSIX locks go, delayed errors (quota) are told.',
    request: { handle, lockOwner: { type: 'id64', doc: 'whose POSIX locks to release' } },
    reply: attributesReply,
  }),
  release: call({
    tag: 48,
    from: 'client',
    idempotent: false,
    doc: 'These handles are done with. Their locks go.',
    request: {
      handles: { type: { list: HANDLE, max: LIMITS.releasedHandles }, doc: 'unknown ones are ignored', handle: true },
    },
    reply: {},
  }),
  openDirectory: call({
    tag: 49,
    from: 'client',
    idempotent: false,
    doc: 'Opens a directory for listing. The payload is the page of its first entries (see Listings).',
    request: { share, path: path('the directory'), maxEntries },
    reply: {
      handle: { type: 'u32', doc: 'to read on with; 0 if the payload has all entries', handle: true },
      ...listingReply,
      leaseMs,
    },
    replyPayload: LIMITS.pieceBytes,
  }),
  readDirectory: call({
    tag: 50,
    from: 'client',
    idempotent: true,
    doc: 'The payload is a page of the entries from `cursor` on, as many as fit.',
    request: {
      handle,
      cursor: { type: 'id64', doc: '0: from the beginning; else the cursor of the last entry had' },
      maxEntries,
    },
    reply: listingReply,
    replyPayload: LIMITS.pieceBytes,
  }),
  listDirectory: call({
    tag: 72,
    from: 'client',
    idempotent: true,
    doc: 'The payload is the page of the first entries of a directory. No handle is left.',
    request: { share, path: path('the directory'), maxEntries },
    reply: { ...listingReply, leaseMs },
    replyPayload: LIMITS.pieceBytes,
  }),
  fallocate: call({
    tag: 51,
    from: 'client',
    idempotent: false,
    doc: 'Allocates or frees room. `mode`: 1 keep the size, 2 punch a hole (with 1), 16 zero the range.',
    request: {
      handle,
      mode: { type: 'u32', doc: 'as above', limit: 19 },
      offset,
      length: { type: 'u64', doc: 'bytes' },
    },
    reply: attributesReply,
  }),
  seek: call({
    tag: 52,
    from: 'client',
    idempotent: true,
    doc: 'Next data (0) or hole (1) at or after `offset`.',
    request: { handle, offset, whence: { type: 'u8', doc: 'as above', limit: 1 } },
    reply: { offset: { type: 'u64', doc: 'found there, bytes' } },
  }),
  copyRange: call({
    tag: 53,
    from: 'client',
    idempotent: false,
    doc: 'Copies within the server, as copy_file_range(2); may copy less.',
    request: {
      source: handle,
      sourceOffset: offset,
      target: handle,
      targetOffset: offset,
      length: { type: 'u32', doc: 'bytes', limit: LIMITS.copyBytes },
    },
    reply: {
      copied: { type: 'u32', doc: 'bytes' },
      size: { type: 'u64', doc: 'of the target after it, bytes' },
      mtimeSec: { type: 'i64', doc: 'its last change of contents then, seconds since the epoch' },
      mtimeNsec: { type: 'u32', doc: 'and nanoseconds', limit: 999_999_999 },
      change,
    },
  }),
  getxattr: call({
    tag: 54,
    from: 'client',
    idempotent: true,
    doc: 'Value of an extended attribute; only user.* exist.',
    request: {
      share,
      path: path('the file'),
      name: { type: { name: NAME_MAX_BYTES, rule: 'opaque' }, doc: 'with its prefix' },
    },
    reply: { value: { type: { bytes: LIMITS.xattrBytes }, doc: 'the value' } },
  }),
  setxattr: call({
    tag: 55,
    from: 'client',
    idempotent: false,
    doc: 'Sets an extended attribute. `flags`: 1 it must not exist, 2 it must.',
    request: {
      share,
      path: path('the file'),
      name: { type: { name: NAME_MAX_BYTES, rule: 'opaque' }, doc: 'with its prefix' },
      flags: { type: 'u32', doc: 'as above', limit: 3 },
      value: { type: { bytes: LIMITS.xattrBytes }, doc: 'the value' },
    },
    reply: done,
  }),
  listxattr: call({
    tag: 56,
    from: 'client',
    idempotent: true,
    doc: 'Names of the user.* attributes.',
    request: { share, path: path('the file') },
    reply: { names: { type: { bytes: LIMITS.xattrBytes }, doc: 'each ended by NUL' } },
  }),
  removexattr: call({
    tag: 57,
    from: 'client',
    idempotent: false,
    doc: 'Removes an extended attribute.',
    request: {
      share,
      path: path('the file'),
      name: { type: { name: NAME_MAX_BYTES, rule: 'opaque' }, doc: 'with its prefix' },
    },
    reply: done,
  }),
  lock: call({
    tag: 58,
    from: 'client',
    idempotent: false,
    doc: 'Takes, changes or drops a lock. `type`: 0 read, 1 write, 2 unlock. `kind`: 0 POSIX (a byte range), 1 flock. With `wait` the reply comes when the lock is had; cancelling the call ends the waiting.',
    request: {
      handle,
      owner: { type: 'id64', doc: "whose lock; the client's own numbers" },
      kind: { type: 'u8', doc: 'as above', limit: 1 },
      type: { type: 'u8', doc: 'as above', limit: 2 },
      start: { type: 'id64', doc: 'first byte' },
      end: { type: 'id64', doc: 'last byte; 2^63 - 1: to the end of any file' },
      pid: { type: 'u32', doc: 'of the holder, for others to see' },
      wait: { type: 'bool', doc: 'wait for it instead of EAGAIN' },
    },
    reply: {},
  }),
  testLock: call({
    tag: 59,
    from: 'client',
    idempotent: true,
    doc: 'The first POSIX lock that would be in the way; `type` 2 if none.',
    request: {
      handle,
      owner: { type: 'id64', doc: 'who asks' },
      type: { type: 'u8', doc: '0 read, 1 write', limit: 1 },
      start: { type: 'id64', doc: 'first byte' },
      end: { type: 'id64', doc: 'last byte' },
    },
    reply: {
      type: { type: 'u8', doc: '0 read, 1 write, 2 none', limit: 2 },
      start: { type: 'id64', doc: 'first byte' },
      end: { type: 'id64', doc: 'last byte' },
      pid: { type: 'u32', doc: "of the holder; 0 if it is another peer's" },
    },
  }),
  renewLeases: call({
    tag: 60,
    from: 'client',
    idempotent: true,
    doc: "Keeps the caller's leases and handles: its leases count from the moment this was sent. Any other call does the same.",
    request: {},
    reply: { leaseMs },
  }),
  recall: call({
    tag: 61,
    from: 'server',
    idempotent: true,
    doc: 'What a lease promised no longer holds; the reply says that the caller of old has forgotten it. `what`: 1 entries of the directory and their attributes, 2 attributes of the file, 4 its contents, 8 everything below, 16 being alone in the directory: it is answered when all has arrived that the caller of old has held back for it.',
    request: { share, path: path('the directory or file'), what: { type: 'u32', doc: 'as above', limit: 31 }, change },
    reply: {},
  }),

  leaveSignal: call({
    tag: 62,
    from: 'either',
    idempotent: true,
    doc: 'Leaves a value at a place of the mailbox, instead of what the caller left there before. It lies there for two hours, as long as the caller is a peer. EACCES: the peer has no mailbox for others; OVERLOADED: too often.',
    request: { place, value: leftValue },
    reply: {},
  }),
  watchSignals: call({
    tag: 63,
    from: 'either',
    idempotent: true,
    doc: 'The places that the caller watches from now on, instead of those before; none ends it. The reply has what lies there. Errors as of leaveSignal.',
    request: { places: { type: { list: PLACE, max: LIMITS.watchedPlaces }, doc: 'all of them' } },
    reply: {
      signals: { type: { list: SIGNAL_AT_PLACE, max: LIMITS.watchedPlaces }, doc: 'where there is something' },
    },
  }),
  signalLeft: push(64, 'either', 'Another left this at a place that the receiver watches.', {
    place,
    value: leftValue,
  }),
} as const satisfies Record<string, Message>;

export type MessageName = keyof typeof MESSAGES;
export type CallName = { [K in MessageName]: (typeof MESSAGES)[K]['kind'] extends 'call' ? K : never }[MessageName];
/** Calls that the mailbox answers (src/net/mailbox.ts), whether or not anything is shared. */
export type MailboxCall = 'leaveSignal' | 'watchSignals';
export type PushName = Exclude<MessageName, CallName>;
export type RequestOf<M extends MessageName> = ValuesOf<(typeof MESSAGES)[M]['request']>;
export type ReplyOf<M extends CallName> = ValuesOf<(typeof MESSAGES)[M]['reply']>;

export type Attributes = ValuesOf<typeof ATTRIBUTES.fields>;
/** One name in a directory, with its attributes as of the listing. `.` and `..` are not listed. */
export interface DirectoryEntry {
  readonly name: ByteString;
  /** 64 bits: where the listing goes on after this entry. */
  readonly cursor: bigint;
  readonly attributes: Attributes;
}
export type ShareInfo = ValuesOf<typeof SHARE_INFO.fields>;
