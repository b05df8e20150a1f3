/** What `status` tells of the paths to a peer: how each is used now, from the counters that paths keep. */
import type { Clock } from '../clock.ts';
import type { PeerChannel } from '../net/channel.ts';
import type { Path } from '../net/path.ts';
import type { PathStatus } from './control-protocol.ts';

/** Rates are of the time between two looks, if they are not closer than this. Tuning, milliseconds. */
const LEAST_MS = 1000;

export interface PathRates {
  status(): PathStatus[];
}

interface Look {
  readonly at: number;
  readonly bytes: number;
  readonly bytesPerSecond: number;
}

export function createPathRates(
  channel: Pick<PeerChannel, 'paths' | 'activePath'>,
  clock: Pick<Clock, 'now'>,
): PathRates {
  const looks = new WeakMap<Path, Look>();
  const look = (path: Path): number => {
    const { bytesSent, bytesReceived } = path.statistics;
    const bytes = bytesSent + bytesReceived;
    const at = clock.now();
    const before = looks.get(path);
    if (before !== undefined && at - before.at < LEAST_MS) return before.bytesPerSecond;
    const bytesPerSecond = before === undefined ? 0 : Math.round(((bytes - before.bytes) * 1000) / (at - before.at));
    looks.set(path, { at, bytes, bytesPerSecond });
    return bytesPerSecond;
  };
  return {
    status: () =>
      channel.paths.map((path) => {
        const { rttMs, retransmissions, datagramsSent } = path.statistics;
        return {
          kind: path.kind,
          remote: path.remote,
          active: path === channel.activePath,
          rttMs: rttMs ?? null,
          loss: datagramsSent === 0 ? null : Math.min(1, retransmissions / datagramsSent),
          bytesPerSecond: look(path),
        };
      }),
  };
}
