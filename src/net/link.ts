/**
 * Link: keeps one peer reachable. Dials the addresses it knows of while there is no path, at once when something says
 * that the peer may be there, and settles for one path of a kind when both sides dialled at once. Owns when and where
 * to dial; does not own handshakes (endpoint.ts), calls or the peer's state (peer-channel.ts).
 *
 *     idle ---no path---> dialling ---all failed---> waiting (back-off) ---time, sign of life---> dialling
 *       ^                    |                           |
 *       +----- a path -------+------ a path came in -----+
 */
import type { Clock, Timer } from '../clock.ts';
import type { Logger } from '../log.ts';
import type { Endpoint } from './endpoint.ts';
import type { Path, PathKind } from './path.ts';
import type { KnownPeer, PeerBook } from './peer-book.ts';
import type { PeerChannel } from './channel.ts';
import { candidateKey, startRace, type Candidate } from './race.ts';

/** Tuning. Milliseconds. */
const BACKOFF_FIRST_MS = 500;
const BACKOFF_MOST_MS = 60_000;
/** A better kind of path than the one in use is tried again this often. */
const IMPROVE_MS = 60_000;
/** Two paths of a kind: time for both sides to see both, and for both paths to give a sign of life. */
const SETTLE_MS = 3000;
/** One that gave none for so long while another did is closed by whichever side sees that. */
const STALE_MS = 5000;
/** Addresses from signs of life that are kept beside those of the book. */
const MAX_HINTS = 8;

export interface LinkOptions {
  readonly peer: KnownPeer;
  readonly endpoint: Endpoint;
  readonly channel: PeerChannel;
  readonly book: PeerBook;
  /** The id of this node. */
  readonly ownId: string;
  readonly clock: Clock;
  readonly log: Logger;
  /** Between 0 and 1, for jitter. */
  readonly random?: () => number;
}

export interface Link {
  /** The peer was heard of at this address (a LAN hello, say): dial at once. */
  hint(kind: PathKind, host: string, port: number): void;
  /** Something changed: dial at once instead of waiting for the back-off. */
  wake(): void;
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
  const hints = new Map<string, Candidate>();
  /** Paths of the channel that are alive, the newest last. */
  const paths = new Map<Path, LivePath>();
  let dialling: AbortController | undefined;
  let backoffMs = BACKOFF_FIRST_MS;
  let timer: Timer | undefined;
  let settling: Timer | undefined;
  let closed = false;

  const preference = (kind: PathKind): number => {
    const at = endpoint.paths.indexOf(kind);
    return at < 0 ? endpoint.paths.length : at;
  };
  const best = (): number => Math.min(Infinity, ...[...paths.keys()].map(({ kind }) => preference(kind)));

  /** Everywhere the peer might be, in order of preference of the kind; in it, what was good last comes first. */
  const candidates = (below: number): Candidate[] => {
    const known = [...hints.values(), ...book.addresses(peer.peerId)];
    const seen = new Set<string>();
    return endpoint.paths
      .filter((kind) => preference(kind) < below)
      .flatMap((kind) =>
        // An address is good for every kind: a node listens on one port for all.
        [...known.filter((address) => address.kind === kind), ...known.filter((address) => address.kind !== kind)]
          .map(({ host, port }) => ({ kind, host, port }))
          .filter((candidate) => seen.size < seen.add(candidateKey(candidate)).size),
      );
  };

  function schedule(delayMs: number): void {
    timer?.cancel();
    timer = closed ? undefined : clock.after(delayMs, expiredWait);
  }

  function expiredWait(): void {
    if (closed || dialling !== undefined) return;
    const targets = candidates(best());
    if (targets.length === 0) return schedule(paths.size > 0 ? IMPROVE_MS : nextBackoff());
    void dial(targets);
  }

  function nextBackoff(): number {
    const delayMs = backoffMs * (0.75 + random() / 2);
    backoffMs = Math.min(BACKOFF_MOST_MS, backoffMs * 2);
    return delayMs;
  }

  async function dial(targets: readonly Candidate[]): Promise<void> {
    const current = book.peer(peer.peerId);
    if (current === undefined) return;
    const attempt = new AbortController();
    dialling = attempt;
    const { publicKey, pairSecret: psk } = current;
    const { winner } = startRace({
      candidates: targets,
      clock,
      signal: attempt.signal,
      async attempt(target, signal) {
        const { path } = await endpoint.connect({ ...target, publicKey, psk, purpose: 'known' }, signal);
        return { path, target };
      },
    });
    const reached = await winner;
    if (dialling === attempt) dialling = undefined;
    if (reached === undefined) {
      if (!closed) schedule(paths.size > 0 ? IMPROVE_MS : nextBackoff());
      return;
    }
    const { path, target } = reached;
    if (closed || attempt.signal.aborted) return path.close();
    book.rememberAddress(peer.peerId, target.kind, target.host, target.port);
    log.debug('link.dialled', { kind: target.kind });
    adopt(path, true);
  }

  function adopt(path: Path, own: boolean): void {
    backoffMs = BACKOFF_FIRST_MS;
    paths.set(path, { own, askedAt: -Infinity });
    channel.attach(path, preference(path.kind));
    expectSettling();
    schedule(IMPROVE_MS);
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
   * differently: the newest that it began itself, else the newest.
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
      const keep = living.findLast(([, { own }]) => own) ?? living.at(-1);
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
    if (dialling === undefined && best() > 0) schedule(0);
  };

  const stops = [
    channel.onPathNeeded(wake),
    channel.onState((state) => {
      if (state !== 'live') wake();
    }),
  ];
  schedule(0);

  return {
    hint(kind, host, port) {
      const candidate = { kind, host, port };
      hints.delete(candidateKey(candidate));
      hints.set(candidateKey(candidate), candidate);
      for (const oldest of hints.keys()) {
        if (hints.size <= MAX_HINTS) break;
        hints.delete(oldest);
      }
      wake();
    },
    wake,
    attach(path) {
      if (closed) return path.close();
      adopt(path, false);
      // The peer is there: what we are still dialling is not needed, unless it would be better.
      if (preference(path.kind) === 0) {
        dialling?.abort();
        dialling = undefined;
      }
    },
    close() {
      if (closed) return;
      closed = true;
      timer?.cancel();
      settling?.cancel();
      dialling?.abort();
      for (const stop of stops) stop();
    },
  };
}
