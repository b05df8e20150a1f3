/**
 * The state of a node that outlives it: peers, secrets, time stamps, invitations, shares, addresses. The one file
 * with SQL.
 *
 * Everything is synchronous and on the main thread: a statement takes tens of microseconds and none is on the path
 * of a file operation. Blobs given out are copies, the caller's.
 */
import { closeSync, openSync } from 'node:fs';
import Database from 'better-sqlite3';
import type { Clock } from '../clock.ts';
import { PeerfsError } from '../errors.ts';
import { missingLibrary } from './failure.ts';

/** How long a used, revoked or expired invitation is remembered past its expiry, so that its holder hears why. */
const TOMBSTONE_MS = 30 * 24 * 3600 * 1000;
/** Each open invitation costs a trial of decryption at every stranger's handshake (docs/architecture.md). */
export const OPEN_INVITATIONS = 64;
/** How much of an open invitation's life may be lived again by a node that is killed while the clock is set back. Milliseconds. */
const SEEN_EVERY_MS = 60_000;
/** Addresses remembered for a peer and kind; the least recently good go. */
const ADDRESSES_PER_KIND = 8;

export interface PeerRecord {
  readonly peerId: string;
  /** Petname: unique, local. */
  readonly name: string;
  /** Ed25519, 32 bytes. */
  readonly publicKey: Uint8Array;
  readonly pairSecret: Uint8Array;
  /** Name of its folder among the inboxes; undefined until it was made. */
  readonly inbox: string | undefined;
  /** Milliseconds since the epoch. */
  readonly addedAt: number;
  readonly lastSeenAt: number | undefined;
}

export type InvitationState = 'open' | 'used' | 'revoked' | 'expired';

export interface InvitationRecord {
  readonly id: string;
  readonly name: string | undefined;
  readonly createdAt: number;
  readonly expiresAt: number;
  readonly state: InvitationState;
}

export interface TokenRecord {
  readonly inviteId: string;
  /** 16 bytes. */
  readonly token: Uint8Array;
  readonly state: InvitationState;
}

export interface NewInvitation {
  readonly id: string;
  readonly token: Uint8Array;
  readonly name: string | undefined;
  readonly expiresAt: number;
  /** The peer that comes back under this invitation with new keys. */
  readonly replaces: string | undefined;
}

/** An invitation of somebody else that this node is accepting. */
export interface AcceptanceRecord {
  readonly id: string;
  /** The peer id of who made the invitation. */
  readonly peerId: string;
  readonly name: string | undefined;
  /** The opened invitation. */
  readonly content: Uint8Array;
  readonly expiresAt: number;
}

export interface ShareRecord {
  /** Number of the share on the wire; never used again. */
  readonly share: number;
  readonly name: string;
  readonly directory: string;
  readonly writable: boolean;
  readonly idmap: 'user' | 'none';
  /** Bytes that the folder may hold; undefined: as many as the disk. */
  readonly quota: number | undefined;
  /** Peer ids; undefined: all peers, those to come too. */
  readonly to: readonly string[] | undefined;
}

export interface AddressRecord {
  readonly kind: string;
  readonly host: string;
  readonly port: number;
}

export interface NewPeer {
  readonly peerId: string;
  readonly publicKey: Uint8Array;
  readonly pairSecret: Uint8Array;
  /** Taken as it is: free, or the peer's own. */
  readonly name: string;
}

export interface Redemption {
  readonly inviteId: string;
  readonly peerId: string;
  readonly publicKey: Uint8Array;
  readonly pairSecret: Uint8Array;
  /** What the newcomer calls itself, made a legal petname. */
  readonly suggestedName: string;
}

export type RedeemResult = 'joined' | 'used' | 'revoked' | 'expired';

/** Schema steps; the database's user_version counts those done. Append, never edit. */
const MIGRATIONS: readonly string[] = [
  `
  CREATE TABLE meta (key TEXT PRIMARY KEY, value ANY) STRICT, WITHOUT ROWID;
  CREATE TABLE peers (
    peer INTEGER PRIMARY KEY,
    peer_id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL UNIQUE,
    public_key BLOB NOT NULL,
    pair_secret BLOB NOT NULL,
    inbox TEXT UNIQUE,
    added_at INTEGER NOT NULL,
    last_seen_at INTEGER
  ) STRICT;
  CREATE TABLE timestamps (
    peer_id TEXT PRIMARY KEY,
    received INTEGER NOT NULL DEFAULT 0,
    sent INTEGER NOT NULL DEFAULT 0
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE invitations (
    id TEXT PRIMARY KEY,
    token BLOB NOT NULL,
    name TEXT,
    replaces TEXT,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    state TEXT NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'used', 'revoked')),
    redeemed_by BLOB
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE acceptances (
    id TEXT PRIMARY KEY,
    peer_id TEXT NOT NULL,
    name TEXT,
    content BLOB NOT NULL,
    expires_at INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE addresses (
    peer_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    host TEXT NOT NULL,
    port INTEGER NOT NULL,
    good_at INTEGER NOT NULL,
    PRIMARY KEY (peer_id, kind, host, port)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE shares (
    share INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    directory TEXT NOT NULL,
    writable INTEGER NOT NULL,
    idmap TEXT NOT NULL CHECK (idmap IN ('user', 'none')),
    everyone INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE share_peers (
    share INTEGER NOT NULL REFERENCES shares ON DELETE CASCADE,
    peer INTEGER NOT NULL REFERENCES peers ON DELETE CASCADE,
    PRIMARY KEY (share, peer)
  ) STRICT, WITHOUT ROWID;
  `,
  'ALTER TABLE shares ADD COLUMN quota INTEGER',
  'ALTER TABLE invitations ADD COLUMN seen_at INTEGER NOT NULL DEFAULT 0;',
];

interface PeerRow {
  peer: number;
  peer_id: string;
  name: string;
  public_key: Buffer;
  pair_secret: Buffer;
  inbox: string | null;
  added_at: number;
  last_seen_at: number | null;
}

interface InvitationRow {
  id: string;
  token: Buffer;
  name: string | null;
  replaces: string | null;
  created_at: number;
  expires_at: number;
  state: 'open' | 'used' | 'revoked';
  redeemed_by: Buffer | null;
  /** The latest time at which it is known to have been there. */
  seen_at: number;
}

export type Store = ReturnType<typeof openStore>;

/**
 * Opens the database, made (0600) and migrated as needed.
 * @throws ENVIRONMENT when it was written by a newer peerfs or cannot be opened.
 */
export function openStore(file: string, clock: Clock) {
  // SQLite would make it 0644 under the umask; its -wal and -shm files take their mode from it.
  closeSync(openSync(file, 'a', 0o600));
  const database = openDatabase(file);
  try {
    database.pragma('journal_mode = WAL');
    // A redeemed token or a time stamp that a power cut takes back would be a door left open.
    database.pragma('synchronous = FULL');
    database.pragma('foreign_keys = ON');
    database.pragma('secure_delete = ON');
    migrate(database, file);
  } catch (error) {
    database.close();
    throw error;
  }

  const sql = {
    meta: database.prepare<[string], { value: unknown }>('SELECT value FROM meta WHERE key = ?'),
    setMeta: database.prepare('INSERT OR REPLACE INTO meta VALUES (?, ?)'),
    peers: database.prepare<[], PeerRow>('SELECT * FROM peers ORDER BY name'),
    peerById: database.prepare<[string], PeerRow>('SELECT * FROM peers WHERE peer_id = ?'),
    peerByName: database.prepare<[string], PeerRow>('SELECT * FROM peers WHERE name = ?'),
    insertPeer: database.prepare(
      'INSERT INTO peers (peer_id, name, public_key, pair_secret, added_at) VALUES (?, ?, ?, ?, ?)',
    ),
    updatePeer: database.prepare(
      'UPDATE peers SET peer_id = ?, name = ?, public_key = ?, pair_secret = ? WHERE peer = ?',
    ),
    renamePeer: database.prepare('UPDATE peers SET name = ? WHERE peer_id = ?'),
    setInbox: database.prepare('UPDATE peers SET inbox = ? WHERE peer_id = ?'),
    seenPeer: database.prepare('UPDATE peers SET last_seen_at = ? WHERE peer_id = ?'),
    removePeer: database.prepare('DELETE FROM peers WHERE peer_id = ?'),
    timestamps: database.prepare<[string], { received: number; sent: number }>(
      'SELECT received, sent FROM timestamps WHERE peer_id = ?',
    ),
    setReceived: database.prepare(
      `INSERT INTO timestamps (peer_id, received) VALUES (?, ?)
       ON CONFLICT DO UPDATE SET received = excluded.received`,
    ),
    setSent: database.prepare(
      'INSERT INTO timestamps (peer_id, sent) VALUES (?, ?) ON CONFLICT DO UPDATE SET sent = excluded.sent',
    ),
    invitations: database.prepare<[], InvitationRow>('SELECT * FROM invitations ORDER BY created_at'),
    invitation: database.prepare<[string], InvitationRow>('SELECT * FROM invitations WHERE id = ?'),
    insertInvitation: database.prepare(
      `INSERT INTO invitations (id, token, name, replaces, created_at, expires_at, seen_at)
       VALUES (@id, @token, @name, @replaces, @now, @expiresAt, @now)`,
    ),
    useInvitation: database.prepare(
      "UPDATE invitations SET state = 'used', redeemed_by = ? WHERE id = ? AND state = 'open'",
    ),
    revokeInvitation: database.prepare("UPDATE invitations SET state = 'revoked' WHERE id = ? AND state = 'open'"),
    seeInvitation: database.prepare('UPDATE invitations SET seen_at = ? WHERE id = ?'),
    purgeInvitations: database.prepare('DELETE FROM invitations WHERE expires_at < ?'),
    acceptances: database.prepare<
      [],
      { id: string; peer_id: string; name: string | null; content: Buffer; expires_at: number }
    >('SELECT * FROM acceptances ORDER BY id'),
    insertAcceptance: database.prepare('INSERT OR REPLACE INTO acceptances VALUES (?, ?, ?, ?, ?)'),
    removeAcceptance: database.prepare('DELETE FROM acceptances WHERE id = ?'),
    addresses: database.prepare<[string], { kind: string; host: string; port: number }>(
      'SELECT kind, host, port FROM addresses WHERE peer_id = ? ORDER BY good_at DESC',
    ),
    putAddress: database.prepare(
      `INSERT INTO addresses VALUES (?, ?, ?, ?, ?)
       ON CONFLICT DO UPDATE SET good_at = max(good_at + 1, excluded.good_at)`,
    ),
    trimAddresses: database.prepare(
      `DELETE FROM addresses WHERE peer_id = @peerId AND kind = @kind AND (host, port) NOT IN (
         SELECT host, port FROM addresses WHERE peer_id = @peerId AND kind = @kind ORDER BY good_at DESC LIMIT ${ADDRESSES_PER_KIND})`,
    ),
    removeAddresses: database.prepare('DELETE FROM addresses WHERE peer_id = ?'),
    shares: database.prepare<
      [],
      {
        share: number;
        name: string;
        directory: string;
        writable: number;
        idmap: 'user' | 'none';
        everyone: number;
        quota: number | null;
      }
    >('SELECT * FROM shares ORDER BY name'),
    sharePeers: database.prepare<[], { share: number; peer_id: string }>(
      'SELECT share, peer_id FROM share_peers JOIN peers USING (peer) ORDER BY name',
    ),
    insertShare: database.prepare(
      'INSERT INTO shares (name, directory, writable, idmap, everyone, quota) VALUES (?, ?, ?, ?, ?, ?)',
    ),
    insertSharePeer: database.prepare('INSERT INTO share_peers SELECT ?, peer FROM peers WHERE peer_id = ?'),
    setShareQuota: database.prepare('UPDATE shares SET quota = ? WHERE name = ?'),
    removeShare: database.prepare('DELETE FROM shares WHERE name = ?'),
  };

  const toPeer = (row: PeerRow): PeerRecord => ({
    peerId: row.peer_id,
    name: row.name,
    publicKey: new Uint8Array(row.public_key),
    pairSecret: new Uint8Array(row.pair_secret),
    inbox: row.inbox ?? undefined,
    addedAt: row.added_at,
    lastSeenAt: row.last_seen_at ?? undefined,
  });

  /** Of each open invitation: the latest time of its life, and when by the monotonic clock that was. */
  const seen = new Map<string, { readonly wallMs: number; readonly at: number }>();
  const noteSeen = ifPossible((wallMs: number, id: string) => sql.seeInvitation.run(Math.floor(wallMs), id));
  /**
   * What time it is for an invitation: never before what it was, so that a clock set back makes its life no longer. For each by
   * itself: a clock that was wrong ends those that it met, and none that are made later.
   */
  const timeOf = (row: InvitationRow): number => {
    const now = clock.now();
    const before = seen.get(row.id) ?? { wallMs: Math.max(row.created_at, row.seen_at), at: now };
    const wallMs = Math.max(clock.wallMs(), before.wallMs + (now - before.at));
    seen.set(row.id, { wallMs, at: now });
    const isNews = row.seen_at < row.expires_at && (wallMs >= row.expires_at || wallMs - row.seen_at >= SEEN_EVERY_MS);
    if (isNews) noteSeen(wallMs, row.id);
    return wallMs;
  };
  const stateOf = (row: InvitationRow): InvitationState => {
    if (row.state === 'open' && row.expires_at <= timeOf(row)) return 'expired';
    if (row.state !== 'open') seen.delete(row.id);
    return row.state;
  };
  // From now on time passes for them, whatever becomes of the clock.
  for (const row of sql.invitations.all()) stateOf(row);

  const freeName = (wanted: string): string => {
    let name = wanted;
    for (let n = 2; sql.peerByName.get(name) !== undefined; n++) name = `${wanted}-${n}`;
    return name;
  };

  const putPeer = (peer: NewPeer, replaces: string | undefined): void => {
    const before = sql.peerById.get(peer.peerId) ?? (replaces === undefined ? undefined : sql.peerById.get(replaces));
    if (before === undefined) {
      sql.insertPeer.run(peer.peerId, peer.name, peer.publicKey, peer.pairSecret, clock.wallMs());
      return;
    }
    if (before.peer_id !== peer.peerId) sql.removeAddresses.run(before.peer_id);
    sql.updatePeer.run(peer.peerId, peer.name, peer.publicKey, peer.pairSecret, before.peer);
  };

  /** In one transaction, so that of any number of redeemers one wins. */
  const redeem = database.transaction((redemption: Redemption): RedeemResult => {
    const row = sql.invitation.get(redemption.inviteId);
    if (row === undefined) return 'expired';
    if (row.state === 'revoked') return 'revoked';
    const again = row.redeemed_by?.equals(redemption.publicKey) === true;
    if (row.state === 'used' && !again) return 'used';
    if (row.state === 'open' && stateOf(row) === 'expired') return 'expired';
    const known = sql.peerById.get(redemption.peerId);
    // A retry after the answer was lost must not bring back a peer that has been removed since.
    if (again && known === undefined) return 'used';
    sql.useInvitation.run(redemption.publicKey, redemption.inviteId);
    const replaced = row.replaces === null ? undefined : sql.peerById.get(row.replaces);
    const name = known?.name ?? replaced?.name ?? freeName(row.name ?? redemption.suggestedName);
    putPeer({ ...redemption, name }, replaced?.peer_id);
    return 'joined';
  });

  return {
    /** Small values of the node itself. */
    meta: (key: string): unknown => sql.meta.get(key)?.value,
    setMeta(key: string, value: string | number | Uint8Array): void {
      sql.setMeta.run(key, value);
    },
    /** setMeta for what is only good to know. */
    noteMeta: ifPossible((key: string, value: string) => sql.setMeta.run(key, value)),

    peers: (): PeerRecord[] => sql.peers.all().map(toPeer),
    peer(peerId: string): PeerRecord | undefined {
      const row = sql.peerById.get(peerId);
      return row === undefined ? undefined : toPeer(row);
    },
    peerNamed(name: string): PeerRecord | undefined {
      const row = sql.peerByName.get(name);
      return row === undefined ? undefined : toPeer(row);
    },
    /** The name, or the first of `name-2`, `name-3`... that no peer has. */
    freeName,
    /** Adds a peer, or renews the keys and secret of a known one. @param replaces the peer whose place it takes. */
    putPeer: database.transaction(putPeer),
    renamePeer(peerId: string, name: string): void {
      sql.renamePeer.run(name, peerId);
    },
    setInbox(peerId: string, folder: string): void {
      sql.setInbox.run(folder, peerId);
    },
    seenPeer: ifPossible((peerId: string) => sql.seenPeer.run(clock.wallMs(), peerId)),
    /** The time stamps stay, so that a recorded handshake stays worthless if the peer ever comes back. */
    removePeer: database.transaction((peerId: string) => {
      sql.removeAddresses.run(peerId);
      sql.removePeer.run(peerId);
    }),

    /** @returns false for one not above all before it: a replay. */
    acceptTimestamp: database.transaction((peerId: string, timestampMs: number): boolean => {
      if (timestampMs <= (sql.timestamps.get(peerId)?.received ?? 0)) return false;
      sql.setReceived.run(peerId, timestampMs);
      return true;
    }),
    /** Above all before it, also when the clock was set back. */
    nextTimestamp: database.transaction((peerId: string): number => {
      const next = Math.max(Math.floor(clock.wallMs()), (sql.timestamps.get(peerId)?.sent ?? 0) + 1);
      sql.setSent.run(peerId, next);
      return next;
    }),

    invitations: (): InvitationRecord[] =>
      sql.invitations.all().map((row) => ({
        id: row.id,
        name: row.name ?? undefined,
        createdAt: row.created_at,
        expiresAt: row.expires_at,
        state: stateOf(row),
      })),
    /** Open ones and tombstones. */
    tokens: (): TokenRecord[] =>
      sql.invitations.all().map((row) => ({ inviteId: row.id, token: new Uint8Array(row.token), state: stateOf(row) })),
    addInvitation(invitation: NewInvitation): void {
      const { id, token, name, replaces, expiresAt } = invitation;
      const now = Math.floor(clock.wallMs());
      sql.insertInvitation.run({ id, token, name: name ?? null, replaces: replaces ?? null, now, expiresAt });
      seen.set(id, { wallMs: now, at: clock.now() });
    },
    /** @returns false when there is no open one of this id. */
    revokeInvitation: (id: string): boolean => sql.revokeInvitation.run(id).changes > 0,
    redeem: (redemption: Redemption): RedeemResult => redeem.immediate(redemption),
    /** Forgets invitations 30 days past their expiry. */
    purge(): void {
      sql.purgeInvitations.run(clock.wallMs() - TOMBSTONE_MS);
    },

    acceptances: (): AcceptanceRecord[] =>
      sql.acceptances.all().map((row) => ({
        id: row.id,
        peerId: row.peer_id,
        name: row.name ?? undefined,
        content: new Uint8Array(row.content),
        expiresAt: row.expires_at,
      })),
    putAcceptance(acceptance: AcceptanceRecord): void {
      const { id, peerId, name, content, expiresAt } = acceptance;
      sql.insertAcceptance.run(id, peerId, name ?? null, content, expiresAt);
    },
    removeAcceptance: (id: string): boolean => sql.removeAcceptance.run(id).changes > 0,

    /** The last good first. */
    addresses: (peerId: string): AddressRecord[] => sql.addresses.all(peerId),
    rememberAddress: ifPossible(
      database.transaction((peerId: string, kind: string, host: string, port: number): void => {
        sql.putAddress.run(peerId, kind, host, port, Math.floor(clock.wallMs()));
        sql.trimAddresses.run({ peerId, kind });
      }),
    ),

    shares(): ShareRecord[] {
      const peers = sql.sharePeers.all();
      return sql.shares.all().map((row) => ({
        share: row.share,
        name: row.name,
        directory: row.directory,
        writable: row.writable === 1,
        idmap: row.idmap,
        quota: row.quota ?? undefined,
        to: row.everyone === 1 ? undefined : peers.filter((p) => p.share === row.share).map((p) => p.peer_id),
      }));
    },
    /** @returns the number of the share. */
    addShare: database.transaction((share: Omit<ShareRecord, 'share'>): number => {
      const { name, directory, writable, idmap, quota, to } = share;
      const everyone = Number(to === undefined);
      const done = sql.insertShare.run(name, directory, Number(writable), idmap, everyone, quota ?? null);
      const number = Number(done.lastInsertRowid);
      for (const peerId of to ?? []) sql.insertSharePeer.run(number, peerId);
      return number;
    }),
    /** @returns false when there is no such share. */
    setShareQuota: (name: string, quota: number | undefined): boolean =>
      sql.setShareQuota.run(quota ?? null, name).changes > 0,
    removeShare: (name: string): boolean => sql.removeShare.run(name).changes > 0,

    close(): void {
      database.close();
    },
  };
}

/** @throws ENVIRONMENT when the library's compiled part is missing: it is looked for at the first use. */
function openDatabase(file: string): Database.Database {
  try {
    return new Database(file);
  } catch (error) {
    throw error instanceof Database.SqliteError ? error : missingLibrary(error);
  }
}

function migrate(database: Database.Database, file: string): void {
  const version = Number(database.pragma('user_version', { simple: true }));
  if (version > MIGRATIONS.length) {
    throw new PeerfsError('ENVIRONMENT', `${file} was written by a newer peerfs (schema ${version})`, {
      hint: 'Update peerfs, or use another home.',
    });
  }
  for (const [index, step] of MIGRATIONS.entries()) {
    if (index < version) continue;
    database.transaction(() => {
      database.exec(step);
      database.pragma(`user_version = ${index + 1}`);
    })();
  }
}

/**
 * A write of what is only good to know, which is let be when it cannot be made: it comes with datagrams and timers, with
 * nobody above to catch it, and a peer can fill the disk.
 */
function ifPossible<Values extends readonly unknown[]>(write: (...values: Values) => unknown) {
  return (...values: Values): void => {
    try {
      write(...values);
    } catch (error) {
      if (!(error instanceof Database.SqliteError)) throw error;
    }
  };
}
