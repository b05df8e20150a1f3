import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { createIdentity } from '../../src/crypto/identity.ts';
import { onionClientKey, onionHost } from '../../src/crypto/onion.ts';
import { createOnions } from '../../src/daemon/onions.ts';
import { openStore } from '../../src/daemon/store.ts';
import type { Tor } from '../../src/net/tor.ts';
import { CANDIDATE_TRANSPORT, CANDIDATE_TYPE } from '../../src/wire/candidate.ts';
import { createManualClock } from '../manual-clock.ts';
import { temporaryFolder } from './temporary-home.ts';

interface Served {
  readonly host: string;
  readonly targetPort: number;
  clients: readonly Uint8Array[] | undefined;
  isOpen: boolean;
}

/** A Tor that keeps what it was told. */
function createTor() {
  const services: Served[] = [];
  /** Host -> secret key. */
  const keys = new Map<string, Uint8Array>();
  const tor: Tor = {
    status: { state: 'ready', progress: 100, detail: '' },
    onStatus: () => () => undefined,
    dial: () => Promise.reject(new Error('nobody dials here')),
    serve(options) {
      const { seed, targetPort, clients } = options;
      const served: Served = { host: onionHost(seed), targetPort, clients, isOpen: true };
      services.push(served);
      return {
        host: served.host,
        state: 'published',
        allow: (clients) => void (served.clients = clients),
        close: () => void (served.isOpen = false),
      };
    },
    authorise(host, secretKey) {
      keys.set(host, secretKey);
      return () => keys.get(host) === secretKey && keys.delete(host);
    },
    close: async () => undefined,
  };
  return { tor, services, keys };
}

const TARGET_PORT = 40_001;
const key = (n: number): Uint8Array => new Uint8Array(32).fill(n);
const onion = (n: number) => ({
  type: CANDIDATE_TYPE.onion,
  transports: CANDIDATE_TRANSPORT.tcp,
  host: onionHost(key(n)),
  port: 4500,
});

function createWorld(t: TestContext, identity = createIdentity()) {
  const store = openStore(join(temporaryFolder(t), 'state.sqlite'), createManualClock());
  t.after(() => store.close());
  const { tor, services, keys } = createTor();
  const onions = createOnions({ tor, identity, store, targetPort: TARGET_PORT });
  const befriend = (peerId: string, pairSecret: number) =>
    store.putPeer({ peerId, publicKey: key(pairSecret + 100), pairSecret: key(pairSecret), name: peerId }, undefined);
  return { identity, store, services, keys, onions, befriend };
}

test('one service is for all peers, found by none but them, at an address that is the same after a restart', (t) => {
  const { identity, services, onions, befriend } = createWorld(t);
  befriend('bob', 1);
  onions.refresh();
  befriend('carol', 2);
  onions.refresh();
  assert.equal(services.length, 1);
  const [service] = services;
  const { host } = onions.candidate;
  assert.equal(service?.host, host);
  assert.equal(service.targetPort, TARGET_PORT);
  const expected = [1, 2].map((secret) => onionClientKey(key(secret), host).publicKey);
  assert.deepEqual(new Set(service.clients), new Set(expected));
  assert.equal(createWorld(t, identity).onions.candidate.host, host);
  assert.notEqual(createWorld(t).onions.candidate.host, host);
});

test('without peers the service is open to nobody, not to everybody', (t) => {
  const { services, onions } = createWorld(t);
  onions.refresh();
  assert.deepEqual(services[0]?.clients, []);
});

test('a peer that was removed finds the service no longer, and its key is withdrawn', (t) => {
  const { store, services, keys, onions, befriend } = createWorld(t);
  befriend('bob', 1);
  onions.refresh();
  onions.learn('bob', [onion(7)]);
  assert.deepEqual(keys.get(onion(7).host), onionClientKey(key(1), onion(7).host).secretKey);
  store.removePeer('bob');
  onions.refresh();
  assert.deepEqual(services[0]?.clients, []);
  assert.equal(keys.size, 0);
});

test('what a peer says of its service is remembered once, and authorised again after a restart', (t) => {
  const { store, keys, onions, befriend } = createWorld(t);
  befriend('bob', 1);
  onions.learn('bob', [onion(7)]);
  onions.learn('bob', [onion(7)]);
  onions.learn('bob', []);
  assert.deepEqual(
    store.addresses('bob').map(({ kind, host, port }) => ({ kind, host, port })),
    [{ kind: 'tor', host: onion(7).host, port: 4500 }],
  );
  onions.close();
  assert.equal(keys.size, 0);
  const again = createTor();
  createOnions({ tor: again.tor, identity: createIdentity(), store, targetPort: TARGET_PORT }).refresh();
  assert.deepEqual([...again.keys.keys()], [onion(7).host]);
});

test('a peer that joined anew has another key', (t) => {
  const { keys, onions, befriend } = createWorld(t);
  befriend('bob', 1);
  onions.learn('bob', [onion(7)]);
  befriend('bob', 2);
  onions.refresh();
  assert.deepEqual(keys.get(onion(7).host), onionClientKey(key(2), onion(7).host).secretKey);
});

test("a peer that says it has another's service does not take away the key that opens it", (t) => {
  const { store, keys, onions, befriend } = createWorld(t);
  befriend('bob', 1);
  befriend('eve', 2);
  onions.learn('bob', [onion(7)]);
  onions.learn('eve', [onion(7)]);
  assert.deepEqual(keys.get(onion(7).host), onionClientKey(key(1), onion(7).host).secretKey);
  assert.deepEqual(store.addresses('eve'), []);
  store.removePeer('bob');
  onions.learn('eve', [onion(7)]);
  assert.deepEqual(keys.get(onion(7).host), onionClientKey(key(2), onion(7).host).secretKey);
});

test('an invitation has a service of its own while it is open, which whoever holds it can find', (t) => {
  const { services, onions } = createWorld(t);
  onions.refresh();
  const [first, second] = [onions.invite(key(3)), onions.invite(key(4))];
  assert.equal(new Set([onions.candidate.host, first.host, second.host]).size, 3);
  assert.equal(services[1]?.clients, undefined);
  assert.equal(onions.invite(key(3)).host, first.host);
  first.close();
  assert.deepEqual(
    services.map(({ isOpen }) => isOpen),
    [true, false, true, true],
  );
  onions.close();
  assert.equal(services[0]?.isOpen, false);
});
