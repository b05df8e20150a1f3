/**
 * IncomingCalls: the calls that the peer has made and that this side is answering. Owns exactly-once (with
 * ReplyCache), the bounds on what one peer may have running, and the signs that a long call still runs. It knows no
 * clock: the channel tells it how much time went by.
 */
import { PeerfsError, codeOf } from '../errors.ts';
import type { Faults } from '../faults.ts';
import { decodeFields } from '../wire/codec.ts';
import { encodeEmptyFrame, encodeFailure, encodeFrame, payloadOf } from '../wire/frame.ts';
import type { Frame } from '../wire/frame.ts';
import { LIMITS, MESSAGES } from '../wire/schema.ts';
import type { CallName } from '../wire/schema.ts';
import type { Fields, Message } from '../wire/types.ts';
import type { Answer, CallContext, Handlers } from './channel.ts';
import { laneOf } from './channel-path.ts';
import type { ChannelPath } from './channel-path.ts';
import { createReplyCache } from './reply-cache.ts';

/** Tuning. A peer that keeps to the 1,024 calls of the protocol never meets the first two. */
const MAX_RUNNING = 2048;
const MAX_REQUEST_BYTES = 64 * 1024 * 1024;
/** Replies made or being made and not yet taken by a path; calls that would add payload wait above it. */
const MAX_REPLY_BYTES = 64 * 1024 * 1024;
/** Above this every call waits. */
const MAX_ALL_REPLY_BYTES = 2 * MAX_REPLY_BYTES;
/** Refusals and repeated answers do not wait; a peer that makes so many and takes none loses its path. */
const MAX_UNTAKEN_BYTES = 3 * MAX_REPLY_BYTES;
/** What a frame that waits costs besides its bytes: objects, measured roughly. */
const FRAME_COST_BYTES = 256;
/** A sign of a long call goes out this often, and for so long. */
const WORKING_EVERY_MS = 5_000;
const WORKING_FOR_MS = 600_000;

/** Handlers by name of the message, with their types forgotten: the schema ties request, reply and tag together. */
type AnyHandler = (request: unknown, context: CallContext) => Promise<Answer<CallName>>;

const CALLS = new Map<number, { readonly name: CallName; readonly message: Message }>(
  Object.entries(MESSAGES).flatMap(([name, message]) =>
    message.kind === 'call' ? [[message.tag, { name: name as CallName, message }]] : [],
  ),
);

class Running implements CallContext {
  readonly callId: number;
  readonly name: CallName;
  readonly message: Message;
  readonly payload: Uint8Array;
  /** Of the whole request: its payload is a view that keeps all of it. */
  readonly requestBytes: number;
  /** Where the request came from last. */
  path: ChannelPath;
  ageMs = 0;
  signMs = 0;
  #controller: AbortController | undefined;

  constructor(frame: Frame, name: CallName, message: Message, path: ChannelPath) {
    this.callId = frame.callId;
    this.name = name;
    this.message = message;
    this.payload = payloadOf(frame);
    this.requestBytes = frame.bytes.length;
    this.path = path;
  }

  /** Made when asked for: most handlers never look. */
  get signal(): AbortSignal {
    this.#controller ??= new AbortController();
    return this.#controller.signal;
  }

  abort(): void {
    this.#controller ??= new AbortController();
    this.#controller.abort();
  }
}

export interface IncomingCallsOptions {
  /** The path for a reply whose own path has ended. */
  readonly activePath: () => ChannelPath | undefined;
  readonly faults: Faults;
  /** A peer that breaks the rules of acknowledgement. */
  readonly malformed: (path: ChannelPath) => void;
}

export class IncomingCalls {
  readonly #options: IncomingCallsOptions;
  readonly #running = new Map<number, Running>();
  #handlers: Handlers | undefined;
  #cache = createReplyCache();
  /** Requests that wait for room among the replies. */
  #held: { readonly frame: Frame; readonly path: ChannelPath }[] = [];
  readonly #heldIds = new Set<number>();
  #replyBytes = 0;
  #requestBytes = 0;
  /** Counts the boots of the peer: an answer for an earlier one is dropped. */
  #boot = 0;

  constructor(options: IncomingCallsOptions) {
    this.#options = options;
  }

  get running(): number {
    return this.#running.size + this.#held.length;
  }

  serve(handlers: Handlers): void {
    this.#handlers = handlers;
  }

  request(frame: Frame, path: ChannelPath): void {
    const { callId } = frame;
    if (this.#cache.isAcknowledged(callId) || this.#heldIds.has(callId)) return;
    const kept = this.#cache.find(callId);
    if (kept !== undefined) return this.#send(path, [kept]);
    const already = this.#running.get(callId);
    if (already !== undefined) {
      already.path = path;
      return;
    }
    const call = CALLS.get(frame.tag);
    if (call === undefined || this.#handlers === undefined) {
      return this.#send(path, [encodeFailure(frame.tag, callId, 'UNSUPPORTED')]);
    }
    if (
      this.#running.size + this.#held.length >= MAX_RUNNING ||
      this.#requestBytes + frame.bytes.length > MAX_REQUEST_BYTES ||
      (!call.message.idempotent && !this.#cache.hasRoom)
    ) {
      return this.#send(path, [encodeFailure(frame.tag, callId, 'OVERLOADED')]);
    }
    const most = call.message.replyPayload > 0 ? MAX_REPLY_BYTES : MAX_ALL_REPLY_BYTES;
    if (this.#replyBytes > most) {
      this.#requestBytes += frame.bytes.length;
      this.#held.push({ frame, path });
      this.#heldIds.add(callId);
      return;
    }
    this.#start(frame, path, call.name, call.message, this.#handlers);
  }

  #start(frame: Frame, path: ChannelPath, name: CallName, message: Message, handlers: Handlers): void {
    let request: unknown;
    const running = new Running(frame, name, message, path);
    try {
      request = decodeFields<Fields>(message.request, frame.bytes, frame.bodyStart, frame.bodyEnd);
      if (running.payload.length > message.requestPayload)
        throw new PeerfsError('PROTOCOL', 'malformed: payload too long');
    } catch (error) {
      this.#options.malformed(path);
      const text = error instanceof PeerfsError ? error.message : '';
      return this.#send(path, [encodeFailure(frame.tag, frame.callId, 'PROTOCOL', text)]);
    }
    this.#running.set(frame.callId, running);
    this.#requestBytes += running.requestBytes;
    this.#replyBytes += message.replyPayload;
    const boot = this.#boot;
    const handler = handlers[name] as AnyHandler;
    try {
      handler(request, running).then(
        (answer) => this.#answer(running, boot, answer),
        (error: unknown) => this.#fail(running, boot, error),
      );
    } catch (error) {
      this.#fail(running, boot, error);
    }
  }

  #answer(running: Running, boot: number, answer: Answer<CallName>): void {
    const { message, callId } = running;
    const payload = answer.payload === undefined || answer.payload.length === 0 ? undefined : answer.payload;
    let head: Buffer;
    try {
      head = encodeFrame<Fields>('reply', message.tag, callId, message.reply, answer.reply);
      if (head.length + (payload?.length ?? 0) > LIMITS.frameBytes || (payload?.length ?? 0) > message.replyPayload) {
        throw new PeerfsError('E2BIG');
      }
    } catch (error) {
      return this.#fail(running, boot, error);
    }
    this.#done(running, boot, head, payload);
  }

  #fail(running: Running, boot: number, error: unknown): void {
    this.#options.faults.note(running.name, error);
    // The text stays here: it may hold a path of this machine.
    this.#done(running, boot, encodeFailure(running.message.tag, running.callId, codeOf(error)), undefined);
  }

  #done(running: Running, boot: number, head: Buffer, payload: Uint8Array | undefined): void {
    this.#requestBytes -= running.requestBytes;
    this.#replyBytes -= running.message.replyPayload;
    if (boot !== this.#boot) return;
    this.#running.delete(running.callId);
    if (!running.message.idempotent) this.#cache.keep(running.callId, head);
    this.#send(running.path, payload === undefined ? [head] : [head, payload]);
    if (this.#held.length > 0) this.#resume();
  }

  #send(path: ChannelPath, pieces: readonly Uint8Array[]): void {
    const usable = path.ended ? this.#options.activePath() : path;
    // Without a path the reply is dropped: its caller sends the call again on the next one.
    if (usable === undefined) return;
    const bytes = lengthOf(pieces);
    this.#replyBytes += bytes + FRAME_COST_BYTES;
    usable.send(laneOf(bytes), pieces, bytes + FRAME_COST_BYTES);
    if (this.#replyBytes <= MAX_UNTAKEN_BYTES) return;
    this.#options.malformed(usable);
    usable.close('broken');
  }

  repliesSent(bytes: number): void {
    this.#replyBytes -= bytes;
    if (this.#held.length > 0) this.#resume();
  }

  #resume(): void {
    if (this.#replyBytes > MAX_REPLY_BYTES / 2) return;
    const held = this.#held;
    this.#forgetHeld();
    for (const { frame, path } of held) this.request(frame, path);
  }

  cancel(frame: Frame, path: ChannelPath): void {
    const { callId, tag } = frame;
    const running = this.#running.get(callId);
    if (running !== undefined) {
      running.path = path;
      running.abort();
      return;
    }
    if (this.#cache.isAcknowledged(callId)) return;
    const kept = this.#cache.find(callId);
    if (kept !== undefined) return this.#send(path, [kept]);
    if (!this.#cache.hasRoom) return;
    // Not seen, or done and forgotten: should the request still come, it must not run.
    if (this.#heldIds.delete(callId)) {
      const others = this.#held.filter((held) => held.frame.callId !== callId);
      for (const { frame: held } of this.#held) if (held.callId === callId) this.#requestBytes -= held.bytes.length;
      this.#held = others;
    }
    const failure = encodeFailure(tag, callId, 'CANCELLED');
    this.#cache.keep(callId, failure);
    this.#send(path, [failure]);
  }

  acknowledge(fromCall: number, belowCall: number, path: ChannelPath): void {
    if (!this.#cache.acknowledge(fromCall, belowCall)) {
      this.#options.malformed(path);
      path.close('broken');
    }
  }

  /** The peer restarted, or is gone for good: nobody waits for these answers. */
  forget(): void {
    this.#boot += 1;
    for (const running of this.#running.values()) running.abort();
    this.#running.clear();
    this.#forgetHeld();
    this.#cache = createReplyCache();
  }

  #forgetHeld(): void {
    for (const { frame } of this.#held) this.#requestBytes -= frame.bytes.length;
    this.#held = [];
    this.#heldIds.clear();
  }

  tick(elapsedMs: number): void {
    for (const running of this.#running.values()) {
      running.ageMs += elapsedMs;
      running.signMs += elapsedMs;
      if (running.signMs < WORKING_EVERY_MS || running.ageMs > WORKING_FOR_MS) continue;
      running.signMs = 0;
      if (running.path.ready) {
        running.path.send(0, [encodeEmptyFrame('working', running.message.tag, running.callId)], 0);
      }
    }
  }
}

function lengthOf(pieces: readonly Uint8Array[]): number {
  let length = 0;
  for (const piece of pieces) length += piece.length;
  return length;
}
