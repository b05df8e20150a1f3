/**
 * What is mounted where, and mounting and unmounting as root: mount(2), umount2(2), /proc/self/mountinfo.
 * Not owned: mounting as a plain user (src/sys/fusermount.ts), FUSE's options (src/fs/fuse/mount.ts).
 */
import { readFileSync } from 'node:fs';
import { declare, declareAsync, errno } from './libc.ts';
import { systemError } from './errno.ts';

/** sys/mount.h */
export const MS = { RDONLY: 1, NOSUID: 2, NODEV: 4 } as const;
export const MNT = { FORCE: 1, DETACH: 2 } as const;

const MOUNTINFO = '/proc/self/mountinfo';

const mountCall = declare('mount', 'int', ['buffer', 'buffer', 'buffer', 'long', 'buffer']);
const umountCall = declareAsync('umount2', 'int', ['buffer', 'int']);

export interface MountEntry {
  /** Absolute, canonical. */
  readonly mountpoint: string;
  /** Such as `fuse.peerfs`. */
  readonly type: string;
  /** `major:minor` of the file system. */
  readonly device: string;
}

/** Of all mounts in this process's namespace, in the order of mounting as far as the kernel keeps it. */
export function readMounts(): readonly MountEntry[] {
  return parseMountInfo(readFileSync(MOUNTINFO));
}

/**
 * proc_pid_mountinfo(5): `36 35 98:0 /root /mnt options - ext3 /dev/root rw`, with a variable number of fields before
 * the dash; blanks, newlines and backslashes in paths stand as three octal digits.
 */
export function parseMountInfo(bytes: Uint8Array): MountEntry[] {
  const entries: MountEntry[] = [];
  for (const line of Buffer.from(bytes).toString('latin1').split('\n')) {
    const fields = line.split(' ');
    const dash = fields.indexOf('-', 6);
    const [device, mountpoint, type] = [fields[2], fields[4], fields[dash + 1]];
    if (dash < 0 || device === undefined || mountpoint === undefined || type === undefined) continue;
    entries.push({ mountpoint: unescapePath(mountpoint), type, device });
  }
  return entries;
}

function unescapePath(field: string): string {
  const bytes = field.replace(/\\([0-7]{3})/g, (_all, octal: string) => String.fromCharCode(parseInt(octal, 8)));
  return Buffer.from(bytes, 'latin1').toString('utf8');
}

/** The mount that a program sees at exactly this path: the last one, when several are stacked. */
export function mountAt(path: string, mounts: readonly MountEntry[] = readMounts()): MountEntry | undefined {
  return mounts.findLast((entry) => entry.mountpoint === path);
}

/** @param path absolute, canonical. Does not touch the path itself, so that a dead or hanging mount does no harm. */
export function isMountpoint(path: string): boolean {
  return mountAt(path) !== undefined;
}

export interface MountCall {
  readonly source: string;
  readonly mountpoint: string;
  readonly type: string;
  /** Bits of MS. */
  readonly flags: number;
  readonly options: string;
}

/** mount(2). @throws PeerfsError with the errno's code */
export function mountDevice(call: MountCall): void {
  const { source, mountpoint, type, flags, options } = call;
  if (mountCall(text(source), text(mountpoint), text(type), flags, text(options)) < 0) {
    throw systemError(errno(), 'mount');
  }
}

/**
 * umount2(2), on a thread: the kernel may write dirty pages back before it lets go, through the very process that asks.
 * @param flags bits of MNT. @throws PeerfsError: EBUSY, EINVAL (nothing mounted there), EPERM
 */
export async function unmountDevice(mountpoint: string, flags: number): Promise<void> {
  const path = text(mountpoint);
  const result = await umountCall(path, flags);
  if (result < 0) throw systemError(-result, 'umount2');
}

function text(value: string): Buffer {
  return Buffer.from(`${value}\0`, 'utf8');
}
