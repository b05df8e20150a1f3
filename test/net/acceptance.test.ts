import assert from 'node:assert/strict';
import { test } from 'node:test';
import { codeOf, PeerfsError, type ErrorCode } from '../../src/errors.ts';
import { acceptInvitation, type Acceptance, type Accepted } from '../../src/net/acceptance.ts';
import type { DialTarget } from '../../src/net/handshaker.ts';
import { createManualClock, settle, type ManualClock } from '../manual-clock.ts';
import { createMemoryPathPair } from './memory-path.ts';

const LIFE_MS = 3_600_000;
/** What a dial to an address where nobody answers takes. */
const SILENCE_MS = 5_000;
const TOKEN = new Uint8Array(16).fill(3);
const KEY = new Uint8Array(32).fill(4);

/** What becomes of a dial: a path, an error at once, or no answer. */
type Fate = 'there' | ErrorCode | 'silent';

interface World {
  readonly clock: ManualClock;
  readonly stop: AbortController;
  readonly dials: { readonly at: number; readonly target: DialTarget; readonly signal: AbortSignal }[];
  fate: (target: DialTarget) => Fate;
  readonly unreached: number[];
  readonly closed: () => number;
  accept(hosts: readonly string[], lifeMs?: number): Acceptance;
}

function createWorld(): World {
  const clock = createManualClock();
  let closed = 0;
  const world: World = {
    clock,
    stop: new AbortController(),
    dials: [],
    fate: () => 'there',
    unreached: [],
    closed: () => closed,
    accept: (hosts, lifeMs = LIFE_MS) =>
      acceptInvitation({
        invitation: {
          publicKey: KEY,
          token: TOKEN,
          expiresAtMs: clock.wallMs() + lifeMs,
          name: 'creator',
          addresses: hosts.map((host) => ({ host, port: 1 })),
        },
        endpoint: { paths: ['tcp'], connect, relays: [], address: { host: '::', port: 1 } },
        clock,
        signal: world.stop.signal,
        onUnreached: (round) => world.unreached.push(round),
      }),
  };

  async function connect(target: DialTarget, signal: AbortSignal) {
    world.dials.push({ at: clock.now(), target, signal });
    const fate = world.fate(target);
    if (fate === 'silent') {
      await new Promise<void>((resolve) => {
        clock.after(SILENCE_MS, resolve);
        signal.addEventListener('abort', () => resolve());
      });
      throw new PeerfsError(signal.aborted ? 'CANCELLED' : 'ETIMEDOUT', 'no answer');
    }
    if (fate !== 'there') throw new PeerfsError(fate, 'no');
    const { ends } = createMemoryPathPair({ clock, kind: target.kind });
    const path = ends[0];
    const close = path.close.bind(path);
    path.close = () => {
      closed += 1;
      close();
    };
    return { path, name: 'creator' };
  }
  return world;
}

interface Outcome {
  accepted: Accepted | undefined;
  code: string | undefined;
}

function watch({ accepted }: Acceptance): Outcome {
  const outcome: Outcome = { accepted: undefined, code: undefined };
  accepted.then(
    (value) => (outcome.accepted = value),
    (error: unknown) => (outcome.code = codeOf(error)),
  );
  return outcome;
}

test('the creator is dialled with the token at its address, and the path is handed over', async () => {
  const world = createWorld();
  const outcome = watch(world.accept(['10.0.0.1']));
  await settle();
  const [dial] = world.dials;
  assert.deepEqual(dial?.target, {
    publicKey: KEY,
    psk: TOKEN,
    purpose: 'invitation',
    kind: 'tcp',
    host: '10.0.0.1',
    port: 1,
    via: undefined,
  });
  const { path, ...where } = outcome.accepted ?? {};
  assert.deepEqual(where, { name: 'creator', kind: 'tcp', host: '10.0.0.1', port: 1 });
  assert.ok(path !== undefined && world.closed() === 0);
});

test('a creator that is asleep is tried again, less and less often, until it wakes', async () => {
  const world = createWorld();
  world.fate = () => 'EHOSTDOWN';
  const outcome = watch(world.accept(['10.0.0.1']));
  await world.clock.run(600_000);
  const count = world.dials.length;
  assert.ok(count >= 35 && count <= 60, `${count} dials in ten minutes`);
  assert.equal(world.unreached.length, count);
  world.fate = () => 'there';
  await world.clock.run(16_000);
  assert.equal(outcome.accepted?.name, 'creator');
});

test('an address where nobody answers delays the next a little', async () => {
  const world = createWorld();
  world.fate = ({ host }) => (host === '10.0.0.3' ? 'there' : 'silent');
  const outcome = watch(world.accept(['10.0.0.1', '10.0.0.2', '10.0.0.3']));
  await world.clock.run(600);
  assert.equal(outcome.accepted?.host, '10.0.0.3');
  assert.deepEqual(
    world.dials.map(({ at }) => at),
    [0, 50, 100],
  );
  assert.ok(world.dials[0]?.signal.aborted);
});

test('a creator heard of on the local network is tried at once, while others are', async () => {
  const world = createWorld();
  world.fate = ({ host }) => (host === '10.0.0.9' ? 'there' : 'silent');
  const acceptance = world.accept(['10.0.0.1']);
  const outcome = watch(acceptance);
  await world.clock.run(1000);
  assert.equal(world.dials.length, 1);
  acceptance.hint('tcp', '10.0.0.9', 2);
  await settle();
  assert.deepEqual([outcome.accepted?.host, outcome.accepted?.port], ['10.0.0.9', 2]);
});

test('a creator heard of is tried at once in a pause, too, and not twice at a time', async () => {
  const world = createWorld();
  world.fate = () => 'EHOSTDOWN';
  const acceptance = world.accept(['10.0.0.1']);
  const outcome = watch(acceptance);
  await world.clock.run(300_000);
  world.fate = ({ host }) => (host === '10.0.0.9' ? 'silent' : 'EHOSTDOWN');
  const before = world.dials.length;
  const at = world.clock.now();
  for (let i = 0; i < 5; i++) {
    acceptance.hint('tcp', '10.0.0.9', 2);
    await settle();
  }
  const hinted = world.dials.slice(before).filter(({ target }) => target.host === '10.0.0.9');
  assert.deepEqual(
    hinted.map((dial) => dial.at),
    [at],
  );
  assert.equal(outcome.accepted, undefined);
  world.fate = () => 'there';
  await world.clock.run(SILENCE_MS + 16_000);
  assert.ok(outcome.accepted);
});

for (const code of ['INVITE_USED', 'INVITE_REVOKED', 'INVITE_EXPIRED'] as const) {
  test(`${code} from the creator ends it at once`, async () => {
    const world = createWorld();
    world.fate = ({ host }) => (host === '10.0.0.2' ? code : 'silent');
    const outcome = watch(world.accept(['10.0.0.1', '10.0.0.2', '10.0.0.3']));
    await world.clock.run(300);
    assert.equal(outcome.code, code);
    await world.clock.run(60_000);
    assert.equal(world.dials.length, 2);
    assert.ok(world.dials[0]?.signal.aborted);
  });
}

test('an invitation that expires while its creator sleeps is given up', async () => {
  const world = createWorld();
  world.fate = () => 'EHOSTDOWN';
  const outcome = watch(world.accept(['10.0.0.1'], 60_000));
  await world.clock.run(59_000);
  assert.equal(outcome.code, undefined);
  await world.clock.run(2000);
  assert.equal(outcome.code, 'INVITE_EXPIRED');
});

test('given up while dialling or between dials, it ends at once', async () => {
  for (const fate of ['silent', 'EHOSTDOWN'] as const) {
    const world = createWorld();
    world.fate = () => fate;
    const outcome = watch(world.accept(['10.0.0.1']));
    await world.clock.run(121_000);
    assert.equal(outcome.code, undefined);
    const { length } = world.dials;
    world.stop.abort();
    await settle();
    await settle();
    assert.equal(outcome.code, 'CANCELLED');
    await world.clock.run(60_000);
    assert.equal(world.dials.length, length);
  }
});

test('what is given up before it begins dials nobody', async () => {
  const world = createWorld();
  world.stop.abort();
  const outcome = watch(world.accept(['10.0.0.1']));
  await settle();
  assert.deepEqual([outcome.code, world.dials.length], ['CANCELLED', 0]);
});
