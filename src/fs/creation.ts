/**
 * Creation: a file that this node made for itself to begin with, and what was written to it and set on it since. It is
 * sent to the server as one call. Owns what is held back; not when it is sent (remote-creations.ts). Pure.
 */
import type { ByteString } from '../bytestring.ts';
import { LIMITS, type Attributes } from '../wire/schema.ts';
import type { FileIdentity } from './remote-file.ts';
import type { AttributeChange, FileTime, OpenOptions } from './tree.ts';

const S_IFREG = 0o100000;
const SET_IDS = 0o6000;
/** No device has this number. */
const NO_DEVICE = 0xffff_ffff_ffff_ffffn;
const BLOCK_BYTES = 4096;
const UNIT_BYTES = 512;
/** Tuning: room for a first write that is smaller, bytes. */
const LEAST_ROOM = 512;

/** Whether the file is not known to the server yet, or was not when this was said. */
export const isProvisional = ({ device }: FileIdentity): boolean => device === NO_DEVICE;

export type CreationState = 'held' | 'sent' | 'made' | 'failed';

export class Creation {
  readonly path: ByteString;
  readonly options: Omit<OpenOptions, 'wantBytes'>;
  readonly heldAt: number;
  state: CreationState = 'held';
  /** When it is at the server, or has failed; undefined while it is held back. Never rejects. */
  settled: Promise<void> | undefined;
  /** What it failed with. */
  error: unknown;
  readonly #born: Attributes;
  #bytes: Uint8Array = new Uint8Array(0);
  #length = 0;
  #change: AttributeChange = {};

  /** @param inode not that of any other. @param now the calendar time, milliseconds. */
  constructor(path: ByteString, options: Omit<OpenOptions, 'wantBytes'>, inode: bigint, heldAt: number, now: number) {
    this.path = path;
    this.options = options;
    this.heldAt = heldAt;
    const [sec, nsec] = [Math.floor(now / 1000), Math.floor(now % 1000) * 1_000_000];
    this.#born = {
      inode,
      device: NO_DEVICE,
      mode: S_IFREG | options.permissions,
      nlink: 1,
      uid: options.uid,
      gid: options.gid,
      size: 0,
      blocks: 0,
      blksize: BLOCK_BYTES,
      atimeSec: sec,
      atimeNsec: nsec,
      mtimeSec: sec,
      mtimeNsec: nsec,
      ctimeSec: sec,
      ctimeNsec: nsec,
      birthSec: sec,
      birthNsec: nsec,
      flags: 0,
    };
  }

  get identity(): FileIdentity {
    return this.#born;
  }

  /** What was written, from the beginning on. */
  get bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  /** Not sent and not written to: all of its attributes are known here. */
  get isUntouched(): boolean {
    return this.state === 'held' && this.#length === 0;
  }

  /** It takes no more. */
  get isFull(): boolean {
    return this.#length === LIMITS.pieceBytes;
  }

  get change(): AttributeChange {
    return this.#change;
  }

  /** As far as they are certain: what was written gets its time from the server. */
  get attributes(): Attributes {
    const { mode, atime, mtime } = this.#change;
    const born = this.#born;
    return {
      ...born,
      mode: mode === undefined ? born.mode : S_IFREG | mode,
      size: this.#length,
      blocks: Math.ceil(this.#length / UNIT_BYTES),
      ...(isTime(atime) ? { atimeSec: atime.sec, atimeNsec: atime.nsec } : {}),
      ...(isTime(mtime) ? { mtimeSec: mtime.sec, mtimeNsec: mtime.nsec } : {}),
    };
  }

  /** Takes bytes that follow those it has, as far as one call goes. Copies. @returns false if it takes none of them. */
  write(offset: number, bytes: Uint8Array): boolean {
    const end = this.#length + bytes.length;
    if (this.state !== 'held' || offset !== this.#length || end > LIMITS.pieceBytes) return false;
    if (end > this.#bytes.length) {
      const room = this.#length === 0 ? Math.max(LEAST_ROOM, end) : Math.min(LIMITS.pieceBytes, 2 * end);
      const grown = Buffer.allocUnsafeSlow(room);
      grown.set(this.bytes);
      this.#bytes = grown;
    }
    this.#bytes.set(bytes, offset);
    this.#length = end;
    // What was set before is the time of the last write no longer.
    if (this.#change.mtime !== undefined) {
      const { mtime: _, ...rest } = this.#change;
      this.#change = rest;
    }
    return true;
  }

  /** Takes a change that cannot fail but with the creation itself. @returns false if it is none. */
  set(change: AttributeChange): boolean {
    if (this.state !== 'held') return false;
    if (change.uid !== undefined || change.gid !== undefined) return false;
    if (change.mode !== undefined && (change.mode & SET_IDS) !== 0) return false;
    if (change.size !== undefined && change.size !== this.#length) return false;
    const { size: _, ...rest } = change;
    this.#change = { ...this.#change, ...rest };
    return true;
  }
}

const isTime = (time: FileTime | 'now' | undefined): time is FileTime => time !== undefined && time !== 'now';
