/**
 * What the answering side remembers of the calls of one boot of its peer, so that a call which arrives twice (it was
 * sent again on another path) runs once: the replies of calls that are not idempotent, until they are acknowledged,
 * and which calls the peer has acknowledged. Pure.
 *
 * Payloads are not kept: a reply that is sent again comes without (a payload is never more than a favour there).
 */

/** Tuning, not specification. The caller acknowledges every 256 replies or every second, so these are never met. */
const MAX_REPLIES = 16_384;
const MAX_BYTES = 8 * 1024 * 1024;
/** A run ends at a call that is still open; a peer has at most 1,024 of those. */
const MAX_RUNS = 4096;

interface Run {
  from: number;
  below: number;
}

export interface ReplyCache {
  /** Whether another reply can be kept; if not, calls that need it are to be refused. */
  readonly hasRoom: boolean;
  readonly size: number;
  keep(callId: number, reply: Uint8Array): void;
  find(callId: number): Uint8Array | undefined;
  /**
   * The peer has had the answers of calls `from` to `below` (exclusive).
   * @returns false when the peer makes more runs than its calls in flight could explain.
   */
  acknowledge(from: number, below: number): boolean;
  isAcknowledged(callId: number): boolean;
}

export function createReplyCache(): ReplyCache {
  const replies = new Map<number, Uint8Array>();
  let bytes = 0;
  /** Sorted, disjoint, never adjacent. */
  const runs: Run[] = [];

  /** Index of the first run that ends at or after `callId`. */
  function indexOf(callId: number): number {
    let low = 0;
    let high = runs.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((runs[middle]?.below ?? 0) < callId) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  function merge(from: number, below: number): void {
    const first = indexOf(from);
    let after = first;
    const whole: Run = { from, below };
    for (let run = runs[after]; run !== undefined && run.from <= below; run = runs[++after]) {
      whole.from = Math.min(whole.from, run.from);
      whole.below = Math.max(whole.below, run.below);
    }
    runs.splice(first, after - first, whole);
  }

  return {
    get hasRoom() {
      return replies.size < MAX_REPLIES && bytes < MAX_BYTES;
    },
    get size() {
      return replies.size;
    },
    keep(callId, reply) {
      bytes += reply.length - (replies.get(callId)?.length ?? 0);
      replies.set(callId, reply);
    },
    find: (callId) => replies.get(callId),
    acknowledge(from, below) {
      if (from >= below) return true;
      // A run may be as wide as a hostile peer likes, so what is walked is whichever is shorter.
      if (below - from <= replies.size) {
        for (let callId = from; callId < below; callId++) forget(callId);
      } else {
        for (const callId of replies.keys()) if (callId >= from && callId < below) forget(callId);
      }
      merge(from, below);
      return runs.length <= MAX_RUNS;
    },
    isAcknowledged(callId) {
      const run = runs[indexOf(callId + 1)];
      return run !== undefined && run.from <= callId && callId < run.below;
    },
  };

  function forget(callId: number): void {
    const reply = replies.get(callId);
    if (reply === undefined) return;
    bytes -= reply.length;
    replies.delete(callId);
  }
}
