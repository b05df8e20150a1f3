/**
 * Path: one authenticated, encrypted way to a peer, made by a finished handshake. It carries frames, whole, in
 * order within a lane, and exactly once as long as it lives; what was under way when it died is lost, and the
 * channel above sends it again on another path.
 *
 * Implementations: src/net/tcp-path.ts, src/net/udp-path.ts, test/net/memory-path.ts;
 * test/net/path-contract.ts holds for all.
 */

export type PathKind = 'udp' | 'tcp' | 'turn' | 'tor';

/**
 * Lanes are independent of each other: a full one does not delay the others.
 * 0: calls and replies without much data. 1: frames that carry file contents.
 */
export type Lane = 0 | 1;
export const LANES = 2;

export type PathEnd =
  | 'closed' // by us
  | 'closed-by-peer'
  | 'timeout' // nothing heard for too long
  | 'broken'; // the network said so, or the peer broke the protocol

/** What each kind is like to those who use it. */
export const SLOW_PATHS: ReadonlySet<PathKind> = new Set(['tor']);

export interface PathStatistics {
  /** Smoothed round trip, milliseconds; undefined until measured. */
  readonly rttMs: number | undefined;
  readonly bytesSent: number;
  readonly bytesReceived: number;
  /** Datagrams sent (0 for streams). */
  readonly datagramsSent: number;
  /** Of them those that had to be sent again. */
  readonly retransmissions: number;
  /** Milliseconds of Clock.now() when the peer was last heard. */
  readonly lastHeardAt: number;
  /** The far end has a question of ours and does not answer: that its kernel takes bytes says nothing of the peer. */
  readonly isOverdue?: boolean;
}

export interface PathEvents {
  /** A whole frame. `frame` is the receiver's to keep; it may be memory of the frame pool, to be given back. */
  frame(lane: Lane, frame: Uint8Array): void;
  /** After a send that returned false: there is room again in this lane. */
  writable(lane: Lane): void;
  /** Once. After it no other event comes. */
  end(reason: PathEnd): void;
}

export interface Path {
  readonly kind: PathKind;
  /** Address of the far end as host:port, for status only. */
  readonly remote: string;
  readonly statistics: PathStatistics;
  /** Events begin after this call; called once. */
  start(events: PathEvents): void;
  /**
   * Queues a frame given in pieces, which must not change from then on. Memory of the frame pool belongs to the path,
   * which may give it back; who needs it longer (a request may have to be sent again) takes other memory.
   * @returns false when the lane holds more than its high-water mark: wait for `writable`.
   * A frame is never refused while the path lives; after its end it is dropped.
   */
  send(lane: Lane, pieces: readonly Uint8Array[]): boolean;
  /** Asks the far end for a sign of life; `frame`s, an answer, or `end('timeout')` follow. */
  probe(): void;
  /** Idempotent. Tells the peer if it can; no `end` event follows. */
  close(): void;
}
