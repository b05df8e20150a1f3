/**
 * Roaming: the address of a peer, and the challenge that lets it move. A packet from elsewhere only leads to a
 * challenge to that address; the path moves when the answer comes from there, so that whoever merely forwards our
 * packets cannot pull the path away for longer than it does. Pure.
 */
import { sameAddress, type UdpAddress } from './udp-port.ts';

const CHALLENGE_BYTES = 8;
/** Challenges are not sent more often than this. Milliseconds. */
const INTERVAL_MS = 200;

export class Roaming {
  remote: UdpAddress;
  readonly #random: (bytes: Uint8Array) => void;
  #candidate: UdpAddress | undefined;
  readonly #token = new Uint8Array(CHALLENGE_BYTES);
  #challengedAt = -Infinity;

  constructor(remote: UdpAddress, random: (bytes: Uint8Array) => void) {
    this.remote = remote;
    this.#random = random;
  }

  /** A packet opened that came from `from`. @returns the token of a challenge to send there, if one is due. */
  heardFrom(from: UdpAddress, now: number): Uint8Array | undefined {
    if (sameAddress(from, this.remote)) {
      this.remote = from; // the same object next time: a cheaper comparison
      return undefined;
    }
    if (now - this.#challengedAt < INTERVAL_MS) return undefined;
    this.#challengedAt = now;
    if (this.#candidate === undefined || !sameAddress(from, this.#candidate)) {
      this.#candidate = from;
      this.#random(this.#token);
    }
    return this.#token;
  }

  /** An answer came. @returns whether the path moved. */
  answered(token: Uint8Array, from: UdpAddress): boolean {
    if (this.#candidate === undefined || !sameAddress(from, this.#candidate)) return false;
    if (token.length !== CHALLENGE_BYTES || token.some((byte, i) => byte !== this.#token[i])) return false;
    this.remote = from;
    this.#candidate = undefined;
    return true;
  }
}
