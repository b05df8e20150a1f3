/**
 * Mount: the file system in which each peer is a directory, as the kernel sees it (KernelFileSystem).
 */
import type { ByteString } from '../bytestring.ts';
import type { Clock } from '../clock.ts';
import { PeerfsError } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { KernelFileSystem, KernelNotifier } from './kernel.ts';
import type { RemotePeer } from './remote-peer.ts';

export interface MountedPeer {
  /** Name of its directory. */
  readonly petname: ByteString;
  readonly peerId: string;
  readonly remote: RemotePeer;
}

export interface PeerDirectory {
  /** All known peers, online or not; petnames are unique. */
  list(): readonly MountedPeer[];
  /** A peer came, went or was renamed. @returns a function that ends the listening. */
  onChange(listener: () => void): () => void;
}

export interface MountFileSystemOptions {
  readonly peers: PeerDirectory;
  /** Owner of everything in the mount where ids are not passed through. */
  readonly uid: number;
  readonly gid: number;
  /** 16 random bytes of the home: inode numbers are made with it. */
  readonly inodeKey: Uint8Array;
  readonly readOnly: boolean;
  /** confined: links of a peer that could lead out of its share are refused (EPERM at readlink). Default. */
  readonly links?: 'confined' | 'verbatim';
  readonly clock: Clock;
  readonly log: Logger;
}

export interface Mount extends KernelFileSystem {
  /** After mounting: where to send invalidations. undefined when unmounted. */
  setNotifier(notifier: KernelNotifier | undefined): void;
  /** Releases all handles, stops listening. Settles when buffered writes are at the peers or have failed. */
  close(): Promise<void>;
}

export function createMount(options: MountFileSystemOptions): Mount {
  throw new PeerfsError('ENOSYS', String(options.uid));
}
