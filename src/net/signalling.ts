/**
 * Signalling: tells one peer where this node can be reached, and hears where it can: on every path that the two have,
 * and, while they have none, through each rendezvous there is. Owns what is said when; does not own the places where it
 * is said (rendezvous.ts), what is true (candidates.ts), or what is done with it (link.ts).
 *
 *     live ----no path----> seeking ----10 minutes----> waiting ----...
 *       ^                      |  active meetings          |  passive ones
 *       +------- a path -------+---------------------------+
 */
import type { Clock, Timer } from '../clock.ts';
import { isFromFuture } from '../crypto/meeting.ts';
import { PeerfsError } from '../errors.ts';
import { SIGNAL, SIGNAL_BYTES, type Signal, type WireCandidate } from '../wire/candidate.ts';
import { decodeStruct, encodeStruct } from '../wire/codec.ts';
import type { RequestOf } from '../wire/schema.ts';
import type { Candidates } from './candidates.ts';
import type { PeerChannel } from './channel.ts';
import { createNewest } from './newest.ts';
import type { Path } from './path.ts';
import type { Meeting, MeetingSecret, Rendezvous, RendezvousWay } from './rendezvous.ts';
import type { Way, Ways } from './ways.ts';

/** Tuning. Milliseconds. */
/** At first the addresses from before are tried alone for so long; a rendezvous is somebody else's computer. */
const HEAD_START_MS = 1000;
/** What did not work last time begins so much later than what did. */
const SECOND_CHOICE_MS = 1500;
/** Somebody who did not come for so long is looked for seldom. */
const SEEK_MS = 10 * 60_000;
/** When this computer has other addresses it says so for so long, whether a path seems to live or not. */
const MOVED_MS = 30_000;
/** Changes that follow each other closely are told once. */
const TELL_PAUSE_MS = 300;
/**
 * What a peer says has us dial addresses that it chose, and write them down: so many times at once, and then one in so
 * many milliseconds. Of what it says faster the newest counts.
 */
const HEAR_BURST = 10;
const HEAR_EVERY_MS = 2000;

/** Who sees us somewhere else all the time does not have us publish all the time: in the same way. */
const SAY_BURST = 5;
const SAY_EVERY_MS = 5000;

export interface Seeker {
  /**
   * Looks for the other side from now on; no effect when it does already.
   * @param urgent at once: a path was lost that is missed.
   */
  seek(urgent?: boolean): void;
  /** Somebody is there: nothing is said or looked for any more. */
  rest(): void;
  /** Idempotent. */
  close(): void;
}

export interface SeekerOptions {
  readonly secret: MeetingSecret;
  /** Of whom it is: a peer in common must not be the peer itself. Undefined for who is not known yet. */
  readonly peerId?: string | undefined;
  readonly rendezvous: readonly Rendezvous[];
  readonly candidates: Candidates;
  /** The way that worked last time, to begin with. */
  readonly preferred?: () => RendezvousWay | undefined;
  readonly ways?: Ways;
  readonly clock: Clock;
  readonly onSignal: (candidates: readonly WireCandidate[], way: RendezvousWay) => void;
}

/** Meets one other through every rendezvous at once. */
export function createSeeker(options: SeekerOptions): Seeker {
  const { secret, peerId, rendezvous, candidates, preferred, ways, clock, onSignal } = options;
  const meetings = new Map<RendezvousWay, Meeting>();
  const timers = new Set<Timer>();
  let isSeeking = false;
  let saidAtMs = 0;
  let heardAtMs = 0;

  const heard = (way: RendezvousWay, bytes: Uint8Array): void => {
    const signal = decodeSignal(bytes);
    if (signal === undefined || signal.timestampMs <= heardAtMs || !isSeeking) return;
    if (isFromFuture(signal.timestampMs, clock.wallMs())) return;
    heardAtMs = signal.timestampMs;
    ways?.note(way, 'found');
    onSignal(candidates.accept(signal.candidates), way);
  };
  for (const one of rendezvous) {
    const meeting = one.meet({
      ...secret,
      ...(peerId === undefined ? {} : { peerId }),
      onSignal: (bytes) => heard(one.way, bytes),
    });
    meetings.set(one.way, meeting);
  }

  const say = (): void => {
    saidAtMs = Math.max(clock.wallMs(), saidAtMs + 1);
    const bytes = encodeSignal({ timestampMs: saidAtMs, wanted: true, candidates: [...candidates.list] });
    for (const meeting of meetings.values()) meeting.say(bytes);
  };

  const later = (delayMs: number, run: () => void): void => {
    const timer = clock.after(delayMs, () => {
      timers.delete(timer);
      run();
    });
    timers.add(timer);
  };

  const stopTimers = (): void => {
    for (const timer of timers) timer.cancel();
    timers.clear();
  };

  const saying = createNewest<undefined, undefined>({
    clock,
    burst: SAY_BURST,
    everyMs: SAY_EVERY_MS,
    onValue() {
      if (isSeeking) say();
    },
  });
  const stopCandidates = candidates.onChange(() => {
    if (isSeeking) saying.put(undefined, undefined);
  });

  return {
    seek(urgent = false) {
      if (isSeeking || meetings.size === 0) return;
      isSeeking = true;
      say();
      const first = preferred?.();
      for (const [way, meeting] of meetings) {
        const begin = () => {
          ways?.note(way, 'trying');
          meeting.attend('active');
        };
        const isSecond = first !== undefined && first !== way;
        if (urgent) begin();
        else later(HEAD_START_MS + (isSecond ? SECOND_CHOICE_MS : 0), begin);
      }
      later(SEEK_MS, () => {
        for (const [way, meeting] of meetings) {
          ways?.note(way, 'failed');
          meeting.attend('passive');
        }
      });
    },
    rest() {
      if (!isSeeking) return;
      isSeeking = false;
      stopTimers();
      for (const meeting of meetings.values()) meeting.attend('idle');
    },
    close() {
      isSeeking = false;
      stopTimers();
      stopCandidates();
      saying.close();
      for (const meeting of meetings.values()) meeting.close();
    },
  };
}

export interface SignallingOptions extends Omit<SeekerOptions, 'onSignal' | 'ways'> {
  readonly channel: PeerChannel;
  readonly ways: Ways;
  /** The peer can be reached there; `way` is undefined when it said so on a path. */
  readonly onCandidates: (candidates: readonly WireCandidate[], way: Way | undefined) => void;
  /** The peer sees us there, on a path of datagrams from its address `voter`. */
  readonly onObserved: (observed: { readonly host: string; readonly port: number }, voter: string) => void;
}

export interface Signalling {
  /** The push `signal` came. */
  received(request: RequestOf<'signal'>, path: Path): void;
  /** This computer has other addresses, and the peer may not hear of it by the paths that there are. */
  networkChanged(): void;
  /** Idempotent. */
  close(): void;
}

export function createSignalling(options: SignallingOptions): Signalling {
  const { channel, candidates, clock, onCandidates, onObserved } = options;
  const hearing = createNewest<Way | undefined, () => void>({
    clock,
    burst: HEAR_BURST,
    everyMs: HEAR_EVERY_MS,
    onValue: (_way, take) => take(),
  });
  const seeker = createSeeker({
    ...options,
    onSignal: (found, way) => hearing.put(way, () => onCandidates(found, way)),
  });
  let telling: Timer | undefined;
  let moved: Timer | undefined;
  let wasLive = false;

  const tell = (path: Path): void => {
    const seen = path.kind === 'udp' ? splitAddress(path.remote) : undefined;
    channel.pushOn(path, 'signal', {
      candidates: [...candidates.list],
      observedHost: seen?.host ?? '',
      observedPort: seen?.port ?? 0,
    });
  };
  const follow = (): void => {
    const isLive = channel.state === 'live';
    if (isLive && moved === undefined) seeker.rest();
    else seeker.seek(moved !== undefined || (wasLive && channel.state === 'reconnecting'));
    wasLive = isLive;
  };

  const stops = [
    channel.onPath(tell),
    channel.onState(follow),
    candidates.onChange(() => {
      telling ??= clock.after(TELL_PAUSE_MS, () => {
        telling = undefined;
        for (const path of channel.paths) tell(path);
      });
    }),
  ];
  follow();

  return {
    received({ candidates: told, observedHost, observedPort }, path) {
      const voter = path.kind === 'udp' && observedPort !== 0 ? splitAddress(path.remote)?.host : undefined;
      hearing.put(undefined, () => {
        if (voter !== undefined) onObserved({ host: observedHost, port: observedPort }, voter);
        onCandidates(candidates.accept(told), undefined);
      });
    },
    networkChanged() {
      moved?.cancel();
      moved = clock.after(MOVED_MS, () => {
        moved = undefined;
        follow();
      });
      follow();
    },
    close() {
      telling?.cancel();
      moved?.cancel();
      hearing.close();
      for (const stop of stops) stop();
      seeker.close();
    },
  };
}

/** Of `host:port`, IPv6 in brackets. */
function splitAddress(address: string): { readonly host: string; readonly port: number } | undefined {
  const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d+)$/.exec(address);
  const host = match?.[1] ?? match?.[2];
  return host === undefined ? undefined : { host, port: Number(match?.[3]) };
}

/** Leaves out the last candidates until the rest fits. */
function encodeSignal(signal: Signal): Uint8Array {
  for (let count = signal.candidates.length; ; count--) {
    const bytes = encodeStruct(SIGNAL, { ...signal, candidates: signal.candidates.slice(0, count) });
    if (bytes.length <= SIGNAL_BYTES) return bytes;
  }
}

/** @returns undefined for what makes no sense. */
function decodeSignal(bytes: Uint8Array): Signal | undefined {
  try {
    return decodeStruct(SIGNAL, bytes);
  } catch (error) {
    if (error instanceof PeerfsError) return undefined;
    throw error;
  }
}
