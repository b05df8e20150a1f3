/**
 * The node's one UDP port as other protocols see it (STUN, TURN, the DHT): they share it with the sessions, so that
 * routers have one mapping for all. The endpoint implements it and gives guests what is not a session's.
 */
import type { UdpAddress } from './udp-port.ts';

export interface PortGuest {
  /**
   * A datagram that no session opened. `datagram` and `from` are valid only during the call.
   * @returns whether it was the answer to something that this guest had sent; others are asked if not.
   */
  input(datagram: Uint8Array, from: UdpAddress): boolean;
}

export interface SharedPort {
  /** Where it listens; '::' or '0.0.0.0' for all interfaces. */
  readonly address: UdpAddress;
  /** Copied or gone when this returns. Never throws for the network's sake. */
  send(datagram: Uint8Array, to: UdpAddress): void;
  /**
   * @param server the only address that this guest hears from, if it is one server's (TURN): it is asked first, before
   * sessions, about what comes from there.
   * @returns what takes the guest away.
   */
  admit(guest: PortGuest, server?: UdpAddress): () => void;
}
