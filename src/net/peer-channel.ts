/**
 * PeerChannel: the implementation of Channel (src/net/channel.ts) over whatever paths there are.
 */
import type { Clock } from '../clock.ts';
import type { Logger } from '../log.ts';
import type { Channel, Handlers, PushHandlers } from './channel.ts';
import type { Path } from './path.ts';

/** `goodbye` reasons of src/wire/schema.ts. */
export type CloseReason = 'shutting-down' | 'removed';

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
  /** A path would be useful now: dial without waiting for the back-off. @returns a function that stops it. */
  onPathNeeded(listener: () => void): () => void;
  /** Someone is about to use the peer: asks for a path when there is none. */
  touch(): void;
  /** Says goodbye, fails what is in flight with EHOSTDOWN, closes all paths. Idempotent. */
  close(reason: CloseReason): void;
}

export interface PeerChannelStatistics {
  readonly callsSent: number;
  readonly callsAnswered: number;
  readonly callsResent: number;
  /** Frames that broke the protocol. */
  readonly malformed: number;
  /** Pushes that this version does not know. */
  readonly unknownPushes: number;
}

export function createPeerChannel(options: PeerChannelOptions): PeerChannel {
  throw new Error(`not yet for ${options.peerId}`);
}
