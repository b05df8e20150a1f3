/**
 * Pages of a directory as they stand in a payload: one record for each name, in which what is as in the record before is
 * left out. Most files of a directory have much in common; a page takes a third of what a list of structs would, and
 * is written where the system calls are made. docs/protocol.md has the layout in words (document-prose.ts).
 */
import { isName, NAME_MAX_BYTES } from '../bytestring.ts';
import { PeerfsError } from '../errors.ts';
import type { Attributes, DirectoryEntry } from './schema.ts';

/** Specification: bits of a record's mask, the order in which the fields follow. */
const HAS = {
  device: 1,
  mode: 1 << 1,
  nlink: 1 << 2,
  uid: 1 << 3,
  gid: 1 << 4,
  size: 1 << 5,
  blocks: 1 << 6,
  blksize: 1 << 7,
  atime: 1 << 8,
  mtime: 1 << 9,
  ctime: 1 << 10,
  birth: 1 << 11,
  flags: 1 << 12,
  /** All 64 bits, instead of a difference. */
  wideInode: 1 << 13,
  wideCursor: 1 << 14,
  /** The record before counts as zeros. */
  afresh: 1 << 15,
} as const;
/** Times are kept within this many seconds, so that a difference is an exact number. */
const SECONDS_LIMIT = 2 ** 50;
const NSEC_LIMIT = 999_999_999;
const TWO_32 = 2 ** 32;
const U32_MAX = 0xffff_ffff;
const MAX_VARINT_BYTES = 8;

/** More than any record takes, bytes: mask, name, 64-bit fields, numbers, times. */
export const MAX_RECORD_BYTES = 2 + 1 + NAME_MAX_BYTES + 3 * 8 + 8 * MAX_VARINT_BYTES + 4 * (MAX_VARINT_BYTES + 4);

/** The record before, in halves of 32 bits where a number would not be exact. */
class Before {
  deviceLow = 0;
  deviceHigh = 0;
  inodeLow = 0;
  inodeHigh = 0;
  cursorLow = 0;
  cursorHigh = 0;
  mode = 0;
  nlink = 0;
  uid = 0;
  gid = 0;
  size = 0;
  blocks = 0;
  blksize = 0;
  atimeSec = 0;
  atimeNsec = 0;
  mtimeSec = 0;
  mtimeNsec = 0;
  ctimeSec = 0;
  ctimeNsec = 0;
  birthSec = 0;
  birthNsec = 0;
  flags = 0;
}

const long = new BigUint64Array(1);
const halves = new Uint32Array(long.buffer);
const low = (): number => halves[0] ?? 0;
const high = (): number => halves[1] ?? 0;

const seconds = (sec: number): number => Math.max(-SECONDS_LIMIT, Math.min(SECONDS_LIMIT, sec));
const zigzag = (value: number): number => (value < 0 ? -2 * value - 1 : 2 * value);
const unzigzag = (value: number): number => (value % 2 === 0 ? value / 2 : -(value + 1) / 2);

/** Writes one page after the other into the same memory. */
export class ListingWriter {
  readonly #bytes: Buffer;
  #at = 0;
  #count = 0;
  #limit = 0;
  #before = new Before();

  /** @param maxBytes of a page. */
  constructor(maxBytes: number) {
    this.#bytes = Buffer.alloc(maxBytes + MAX_RECORD_BYTES);
  }

  get count(): number {
    return this.#count;
  }

  /** Begins a page. @param maxBytes not above the constructor's. */
  begin(maxBytes: number): void {
    this.#at = 0;
    this.#count = 0;
    this.#limit = Math.min(maxBytes, this.#bytes.length - MAX_RECORD_BYTES);
    this.#before = new Before();
  }

  /** @returns false if the page has no room for it; the first always has. */
  add({ name, cursor, attributes: a }: DirectoryEntry): boolean {
    const start = this.#at;
    const b = this.#before;
    let mask = this.#count === 0 ? HAS.afresh : 0;
    this.#at += 2;
    this.#bytes[this.#at++] = name.length;
    this.#at += this.#bytes.write(name, this.#at, 'latin1');

    long[0] = cursor;
    const cursorDifference = low() - b.cursorLow;
    if (high() === b.cursorHigh) this.#varint(zigzag(cursorDifference));
    else {
      mask |= HAS.wideCursor;
      this.#wide();
    }
    const cursorLow = low();
    const cursorHigh = high();
    long[0] = a.inode;
    if (high() === b.inodeHigh) this.#varint(zigzag(low() - b.inodeLow));
    else {
      mask |= HAS.wideInode;
      this.#wide();
    }
    const inodeLow = low();
    const inodeHigh = high();
    long[0] = a.device;
    const deviceLow = low();
    const deviceHigh = high();
    if (deviceLow !== b.deviceLow || deviceHigh !== b.deviceHigh) {
      mask |= HAS.device;
      this.#wide();
    }
    if (a.mode !== b.mode) mask |= this.#number(HAS.mode, a.mode);
    if (a.nlink !== b.nlink) mask |= this.#number(HAS.nlink, a.nlink);
    if (a.uid !== b.uid) mask |= this.#number(HAS.uid, a.uid);
    if (a.gid !== b.gid) mask |= this.#number(HAS.gid, a.gid);
    if (a.size !== b.size) mask |= this.#number(HAS.size, a.size);
    if (a.blocks !== b.blocks) mask |= this.#number(HAS.blocks, a.blocks);
    if (a.blksize !== b.blksize) mask |= this.#number(HAS.blksize, a.blksize);
    const atimeSec = seconds(a.atimeSec);
    const mtimeSec = seconds(a.mtimeSec);
    const ctimeSec = seconds(a.ctimeSec);
    const birthSec = seconds(a.birthSec);
    if (a.atimeNsec !== b.atimeNsec || atimeSec !== b.atimeSec) {
      mask |= this.#time(HAS.atime, atimeSec - b.atimeSec, a.atimeNsec);
    }
    if (a.mtimeNsec !== b.mtimeNsec || mtimeSec !== b.mtimeSec) {
      mask |= this.#time(HAS.mtime, mtimeSec - b.mtimeSec, a.mtimeNsec);
    }
    if (a.ctimeNsec !== b.ctimeNsec || ctimeSec !== b.ctimeSec) {
      mask |= this.#time(HAS.ctime, ctimeSec - b.ctimeSec, a.ctimeNsec);
    }
    if (a.birthNsec !== b.birthNsec || birthSec !== b.birthSec) {
      mask |= this.#time(HAS.birth, birthSec - b.birthSec, a.birthNsec);
    }
    if (a.flags !== b.flags) mask |= this.#number(HAS.flags, a.flags);

    if (this.#at > this.#limit && this.#count > 0) {
      this.#at = start;
      return false;
    }
    this.#bytes[start] = mask & 0xff;
    this.#bytes[start + 1] = mask >> 8;
    b.cursorLow = cursorLow;
    b.cursorHigh = cursorHigh;
    b.inodeLow = inodeLow;
    b.inodeHigh = inodeHigh;
    b.deviceLow = deviceLow;
    b.deviceHigh = deviceHigh;
    b.mode = a.mode;
    b.nlink = a.nlink;
    b.uid = a.uid;
    b.gid = a.gid;
    b.size = a.size;
    b.blocks = a.blocks;
    b.blksize = a.blksize;
    b.atimeSec = atimeSec;
    b.atimeNsec = a.atimeNsec;
    b.mtimeSec = mtimeSec;
    b.mtimeNsec = a.mtimeNsec;
    b.ctimeSec = ctimeSec;
    b.ctimeNsec = a.ctimeNsec;
    b.birthSec = birthSec;
    b.birthNsec = a.birthNsec;
    b.flags = a.flags;
    this.#count += 1;
    return true;
  }

  /** @returns a copy of the page so far. */
  page(): Uint8Array {
    return Uint8Array.prototype.slice.call(this.#bytes, 0, this.#at);
  }

  #number(bit: number, value: number): number {
    this.#varint(value);
    return bit;
  }

  #time(bit: number, difference: number, nsec: number): number {
    this.#varint(zigzag(difference));
    this.#at = this.#bytes.writeUInt32LE(nsec, this.#at);
    return bit;
  }

  #wide(): void {
    this.#at = this.#bytes.writeUInt32LE(low(), this.#at);
    this.#at = this.#bytes.writeUInt32LE(high(), this.#at);
  }

  #varint(value: number): void {
    let rest = value;
    while (rest > U32_MAX) {
      this.#bytes[this.#at++] = 0x80 | (rest % 128);
      rest = Math.floor(rest / 128);
    }
    while (rest > 127) {
      this.#bytes[this.#at++] = 0x80 | (rest & 127);
      rest >>>= 7;
    }
    this.#bytes[this.#at++] = rest;
  }
}

const malformed = (what: string): PeerfsError => new PeerfsError('PROTOCOL', `malformed listing: ${what}`);

/** Reads a page, some records at a time. */
export class ListingReader {
  readonly #bytes: Buffer;
  readonly #before = new Before();
  #device = 0n;
  #at = 0;
  #left: number;

  /** @param count of records in `bytes`, which must stay as they are until all are read. */
  constructor(bytes: Uint8Array, count: number) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#left = count;
  }

  /** Records not read yet. */
  get left(): number {
    return this.#left;
  }

  /** The next records, `most` of them if there are so many. @throws PeerfsError PROTOCOL when the bytes break a rule. */
  read(most: number): DirectoryEntry[] {
    const entries: DirectoryEntry[] = [];
    for (let left = Math.min(most, this.#left); left > 0; left--) {
      entries.push(this.#entry());
      this.#left -= 1;
    }
    return entries;
  }

  #entry(): DirectoryEntry {
    const b = this.#before;
    const mask = this.#u8() | (this.#u8() << 8);
    if ((mask & HAS.afresh) !== 0) {
      Object.assign(b, new Before());
      this.#device = 0n;
    }
    const length = this.#u8();
    const start = this.#at;
    if (start + length > this.#bytes.length) throw malformed('it ends too early');
    const name: string = this.#bytes.toString('latin1', start, start + length);
    this.#at = start + length;
    if (!isName(name)) throw malformed('not a legal name');

    if ((mask & HAS.wideCursor) === 0) b.cursorLow = this.#near(b.cursorLow);
    else {
      b.cursorLow = this.#u32();
      b.cursorHigh = this.#u32();
    }
    if ((mask & HAS.wideInode) === 0) b.inodeLow = this.#near(b.inodeLow);
    else {
      b.inodeLow = this.#u32();
      b.inodeHigh = this.#u32();
    }
    if ((mask & HAS.device) !== 0) {
      halves[0] = this.#u32();
      halves[1] = this.#u32();
      this.#device = long[0] ?? 0n;
    }
    if ((mask & HAS.mode) !== 0) b.mode = this.#number32();
    if ((mask & HAS.nlink) !== 0) b.nlink = this.#number32();
    if ((mask & HAS.uid) !== 0) b.uid = this.#number32();
    if ((mask & HAS.gid) !== 0) b.gid = this.#number32();
    if ((mask & HAS.size) !== 0) b.size = this.#varint();
    if ((mask & HAS.blocks) !== 0) b.blocks = this.#varint();
    if ((mask & HAS.blksize) !== 0) b.blksize = this.#number32();
    if ((mask & HAS.atime) !== 0) {
      b.atimeSec = this.#seconds(b.atimeSec);
      b.atimeNsec = this.#nsec();
    }
    if ((mask & HAS.mtime) !== 0) {
      b.mtimeSec = this.#seconds(b.mtimeSec);
      b.mtimeNsec = this.#nsec();
    }
    if ((mask & HAS.ctime) !== 0) {
      b.ctimeSec = this.#seconds(b.ctimeSec);
      b.ctimeNsec = this.#nsec();
    }
    if ((mask & HAS.birth) !== 0) {
      b.birthSec = this.#seconds(b.birthSec);
      b.birthNsec = this.#nsec();
    }
    if ((mask & HAS.flags) !== 0) b.flags = this.#number32();
    return { name, cursor: bits(b.cursorLow, b.cursorHigh), attributes: attributesOf(b, this.#device) };
  }

  #u8(): number {
    const value = this.#bytes[this.#at];
    if (value === undefined) throw malformed('it ends too early');
    this.#at += 1;
    return value;
  }

  #u32(): number {
    if (this.#at + 4 > this.#bytes.length) throw malformed('it ends too early');
    const value = this.#bytes.readUInt32LE(this.#at);
    this.#at += 4;
    return value;
  }

  #varint(): number {
    let value = 0;
    let scale = 1;
    for (;;) {
      const byte = this.#u8();
      value += (byte & 127) * scale;
      if (byte < 128) break;
      scale *= 128;
      if (scale >= 2 ** 56) throw malformed('a number too long');
    }
    if (value > Number.MAX_SAFE_INTEGER) throw malformed('a number above 2^53 - 1');
    return value;
  }

  #number32(): number {
    const value = this.#varint();
    if (value > U32_MAX) throw malformed('a number above its limit');
    return value;
  }

  /** The lower half of 64 bits whose upper half is as before. */
  #near(before: number): number {
    const value = before + unzigzag(this.#varint());
    if (value < 0 || value > U32_MAX) throw malformed('a difference too large');
    return value;
  }

  #seconds(before: number): number {
    const value = before + unzigzag(this.#varint());
    if (value < -SECONDS_LIMIT || value > SECONDS_LIMIT) throw malformed('a time too far away');
    return value;
  }

  #nsec(): number {
    const value = this.#u32();
    if (value > NSEC_LIMIT) throw malformed('a number above its limit');
    return value;
  }
}

function bits(lower: number, upper: number): bigint {
  // One allocation instead of three where a number is exact.
  if (upper < 0x20_0000) return BigInt(upper * TWO_32 + lower);
  halves[0] = lower;
  halves[1] = upper;
  return long[0] ?? 0n;
}

function attributesOf(b: Before, device: bigint): Attributes {
  return {
    inode: bits(b.inodeLow, b.inodeHigh),
    device,
    mode: b.mode,
    nlink: b.nlink,
    uid: b.uid,
    gid: b.gid,
    size: b.size,
    blocks: b.blocks,
    blksize: b.blksize,
    atimeSec: b.atimeSec,
    atimeNsec: b.atimeNsec,
    mtimeSec: b.mtimeSec,
    mtimeNsec: b.mtimeNsec,
    ctimeSec: b.ctimeSec,
    ctimeNsec: b.ctimeNsec,
    birthSec: b.birthSec,
    birthNsec: b.birthNsec,
    flags: b.flags,
  };
}
