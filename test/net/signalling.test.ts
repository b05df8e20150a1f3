import assert from 'node:assert/strict';
import { test } from 'node:test';
import { silentLogger } from '../../src/log.ts';
import { createAddressRules } from '../../src/net/address-rules.ts';
import { createCandidates, type Candidates } from '../../src/net/candidates.ts';
import type { PeerChannel } from '../../src/net/channel.ts';
import { createPeerChannel } from '../../src/net/peer-channel.ts';
import type { RendezvousWay } from '../../src/net/rendezvous.ts';
import { createSeeker, createSignalling, type Signalling } from '../../src/net/signalling.ts';
import { createWays, type Way, type Ways } from '../../src/net/ways.ts';
import { CANDIDATE_TYPE, SIGNAL, SIGNAL_BYTES, type WireCandidate } from '../../src/wire/candidate.ts';
import { decodeStruct, encodeStruct } from '../../src/wire/codec.ts';
import { createManualClock, type ManualClock } from '../manual-clock.ts';
import { createMemoryPathPair } from './memory-path.ts';
import { createMemoryRendezvous, type MemoryRendezvous } from './memory-rendezvous.ts';

const SECRET = new Uint8Array(32).fill(5);

const host = (address: string): WireCandidate => ({ type: CANDIDATE_TYPE.host, transports: 3, host: address, port: 9 });

function candidatesOf(...addresses: string[]): Candidates {
  const candidates = createCandidates(createAddressRules([], []));
  candidates.set('local', addresses.map(host));
  return candidates;
}

interface Side {
  readonly channel: PeerChannel;
  readonly candidates: Candidates;
  readonly ways: Ways;
  readonly heard: { readonly hosts: readonly string[]; readonly way: Way | undefined }[];
  readonly observed: string[];
  readonly signalling: Signalling;
}

interface World {
  readonly clock: ManualClock;
  readonly meeting: MemoryRendezvous;
  readonly sides: readonly [Side, Side];
  connect(kind?: 'udp' | 'tcp'): ReturnType<typeof createMemoryPathPair>;
  close(): void;
}

function createWorld(): World {
  const clock = createManualClock();
  const meeting = createMemoryRendezvous(clock);
  const side = (at: 0 | 1): Side => {
    const channel = createPeerChannel({
      peerId: `peer ${at}`,
      bootId: new Uint8Array(16).fill(at + 1),
      name: '',
      clock,
      log: silentLogger,
    });
    const candidates = candidatesOf(`192.0.2.${at + 1}`);
    const ways = createWays(clock, ['dht', 'peer']);
    const heard: Side['heard'] = [];
    const observed: string[] = [];
    const signalling = createSignalling({
      channel,
      secret: { secret: SECRET, side: at },
      peerId: `peer ${at}`,
      rendezvous: [meeting.open('dht')],
      candidates,
      ways,
      clock,
      onCandidates: (found, way) => heard.push({ hosts: found.map((one) => one.host), way }),
      onObserved: (seen, voter) => observed.push(`${voter} ${seen.host} ${seen.port}`),
    });
    channel.serve({} as never, { signal: signalling.received });
    return { channel, candidates, ways, heard, observed, signalling };
  };
  const sides = [side(0), side(1)] as const;
  return {
    clock,
    meeting,
    sides,
    connect(kind = 'tcp') {
      const pair = createMemoryPathPair({ clock, kind });
      sides.forEach(({ channel }, at) => channel.attach(pair.ends[at === 0 ? 0 : 1], 0));
      return pair;
    },
    close() {
      for (const { channel, signalling } of sides) {
        signalling.close();
        channel.close('shutting-down');
      }
    },
  };
}

test('two that have no path tell each other at the rendezvous where they are', async () => {
  const world = createWorld();
  await world.clock.run(5000);
  assert.deepEqual(world.sides[0].heard, [{ hosts: ['192.0.2.2'], way: 'dht' }]);
  assert.deepEqual(world.sides[1].heard, [{ hosts: ['192.0.2.1'], way: 'dht' }]);
  assert.equal(world.sides[0].ways.list.find(({ way }) => way === 'dht')?.result, 'found');
  world.close();
});

test('the addresses from before are given a moment before anybody else is asked', async () => {
  const world = createWorld();
  await world.clock.run(900);
  assert.equal(world.meeting.attended, 0);
  world.close();
});

test('on a path they tell each other where they are, and again when that changes', async () => {
  const world = createWorld();
  world.connect();
  await world.clock.run(500);
  assert.deepEqual(world.sides[0].heard, [{ hosts: ['192.0.2.2'], way: undefined }]);
  world.sides[1].candidates.set('local', [host('192.0.2.9')]);
  world.sides[1].candidates.set('stun', [host('192.0.2.8')]);
  await world.clock.run(1000);
  assert.deepEqual(world.sides[0].heard.slice(1), [{ hosts: ['192.0.2.9', '192.0.2.8'], way: undefined }]);
  world.close();
});

test('who has a path neither says nor looks for anything at a rendezvous, who loses it does again', async () => {
  const world = createWorld();
  const pair = world.connect();
  await world.clock.run(60_000);
  assert.equal(world.meeting.attended, 0);
  pair.cut();
  await world.clock.run(5000);
  assert.equal(world.meeting.attended, 2);
  world.close();
});

test('what is said changes with the candidates', async () => {
  const world = createWorld();
  await world.clock.run(5000);
  world.sides[0].candidates.set('local', [host('198.51.100.7')]);
  await world.clock.run(1000);
  assert.deepEqual(world.sides[1].heard.at(-1), { hosts: ['198.51.100.7'], way: 'dht' });
  world.close();
});

test('a closed one is at no rendezvous', async () => {
  const world = createWorld();
  await world.clock.run(5000);
  world.close();
  assert.equal(world.meeting.attended, 0);
});

interface Said {
  say: (bytes: Uint8Array) => void;
  readonly heard: string[][];
  readonly said: Uint8Array[];
}

/** A seeker at a rendezvous where the test says what the other side says. */
function seekAlone(clock: ManualClock, candidates: Candidates): Said {
  const world: Said = { say: () => undefined, heard: [], said: [] };
  const way: RendezvousWay = 'dht';
  const seeker = createSeeker({
    secret: { secret: SECRET, side: 0 },
    rendezvous: [
      {
        way,
        meet({ onSignal }) {
          world.say = onSignal;
          return {
            status: { state: 'idle', at: undefined },
            say: (bytes) => world.said.push(bytes),
            attend: () => undefined,
            close: () => undefined,
          };
        },
      },
    ],
    candidates,
    clock,
    onSignal: (found) => world.heard.push(found.map((one) => one.host)),
  });
  seeker.seek();
  return world;
}

test('the way that worked last is asked first, the others a little later', async () => {
  const clock = createManualClock();
  const begun: string[] = [];
  const way = (name: RendezvousWay) => ({
    way: name,
    meet: () => ({
      status: { state: 'idle' as const, at: undefined },
      say: () => undefined,
      attend: (mode: string) => begun.push(`${name} ${mode} ${clock.now()}`),
      close: () => undefined,
    }),
  });
  const seeker = createSeeker({
    secret: { secret: SECRET, side: 0 },
    rendezvous: [way('peer'), way('dht')],
    candidates: candidatesOf('192.0.2.1'),
    preferred: () => 'dht',
    clock,
    onSignal: () => undefined,
  });
  seeker.seek();
  await clock.run(5000);
  assert.deepEqual(begun, ['dht active 1000', 'peer active 2500']);
  seeker.close();
});

const signal = (timestampMs: number, address: string) =>
  encodeStruct(SIGNAL, { timestampMs, wanted: true, candidates: [host(address)] });

test('what is older than what was heard, and what makes no sense, is not believed', async () => {
  const world = seekAlone(createManualClock(), candidatesOf('192.0.2.1'));
  world.say(signal(1000, '198.51.100.1'));
  world.say(signal(999, '198.51.100.2'));
  world.say(signal(1000, '198.51.100.3'));
  world.say(new Uint8Array(40).fill(7));
  world.say(new Uint8Array(0));
  world.say(signal(1001, '198.51.100.4'));
  assert.deepEqual(world.heard, [['198.51.100.1'], ['198.51.100.4']]);
});

test('a signal is never longer than its bound, and drops its last candidates for that', () => {
  const long = Array.from({ length: 16 }, (_, i) => `2001:db8:1111:2222:3333:4444:5555:${(0x6660 + i).toString(16)}`);
  const world = seekAlone(createManualClock(), candidatesOf(...long));
  const [said] = world.said;
  assert.ok(said !== undefined && said.length <= SIGNAL_BYTES);
  const { candidates } = decodeStruct(SIGNAL, said);
  assert.ok(candidates.length >= 10);
  assert.deepEqual(
    candidates.map((one) => one.host),
    long.slice(0, candidates.length),
  );
});

test('a peer that says something else all the time is heard seldom, and then its newest', async () => {
  const world = createWorld();
  world.connect();
  await world.clock.run(100);
  const [, { channel, heard, observed }] = world.sides;
  const [path] = world.sides[0].channel.paths;
  assert.ok(path !== undefined && channel.state === 'live');
  heard.length = 0;
  for (let i = 1; i <= 5000; i++) {
    world.sides[0].channel.pushOn(path, 'signal', {
      candidates: [host(`198.51.${i >> 8}.${i & 255}`)],
      observedHost: '',
      observedPort: 0,
    });
  }
  await world.clock.run(20_000);
  assert.ok(heard.length <= 21, `${heard.length} times`);
  assert.deepEqual(heard.at(-1)?.hosts, ['198.51.19.136']);
  assert.deepEqual(observed, []);
  world.close();
});

test('what claims to be of a far future is not believed, and makes nothing old that comes later', () => {
  const clock = createManualClock();
  const world = seekAlone(clock, candidatesOf('192.0.2.1'));
  for (const ahead of [Number.MAX_SAFE_INTEGER - clock.wallMs(), 3 * 3_600_000]) {
    world.say(signal(clock.wallMs() + ahead, '198.51.100.1'));
  }
  world.say(signal(clock.wallMs() + 3_600_000, '198.51.100.2'));
  assert.deepEqual(world.heard, [['198.51.100.2']]);
});

test('candidates that change all the time are said at a rendezvous at a pace, the newest in the end', async () => {
  const clock = createManualClock();
  const candidates = candidatesOf('192.0.2.1');
  const world = seekAlone(clock, candidates);
  for (let i = 0; i < 1000; i++) {
    candidates.set('local', [host(`198.51.${i >> 8}.${i & 255}`)]);
    await clock.run(20);
  }
  await clock.run(5000);
  assert.ok(world.said.length <= 11, `${world.said.length} times`);
  const { candidates: last } = decodeStruct(SIGNAL, world.said.at(-1) ?? new Uint8Array(0));
  assert.deepEqual(
    last.map((one) => one.host),
    ['198.51.3.231'],
  );
});
