import assert from 'node:assert/strict';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import Database from 'better-sqlite3';
import { openStore, type NewInvitation, type Redemption } from '../../src/daemon/store.ts';
import { temporaryFolder } from './temporary-home.ts';

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const key = (n: number) => new Uint8Array(32).fill(n);

/** A calendar that the test sets. */
const calendar = () => ({
  wall: 1_700_000_000_000,
  now: () => 0,
  slept: () => 0,
  after: () => ({ cancel: () => undefined }),
  wallMs,
});
function wallMs(this: { wall: number }): number {
  return this.wall;
}

function open(t: TestContext, file = join(temporaryFolder(t), 'state.sqlite')) {
  const clock = calendar();
  const store = openStore(file, clock);
  t.after(() => store.close());
  const invite = (more: Partial<NewInvitation> = {}): NewInvitation => {
    const invitation = {
      id: 'i1',
      token: new Uint8Array(16).fill(9),
      name: undefined,
      expiresAt: clock.wallMs() + DAY,
      replaces: undefined,
      ...more,
    };
    store.addInvitation(invitation);
    return invitation;
  };
  const by = (n: number, more: Partial<Redemption> = {}): Redemption => ({
    inviteId: 'i1',
    peerId: `peer${n}`,
    publicKey: key(n),
    pairSecret: key(100 + n),
    suggestedName: 'guest',
    ...more,
  });
  return { file, clock, store, invite, by };
}

describe('the store', () => {
  it('is 0600 from its creation, with its companions', (t) => {
    const before = process.umask(0);
    t.after(() => process.umask(before));
    const { file, store } = open(t);
    store.setMeta('x', 1);
    for (const name of [file, `${file}-wal`, `${file}-shm`]) assert.equal(statSync(name).mode & 0o777, 0o600, name);
  });

  it('keeps what it was given when it is opened again', (t) => {
    const { file, store, invite } = open(t);
    store.setMeta('port', 41_000);
    store.setMeta('key', key(3));
    store.putPeer({ peerId: 'p', publicKey: key(1), pairSecret: key(2), name: 'bob' }, undefined);
    invite();
    store.close();
    const again = open(t, file).store;
    assert.equal(again.meta('port'), 41_000);
    assert.deepEqual(new Uint8Array(again.meta('key') as Buffer), key(3));
    assert.deepEqual(again.peerNamed('bob')?.pairSecret, key(2));
    assert.equal(again.tokens()[0]?.state, 'open');
  });

  it('refuses the database of a newer version and leaves it alone', (t) => {
    const { file, store } = open(t);
    store.close();
    const database = new Database(file);
    database.pragma('user_version = 99');
    database.close();
    assert.throws(() => openStore(file, calendar()), { code: 'ENVIRONMENT', message: /newer/ });
  });
});

describe('time stamps', () => {
  it('those sent rise, also when the clock was set back and after a restart', (t) => {
    const { file, store, clock } = open(t);
    const first = store.nextTimestamp('p');
    assert.ok(first >= clock.wallMs() - 1);
    assert.equal(store.nextTimestamp('p'), first + 1);
    clock.wall -= 10 * DAY;
    assert.equal(store.nextTimestamp('p'), first + 2);
    store.close();
    assert.equal(open(t, file).store.nextTimestamp('p'), first + 3);
  });

  it('those received are taken once, and only above all before', (t) => {
    const { store } = open(t);
    assert.equal(store.acceptTimestamp('p', 100), true);
    assert.equal(store.acceptTimestamp('p', 100), false);
    assert.equal(store.acceptTimestamp('p', 99), false);
    assert.equal(store.acceptTimestamp('p', 101), true);
    assert.equal(store.acceptTimestamp('q', 100), true);
  });

  it('outlive the removal of the peer', (t) => {
    const { store } = open(t);
    store.putPeer({ peerId: 'p', publicKey: key(1), pairSecret: key(2), name: 'bob' }, undefined);
    store.acceptTimestamp('p', 100);
    store.removePeer('p');
    assert.equal(store.acceptTimestamp('p', 100), false);
  });
});

describe('redeeming an invitation', () => {
  it('of 100 redeemers one wins; the same key again has joined again', (t) => {
    const { store, invite, by } = open(t);
    invite({ name: 'bob' });
    const results = Array.from({ length: 100 }, (_, n) => store.redeem(by(n)));
    assert.equal(results.filter((result) => result === 'joined').length, 1);
    assert.equal(results.filter((result) => result === 'used').length, 99);
    assert.equal(store.redeem(by(0)), 'joined');
    assert.deepEqual(
      store.peers().map((peer) => [peer.name, peer.peerId]),
      [['bob', 'peer0']],
    );
  });

  it('a retry does not bring back a peer that was removed since', (t) => {
    const { store, invite, by } = open(t);
    invite();
    store.redeem(by(1));
    store.removePeer('peer1');
    assert.equal(store.redeem(by(1)), 'used');
    assert.deepEqual(store.peers(), []);
  });

  it('is refused by name when revoked, and from the very millisecond of expiry on', (t) => {
    const { store, invite, by, clock } = open(t);
    invite();
    assert.equal(store.revokeInvitation('i1'), true);
    assert.equal(store.revokeInvitation('i1'), false);
    assert.equal(store.redeem(by(1)), 'revoked');
    const second = invite({ id: 'i2' });
    clock.wall = second.expiresAt - 1;
    assert.equal(store.tokens().find((row) => row.inviteId === 'i2')?.state, 'open');
    clock.wall = second.expiresAt;
    assert.equal(store.tokens().find((row) => row.inviteId === 'i2')?.state, 'expired');
    assert.equal(store.redeem(by(1, { inviteId: 'i2' })), 'expired');
    assert.deepEqual(store.peers(), []);
  });

  it('tombstones last 30 days past expiry', (t) => {
    const { store, invite, by, clock } = open(t);
    const { expiresAt } = invite();
    store.redeem(by(1));
    clock.wall = expiresAt + 30 * DAY;
    store.purge();
    assert.equal(store.tokens().length, 1);
    clock.wall += 1;
    store.purge();
    assert.equal(store.tokens().length, 0);
    assert.equal(store.peers().length, 1);
  });

  it('a name that is taken gets a number, a known key keeps its name and gets the new secret', (t) => {
    const { store, invite, by } = open(t);
    store.putPeer({ peerId: 'x', publicKey: key(50), pairSecret: key(51), name: 'guest' }, undefined);
    invite();
    store.redeem(by(1));
    assert.equal(store.peer('peer1')?.name, 'guest-2');
    invite({ id: 'i2', name: 'other' });
    store.redeem(by(1, { inviteId: 'i2', pairSecret: key(77) }));
    assert.equal(store.peer('peer1')?.name, 'guest-2');
    assert.deepEqual(store.peer('peer1')?.pairSecret, key(77));
  });

  it('a peer that lost its home takes its old place: name, inbox, shares', (t) => {
    const { store, invite, by } = open(t);
    store.putPeer({ peerId: 'old', publicKey: key(50), pairSecret: key(51), name: 'bob' }, undefined);
    store.setInbox('old', 'bob');
    store.rememberAddress('old', 'tcp', '192.0.2.1', 5);
    store.addShare({ name: 's', directory: '/s', writable: false, idmap: 'user', quota: undefined, to: ['old'] });
    invite({ name: 'bob', replaces: 'old' });
    assert.equal(store.redeem(by(1)), 'joined');
    assert.deepEqual(
      store.peers().map(({ peerId, name, inbox }) => ({ peerId, name, inbox })),
      [{ peerId: 'peer1', name: 'bob', inbox: 'bob' }],
    );
    assert.deepEqual(store.shares()[0]?.to, ['peer1']);
    assert.deepEqual(store.addresses('old'), []);
  });
});

describe('shares and addresses', () => {
  it('numbers of shares are never used again, and a removed peer is out of all of them', (t) => {
    const { store } = open(t);
    for (const n of [1, 2]) {
      store.putPeer({ peerId: `p${n}`, publicKey: key(n), pairSecret: key(n), name: `n${n}` }, undefined);
    }
    const share = { directory: '/d', writable: true, idmap: 'user' as const, quota: undefined };
    const first = store.addShare({ ...share, name: 'a', to: ['p1', 'p2'] });
    store.addShare({ ...share, name: 'b', to: undefined });
    store.removePeer('p1');
    assert.deepEqual(
      store.shares().map((row) => [row.name, row.to]),
      [
        ['a', ['p2']],
        ['b', undefined],
      ],
    );
    assert.equal(store.removeShare('a'), true);
    assert.equal(store.removeShare('a'), false);
    const third = store.addShare({ ...share, name: 'a', to: [] });
    assert.ok(third > first + 1);
    assert.deepEqual(store.shares().find((row) => row.name === 'a')?.to, []);
    assert.equal(store.setShareQuota('a', 5), true);
    assert.deepEqual(
      store.shares().map((row) => row.quota),
      [5, undefined],
    );
    assert.equal(store.setShareQuota('c', 5), false);
  });

  it('the address that was good last comes first, and eight of a kind are kept', (t) => {
    const { store, clock } = open(t);
    for (let n = 0; n < 12; n++) {
      clock.wall += 10;
      store.rememberAddress('p', 'udp', `192.0.2.${n}`, 1);
    }
    store.rememberAddress('p', 'tcp', '192.0.2.1', 1);
    clock.wall += 10;
    store.rememberAddress('p', 'udp', '192.0.2.6', 1);
    const udp = store.addresses('p').filter((row) => row.kind === 'udp');
    assert.equal(udp.length, 8);
    assert.equal(udp[0]?.host, '192.0.2.6');
    assert.equal(store.addresses('p').filter((row) => row.kind === 'tcp').length, 1);
  });
});

describe('a store that cannot be written', () => {
  it('lets be what is only good to know, and refuses the rest', (t) => {
    const { file, store } = open(t);
    store.putPeer({ peerId: 'bob', publicKey: key(1), pairSecret: key(2), name: 'bob' }, undefined);
    const database = new Database(file);
    t.after(() => database.close());
    for (const [table, event] of [
      ['addresses', 'INSERT'],
      ['meta', 'INSERT'],
      ['peers', 'UPDATE'],
    ]) {
      database.exec(`CREATE TRIGGER ${table}_full BEFORE ${event} ON ${table} BEGIN SELECT RAISE(ABORT, 'full'); END`);
    }
    store.rememberAddress('bob', 'udp', '192.0.2.1', 9);
    store.seenPeer('bob');
    store.noteMeta('way bob', 'dht');
    assert.deepEqual(store.addresses('bob'), []);
    assert.equal(store.meta('way bob'), undefined);
    assert.throws(() => store.setMeta('port', 9), /full/);
    assert.throws(() => store.renamePeer('bob', 'robert'), /full/);
  });
});
