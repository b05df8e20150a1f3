/**
 * UdpPath: frames over KCP over sealed datagrams to one peer. Owns the inner packets, keepalive, roaming and the
 * path's MTU; does not own the socket (udp-port.ts) or the handshake, and sees only datagrams that opened.
 */
import type { Clock } from '../clock.ts';
import type { Session } from '../crypto/session.ts';
import type { Path, PathEnd } from './path.ts';
import type { UdpAddress, UdpPort } from './udp-port.ts';

export interface UdpPathOptions {
  readonly port: Pick<UdpPort, 'send' | 'sendBatch'>;
  /** The path's from now on: closed when the path ends. */
  readonly session: Session;
  readonly remote: UdpAddress;
  readonly clock: Clock;
  /** A packet of a new handshake inside the session came (what sendRekey sent at the far end). The listener's to keep. */
  readonly onRekey?: (body: Uint8Array) => void;
  /** Once, whatever ended the path, close() too: its session indices are free. Before PathEvents.end. */
  readonly onEnd?: (reason: PathEnd) => void;
  /** Runs a function soon, before waiting for events (setImmediate). For tests. */
  readonly defer?: (run: () => void) => void;
  /** Fills with unpredictable bytes (node:crypto). For tests. */
  readonly random?: (bytes: Uint8Array) => void;
}

export interface UdpPath extends Path {
  readonly kind: 'udp';
  readonly session: Session;
  readonly remoteAddress: UdpAddress;
  /** What session.openDatagram gave for a datagram from `from`. The bytes are the path's from then on. */
  input(plain: Uint8Array, from: UdpAddress): void;
  /** Sends one packet of a new handshake inside the session, at most 1,024 bytes; it may be lost. */
  sendRekey(body: Uint8Array): void;
}

export function createUdpPath(options: UdpPathOptions): UdpPath {
  void options;
  throw new Error('not built yet');
}
