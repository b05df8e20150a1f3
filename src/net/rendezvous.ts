/**
 * Rendezvous: a way for two nodes that cannot reach each other to exchange signals (src/wire/candidate.ts) through
 * something both can reach. Implementations: the DHT (src/net/dht.ts), a peer in common (src/net/common-peers.ts), in memory
 * (test/net/memory-rendezvous.ts); test/net/rendezvous-contract.ts holds for all. Tor and the LAN are no such ways: an
 * onion service is a path (src/net/tor.ts), and a hello on the LAN names its address by itself (src/net/lan.ts).
 */

export type RendezvousWay = 'dht' | 'peer';

/** What two nodes share and nobody else knows; keys of places, seals and signatures come from it (src/crypto/meeting.ts). */
export interface MeetingSecret {
  /** A pair secret (32 bytes), or an invitation's token (16). */
  readonly secret: Uint8Array;
  /** 0: the node with the lower id, or the invitation's creator; 1: the other. */
  readonly side: 0 | 1;
}

export interface MeetingOptions extends MeetingSecret {
  /** Whom it is with, if known: a peer in common is somebody else. */
  readonly peerId?: string;
  /** An encoded Signal of the other side, opened, and other than the last. The receiver's to keep. */
  readonly onSignal: (signal: Uint8Array) => void;
}

export interface MeetingStatus {
  /**
   * idle: not looking; looking: nothing found yet; found: a signal of the other side came; unavailable: the way itself
   * does not work now (no DHT node answers, no peer in common is online).
   */
  readonly state: 'idle' | 'looking' | 'found' | 'unavailable';
  /** Clock.wallMs() of the last change of state; undefined before the first. */
  readonly at: number | undefined;
}

export interface Meeting {
  readonly status: MeetingStatus;
  /** Says this to the other side from now on (published again as the way demands), instead of what was said before. */
  say(signal: Uint8Array): void;
  /**
   * active: look for the other side's signal as often as the way allows; passive: seldom, for somebody who may come
   * some day; idle: not at all, and nothing is published any more.
   */
  attend(mode: 'active' | 'passive' | 'idle'): void;
  /** Idempotent. */
  close(): void;
}

export interface Rendezvous {
  readonly way: RendezvousWay;
  /** Begins idle. */
  meet(options: MeetingOptions): Meeting;
}
