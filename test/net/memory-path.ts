/**
 * Two ends of a Path without a network, under a manual clock: frames arrive whole and in order of their lane after a
 * delay. A test may stop the wire (nothing is heard any more), cut it (both ends learn of it) or make a lane full.
 */
import type { Clock } from '../../src/clock.ts';
import type { Lane, Path, PathEnd, PathEvents, PathKind } from '../../src/net/path.ts';

export interface MemoryPathOptions {
  readonly clock: Clock;
  readonly kind?: PathKind;
  /** Of the far end, as both see it. */
  readonly remote?: string;
  /** One way, milliseconds. */
  readonly delayMs?: number;
  /** Bytes a lane holds on their way before `send` returns false. */
  readonly highWaterBytes?: number;
}

export interface MemoryPath extends Path {
  /** Frames given to send, for tests that look at them. */
  readonly sent: { readonly lane: Lane; readonly frame: Buffer }[];
  readonly probes: number;
  /** Ends this end alone, as if the network had said so. */
  fail(reason: PathEnd): void;
}

export interface MemoryPathPair {
  readonly ends: readonly [MemoryPath, MemoryPath];
  /** While true nothing arrives at either end; what was sent is lost. */
  silent: boolean;
  /** Frames that a test wants to lose: asked for each. */
  drop: (from: 0 | 1, lane: Lane, frame: Buffer) => boolean;
  /** Both ends learn that it is over. */
  cut(reason?: PathEnd): void;
}

/** A pair of ends, the first for the one side and the second for the other. */
export function createMemoryPathPair(options: MemoryPathOptions): MemoryPathPair {
  const { clock, kind = 'tcp', remote = '10.0.0.9:1', delayMs = 1, highWaterBytes = 1024 * 1024 } = options;
  const ends: [MemoryEnd, MemoryEnd] = [makeEnd(0), makeEnd(1)];
  const pair: MemoryPathPair = {
    ends,
    silent: false,
    drop: () => false,
    cut(reason = 'broken') {
      for (const end of ends) end.fail(reason);
    },
  };
  return pair;

  function makeEnd(index: 0 | 1): MemoryEnd {
    let events: PathEvents | undefined;
    let ended = false;
    const early: (() => void)[] = [];
    const queued: [number, number] = [0, 0];
    const full: [boolean, boolean] = [false, false];
    const statistics = {
      rttMs: 2 * delayMs,
      bytesSent: 0,
      datagramsSent: 0,
      bytesReceived: 0,
      retransmissions: 0,
      lastHeardAt: clock.now(),
    };
    const sent: { lane: Lane; frame: Buffer }[] = [];
    let probes = 0;
    const other = () => ends[index === 0 ? 1 : 0];

    /** Runs `arrive` after the delay unless the wire is silent or this end was gone before. */
    function carry(arrive: () => void): void {
      if (pair.silent) return;
      clock.after(delayMs, () => {
        if (!pair.silent) arrive();
      });
    }

    return {
      kind,
      remote,
      statistics,
      sent,
      get probes() {
        return probes;
      },
      start(given) {
        events = given;
        for (const one of early.splice(0)) one();
      },
      send(lane, pieces) {
        if (ended) return true;
        const frame = Buffer.concat(pieces);
        sent.push({ lane, frame });
        statistics.bytesSent += frame.length;
        queued[lane] += frame.length;
        clock.after(delayMs, () => {
          queued[lane] -= frame.length;
          if (full[lane] && queued[lane] <= highWaterBytes / 2 && !ended) {
            full[lane] = false;
            events?.writable(lane);
          }
        });
        if (!pair.drop(index, lane, frame)) carry(() => other().receive(lane, frame));
        full[lane] ||= queued[lane] > highWaterBytes;
        return !full[lane];
      },
      receive(lane, frame) {
        if (ended) return;
        statistics.lastHeardAt = clock.now();
        statistics.bytesReceived += frame.length;
        if (events === undefined) early.push(() => events?.frame(lane, frame));
        else events.frame(lane, frame);
      },
      hear() {
        if (!ended) statistics.lastHeardAt = clock.now();
      },
      probe() {
        probes += 1;
        if (!ended) carry(() => other().answerProbe());
      },
      answerProbe() {
        if (!ended) carry(() => other().hear());
      },
      fail(reason) {
        if (ended) return;
        ended = true;
        if (events === undefined) early.push(() => events?.end(reason));
        else events.end(reason);
      },
      close() {
        if (ended) return;
        ended = true;
        carry(() => other().fail('closed-by-peer'));
      },
    };
  }
}

interface MemoryEnd extends MemoryPath {
  receive(lane: Lane, frame: Buffer): void;
  hear(): void;
  answerProbe(): void;
}
