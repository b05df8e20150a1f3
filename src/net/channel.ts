/**
 * Channel: calls between two peers, whatever paths there are at the moment. This file holds the interface that
 * src/fs builds on; src/net/peer-channel.ts is the implementation.
 */
import type { CallName, PushName, ReplyOf, RequestOf } from '../wire/schema.ts';

/**
 * live: calls run. reconnecting: calls wait. offline: calls fail with EHOSTDOWN at once.
 * (docs/architecture.md has the table of what changes the state.)
 */
export type ChannelState = 'live' | 'reconnecting' | 'offline';

export interface CallOptions<M extends CallName = CallName> {
  /** Bytes after the request's fields; it may be sent twice and must never change after, not even when the call was aborted. */
  readonly payload?: Uint8Array;
  /** Aborting cancels the call: it rejects with EINTR, the server is told. */
  readonly signal?: AbortSignal;
  /** The call may stay unanswered for ever (lock waits): no deadline counts while the peer is alive. */
  readonly unbounded?: boolean;
  /** The call was aborted but had succeeded at the server: what it made (a handle, a lock) is to be given back. */
  readonly late?: (result: CallResult<M>) => void;
}

export interface CallResult<M extends CallName> {
  readonly reply: ReplyOf<M>;
  /** A view of the received frame, the caller's to keep. Empty if the reply had none. */
  readonly payload: Uint8Array;
}

export interface Channel {
  /** The peer's id (base32 of its public key). */
  readonly peerId: string;
  readonly state: ChannelState;
  /** New at each start of the peer's node; undefined before the first contact. */
  readonly remoteBootId: string | undefined;
  /**
   * Sends a request and waits for its reply. Runs exactly once within one boot of the server unless the message is
   * idempotent. Rejects with the server's error code; ETIMEDOUT after too long without progress, EHOSTDOWN when
   * offline, EINTR when aborted, OUTCOME_UNKNOWN when the server restarted and the message is not idempotent.
   */
  call<M extends CallName>(name: M, request: RequestOf<M>, options?: CallOptions<M>): Promise<CallResult<M>>;
  /** One way; dropped when there is no live path. */
  push<M extends PushName>(name: M, request: RequestOf<M>): void;
  /** @returns a function that stops it. */
  onState(listener: (state: ChannelState) => void): () => void;
  /** The peer's boot id differs from the one before: its handles, locks and leases are gone. */
  onRestart(listener: () => void): () => void;
}

/** What the answering side makes of a call. */
export interface Answer<M extends CallName> {
  readonly reply: ReplyOf<M>;
  readonly payload?: Uint8Array;
}

export interface CallContext {
  /** Aborted when the caller cancels or is gone for good. */
  readonly signal: AbortSignal;
  /** A view of the received frame; the handler's to keep. */
  readonly payload: Uint8Array;
}

/** Answers the calls of one peer: exhaustive, so that a message added to the schema does not compile without it. */
export type Handlers = {
  readonly [M in CallName]: (request: RequestOf<M>, context: CallContext) => Promise<Answer<M>>;
};

export type PushHandlers = { readonly [M in PushName]?: (request: RequestOf<M>) => void };
