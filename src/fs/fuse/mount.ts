/** Mounting a KernelFileSystem over /dev/fuse, as root or through fusermount3, and unmounting it. */
import { PeerfsError } from '../../errors.ts';
import type { MountFileSystem } from '../kernel.ts';

/** @throws PeerfsError MOUNT_FAILED with the reason and what to do about it */
export const mountFuse: MountFileSystem = async () => {
  throw new PeerfsError('MOUNT_FAILED');
};

/**
 * Takes down a dead mount of peerfs at this path; a live one stays. Never waits long, whatever hangs there.
 * @param mountpoint absolute.
 */
export async function clearDeadMount(mountpoint: string): Promise<'none' | 'cleared'> {
  void mountpoint;
  return 'none';
}
