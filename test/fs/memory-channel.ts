/**
 * Two Channels joined in memory: what one calls, the other's handlers answer, through the real codec. State, delay
 * and loss are in the test's hands.
 */
import { PeerfsError, codeOf } from '../../src/errors.ts';
import type {
  Answer,
  CallContext,
  CallOptions,
  CallResult,
  Channel,
  ChannelState,
  Handlers,
  Pace,
  PushHandlers,
} from '../../src/net/channel.ts';
import { decodeFields, encodeFields } from '../../src/wire/codec.ts';
import { MESSAGES, type CallName, type PushName, type ReplyOf, type RequestOf } from '../../src/wire/schema.ts';
import type { Fields, ValuesOf } from '../../src/wire/types.ts';

export interface MemoryChannel extends Channel {
  serve(handlers: Handlers, pushHandlers: PushHandlers): void;
  setState(state: ChannelState): void;
  pace: Pace;
  /** Tells the listeners that the far end is a new boot. */
  restarted(): void;
  /** Calls made from this end, by name. */
  readonly calls: Map<CallName, number>;
  /** Called with each call of this end that has been answered; the reply arrives when it settles. */
  beforeReply: (name: CallName) => Promise<void> | undefined;
  /** Called with each call of this end that was sent; it arrives when it settles. */
  beforeArrival: (name: CallName) => Promise<void> | undefined;
  /** Called before a call of this end is sent; what it throws, the call fails with. */
  beforeSend: (name: CallName) => void;
}

export function createMemoryChannels(): readonly [MemoryChannel, MemoryChannel] {
  const left = new MemoryEnd('right');
  const right = new MemoryEnd('left');
  left.other = right;
  right.other = left;
  return [left, right];
}

const through = <F extends Fields>(fields: F, values: ValuesOf<F>): ValuesOf<F> =>
  decodeFields(fields, encodeFields(fields, values));

type AnyHandler = (request: never, context: CallContext) => Promise<Answer<CallName>>;

class MemoryEnd implements MemoryChannel {
  readonly peerId: string;
  readonly calls = new Map<CallName, number>();
  other: MemoryEnd | undefined;
  state: ChannelState = 'live';
  pace: Pace = 'fast';
  remoteBootId: string | undefined = 'boot';
  beforeReply: MemoryChannel['beforeReply'] = () => undefined;
  beforeArrival: MemoryChannel['beforeArrival'] = () => undefined;
  beforeSend: MemoryChannel['beforeSend'] = () => undefined;
  handlers: Handlers | undefined;
  pushHandlers: PushHandlers = {};
  #callId = 0;
  readonly #stateListeners = new Set<(state: ChannelState) => void>();
  readonly #restartListeners = new Set<() => void>();

  constructor(peerId: string) {
    this.peerId = peerId;
  }

  serve(handlers: Handlers, pushHandlers: PushHandlers): void {
    this.handlers = handlers;
    this.pushHandlers = pushHandlers;
  }

  setState(state: ChannelState): void {
    this.state = state;
    for (const listener of this.#stateListeners) listener(state);
  }

  restarted(): void {
    for (const listener of this.#restartListeners) listener();
  }

  async call<M extends CallName>(name: M, request: RequestOf<M>, options: CallOptions<M> = {}): Promise<CallResult<M>> {
    if (this.state === 'offline') throw new PeerfsError('EHOSTDOWN');
    this.calls.set(name, (this.calls.get(name) ?? 0) + 1);
    this.beforeSend(name);
    const callId = (this.#callId += 1);
    const message = MESSAGES[name];
    const sent = through(message.request as Fields, request as ValuesOf<Fields>);
    const payload = options.payload === undefined ? new Uint8Array(0) : Uint8Array.from(options.payload);
    const cancel = new AbortController();
    const handler = this.other?.handlers?.[name] as AnyHandler | undefined;
    if (handler === undefined) throw new PeerfsError('UNSUPPORTED');
    const answered = (async (): Promise<CallResult<M>> => {
      // A frame never arrives within the call that sends it.
      await this.beforeArrival(name);
      let answer: Answer<CallName>;
      try {
        answer = await handler(sent as never, { callId, signal: cancel.signal, payload });
      } catch (error) {
        await this.beforeReply(name);
        throw new PeerfsError(codeOf(error), error instanceof Error ? error.message : '');
      }
      const reply = through(message.reply as Fields, answer.reply as ValuesOf<Fields>) as ReplyOf<M>;
      await this.beforeReply(name);
      return { reply, payload: answer.payload === undefined ? new Uint8Array(0) : Uint8Array.from(answer.payload) };
    })();
    const { signal, late } = options;
    if (signal === undefined) return answered;
    return new Promise((resolve, reject) => {
      let isGone = false;
      const gone = () => {
        isGone = true;
        cancel.abort();
        reject(new PeerfsError('EINTR'));
      };
      if (signal.aborted) gone();
      signal.addEventListener('abort', gone, { once: true });
      answered.then(
        (result) => {
          if (isGone) late?.(result);
          else resolve(result);
        },
        (error: unknown) => reject(error instanceof Error ? error : new PeerfsError('EIO')),
      );
    });
  }

  push<M extends PushName>(name: M, request: RequestOf<M>): void {
    if (this.state !== 'live') return;
    const handler = this.other?.pushHandlers[name] as ((request: RequestOf<M>) => void) | undefined;
    queueMicrotask(() => handler?.(request));
  }

  onState(listener: (state: ChannelState) => void): () => void {
    this.#stateListeners.add(listener);
    return () => this.#stateListeners.delete(listener);
  }

  onRestart(listener: () => void): () => void {
    this.#restartListeners.add(listener);
    return () => this.#restartListeners.delete(listener);
  }
}
