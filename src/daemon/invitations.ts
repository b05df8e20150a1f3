/**
 * Invitations: making them, and accepting somebody else's. An acceptance is kept in the store until it has come to an
 * end, so that it goes on after the command that began it and after a restart of the node.
 */
import { createHash, randomBytes } from 'node:crypto';
import type { Clock, Timer } from '../clock.ts';
import { completeWord, generateCode, parseCode } from '../crypto/code.ts';
import { pairSecret } from '../crypto/handshake.ts';
import { peerIdOf, type Identity } from '../crypto/identity.ts';
import { checkInvitation, openInvitation, sealInvitation } from '../crypto/invitation.ts';
import { codeOf, PeerfsError } from '../errors.ts';
import type { Logger } from '../log.ts';
import { acceptInvitation, type Acceptance, type AcceptanceOptions, type Accepted } from '../net/acceptance.ts';
import { decodeStruct, encodeStruct } from '../wire/codec.ts';
import { INVITATION, type Invitation, type NetAddress } from '../wire/packets.ts';
import { toPetname } from './config.ts';
import type { Discovery } from './discovery.ts';
import type { AcceptResult, InvitationStatus, InviteResult } from './control-protocol.ts';
import type { Reach } from './reach.ts';
import { OPEN_INVITATIONS, type AcceptanceRecord, type Store } from './store.ts';

const TOKEN_BYTES = 16;
const ID_CHARACTERS = 8;
/** Rounds of dialling before the user is told that nobody answers. */
const QUIET_ROUNDS = 2;
/** What an invitation holds at most. */
const OWN_ADDRESSES = 16;
/** Invitations that have expired are no longer made known after at most so long. Tuning, milliseconds. */
const FOLLOW_EVERY_MS = 10_000;

export interface InvitationsOptions {
  readonly store: Store;
  readonly identity: Identity;
  /** What this node calls itself. */
  readonly name: string;
  readonly endpoint: AcceptanceOptions['endpoint'];
  /** Makes an invitation known, and looks for the creator of somebody else's, beyond the addresses that it names. */
  readonly reach: Pick<Reach, 'invite' | 'seekCreator'>;
  /** Finds nodes on the local network; undefined when that is off. */
  readonly discovery: Discovery | undefined;
  readonly isOnline: (peerId: string) => boolean;
  /** The store has a new or renewed peer, reached by this path. */
  readonly onAccepted: (peerId: string, accepted: Accepted) => Promise<void>;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface NewInvite {
  readonly name: string | undefined;
  readonly lifeMs: number;
  /** Instead of the node's own. */
  readonly addresses: NetAddress[] | undefined;
}

export interface Invitations {
  /** @throws NAME_CLASH, OVERLOADED */
  invite(invite: NewInvite): Promise<InviteResult>;
  /**
   * Settles when the peer is there, however long that takes; goes on when the caller is gone.
   * @throws INVITE_*, NAME_CLASH, CANCELLED
   */
  accept(text: string, code: string, name: string | undefined, progress: (text: string) => void): Promise<AcceptResult>;
  list(): InvitationStatus[];
  /** @throws UNKNOWN_INVITE, INVITE_USED */
  revoke(id: string): void;
  /** Goes on with what a former run of the node began. */
  resume(): void;
  /** An invitation was used: it is no longer made known. */
  follow(): void;
  close(): void;
}

interface Running {
  readonly result: Promise<AcceptResult>;
  readonly stop: AbortController;
  readonly listeners: Set<(text: string) => void>;
  readonly acceptance: Acceptance;
}

export function createInvitations(options: InvitationsOptions): Invitations {
  const { store, identity, clock, log, endpoint } = options;
  const ownId = peerIdOf(identity.publicKey);
  const running = new Map<string, Running>();
  /** Open invitations, by their ids. */
  const announced = new Map<string, ReturnType<Reach['invite']>>();
  /** Ids of those that are not in the store yet. */
  const making = new Set<string>();
  let followTimer: Timer | undefined;
  let closed = false;

  /** Open invitations are made known, and no others. */
  const follow = (): void => {
    followTimer?.cancel();
    if (closed) return;
    const open = store.tokens().filter(({ state }) => state === 'open');
    for (const { inviteId, token } of open)
      if (!announced.has(inviteId)) announced.set(inviteId, options.reach.invite(token));
    for (const [id, invited] of announced) {
      if (making.has(id) || open.some(({ inviteId }) => inviteId === id)) continue;
      announced.delete(id);
      invited.close();
    }
    followTimer = clock.after(FOLLOW_EVERY_MS, follow);
  };

  const begin = (record: AcceptanceRecord): Running => {
    const stop = new AbortController();
    const listeners = new Set<(text: string) => void>();
    const invitation = decodeStruct(INVITATION, record.content);
    const acceptance = acceptInvitation({
      invitation,
      endpoint,
      clock,
      signal: stop.signal,
      onUnreached: (round) => {
        if (round < QUIET_ROUNDS) return;
        const until = new Date(invitation.expiresAtMs).toLocaleString();
        for (const tell of listeners) {
          tell(`Nobody answers yet (try ${round}). This node goes on until ${until}; you need not wait here.`);
        }
      },
    });
    const stopLooking = options.discovery?.await({
      publicKey: invitation.publicKey,
      token: invitation.token,
      seen: (addresses) => {
        for (const { kind, host, port } of addresses) {
          const known = endpoint.paths.find((path) => path === kind);
          if (known !== undefined) acceptance.hint(known, host, port);
        }
      },
    });
    const seeker = options.reach.seekCreator(invitation.token, (candidates) => acceptance.hear(candidates));
    const result = finish(record, invitation, acceptance).finally(() => {
      stopLooking?.();
      seeker.close();
    });
    // Its failure is told to whoever asks; one that nobody asks for is in the log.
    result.catch((error: unknown) => log.info('accept.ended', { code: codeOf(error) }));
    const entry = { result, stop, listeners, acceptance };
    running.set(record.id, entry);
    return entry;
  };

  const finish = async (
    record: AcceptanceRecord,
    invitation: Invitation,
    { accepted }: Acceptance,
  ): Promise<AcceptResult> => {
    try {
      const reached = await accepted;
      const peer = {
        peerId: record.peerId,
        publicKey: invitation.publicKey,
        pairSecret: pairSecret(invitation.token, identity, invitation.publicKey),
        name: nameFor(record, reached.name),
      };
      store.putPeer(peer, undefined);
      const isLasting = reached.kind !== 'tor' && reached.kind !== 'turn';
      for (const { host, port } of invitation.addresses) {
        if (host.endsWith('.onion')) continue; // of the invitation alone
        if (store.addresses(peer.peerId).every((known) => known.host !== host || known.port !== port)) {
          store.rememberAddress(peer.peerId, isLasting ? reached.kind : 'tcp', host, port);
        }
      }
      if (isLasting) store.rememberAddress(peer.peerId, reached.kind, reached.host, reached.port);
      store.removeAcceptance(record.id);
      await options.onAccepted(peer.peerId, reached);
      log.info('accept.done');
      return { name: peer.name, id: peer.peerId };
    } catch (error) {
      // What the end of the node interrupts goes on at its next start.
      if (!closed) store.removeAcceptance(record.id);
      throw error;
    } finally {
      running.delete(record.id);
    }
  };

  const nameFor = (record: AcceptanceRecord, suggested: string): string => {
    const known = store.peer(record.peerId);
    if (record.name === undefined) return known?.name ?? store.freeName(toPetname(suggested, 'peer'));
    return known?.name === record.name ? known.name : store.freeName(record.name);
  };

  return {
    async invite({ name, lifeMs, addresses }) {
      const open = store.invitations().filter((row) => row.state === 'open');
      if (open.length >= OPEN_INVITATIONS) {
        throw new PeerfsError('OVERLOADED', `${OPEN_INVITATIONS} invitations are open already`, {
          hint: 'Revoke some: peerfs invite list, peerfs invite revoke.',
        });
      }
      const replaced = name === undefined ? undefined : store.peerNamed(name);
      if (replaced !== undefined && options.isOnline(replaced.peerId)) {
        throw new PeerfsError('NAME_CLASH', `a peer named "${replaced.name}" is there already, and online`, {
          hint: 'Give the new one another name with --name, or rename the other: peerfs peers rename.',
        });
      }
      const expiresAt = Math.floor(clock.wallMs() + lifeMs);
      const token = randomBytes(TOKEN_BYTES);
      const id = randomBytes(ID_CHARACTERS / 2).toString('hex');
      const code = generateCode();
      const invited = options.reach.invite(token);
      announced.set(id, invited);
      making.add(id);
      try {
        const own = invited.addresses.filter(({ host }) => addresses === undefined || host.endsWith('.onion'));
        const content = encodeStruct(INVITATION, {
          publicKey: identity.publicKey,
          token,
          expiresAtMs: expiresAt,
          name: options.name,
          addresses: [...(addresses ?? []), ...own].slice(0, OWN_ADDRESSES),
        });
        const invitation = await sealInvitation(content, code);
        store.addInvitation({ id, token, name, expiresAt, replaces: replaced?.peerId });
        log.info('invite.made');
        options.discovery?.hello();
        return { invitation, code, expiresAt: new Date(expiresAt).toISOString(), id };
      } catch (error) {
        announced.delete(id);
        invited.close();
        throw error;
      } finally {
        making.delete(id);
      }
    },

    async accept(text, code, name, progress) {
      checkInvitation(text);
      const content = await openInvitation(text, understandCode(code));
      const invitation = decodeInvitation(content);
      const peerId = peerIdOf(invitation.publicKey);
      if (peerId === ownId) {
        throw new PeerfsError('INVITE_OWN', 'this is an invitation of your own', {
          hint: 'It is for someone else: send it to them.',
        });
      }
      if (invitation.expiresAtMs <= clock.wallMs()) {
        const since = new Date(invitation.expiresAtMs).toLocaleString();
        throw new PeerfsError('INVITE_EXPIRED', `the invitation expired at ${since}`, { hint: 'Ask for a new one.' });
      }
      const other = name === undefined ? undefined : store.peerNamed(name);
      if (other !== undefined && other.peerId !== peerId) {
        throw new PeerfsError('NAME_CLASH', `another peer is named "${other.name}" already`, {
          hint: 'Give this one another name with --name; or, if it lost its home and this is its new one, remove the old: peerfs peers remove.',
        });
      }
      const id = createHash('sha256').update(invitation.token).digest('hex').slice(0, ID_CHARACTERS);
      const record = { id, peerId, name, content, expiresAt: invitation.expiresAtMs };
      const before = running.get(id);
      if (before === undefined) store.putAcceptance(record);
      const entry = before ?? begin(record);
      entry.listeners.add(progress);
      const nameOfMaker = invitation.name === '' ? 'its maker' : `"${invitation.name}"`;
      progress(`The invitation is good. Calling ${nameOfMaker}...`);
      try {
        return await entry.result;
      } finally {
        entry.listeners.delete(progress);
      }
    },

    list: () => [
      ...store.invitations().map((row) => ({
        id: row.id,
        direction: 'given' as const,
        name: row.name ?? null,
        state: row.state,
        expiresAt: new Date(row.expiresAt).toISOString(),
      })),
      ...store.acceptances().map((row) => ({
        id: row.id,
        direction: 'accepting' as const,
        name: row.name ?? null,
        state: 'trying',
        expiresAt: new Date(row.expiresAt).toISOString(),
      })),
    ],

    revoke(id) {
      const accepting = running.get(id);
      accepting?.stop.abort();
      const invitation = store.invitations().find((row) => row.id === id);
      if (invitation?.state === 'used') {
        throw new PeerfsError('INVITE_USED', 'the invitation was accepted already', {
          hint: 'To end it with that peer: peerfs peers remove.',
        });
      }
      if (!store.revokeInvitation(id) && invitation === undefined && accepting === undefined) {
        throw new PeerfsError('UNKNOWN_INVITE', `there is no invitation "${id}"`, { hint: 'peerfs invite list' });
      }
      follow();
    },

    resume() {
      for (const record of store.acceptances()) if (!running.has(record.id)) begin(record);
      follow();
    },
    follow,

    close() {
      closed = true;
      followTimer?.cancel();
      for (const invited of announced.values()) invited.close();
      announced.clear();
      for (const { stop } of running.values()) stop.abort();
    },
  };
}

/** As parseCode, but the message shows the wrong word: it goes to the one who typed it and nowhere else. */
function understandCode(code: string): string {
  try {
    return parseCode(code);
  } catch (error) {
    const wrong = code
      .toLowerCase()
      .split(/[^\p{L}\p{N}]+/u)
      .find((word) => word !== '' && completeWord(word, 2)[0] !== word && completeWord(word, 2).length !== 1);
    if (!(error instanceof PeerfsError) || wrong === undefined) throw error;
    throw new PeerfsError(error.code, `"${wrong}": ${error.message}`, { ...(error.hint && { hint: error.hint }) });
  }
}

function decodeInvitation(content: Uint8Array): Invitation {
  try {
    return decodeStruct(INVITATION, content);
  } catch (error) {
    throw new PeerfsError('INVITE_VERSION', 'the invitation cannot be understood', {
      hint: 'Update peerfs, or ask for a new one.',
      cause: error,
    });
  }
}
