/**
 * Token buckets by source: what a stranger may cost. A source is an IPv4 address or an IPv6 /56. Those who have lately
 * proven nothing share a total of their own, so that a flood from many sources leaves room for who comes new. Owns bounded
 * memory: when there are too many sources, the fullest buckets (the least active sources) are forgotten first.
 */
import type { Clock } from '../clock.ts';

export interface RateLimitOptions {
  readonly clock: Clock;
  /** Tokens a second, for each source. */
  readonly perSecond: number;
  /** Tokens that a source may save up. */
  readonly burst: number;
  /** Tokens a second for all sources together: as many for those that have proven nothing, and as many for the others. */
  readonly totalPerSecond: number;
  readonly totalBurst: number;
}

export interface RateLimit {
  /** Takes a token of the source's bucket and one of everybody's. @returns false if one of them is empty. */
  take(host: string): boolean;
  /** What the token was taken for proved nothing: for a while the source counts among those. */
  wasted(host: string): void;
}

/** Tuning. */
const MAX_SOURCES = 4096;
/** Who has proven nothing is counted apart for so long. Milliseconds. */
const SUSPECT_MS = 60_000;

interface Bucket {
  tokens: number;
  at: number;
}

interface Source extends Bucket {
  /** When it last proved nothing. */
  wastedAt: number;
}

export function createRateLimit({ clock, perSecond, burst, totalPerSecond, totalBurst }: RateLimitOptions): RateLimit {
  const buckets = new Map<string, Source>();
  const fresh: Bucket = { tokens: totalBurst, at: clock.now() };
  const suspects: Bucket = { tokens: totalBurst, at: clock.now() };

  const isSuspect = (source: Source, now: number): boolean => now - source.wastedAt < SUSPECT_MS;

  const refill = (bucket: Bucket, rate: number, most: number, now: number): void => {
    bucket.tokens = Math.min(most, bucket.tokens + ((now - bucket.at) / 1000) * rate);
    bucket.at = now;
  };

  const forgetIdle = (now: number): void => {
    for (const [source, bucket] of buckets) {
      refill(bucket, perSecond, burst, now);
      if (bucket.tokens >= burst && !isSuspect(bucket, now)) buckets.delete(source);
    }
    // All are busy: a flood from many sources. The oldest goes; the total still holds.
    if (buckets.size >= MAX_SOURCES)
      for (const source of [...buckets.keys()].slice(0, MAX_SOURCES / 4)) buckets.delete(source);
  };

  return {
    take(host) {
      const now = clock.now();
      const source = sourceOf(host);
      let bucket = buckets.get(source);
      if (bucket === undefined) {
        if (buckets.size >= MAX_SOURCES) forgetIdle(now);
        bucket = { tokens: burst, at: now, wastedAt: -Infinity };
        buckets.set(source, bucket);
      } else refill(bucket, perSecond, burst, now);
      if (bucket.tokens < 1) return false;
      const total = isSuspect(bucket, now) ? suspects : fresh;
      refill(total, totalPerSecond, totalBurst, now);
      if (total.tokens < 1) return false;
      bucket.tokens -= 1;
      total.tokens -= 1;
      return true;
    },
    wasted(host) {
      const bucket = buckets.get(sourceOf(host));
      if (bucket !== undefined) bucket.wastedAt = clock.now();
    },
  };
}

/** The part of an address that one customer of a network usually has: all of IPv4, the first 56 bits of IPv6. */
export function sourceOf(host: string): string {
  if (!host.includes(':')) return host;
  const [head = '', tail] = host.split('::');
  const front = head === '' ? [] : head.split(':');
  const back = tail === undefined || tail === '' ? [] : tail.split(':');
  const groups = [...front, ...Array.from({ length: Math.max(0, 8 - front.length - back.length) }, () => '0'), ...back];
  const fourth = (Number.parseInt(groups[3] ?? '0', 16) & 0xff00).toString(16);
  return [...groups.slice(0, 3).map((group) => Number.parseInt(group, 16).toString(16)), fourth].join(':');
}
