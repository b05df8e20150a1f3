/**
 * Mounts that a killed node left behind: they answer ENOTCONN to everything until somebody takes them down, and let
 * another mount stack on them. Not touched by this process itself: what hangs there would hang it.
 */
import { spawn } from 'node:child_process';
import { realpath } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { MNT, mountAt, unmountDevice } from '../../sys/mount.ts';
import { unmountByHelper } from '../../sys/fusermount.ts';

export const MOUNT_TYPE = 'fuse.peerfs';

/** A dead mount answers at once; one that hangs longer has a living node, if a slow one. */
const PROBE_LIMIT_MS = 3000;
/** Dead mounts on one place, at most. */
const STACKED_MOUNTS = 32;
const PROBE = `try { require('node:fs').statfsSync(process.argv[1]) } catch (e) { process.stdout.write(String(e.code)) }`;
const DEAD_CODES = ['ENOTCONN', 'ECONNABORTED'];

/** The path as mountinfo has it, found without touching what may be mounted there. @param mountpoint absolute or not. */
export async function placeOf(mountpoint: string): Promise<string> {
  const absolute = resolve(mountpoint);
  if (absolute === '/' || mountAt(absolute)?.type === MOUNT_TYPE) return absolute;
  const parent = await realpath(dirname(absolute)).catch(() => dirname(absolute));
  const place = join(parent, basename(absolute));
  if (mountAt(place)?.type === MOUNT_TYPE) return place;
  // The last component may be a link; a mount of ours behind it answers realpath from the parent's side.
  return realpath(place).catch(() => place);
}

/**
 * Takes down dead mounts of peerfs at this place; a living one stays. Takes seconds at most, whatever hangs there.
 * @throws PeerfsError with what the system said, if it cannot be taken down
 */
export async function clearDeadMount(mountpoint: string): Promise<'none' | 'cleared'> {
  const place = await placeOf(mountpoint);
  let result: 'none' | 'cleared' = 'none';
  for (let count = 0; count < STACKED_MOUNTS; count += 1) {
    if (mountAt(place)?.type !== MOUNT_TYPE || !(await isDead(place))) break;
    if (process.geteuid?.() === 0) await unmountDevice(place, MNT.DETACH);
    else await unmountByHelper(place, true);
    result = 'cleared';
  }
  return result;
}

/** Whether statfs says that nobody serves the mount any more; asked by a child, which may hang. */
function isDead(place: string): Promise<boolean> {
  return new Promise((resolvePromise) => {
    const child = spawn(process.execPath, ['-e', PROBE, place], { stdio: ['ignore', 'pipe', 'ignore'], cwd: '/' });
    let answer = '';
    const finish = (dead: boolean): void => {
      clearTimeout(limit);
      child.unref();
      child.stdout.destroy();
      resolvePromise(dead);
    };
    const limit = setTimeout(() => {
      child.kill('SIGKILL');
      finish(false);
    }, PROBE_LIMIT_MS);
    child.stdout.on('data', (chunk: Buffer) => (answer += chunk.toString('latin1')));
    child.on('error', () => finish(false));
    child.on('close', () => finish(DEAD_CODES.includes(answer)));
  });
}
