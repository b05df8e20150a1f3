/**
 * How busy the node's process is, for `status`: the delay of its event loop, and its memory.
 *
 * Every sample wakes the process, so a node at rest takes few; while it works they are close enough together that
 * nothing blocks the loop for 10 ms unseen.
 */
import { createHistogram } from 'node:perf_hooks';
import type { NodeStatus } from './control-protocol.ts';

/** Between two samples, milliseconds. */
const REST_SAMPLE_MS = 50;
const WORK_SAMPLE_MS = 4;
/** How often it is asked whether the node works, milliseconds, and the part of a core above which it does. */
const LOOK_MS = 1000;
const WORK_PART = 0.05;

export interface Load {
  status(): Pick<NodeStatus, 'eventLoopDelayMs' | 'memory'>;
  /** Idempotent. */
  close(): void;
}

export function watchLoad(): Load {
  /** Microseconds; it takes none below 1. */
  const delays = createHistogram();
  let sampleMs = REST_SAMPLE_MS;
  let dueAt = performance.now() + sampleMs;
  let lookedAt = performance.now();
  let used = process.cpuUsage();

  function look(now: number): void {
    const { user, system } = process.cpuUsage(used);
    sampleMs = user + system > (now - lookedAt) * 1000 * WORK_PART ? WORK_SAMPLE_MS : REST_SAMPLE_MS;
    used = process.cpuUsage();
    lookedAt = now;
  }

  function sample(): void {
    const now = performance.now();
    delays.record(Math.max(1, Math.round((now - dueAt) * 1000)));
    if (now - lookedAt > LOOK_MS) look(now);
    dueAt = now + sampleMs;
    timer = setTimeout(sample, sampleMs).unref();
  }

  let timer = setTimeout(sample, sampleMs).unref();
  return {
    status() {
      const { rss, heapUsed, external } = process.memoryUsage();
      return {
        eventLoopDelayMs: { mean: delays.mean / 1000, p99: delays.percentile(99) / 1000, max: delays.max / 1000 },
        memory: { rssBytes: rss, heapBytes: heapUsed, externalBytes: external },
      };
    },
    close: () => clearTimeout(timer),
  };
}
