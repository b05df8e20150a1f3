/**
 * Link: keeps one peer reachable. Dials all it knows of while there is no path, at once when something says that the
 * peer may be there, goes on for a better kind of path while there is a worse one, and settles for one path of a kind
 * when both sides dialled at once. Owns when and where to dial; does not own handshakes (endpoint.ts), finding out where
 * the peer may be (signalling.ts, lan.ts), calls or the peer's state (peer-channel.ts).
 *
 *     idle ---no path, or no good one---> dialling ---all failed---> waiting (back-off) ---time, news---> dialling
 *       ^                                    |                          |
 *       +------------ a path ----------------+------ a path came in ----+
 *
 * A worse path stays beside a better one, so that there is somewhere to go when that is lost.
 */
import { isIPv4 } from 'node:net';
import { parseHostPort } from '../host-port.ts';
import type { Clock, Timer } from '../clock.ts';
import type { Logger } from '../log.ts';
import type { WireCandidate } from '../wire/candidate.ts';
import type { PeerChannel } from './channel.ts';
import type { Endpoint } from './endpoint.ts';
import type { Path, PathKind } from './path.ts';
import type { KnownPeer, PeerBook } from './peer-book.ts';
import { startRace, type Race } from './race.ts';
import { isLocalAddress } from './address-rules.ts';
import { candidateOf, permitThrough, reaches, targetKey, targetsOf, type Target } from './targets.ts';
import { createWays, type Way, type Ways } from './ways.ts';

/** Tuning. Milliseconds. */
const BACKOFF_FIRST_MS = 500;
const BACKOFF_MOST_MS = 60_000;
/** A better kind of path than the one in use is tried again this often. */
const IMPROVE_MS = 60_000;
/** The same where the one in use is slow, or somebody else's. */
const IMPROVE_SOON_MS = 10_000;
const POOR: ReadonlySet<PathKind> = new Set(['turn', 'tor']);
/** Two paths of a kind: time for both sides to see both, and for both paths to give a sign of life. */
const SETTLE_MS = 3000;
/** One that gave none for so long while another did is closed by whichever side sees that. */
const STALE_MS = 5000;
/** Of IPv4, beside the whole numbers of the kinds. */
const IPV4_RANK = 0.25;
/** Of connections over the internet, behind datagrams. */
const DISTANT_RANK = 0.5;
/** Addresses from signs of life that are kept beside those of the book. */
const MAX_HINTS = 8;

export interface LinkOptions {
  readonly peer: KnownPeer;
  readonly endpoint: Pick<Endpoint, 'paths' | 'connect' | 'relays' | 'address'>;
  readonly channel: PeerChannel;
  readonly book: PeerBook;
  /** The id of this node. */
  readonly ownId: string;
  readonly clock: Clock;
  readonly log: Logger;
  /** How each way of finding the peer fares is noted here. */
  readonly ways?: Ways;
  /** Between 0 and 1, for jitter. */
  readonly random?: () => number;
}

export interface Link {
  readonly ways: Ways;
  /** The peer was heard of at this address (a LAN hello, say): dial at once. */
  hint(kind: PathKind, host: string, port: number): void;
  /** The peer said where it can be reached, instead of what it said before by the same way: dial at once. */
  hear(candidates: readonly WireCandidate[], way: Way | undefined): void;
  /** Something changed: dial at once instead of waiting for the back-off. */
  wake(): void;
  /** This computer has other addresses: what it has may be dead, and everything is dialled anew beside it. */
  networkChanged(): void;
  /** A path that the peer made. */
  attach(path: Path): void;
  /** Idempotent; leaves the channel's paths alone. */
  close(): void;
}

interface LivePath {
  /** We began it. */
  readonly own: boolean;
  /** When it was asked for a sign of life because there is another of its kind; Clock.now(). */
  askedAt: number;
}

export function createLink(options: LinkOptions): Link {
  const { peer, endpoint, channel, book, ownId, clock, log, random = Math.random } = options;
  const ways = options.ways ?? createWays(clock, ['lan', 'address', 'dht', 'peer', 'tor']);
  const hints = new Map<string, Target>();
  /** The last that the peer said by each way; `undefined`: on a path. */
  const told = new Map<Way | undefined, readonly WireCandidate[]>();
  /** Paths of the channel that are alive, the newest last. */
  const paths = new Map<Path, LivePath>();
  let race: Race | undefined;
  /** Of the paths that came since the race began: what is no better is not tried in it any more. */
  let raceRank = Infinity;
  let attempt: AbortController | undefined;
  let backoffMs = BACKOFF_FIRST_MS;
  let improveMs = IMPROVE_SOON_MS;
  let timer: Timer | undefined;
  let settling: Timer | undefined;
  let closed = false;

  /**
   * The lower the better: by kind, and of a kind IPv6 first, which no router translates. Beyond the own network
   * datagrams, whose losses cost less, go before connections.
   */
  const rankOf = (kind: PathKind, host: string): number => {
    const at = endpoint.paths.indexOf(kind);
    const byKind = at < 0 ? endpoint.paths.length : at;
    if (kind !== 'tcp' && kind !== 'udp') return byKind;
    const family = isIPv4(host) ? IPV4_RANK : 0;
    if (kind === 'udp' || isLocalAddress(host)) return byKind + family;
    return Math.max(byKind, endpoint.paths.indexOf('udp')) + DISTANT_RANK + family;
  };
  const rank = ({ kind, host }: Target): number => rankOf(kind, host);
  const rankOfPath = ({ kind, remote }: Path): number => rankOf(kind, parseHostPort(remote)?.host ?? '');
  /** Of the paths there are; none counts while no path answers. */
  const best = (): number =>
    channel.state === 'live' ? Math.min(Infinity, ...[...paths.keys()].map(rankOfPath)) : Infinity;

  /** Everywhere the peer might be, in order of preference of the kind; in it, what is newest or was good last is first. */
  const targets = (below: number): Target[] => {
    const known = [
      ...[...told].reverse().flatMap(([way, candidates]) => candidates.map((one) => withWay(one, way))),
      ...book.addresses(peer.peerId).map((address) => {
        const candidate = candidateOf(address);
        return withWay(candidate, candidate.host.endsWith('.onion') ? 'tor' : 'address');
      }),
    ];
    const found = targetsOf(known, { kinds: endpoint.paths, relays: endpoint.relays });
    const hinted = new Set(hints.keys());
    return [...hints.values(), ...found.filter((target) => !hinted.has(targetKey(target)))]
      .filter((target) => rank(target) < below && isReachable(target))
      .sort((a, b) => rank(a) - rank(b));
  };

  function isReachable({ kind, host }: Target): boolean {
    return kind === 'tor' || reaches(endpoint.address.host, host);
  }

  function schedule(delayMs: number): void {
    timer?.cancel();
    timer = closed ? undefined : clock.after(delayMs, expiredWait);
  }

  function expiredWait(): void {
    timer = undefined;
    if (closed || race !== undefined) return;
    forgetEnded();
    const all = targets(best());
    if (all.length === 0) scheduleNext();
    else void dial(all);
  }

  /** Again, when nothing else brings it about. */
  function scheduleNext(): void {
    if (best() === Infinity) {
      const delayMs = backoffMs * (0.75 + random() / 2);
      backoffMs = Math.min(BACKOFF_MOST_MS, backoffMs * 2);
      return schedule(delayMs);
    }
    const isPoor = [...paths.keys()].every(({ kind }) => POOR.has(kind));
    if (!isPoor) return schedule(IMPROVE_MS);
    schedule(improveMs);
    const isSlow = [...paths.keys()].every(({ kind }) => kind === 'tor');
    improveMs = isSlow ? IMPROVE_SOON_MS : Math.min(IMPROVE_MS, improveMs * 1.5);
  }

  async function dial(all: readonly Target[]): Promise<void> {
    const current = book.peer(peer.peerId);
    if (current === undefined) return;
    const { publicKey, pairSecret: psk } = current;
    const tried = new Set(all.flatMap(({ way }) => way ?? []));
    for (const way of ['address', 'lan', 'tor'] as const) if (tried.has(way)) ways.note(way, 'trying');
    const stop = new AbortController();
    attempt = stop;
    raceRank = Infinity;
    log.debug('link.dialling', { targets: all.map(targetKey).join(', ') });
    const mine = startRace({
      targets: all,
      clock,
      signal: stop.signal,
      rank,
      async attempt({ kind, host, port, via }, signal) {
        return endpoint.connect({ kind, host, port, via, publicKey, psk, purpose: 'known' }, signal);
      },
      onReached({ path }, target) {
        if (closed) return path.close();
        const { kind, host, port, way, via } = target;
        if (via === undefined && kind !== 'turn') book.rememberAddress(peer.peerId, kind, host, port);
        if (way !== undefined) {
          tried.delete(way);
          ways.note(way, 'worked');
        }
        log.debug('link.dialled', { kind });
        raceRank = Math.min(raceRank, rank(target));
        adopt(path, true);
      },
    });
    race = mine;
    await mine.done;
    if (race !== mine) return;
    race = undefined;
    // What was given up because the peer came by itself has neither worked nor failed.
    for (const way of tried) ways.note(way, paths.size === 0 ? 'failed' : 'untried');
    if (!closed && (timer === undefined || best() === Infinity)) scheduleNext();
  }

  function adopt(path: Path, own: boolean): void {
    if (path.kind === 'tor') ways.note('tor', 'worked');
    backoffMs = BACKOFF_FIRST_MS;
    paths.set(path, { own, askedAt: -Infinity });
    channel.attach(path, rankOfPath(path));
    expectSettling();
    scheduleNext();
  }

  /** Where there are two of a kind, which of them live must be known when the time comes to choose. */
  function expectSettling(): void {
    forgetEnded();
    const now = clock.now();
    const rivals = [...paths].filter(([path]) => ofKind(path.kind).length > 1);
    if (rivals.length === 0) return;
    for (const [path, state] of rivals) {
      if (isHeard(path, state)) state.askedAt = now;
      path.probe();
    }
    settling?.cancel();
    settling = clock.after(SETTLE_MS, expiredSettle);
  }

  /**
   * One path of a kind is enough. What is silent while another is not is of no use: the peer restarted, or moved, and
   * either side ends it. Of those that live, the node with the lower id alone chooses, so that the two do not choose
   * differently: of the best the newest that it began itself, else the newest.
   */
  function expiredSettle(): void {
    if (closed) return;
    forgetEnded();
    const now = clock.now();
    for (const kind of endpoint.paths) {
      const rivals = ofKind(kind);
      const living = rivals.filter(([path, state]) => isHeard(path, state));
      if (rivals.length < 2 || living.length === 0) continue;
      for (const [path, state] of rivals) {
        if (!isHeard(path, state) && now - state.askedAt >= STALE_MS) channel.detach(path);
      }
      if (ownId > peer.peerId) continue;
      const lowest = Math.min(...living.map(([path]) => rankOfPath(path)));
      const good = living.filter(([path]) => rankOfPath(path) === lowest);
      const keep = good.findLast(([, { own }]) => own) ?? good.at(-1);
      for (const [path] of living) if (path !== keep?.[0]) channel.detach(path);
    }
    expectSettling();
  }

  /** Since it was asked for a sign of life. */
  function isHeard(path: Path, { askedAt }: LivePath): boolean {
    return path.statistics.lastHeardAt > askedAt;
  }

  function ofKind(kind: PathKind): [Path, LivePath][] {
    return [...paths].filter(([path]) => path.kind === kind);
  }

  function forgetEnded(): void {
    const alive = new Set(channel.paths);
    for (const path of paths.keys()) if (!alive.has(path)) paths.delete(path);
  }

  const wake = (): void => {
    if (closed) return;
    forgetEnded();
    backoffMs = BACKOFF_FIRST_MS;
    improveMs = IMPROVE_SOON_MS;
    // A race that no longer tries what would be welcome again is of no use.
    if (race !== undefined && raceRank < best()) {
      attempt?.abort();
      race = undefined;
    }
    if (race === undefined && best() > 0) schedule(0);
  };

  /** Dials what is new at once, in the race that runs or in a new one. */
  const tryNow = (news: readonly Target[]): void => {
    const below = best();
    race?.add(news.filter((target) => rank(target) < below));
    wake();
  };

  const stops = [
    channel.onPathNeeded(wake),
    channel.onPathEnd((path) => {
      // It, or another like it, may be had again.
      if (paths.delete(path)) wake();
    }),
    channel.onState((state) => {
      if (state !== 'live') wake();
    }),
  ];
  schedule(0);

  return {
    ways,
    hint(kind, host, port) {
      const target: Target = { kind, host, port, way: 'lan' };
      ways.note('lan', 'found');
      hints.delete(targetKey(target));
      hints.set(targetKey(target), target);
      for (const oldest of hints.keys()) {
        if (hints.size <= MAX_HINTS) break;
        hints.delete(oldest);
      }
      tryNow([target]);
    },
    hear(candidates, way) {
      told.delete(way);
      told.set(way, candidates);
      permitThrough(endpoint.relays, candidates);
      tryNow(targets(Infinity).filter((target) => target.way === way));
    },
    wake,
    networkChanged() {
      if (closed) return;
      wake();
      attempt?.abort();
      void dial(targets(Infinity));
    },
    attach(path) {
      if (closed) return path.close();
      adopt(path, false);
      // The peer is there: what would be no better is not needed.
      raceRank = Math.min(raceRank, rankOfPath(path));
      race?.reached(rankOfPath(path));
    },
    close() {
      if (closed) return;
      closed = true;
      timer?.cancel();
      settling?.cancel();
      attempt?.abort();
      for (const stop of stops) stop();
    },
  };
}

function withWay(candidate: WireCandidate, way: Way | undefined): WireCandidate & { readonly way?: Way } {
  return way === undefined ? candidate : { ...candidate, way };
}
