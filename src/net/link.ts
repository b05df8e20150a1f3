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
import { codeOf } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { Endpoint } from './endpoint.ts';
import type { Path, PathKind } from './path.ts';
import type { KnownPeer, PeerBook } from './peer-book.ts';
import type { PeerChannel } from './peer-channel.ts';

/** Tuning. Milliseconds. */
const BACKOFF_FIRST_MS = 500;
const BACKOFF_MOST_MS = 60_000;
/** A better kind of path than the one in use is tried again this often. */
const IMPROVE_MS = 60_000;
/** Two paths of a kind: time for both sides to see both. */
const SETTLE_MS = 3000;
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

interface Candidate {
  readonly kind: PathKind;
  readonly host: string;
  readonly port: number;
}

export function createLink(options: LinkOptions): Link {
  const { peer, endpoint, channel, book, ownId, clock, log, random = Math.random } = options;
  const hints = new Map<string, Candidate>();
  /** Paths of the channel that are alive, with who began them. */
  const paths = new Map<Path, { readonly own: boolean }>();
  let dialling: AbortController | undefined;
  let backoffMs = BACKOFF_FIRST_MS;
  let timer: Timer | undefined;
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
          .filter((candidate) => seen.size < seen.add(keyOf(candidate)).size),
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
    const attempt = new AbortController();
    dialling = attempt;
    const current = book.peer(peer.peerId);
    if (current === undefined) return;
    const { publicKey, pairSecret: psk } = current;
    const reached = await race(targets, clock, attempt.signal, async (target, signal) => {
      const { path } = await endpoint.connect({ ...target, publicKey, psk, purpose: 'known' }, signal);
      return { path, target };
    });
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
    paths.set(path, { own });
    channel.attach(path, preference(path.kind));
    clock.after(SETTLE_MS, expiredSettle);
    schedule(IMPROVE_MS);
  }

  /** One path of a kind is enough: the one that the node with the lower id began stays, else the newest. */
  function expiredSettle(): void {
    forgetEnded();
    if (closed || ownId > peer.peerId) return;
    for (const kind of endpoint.paths) {
      const same = [...paths].filter(([path]) => path.kind === kind);
      const keep = same.findLast(([, { own }]) => own) ?? same.at(-1);
      for (const [path] of same) if (path !== keep?.[0]) path.close();
    }
    forgetEnded();
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
      hints.delete(keyOf(candidate));
      hints.set(keyOf(candidate), candidate);
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
      dialling?.abort();
      for (const stop of stops) stop();
    },
  };
}

const keyOf = ({ kind, host, port }: Candidate): string => `${kind} ${host} ${port}`;

/** A candidate is tried this long after the one before it, or when that one failed. Milliseconds. */
const STAGGER_MS = 250;

/**
 * Tries targets one after the other, each a little after the one before, all at once in the end.
 * @returns the first that succeeds (others that succeed later are closed), or undefined when all failed or aborted.
 */
export async function race<T extends { readonly path: Path }>(
  targets: readonly Candidate[],
  clock: Clock,
  signal: AbortSignal,
  attempt: (target: Candidate, signal: AbortSignal) => Promise<T>,
  onFailure: (code: ReturnType<typeof codeOf>, error: unknown) => void = () => undefined,
): Promise<T | undefined> {
  const inner = new AbortController();
  const outer = () => inner.abort();
  signal.addEventListener('abort', outer);
  if (signal.aborted) inner.abort();
  let winner: T | undefined;
  try {
    await new Promise<void>((resolve) => {
      let next = 0;
      let running = 0;
      let timer: Timer | undefined;
      const advance = (): void => {
        timer?.cancel();
        if (inner.signal.aborted || winner !== undefined) return resolve();
        const target = targets[next];
        if (target === undefined) {
          if (running === 0) resolve();
          return;
        }
        next += 1;
        running += 1;
        attempt(target, inner.signal).then(
          (made) => {
            running -= 1;
            if (winner === undefined && !inner.signal.aborted) winner = made;
            else made.path.close();
            resolve();
          },
          (error: unknown) => {
            running -= 1;
            onFailure(codeOf(error), error);
            advance();
          },
        );
        timer = clock.after(STAGGER_MS, advance);
      };
      inner.signal.addEventListener('abort', () => resolve());
      advance();
    });
  } finally {
    signal.removeEventListener('abort', outer);
    inner.abort();
  }
  return winner;
}
