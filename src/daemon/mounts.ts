/**
 * The mounts of this node: puts the file system of the peers at a folder, and takes it away. Owns the folder's being
 * fit for it; src/fs does the mounting.
 */
import { promises as fs, readFileSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import type { Clock } from '../clock.ts';
import { codeOf, PeerfsError } from '../errors.ts';
import { clearDeadMount } from '../fs/fuse/dead-mount.ts';
import { mountFuse } from '../fs/fuse/mount.ts';
import { mountFuseNative } from '../fs/fuse-native.ts';
import type { MountHandle } from '../fs/kernel.ts';
import { createMount, type Mount } from '../fs/mount.ts';
import type { PeerDirectory } from '../fs/mount-peers.ts';
import type { Logger } from '../log.ts';
import type { Config } from './config.ts';
import type { MountStatus } from './control-protocol.ts';
import { quoted, reasonOf } from './home.ts';
import { makeFolders, realPlace } from './places.ts';

/** How long an unmount waits for what was written to reach its peers; the rest goes on its way without it. Milliseconds. */
const LAST_WRITES_MS = 500;

export interface MountsOptions {
  readonly peers: PeerDirectory;
  readonly config: Pick<Config, 'mountpoint' | 'links' | 'fuse'>;
  /** 16 bytes. */
  readonly inodeKey: Uint8Array;
  /** Throws when the place must not be a mountpoint. */
  readonly check: (place: string) => void;
  /** A mount ended without our doing. */
  readonly onLost: (directory: string, reason: string) => void;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface NewMount {
  /** Absolute; else the configured one. */
  readonly directory: string | undefined;
  readonly readOnly: boolean;
  readonly allowOther: boolean;
}

export interface Mounts {
  /** Mounting what is mounted already is no error. @throws SHARE_CONTAINS_MOUNT, MOUNT_FAILED, MOUNT_BUSY */
  mount(mount: NewMount, progress: (text: string) => void): Promise<MountStatus>;
  /** @param directory undefined: all. @throws NOT_MOUNTED */
  unmount(directory: string | undefined): Promise<string>;
  status(): MountStatus[];
  close(): Promise<void>;
}

interface Mounted {
  readonly status: MountStatus;
  readonly fileSystem: Mount;
  readonly handle: MountHandle;
}

export function createMounts(options: MountsOptions): Mounts {
  const { log } = options;
  const mounted = new Map<string, Mounted>();
  /** Being mounted now. */
  const pending = new Map<string, Promise<MountStatus>>();

  const mountAt = async (
    directory: string,
    { readOnly, allowOther }: NewMount,
    progress: (text: string) => void,
  ): Promise<MountStatus> => {
    options.check(directory);
    await clearDeadMount(directory);
    await makeFolder(directory);
    if (isMountpoint(directory)) {
      throw new PeerfsError('MOUNT_BUSY', `something is mounted at ${directory} already`, {
        hint: `Mount somewhere else, or take it down: umount ${quoted(directory)}`,
      });
    }
    const hidesFiles = (await fs.readdir(directory)).length > 0;
    const fileSystem = createMount({
      peers: options.peers,
      uid: process.getuid?.() ?? 0,
      gid: process.getgid?.() ?? 0,
      inodeKey: options.inodeKey,
      readOnly,
      allowOther,
      links: options.config.links,
      clock: options.clock,
      log,
    });
    try {
      const mountFileSystem = options.config.fuse === 'kernel' ? mountFuse : mountFuseNative;
      const handle = await mountFileSystem(fileSystem, {
        mountpoint: directory,
        readOnly,
        allowOther,
        log,
        onEnd: (reason) => lost(directory, reason),
      });
      fileSystem.setNotifier(handle.notifier);
      const status = { directory, readOnly, allowOther };
      mounted.set(directory, { status, fileSystem, handle });
      log.info('mount.ready');
      if (hidesFiles) progress(`${directory} is not empty: what lies in it is hidden until you unmount.`);
      return status;
    } catch (error) {
      await fileSystem.close();
      if (error instanceof PeerfsError) throw error;
      throw new PeerfsError('MOUNT_FAILED', `${directory} cannot be mounted: ${reasonOf(error)}`, {
        hint: 'peerfs doctor says what is missing.',
        cause: error,
      });
    }
  };

  /** The kernel let go: someone else unmounted it, or the device failed. */
  const lost = (directory: string, reason: string) => {
    const found = mounted.get(directory);
    if (found === undefined) return;
    mounted.delete(directory);
    found.fileSystem.setNotifier(undefined);
    found.fileSystem.close().catch((error: unknown) => log.error('mount.close', { code: codeOf(error) }));
    log.warn('mount.lost', { reason });
    options.onLost(directory, reason);
  };

  /** @returns when the place is free; `sent` settles when what was written has reached its peers, or has failed. */
  const take = async (found: Mounted): Promise<{ readonly sent: Promise<void> }> => {
    // The kernel sends its last writes before it lets go; after that nothing new comes, and what is buffered is sent.
    mounted.delete(found.status.directory);
    await found.handle.unmount();
    found.fileSystem.setNotifier(undefined);
    const sent = found.fileSystem.close();
    sent.catch((error: unknown) => log.error('mount.close', { code: codeOf(error) }));
    return { sent };
  };

  return {
    async mount(request, progress) {
      const directory = await mountPlace(resolve(request.directory ?? options.config.mountpoint));
      const before = mounted.get(directory);
      if (before !== undefined) {
        const { status } = before;
        if (status.readOnly === request.readOnly && status.allowOther === request.allowOther) return status;
        throw new PeerfsError('MOUNT_BUSY', `${directory} is mounted already, with other options`, {
          hint: `Take it down first: peerfs unmount ${quoted(directory)}`,
        });
      }
      const job = pending.get(directory) ?? mountAt(directory, request, progress);
      pending.set(directory, job);
      try {
        return await job;
      } finally {
        pending.delete(directory);
      }
    },
    async unmount(directory) {
      const all = [...mounted.values()];
      // Not looked up on disk: the place is our own mount, which this process must not touch.
      const chosen = directory === undefined ? all : all.filter((one) => one.status.directory === resolve(directory));
      if (chosen.length === 0 && directory !== undefined) {
        const real = await mountPlace(resolve(directory)).catch(() => undefined);
        chosen.push(...all.filter((one) => one.status.directory === real));
      }
      if (chosen.length === 0) {
        throw new PeerfsError(
          'NOT_MOUNTED',
          directory === undefined ? 'nothing is mounted' : `${directory} is not mounted by this node`,
          {
            hint:
              all.length > 0
                ? `Mounted: ${all.map((one) => one.status.directory).join(', ')}`
                : 'This node has nothing mounted; what another program mounted, umount takes down.',
          },
        );
      }
      for (const one of chosen) {
        // A file that is closed is at its peer already: only what cut-off programs wrote can be under way.
        const { sent } = await take(one);
        await Promise.race([sent, new Promise((resolveAfter) => setTimeout(resolveAfter, LAST_WRITES_MS).unref())]);
      }
      return chosen.map((one) => one.status.directory).join(', ');
    },
    status: () => [...mounted.values()].map((one) => one.status),
    async close() {
      await Promise.allSettled(pending.values());
      for (const one of [...mounted.values()]) {
        await take(one)
          .then(({ sent }) => sent)
          .catch((error: unknown) => log.error('mount.unmount', { code: codeOf(error) }));
      }
    },
  };
}

/** The place with its links resolved, without touching what is mounted there: it may be dead, or frozen, or our own. */
async function mountPlace(directory: string): Promise<string> {
  const place = join(await realPlace(dirname(directory)), basename(directory));
  return isMountpoint(place) ? place : realPlace(place);
}

async function makeFolder(directory: string): Promise<void> {
  try {
    await makeFolders(directory);
    if ((await fs.stat(directory)).isDirectory()) return;
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') {
      throw new PeerfsError('MOUNT_FAILED', `the folder ${directory} cannot be made: ${reasonOf(error)}`, {
        hint: 'Name another folder.',
        cause: error,
      });
    }
  }
  throw new PeerfsError('MOUNT_FAILED', `${directory} is not a folder`, { hint: 'Name a folder to mount at.' });
}

/** mountinfo escapes space, tab, newline and backslash as octal (proc(5)). */
function isMountpoint(directory: string): boolean {
  const escaped = directory.replace(/[ \t\n\\]/g, (c) => `\\${c.charCodeAt(0).toString(8).padStart(3, '0')}`);
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .some((line) => line.split(' ')[4] === escaped);
}
