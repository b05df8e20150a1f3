/** Addresses of TURN servers as users write them (RFC 7065): turn:host[:port][?transport=udp|tcp]. */
import { PeerfsError } from '../errors.ts';

/** RFC 8656 section 3.1. */
const TURN_PORT = 3478;

export interface TurnAddress {
  /** A name, or numeric without brackets. */
  readonly host: string;
  readonly port: number;
  /** How the server is reached; what it relays are datagrams. */
  readonly transport: 'udp' | 'tcp';
}

/** @throws CONFIG_INVALID */
export function parseTurnUrl(url: string): TurnAddress {
  const match = /^turn:(?:\[([0-9A-Fa-f:.]+)\]|([^\s:[\]?]+))(?::(\d{1,5}))?(?:\?transport=(udp|tcp))?$/.exec(url);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3] ?? TURN_PORT);
  if (host === undefined || port < 1 || port > 65_535) {
    throw new PeerfsError('CONFIG_INVALID', `"${url}" is not the address of a TURN server`, {
      hint: 'Write turn:host:port?transport=udp, or tcp. (TLS to the server is not needed: all is sealed.)',
    });
  }
  return { host, port, transport: match?.[4] === 'tcp' ? 'tcp' : 'udp' };
}
