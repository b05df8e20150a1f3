/** Two KCP conversations joined by simulated links, run in simulated time. */
import { Kcp, type KcpOptions } from '../../src/net/kcp.ts';
import { SimulatedLink, type LinkOptions } from './simulated-link.ts';

export interface End {
  readonly kcp: Kcp;
  readonly link: SimulatedLink;
  /** Called when messages may have come or acknowledgements made room. */
  poll: (now: number) => void;
}

export interface Pair {
  readonly a: End;
  readonly b: End;
  now: number;
  /** Runs until `done()`, or `untilMs` of simulated time. @returns whether it was done. */
  run(done: () => boolean, untilMs: number): boolean;
}

export interface PairOptions {
  /** Looked at for every packet: what the caller changes in it takes effect. */
  readonly link: LinkOptions;
  readonly back?: LinkOptions;
  readonly kcp?: Partial<KcpOptions>;
  /** Time of the first event, milliseconds. */
  readonly startMs?: number;
}

function createEnd(link: LinkOptions, seed: number, options: Partial<KcpOptions>, time: () => number): End {
  const out = new SimulatedLink(link, seed);
  const kcp = new Kcp({
    conversation: 7,
    ...options,
    output: (bytes, start, length) => out.send(bytes.subarray(start, start + length), time()),
  });
  return { kcp, link: out, poll: () => undefined };
}

export function createPair(options: PairOptions): Pair {
  const time = () => pair.now;
  const pair: Pair = {
    a: createEnd(options.link, 1, options.kcp ?? {}, time),
    b: createEnd(options.back ?? options.link, 2, options.kcp ?? {}, time),
    now: options.startMs ?? 0,
    run(done, untilMs) {
      const { a, b } = pair;
      let idle = 0;
      while (!done()) {
        deliver(a, b, pair.now);
        deliver(b, a, pair.now);
        if (done()) return true;
        const timer = Math.ceil(Math.min(a.kcp.check(pair.now), b.kcp.check(pair.now)));
        const next = Math.min(a.link.nextAt, b.link.nextAt, timer);
        if (next > untilMs) return false;
        idle = next <= pair.now ? idle + 1 : 0;
        if (idle > 1_000) throw new Error('time stands still');
        pair.now = Math.max(next, pair.now);
      }
      return true;
    },
  };
  return pair;
}

function deliver(from: End, to: End, now: number): void {
  for (const packet of from.link.take(now)) to.kcp.input(packet, now);
  to.poll(now);
  to.kcp.update(now);
}
