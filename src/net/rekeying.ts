/**
 * Rekeying: a handshake for new keys carried inside a running session, the same for streams and datagrams. Only the
 * side that began the session begins it. Owns the handshake under way; what to do with the keys is the path's matter.
 */
import type { Clock } from '../clock.ts';
import { initiate, respond, type Initiation } from '../crypto/handshake.ts';
import type { Identity } from '../crypto/identity.ts';
import type { SessionKeys } from '../crypto/session-keys.ts';
import { decodeStruct, encodeStruct } from '../wire/codec.ts';
import { HANDSHAKE_ANSWER, HANDSHAKE_REQUEST, HANDSHAKE_RESULT, PURPOSE } from '../wire/packets.ts';
import { createRateLimit } from './rate-limit.ts';

/** Longest message: it must fit one packet of any path. Specification. */
const MESSAGE_BYTES = 800;

/** Tuning. A peer asks once in two minutes, and every second while it has no answer; each answer costs public-key work. */
const ANSWERS = { perSecond: 2, burst: 16, totalPerSecond: 2, totalBurst: 16 } as const;

export interface RekeyingOptions {
  readonly identity: Identity;
  readonly remotePublicKey: Uint8Array;
  /** Asked for at each handshake: an invitation may have renewed it. undefined: no peer any more. */
  readonly pairSecret: () => Uint8Array | undefined;
  readonly isInitiator: boolean;
  /** A fresh index for datagrams to us; 0 on streams. */
  readonly newIndex: () => number;
  readonly clock: Clock;
}

export interface NewKeys {
  readonly keys: SessionKeys;
  readonly localIndex: number;
  readonly remoteIndex: number;
}

export interface Rekeying {
  readonly isInitiator: boolean;
  /** Whether a message 1 waits for its answer. */
  isUnderWay(): boolean;
  /** Message 1, made anew at each call; undefined if it cannot be made. */
  begin(): Uint8Array | undefined;
  /** The responder's part. undefined: dropped. */
  answer(message1: Uint8Array): (NewKeys & { readonly message: Uint8Array }) | undefined;
  /** The end of the initiator's part, as keys alone for streams. */
  finish(message2: Uint8Array): SessionKeys | undefined;
  /** The end of the initiator's part with the indices. */
  finishIndexed(message2: Uint8Array): NewKeys | undefined;
  close(): void;
}

export function createRekeying(options: RekeyingOptions): Rekeying {
  const { identity, remotePublicKey } = options;
  const answers = createRateLimit({ clock: options.clock, ...ANSWERS });
  /** Numbers of our last request and of the last that we answered, within the session. */
  let requests = 0;
  let answered = 0;
  let underWay: { readonly initiation: Initiation; readonly localIndex: number } | undefined;

  const finishIndexed = (message2: Uint8Array): NewKeys | undefined => {
    const done = underWay?.initiation.finish(message2);
    if (done === undefined || underWay === undefined) return undefined;
    const { localIndex } = underWay;
    underWay = undefined;
    try {
      const answer = decodeStruct(HANDSHAKE_ANSWER, done.payload);
      return { keys: done.keys, localIndex, remoteIndex: answer.index };
    } catch {
      done.keys.destroy();
      return undefined;
    }
  };

  return {
    isInitiator: options.isInitiator,
    isUnderWay: () => underWay !== undefined,
    begin() {
      underWay?.initiation.abandon();
      underWay = undefined;
      const psk = options.pairSecret();
      if (psk === undefined) return undefined;
      const localIndex = options.newIndex();
      const payload = encodeStruct(HANDSHAKE_REQUEST, {
        // The carrying session proves freshness; the number tells a request that comes late from the newest.
        timestampMs: (requests += 1),
        publicKey: identity.publicKey,
        purpose: PURPOSE.rekey,
        index: localIndex,
        name: '',
        port: 0,
      });
      const initiation = initiate({ identity, remotePublicKey, psk, payload, maxMessageBytes: MESSAGE_BYTES });
      underWay = { initiation, localIndex };
      return initiation.message;
    },
    answer(message1) {
      const psk = options.pairSecret();
      if (options.isInitiator || psk === undefined || !answers.take('')) return undefined;
      const first = respond(identity, message1);
      const proven = first?.complete(psk);
      first?.abandon();
      if (proven === undefined) return undefined;
      try {
        const request = decodeStruct(HANDSHAKE_REQUEST, proven.payload);
        const isPeer = request.purpose === PURPOSE.rekey && Buffer.from(request.publicKey).equals(remotePublicKey);
        // To answer an older one would replace keys that the far end uses already by some that it has forgotten.
        if (!isPeer || request.timestampMs <= answered) {
          proven.abandon();
          return undefined;
        }
        answered = request.timestampMs;
        const localIndex = options.newIndex();
        const { message, keys } = proven.answer(
          encodeStruct(HANDSHAKE_ANSWER, { result: HANDSHAKE_RESULT.welcome, index: localIndex, name: '' }),
          MESSAGE_BYTES,
        );
        return { message, keys, localIndex, remoteIndex: request.index };
      } catch {
        proven.abandon();
        return undefined;
      }
    },
    finish: (message2) => finishIndexed(message2)?.keys,
    finishIndexed,
    close() {
      underWay?.initiation.abandon();
      underWay = undefined;
    },
  };
}
