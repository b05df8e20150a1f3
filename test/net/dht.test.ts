import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import DHT from 'bittorrent-dht';
import { systemClock, type Clock } from '../../src/clock.ts';
import { untilNextHourMs } from '../../src/crypto/meeting.ts';
import { silentLogger } from '../../src/log.ts';
import { openDht, type Dht } from '../../src/net/dht.ts';
import type { PortGuest, SharedPort } from '../../src/net/shared-port.ts';
import { openUdpPort, type UdpAddress, type UdpPort } from '../../src/net/udp-port.ts';
import { startDhtNetwork, startDhtNode, type DhtNetwork } from './dht-network.ts';
import { testRendezvousContract } from './rendezvous-contract.ts';

const HOST = '127.0.0.1';
/** The nodes' time is so much faster than ours; the network's is not. */
const HURRY = 8;
const HOUR_MS = 3_600_000;
const PATIENCE_MS = 20_000;

const startNetwork = (): Promise<DhtNetwork> => startDhtNetwork({ host: HOST, nodes: 20, libtorrent: 4 });

/** @param wallMs the calendar time at the beginning. */
function hurriedClock(wallMs: number): Clock {
  const start = performance.now();
  const now = (): number => (performance.now() - start) * HURRY;
  return {
    now,
    slept: () => 0,
    wallMs: () => wallMs + Math.floor(now()),
    after(delayMs, expired) {
      const timer = setTimeout(expired, delayMs / HURRY);
      return { cancel: () => clearTimeout(timer) };
    },
  };
}

interface Client {
  readonly dht: Dht;
  readonly address: UdpAddress;
  readonly sent: Buffer[];
  readonly votes: { readonly voter: UdpAddress; readonly seen: UdpAddress }[];
  readonly saved: (readonly UdpAddress[])[];
  close(): Promise<void>;
}

interface ClientOptions {
  readonly bootstrap?: readonly string[];
  readonly savedNodes?: readonly UdpAddress[];
  readonly clock?: Clock;
  readonly resolve?: (host: string) => Promise<readonly string[]>;
  /** By how much all that comes in is late. */
  readonly delayMs?: number;
}

async function openClient(network: DhtNetwork, options: ClientOptions = {}): Promise<Client> {
  const guests = new Set<PortGuest>();
  const sent: Buffer[] = [];
  const port: UdpPort = await openUdpPort({
    host: '::',
    port: 0,
    onDatagram(datagram, from) {
      const [bytes, sender] = [Buffer.from(datagram), { ...from }];
      const input = (): boolean => [...guests].some((guest) => guest.input(bytes, sender));
      if (options.delayMs === undefined) input();
      else setTimeout(input, options.delayMs);
    },
  });
  const shared: SharedPort = {
    address: port.address,
    send(datagram, to) {
      sent.push(Buffer.from(datagram));
      port.send(datagram, to);
    },
    admit(guest) {
      guests.add(guest);
      return () => void guests.delete(guest);
    },
  };
  const votes: Client['votes'] = [];
  const saved: Client['saved'] = [];
  const dht = openDht({
    port: shared,
    bootstrap: options.bootstrap ?? network.bootstrap,
    savedNodes: options.savedNodes ?? [],
    onNodes: (nodes) => void saved.push(nodes),
    onVote: (voter, seen) => void votes.push({ voter, seen }),
    clock: options.clock ?? hurriedClock(Date.now()),
    random: Math.random,
    log: silentLogger,
    ...(options.resolve === undefined ? {} : { resolve: options.resolve }),
  });
  return {
    dht,
    address: { host: HOST, port: port.address.port },
    sent,
    votes,
    saved,
    async close() {
      dht.close();
      assert.equal(guests.size, 0, 'nothing stays at the port');
      await port.close();
    },
  };
}

async function until(what: string, holds: () => boolean): Promise<void> {
  const start = performance.now();
  while (!holds()) {
    assert.ok(performance.now() - start < PATIENCE_MS, `never: ${what}`);
    await sleep(5);
  }
}

/** Two ends of one meeting, and what each heard. */
function meet(a: Client, b: Client, secret: Uint8Array = randomBytes(32)) {
  const [heardByA, heardByB]: [string[], string[]] = [[], []];
  const into = (heard: string[]) => (signal: Uint8Array) => void heard.push(Buffer.from(signal).toString());
  return {
    a: a.dht.meet({ secret, side: 0, onSignal: into(heardByA) }),
    b: b.dht.meet({ secret, side: 1, onSignal: into(heardByB) }),
    heardByA,
    heardByB,
  };
}

/** Each test has a network of its own: nodes of bittorrent-dht keep clients that are gone for a while. */
async function withNetwork(run: (network: DhtNetwork) => Promise<void>, start = startNetwork): Promise<void> {
  const network = await start();
  try {
    await run(network);
  } finally {
    await network.close();
  }
}

async function openClients(network: DhtNetwork, clients: readonly ClientOptions[]): Promise<Client[]> {
  return Promise.all(clients.map((options) => openClient(network, options)));
}

function withClients(clients: readonly ClientOptions[], run: (...clients: Client[]) => Promise<void>): Promise<void> {
  return withNetwork(async (network) => {
    const open = await openClients(network, clients);
    try {
      await run(...open);
    } finally {
      await Promise.all(open.map((client) => client.close()));
    }
  });
}

testRendezvousContract('dht', async () => {
  const network = await startNetwork();
  const clients = await openClients(network, [{}, {}]);
  const [a, b] = clients.map(({ dht }) => dht);
  assert.ok(a !== undefined && b !== undefined);
  return {
    nodes: [a, b],
    pass: () => sleep(10),
    async close() {
      await Promise.all(clients.map((client) => client.close()));
      await network.close();
    },
  };
});

test('what is said moves to the place of the next hour when the hour turns, and is heard across the turn', async () => {
  const now = Date.now();
  const beforeTurn = now + untilNextHourMs(now) - 20_000;
  const clock = hurriedClock(beforeTurn);
  // The third looks at the hours after the turn alone.
  const ahead = hurriedClock(beforeTurn + 1.5 * HOUR_MS);
  await withClients([{ clock }, { clock }, { clock: ahead }], async (first, second, third) => {
    const secret = randomBytes(32);
    const meeting = meet(first, second, secret);
    meeting.a.say(Buffer.from('before'));
    for (const end of [meeting.a, meeting.b]) end.attend('active');
    await until('the signal before the turn', () => meeting.heardByB.length > 0);
    assert.ok(clock.wallMs() < beforeTurn + 20_000, 'still the hour before');
    const late = meet(first, third, secret);
    late.b.attend('active');
    await until('the signal at the next place', () => late.heardByB.length > 0);
    assert.ok(clock.wallMs() >= beforeTurn + 20_000, 'not before the turn');
    meeting.b.say(Buffer.from('after'));
    await until('the signal after the turn', () => meeting.heardByA.length > 0);
    assert.deepEqual([meeting.heardByA, meeting.heardByB, late.heardByB], [['after'], ['before'], ['before']]);
  });
});

test('clocks almost an hour apart meet, both ways', async () => {
  for (const skewMs of [-59 * 60_000, 59 * 60_000]) {
    const clocks = [hurriedClock(Date.now()), hurriedClock(Date.now() + skewMs)];
    await withClients(
      clocks.map((clock) => ({ clock })),
      async (first, second) => {
        const { a, b, heardByA, heardByB } = meet(first, second);
        a.say(Buffer.from('a'));
        b.say(Buffer.from('b'));
        for (const end of [a, b]) end.attend('active');
        await until('both signals', () => heardByA.length > 0 && heardByB.length > 0);
      },
    );
  }
});

test('a passive meeting hears somebody who comes some day', async () => {
  await withClients([{}, {}], async (first, second) => {
    const { a, b, heardByA, heardByB } = meet(first, second);
    a.say(Buffer.from('a'));
    a.attend('passive');
    await sleep(500);
    b.say(Buffer.from('b'));
    b.attend('active');
    await until('both signals', () => heardByA.length > 0 && heardByB.length > 0);
  });
});

test('many meetings of one node all come to something', async () => {
  await withClients([{}, {}], async (first, second) => {
    const meetings = Array.from({ length: 25 }, () => meet(first, second));
    for (const { a, b } of meetings) {
      a.say(Buffer.from('a'));
      b.say(Buffer.from('b'));
      for (const end of [a, b]) end.attend('active');
    }
    await until('all signals', () =>
      meetings.every(({ heardByA, heardByB }) => heardByA.length > 0 && heardByB.length > 0),
    );
  });
});

test('where answers come later than is usual, it learns to wait', async () => {
  const slow = { delayMs: 600, clock: systemClock };
  await withClients([slow, slow], async (first, second) => {
    const { a, b, heardByB } = meet(first, second);
    a.say(Buffer.from('a'));
    for (const end of [a, b]) end.attend('active');
    await until('the signal', () => heardByB.length > 0);
  });
});

test('after a restart the saved nodes are enough, without a bootstrap node', async () => {
  await withNetwork(async (network) => {
    const first = await openClient(network);
    await until('some nodes', () => first.dht.status.state === 'ready' && first.dht.status.nodes > 10);
    await first.close();
    const savedNodes = first.saved.at(-1) ?? [];
    assert.ok(savedNodes.length > 10 && savedNodes.length <= 64);
    assert.deepEqual(Object.keys(savedNodes[0] ?? {}), ['host', 'port']);
    const again = { savedNodes, bootstrap: [] };
    const [one, other] = await Promise.all([openClient(network, again), openClient(network, again)]);
    const { a, b, heardByB } = meet(one, other);
    try {
      a.say(Buffer.from('a'));
      for (const end of [a, b]) end.attend('active');
      await until('the signal', () => heardByB.length > 0);
    } finally {
      await Promise.all([one.close(), other.close()]);
    }
  });
});

test('names of bootstrap nodes are resolved, those that cannot be are left out', async () => {
  await withNetwork(async (network) => {
    const [one = ''] = network.bootstrap;
    const bootstrap = ['nowhere.example:6881', 'nonsense', `router.example:${one.split(':')[1] ?? ''}`, '[::1]:1'];
    const asked: string[] = [];
    const resolve = async (host: string): Promise<readonly string[]> => {
      asked.push(host);
      if (host !== 'router.example') throw new Error('no such name');
      return ['::1', HOST];
    };
    const client = await openClient(network, { bootstrap, resolve });
    await until('an answer', () => client.dht.status.state === 'ready').finally(() => client.close());
    assert.ok(asked.includes('router.example'));
  });
});

test('it is read-only: every datagram is a query that says so, and no query is answered', async () => {
  await withClients([{}, {}], async (first, second) => {
    const { a, b, heardByA, heardByB } = meet(first, second);
    a.say(Buffer.from('a'));
    b.say(Buffer.from('b'));
    for (const end of [a, b]) end.attend('active');
    await until('both signals', () => heardByA.length > 0 && heardByB.length > 0);

    const stranger = await startDhtNode(HOST, []);
    try {
      stranger.addNode(first.address);
      await new Promise<void>((resolve) => stranger.get(randomBytes(20), { cache: false }, () => resolve()));
      await sleep(300);
      assert.equal(stranger.nodes.count(), 0, 'no ping was answered');
    } finally {
      await new Promise<void>((resolve) => stranger.destroy(resolve));
    }

    const sent = [...first.sent, ...second.sent].map((datagram) => datagram.toString('latin1'));
    assert.ok(sent.length > 100);
    for (const datagram of sent) {
      assert.match(datagram, /^d1:ad.*1:q\d+:(ping|get|put|find_node)2:roi1e1:t4:.{4}1:y1:qe$/s);
    }
  });
});

test('nodes that know what read-only means keep no trace of who looks', async () => {
  await withNetwork(
    async (network) => {
      const known = async (): Promise<string[]> => (await network.libtorrentTables()).flatMap(({ nodes }) => nodes);
      const client = await openClient(network);
      try {
        const meeting = client.dht.meet({ secret: randomBytes(32), side: 0, onSignal: () => undefined });
        meeting.attend('active');
        const asks = (): number => client.sent.filter((datagram) => datagram.includes('1:q3:get')).length;
        await until('looks', () => asks() > 12);
        assert.ok(!(await known()).includes(`${HOST}:${client.address.port}`));
      } finally {
        await client.close();
      }
      const ordinary = await startDhtNode(HOST, network.bootstrap);
      try {
        const address = `${HOST}:${ordinary.address().port}`;
        await new Promise<void>((resolve) => ordinary.get(randomBytes(20), { cache: false }, () => resolve()));
        assert.ok((await known()).includes(address), 'they keep who is not read-only');
      } finally {
        await new Promise<void>((resolve) => ordinary.destroy(resolve));
      }
    },
    () => startDhtNetwork({ host: HOST, nodes: 4, libtorrent: 4 }),
  );
});

test('nodes that were asked tell our address', async () => {
  await withClients([{}], async ({ dht, votes, address }) => {
    await until('votes', () => votes.length > 0);
    assert.equal(dht.status.state, 'ready');
    for (const { seen } of votes) assert.deepEqual(seen, address);
  });
});

test('without a node it fails, its meetings are unavailable, and it comes back by itself when one answers', async () => {
  const probe = await openUdpPort({ host: HOST, port: 0, onDatagram: () => undefined });
  const { port } = probe.address;
  await probe.close();
  await withClients([{ bootstrap: [`${HOST}:${port}`] }], async ({ dht }) => {
    const states: string[] = [];
    const stop = dht.onStatus(({ state }) => states.push(state));
    const meeting = dht.meet({ secret: randomBytes(16), side: 0, onSignal: () => undefined });
    meeting.attend('active');
    assert.deepEqual([dht.status, meeting.status.state], [{ state: 'starting', nodes: 0 }, 'looking']);
    await until('failure', () => dht.status.state === 'failed');
    assert.equal(meeting.status.state, 'unavailable');
    const node = new DHT({ bootstrap: false });
    try {
      await new Promise<void>((resolve) => node.listen(port, HOST, resolve));
      await until('an answer', () => dht.status.state === 'ready');
      assert.equal(meeting.status.state, 'looking');
      stop();
    } finally {
      await new Promise<void>((resolve) => node.destroy(resolve));
    }
    await until('nobody answers any more', () => dht.status.state !== 'ready');
    assert.deepEqual(states, ['failed', 'ready']);
  });
});

test('when the network changed it begins anew under another id, and meetings go on', async () => {
  await withClients([{}, {}], async (first, second) => {
    const { a, b, heardByB } = meet(first, second);
    for (const end of [a, b]) end.attend('active');
    a.say(Buffer.from('one'));
    await until('the first signal', () => heardByB.includes('one'));
    const ids = (): Set<string> => new Set(first.sent.map((datagram) => datagram.toString('latin1').slice(12, 32)));
    const states: string[] = [];
    first.dht.onStatus(({ state }) => states.push(state));
    // On a busy machine it may have begun anew before: what counts is what the change brings.
    const former = ids();
    for (let time = 0; time < 3; time++) first.dht.networkChanged();
    a.say(Buffer.from('two'));
    await until('the second signal', () => heardByB.includes('two'));
    assert.deepEqual(states.slice(0, 2), ['starting', 'ready']);
    assert.ok(ids().size > former.size);
  });
});

test('a signal too long is refused; closing is idempotent, ends meetings, and nothing is done after it', async () => {
  await withClients([{}], async (client) => {
    const { a } = meet(client, client);
    assert.throws(() => a.say(Buffer.alloc(901)), RangeError);
    a.say(Buffer.from('a'));
    a.attend('active');
    await until('an answer', () => client.dht.status.state === 'ready');
    client.dht.close();
    client.dht.close();
    client.dht.networkChanged();
    const late = client.dht.meet({ secret: randomBytes(32), side: 0, onSignal: () => undefined });
    late.attend('active');
    assert.deepEqual([a.status.state, late.status.state], ['idle', 'idle']);
    const sent = client.sent.length;
    await sleep(300);
    assert.equal(client.sent.length, sent);
  });
});
