/**
 * DatagramBatch: seals packets one behind the other into one buffer, as long as they can leave in one call
 * (equal lengths, the last may be shorter), and hands them to the port. Cuts packets that are longer than the path
 * takes into fragments.
 */
import { DATAGRAM_OVERHEAD_BYTES, type Session } from '../crypto/session.ts';
import { DATAGRAM_TYPES, FRAGMENT_HEADER_BYTES, MAX_DATAGRAM_FRAGMENTS } from '../wire/datagram.ts';
import type { UdpAddress, UdpPort } from './udp-port.ts';

/** Datagrams in one call: the kernel takes 64, and 64 KiB of them. */
const MAX_COUNT = 44;
const MAX_BYTES = 65_000;

export class DatagramBatch {
  remote: UdpAddress;
  /** Longest plain packet that goes in one datagram, bytes. */
  limitBytes: number;
  bytesSent = 0;
  datagramsSent = 0;
  readonly #port: Pick<UdpPort, 'sendBatch'>;
  readonly #session: Session;
  readonly #sealed = new Uint8Array(MAX_BYTES);
  #used = 0;
  #count = 0;
  #segment = 0;
  #last = 0;
  #fragmentId = 0;

  constructor(port: Pick<UdpPort, 'sendBatch'>, session: Session, remote: UdpAddress, limitBytes: number) {
    this.#port = port;
    this.#session = session;
    this.remote = remote;
    this.limitBytes = limitBytes;
  }

  /** @param plain may be used again when this returns. */
  add(plain: Uint8Array): void {
    if (plain.length > this.limitBytes) this.#addFragments(plain);
    else this.#seal(plain);
  }

  /** As add, whatever the length: for probing what the path takes. */
  addWhole(plain: Uint8Array): void {
    this.#seal(plain);
  }

  flush(): void {
    if (this.#count === 0) return;
    const used = this.#used;
    this.datagramsSent += this.#count;
    this.#used = 0;
    this.#count = 0;
    this.bytesSent += used;
    this.#port.sendBatch(this.#sealed.subarray(0, used), this.#segment, this.remote);
  }

  #seal(plain: Uint8Array): void {
    const size = plain.length + DATAGRAM_OVERHEAD_BYTES;
    if (
      this.#count > 0 &&
      (this.#count === MAX_COUNT ||
        this.#last !== this.#segment ||
        size > this.#segment ||
        this.#used + size > MAX_BYTES)
    ) {
      this.flush();
    }
    if (this.#count === 0) this.#segment = size;
    this.#used += this.#session.sealDatagram(plain, this.#sealed, this.#used);
    this.#last = size;
    this.#count++;
  }

  #addFragments(plain: Uint8Array): void {
    const room = this.limitBytes - FRAGMENT_HEADER_BYTES;
    const count = Math.ceil(plain.length / room);
    if (count > MAX_DATAGRAM_FRAGMENTS) return;
    const id = this.#fragmentId++;
    for (let index = 0; index < count; index++) {
      const part = plain.subarray(index * room, (index + 1) * room);
      const packet = new Uint8Array(FRAGMENT_HEADER_BYTES + part.length);
      packet.set([DATAGRAM_TYPES.fragment, id, id >>> 8, index, count]);
      packet.set(part, FRAGMENT_HEADER_BYTES);
      this.#seal(packet);
    }
  }
}

/** Packets of which not all fragments have come; the oldest are forgotten. */
const MAX_INCOMPLETE = 16;

export class FragmentJoiner {
  readonly #incomplete = new Map<number, (Uint8Array | undefined)[]>();

  /** @param packet a fragment packet, kept. @returns the whole packet if this was the last part missing. */
  push(packet: Uint8Array): Uint8Array | undefined {
    const id = (packet[1] ?? 0) | ((packet[2] ?? 0) << 8);
    const index = packet[3] ?? 0;
    const count = packet[4] ?? 0;
    if (packet.length <= FRAGMENT_HEADER_BYTES || count < 2 || count > MAX_DATAGRAM_FRAGMENTS || index >= count) {
      return undefined;
    }
    let parts = this.#incomplete.get(id);
    if (parts?.length !== count) {
      parts = new Array<Uint8Array | undefined>(count).fill(undefined);
      this.#incomplete.delete(id);
      this.#incomplete.set(id, parts);
      const oldest = this.#incomplete.keys().next().value;
      if (this.#incomplete.size > MAX_INCOMPLETE && oldest !== undefined) this.#incomplete.delete(oldest);
    }
    parts[index] = packet.subarray(FRAGMENT_HEADER_BYTES);
    const present = parts.filter((part) => part !== undefined);
    if (present.length < count) return undefined;
    this.#incomplete.delete(id);
    const whole = new Uint8Array(present.reduce((sum, part) => sum + part.length, 0));
    let at = 0;
    for (const part of present) {
      whole.set(part, at);
      at += part.length;
    }
    return whole;
  }
}
