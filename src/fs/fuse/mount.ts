/**
 * Mounting a KernelFileSystem over /dev/fuse, as root or through fusermount3, and unmounting it. Owns the choice of the
 * way, the checks before it and their messages; the conversation with the kernel is session.ts's.
 */
import { closeSync, constants, type Stats } from 'node:fs';
import { access, readFile, stat, writeFile } from 'node:fs/promises';
import { systemClock } from '../../clock.ts';
import { codeOf, PeerfsError } from '../../errors.ts';
import { Faults } from '../../faults.ts';
import { openFuseDevice } from '../../sys/fuse-device.ts';
import { mountByHelper, unmountByHelper } from '../../sys/fusermount.ts';
import { MNT, mountAt, mountDevice, MS, unmountDevice } from '../../sys/mount.ts';
import type { KernelFileSystem, MountFileSystem, MountHandle, MountOptions } from '../kernel.ts';
import { MOUNT_TYPE, placeOf } from './dead-mount.ts';
import { startGuardian } from './guardian.ts';
import { MAX_TRANSFER_BYTES } from './negotiation.ts';
import { Notifier, startNotifyWorker } from './notifier.ts';
import { FuseSession } from './session.ts';

/** As `mount` and `df` show it. */
const SOURCE = 'peerfs';
/** The kernel greets at once; a mount without a greeting hangs whoever looks at it. */
const GREETING_LIMIT_MS = 10_000;
/** The kernel lets go of a mount that nobody uses at once; what keeps it longer is cut off. */
const UNMOUNT_LIMIT_MS = 1000;
/** Time for the kernel to tell of an unmount that has succeeded. */
const LAST_WORD_LIMIT_MS = 500;
/** What the kernel reads ahead, KiB; INIT cannot raise it over the device's own limit of 128. */
const READ_AHEAD_KIB = 1024;

/** @throws PeerfsError MOUNT_FAILED with the reason and what to do about it */
export const mountFuse: MountFileSystem = async (fileSystem, options) => {
  const asRoot = process.geteuid?.() === 0;
  const mountpoint = await checkMountpoint(options.mountpoint);
  const guardian = startGuardian(mountpoint, asRoot);
  try {
    const device = asRoot ? mountAsRoot(mountpoint, options) : await mountAsUser(mountpoint, options);
    return await serve(device, fileSystem, { ...options, mountpoint }, asRoot, () => guardian.dismiss());
  } catch (error) {
    guardian.dismiss();
    throw error;
  }
};

async function serve(
  device: number,
  fileSystem: KernelFileSystem,
  options: MountOptions,
  asRoot: boolean,
  dismissGuardian: () => void,
): Promise<MountHandle> {
  const { mountpoint } = options;
  let onEnded: () => void = () => undefined;
  const ended = new Promise<void>((resolve) => (onEnded = resolve));
  let greeted = false;
  // A thread that waits in the kernel for our answers would keep process.exit() from ending.
  const onExit = (): void => session.failAll('EIO');
  const session = new FuseSession(device, fileSystem, {
    clock: systemClock,
    reader: 'epoll',
    faults: new Faults(options.log, 'mount.fault'),
    onEnd: (reason) => {
      process.off('exit', onExit);
      dismissGuardian();
      onEnded();
      if (greeted) options.onEnd(reason);
    },
  });
  process.on('exit', onExit);
  const detach = (): Promise<void> =>
    asRoot ? unmountDevice(mountpoint, MNT.DETACH) : unmountByHelper(mountpoint, true);

  try {
    await within(session.greeted, GREETING_LIMIT_MS);
  } catch (cause) {
    await detach().catch(() => undefined);
    session.close('no greeting');
    throw cause instanceof PeerfsError ? cause : new PeerfsError('MOUNT_FAILED', 'The kernel sent no greeting.');
  }
  greeted = true;
  const notifier = new Notifier(startNotifyWorker(session.descriptor), (node, contents) =>
    session.store(node, contents),
  );
  void ended.then(() => notifier.close());
  if (asRoot) void raiseReadAhead(mountpoint);

  const unmount = async (): Promise<void> => {
    if (!session.ended) {
      const plain = asRoot ? unmountDevice(mountpoint, 0) : unmountByHelper(mountpoint, false);
      // Busy, or waiting for a peer: then the place is made free at once, and who still uses the mount is cut off.
      const unmounted = await within(
        plain.then(
          () => true,
          () => false,
        ),
        UNMOUNT_LIMIT_MS,
      ).catch(() => false);
      if (!unmounted) await detach().catch(() => undefined);
      session.failAll('EIO');
      await within(ended, unmounted ? LAST_WORD_LIMIT_MS : 0).catch(() => undefined);
      session.close('unmounted');
    }
    await notifier.close();
  };
  let unmounting: Promise<void> | undefined;
  return { notifier, unmount: () => (unmounting ??= unmount()) };
}

async function checkMountpoint(given: string): Promise<string> {
  const place = await placeOf(given);
  // First: looking at a dead or hanging mount is what must not happen.
  if (mountAt(place)?.type === MOUNT_TYPE) {
    throw failed('There is a peerfs mount at that folder already.', 'Unmount it first: peerfs unmount');
  }
  let status: Stats;
  try {
    status = await stat(place);
  } catch (cause) {
    const code = codeOf(cause);
    if (code === 'ENOENT') throw failed('The folder to mount at does not exist.', 'Create it first.', cause);
    if (code === 'ENOTCONN') throw failed('A dead mount of another program stands there.', 'Unmount it first.', cause);
    throw failed(`The folder to mount at cannot be looked at: ${code}.`, 'Choose a folder of your own.', cause);
  }
  if (!status.isDirectory()) throw failed('The place to mount at is not a folder.', 'Choose an empty folder.');
  return place;
}

function mountAsRoot(mountpoint: string, options: MountOptions): number {
  let device: number;
  try {
    device = openFuseDevice();
  } catch (cause) {
    throw deviceFailure(cause);
  }
  try {
    mountDevice({
      source: SOURCE,
      mountpoint,
      type: MOUNT_TYPE,
      flags: MS.NOSUID | MS.NODEV | (options.readOnly ? MS.RDONLY : 0),
      options: [`fd=${device}`, 'rootmode=40000', 'user_id=0', 'group_id=0', ...common(options)].join(','),
    });
  } catch (cause) {
    closeSync(device);
    const code = codeOf(cause);
    const hint =
      code === 'EPERM'
        ? 'In a container, give it CAP_SYS_ADMIN and /dev/fuse.'
        : code === 'ENODEV'
          ? 'This kernel has no FUSE. Load it: modprobe fuse'
          : 'peerfs doctor looks at what mounting needs.';
    throw failed(`The system refused to mount: ${code}.`, hint, cause);
  }
  return device;
}

async function mountAsUser(mountpoint: string, options: MountOptions): Promise<number> {
  try {
    await access('/dev/fuse', constants.R_OK | constants.W_OK);
  } catch (cause) {
    throw deviceFailure(cause);
  }
  if (options.allowOther && !(await allowsOthers())) {
    throw failed(
      'Other users may not be let into a mount here.',
      'Put the line user_allow_other into /etc/fuse.conf, or mount without --allow-other.',
    );
  }
  const flags = [options.readOnly ? 'ro' : 'rw', 'nosuid', 'nodev', `fsname=${SOURCE}`, 'subtype=peerfs'];
  try {
    return await mountByHelper(mountpoint, [...flags, ...common(options)].join(','));
  } catch (cause) {
    const code = codeOf(cause);
    if (code === 'ENOENT') throw failed('fusermount3 is not installed.', 'Install the package fuse3.', cause);
    const said = cause instanceof Error ? cause.message : code;
    throw failed(`The system refused to mount: ${said}`, 'The folder must be your own and writable by you.', cause);
  }
}

function common(options: MountOptions): string[] {
  return ['default_permissions', `max_read=${MAX_TRANSFER_BYTES}`, ...(options.allowOther ? ['allow_other'] : [])];
}

function deviceFailure(cause: unknown): PeerfsError {
  const code = codeOf(cause);
  return code === 'EACCES' || code === 'EPERM'
    ? failed(
        '/dev/fuse may not be opened.',
        'As root: chmod 0666 /dev/fuse (in a container: --device /dev/fuse).',
        cause,
      )
    : failed('There is no /dev/fuse.', 'Load the kernel module: modprobe fuse', cause);
}

async function allowsOthers(): Promise<boolean> {
  const text = await readFile('/etc/fuse.conf', 'utf8').catch(() => '');
  return text.split('\n').some((line) => line.trim() === 'user_allow_other');
}

async function raiseReadAhead(mountpoint: string): Promise<void> {
  const device = mountAt(mountpoint)?.device;
  if (device === undefined) return;
  // Only speed is lost where this is not allowed.
  await writeFile(`/sys/class/bdi/${device}/read_ahead_kb`, String(READ_AHEAD_KIB)).catch(() => undefined);
}

function failed(message: string, hint: string, cause?: unknown): PeerfsError {
  return new PeerfsError('MOUNT_FAILED', message, { hint, cause });
}

/** @throws PeerfsError ETIMEDOUT */
async function within<T>(promise: Promise<T>, limitMs: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new PeerfsError('ETIMEDOUT')), limitMs);
  });
  return Promise.race([promise, limit]).finally(() => clearTimeout(timer));
}
