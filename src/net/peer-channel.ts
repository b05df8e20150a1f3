/**
 * PeerChannel: the implementation of Channel (src/net/channel.ts) over whatever paths there are. Owns the state, the
 * choice of the path, and time; the calls themselves are in outgoing-calls.ts and incoming-calls.ts.
 *
 *               hello on a path                    silence on all paths, or the last one ended
 *     offline ------------------> live <---------------------------------> reconnecting
 *        ^                         |            hello, anything heard          |
 *        +-------------------------+-------------------------------------------+
 *          goodbye; a first call and 1.5 s of silence; patience (15 s) of silence
 *
 * Deadlines measure silence, not length. A call ends with ETIMEDOUT when for the time of patience no call made
 * progress (no reply, no sign that one is being worked at, less than 1 KiB/s moved by the paths), and in any case
 * when nobody said a word about this one for 20 times that. The side that answers gives such a sign every 5 seconds for
 * 10 minutes. Calls that are `unbounded` last as long as the peer is alive.
 *
 * Time is counted in ticks of one timer, at most two tick lengths a tick, so that a process that was stopped or
 * kept busy does not take its own absence for the peer's silence.
 */
import type { Clock, Timer } from '../clock.ts';
import { PeerfsError } from '../errors.ts';
import type { ErrorCode } from '../errors.ts';
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
  PeerChannel,
  PeerChannelStatistics,
  PushHandlers,
} from './channel.ts';
import { ChannelPath } from './channel-path.ts';
import { ChannelPaths } from './channel-paths.ts';
import { decodePush, encodePush } from './channel-push.ts';
import type { UnsentReply } from './channel-path.ts';
import { IncomingCalls } from './incoming-calls.ts';
import { OutgoingCalls } from './outgoing-calls.ts';
import type { Path, PathEnd } from './path.ts';
import { Silence } from './silence.ts';

/** DESIGN of the states, milliseconds: the default of `patienceMs`. */
const PATIENCE_MS = 15_000;

/** Tuning, milliseconds. */
const TICK_MS = 250;
/** Paths that carry at least this are making progress, bytes a second. */
const PROGRESS_BYTES = 1024;
/** A call is a first touch if no frame came for so long: programs at work do not pause, people do. Milliseconds. */
const IDLE_MS = 500;

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
  readonly #patienceMs: number;
  readonly #silence: Silence;
  readonly #outgoing: OutgoingCalls;
  readonly #incoming: IncomingCalls;
  readonly #stateListeners = new Set<(state: ChannelState) => void>();
  readonly #restartListeners = new Set<() => void>();
  readonly #neededListeners = new Set<() => void>();
  readonly #pathListeners = new Set<(path: Path) => void>();
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

  constructor(options: PeerChannelOptions) {
    this.peerId = options.peerId;
    this.#options = options;
    this.#patienceMs = options.patienceMs ?? PATIENCE_MS;
    this.#silence = new Silence(this.#patienceMs);
    const activePath = () => this.#paths.active;
    this.#outgoing = new OutgoingCalls({ patienceMs: this.#patienceMs, activePath });
    this.#incoming = new IncomingCalls({ activePath, malformed: () => (this.#malformed += 1) });
    this.#tickedAt = options.clock.now();
    this.#wake();
  }

  get state(): ChannelState {
    return this.#state;
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
    const idle = this.#options.clock.now() - this.#frameAt >= IDLE_MS;
    this.#silence.begin(idle || this.#state !== 'live');
    this.#paths.expectAnswers();
    this.#wake();
    this.touch();
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
      end: (ended, reason, unsent) => this.#pathEnded(ended, reason, unsent),
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

  #pathEnded(path: ChannelPath, reason: PathEnd, unsent: readonly UnsentReply[]): void {
    this.#paths.remove(path);
    this.#options.log.debug('channel.pathEnd', { kind: path.path.kind, reason, paths: this.#paths.all.length });
    this.#choose();
    for (const { lane, pieces } of unsent) this.#incoming.sendElsewhere(lane, pieces);
    this.#outgoing.pathLost(path);
    if (this.#paths.active === undefined && this.#state === 'live') this.#lost(0);
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
    const left = this.#paths.choose();
    if (left !== undefined) this.#outgoing.pathLost(left);
    const { active } = this.#paths;
    if (active !== before) for (const listener of this.#activeListeners) listener(active?.path);
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
        this.#incoming.request(frame, path);
        return this.#wake();
      case 'cancel':
        return this.#incoming.cancel(frame, path);
      case 'push':
        return this.#receivePush(path, frame);
    }
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
    const { heard, bytesMoved } = this.#paths.tick(elapsedMs, this.#patienceMs);
    this.#choose();
    if (heard) this.#heard();
    else this.#silence.tick(elapsedMs);
    this.#outgoing.tick(elapsedMs, bytesMoved * 1000 >= PROGRESS_BYTES * elapsedMs);
    this.#outgoing.acknowledge();
    this.#incoming.tick(elapsedMs);
    this.#judge(elapsedMs);
    const undecided = this.#state === 'reconnecting' || this.#paths.undecided;
    if (this.#outgoing.busy || this.#incoming.running > 0 || undecided) this.#wake();
  }

  /** Acts on what the silence so far means. */
  #judge(elapsedMs: number): void {
    if (this.#state === 'offline' || this.#closed) return;
    switch (this.#silence.judge(elapsedMs, this.#state === 'reconnecting', this.#paths, this.#outgoing)) {
      case 'fine':
        return;
      case 'ask':
        return this.#paths.probe();
      case 'leave':
        return this.#leave();
      case 'untouched':
        for (const one of this.#paths.all) one.suspect = true;
        return this.#goOffline('EHOSTDOWN');
      case 'given-up':
        this.#goOffline('ETIMEDOUT');
        // What did not answer for so long is given up, so that the link dials anew.
        for (const one of this.#paths.all) if (one.ready) one.close('timeout');
    }
  }

  /** The active path does not answer: calls go elsewhere, if there is anywhere. */
  #leave(): void {
    this.#paths.probe();
    const { active } = this.#paths;
    if (active === undefined || active.ended) return;
    active.suspect = true;
    this.#choose();
    if (this.#paths.active === active) this.#lost(active.silentMs);
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
