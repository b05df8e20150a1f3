/**
 * UdpEndpoint: the UDP half of an endpoint. Owns the port, tells datagrams apart, and repeats our own handshakes until
 * they are answered: a handshake is the connectivity check and opens the router's way for the other side's (hole
 * punching). Sessions are udp-sessions.ts; who is let in is the Handshaker's affair.
 *
 * A datagram is, in this order: from a server that one guest of the port alone hears from; one under a session's index
 * that opens; the answer to a handshake we began; something that a guest waits for; a handshake; else it is dropped and
 * counted. Its first bytes decide nothing. What comes by a relay can be a session's or a handshake's only.
 */
import { randomFillSync, randomInt } from 'node:crypto';
import type { Clock, Timer } from '../clock.ts';
import type { Initiation } from '../crypto/handshake.ts';
import type { Identity } from '../crypto/identity.ts';
import { PeerfsError } from '../errors.ts';
import { readAnswer, type Dialled, type DialTarget, type Handshaker } from './handshaker.ts';
import type { Relay } from './relay.ts';
import type { PortGuest, SharedPort } from './shared-port.ts';
import type { UdpPath } from './udp-path.ts';
import { sameAddress, type UdpAddress, type UdpPort, type UdpPortOptions } from './udp-port.ts';
import { UdpSessions, type Base } from './udp-sessions.ts';

/** Tuning. */
/** Message 1 is made anew after these pauses until an answer comes. Milliseconds. */
const RETRY_MS = [250, 500, 1000, 1500, 1500] as const;
/** Sessions answered but not confirmed, at most. */
const MAX_PROVISIONAL = 256;
/** Handshakes of ours under way at once. */
const MAX_INITIATIONS = 256;
/** Of those, to one peer: it says where it is tried, and leaves room for others. */
const MAX_INITIATIONS_TO_ONE = 128;
/**
 * Whatever comes from elsewhere than where a handshake of ours went is tried as its answer so often, tokens a second and
 * burst: with many handshakes under way a flood of noise would cost milliseconds a datagram.
 */
const TRIALS = { perSecond: 5_000, burst: 5_000 } as const;
/** Length of datagrams that say nothing and open a router's way. Bytes. */
const PUNCH_LEAST_BYTES = 64;
const PUNCH_MOST_BYTES = 256;

export interface UdpEndpointOptions {
  readonly listen: { readonly host: string; readonly port: number };
  readonly openPort: (options: UdpPortOptions) => Promise<UdpPort>;
  readonly identity: Pick<Identity, 'dhPublicKey'>;
  readonly handshaker: Handshaker;
  readonly clock: Clock;
  /** A peer reached us, and can be dialled at `home` (port 0: it does not say). */
  readonly onPath: (peerId: string, path: UdpPath, home: UdpAddress) => void;
  /** Whether paths from port to port are wanted; without, only those by relays. */
  readonly direct: boolean;
  /** Whether this peer (undefined: any) said that it has this address at a relay. */
  readonly isRelayed?: ((address: UdpAddress, peerId: string | undefined) => boolean) | undefined;
}

export interface UdpEndpoint {
  readonly port: number;
  /** Whether datagrams go and come in batches. */
  readonly batched: boolean;
  /** Datagrams that were nothing to us. */
  readonly dropped: number;
  /** Sessions that live, and their indices. */
  readonly sessions: { readonly size: number; readonly indices: number };
  /** The port as other protocols see it. */
  readonly shared: SharedPort;
  /** Takes what comes by the relay until it is closed. */
  admitRelay(relay: Relay): void;
  /** Sends what looks like any datagram and means nothing: it opens our router's way for who is there. */
  punch(to: UdpAddress): void;
  /** Rejects ETIMEDOUT, INVITE_*, CANCELLED. */
  connect(target: DialTarget, signal: AbortSignal): Promise<Dialled>;
  close(): Promise<void>;
}

interface Pending {
  readonly publicKey: Uint8Array;
  /** Where the handshake went. */
  readonly to: UdpAddress;
  readonly initiation: Initiation;
  done(answer: NonNullable<ReturnType<Initiation['finish']>>, from: UdpAddress): void;
  cancel(): void;
}

/** @throws PeerfsError ENVIRONMENT when the address cannot be bound. */
export async function openUdpEndpoint(options: UdpEndpointOptions): Promise<UdpEndpoint> {
  const port = await options.openPort({
    ...options.listen,
    // Nothing is received before the next turn of the event loop.
    onDatagram: (datagram, from) => endpoint.datagram(datagram, from),
  });
  const endpoint = new DatagramEndpoint(options, port);
  return endpoint;
}

class DatagramEndpoint implements UdpEndpoint {
  readonly sessions: UdpSessions;
  readonly shared: SharedPort;
  readonly #options: UdpEndpointOptions;
  readonly #port: UdpPort;
  readonly #base: Base;
  readonly #guests = new Set<PortGuest>();
  /** Those that hear from one server alone. */
  readonly #servers = new Map<PortGuest, UdpAddress>();
  readonly #pending = new Set<Pending>();
  #trials: number = TRIALS.burst;
  #trialsAt = 0;
  #dropped = 0;

  constructor(options: UdpEndpointOptions, port: UdpPort) {
    const { clock, handshaker, identity } = options;
    this.#options = options;
    this.#port = port;
    this.#base = port;
    this.sessions = new UdpSessions({ dhPublicKey: identity.dhPublicKey, handshaker, clock });
    this.shared = {
      address: port.address,
      send: (datagram, to) => port.send(datagram, to),
      admit: (guest, server) => {
        if (server === undefined) this.#guests.add(guest);
        else this.#servers.set(guest, server);
        return () => {
          this.#guests.delete(guest);
          this.#servers.delete(guest);
        };
      },
    };
  }

  get port(): number {
    return this.#port.address.port;
  }

  get batched(): boolean {
    return this.#port.batched;
  }

  get dropped(): number {
    return this.#dropped;
  }

  /** @param from may be the same object for other datagrams of the same address: kept only as a copy. */
  datagram(datagram: Uint8Array, from: UdpAddress): void {
    for (const [guest, server] of this.#servers) {
      if (sameAddress(server, from) && guest.input(datagram, from)) return;
    }
    if (this.sessions.input(datagram, from, this.#base) || this.#finish(datagram, from)) return;
    for (const guest of this.#guests) if (guest.input(datagram, from)) return;
    this.#handshake(datagram, from, this.#base);
  }

  admitRelay(relay: Relay): void {
    relay.onDatagram((datagram, from) => {
      if (this.sessions.input(datagram, from, relay) || this.#finish(datagram, from)) return;
      this.#handshake(datagram, from, relay);
    });
  }

  punch(to: UdpAddress): void {
    this.#port.send(randomFillSync(new Uint8Array(randomInt(PUNCH_LEAST_BYTES, PUNCH_MOST_BYTES))), to);
  }

  connect(target: DialTarget, signal: AbortSignal): Promise<Dialled> {
    const base = target.via ?? this.#base;
    target.via?.permit(target.host);
    const to = { host: target.host, port: target.port };
    return new Promise((resolve, reject) => {
      const mine: Pending[] = [];
      let timer: Timer | undefined;
      const finish = (act: () => void): void => {
        timer?.cancel();
        signal.removeEventListener('abort', cancel);
        for (const pending of mine) {
          this.#pending.delete(pending);
          pending.initiation.abandon();
        }
        act();
      };
      const cancel = () => finish(() => reject(new PeerfsError('CANCELLED', 'no longer wanted')));
      const expired = (): void => {
        const pauseMs = RETRY_MS[mine.length];
        if (pauseMs === undefined || !this.#hasRoomFor(target.publicKey)) {
          return finish(() => reject(new PeerfsError('ETIMEDOUT', 'no answer')));
        }
        const localIndex = this.sessions.newIndex();
        let initiation: Initiation;
        try {
          initiation = this.#options.handshaker.begin(target, localIndex);
        } catch (error) {
          // The book could not be written; this may be a timer's call, with nobody above to catch it.
          return finish(() => reject(error instanceof Error ? error : new PeerfsError('EIO')));
        }
        const pending: Pending = {
          publicKey: target.publicKey,
          to,
          initiation,
          done: ({ payload, keys }, remote) =>
            finish(() => {
              try {
                const { index: remoteIndex, name } = readAnswer(payload);
                const { publicKey } = target;
                const kind = target.kind === 'turn' ? 'turn' : 'udp';
                const path = this.sessions.add({
                  base,
                  kind,
                  publicKey,
                  keys,
                  localIndex,
                  remoteIndex,
                  remote,
                  isInitiator: true,
                });
                resolve({ path, name });
              } catch (error) {
                keys.destroy();
                reject(error instanceof Error ? error : new PeerfsError('EIO'));
              }
            }),
          cancel,
        };
        mine.push(pending);
        this.#pending.add(pending);
        base.send(pending.initiation.message, to);
        timer = this.#options.clock.after(pauseMs, expired);
      };
      signal.addEventListener('abort', cancel);
      expired();
    });
  }

  async close(): Promise<void> {
    for (const { cancel } of this.#pending) cancel();
    this.sessions.close();
    await this.#port.close();
  }

  #hasRoomFor(publicKey: Uint8Array): boolean {
    if (this.#pending.size >= MAX_INITIATIONS) return false;
    let count = 0;
    for (const pending of this.#pending) if (Buffer.compare(pending.publicKey, publicKey) === 0) count += 1;
    return count < MAX_INITIATIONS_TO_ONE;
  }

  /** The answer may come from another address of a host with several: whoever opens it is meant. */
  #finish(datagram: Uint8Array, from: UdpAddress): boolean {
    if (this.#pending.size === 0) return false;
    const elsewhere: Pending[] = [];
    for (const pending of this.#pending) {
      if (!sameAddress(pending.to, from)) elsewhere.push(pending);
      else if (this.#finishes(pending, datagram, from)) return true;
    }
    return this.#mayTry(elsewhere.length) && elsewhere.some((pending) => this.#finishes(pending, datagram, from));
  }

  #finishes(pending: Pending, datagram: Uint8Array, from: UdpAddress): boolean {
    const done = pending.initiation.finish(datagram);
    if (done !== undefined) pending.done(done, { ...from });
    return done !== undefined;
  }

  #mayTry(count: number): boolean {
    const now = this.#options.clock.now();
    const more = ((now - this.#trialsAt) / 1000) * TRIALS.perSecond;
    this.#trials = Math.min(TRIALS.burst, this.#trials + more);
    this.#trialsAt = now;
    if (this.#trials < count) return false;
    this.#trials -= count;
    return true;
  }

  #handshake(datagram: Uint8Array, from: UdpAddress, base: Base): void {
    if (!this.#options.handshaker.isMessage1(datagram)) this.#dropped += 1;
    else this.#answer(datagram, { ...from }, base);
  }

  #answer(message1: Uint8Array, from: UdpAddress, base: Base): void {
    const { handshaker, onPath, isRelayed, direct } = this.#options;
    const isDirectFor = (peerId?: string) => base === this.#base && isRelayed?.(from, peerId) !== true;
    if (this.sessions.provisional >= MAX_PROVISIONAL || (!direct && isDirectFor())) return;
    let localIndex = 0;
    const answer = handshaker.answer(message1, from.host, () => (localIndex = this.sessions.newIndex()));
    if (answer === undefined) return;
    // It is another peer's relay, or was said to be one.
    if (answer.keys !== undefined && !direct && isDirectFor(answer.peerId)) return answer.keys.destroy();
    base.send(answer.message, from);
    if (answer.keys === undefined) return;
    const { peerId, publicKey, keys, remoteIndex, remotePort } = answer;
    const isDirect = isDirectFor(peerId);
    const home = { host: from.host, port: isDirect ? remotePort : 0 };
    this.sessions.add({
      base,
      kind: isDirect ? 'udp' : 'turn',
      publicKey,
      keys,
      localIndex,
      remoteIndex,
      remote: from,
      isInitiator: false,
      onConfirmed: (path) => onPath(peerId, path, home),
    });
  }
}
