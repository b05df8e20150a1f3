/**
 * Taking a mount down without the node that made it: it is dead, or does not answer. Loaded by the CLI when it has to.
 */
import { mountAt, MNT, unmountDevice } from '../sys/mount.ts';
import { unmountByHelper } from '../sys/fusermount.ts';
import { clearDeadMount, MOUNT_TYPE, placeOf } from '../fs/fuse/dead-mount.ts';
import { loadConfig } from './config.ts';
import type { Home } from './home.ts';

/**
 * @param directory absolute; undefined: the configured one.
 * @param isDead no node runs: only what nobody serves is taken down. Else whatever peerfs has mounted there is.
 * @returns the place that is free now; undefined when nothing of the kind is mounted there.
 * @throws PeerfsError with what the system said, if it cannot be taken down
 */
export async function takeDownAbandoned(
  home: Home,
  directory: string | undefined,
  isDead: boolean,
): Promise<string | undefined> {
  const place = await placeOf(directory ?? loadConfig(home.configFile).mountpoint);
  if (isDead) return (await clearDeadMount(place)) === 'cleared' ? place : undefined;
  if (mountAt(place)?.type !== MOUNT_TYPE) return undefined;
  if (process.geteuid?.() === 0) await unmountDevice(place, MNT.DETACH);
  else await unmountByHelper(place, true);
  return place;
}
