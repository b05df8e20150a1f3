/**
 * UdpPort: the node's one UDP socket. Owns the socket, its batches and its counters; knows nothing of what the
 * datagrams hold.
 */

export interface UdpAddress {
  /** Numeric; IPv4 in dotted form also on a dual-stack socket, IPv6 without brackets. */
  readonly host: string;
  readonly port: number;
}

export interface UdpPortStatistics {
  readonly datagramsSent: number;
  readonly datagramsReceived: number;
  readonly bytesSent: number;
  readonly bytesReceived: number;
  /** Datagrams given up: the queue was full, or the network refused them. */
  readonly sendsDropped: number;
}

export interface UdpPort {
  /** Where it listens; the port is the real one when 0 was asked for. */
  readonly address: UdpAddress;
  readonly statistics: UdpPortStatistics;
  /** Sends one datagram, which is copied or gone when this returns. Never throws for the network's sake. */
  send(datagram: Uint8Array, to: UdpAddress): void;
  /**
   * Sends datagrams that lie one behind the other, all `segmentBytes` long but the last, which may be shorter.
   * The bytes are copied or gone when this returns.
   */
  sendBatch(datagrams: Uint8Array, segmentBytes: number, to: UdpAddress): void;
  /** Idempotent; after it nothing is received. Settles when the socket is gone. */
  close(): Promise<void>;
}

export interface UdpPortOptions {
  /** Numeric address to bind; '::' takes IPv4 too where the host allows (else IPv4 alone). */
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  /**
   * A datagram came. `datagram` is valid only during the call. The same `from` object may be given again for the
   * same address; compare with sameAddress().
   */
  readonly onDatagram: (datagram: Uint8Array, from: UdpAddress) => void;
  /** Use node:dgram alone, without batches. */
  readonly plain?: boolean;
}

export function sameAddress(a: UdpAddress, b: UdpAddress): boolean {
  return a === b || (a.port === b.port && a.host === b.host);
}

/** @throws PeerfsError ENVIRONMENT when the address cannot be bound. */
export function openUdpPort(options: UdpPortOptions): Promise<UdpPort> {
  void options;
  throw new Error('not built yet');
}
