/**
 * Where folders lie to each other: what keeps shares, mounts, inboxes and the home out of each other. A share that
 * held a mountpoint would serve peers their own files and wait for itself.
 */
import { promises as fs } from 'node:fs';
import { basename, dirname, join } from 'node:path';

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
