import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ByteString } from '../../src/bytestring.ts';
import type { Handlers, PeerChannel } from '../../src/net/channel.ts';
import { watch } from './channel-pair.ts';
import { createMemoryPathPair } from './memory-path.ts';
import { createMovingPair, type MovingPair } from './moving-pair.ts';
import { createRandom } from './simulated-link.ts';
import { REMOVED } from './sample-replies.ts';

const PIECE = 16 * 1024;
/** Every path may be as fast as this, bytes a second. */
const RATE = 4_000_000;
const MOST_STALL_MS = 3_000;

const file = (index: number) => ({ share: 0, path: `f${index}` as ByteString });

/** Counts how often each name was unlinked (not idempotent); reads and writes move bytes; recalls are answered. */
function counting() {
  const seen = new Map<string, number>();
  const server: Partial<Handlers> = {
    unlink: async ({ path }) => {
      seen.set(path, (seen.get(path) ?? 0) + 1);
      return { reply: REMOVED };
    },
    read: async ({ length }) => ({ reply: { change: 1 }, payload: new Uint8Array(length) }),
    write: async ({ offset }) => ({
      reply: { size: offset + PIECE, end: offset + PIECE, mtimeSec: 0, mtimeNsec: 0, change: 1 },
    }),
  };
  const recall: Partial<Handlers> = { recall: async () => ({ reply: {} }) };
  return { seen, server, recall };
}

interface Load {
  readonly finished: number;
  readonly failures: unknown[];
  /** Longest time without an answer, milliseconds. */
  longestMs: number;
  stop(): void;
}

/** Keeps so many calls in flight, one after the other. */
function keepCalling(
  pair: MovingPair,
  count: number,
  call: (pair: MovingPair, index: number) => Promise<unknown>,
): Load {
  const failures: unknown[] = [];
  let stopped = false;
  let index = 0;
  let answeredAt = pair.clock.now();
  const load = { finished: 0, failures, longestMs: 0, stop: () => void (stopped = true) };
  const next = (): void => {
    if (stopped) return;
    call(pair, index++).then(
      () => {
        const now = pair.clock.now();
        load.longestMs = Math.max(load.longestMs, now - answeredAt);
        answeredAt = now;
        load.finished += 1;
        next();
      },
      (error: unknown) => {
        failures.push(error);
        next();
      },
    );
  };
  for (let i = 0; i < count; i++) next();
  return load;
}

const reading = ({ client }: MovingPair) => client.call('read', { handle: 1, offset: 0, length: PIECE });
const writing = ({ client }: MovingPair, index: number) =>
  client.call('write', { handle: 1, offset: index * PIECE }, { payload: new Uint8Array(PIECE) });
const unlinking = ({ client }: MovingPair, index: number) => client.call('unlink', file(index));
const recalling = ({ server }: MovingPair, index: number) =>
  server.call('recall', { ...file(index), what: 1, change: index });

const onlyOnce = (seen: ReadonlyMap<string, number>): boolean => [...seen.values()].every((times) => times === 1);

describe('moving: the path in use falls silent and a second one is ready', () => {
  for (const [name, conditions] of [
    ['near', { delayMs: 15 }],
    ['far', { delayMs: 1000 }],
  ] as const) {
    for (const [kind, call] of [
      ['reading', reading],
      ['writing', writing],
      ['recalls of the answering side', recalling],
    ] as const) {
      it(`${kind} goes on, on the ${name} one, after 3 s at most`, async () => {
        const { server, recall } = counting();
        const pair = createMovingPair(7, server, recall);
        const direct = pair.udp(0, { bytesPerSecond: RATE });
        const second = pair.udp(1, { bytesPerSecond: RATE, ...conditions });
        await pair.clock.run(5_000);
        const load = keepCalling(pair, 8, call);
        const caller: PeerChannel = call === recalling ? pair.server : pair.client;
        await pair.clock.run(2_000);
        assert.equal(caller.activePath, direct.ends[caller === pair.client ? 0 : 1]);
        const before = load.finished;
        assert.ok(before > 10);
        load.longestMs = 0;
        direct.dark = true;
        const movedMs = await pair.until(
          () => caller.activePath === second.ends[caller === pair.client ? 0 : 1],
          10_000,
        );
        assert.ok(movedMs <= MOST_STALL_MS, `moved after ${movedMs} ms`);
        await pair.clock.run(10_000);
        load.stop();
        const roundTripMs = 2 * conditions.delayMs;
        // A path that nothing went on before takes two round trips for a piece.
        assert.ok(load.longestMs <= MOST_STALL_MS + 2 * roundTripMs, `a stall of ${load.longestMs} ms`);
        assert.ok(load.finished > before + 8, `${load.finished - before} after`);
        assert.deepEqual(load.failures, []);
        assert.equal(caller.state, 'live');
      });
    }
  }

  it('the answering side, with nothing in flight, follows the peer: its next recall does not stall', async () => {
    const { server, recall } = counting();
    const pair = createMovingPair(3, server, recall);
    const direct = pair.udp(0);
    const second = pair.udp(1, { delayMs: 15 });
    await pair.clock.run(5_000);
    const load = keepCalling(pair, 1, unlinking);
    await pair.clock.run(1_000);
    direct.dark = true;
    await pair.until(() => pair.client.activePath === second.ends[0], 10_000);
    await pair.clock.run(1_500);
    assert.equal(pair.server.activePath, second.ends[1]);
    const told = watch(pair.server.call('recall', { ...file(1), what: 1, change: 1 }));
    await pair.clock.run(100);
    assert.ok(told.result);
    load.stop();
    assert.deepEqual(load.failures, []);
  });

  it('both sides call at once, both ways under load: no stall above 3 s, nothing runs twice', async () => {
    const { seen, server, recall } = counting();
    const pair = createMovingPair(11, server, recall);
    const direct = pair.udp(0, { bytesPerSecond: RATE });
    pair.udp(1, { bytesPerSecond: RATE, delayMs: 20 });
    await pair.clock.run(2_000);
    const loads = [reading, writing, unlinking, recalling].map((call) => keepCalling(pair, 4, call));
    await pair.clock.run(2_000);
    direct.dark = true;
    await pair.clock.run(8_000);
    for (const load of loads) load.stop();
    await pair.clock.run(2_000);
    for (const { longestMs, failures } of loads) {
      assert.deepEqual(failures, []);
      assert.ok(longestMs <= MOST_STALL_MS, `a stall of ${longestMs} ms`);
    }
    assert.ok(onlyOnce(seen));
  });

  it('calls on a worse path that dies after a better one came move too', async () => {
    const { server } = counting();
    let release: () => void = () => undefined;
    const held = new Promise<void>((resolve) => (release = resolve));
    let runs = 0;
    const pair = createMovingPair(5, {
      ...server,
      rmdir: async () => {
        runs += 1;
        await held;
        return { reply: REMOVED };
      },
    });
    const worse = pair.udp(1);
    await pair.clock.run(1_000);
    const old = watch(pair.client.call('rmdir', file(0)));
    await pair.clock.run(100);
    const better = pair.udp(0);
    await pair.clock.run(500);
    assert.equal(pair.client.activePath, better.ends[0]);
    worse.dark = true;
    await pair.clock.run(500);
    release();
    const waitedMs = await pair.until(() => old.settled, 10_000);
    assert.ok(old.result);
    assert.ok(waitedMs <= MOST_STALL_MS, `${waitedMs} ms`);
    assert.equal(runs, 1);
  });
});

describe('moving: Tor and a direct path', () => {
  it('upgrade: new calls take the direct path, those under way finish, none fails and none runs twice', async () => {
    const { seen, server } = counting();
    const pair = createMovingPair(13, server);
    const slow = pair.tor(1);
    await pair.clock.run(5_000);
    assert.equal(pair.client.pace, 'slow');
    const unlinks = keepCalling(pair, 4, unlinking);
    const writes = keepCalling(pair, 4, writing);
    await pair.clock.run(10_500);
    const direct = pair.udp(0, { bytesPerSecond: RATE });
    await pair.clock.run(500);
    assert.equal(pair.client.activePath, direct.ends[0]);
    assert.equal(pair.client.pace, 'fast');
    const taken = slow.ends[0].sent.length;
    const before = unlinks.finished;
    await pair.clock.run(5_000);
    assert.ok(unlinks.finished > before + 100, 'as fast as the direct path');
    assert.ok(slow.ends[0].sent.length <= taken + 2, 'nothing new on Tor');
    unlinks.stop();
    writes.stop();
    await pair.clock.run(5_000);
    assert.deepEqual([unlinks.failures, writes.failures], [[], []]);
    assert.equal(pair.client.statistics.callsResent, 0);
    assert.ok(onlyOnce(seen));
  });

  it('downgrade: the direct path dies, calls move to Tor within 3 s', async () => {
    const { seen, server, recall } = counting();
    const pair = createMovingPair(17, server, recall);
    const direct = pair.udp(0, { bytesPerSecond: RATE });
    const slow = pair.tor(1);
    await pair.clock.run(5_000);
    const loads = [unlinking, writing, recalling].map((call) => keepCalling(pair, 4, call));
    await pair.clock.run(1_000);
    direct.dark = true;
    const clientMs = await pair.until(() => pair.client.activePath === slow.ends[0], 10_000);
    const serverMs = await pair.until(() => pair.server.activePath === slow.ends[1], 10_000);
    assert.ok(clientMs + serverMs <= MOST_STALL_MS, `${clientMs} ms, then ${serverMs} ms`);
    assert.equal(pair.client.pace, 'slow');
    await pair.clock.run(60_000);
    for (const load of loads) load.stop();
    for (const { failures, finished } of loads) {
      assert.deepEqual(failures, []);
      assert.ok(finished > 20);
    }
    assert.ok(onlyOnce(seen));
  });

  it('little is in flight on Tor at once, so that little stays there when a better path comes', async () => {
    const { server } = counting();
    const pair = createMovingPair(19, server);
    const slow = pair.tor(0);
    await pair.clock.run(5_000);
    const writes = keepCalling(pair, 400, writing);
    await pair.clock.run(500);
    const sent = slow.ends[0].sent.filter(({ lane }) => lane === 1).length;
    assert.ok(sent > 50);
    assert.ok(sent * PIECE <= 2.1 * 1024 * 1024, `${sent} pieces`);
    await pair.clock.run(30_000);
    writes.stop();
    assert.deepEqual(writes.failures, []);
    assert.ok(writes.finished > 400);
  });

  it('small calls go past the writes that wait for room on Tor', async () => {
    const { server } = counting();
    const pair = createMovingPair(73, server);
    pair.tor(0);
    await pair.clock.run(5_000);
    const writes = keepCalling(pair, 1000, writing);
    await pair.clock.run(100);
    const small = watch(pair.client.call('unlink', file(1)));
    await pair.clock.run(2_100);
    assert.ok(small.result);
    assert.ok(writes.finished < 500);
    writes.stop();
  });
});

describe('moving: all paths are dead for a while', () => {
  it('10 s of darkness on both, shorter than patience: no call fails, none runs twice', async () => {
    const { seen, server, recall } = counting();
    const pair = createMovingPair(23, server, recall);
    let paths = [pair.udp(0, { bytesPerSecond: RATE }), pair.udp(1, { delayMs: 30 })];
    await pair.clock.run(3_000);
    const loads = [reading, writing, unlinking, recalling].map((call) => keepCalling(pair, 4, call));
    await pair.clock.run(2_000);
    for (const path of paths) path.dark = true;
    await pair.clock.run(10_000);
    assert.equal(pair.client.state, 'reconnecting');
    for (const path of paths) path.dark = false;
    const before = loads.map(({ finished }) => finished);
    // What the link does when paths have ended.
    paths = [pair.udp(0, { bytesPerSecond: RATE })];
    await pair.clock.run(3_000);
    assert.equal(pair.client.state, 'live');
    for (const load of loads) load.stop();
    await pair.clock.run(2_000);
    for (const [index, { failures, finished }] of loads.entries()) {
      assert.deepEqual(failures, []);
      assert.ok(finished > (before[index] ?? 0) + 4);
    }
    assert.ok(onlyOnce(seen));
  });
});

describe('moving: a path that flaps', () => {
  it('is not trusted at once again: work goes on beside it, without a failed call', async () => {
    const { seen, server } = counting();
    const pair = createMovingPair(29, server);
    const flapping = pair.tor(0);
    // A path of the same kind as the other, that does not end by itself.
    const steady = pair.udp(1, { delayMs: 15 });
    await pair.clock.run(5_000);
    const load = keepCalling(pair, 2, unlinking);
    let busySeconds = 0;
    for (let second = 0; second < 120; second++) {
      flapping.silent = second % 8 >= 3;
      const before = load.finished;
      await pair.clock.run(1_000);
      if (load.finished > before) busySeconds += 1;
    }
    load.stop();
    flapping.silent = false;
    await pair.clock.run(60_000);
    assert.deepEqual(load.failures, []);
    assert.ok(onlyOnce(seen));
    assert.ok(busySeconds >= 80, `calls were answered in ${busySeconds} of 120 seconds`);
    assert.equal(steady.ends[0].statistics.rttMs !== undefined, true);
  });

  it('comes back into use when it has answered for a while', async () => {
    const { server } = counting();
    const pair = createMovingPair(31, server);
    const first = pair.udp(0);
    const second = pair.udp(1, { delayMs: 15 });
    await pair.clock.run(3_000);
    const load = keepCalling(pair, 2, unlinking);
    await pair.clock.run(500);
    first.dark = true;
    await pair.until(() => pair.client.activePath === second.ends[0], 5_000);
    first.dark = false;
    await pair.clock.run(1_000);
    assert.equal(pair.client.activePath, second.ends[0], 'on trial');
    const backMs = await pair.until(() => pair.client.activePath === first.ends[0], 10_000);
    assert.ok(backMs <= 4_000, `${backMs} ms`);
    load.stop();
    assert.deepEqual(load.failures, []);
  });
});

describe('moving: cuts', () => {
  it('10,000 cuts at random moments: every call is answered and runs once', async () => {
    const { seen, server, recall } = counting();
    const pair = createMovingPair(37, server, recall);
    const random = createRandom(37);
    const path = () => {
      const kind = random() < 0.2 ? 'tcp' : 'udp';
      return { kind, delayMs: 1 + Math.floor(random() * 4) } as const;
    };
    const attach = () => {
      const made = createMemoryPathPair({ clock: pair.clock, ...path() });
      const preference = Math.floor(random() * 3);
      pair.client.attach(made.ends[0], preference);
      pair.server.attach(made.ends[1], preference);
      return made;
    };
    const paths = [attach(), attach()];
    const unlinks = keepCalling(pair, 16, unlinking);
    const others = [reading, recalling].map((call) => keepCalling(pair, 2, call));
    for (let cut = 0; cut < 10_000; cut++) {
      await pair.clock.run(Math.floor(random() * 12));
      const at = Math.floor(random() * paths.length);
      const old = paths[at];
      const how = random();
      // One end learns of it, or both, or frames are lost first.
      if (how < 0.2 && old !== undefined) old.silent = true;
      if (how < 0.4) old?.ends[0].fail('broken');
      else if (how < 0.6) old?.ends[1].fail('broken');
      else old?.cut();
      if (how < 0.6) old?.ends[how < 0.4 ? 1 : 0].fail('broken');
      paths[at] = attach();
    }
    unlinks.stop();
    for (const load of others) load.stop();
    await pair.clock.run(3_000);
    assert.deepEqual(
      [unlinks, ...others].flatMap(({ failures }) => failures),
      [],
    );
    assert.equal(seen.size, unlinks.finished);
    assert.ok(unlinks.finished > 10_000, `${unlinks.finished} calls`);
    assert.ok(onlyOnce(seen));
    assert.ok(pair.client.statistics.callsResent > 1_000);
  });
});

describe('moving: sleep and wake', () => {
  it('both slept for 10 minutes: the calls that were under way are answered', async () => {
    const { seen, server, recall } = counting();
    const pair = createMovingPair(41, server, recall);
    pair.udp(0);
    await pair.clock.run(3_000);
    const loads = [unlinking, recalling].map((call) => keepCalling(pair, 4, call));
    await pair.clock.run(1_005);
    pair.clock.sleep(600_000);
    await pair.clock.run(5_000);
    for (const load of loads) load.stop();
    await pair.clock.run(1_000);
    for (const { failures, finished } of loads) {
      assert.deepEqual(failures, []);
      assert.ok(finished > 100);
    }
    assert.ok(onlyOnce(seen));
  });

  it('a clock that jumps by 10 minutes is no silence', async () => {
    const { server } = counting();
    const pair = createMovingPair(43, server);
    const path = pair.udp(0);
    await pair.clock.run(3_000);
    const load = keepCalling(pair, 4, unlinking);
    await pair.clock.run(1_005);
    const now = pair.clock.now;
    pair.clock.now = () => now() + 600_000;
    await pair.clock.run(10_000);
    load.stop();
    await pair.clock.run(1_000);
    assert.deepEqual(load.failures, []);
    assert.deepEqual(pair.client.paths, [path.ends[0]]);
  });

  it('one slept and the other gave the path up: a call after the wake waits until it is found again', async () => {
    const { server } = counting();
    const pair = createMovingPair(47, server);
    const path = pair.udp(0);
    await pair.clock.run(3_000);
    path.dark = true;
    let needed = 0;
    pair.client.onPathNeeded(() => (needed += 1));
    pair.clock.sleep(600_000);
    const call = watch(pair.client.call('unlink', file(1)));
    await pair.clock.run(5_000);
    assert.equal(call.settled, false, 'the first touch is not cut short');
    assert.ok(needed > 0);
    pair.udp(0);
    await pair.clock.run(500);
    assert.ok(call.result);
  });

  it('without a sleep, nobody there is found out in 1.5 s as ever', async () => {
    const { server } = counting();
    const pair = createMovingPair(53, server);
    const path = pair.udp(0);
    await pair.clock.run(3_000);
    path.dark = true;
    const call = watch(pair.client.call('unlink', file(1)));
    await pair.clock.run(2_000);
    assert.equal(call.code, 'EHOSTDOWN');
  });
});

describe('slow paths: patience', () => {
  it('a first touch waits 10 s, a call 60 s', async () => {
    const { server } = counting();
    const pair = createMovingPair(59, server);
    const slow = pair.tor(0);
    await pair.clock.run(5_000);
    const first = watch(pair.client.call('unlink', file(1)));
    await pair.clock.run(3_000);
    assert.ok(first.result, 'a round trip of two seconds is no silence');
    await pair.clock.run(1_000);
    watch(pair.client.call('unlink', file(2)));
    await pair.clock.run(2_100);
    const running = watch(pair.client.call('unlink', file(3)));
    slow.silent = true;
    await pair.clock.run(55_000);
    assert.equal(running.settled, false);
    await pair.clock.run(20_000);
    assert.ok(running.settled);
  });

  it('when nobody is there any more, a first touch on Tor ends after 10 s', async () => {
    const { server } = counting();
    const pair = createMovingPair(61, server);
    const slow = pair.tor(0);
    await pair.clock.run(60_000);
    slow.silent = true;
    const call = watch(pair.client.call('unlink', file(1)));
    await pair.clock.run(9_000);
    assert.equal(call.settled, false);
    await pair.clock.run(2_000);
    assert.equal(call.code, 'EHOSTDOWN');
  });

  it('calls that were on Tor when it was lost wait 60 s for another path', async () => {
    const { server } = counting();
    const pair = createMovingPair(67, server);
    const slow = pair.tor(0);
    await pair.clock.run(5_000);
    watch(pair.client.call('unlink', file(0)));
    await pair.clock.run(2_100);
    const call = watch(pair.client.call('unlink', file(1)));
    await pair.clock.run(100);
    slow.cut();
    await pair.clock.run(8_000);
    assert.equal(pair.client.pace, 'fast', 'there is none');
    await pair.clock.run(45_000);
    assert.equal(call.settled, false);
    pair.tor(0);
    await pair.clock.run(5_000);
    assert.ok(call.result);
  });

  it('small calls live while bulk fills Tor: bytes that move are progress', async () => {
    let answer: () => void = () => undefined;
    const answered = new Promise<void>((resolve) => (answer = resolve));
    const { server } = counting();
    const pair = createMovingPair(71, {
      ...server,
      readlink: async () => {
        await answered;
        return { reply: { target: Buffer.from('t') } };
      },
    });
    const slow = pair.tor(0);
    await pair.clock.run(5_000);
    const bulk = keepCalling(pair, 8, reading);
    slow.drop = (from, lane, frame) => from === 1 && lane === 0 && frame[0] === 3; // no sign that it is worked at
    const small = watch(pair.client.call('readlink', file(1)));
    await pair.clock.run(180_000);
    assert.equal(small.settled, false);
    answer();
    await pair.clock.run(5_000);
    assert.ok(small.result);
    bulk.stop();
    assert.deepEqual(bulk.failures, []);
  });
});
