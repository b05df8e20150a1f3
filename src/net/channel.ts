/**
 * Channel: calls between two peers, whatever paths there are at the moment. This file holds the interface that
 * src/fs builds on; src/net/peer-channel.ts is the implementation.
 */
import type { Path } from './path.ts';
import type { CallName, PushName, ReplyOf, RequestOf } from '../wire/schema.ts';

/**
 * live: calls run. reconnecting: calls wait. offline: calls fail with EHOSTDOWN at once.
 * (docs/architecture.md has the table of what changes the state.)
 */
export type ChannelState = 'live' | 'reconnecting' | 'offline';

/** slow: seconds for a round trip, and little room (SLOW_PATHS of src/net/path.ts): ask for nothing that may not be needed. */
export type Pace = 'fast' | 'slow';

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
  /** What the path is like that calls ride on now; 'fast' while there is none. */
  readonly pace: Pace;
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
  /** The caller's number for it, which grows with each: a call that comes twice has the same. */
  readonly callId: number;
  /** Aborted when the caller cancels or is gone for good. */
  readonly signal: AbortSignal;
  /** A view of the received frame; the handler's to keep. */
  readonly payload: Uint8Array;
}

/** Answers the calls of one peer: exhaustive, so that a message added to the schema does not compile without it. */
export type Handlers = {
  readonly [M in CallName]: (request: RequestOf<M>, context: CallContext) => Promise<Answer<M>>;
};

/** `path` is the one that it came on. */
export type PushHandlers = { readonly [M in PushName]?: (request: RequestOf<M>, path: Path) => void };

/** `goodbye` reasons of src/wire/schema.ts. */
export type CloseReason = 'shutting-down' | 'removed';

/** A Channel as the side that keeps it alive sees it. */
export interface PeerChannel extends Channel {
  /** What the peer calls itself; undefined before the first contact. */
  readonly remoteName: string | undefined;
  /** Every path that has not ended, ready or not. */
  readonly paths: readonly Path[];
  /** The path that calls ride on now. */
  readonly activePath: Path | undefined;
  readonly statistics: PeerChannelStatistics;
  /** Who answers the peer's calls and pushes; until it is called they fail with UNSUPPORTED. */
  serve(handlers: Handlers, pushHandlers: PushHandlers): void;
  /** Takes over the path (not yet started). A lower preference is used first. */
  attach(path: Path, preference: number): void;
  /** Closes one path: what is under way on it goes on another. */
  detach(path: Path): void;
  /** One way, on that path and no other; dropped when it has ended. */
  pushOn<M extends PushName>(path: Path, name: M, request: RequestOf<M>): void;
  /** A path can be used from now on. @returns a function that stops it. */
  onPath(listener: (path: Path) => void): () => void;
  /** A path has ended, whatever ended it. @returns a function that stops it. */
  onPathEnd(listener: (path: Path) => void): () => void;
  /** Calls ride on another path than before, or on none. @returns a function that stops it. */
  onActivePath(listener: (path: Path | undefined) => void): () => void;
  /** A path would be useful now: dial without waiting for the back-off. @returns a function that stops it. */
  onPathNeeded(listener: () => void): () => void;
  /** Someone is about to use the peer: asks for a path when there is none. */
  touch(): void;
  /** Says goodbye, fails what is in flight with EHOSTDOWN, closes all paths. Idempotent. */
  close(reason: CloseReason): void;
}

/** Counted since the channel was made. */
export interface PeerChannelStatistics {
  readonly callsSent: number;
  readonly callsAnswered: number;
  readonly callsResent: number;
  /** Frames that broke the protocol. */
  readonly malformed: number;
  /** Pushes that this version does not know. */
  readonly unknownPushes: number;
}
