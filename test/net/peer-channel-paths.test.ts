import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ByteString } from '../../src/bytestring.ts';
import type { ChannelState } from '../../src/net/channel.ts';
import { FRAME_KINDS, encodeFrame } from '../../src/wire/frame.ts';
import { MESSAGES } from '../../src/wire/schema.ts';
import { createChannel, createChannelPair, createGate, watch } from './channel-pair.ts';
import { createMemoryPathPair } from './memory-path.ts';
import { REMOVED } from './sample-replies.ts';

const rmdir = { share: 0, path: 'a/b' as ByteString };
const readlink = rmdir;
const done = { reply: REMOVED };
const isReply = (frame: Buffer) => frame[0] === FRAME_KINDS.reply.number;

/** A server that counts how often rmdir (not idempotent) and readlink (idempotent) ran. */
function counting() {
  const runs = { rmdir: 0, readlink: 0 };
  const pair = createChannelPair({
    rmdir: async () => {
      runs.rmdir += 1;
      return { reply: { ...done.reply, change: runs.rmdir } };
    },
    readlink: async () => {
      runs.readlink += 1;
      return { reply: { target: Buffer.from('t') } };
    },
  });
  return { runs, ...pair };
}

describe('peer channel: exactly once', () => {
  it('a call whose reply was lost with its path runs once and has its first reply', async () => {
    const { runs, clock, client, link } = counting();
    const first = link();
    await clock.run(10);
    first.drop = (from, _, frame) => from === 1 && isReply(frame);
    const once = watch(client.call('rmdir', rmdir));
    const again = watch(client.call('readlink', readlink));
    await clock.run(10);
    assert.deepEqual(runs, { rmdir: 1, readlink: 1 });
    first.cut();
    link();
    await clock.run(10);
    assert.deepEqual({ ...once.result?.reply }, done.reply);
    assert.ok(again.result);
    assert.deepEqual(runs, { rmdir: 1, readlink: 2 });
    assert.equal(client.statistics.callsResent, 2);
  });

  it('a call still running when its path is lost is not started again; its reply takes the new path', async () => {
    const gate = createGate();
    let runs = 0;
    const { clock, client, link } = createChannelPair({
      readlink: async () => {
        runs += 1;
        await gate.opened;
        return { reply: { target: Buffer.from('t') } };
      },
    });
    const first = link();
    await clock.run(10);
    const call = watch(client.call('readlink', readlink));
    await clock.run(10);
    first.cut();
    const second = link();
    await clock.run(10);
    gate.open();
    await clock.run(10);
    assert.ok(call.result);
    assert.equal(runs, 1);
    assert.ok(second.ends[1].sent.some(({ frame }) => isReply(frame)));
  });

  it('a request that arrives late, after its reply was acknowledged, does not run again', async () => {
    const { runs, clock, client, link } = counting();
    const { ends } = link();
    await clock.run(10);
    watch(client.call('rmdir', rmdir));
    await clock.run(2000);
    assert.ok(
      ends[0].sent.some(({ frame }) => frame.readUInt16LE(1) === MESSAGES.acknowledge.tag),
      'acknowledged',
    );
    const request = ends[0].sent.find(({ frame }) => frame[0] === FRAME_KINDS.request.number);
    ends[0].send(0, [request?.frame ?? Buffer.alloc(0)]);
    await clock.run(100);
    assert.equal(runs.rmdir, 1);
  });

  it('10,000 calls over paths that are cut again and again run once each', async () => {
    const seen = new Map<string, number>();
    const { clock, client, link } = createChannelPair({
      unlink: async ({ path }) => {
        seen.set(path, (seen.get(path) ?? 0) + 1);
        return done;
      },
    });
    let path = link(0, { delayMs: 5 });
    let settled = 0;
    const failures: unknown[] = [];
    const settle = () => (settled += 1);
    for (let i = 0; i < 10_000; i++) {
      client
        .call('unlink', { share: 0, path: `f${i}` as ByteString })
        .then(settle, (error: unknown) => failures.push(error));
    }
    for (let cut = 0; cut < 200 && settled < 10_000; cut++) {
      await clock.run(13 + (cut % 7));
      path.cut();
      path = link(cut % 3, { delayMs: 5 });
    }
    await clock.run(1000);
    assert.deepEqual(failures, []);
    assert.equal(settled, 10_000);
    assert.equal(seen.size, 10_000);
    assert.ok([...seen.values()].every((times) => times === 1));
    assert.ok(client.statistics.callsResent > 1000);
  });

  it('acknowledgements pass by a call that stays open', async () => {
    const gate = createGate();
    const { clock, client, link } = createChannelPair({
      lock: async () => {
        await gate.opened;
        return { reply: {} };
      },
      rmdir: async () => done,
    });
    const { ends } = link();
    await clock.run(10);
    watch(client.call('rmdir', rmdir));
    const lock = watch(
      client.call(
        'lock',
        { handle: 1, owner: 1n, kind: 0, type: 1, start: 0n, end: 9n, pid: 1, wait: true },
        { unbounded: true },
      ),
    );
    watch(client.call('rmdir', rmdir));
    await clock.run(1000);
    const acknowledged = ends[0].sent
      .filter(({ frame }) => frame.readUInt16LE(1) === MESSAGES.acknowledge.tag)
      .map(({ frame }) => [Number(frame.readBigUInt64LE(15)), Number(frame.readBigUInt64LE(23))]);
    assert.deepEqual(acknowledged, [
      [0, 2],
      [3, 4],
    ]);
    gate.open();
    await clock.run(10);
    assert.ok(lock.result);
  });
});

describe('peer channel: several paths', () => {
  it('calls ride the path of the lowest preference and move when it ends', async () => {
    const { clock, client, link } = counting();
    const slow = link(2);
    const fast = link(1);
    await clock.run(10);
    assert.equal(client.activePath, fast.ends[0]);
    assert.equal(client.paths.length, 2);
    const call = watch(client.call('rmdir', rmdir));
    fast.cut();
    await clock.run(10);
    assert.ok(call.result);
    assert.equal(client.activePath, slow.ends[0]);
    assert.equal(client.state, 'live');
  });

  it('of equal preference the shorter round trip wins', async () => {
    const { clock, client, link } = counting();
    link(1, { delayMs: 20 });
    const near = link(1, { delayMs: 2 });
    await clock.run(50);
    assert.equal(client.activePath, near.ends[0]);
  });

  it('calls leave a path that stopped answering for another that does, within seconds', async () => {
    const { runs, clock, client, link } = counting();
    const dying = link(1);
    const other = link(2);
    await clock.run(10);
    dying.silent = true;
    const call = watch(client.call('rmdir', rmdir));
    await clock.run(5000);
    assert.ok(call.result, 'answered over the other');
    assert.equal(client.activePath, other.ends[0]);
    assert.equal(client.state, 'live');
    assert.equal(runs.rmdir, 1);
    dying.silent = false;
    dying.ends[0].probe();
    await clock.run(300);
  });

  it('goodbye for a path ends that path alone', async () => {
    const { clock, client, link } = counting();
    const first = link(1);
    link(2);
    await clock.run(10);
    first.ends[1].send(0, [encodeFrame('push', MESSAGES.goodbye.tag, 0, MESSAGES.goodbye.request, { reason: 2 })]);
    await clock.run(10);
    assert.equal(client.paths.length, 1);
    assert.equal(client.state, 'live');
  });
});

describe('peer channel: states', () => {
  it('live, reconnecting, live again; a call in between waits', async () => {
    const { clock, client, link } = counting();
    const states: ChannelState[] = [];
    let needed = 0;
    client.onState((state) => states.push(state));
    client.onPathNeeded(() => (needed += 1));
    const first = link();
    await clock.run(10);
    first.cut();
    assert.equal(needed, 1);
    const call = watch(client.call('rmdir', rmdir));
    await clock.run(1000);
    assert.equal(call.settled, false);
    link();
    await clock.run(10);
    assert.ok(call.result);
    assert.deepEqual(states, ['live', 'reconnecting', 'live']);
  });

  it('a call under way waits 15 s without a sign of life, then ETIMEDOUT; then EHOSTDOWN at once', async () => {
    const { clock, client, link } = counting();
    const first = link();
    await clock.run(10);
    watch(client.call('rmdir', rmdir));
    await clock.run(10);
    first.silent = true;
    const call = watch(client.call('rmdir', rmdir));
    await clock.run(14_000);
    assert.equal(call.settled, false);
    assert.equal(client.state, 'reconnecting');
    await clock.run(2_000);
    assert.equal(call.code, 'ETIMEDOUT');
    assert.equal(client.state, 'offline');
    assert.equal(client.paths.length, 0);
    let needed = 0;
    client.onPathNeeded(() => (needed += 1));
    const next = watch(client.call('rmdir', rmdir));
    await clock.run(0);
    assert.equal(next.code, 'EHOSTDOWN');
    assert.equal(needed, 1);
  });

  it('a first touch without a sign of life ends in 1.5 s with EHOSTDOWN; a sign of life brings the peer back', async () => {
    const { clock, client, link } = counting();
    const first = link();
    await clock.run(60_000);
    first.silent = true;
    const call = watch(client.call('rmdir', rmdir));
    await clock.run(1_250);
    assert.equal(call.settled, false);
    await clock.run(600);
    assert.equal(call.code, 'EHOSTDOWN');
    assert.equal(client.state, 'offline');
    first.silent = false;
    client.touch();
    await clock.run(500);
    assert.equal(client.state, 'live');
  });

  it('a first touch before any path waits 1.5 s for one', async () => {
    const { clock, client, link } = counting();
    const early = watch(client.call('rmdir', rmdir));
    await clock.run(1000);
    link();
    await clock.run(20);
    assert.ok(early.result);
  });

  it('without a path the peer is offline after the time of patience', async () => {
    const { clock, client } = counting();
    await clock.run(16_000);
    assert.equal(client.state, 'offline');
    assert.equal(clock.pending, 0);
  });

  it('a slow answer is waited for as long as the server says that it works', async () => {
    const gate = createGate();
    const { clock, client, link } = createChannelPair({
      rmdir: async () => {
        await gate.opened;
        return done;
      },
    });
    link();
    await clock.run(10);
    const call = watch(client.call('rmdir', rmdir));
    await clock.run(120_000);
    assert.equal(call.settled, false);
    assert.equal(client.state, 'live');
    gate.open();
    await clock.run(10);
    assert.ok(call.result);
  });

  it('a peer that is alive but never answers a call: ETIMEDOUT for the call, the peer stays live', async () => {
    const { clock, client, link } = createChannelPair({ readlink: () => new Promise(() => undefined) });
    const path = link();
    await clock.run(10);
    path.drop = (from) => from === 1;
    const call = watch(client.call('readlink', readlink));
    await clock.run(14_000);
    assert.equal(call.settled, false);
    await clock.run(2_000);
    assert.equal(call.code, 'ETIMEDOUT');
    assert.equal(client.state, 'live');
  });

  it('a lock wait has no deadline while the peer lives and ends when it is gone', async () => {
    const { clock, client, link } = createChannelPair({ lock: () => new Promise(() => undefined) });
    const path = link();
    await clock.run(10);
    const request = { handle: 1, owner: 1n, kind: 0, type: 1, start: 0n, end: 9n, pid: 1, wait: true };
    const wait = watch(client.call('lock', request, { unbounded: true }));
    await clock.run(900_000);
    assert.equal(wait.settled, false);
    assert.equal(client.state, 'live');
    path.cut();
    await clock.run(16_000);
    assert.equal(wait.code, 'ETIMEDOUT');
  });

  it('a process that was stopped for a minute does not take it for silence of the peer', async () => {
    const { clock, client, link } = counting();
    const path = link(0, { delayMs: 600 });
    await clock.run(5000);
    const call = watch(client.call('rmdir', rmdir));
    let skipped = 0;
    const real = clock.now;
    clock.now = () => real() + skipped;
    await clock.run(300);
    skipped = 60_000;
    await clock.run(2000);
    assert.ok(call.result);
    assert.equal(path.ends[0].probes > 0, true);
  });

  it('goodbye: offline at once, calls fail with EHOSTDOWN, nothing is left', async () => {
    const { clock, client, server, link } = createChannelPair({ rmdir: () => new Promise(() => undefined) });
    link();
    await clock.run(10);
    const call = watch(client.call('rmdir', rmdir));
    await clock.run(10);
    server.close('shutting-down');
    server.close('shutting-down');
    await clock.run(10);
    assert.equal(call.code, 'EHOSTDOWN');
    assert.equal(client.state, 'offline');
    assert.equal(client.paths.length, 0);
    client.close('shutting-down');
    await clock.run(1000);
    assert.equal(clock.pending, 0);
    assert.equal(server.state, 'offline');
  });

  it('nothing ticks while nothing is in flight', async () => {
    const { clock, client, link } = counting();
    link();
    await clock.run(10);
    watch(client.call('rmdir', rmdir));
    await clock.run(5000);
    assert.equal(clock.pending, 0);
  });
});

describe('peer channel: another boot of the peer', () => {
  it('calls that named a handle are ESTALE, others that are idempotent go on, the rest is unknown', async () => {
    const gate = createGate();
    const wait = async () => {
      await gate.opened;
      return done as never;
    };
    const pair = createChannelPair({ rmdir: wait, readlink: wait, read: wait, write: wait });
    const { clock, client } = pair;
    const first = pair.link();
    await clock.run(10);
    let restarts = 0;
    client.onRestart(() => (restarts += 1));
    const before = client.remoteBootId;
    const unknown = watch(client.call('rmdir', rmdir));
    const again = watch(client.call('readlink', readlink));
    const stale = watch(client.call('read', { handle: 3, offset: 0, length: 1 }));
    const unknownWrite = watch(client.call('write', { handle: 3, offset: 0 }));
    await clock.run(10);
    first.cut();
    const unsent = watch(client.call('rmdir', rmdir));
    const unsentStale = watch(client.call('write', { handle: 3, offset: 0 }));
    const second = pair.restartServer({
      rmdir: async () => done,
      readlink: async () => ({ reply: { target: Buffer.from('t') } }),
    });
    pair.linkTo(second);
    await clock.run(20);
    assert.equal(restarts, 1);
    assert.notEqual(client.remoteBootId, before);
    assert.equal(unknown.code, 'OUTCOME_UNKNOWN');
    assert.equal(unknownWrite.code, 'OUTCOME_UNKNOWN');
    assert.equal(stale.code, 'ESTALE');
    assert.equal(unsentStale.code, 'ESTALE');
    assert.ok(again.result && unsent.result);
  });

  it('the server forgets the calls of an earlier boot of the client, and aborts what runs', async () => {
    let aborted = 0;
    const { clock, server, link, client } = createChannelPair({
      lock: (_, { signal }) =>
        new Promise(() => {
          signal.addEventListener('abort', () => (aborted += 1));
        }),
      rmdir: async () => done,
    });
    const first = link();
    await clock.run(10);
    const request = { handle: 1, owner: 1n, kind: 0, type: 1, start: 0n, end: 9n, pid: 1, wait: true };
    watch(client.call('lock', request, { unbounded: true }));
    watch(client.call('rmdir', rmdir));
    await clock.run(2000);
    first.cut();
    let restarts = 0;
    server.onRestart(() => (restarts += 1));
    const reborn = createChannel(clock, 9, {});
    const { ends } = createMemoryPathPair({ clock });
    reborn.attach(ends[0], 0);
    server.attach(ends[1], 0);
    await clock.run(10);
    const call = watch(reborn.call('rmdir', rmdir));
    await clock.run(10);
    assert.equal(restarts, 1);
    assert.equal(aborted, 1);
    assert.ok(call.result, 'call 1 of the new boot is not taken for call 1 of the old one');
  });
});
