/**
 * Where folders lie to each other: what keeps shares, mounts, inboxes and the home out of each other. A share that
 * held a mountpoint would serve peers their own files and wait for itself.
 */
import { promises as fs } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { MOUNT_TYPE } from '../fs/fuse/dead-mount.ts';
import { readMounts, type MountEntry } from '../sys/mount.ts';

/** Whether `inner` is `outer` or below it. Both absolute and normalized. */
export function isWithin(inner: string, outer: string): boolean {
  return inner === outer || inner.startsWith(outer === '/' ? '/' : `${outer}/`);
}

/** Whether one holds the other. */
export function overlap(a: string, b: string): boolean {
  return isWithin(a, b) || isWithin(b, a);
}

/** As mkdir -p; see makeFolders in home.ts. On a thread of the pool, as realPlace. */
export async function makeFolders(directory: string, mode?: number): Promise<void> {
  try {
    await fs.mkdir(directory, mode);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    const parent = dirname(directory);
    if (code === 'EEXIST') return;
    if (code !== 'ENOENT' || parent === directory) throw error;
    await makeFolders(parent, mode);
    await fs.mkdir(directory, mode);
  }
}

/**
 * The path with all links resolved as far as it exists. On a thread of the pool: a path through this node's own mount
 * must not be touched by the thread that serves it.
 */
export async function realPlace(path: string): Promise<string> {
  try {
    return await fs.realpath(path);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT') || dirname(path) === path) throw error;
    return join(await realPlace(dirname(path)), basename(path));
  }
}

/**
 * The mount of peerfs that a folder lies in, this node's or another's: what it holds is a peer's, who may see it already
 * and has not said that others may. Does not touch the folder.
 * @param directory absolute, with all links resolved.
 */
export function peerfsMountOf(directory: string, mounts: readonly MountEntry[] = readMounts()): string | undefined {
  let holding: MountEntry | undefined;
  for (const mount of mounts) {
    if (!isWithin(directory, mount.mountpoint)) continue;
    // Of several at one place the last is seen.
    if (holding === undefined || mount.mountpoint.length >= holding.mountpoint.length) holding = mount;
  }
  return holding?.type === MOUNT_TYPE ? holding.mountpoint : undefined;
}
