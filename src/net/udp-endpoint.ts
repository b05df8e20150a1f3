/**
 * UdpEndpoint: the UDP half of an endpoint. Owns the port, tells datagrams apart, and repeats our own handshakes until
 * they are answered. Sessions are udp-sessions.ts; who is let in is the Handshaker's affair.
 *
 * A datagram is, in this order: one under a session's index that opens; the answer to a handshake we began; a
 * handshake; else it is dropped and counted. Its first bytes decide nothing.
 */
import type { Clock, Timer } from '../clock.ts';
import type { Initiation } from '../crypto/handshake.ts';
import type { Identity } from '../crypto/identity.ts';
import { PeerfsError } from '../errors.ts';
import { readAnswer, type Dialled, type DialTarget, type Handshaker } from './handshaker.ts';
import type { UdpPath } from './udp-path.ts';
import type { UdpAddress, UdpPort, UdpPortOptions } from './udp-port.ts';
import { UdpSessions } from './udp-sessions.ts';

/** Tuning. */
/** Message 1 is made anew after these pauses until an answer comes. Milliseconds. */
const RETRY_MS = [250, 500, 1000, 1500, 1500] as const;
/** Sessions answered but not confirmed, at most. */
const MAX_PROVISIONAL = 256;
/** Handshakes of ours under way at once. */
const MAX_INITIATIONS = 256;

export interface UdpEndpointOptions {
  readonly listen: { readonly host: string; readonly port: number };
  readonly openPort: (options: UdpPortOptions) => Promise<UdpPort>;
  readonly identity: Pick<Identity, 'dhPublicKey'>;
  readonly handshaker: Handshaker;
  readonly clock: Clock;
  /** A peer reached us, and can be dialled at `home` (port 0: it does not say). */
  readonly onPath: (peerId: string, path: UdpPath, home: UdpAddress) => void;
}

export interface UdpEndpoint {
  readonly port: number;
  /** Whether datagrams go and come in batches. */
  readonly batched: boolean;
  /** Datagrams that were nothing to us. */
  readonly dropped: number;
  /** Sessions that live, and their indices. */
  readonly sessions: { readonly size: number; readonly indices: number };
  /** Rejects ETIMEDOUT, INVITE_*, CANCELLED. */
  connect(target: DialTarget, signal: AbortSignal): Promise<Dialled>;
  close(): Promise<void>;
}

interface Pending {
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
  readonly #options: UdpEndpointOptions;
  readonly #port: UdpPort;
  readonly #pending = new Set<Pending>();
  #dropped = 0;

  constructor(options: UdpEndpointOptions, port: UdpPort) {
    const { clock, handshaker, identity } = options;
    this.#options = options;
    this.#port = port;
    this.sessions = new UdpSessions({ port, dhPublicKey: identity.dhPublicKey, handshaker, clock });
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
    if (this.sessions.input(datagram, from) || this.#finish(datagram, from)) return;
    if (!this.#options.handshaker.isMessage1(datagram)) this.#dropped += 1;
    else this.#answer(datagram, { ...from });
  }

  connect(target: DialTarget, signal: AbortSignal): Promise<Dialled> {
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
        if (pauseMs === undefined || this.#pending.size >= MAX_INITIATIONS) {
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
          initiation,
          done: ({ payload, keys }, remote) =>
            finish(() => {
              try {
                const { index: remoteIndex, name } = readAnswer(payload);
                const { publicKey } = target;
                const path = this.sessions.add({ publicKey, keys, localIndex, remoteIndex, remote, isInitiator: true });
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
        this.#port.send(pending.initiation.message, { host: target.host, port: target.port });
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

  /** The answer may come from another address of a host with several: whoever opens it is meant. */
  #finish(datagram: Uint8Array, from: UdpAddress): boolean {
    for (const pending of this.#pending) {
      const done = pending.initiation.finish(datagram);
      if (done === undefined) continue;
      pending.done(done, { ...from });
      return true;
    }
    return false;
  }

  #answer(message1: Uint8Array, from: UdpAddress): void {
    const { handshaker, onPath } = this.#options;
    if (this.sessions.provisional >= MAX_PROVISIONAL) return;
    let localIndex = 0;
    const answer = handshaker.answer(message1, from.host, () => (localIndex = this.sessions.newIndex()));
    if (answer === undefined) return;
    this.#port.send(answer.message, from);
    if (answer.keys === undefined) return;
    const { peerId, publicKey, keys, remoteIndex, remotePort } = answer;
    const home = { host: from.host, port: remotePort };
    this.sessions.add({
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
