/**
 * PeerChannel: the implementation of Channel (src/net/channel.ts) over whatever paths there are. Owns the state, the
 * choice of the path, and time; the calls themselves are in outgoing-calls.ts and incoming-calls.ts.
 *
 *               hello on a path                    silence on all paths, or the last one ended
 *     offline ------------------> live <---------------------------------> reconnecting
 *        ^                         |            hello, anything heard          |
 *        +-------------------------+-------------------------------------------+
 *          goodbye; a first call and 1.5 s of silence; patience (15 s) of silence
 *          (on a slow path: 10 s; 60 s)
 *
 * A path with calls in flight that is silent for 2 s is left for another that stands ready: the calls are sent again
 * there. A peer that has left a path is followed. What is on a worse path when a better one comes is finished there.
 *
 * Deadlines measure silence, not length. A call ends with ETIMEDOUT when for the time of patience no call made
 * progress (no reply, no sign that one is being worked at, less than 1 KiB/s moved by the paths), and in any case
 * when nobody said a word about this one for 20 times that. The side that answers gives such a sign every 5 seconds for
 * 10 minutes. Calls that are `unbounded` last as long as the peer is alive.
 *
 * Time is counted in ticks of one timer, at most two tick lengths a tick, so that a process that was stopped or
 * kept busy does not take its own absence for the peer's silence. After a sleep that the calendar shows, the first
 * call is given the time that it takes to find the peer again.
 */
import type { Clock, Timer } from '../clock.ts';
import { PeerfsError } from '../errors.ts';
import type { ErrorCode } from '../errors.ts';
import { Faults } from '../faults.ts';
import type { Logger } from '../log.ts';
import type { Frame } from '../wire/frame.ts';
import { FEATURES, PROTOCOL_VERSION } from '../wire/schema.ts';
import type { CallName, PushName, RequestOf } from '../wire/schema.ts';
import type {
  CallOptions,
  CallResult,
  ChannelState,
  CloseReason,
  Handlers,
  Pace,
  PeerChannel,
  PeerChannelStatistics,
  PushHandlers,
} from './channel.ts';
import { ChannelPath } from './channel-path.ts';
import { ChannelPaths } from './channel-paths.ts';
import { decodePush, encodePush } from './channel-push.ts';
import { IncomingCalls } from './incoming-calls.ts';
import { OutgoingCalls } from './outgoing-calls.ts';
import type { Path, PathEnd } from './path.ts';
import { Silence } from './silence.ts';
import { SleepWatch } from './sleep-watch.ts';

/** DESIGN of the states, milliseconds: the default of `patienceMs`, and so many times that on a slow path. */
const PATIENCE_MS = 15_000;
const SLOW_PATIENCE = 4;

/** Tuning, milliseconds. */
const TICK_MS = 250;
/** Paths that carry at least this are making progress, bytes a second. */
const PROGRESS_BYTES = 1024;
/** A call is a first touch if no frame came for so long: programs at work do not pause, people do. Milliseconds. */
const IDLE_MS = 500;
/** A path that was not heard for so long while the peer calls on another is asked for a sign of life. Milliseconds. */
const QUIET_MS = 500;

const GOODBYE_REASON: Readonly<Record<CloseReason, number>> = { 'shutting-down': 0, removed: 1 };
/** `goodbye` that ends the path it came on and nothing else. */
const GOODBYE_PATH = 2;

export interface PeerChannelOptions {
  /** Base32 of the peer's public key. */
  readonly peerId: string;
  /** 16 random bytes, new at each start of this node. */
  readonly bootId: Uint8Array;
  /** What this node calls itself: a suggestion for a petname. */
  readonly name: string;
  readonly clock: Clock;
  readonly log: Logger;
  /** How long a call may see no progress at all, milliseconds. */
  readonly patienceMs?: number;
}

export function createPeerChannel(options: PeerChannelOptions): PeerChannel {
  return new ChannelToPeer(options);
}

class ChannelToPeer implements PeerChannel {
  readonly peerId: string;
  readonly #options: PeerChannelOptions;
  readonly #silence = new Silence();
  readonly #sleep: SleepWatch;
  readonly #outgoing: OutgoingCalls;
  readonly #incoming: IncomingCalls;
  readonly #stateListeners = new Set<(state: ChannelState) => void>();
  readonly #restartListeners = new Set<() => void>();
  readonly #neededListeners = new Set<() => void>();
  readonly #pathListeners = new Set<(path: Path) => void>();
  readonly #endListeners = new Set<(path: Path) => void>();
  readonly #activeListeners = new Set<(path: Path | undefined) => void>();
  #pushHandlers: PushHandlers = {};
  readonly #paths = new ChannelPaths();
  #state: ChannelState = 'reconnecting';
  #closed = false;
  #remoteBootId: string | undefined;
  #remoteName: string | undefined;
  #malformed = 0;
  #unknownPushes = 0;
  #timer: Timer | undefined;
  #tickedAt: number;
  /** When the last frame came, Clock.now(). */
  #frameAt = -Infinity;
  /** The last path that calls rode on was slow. */
  #wasSlow = false;

  constructor(options: PeerChannelOptions) {
    this.peerId = options.peerId;
    this.#options = options;
    const activePath = () => this.#paths.active;
    this.#outgoing = new OutgoingCalls({ patienceMs: (path) => this.#patienceOn(path?.slow), activePath });
    const faults = new Faults(options.log, 'call.fault');
    this.#incoming = new IncomingCalls({ activePath, faults, malformed: () => (this.#malformed += 1) });
    this.#tickedAt = options.clock.now();
    this.#sleep = new SleepWatch(options.clock);
    this.#wake();
  }

  get state(): ChannelState {
    return this.#state;
  }

  get pace(): Pace {
    return this.#paths.active?.slow === true ? 'slow' : 'fast';
  }

  get remoteBootId(): string | undefined {
    return this.#remoteBootId;
  }

  get remoteName(): string | undefined {
    return this.#remoteName;
  }

  get paths(): readonly Path[] {
    return this.#paths.all.map((one) => one.path);
  }

  get activePath(): Path | undefined {
    return this.#paths.active?.path;
  }

  get statistics(): PeerChannelStatistics {
    const { callsSent, callsAnswered, callsResent, malformed } = this.#outgoing.statistics;
    return {
      callsSent,
      callsAnswered,
      callsResent,
      malformed: malformed + this.#malformed,
      unknownPushes: this.#unknownPushes,
    };
  }

  serve(handlers: Handlers, pushHandlers: PushHandlers): void {
    this.#incoming.serve(handlers);
    this.#pushHandlers = pushHandlers;
  }

  onState(listener: (state: ChannelState) => void): () => void {
    return listen(this.#stateListeners, listener);
  }

  onRestart(listener: () => void): () => void {
    return listen(this.#restartListeners, listener);
  }

  onPathNeeded(listener: () => void): () => void {
    return listen(this.#neededListeners, listener);
  }

  onPath(listener: (path: Path) => void): () => void {
    return listen(this.#pathListeners, listener);
  }

  onPathEnd(listener: (path: Path) => void): () => void {
    return listen(this.#endListeners, listener);
  }

  onActivePath(listener: (path: Path | undefined) => void): () => void {
    return listen(this.#activeListeners, listener);
  }

  // ---- calls -------------------------------------------------------------------------------------------------

  call<M extends CallName>(name: M, request: RequestOf<M>, options: CallOptions<M> = {}): Promise<CallResult<M>> {
    if (this.#state === 'offline') {
      this.touch();
      return Promise.reject(new PeerfsError('EHOSTDOWN'));
    }
    if (this.#outgoing.wanted === 0) this.#begin();
    return this.#outgoing.call(name, request, options);
  }

  /** Nothing was in flight: silence counts from now. */
  #begin(): void {
    const now = this.#options.clock.now();
    const idle = now - this.#frameAt >= IDLE_MS;
    this.#silence.begin(!this.#sleep.wokeLately() && (idle || this.#state !== 'live'));
    this.#paths.expectAnswers();
    this.#wake();
    this.touch();
  }

  #patienceOn(isSlow = this.#wasSlow): number {
    const { patienceMs = PATIENCE_MS } = this.#options;
    return isSlow ? SLOW_PATIENCE * patienceMs : patienceMs;
  }

  push<M extends PushName>(name: M, request: RequestOf<M>): void {
    this.#paths.active?.send(0, [encodePush(name, request)], 0);
  }

  pushOn<M extends PushName>(path: Path, name: M, request: RequestOf<M>): void {
    const on = this.#paths.all.find((one) => one.path === path);
    if (on?.ready === true) on.send(0, [encodePush(name, request)], 0);
  }

  touch(): void {
    if (this.#closed || this.#state === 'live') return;
    this.#paths.probe();
    for (const listener of this.#neededListeners) listener();
  }

  // ---- paths -------------------------------------------------------------------------------------------------

  attach(path: Path, preference: number): void {
    if (this.#closed) {
      path.close();
      return;
    }
    const { bootId, name } = this.#options;
    const hello = encodePush('hello', { version: PROTOCOL_VERSION, features: FEATURES.join(' '), bootId, name });
    const one = new ChannelPath(path, preference, {
      hello: (from, frame) => this.#hello(from, frame),
      frame: (from, frame) => this.#frame(from, frame),
      malformed: () => (this.#malformed += 1),
      repliesSent: (bytes) => this.#incoming.repliesSent(bytes),
      end: (ended, reason) => this.#pathEnded(ended, reason),
    });
    this.#paths.add(one);
    this.#wake();
    one.start(hello);
  }

  detach(path: Path): void {
    this.#paths.all.find((one) => one.path === path)?.close();
  }

  #hello(path: ChannelPath, frame: Frame): boolean {
    const push = frame.kind === 'push' ? decodePush(frame) : 'malformed';
    if (typeof push === 'string' || push.name !== 'hello') return false;
    const hello = push.request as RequestOf<'hello'>;
    if (hello.version < 1) return false;
    const bootId = Buffer.from(hello.bootId).toString('hex');
    this.#remoteName = hello.name;
    const before = this.#remoteBootId;
    this.#remoteBootId = bootId;
    if (before !== undefined && before !== bootId) this.#restarted(path);
    if (path.ended) return true;
    path.ready = true;
    this.#frameAt = this.#options.clock.now();
    this.#choose();
    this.#heard();
    this.#options.log.debug('channel.path', { kind: path.path.kind, paths: this.#paths.all.length });
    this.#outgoing.pump();
    for (const listener of this.#pathListeners) listener(path.path);
    return true;
  }

  /** `path` belongs to a new boot of the peer: the others are of the one before. */
  #restarted(path: ChannelPath): void {
    this.#outgoing.peerRestarted();
    this.#incoming.forget();
    for (const other of this.#paths.all) if (other !== path && other.ready) other.close();
    for (const listener of this.#restartListeners) listener();
  }

  #pathEnded(path: ChannelPath, reason: PathEnd): void {
    this.#paths.remove(path);
    this.#options.log.debug('channel.pathEnd', { kind: path.path.kind, reason, paths: this.#paths.all.length });
    this.#choose();
    this.#outgoing.pathLost(path);
    if (this.#paths.active === undefined && this.#state === 'live') this.#lost(0);
    for (const listener of this.#endListeners) listener(path.path);
  }

  /** No path answers, for so long already. */
  #lost(silentMs: number): void {
    this.#silence.lost(silentMs);
    this.#setState('reconnecting');
    this.#wake();
    this.touch();
  }

  #choose(): void {
    const before = this.#paths.active;
    this.#paths.choose();
    const { active } = this.#paths;
    if (active?.suspect === false) {
      for (const one of this.#paths.all) if (one.suspect && one.load > 0) this.#outgoing.pathLost(one);
    }
    if (active === before) return;
    if (active !== undefined) this.#wasSlow = active.slow;
    for (const listener of this.#activeListeners) listener(active?.path);
  }

  /** A sign of life. */
  #heard(): void {
    this.#silence.heard();
    if (this.#state !== 'live' && this.#paths.active !== undefined && !this.#closed) this.#setState('live');
  }

  // ---- frames ------------------------------------------------------------------------------------------------

  #frame(path: ChannelPath, frame: Frame): void {
    this.#frameAt = this.#options.clock.now();
    if (this.#state !== 'live') this.#choose();
    this.#heard();
    switch (frame.kind) {
      case 'reply':
        return this.#outgoing.reply(frame);
      case 'failure':
        return this.#outgoing.failure(frame);
      case 'working':
        return this.#outgoing.working(frame);
      case 'request':
        this.#follow(path);
        this.#incoming.request(frame, path);
        return this.#wake();
      case 'cancel':
        return this.#incoming.cancel(frame, path);
      case 'push':
        return this.#receivePush(path, frame);
    }
  }

  /** The peer calls on this path: perhaps it has left the one that we would use. */
  #follow(path: ChannelPath): void {
    const { active } = this.#paths;
    if (active === undefined || active === path || active.peerLeft || active.suspect) return;
    if (this.#options.clock.now() - active.path.statistics.lastHeardAt < QUIET_MS) return;
    active.expectAnswer();
    active.peerLeft = true;
    active.ask();
  }

  #receivePush(path: ChannelPath, frame: Frame): void {
    const push = decodePush(frame);
    if (push === 'unknown') {
      this.#unknownPushes += 1;
      return;
    }
    if (push === 'malformed') {
      this.#malformed += 1;
      return;
    }
    const { request } = push;
    switch (push.name) {
      case 'hello':
        return;
      case 'acknowledge': {
        const { fromCall, belowCall } = request as RequestOf<'acknowledge'>;
        return this.#incoming.acknowledge(fromCall, belowCall, path);
      }
      case 'goodbye':
        return this.#goodbye(path, request as RequestOf<'goodbye'>);
      default: {
        const handler = this.#pushHandlers[push.name] as ((request: unknown, on: Path) => void) | undefined;
        handler?.(request, path.path);
      }
    }
  }

  #goodbye(path: ChannelPath, { reason }: RequestOf<'goodbye'>): void {
    if (reason === GOODBYE_PATH) return path.close('closed-by-peer');
    this.#goOffline('EHOSTDOWN');
    this.#incoming.forget();
    for (const one of this.#paths.all) one.close('closed-by-peer');
  }

  // ---- state and time ----------------------------------------------------------------------------------------

  #setState(state: ChannelState): void {
    if (this.#state === state) return;
    this.#state = state;
    this.#options.log.debug('channel.state', { state });
    for (const listener of this.#stateListeners) listener(state);
  }

  #goOffline(code: ErrorCode): void {
    this.#silence.endTouch();
    this.#setState('offline');
    this.#outgoing.failAll(code);
  }

  #wake(): void {
    if (this.#timer !== undefined || this.#closed) return;
    this.#tickedAt = this.#options.clock.now();
    this.#timer = this.#options.clock.after(TICK_MS, () => this.#expiredTick());
  }

  #expiredTick(): void {
    this.#timer = undefined;
    const now = this.#options.clock.now();
    const elapsedMs = Math.min(now - this.#tickedAt, 2 * TICK_MS);
    if (this.#sleep.wokeLately(now - this.#tickedAt - TICK_MS)) this.#silence.endTouch();
    const { heard, bytesMoved } = this.#paths.tick(elapsedMs, (slow) => this.#patienceOn(slow));
    this.#choose();
    if (heard) this.#heard();
    else this.#silence.tick(elapsedMs);
    const isStuck = this.#outgoing.tick(elapsedMs, bytesMoved * 1000 >= PROGRESS_BYTES * elapsedMs);
    // Paths that live but carry no whole frame: whoever asks next would wait as long, one after the other.
    if (isStuck && now - this.#frameAt >= this.#patienceOn()) this.#giveUp();
    this.#outgoing.acknowledge();
    this.#incoming.tick(elapsedMs);
    this.#judge(elapsedMs);
    const undecided = this.#state === 'reconnecting' || this.#paths.undecided;
    if (this.#outgoing.busy || this.#incoming.running > 0 || undecided) this.#wake();
  }

  /** Acts on what the silence so far means. */
  #judge(elapsedMs: number): void {
    if (this.#state === 'offline' || this.#closed) return;
    const verdict = this.#silence.judge({
      elapsedMs,
      isReconnecting: this.#state === 'reconnecting',
      isSlow: this.#wasSlow,
      paths: this.#paths,
      callsWanted: this.#outgoing.wanted,
      patienceMs: this.#patienceOn(),
    });
    if (verdict.ask) this.#paths.probe();
    if (verdict.leave.length > 0) this.#leave(verdict.leave);
    if (verdict.end === 'untouched') {
      for (const one of this.#paths.all) one.suspect = true;
      this.#goOffline('EHOSTDOWN');
    } else if (verdict.end === 'given-up') {
      this.#giveUp();
    }
  }

  #giveUp(): void {
    this.#goOffline('ETIMEDOUT');
    // What did not answer for so long is given up, so that the link dials anew.
    for (const one of this.#paths.all) if (one.ready) one.close('timeout');
  }

  /** These do not answer: their calls go elsewhere, if there is anywhere. */
  #leave(paths: readonly ChannelPath[]): void {
    const now = this.#options.clock.now();
    for (const one of paths) one.leave(now);
    this.#paths.probe();
    this.#choose();
    const { active } = this.#paths;
    if (active?.suspect === true) this.#lost(active.silentMs);
  }

  close(reason: CloseReason): void {
    if (this.#closed) return;
    const fields = { reason: GOODBYE_REASON[reason] };
    for (const one of this.#paths.all) {
      if (one.ready) one.path.send(0, [encodePush('goodbye', fields)]);
    }
    this.#closed = true;
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#goOffline('EHOSTDOWN');
    this.#incoming.forget();
    for (const one of this.#paths.all) one.close();
  }
}

function listen<T>(listeners: Set<T>, listener: T): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}
