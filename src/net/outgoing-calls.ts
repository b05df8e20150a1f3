/**
 * OutgoingCalls: the calls that this side has made and that are not answered yet. Owns their numbers, bounds,
 * deadlines and acknowledgements, and what happens to them when a path or the peer goes. It knows no clock: the
 * channel tells it how much time went by.
 *
 *     waiting --transmit--> sent --reply--> gone
 *        ^                   |
 *        +----path lost------+        aborted, or given up: the caller has its error, but the call stays here as
 *                                     `abandoned` until the peer has answered its cancel: every number is answered
 */
import { PeerfsError } from '../errors.ts';
import type { ErrorCode } from '../errors.ts';
import { decodeFields } from '../wire/codec.ts';
import { decodeFailure, encodeEmptyFrame, encodeFrame, payloadOf } from '../wire/frame.ts';
import type { Frame } from '../wire/frame.ts';
import { MESSAGES } from '../wire/schema.ts';
import type { CallName, RequestOf } from '../wire/schema.ts';
import type { Fields, Message } from '../wire/types.ts';
import { CallQueue } from './call-queue.ts';
import type { CallOptions, CallResult } from './channel.ts';
import { laneOf } from './channel-path.ts';
import type { ChannelPath } from './channel-path.ts';
import type { Lane } from './path.ts';

/** Specification of version 1: more calls than this at once may be answered with OVERLOADED. */
const MAX_CALLS_IN_FLIGHT = 1024;

/**
 * Tuning: bytes of requests in flight; more wait here, and small calls go past them. What is on a slow path stays there
 * when a better one comes.
 */
const MAX_BYTES_IN_FLIGHT = { fast: 32 * 1024 * 1024, slow: 2 * 1024 * 1024 } as const;
/** Calls that wait for their turn; more fail with OVERLOADED. */
const MAX_WAITING = 16_384;
/** Answers after which an acknowledgement goes out at once; else it waits for a tick. */
const ACKNOWLEDGE_EVERY = 256;
/** A call that nobody says a word about ends after so many patiences, whatever else goes on. */
const FORGOTTEN_AFTER = 20;

interface OpenCall {
  readonly id: number;
  readonly message: Message;
  readonly head: Buffer;
  readonly payload: Uint8Array | undefined;
  readonly lane: Lane;
  readonly unbounded: boolean;
  readonly namesHandle: boolean;
  readonly resolve: (result: CallResult<CallName>) => void;
  readonly reject: (error: unknown) => void;
  readonly late: ((result: CallResult<CallName>) => void) | undefined;
  readonly signal: AbortSignal | undefined;
  onAbort: (() => void) | undefined;
  /** Where it was sent; undefined while it waits. */
  path: ChannelPath | undefined;
  sentBefore: boolean;
  abandoned: boolean;
  /** Milliseconds without progress of any call. */
  quietMs: number;
  /** Milliseconds without a word about this one. */
  ageMs: number;
}

export interface OutgoingStatistics {
  callsSent: number;
  callsAnswered: number;
  callsResent: number;
  malformed: number;
}

export interface OutgoingCallsOptions {
  /** How long a call there, or one that waits for a path, may see no progress. */
  readonly patienceMs: (path: ChannelPath | undefined) => number;
  /** The path for calls now; undefined: they wait. */
  readonly activePath: () => ChannelPath | undefined;
}

/** Handle fields of each call, so that calls which name a handle are known. */
const HANDLE_FIELDS = new Map<Message, readonly string[]>(
  Object.values(MESSAGES).map((message: Message) => [
    message,
    Object.entries(message.request).flatMap(([key, field]) => (field.handle === true ? [key] : [])),
  ]),
);

export class OutgoingCalls {
  readonly statistics: OutgoingStatistics = { callsSent: 0, callsAnswered: 0, callsResent: 0, malformed: 0 };
  readonly #options: OutgoingCallsOptions;
  /** In the order of their numbers. */
  readonly #open = new Map<number, OpenCall>();
  /** By lane, like frames: independent of each other. */
  readonly #waiting: Readonly<Record<Lane, CallQueue<OpenCall>>> = { 0: new CallQueue(), 1: new CallQueue() };
  #nextId = 1;
  #inFlight = 0;
  #bytesInFlight = 0;
  #wanted = 0;
  /** Numbers that were answered and that the peer may forget. */
  #answered: number[] = [];
  #progressed = false;

  constructor(options: OutgoingCallsOptions) {
    this.#options = options;
  }

  /** Calls that a caller waits for. */
  get wanted(): number {
    return this.#wanted;
  }

  /** Whether a tick has something to do. */
  get busy(): boolean {
    return this.#wanted > 0 || this.#answered.length > 0;
  }

  call<M extends CallName>(name: M, request: RequestOf<M>, options: CallOptions<M>): Promise<CallResult<M>> {
    return new Promise((resolve, reject) => {
      const { signal, payload } = options;
      if (signal?.aborted === true) return reject(new PeerfsError('EINTR'));
      if (this.#waiting[0].length + this.#waiting[1].length >= MAX_WAITING)
        return reject(new PeerfsError('OVERLOADED'));
      const message: Message = MESSAGES[name];
      const payloadBytes = payload?.length ?? 0;
      if (payloadBytes > message.requestPayload) return reject(new PeerfsError('E2BIG'));
      const id = this.#nextId;
      const head = encodeFrame<Fields>('request', message.tag, id, message.request, request);
      this.#nextId = id + 1;
      const handles = HANDLE_FIELDS.get(message) ?? [];
      const call: OpenCall = {
        id,
        message,
        head,
        payload: payloadBytes > 0 ? payload : undefined,
        lane: laneOf(head.length + payloadBytes),
        unbounded: options.unbounded === true,
        namesHandle: handles.some((key) => (request as Readonly<Record<string, unknown>>)[key] !== 0),
        // A reply is decoded by the message of its own call: the types meet here.
        resolve: resolve,
        reject,
        late: options.late,
        signal,
        onAbort: undefined,
        path: undefined,
        sentBefore: false,
        abandoned: false,
        quietMs: 0,
        ageMs: 0,
      };
      if (signal !== undefined) {
        call.onAbort = () => {
          this.#giveUp(call, 'EINTR');
          this.pump();
        };
        signal.addEventListener('abort', call.onAbort, { once: true });
      }
      this.#wanted += 1;
      this.#open.set(id, call);
      this.#waiting[call.lane].push(call);
      this.pump();
    });
  }

  /** Sends what waits, as far as the bounds allow. */
  pump(): void {
    for (const lane of [0, 1] as const) {
      const waiting = this.#waiting[lane];
      for (let call = waiting.first; call !== undefined; call = waiting.first) {
        const path = this.#options.activePath();
        if (path === undefined) return;
        const maxBytes = lane === 0 ? Infinity : MAX_BYTES_IN_FLIGHT[path.slow ? 'slow' : 'fast'];
        const full = this.#inFlight >= MAX_CALLS_IN_FLIGHT || this.#bytesInFlight >= maxBytes;
        if (full && !call.abandoned) break;
        waiting.shift();
        if (this.#open.get(call.id) === call && call.path === undefined) this.#transmit(call, path);
      }
    }
  }

  #transmit(call: OpenCall, path: ChannelPath): void {
    call.path = path;
    if (path.calls === 0) path.expectAnswer();
    path.load += 1;
    if (!call.unbounded && !call.abandoned) path.calls += 1;
    this.#inFlight += 1;
    this.#bytesInFlight += call.payload?.length ?? 0;
    if (call.abandoned) {
      path.send(0, [encodeEmptyFrame('cancel', call.message.tag, call.id)], 0);
      return;
    }
    if (call.sentBefore) this.statistics.callsResent += 1;
    else this.statistics.callsSent += 1;
    call.sentBefore = true;
    path.send(call.lane, call.payload === undefined ? [call.head] : [call.head, call.payload], 0);
  }

  reply(frame: Frame): void {
    const call = this.#open.get(frame.callId);
    if (call === undefined) return;
    this.#finish(call);
    if (call.abandoned && call.late === undefined) return;
    let result: CallResult<CallName>;
    try {
      const reply = decodeFields<Fields>(call.message.reply, frame.bytes, frame.bodyStart, frame.bodyEnd);
      const payload = payloadOf(frame);
      if (payload.length > call.message.replyPayload) throw new PeerfsError('PROTOCOL', 'malformed: payload too long');
      result = { reply: reply, payload };
    } catch (error) {
      this.statistics.malformed += 1;
      call.reject(error);
      return;
    }
    if (call.abandoned) call.late?.(result);
    else call.resolve(result);
  }

  failure(frame: Frame): void {
    const call = this.#open.get(frame.callId);
    if (call === undefined) return;
    this.#finish(call);
    try {
      const { code, text } = decodeFailure(frame);
      if (!call.abandoned) call.reject(new PeerfsError(code, text === '' ? code : text));
    } catch (error) {
      this.statistics.malformed += 1;
      call.reject(error);
    }
  }

  /** The peer says that it is still at it. */
  working(frame: Frame): void {
    const call = this.#open.get(frame.callId);
    if (call === undefined) return;
    call.ageMs = 0;
    call.quietMs = 0;
  }

  /** The peer has answered the call: its number is done with. */
  #finish(call: OpenCall): void {
    this.#progressed = true;
    this.statistics.callsAnswered += 1;
    this.#open.delete(call.id);
    this.#leaveFlight(call);
    if (!call.message.idempotent || call.abandoned) {
      this.#answered.push(call.id);
      if (this.#answered.length >= ACKNOWLEDGE_EVERY) this.acknowledge();
    }
    if (!call.abandoned) this.#unlist(call);
    this.pump();
  }

  #leaveFlight(call: OpenCall): void {
    if (call.path === undefined) return;
    if (!call.unbounded && !call.abandoned) call.path.calls -= 1;
    call.path.load -= 1;
    call.path = undefined;
    this.#inFlight -= 1;
    this.#bytesInFlight -= call.payload?.length ?? 0;
  }

  /** Nobody waits for it any more. */
  #unlist(call: OpenCall): void {
    this.#wanted -= 1;
    if (call.onAbort !== undefined) call.signal?.removeEventListener('abort', call.onAbort);
    call.onAbort = undefined;
  }

  /** The caller gets its error now; the peer, if it may know of the call, is told to stop. */
  #giveUp(call: OpenCall, code: ErrorCode): void {
    if (call.abandoned || !this.#open.has(call.id)) return;
    this.#unlist(call);
    call.reject(new PeerfsError(code));
    if (!call.sentBefore) {
      this.#open.delete(call.id);
      return;
    }
    if (call.path !== undefined && !call.unbounded) call.path.calls -= 1;
    call.abandoned = true;
    if (call.path === undefined) return;
    call.path.send(0, [encodeEmptyFrame('cancel', call.message.tag, call.id)], 0);
  }

  /** What was sent there and not answered is sent again elsewhere, in order and before anything newer. */
  pathLost(path: ChannelPath): void {
    const again: Record<Lane, OpenCall[]> = { 0: [], 1: [] };
    for (const call of this.#open.values()) {
      if (call.path !== path) continue;
      this.#leaveFlight(call);
      again[call.lane].push(call);
    }
    for (const lane of [0, 1] as const) this.#waiting[lane].prepend(again[lane]);
    this.pump();
  }

  /** The peer that comes back is another boot: it knows none of these calls, their handles or their outcomes. */
  peerRestarted(): void {
    this.#answered = [];
    const keep: Record<Lane, OpenCall[]> = { 0: [], 1: [] };
    for (const call of [...this.#open.values()]) {
      this.#leaveFlight(call);
      if (!call.abandoned && !call.namesHandle && (call.message.idempotent || !call.sentBefore)) {
        keep[call.lane].push(call);
        continue;
      }
      this.#open.delete(call.id);
      if (call.abandoned) continue;
      this.#unlist(call);
      const known = call.message.idempotent || !call.sentBefore;
      call.reject(
        known
          ? new PeerfsError('ESTALE', 'the peer was restarted')
          : new PeerfsError('OUTCOME_UNKNOWN', 'the peer was restarted while it had the call'),
      );
    }
    for (const lane of [0, 1] as const) this.#waiting[lane].replace(keep[lane]);
  }

  /** Every caller gets the error. What the peer may have seen stays, to be cancelled when it is back. */
  failAll(code: ErrorCode): void {
    for (const call of [...this.#open.values()]) this.#giveUp(call, code);
    for (const lane of [0, 1] as const) this.#waiting[lane].keep((call) => this.#open.has(call.id));
  }

  /**
   * @param moved whether the paths carried enough bytes to count as progress.
   * @returns whether a call has been given up because none made progress for all our patience.
   */
  tick(elapsedMs: number, moved: boolean): boolean {
    const progressed = this.#progressed || moved;
    this.#progressed = false;
    let isStuck = false;
    for (const call of [...this.#open.values()]) {
      if (call.abandoned || call.unbounded) continue;
      const patienceMs = this.#options.patienceMs(call.path);
      call.quietMs = progressed ? 0 : call.quietMs + elapsedMs;
      call.ageMs += elapsedMs;
      if (call.quietMs >= patienceMs) isStuck = true;
      if (call.quietMs >= patienceMs || call.ageMs >= FORGOTTEN_AFTER * patienceMs) this.#giveUp(call, 'ETIMEDOUT');
    }
    return isStuck;
  }

  /** Tells the peer which replies it may forget: a run of numbers between two that are still open, each. */
  acknowledge(): void {
    const path = this.#options.activePath();
    if (path === undefined || this.#answered.length === 0) return;
    const open = [...this.#open.keys()];
    const answered = this.#answered.sort((a, b) => a - b);
    this.#answered = [];
    let next = 0;
    let covered = 0;
    for (const id of answered) {
      if (id < covered) continue;
      while ((open[next] ?? Infinity) < id) next += 1;
      const fromCall = next === 0 ? 0 : (open[next - 1] ?? 0) + 1;
      covered = open[next] ?? this.#nextId;
      const fields = { fromCall, belowCall: covered };
      path.send(0, [encodeFrame('push', MESSAGES.acknowledge.tag, 0, MESSAGES.acknowledge.request, fields)], 0);
    }
  }
}
