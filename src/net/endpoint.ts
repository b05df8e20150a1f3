/**
 * Endpoint: where a node meets the network. Owns its one UDP port and its TCP listener, tells the datagrams of sessions
 * from handshakes and from noise, and makes Paths of finished handshakes, both those it began (connect) and those it
 * answered (onPath). Who is let in is the Responder's affair; when to dial, the Link's (link.ts).
 *
 * A datagram is, in this order: one under a session's index that opens; the answer to a handshake we began; a
 * handshake; else it is dropped and counted. Its first bytes decide nothing.
 */
import { randomInt } from 'node:crypto';
import type { Socket } from 'node:net';
import type { Clock, Timer } from '../clock.ts';
import { initiate, type Initiation } from '../crypto/handshake.ts';
import { peerIdOf, type Identity } from '../crypto/identity.ts';
import { createSession, indexMaskKey, unmaskIndex, type Session } from '../crypto/session.ts';
import type { SessionKeys } from '../crypto/session-keys.ts';
import { createStream } from '../crypto/stream.ts';
import { PeerfsError } from '../errors.ts';
import type { Logger } from '../log.ts';
import { decodeStruct, encodeStruct } from '../wire/codec.ts';
import {
  HANDSHAKE_ANSWER,
  HANDSHAKE_REQUEST,
  HANDSHAKE_RESULT,
  PURPOSE,
  type HandshakeAnswer,
} from '../wire/packets.ts';
import { LIMITS } from '../wire/schema.ts';
import { keepKeysFresh } from './fresh-keys.ts';
import type { Path, PathKind } from './path.ts';
import type { PeerBook } from './peer-book.ts';
import { createRateLimit } from './rate-limit.ts';
import { createRekeying, type Rekeying } from './rekeying.ts';
import { createResponder } from './responder.ts';
import { createTcpPath, PACKET_TYPE_BYTES, type TcpPath } from './tcp-path.ts';
import { dialTcp, listenTcp, type TcpListener } from './tcp-port.ts';
import { createUdpPath, type UdpPath } from './udp-path.ts';
import { openUdpPort, type UdpAddress, type UdpPort } from './udp-port.ts';

/** Tuning. Milliseconds. */
/** Message 1 is made anew after these pauses until an answer comes. */
const UDP_RETRY_MS = [250, 500, 1000, 1500, 1500] as const;
const TCP_DIAL_MS = 5000;
/** An answered session that nothing comes under is forgotten after this. */
const PROVISIONAL_MS = 10_000;
/** Handshakes from strangers: tokens a second and burst, for one source and for all. */
const HANDSHAKES = { perSecond: 10, burst: 30, totalPerSecond: 400, totalBurst: 800 } as const;
/** Sessions answered but not confirmed, at most. */
const MAX_PROVISIONAL = 256;
/** Handshakes of ours under way at once. */
const MAX_INITIATIONS = 256;

export interface EndpointOptions {
  readonly identity: Identity;
  readonly book: PeerBook;
  /** What this node calls itself, told to peers in handshakes. */
  readonly name: string;
  /** Numeric address; '::' and '0.0.0.0' for all. Port 0: any free one. UDP and TCP have the same. */
  readonly listen: { readonly host: string; readonly port: number };
  readonly paths: readonly PathKind[];
  readonly clock: Clock;
  readonly log: Logger;
  /** A peer reached us; the path is the receiver's from now on. */
  readonly onPath: (peerId: string, path: Path) => void;
  /** Somebody came by an invitation: the book has a new or renewed peer. Before its onPath. */
  readonly onJoined: (peerId: string) => void;
  /** Use node:dgram alone. For tests and odd kernels. */
  readonly plainUdp?: boolean;
}

export interface DialTarget {
  /** Ed25519 key of who is expected there. */
  readonly publicKey: Uint8Array;
  /** Pair secret, or an invitation's token. */
  readonly psk: Uint8Array;
  readonly purpose: 'known' | 'invitation';
  readonly kind: PathKind;
  readonly host: string;
  readonly port: number;
}

export interface Dialled {
  readonly path: Path;
  /** What the peer calls itself. */
  readonly name: string;
}

export interface EndpointCounters {
  /** Datagrams that were nothing to us. */
  readonly datagramsDropped: number;
  /** Handshakes not looked at because their source, or all together, made too many. */
  readonly handshakesLimited: number;
  readonly handshakesRefused: number;
  readonly connectionsDropped: number;
}

export interface Endpoint {
  /** Where it listens; the port is the same for UDP and TCP. */
  readonly address: { readonly host: string; readonly port: number };
  readonly paths: readonly PathKind[];
  readonly counters: EndpointCounters;
  /**
   * Makes a path to a peer. Rejects ETIMEDOUT or EHOSTDOWN when nobody answers, INVITE_USED, INVITE_REVOKED or
   * INVITE_EXPIRED when the peer says so, CANCELLED when aborted.
   */
  connect(target: DialTarget, signal: AbortSignal): Promise<Dialled>;
  /** Ends the sockets and all paths. Idempotent. */
  close(): Promise<void>;
}

interface UdpSession {
  readonly peerId: string;
  readonly session: Session;
  readonly path: UdpPath;
  /** Where a peer that came by itself can be dialled. */
  readonly home: UdpAddress | undefined;
  provisional: boolean;
}

interface NewUdpSession {
  readonly peerId: string;
  readonly publicKey: Uint8Array;
  readonly keys: SessionKeys;
  readonly localIndex: number;
  readonly remoteIndex: number;
  readonly remote: UdpAddress;
  readonly home?: UdpAddress;
  readonly isInitiator: boolean;
}

interface PendingInitiation {
  readonly initiation: Initiation;
  done(answer: HandshakeAnswer, keys: SessionKeys, from: UdpAddress): void;
}

export async function openEndpoint(options: EndpointOptions): Promise<Endpoint> {
  const endpoint = new NodeEndpoint(options);
  await endpoint.open();
  return endpoint;
}

class NodeEndpoint implements Endpoint {
  readonly paths: readonly PathKind[];
  readonly counters = { datagramsDropped: 0, handshakesLimited: 0, handshakesRefused: 0, connectionsDropped: 0 };
  readonly #options: EndpointOptions;
  readonly #responder;
  readonly #limit;
  readonly #maskKey: Uint8Array;
  readonly #sessions = new Map<number, UdpSession>();
  readonly #initiations = new Set<PendingInitiation>();
  readonly #open = new Set<Path>();
  #provisional = 0;
  #port: UdpPort | undefined;
  #listener: TcpListener | undefined;
  #closed = false;

  constructor(options: EndpointOptions) {
    const { identity, book, name, clock, onJoined } = options;
    this.#options = options;
    this.paths = options.paths;
    this.#maskKey = indexMaskKey(identity.dhPublicKey);
    this.#responder = createResponder({ identity, book, name, onJoined });
    this.#limit = createRateLimit({ clock, ...HANDSHAKES });
  }

  get address(): { readonly host: string; readonly port: number } {
    return { host: this.#options.listen.host, port: this.#port?.address.port ?? this.#listener?.port ?? 0 };
  }

  /** UDP first: a free UDP port is asked for, and TCP takes the same; another is tried when that one is taken. */
  async open(): Promise<void> {
    const { listen, paths } = this.#options;
    const attempts = listen.port === 0 && paths.includes('udp') && paths.includes('tcp') ? 10 : 1;
    for (let attempt = 1; ; attempt++) {
      try {
        if (paths.includes('udp')) {
          this.#port = await openUdpPort({
            ...listen,
            onDatagram: (datagram, from) => this.#datagram(datagram, from),
            ...(this.#options.plainUdp === true ? { plain: true } : {}),
          });
        }
        if (paths.includes('tcp')) this.#listener = await this.#listenTcp(this.#port?.address.port ?? listen.port);
        return;
      } catch (error) {
        await this.#port?.close();
        this.#port = undefined;
        if (attempt >= attempts) throw error;
      }
    }
  }

  async connect(target: DialTarget, signal: AbortSignal): Promise<Dialled> {
    if (this.#closed) throw new PeerfsError('CANCELLED', 'the node is stopping');
    if (signal.aborted) throw new PeerfsError('CANCELLED', 'no longer wanted');
    if (target.kind === 'udp' && this.#port !== undefined) return this.#connectUdp(target, this.#port, signal);
    if (target.kind === 'tcp') return this.#connectTcp(target, signal);
    throw new PeerfsError('ENVIRONMENT', `paths of kind ${target.kind} are not in use`);
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    for (const { initiation } of this.#initiations) initiation.abandon();
    this.#initiations.clear();
    for (const path of [...this.#open]) path.close();
    await Promise.all([this.#listener?.close(), this.#port?.close()]);
  }

  // --- UDP

  #datagram(datagram: Uint8Array, from: UdpAddress): void {
    const index = unmaskIndex(this.#maskKey, datagram);
    const known = index === undefined ? undefined : this.#sessions.get(index);
    const plain = known?.session.openDatagram(datagram);
    if (known !== undefined && plain !== undefined) {
      if (known.provisional) this.#confirm(known);
      known.path.input(plain, from);
      return;
    }
    if (this.#finishInitiation(datagram, from)) return;
    this.#answerDatagram(datagram, from);
  }

  #finishInitiation(datagram: Uint8Array, from: UdpAddress): boolean {
    for (const pending of this.#initiations) {
      // The answer may come from another address of a host with several: whoever opens it is meant.
      const done = pending.initiation.finish(datagram);
      if (done === undefined) continue;
      try {
        pending.done(decodeStruct(HANDSHAKE_ANSWER, done.payload), done.keys, { ...from });
      } catch {
        done.keys.destroy();
      }
      return true;
    }
    return false;
  }

  #answerDatagram(datagram: Uint8Array, from: UdpAddress): void {
    if (!this.#limit.take(from.host)) {
      this.counters.handshakesLimited += 1;
      return;
    }
    if (this.#provisional >= MAX_PROVISIONAL) return;
    let localIndex = 0;
    const answer = this.#responder.answer(datagram, () => (localIndex = this.#newIndex()));
    if (answer === undefined) {
      this.counters.datagramsDropped += 1;
      return;
    }
    this.#port?.send(answer.message, { ...from });
    if (answer.keys === undefined) {
      this.counters.handshakesRefused += 1;
      return;
    }
    const { peerId, publicKey, keys, remoteIndex } = answer;
    const udp = this.#udpSession({
      peerId,
      publicKey,
      keys,
      localIndex,
      remoteIndex,
      remote: { ...from },
      home: { host: from.host, port: answer.remotePort },
      isInitiator: false,
    });
    this.#provisional += 1;
    this.#options.clock.after(PROVISIONAL_MS, () => {
      if (udp.provisional) udp.path.close();
    });
  }

  /** A datagram opened under an answered session: the peer has the keys, the path is real. */
  #confirm(udp: UdpSession): void {
    udp.provisional = false;
    this.#provisional -= 1;
    if (udp.home !== undefined) this.#remember(udp.peerId, 'udp', udp.home);
    this.#options.onPath(udp.peerId, udp.path);
  }

  /** The peer said where it can be dialled: so that whichever of the two restarts finds the other at once. */
  #remember(peerId: string, kind: PathKind, { host, port }: UdpAddress): void {
    if (port !== 0 && host !== '') this.#options.book.rememberAddress(peerId, kind, host, port);
  }

  #udpSession(made: NewUdpSession): UdpSession {
    const { clock } = this.#options;
    const port = this.#port;
    if (port === undefined) throw new PeerfsError('ENVIRONMENT', 'no UDP port');
    const { peerId, keys, localIndex, remoteIndex, remote, isInitiator } = made;
    const session = createSession({ keys, localIndex, remoteIndex, now: clock.now() });
    const path: UdpPath = createUdpPath({
      port,
      session,
      remote,
      clock,
      onRekey: (body) => keeper.received(body),
      onEnd: () => {
        keeper.close();
        for (const [index, known] of this.#sessions) if (known === udp) this.#sessions.delete(index);
        if (udp.provisional) this.#provisional -= 1;
        udp.provisional = false;
        this.#open.delete(path);
      },
    });
    const udp: UdpSession = { peerId, session, path, home: made.home, provisional: !isInitiator };
    const keeper = keepKeysFresh({
      session,
      clock,
      rekeying: this.#rekeying(made.publicKey, isInitiator, () => this.#newIndex()),
      send: (body) => path.sendRekey(body),
      onIndices: (indices) => {
        for (const [index, known] of this.#sessions) {
          if (known === udp && !indices.includes(index)) this.#sessions.delete(index);
        }
        for (const index of indices) this.#sessions.set(index, udp);
      },
    });
    this.#sessions.set(localIndex, udp);
    this.#open.add(path);
    return udp;
  }

  #connectUdp(target: DialTarget, port: UdpPort, signal: AbortSignal): Promise<Dialled> {
    const { clock } = this.#options;
    const to: UdpAddress = { host: target.host, port: target.port };
    const mine: PendingInitiation[] = [];
    return new Promise((resolve, reject) => {
      let tries = 0;
      let timer: Timer | undefined;
      const finish = (act: () => void): void => {
        timer?.cancel();
        signal.removeEventListener('abort', aborted);
        for (const pending of mine) {
          this.#initiations.delete(pending);
          pending.initiation.abandon();
        }
        act();
      };
      const aborted = () => finish(() => reject(new PeerfsError('CANCELLED', 'no longer wanted')));
      const expired = (): void => {
        const pause = UDP_RETRY_MS[tries];
        if (pause === undefined || this.#initiations.size >= MAX_INITIATIONS) {
          return finish(() => reject(new PeerfsError('ETIMEDOUT', 'no answer')));
        }
        tries += 1;
        const localIndex = this.#newIndex();
        const pending: PendingInitiation = {
          initiation: this.#initiate(target, localIndex),
          done: (answer, keys, from) =>
            finish(() => {
              const refusal = refusalOf(answer);
              if (refusal !== undefined) {
                keys.destroy();
                return reject(refusal);
              }
              const { publicKey } = target;
              const { path } = this.#udpSession({
                peerId: peerIdOf(publicKey),
                publicKey,
                keys,
                localIndex,
                remoteIndex: answer.index,
                remote: from,
                isInitiator: true,
              });
              resolve({ path, name: answer.name });
            }),
        };
        mine.push(pending);
        this.#initiations.add(pending);
        port.send(pending.initiation.message, to);
        timer = clock.after(pause, expired);
      };
      signal.addEventListener('abort', aborted);
      expired();
    });
  }

  // --- TCP

  async #listenTcp(port: number): Promise<TcpListener> {
    const { identity, listen, clock } = this.#options;
    return listenTcp({
      host: listen.host,
      port,
      identity,
      clock,
      onDropped: () => (this.counters.connectionsDropped += 1),
      onMessage: (message1, host) => {
        if (!this.#limit.take(host)) {
          this.counters.handshakesLimited += 1;
          return undefined;
        }
        const answer = this.#responder.answer(message1, () => 0);
        if (answer !== undefined && answer.keys === undefined) this.counters.handshakesRefused += 1;
        return answer;
      },
      onWelcome: (socket, head, { peerId, publicKey, keys, remotePort }) => {
        // An IPv4 peer on a socket for both families shows as ::ffff:a.b.c.d.
        const from = (socket.remoteAddress ?? '').replace(/^::ffff:/, '');
        const path = this.#tcpPath(socket, head, keys, publicKey, false, () => {
          this.#remember(peerId, 'tcp', { host: from, port: remotePort });
          this.#options.onPath(peerId, path);
        });
        clock.after(PROVISIONAL_MS, () => {
          if (!path.isConfirmed()) path.close();
        });
      },
    });
  }

  async #connectTcp(target: DialTarget, signal: AbortSignal): Promise<Dialled> {
    const initiation = this.#initiate(target, 0);
    try {
      const { socket, message2, head } = await dialTcp({
        host: target.host,
        port: target.port,
        initiation,
        clock: this.#options.clock,
        timeoutMs: TCP_DIAL_MS,
        signal,
      });
      const done = initiation.finish(message2);
      if (done === undefined) {
        socket.destroy();
        throw new PeerfsError('EHOSTDOWN', 'somebody else answers there');
      }
      const answer = decodeStruct(HANDSHAKE_ANSWER, done.payload);
      const refusal = refusalOf(answer);
      if (refusal !== undefined) {
        done.keys.destroy();
        socket.destroy();
        throw refusal;
      }
      return { path: this.#tcpPath(socket, head, done.keys, target.publicKey, true), name: answer.name };
    } finally {
      initiation.abandon();
    }
  }

  #tcpPath(
    socket: Socket,
    head: Uint8Array,
    keys: SessionKeys,
    publicKey: Uint8Array,
    isInitiator: boolean,
    onConfirmed?: () => void,
  ): TcpPath {
    const { clock } = this.#options;
    const stream = createStream({ keys, maxFrameBytes: LIMITS.frameBytes + PACKET_TYPE_BYTES, now: clock.now() });
    const path = createTcpPath({
      socket,
      head,
      stream,
      clock,
      rekeying: this.#rekeying(publicKey, isInitiator, () => 0),
      onEnd: () => this.#open.delete(path),
      ...(onConfirmed === undefined ? {} : { onConfirmed }),
    });
    this.#open.add(path);
    return path;
  }

  // --- both

  #initiate(target: DialTarget, index: number): Initiation {
    const { identity, book, name } = this.#options;
    const { publicKey, psk } = target;
    const payload = encodeStruct(HANDSHAKE_REQUEST, {
      timestampMs: book.nextTimestamp(peerIdOf(publicKey)),
      publicKey: identity.publicKey,
      purpose: PURPOSE[target.purpose],
      index,
      name,
      port: this.address.port,
    });
    return initiate({ identity, remotePublicKey: publicKey, psk, payload });
  }

  #rekeying(remotePublicKey: Uint8Array, isInitiator: boolean, newIndex: () => number): Rekeying {
    const { identity, book } = this.#options;
    const peerId = peerIdOf(remotePublicKey);
    return createRekeying({
      identity,
      remotePublicKey,
      pairSecret: () => book.peer(peerId)?.pairSecret,
      isInitiator,
      newIndex,
    });
  }

  /** An index that no session of ours has. */
  #newIndex(): number {
    for (;;) {
      const index = randomInt(2 ** 32);
      if (!this.#sessions.has(index)) return index;
    }
  }
}

function refusalOf({ result }: HandshakeAnswer): PeerfsError | undefined {
  switch (result) {
    case HANDSHAKE_RESULT.welcome:
      return undefined;
    case HANDSHAKE_RESULT.used:
      return new PeerfsError('INVITE_USED', 'the invitation was used already', { hint: 'Ask for a new one.' });
    case HANDSHAKE_RESULT.revoked:
      return new PeerfsError('INVITE_REVOKED', 'the invitation was revoked by its creator', {
        hint: 'Ask for a new one.',
      });
    default:
      return new PeerfsError('INVITE_EXPIRED', 'the invitation has expired', { hint: 'Ask for a new one.' });
  }
}
