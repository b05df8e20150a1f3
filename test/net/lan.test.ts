import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { createIdentity, peerIdOf, type Identity } from '../../src/crypto/identity.ts';
import { HELLO_BYTES } from '../../src/crypto/lan-seal.ts';
import { openLan, type Lan } from '../../src/net/lan.ts';
import type { InvitationToken, KnownAddress, PeerBook } from '../../src/net/peer-book.ts';
import { createManualClock, type ManualClock } from '../manual-clock.ts';
import { createMemoryLan, type MemoryLan } from './memory-lan.ts';

interface Acquaintance {
  readonly identity: Identity;
  readonly pairSecret: Uint8Array;
}

/** As much of a PeerBook as hellos need. */
function bookOf(peers: readonly Acquaintance[], tokens: readonly InvitationToken[] = []): PeerBook {
  const known = peers.map(({ identity, pairSecret }) => ({
    peerId: peerIdOf(identity.publicKey),
    publicKey: identity.publicKey,
    pairSecret,
  }));
  const unused = (): never => assert.fail('not a matter of hellos');
  return {
    peers: () => known,
    peer: (peerId) => known.find((peer) => peer.peerId === peerId),
    tokens: () => tokens,
    acceptTimestamp: unused,
    nextTimestamp: unused,
    redeem: unused,
    addresses: unused,
    rememberAddress: unused,
  };
}

interface Host {
  readonly lan: Lan;
  readonly seen: [string, readonly KnownAddress[]][];
  readonly changes: number;
}

async function host(
  network: MemoryLan,
  clock: ManualClock,
  address: string,
  identity: Identity,
  book: PeerBook,
): Promise<Host> {
  const seen: Host['seen'] = [];
  let changes = 0;
  const lan = await openLan({
    identity,
    book,
    udpPort: 4000,
    tcpPort: 4001,
    clock,
    random: () => 0.5,
    onSeen: (peerId, addresses) => seen.push([peerId, addresses]),
    onNetworkChange: () => (changes += 1),
    open: network.open(address),
  });
  return {
    lan,
    seen,
    get changes() {
      return changes;
    },
  };
}

const [alice, bob, carol] = [createIdentity(), createIdentity(), createIdentity()];
const secret = randomBytes(32);
const aliceBook = bookOf([{ identity: bob, pairSecret: secret }]);
const bobBook = bookOf([{ identity: alice, pairSecret: secret }]);
const aliceId = peerIdOf(alice.publicKey);

test('a hello tells a peer where the sender listens', async () => {
  const [network, clock] = [createMemoryLan(), createManualClock()];
  const b = await host(network, clock, '10.0.0.2', bob, bobBook);
  clock.advance(5000);
  const a = await host(network, clock, '10.0.0.1', alice, aliceBook);
  clock.advance(1);
  assert.deepEqual(b.seen, [
    [
      aliceId,
      [
        { kind: 'tcp', host: '10.0.0.1', port: 4001 },
        { kind: 'udp', host: '10.0.0.1', port: 4000 },
      ],
    ],
  ]);
  assert.deepEqual(a.seen, []);
  await Promise.all([a.lan.close(), b.lan.close()]);
  assert.equal(clock.pending, 0);
});

test('hellos are repeated, and again at a request, but not more often than once a second', async () => {
  const [network, clock] = [createMemoryLan(), createManualClock()];
  const a = await host(network, clock, '10.0.0.1', alice, aliceBook);
  clock.advance(1);
  assert.equal(network.heard.length, 1);
  for (let i = 0; i < 10; i++) a.lan.hello();
  clock.advance(998);
  assert.equal(network.heard.length, 1);
  clock.advance(2);
  assert.equal(network.heard.length, 2);
  clock.advance(29_998);
  assert.equal(network.heard.length, 2);
  clock.advance(2);
  assert.equal(network.heard.length, 3);
  await a.lan.close();
});

test('a change of the network makes it say hello and is passed on', async () => {
  const [network, clock] = [createMemoryLan(), createManualClock()];
  const a = await host(network, clock, '10.0.0.1', alice, aliceBook);
  clock.advance(10_000);
  network.change('10.0.0.1');
  clock.advance(1);
  assert.equal(a.changes, 1);
  assert.equal(network.heard.length, 2);
  await a.lan.close();
});

test('strangers open nothing, and no two hellos have anything in common', async () => {
  const [network, clock] = [createMemoryLan(), createManualClock()];
  const a = await host(network, clock, '10.0.0.1', alice, aliceBook);
  const c = await host(network, clock, '10.0.0.3', carol, bookOf([{ identity: alice, pairSecret: randomBytes(32) }]));
  clock.advance(300_000);
  assert.deepEqual(c.seen, []);
  const hellos = network.heard.filter((one) => one.host === '10.0.0.1').map(({ datagram }) => Buffer.from(datagram));
  assert.ok(hellos.length > 8);
  const chunks = new Set<string>();
  for (const hello of hellos) {
    assert.equal(hello.length, HELLO_BYTES);
    for (const needle of [alice.publicKey, bob.publicKey, secret]) assert.equal(hello.indexOf(needle), -1);
    for (let at = 0; at + 8 <= hello.length; at++) {
      const chunk = hello.toString('latin1', at, at + 8);
      assert.ok(!chunks.has(chunk));
      chunks.add(chunk);
    }
  }
  await Promise.all([a.lan.close(), c.lan.close()]);
});

test('who accepts an invitation hears its creator, who is open to no other token', async () => {
  const [network, clock] = [createMemoryLan(), createManualClock()];
  const token = randomBytes(16);
  const used = randomBytes(16);
  const book = bookOf(
    [],
    [
      { inviteId: '1', token, state: 'open' },
      { inviteId: '2', token: used, state: 'used' },
    ],
  );
  const c = await host(network, clock, '10.0.0.3', carol, bookOf([]));
  const found: (readonly KnownAddress[])[] = [];
  const late: (readonly KnownAddress[])[] = [];
  const stop = c.lan.await({ publicKey: alice.publicKey, token, seen: (addresses) => found.push(addresses) });
  c.lan.await({ publicKey: alice.publicKey, token: used, seen: (addresses) => late.push(addresses) });
  const a = await host(network, clock, '10.0.0.1', alice, book);
  clock.advance(1);
  assert.equal(found.length, 1);
  assert.equal(found[0]?.[0]?.host, '10.0.0.1');
  stop();
  clock.advance(60_000);
  assert.equal(found.length, 1);
  assert.deepEqual(late, []);
  await Promise.all([a.lan.close(), c.lan.close()]);
});

test('with more peers than a hello has boxes, all of them hear', async () => {
  const [network, clock] = [createMemoryLan(), createManualClock()];
  const many = Array.from({ length: 30 }, () => ({ identity: createIdentity(), pairSecret: randomBytes(32) }));
  const hosts = await Promise.all(
    many.map(({ identity, pairSecret }, i) =>
      host(network, clock, `10.0.1.${i}`, identity, bookOf([{ identity: alice, pairSecret }])),
    ),
  );
  clock.advance(5000);
  const a = await host(network, clock, '10.0.0.1', alice, bookOf(many));
  clock.advance(1);
  assert.equal(network.heard.filter((one) => one.host === '10.0.0.1').length, 3);
  for (const { seen } of hosts) assert.equal(seen.length, 1);
  await Promise.all([a, ...hosts].map(({ lan }) => lan.close()));
});

test('a replayed hello is not believed once there was a newer one', async () => {
  const [network, clock] = [createMemoryLan(), createManualClock()];
  const a = await host(network, clock, '10.0.0.1', alice, aliceBook);
  const b = await host(network, clock, '10.0.0.2', bob, bobBook);
  clock.advance(1);
  const old = network.heard.find((one) => one.host === '10.0.0.1')?.datagram ?? assert.fail();
  clock.advance(31_000);
  assert.equal(b.seen.length, 2);
  network.inject('10.0.0.66', old);
  assert.equal(b.seen.length, 2);
  await Promise.all([a.lan.close(), b.lan.close()]);
});

test('junk is counted, a flood is not looked at, and other sources are still heard', async () => {
  const [network, clock] = [createMemoryLan(), createManualClock()];
  const b = await host(network, clock, '10.0.0.2', bob, bobBook);
  clock.advance(10_000);
  for (const length of [0, 1, HELLO_BYTES - 1, HELLO_BYTES, HELLO_BYTES + 1]) {
    network.inject('10.0.0.66', randomBytes(length));
  }
  assert.equal(b.lan.counters.hellosDropped, 6); // Its own hello is one.
  for (let i = 0; i < 100; i++) network.inject('10.0.0.66', randomBytes(HELLO_BYTES));
  assert.ok(b.lan.counters.hellosLimited >= 80);
  const a = await host(network, clock, '10.0.0.1', alice, aliceBook);
  clock.advance(1);
  assert.equal(b.seen.length, 1);
  await Promise.all([a.lan.close(), b.lan.close()]);
});
