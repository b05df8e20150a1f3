/**
 * ChannelPath: one path as the channel sees it: the hello that must come first, the frames that wait while a lane is
 * full, how long nothing has been heard, and how far the path is trusted. It decides nothing about calls.
 *
 *     trusted ---left for its silence---> suspect ---heard---> on trial ---answers all through---> trusted
 *                                            ^                    |
 *                                            +------- left -------+
 *
 * What the path had not taken when it ended is dropped, replies too: their callers send the calls again.
 */
import { decodeFrame } from '../wire/frame.ts';
import type { Frame } from '../wire/frame.ts';
import { SLOW_PATHS } from './path.ts';
import type { Lane, Path, PathEnd } from './path.ts';

/** Frames above this many bytes ride lane 1, so that small ones never wait behind them. Specification of version 1. */
const SMALL_FRAME_BYTES = 8 * 1024;

/** Frames of lane 1 that may overtake the hello of lane 0. */
const MAX_EARLY_FRAMES = 256;
const MAX_EARLY_BYTES = 16 * 1024 * 1024;

/** Tuning, milliseconds. */
/** A path that was left must answer for so long before it is used beside others again; twice as long each next time. */
const TRIAL_MS = 2_000;
const TRIAL_MOST_MS = 30_000;
/** Left again after so long without, it begins from the shortest. */
const TRIAL_FORGET_MS = 120_000;
/** On trial it has its round trip and this for an answer. */
const TRIAL_ANSWER_MS = 1_000;

interface Outgoing {
  readonly pieces: readonly Uint8Array[];
  /** Above 0 for a reply: what it counts in the bound of unsent replies. */
  readonly replyBytes: number;
}

/** The frames that wait in one lane. */
interface LaneQueue {
  full: boolean;
  frames: Outgoing[];
  head: number;
}

export interface ChannelPathEvents {
  /** The first frame of the path: to be accepted (true) or not. */
  hello(path: ChannelPath, frame: Frame): boolean;
  frame(path: ChannelPath, frame: Frame): void;
  /** A frame that breaks the layout or comes before the hello; the path is closed after it. */
  malformed(path: ChannelPath): void;
  /** Replies of so many bytes were handed to the path, or given up. */
  repliesSent(bytes: number): void;
  /** Once; also when `close` was called. */
  end(path: ChannelPath, reason: PathEnd): void;
}

export class ChannelPath {
  readonly path: Path;
  readonly preference: number;
  /** The peer's hello has come. */
  ready = false;
  ended = false;
  /** Nothing was heard although it should have been: used only when there is no other. */
  suspect = false;
  /** Milliseconds, counted by the channel's ticks, without anything heard since an answer was expected. */
  silentMs = 0;
  /** Since it was asked for a sign of life that has not come. */
  askedMs: number | undefined;
  /** The peer sends its calls elsewhere, and nothing was heard here since. */
  peerLeft = false;
  /** Calls in flight on it, and those of them that have a deadline. */
  load = 0;
  calls = 0;
  /** Since it was attached, until the hello came. */
  helloMs = 0;
  readonly #events: ChannelPathEvents;
  readonly #lanes: readonly [LaneQueue, LaneQueue] = [
    { full: false, frames: [], head: 0 },
    { full: false, frames: [], head: 0 },
  ];
  #early: Uint8Array[] = [];
  #earlyBytes = 0;
  #heardAt: number;
  #bytesSent = 0;
  #bytesReceived = 0;
  /** What is left of the trial. */
  #trialMs = 0;
  #trialLengthMs = TRIAL_MS;
  #leftAt = -Infinity;

  constructor(path: Path, preference: number, events: ChannelPathEvents) {
    this.path = path;
    this.preference = preference;
    this.#events = events;
    this.#heardAt = path.statistics.lastHeardAt;
  }

  get slow(): boolean {
    return SLOW_PATHS.has(this.path.kind);
  }

  /** 0: trusted. 1: on trial. 2: suspect. */
  get doubt(): 0 | 1 | 2 {
    if (this.suspect) return 2;
    return this.#trialMs > 0 ? 1 : 0;
  }

  /** Starts the path and sends `hello` as its first frame. */
  start(hello: Uint8Array): void {
    this.path.start({
      frame: (lane, bytes) => this.#receive(lane, bytes),
      writable: (lane) => this.#drain(lane),
      end: (reason) => this.#end(reason),
    });
    if (!this.ended) this.send(0, [hello], 0);
  }

  /** @param replyBytes above 0 for a reply: reported by `repliesSent` when the path has taken it. */
  send(lane: Lane, pieces: readonly Uint8Array[], replyBytes: number): void {
    if (this.ended) {
      this.#events.repliesSent(replyBytes);
      return;
    }
    const queue = this.#lanes[lane];
    if (queue.full) {
      queue.frames.push({ pieces, replyBytes });
      return;
    }
    queue.full = !this.path.send(lane, pieces);
    if (replyBytes > 0) this.#events.repliesSent(replyBytes);
  }

  /** Silence counts from now. */
  expectAnswer(): void {
    this.#takeHeard();
    this.silentMs = 0;
  }

  /** Asks for a sign of life. */
  ask(): void {
    this.askedMs ??= 0;
    this.path.probe();
  }

  /** It does not answer. */
  leave(now: number): void {
    const isRecent = now - this.#leftAt < TRIAL_FORGET_MS;
    this.#trialLengthMs = isRecent ? Math.min(2 * this.#trialLengthMs, TRIAL_MOST_MS) : TRIAL_MS;
    this.#leftAt = now;
    this.suspect = true;
  }

  /** Counts silence and the trial. @returns whether anything was heard since the last time. */
  tick(elapsedMs: number): boolean {
    const heard = this.#takeHeard();
    if (!heard) {
      this.silentMs += elapsedMs;
      if (this.askedMs !== undefined) this.askedMs += elapsedMs;
    }
    if (this.#trialMs > 0) {
      const answersAfterMs = TRIAL_ANSWER_MS + (this.path.statistics.rttMs ?? 0);
      if ((this.askedMs ?? 0) > answersAfterMs) this.#trialMs = this.#trialLengthMs;
      else this.#trialMs -= elapsedMs;
      if (this.#trialMs > 0) this.ask();
    }
    return heard;
  }

  #takeHeard(): boolean {
    const { lastHeardAt } = this.path.statistics;
    if (lastHeardAt <= this.#heardAt) return false;
    this.#heardAt = lastHeardAt;
    this.#heard();
    return true;
  }

  #heard(): void {
    this.silentMs = 0;
    this.askedMs = undefined;
    this.peerLeft = false;
    if (!this.suspect) return;
    this.suspect = false;
    this.#trialMs = this.#trialLengthMs;
  }

  /** Bytes sent and received since the last time this was asked; not those sent that say nothing of the peer. */
  takeBytesMoved(): number {
    const { bytesSent, bytesReceived, isOverdue } = this.path.statistics;
    const [sent, received] = [bytesSent - this.#bytesSent, bytesReceived - this.#bytesReceived];
    this.#bytesSent = bytesSent;
    this.#bytesReceived = bytesReceived;
    return isOverdue === true ? received : sent + received;
  }

  /** Idempotent. */
  close(reason: PathEnd = 'closed'): void {
    if (this.ended) return;
    this.path.close();
    this.#end(reason);
  }

  #receive(lane: Lane, bytes: Uint8Array): void {
    if (this.ended) return;
    if (!this.ready && lane === 1) {
      this.#earlyBytes += bytes.length;
      if (this.#early.length >= MAX_EARLY_FRAMES || this.#earlyBytes > MAX_EARLY_BYTES) this.#reject();
      else this.#early.push(bytes);
      return;
    }
    this.#heard();
    const frame = decodeFrame(bytes);
    if (frame === undefined) return this.#reject();
    if (this.ready) {
      if (frame !== 'unknown') this.#events.frame(this, frame);
      return;
    }
    if (frame === 'unknown' || !this.#events.hello(this, frame)) return this.#reject();
    const early = this.#early;
    this.#early = [];
    for (const one of early) this.#receive(1, one);
  }

  #reject(): void {
    this.#events.malformed(this);
    this.close('broken');
  }

  #drain(lane: Lane): void {
    const queue = this.#lanes[lane];
    queue.full = false;
    while (!this.ended && !queue.full) {
      const next = queue.frames[queue.head];
      if (next === undefined) break;
      queue.head += 1;
      queue.full = !this.path.send(lane, next.pieces);
      if (next.replyBytes > 0) this.#events.repliesSent(next.replyBytes);
    }
    if (queue.head === queue.frames.length || queue.head > 1024) {
      queue.frames = queue.frames.slice(queue.head);
      queue.head = 0;
    }
  }

  #end(reason: PathEnd): void {
    if (this.ended) return;
    this.ended = true;
    this.ready = false;
    this.#early = [];
    let released = 0;
    for (const queue of this.#lanes) {
      for (const { replyBytes } of queue.frames.slice(queue.head)) released += replyBytes;
      queue.frames = [];
      queue.head = 0;
    }
    this.#events.repliesSent(released);
    this.#events.end(this, reason);
  }
}

/** The lane for a frame of so many bytes. */
export function laneOf(frameBytes: number): Lane {
  return frameBytes > SMALL_FRAME_BYTES ? 1 : 0;
}
