import assert from 'node:assert/strict';
import { test } from 'node:test';
import { onionClientKey, onionHost } from '../../src/crypto/onion.ts';
import { silentLogger } from '../../src/log.ts';
import type { ControlConnection, Reply } from '../../src/net/tor-control.ts';
import { createTorServices, MAX_ONION_CLIENTS, type TorServices } from '../../src/net/tor-services.ts';
import { createManualClock, settle, type ManualClock } from '../manual-clock.ts';

const SEED = Buffer.alloc(32, 7);
const HOST = onionHost(SEED);
const ID = HOST.slice(0, -'.onion'.length);
const options = { seed: SEED, virtualPort: 7, targetPort: 4242 };

const client = (n: number): Uint8Array => onionClientKey(Buffer.alloc(32, n), HOST).publicKey;

interface FakeTor extends ControlConnection {
  /** Commands as they came, keys left out. */
  readonly told: string[];
  /** How the next commands are answered. */
  status: number;
}

function fakeTor(): FakeTor {
  const told: string[] = [];
  const tor: FakeTor = {
    told,
    status: 250,
    command: async (line): Promise<Reply> => {
      told.push(line.replace(/ED25519-V3:\S+/, 'KEY').replace(ID, 'ID'));
      return { status: tor.status, lines: [{ text: 'x' }] };
    },
    close: () => undefined,
  };
  return tor;
}

function start(): { services: TorServices; clock: ManualClock } {
  const clock = createManualClock();
  const services = createTorServices({ clock, log: silentLogger });
  return { services, clock };
}

test('a service is given to each Tor that comes, and is published when a directory has it', async () => {
  const { services } = start();
  const service = services.serve(options);
  assert.equal(service.host, HOST);
  assert.equal(service.state, 'waiting');
  for (let round = 0; round < 2; round++) {
    const tor = fakeTor();
    services.attach(tor);
    assert.deepEqual(tor.told, ['ADD_ONION KEY Flags=DiscardPK Port=7,127.0.0.1:4242']);
    services.heard(`HS_DESC UPLOADED ${ID} UNKNOWN $AA`);
    assert.equal(service.state, 'waiting', 'what comes before the answer is about an earlier one');
    await settle();
    for (const event of [`HS_DESC UPLOAD ${ID} UNKNOWN $AA`, `HS_DESC FAILED ${ID} UNKNOWN`, 'HS_DESC', 'x']) {
      services.heard(event);
    }
    assert.equal(service.state, 'waiting');
    services.heard(`HS_DESC UPLOADED ${ID} UNKNOWN $AA`);
    assert.equal(service.state, 'published');
    services.detach();
    assert.equal(service.state, 'waiting');
  }
});

test('who may find it is replaced only when it changed; nobody means not published at all', async () => {
  const { services } = start();
  const tor = fakeTor();
  services.attach(tor);
  const service = services.serve({ ...options, clients: [] });
  service.allow([]);
  await settle();
  assert.equal(tor.told.length, 0);
  service.allow([client(1), client(2)]);
  service.allow([client(2), client(1), client(1)]);
  assert.equal(tor.told.length, 1);
  assert.match(
    tor.told[0] ?? '',
    /^ADD_ONION KEY Flags=DiscardPK,V3Auth Port=7,127\.0\.0\.1:4242( ClientAuthV3=[a-z2-7]{52}){2}$/,
  );
  service.allow([client(1)]);
  service.allow([]);
  assert.deepEqual(
    tor.told.slice(1).map((line) => line.split(' ')[0]),
    ['DEL_ONION', 'ADD_ONION', 'DEL_ONION'],
  );
  const many = Array.from({ length: MAX_ONION_CLIENTS + 1 }, (_, n) => {
    const key = Buffer.alloc(32);
    key.writeUInt16BE(n);
    return key;
  });
  service.allow(many);
  assert.equal(tor.told.at(-1)?.match(/ClientAuthV3/g)?.length, MAX_ONION_CLIENTS);
});

test('what Tor refuses is offered again after a while, unless it was closed', async () => {
  const { services, clock } = start();
  const tor = fakeTor();
  tor.status = 550;
  services.attach(tor);
  const service = services.serve(options);
  await settle();
  assert.equal(service.state, 'failed');
  assert.equal(tor.told.length, 1);
  tor.status = 250;
  await clock.run(10_000);
  assert.equal(tor.told.length, 2);
  services.heard(`HS_DESC UPLOADED ${ID} UNKNOWN $AA`);
  assert.equal(service.state, 'published');

  tor.status = 550;
  services.detach();
  services.attach(tor);
  await settle();
  service.close();
  await clock.run(60_000);
  assert.equal(tor.told.length, 3);
});

test('a closed service is taken down once and may be opened anew', async () => {
  const { services } = start();
  const tor = fakeTor();
  services.attach(tor);
  const service = services.serve(options);
  assert.throws(() => services.serve(options), { code: 'EEXIST' });
  service.close();
  service.close();
  service.allow([client(1)]);
  const again = services.serve(options);
  service.close();
  await settle();
  assert.deepEqual(
    tor.told.map((line) => line.split(' ')[0]),
    ['ADD_ONION', 'DEL_ONION', 'ADD_ONION'],
  );
  services.heard(`HS_DESC UPLOADED ${ID} UNKNOWN $AA`);
  assert.equal(again.state, 'published');
  assert.equal(service.state, 'waiting');
});

test('keys are given to each Tor; of two for one service the later counts until it is withdrawn', async () => {
  const { services } = start();
  const first = fakeTor();
  services.attach(first);
  const key = (n: number): Uint8Array => Buffer.alloc(32, n);
  const command = (n: number): string => `ONION_CLIENT_AUTH_ADD ID x25519:${Buffer.from(key(n)).toString('base64')}`;
  const withdrawOne = services.authorise(HOST, key(1));
  const withdrawTwo = services.authorise(HOST, key(2));
  assert.deepEqual(first.told, [command(1), command(2)]);
  services.detach();
  const second = fakeTor();
  services.attach(second);
  withdrawTwo();
  withdrawTwo();
  withdrawOne();
  assert.deepEqual(second.told, [command(2), command(1), 'ONION_CLIENT_AUTH_REMOVE ID']);
  services.authorise(HOST, key(3));
  await services.leave();
  assert.deepEqual(second.told.splice(3), [command(3), 'ONION_CLIENT_AUTH_REMOVE ID']);
  services.authorise('example.com', key(1))();
  services.authorise(`${HOST}\r\nSIGNAL HALT`, key(1))();
  services.authorise(HOST, Buffer.alloc(31))();
  assert.equal(second.told.length, 3);
  await settle();
});
