/**
 * Relay: a place at a server from which datagrams can be sent and at which they arrive (TURN, RFC 8656), as the endpoint
 * sees it. Implementation: src/net/turn.ts.
 */
import type { UdpAddress, UdpPort } from './udp-port.ts';

export interface Relay extends Pick<UdpPort, 'send' | 'sendBatch'> {
  /** Of the server, as the user wrote it; for status. */
  readonly server: string;
  /** How the server is reached. */
  readonly transport: 'udp' | 'tcp';
  /** The relayed address, ours to tell peers; undefined until allocated, and while it is lost. */
  readonly address: UdpAddress | undefined;
  /** One line for people when there is no address. */
  readonly fault: string | undefined;
  /** Lets datagrams of this host through (a permission, renewed until the relay closes). */
  permit(host: string): void;
  /** The network may be another one: asks the server whether it still knows us, now. */
  networkChanged(): void;
  /** The address came, changed or was lost. @returns a function that stops it. */
  onChange(listener: () => void): () => void;
  /** A datagram came by way of the server; valid only during the call. Set once, by the endpoint. */
  onDatagram(listener: (datagram: Uint8Array, from: UdpAddress) => void): void;
  /** Gives the allocation back. Idempotent. */
  close(): Promise<void>;
}
