/**
 * Handshaker: what UDP and TCP share of handshakes. Begins ours, has the Responder judge those of others within a
 * limit for each source, and makes those for new keys. Owns no sockets, no sessions and no retries.
 */
import type { Clock } from '../clock.ts';
import { HANDSHAKE_LIMITS, initiate, messageLength, type Initiation } from '../crypto/handshake.ts';
import { peerIdOf, type Identity } from '../crypto/identity.ts';
import { PeerfsError } from '../errors.ts';
import { decodeStruct, encodeStruct } from '../wire/codec.ts';
import {
  HANDSHAKE_ANSWER,
  HANDSHAKE_REQUEST,
  HANDSHAKE_RESULT,
  PURPOSE,
  type HandshakeAnswer,
} from '../wire/packets.ts';
import type { Path, PathKind } from './path.ts';
import type { PeerBook } from './peer-book.ts';
import type { Relay } from './relay.ts';
import { createRateLimit } from './rate-limit.ts';
import { createRekeying, type Rekeying } from './rekeying.ts';
import { createResponder, type ResponderAnswer } from './responder.ts';

/** Tuning: handshakes that are looked at, tokens a second and burst, for one source and for all. */
const HANDSHAKES = { perSecond: 10, burst: 30, totalPerSecond: 200, totalBurst: 400 } as const;
/** The same for those by Tor, who have no source: one of them must not use up what all have. */
const TOR_HANDSHAKES = { perSecond: 100, burst: 200, totalPerSecond: 100, totalBurst: 200 } as const;
const TOR_SOURCE = 'tor';

export interface DialTarget {
  /** Ed25519 key of who is expected there. */
  readonly publicKey: Uint8Array;
  /** Pair secret, or an invitation's token. */
  readonly psk: Uint8Array;
  readonly purpose: 'known' | 'invitation';
  readonly kind: PathKind;
  readonly host: string;
  readonly port: number;
  /** Datagrams go by this relay of ours, not from the node's own port. */
  readonly via?: Relay | undefined;
}

export interface Dialled {
  readonly path: Path;
  /** What the peer calls itself. */
  readonly name: string;
}

export interface HandshakerOptions {
  readonly identity: Identity;
  readonly book: PeerBook;
  /** What this node calls itself. */
  readonly name: string;
  /** Where this node takes datagrams and connections. */
  readonly port: () => number;
  readonly clock: Clock;
  /** Somebody came by an invitation: the book has a new or renewed peer. */
  readonly onJoined: (peerId: string) => void;
}

export interface HandshakerCounters {
  /** Handshakes not looked at because their source, or all together, made too many. */
  readonly handshakesLimited: number;
  readonly handshakesRefused: number;
  /** Not answered because something of ours failed: a book that cannot be written, mostly. */
  readonly handshakesFailed: number;
}

export interface Handshaker {
  readonly counters: HandshakerCounters;
  /** @param index of the session that is to be; 0 on streams. */
  begin(target: DialTarget, index: number): Initiation;
  /** Whether this is a whole message 1 made for us, and not noise: one small opening, and nobody is proven by it. */
  isMessage1(datagram: Uint8Array): boolean;
  /**
   * Answers a message 1 that is one (isMessage1): only then does it count for its source, or whoever sends noise in
   * a peer's name would lock the peer out.
   * @param fromHost undefined: it came by Tor, from whoever.
   * @param newIndex makes the index of a session, asked for only when there will be one.
   */
  answer(message1: Uint8Array, fromHost: string | undefined, newIndex: () => number): ResponderAnswer;
  rekeying(remotePublicKey: Uint8Array, isInitiator: boolean, newIndex: () => number): Rekeying;
}

export function createHandshaker(options: HandshakerOptions): Handshaker {
  const { identity, book, name, clock, onJoined } = options;
  const counters = { handshakesLimited: 0, handshakesRefused: 0, handshakesFailed: 0 };
  const responder = createResponder({ identity, book, name, onJoined });
  const direct = createRateLimit({ clock, ...HANDSHAKES });
  const byTor = createRateLimit({ clock, ...TOR_HANDSHAKES });
  return {
    counters,
    begin({ publicKey, psk, purpose }, index) {
      const payload = encodeStruct(HANDSHAKE_REQUEST, {
        timestampMs: book.nextTimestamp(peerIdOf(publicKey)),
        publicKey: identity.publicKey,
        purpose: PURPOSE[purpose],
        index,
        name,
        port: options.port(),
      });
      return initiate({ identity, remotePublicKey: publicKey, psk, payload });
    },
    isMessage1: (datagram) =>
      messageLength(identity, datagram.subarray(0, HANDSHAKE_LIMITS.headerBytes)) === datagram.length,
    answer(message1, fromHost, newIndex) {
      const limit = fromHost === undefined ? byTor : direct;
      const source = fromHost ?? TOR_SOURCE;
      if (!limit.take(source)) {
        counters.handshakesLimited += 1;
        return undefined;
      }
      let answer: ResponderAnswer;
      try {
        answer = responder.answer(message1, newIndex);
      } catch {
        // A full disk, say, which a peer can bring about: silence, not the end of the node.
        counters.handshakesFailed += 1;
        return undefined;
      }
      if (answer === undefined) limit.wasted(source);
      else if (answer.keys === undefined) counters.handshakesRefused += 1;
      return answer;
    },
    rekeying(remotePublicKey, isInitiator, newIndex) {
      const peerId = peerIdOf(remotePublicKey);
      const pairSecret = () => book.peer(peerId)?.pairSecret;
      return createRekeying({ identity, remotePublicKey, pairSecret, isInitiator, newIndex, clock });
    },
  };
}

/** Reads what message 2 says. @throws PROTOCOL when it makes no sense; INVITE_* when it is a refusal. */
export function readAnswer(payload: Uint8Array): HandshakeAnswer {
  const answer = decodeStruct(HANDSHAKE_ANSWER, payload);
  const hint = 'Ask for a new one.';
  switch (answer.result) {
    case HANDSHAKE_RESULT.welcome:
      return answer;
    case HANDSHAKE_RESULT.used:
      throw new PeerfsError('INVITE_USED', 'the invitation was used already', { hint });
    case HANDSHAKE_RESULT.revoked:
      throw new PeerfsError('INVITE_REVOKED', 'the invitation was revoked by its creator', { hint });
    default:
      throw new PeerfsError('INVITE_EXPIRED', 'the invitation has expired', { hint });
  }
}
