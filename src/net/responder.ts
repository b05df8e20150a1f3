/**
 * The answering side of handshakes: decides who is let in. Known peers prove their pair secret, strangers an
 * invitation's token; whoever proves nothing gets nothing. Owns no sockets and no sessions.
 */
import { pairSecret, respond, type FirstMessage, type ProvenMessage } from '../crypto/handshake.ts';
import { dhKeyOf, peerIdOf, type Identity } from '../crypto/identity.ts';
import type { SessionKeys } from '../crypto/session-keys.ts';
import { decodeStruct, encodeStruct } from '../wire/codec.ts';
import {
  HANDSHAKE_ANSWER,
  HANDSHAKE_REQUEST,
  HANDSHAKE_RESULT,
  PURPOSE,
  type HandshakeRequest,
} from '../wire/packets.ts';
import type { InvitationToken, KnownPeer, PeerBook } from './peer-book.ts';

/** Open invitations that are tried on a stranger's handshake. */
const MAX_TOKENS = 64;
/** Remembered ones that are tried besides, so that their holders hear why they are refused. */
const MAX_TOMBSTONES = 64;

export interface ResponderOptions {
  readonly identity: Identity;
  readonly book: PeerBook;
  /** What this node calls itself. */
  readonly name: string;
  /** Somebody came by an invitation: the book has a new or renewed peer. */
  readonly onJoined: (peerId: string) => void;
}

export interface Welcome {
  readonly peerId: string;
  readonly publicKey: Uint8Array;
  /** Message 2. */
  readonly message: Uint8Array;
  readonly keys: SessionKeys;
  readonly remoteIndex: number;
  /** Where the initiator can be dialled, at the address it came from; 0: it did not say. */
  readonly remotePort: number;
}

/** A welcome has keys; a refusal is only a message 2 that says why; undefined is silence. */
export type ResponderAnswer = Welcome | { readonly message: Uint8Array; readonly keys: undefined } | undefined;

export interface Responder {
  /** @param newIndex makes the index of a session, asked for only when there will be one. */
  answer(message1: Uint8Array, newIndex: () => number): ResponderAnswer;
}

export function createResponder({ identity, book, name, onJoined }: ResponderOptions): Responder {
  /** X25519 keys of known peers, in hex, to their ids; made anew when the peers change. */
  let known = new Map<string, KnownPeer>();
  const byDhKey = (dhPublicKey: Uint8Array): KnownPeer | undefined => {
    const key = Buffer.from(dhPublicKey).toString('hex');
    const found = known.get(key);
    // The book is asked each time: the peer may be gone, or have a new secret.
    const current = found === undefined ? undefined : book.peer(found.peerId);
    if (current !== undefined) return current;
    known = new Map();
    for (const peer of book.peers()) {
      const dh = dhKeyOf(peer.publicKey);
      if (dh !== undefined) known.set(Buffer.from(dh).toString('hex'), peer);
    }
    return known.get(key);
  };

  /** The request of a proven message, if it is whole and its key is the one of the handshake. */
  const requestOf = (proven: ProvenMessage, remoteDhPublicKey: Uint8Array): HandshakeRequest | undefined => {
    try {
      const request = decodeStruct(HANDSHAKE_REQUEST, proven.payload);
      const dh = dhKeyOf(request.publicKey);
      return dh !== undefined && Buffer.from(dh).equals(remoteDhPublicKey) ? request : undefined;
    } catch {
      return undefined;
    }
  };

  const answerWith = (proven: ProvenMessage, result: number, index: number) =>
    proven.answer(encodeStruct(HANDSHAKE_ANSWER, { result, index, name }));

  const welcome = (proven: ProvenMessage, request: HandshakeRequest, newIndex: () => number): Welcome => {
    const { message, keys } = answerWith(proven, HANDSHAKE_RESULT.welcome, newIndex());
    const publicKey = Uint8Array.from(request.publicKey);
    return {
      peerId: peerIdOf(publicKey),
      publicKey,
      message,
      keys,
      remoteIndex: request.index,
      remotePort: request.port,
    };
  };

  const fromKnown = (first: FirstMessage, peer: KnownPeer, newIndex: () => number): ResponderAnswer => {
    const proven = first.complete(peer.pairSecret);
    if (proven === undefined) return undefined;
    const request = requestOf(proven, first.remoteDhPublicKey);
    // An Ed25519 key and its negative have one X25519 form: the key itself must be the peer's.
    const isPeer = request?.purpose === PURPOSE.known && Buffer.from(request.publicKey).equals(peer.publicKey);
    if (!isPeer || !book.acceptTimestamp(peer.peerId, request.timestampMs)) {
      proven.abandon();
      return undefined;
    }
    return welcome(proven, request, newIndex);
  };

  const fromInvitation = (
    first: FirstMessage,
    { inviteId, token }: InvitationToken,
    newIndex: () => number,
  ): ResponderAnswer => {
    const proven = first.complete(token);
    if (proven === undefined) return undefined;
    const request = requestOf(proven, first.remoteDhPublicKey);
    if (request?.purpose !== PURPOSE.invitation) {
      proven.abandon();
      return undefined;
    }
    const peerId = peerIdOf(request.publicKey);
    if (!book.acceptTimestamp(peerId, request.timestampMs)) {
      proven.abandon();
      return undefined;
    }
    const result = book.redeem({
      inviteId,
      peerId,
      publicKey: request.publicKey,
      pairSecret: pairSecret(token, identity, request.publicKey),
      suggestedName: request.name,
    });
    if (result !== 'joined') {
      const { message, keys } = answerWith(proven, HANDSHAKE_RESULT[result], 0);
      keys.destroy();
      return { message, keys: undefined };
    }
    onJoined(peerId);
    return welcome(proven, request, newIndex);
  };

  return {
    answer(message1, newIndex) {
      const first = respond(identity, message1);
      if (first === undefined) return undefined;
      try {
        const peer = byDhKey(first.remoteDhPublicKey);
        const answered = peer === undefined ? undefined : fromKnown(first, peer, newIndex);
        if (answered !== undefined) return answered;
        const tokens = book.tokens();
        const open = tokens.filter(({ state }) => state === 'open').slice(0, MAX_TOKENS);
        const tombstones = tokens.filter(({ state }) => state !== 'open').slice(-MAX_TOMBSTONES);
        for (const token of [...open, ...tombstones]) {
          const joined = fromInvitation(first, token, newIndex);
          if (joined !== undefined) return joined;
        }
        return undefined;
      } finally {
        first.abandon();
      }
    },
  };
}
