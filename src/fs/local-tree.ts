/**
 * LocalTree: the Tree over a folder of this machine that is shared.
 */
import type { Clock } from '../clock.ts';
import type { Logger } from '../log.ts';
import type { WatchedTree } from './tree.ts';
import { PeerfsError } from '../errors.ts';

export interface LocalTreeOptions {
  /** Absolute path of the folder, as the user gave it. */
  readonly root: string;
  readonly writable: boolean;
  /** user: files belong to the serving user, no set-id bits, no chown. none: numeric ids pass as they are (root only). */
  readonly idmap: 'user' | 'none';
  /** Whether file systems mounted below the folder are part of it. Default false. */
  readonly crossMounts?: boolean;
  readonly clock?: Clock;
  readonly log?: Logger;
}

export type LocalTree = WatchedTree;

/** @throws PeerfsError ENOENT, ENOTDIR, EACCES if the folder cannot be opened. */
export async function createLocalTree(options: LocalTreeOptions): Promise<LocalTree> {
  throw new PeerfsError('ENOSYS', `no tree over ${options.root} yet`);
}
