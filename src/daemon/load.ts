/** How busy the node's process is, for `status`: the delay of its event loop, and its memory. */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { NodeStatus } from './control-protocol.ts';

/** Sampling of the event loop's delay; the histogram counts it in. Milliseconds. */
const LOOP_SAMPLE_MS = 50;

export interface Load {
  status(): Pick<NodeStatus, 'eventLoopDelayMs' | 'memory'>;
  /** Idempotent. */
  close(): void;
}

export function watchLoad(): Load {
  const loop = monitorEventLoopDelay({ resolution: LOOP_SAMPLE_MS });
  loop.enable();
  const lateMs = (nanoseconds: number) => Math.max(0, nanoseconds / 1e6 - LOOP_SAMPLE_MS);
  return {
    status() {
      const { rss, heapUsed, external } = process.memoryUsage();
      return {
        eventLoopDelayMs: { mean: lateMs(loop.mean), p99: lateMs(loop.percentile(99)), max: lateMs(loop.max) },
        memory: { rssBytes: rss, heapBytes: heapUsed, externalBytes: external },
      };
    },
    close: () => void loop.disable(),
  };
}
