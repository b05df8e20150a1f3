import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ByteString } from '../../src/bytestring.ts';
import { PeerfsError } from '../../src/errors.ts';
import { createLogger } from '../../src/log.ts';
import { encodeFrame } from '../../src/wire/frame.ts';
import { LIMITS, MESSAGES } from '../../src/wire/schema.ts';
import { createMemoryPathPair } from './memory-path.ts';
import { createChannelPair, createGate, handlersOf, watch } from './channel-pair.ts';
import { REMOVED } from './sample-replies.ts';

const rmdir = { share: 0, path: 'a/b' as ByteString };
const done = { reply: REMOVED };

describe('peer channel: calls', () => {
  it('a call reaches the handler and its reply the caller, with payloads both ways', async () => {
    const { clock, client, link } = createChannelPair({
      write: async ({ handle, offset }, { payload }) => {
        assert.equal(Buffer.from(payload).toString(), 'data');
        return { reply: { size: handle, end: offset + payload.length, mtimeSec: 4, mtimeNsec: 5, change: 3 } };
      },
      read: async ({ length }) => ({ reply: { change: 4 }, payload: Buffer.alloc(length, 7) }),
    });
    link();
    const written = watch(client.call('write', { handle: 9, offset: 100 }, { payload: Buffer.from('data') }));
    const read = watch(client.call('read', { handle: 9, offset: 0, length: LIMITS.pieceBytes }));
    await clock.run(20);
    assert.deepEqual({ ...written.result?.reply }, { size: 9, end: 104, mtimeSec: 4, mtimeNsec: 5, change: 3 });
    assert.equal(read.result?.payload.length, LIMITS.pieceBytes);
    assert.equal(client.state, 'live');
  });

  it('both sides call and answer at once', async () => {
    const { clock, client, server, link } = createChannelPair({ rmdir: async () => done });
    client.serve(handlersWithRecall(), {});
    link();
    await clock.run(10);
    const up = watch(client.call('rmdir', rmdir));
    const down = watch(server.call('recall', { ...rmdir, what: 1, change: 5 }));
    await clock.run(20);
    assert.ok(up.result && down.result);
  });

  it('a failure arrives with its code and without the text of the server', async () => {
    const { clock, client, link } = createChannelPair({
      rmdir: async () => {
        throw new PeerfsError('ENOTEMPTY', '/home/secret is not empty');
      },
    });
    link();
    const call = client.call('rmdir', rmdir);
    const outcome = watch(call);
    await clock.run(20);
    assert.equal(outcome.code, 'ENOTEMPTY');
    await assert.rejects(call, (error: Error) => !error.message.includes('secret'));
  });

  it('a handler that throws at once, or answers nonsense, fails its call alone; of a mistake the log tells', async () => {
    const lines: string[] = [];
    const { clock, client, link } = createChannelPair(
      {
        rmdir: () => {
          throw new TypeError('a mistake');
        },
        fsync: async () => ({ reply: { change: -1 } }),
        statfs: async () => ({ reply: { change: 1 } }) as never,
        release: async () => ({ reply: {} }),
      },
      createLogger('info', (line) => lines.push(line)),
    );
    link();
    const thrown = watch(client.call('rmdir', rmdir));
    const nonsense = watch(client.call('fsync', { handle: 1, dataOnly: false }));
    const wrong = watch(client.call('statfs', rmdir));
    const good = watch(client.call('release', { handles: [{ handle: 1 }] }));
    await clock.run(20);
    assert.deepEqual([thrown.code, nonsense.code, wrong.code], ['EIO', 'EOVERFLOW', 'EOVERFLOW']);
    assert.ok(good.result);
    assert.match(
      lines.join('\n'),
      /^\S+ error call\.fault during=rmdir fault=TypeError at peer-channel\.test\.[jt]s:\d+$/,
    );
  });

  it('frames above 8 KiB ride lane 1, all others lane 0', async () => {
    const { clock, client, link } = createChannelPair({
      read: async ({ length }) => ({ reply: { change: 1 }, payload: Buffer.alloc(length) }),
      write: async () => ({ reply: { size: 0, end: 0, mtimeSec: 0, mtimeNsec: 0, change: 1 } }),
    });
    const { ends } = link();
    watch(client.call('read', { handle: 1, offset: 0, length: 100 }));
    watch(client.call('read', { handle: 1, offset: 0, length: 65536 }));
    watch(client.call('write', { handle: 1, offset: 0 }, { payload: Buffer.alloc(8000) }));
    watch(client.call('write', { handle: 1, offset: 0 }, { payload: Buffer.alloc(9000) }));
    await clock.run(20);
    for (const end of ends) {
      for (const { lane, frame } of end.sent) assert.equal(lane, frame.length > 8192 ? 1 : 0);
    }
    assert.ok(ends[1].sent.some(({ lane }) => lane === 1));
  });

  it('a call that is too long to be sent fails alone and at once', async () => {
    const { clock, client, link } = createChannelPair({});
    link();
    await clock.run(10);
    const long = watch(client.call('rmdir', { share: 0, path: 'x'.repeat(9000) as ByteString }));
    const payload = watch(client.call('rmdir', rmdir, { payload: Buffer.alloc(1) }));
    await clock.run(1);
    assert.equal(long.code, 'ENAMETOOLONG');
    assert.equal(payload.code, 'E2BIG');
  });

  it('a push reaches its handler; one of a newer peer is counted and ignored', async () => {
    const { clock, client, server, link } = createChannelPair({ rmdir: async () => done });
    let changes = 0;
    client.serve(handlersWithRecall(), { sharesChanged: () => (changes += 1) });
    const { ends } = link();
    await clock.run(10);
    server.push('sharesChanged', {});
    ends[1].send(0, [encodeFrame('push', 9999, 0, {}, {})]);
    await clock.run(10);
    assert.equal(changes, 1);
    assert.equal(client.statistics.unknownPushes, 1);
    assert.equal(client.state, 'live');
  });

  it('a request of a newer peer is answered UNSUPPORTED', async () => {
    const { clock, link } = createChannelPair({});
    const { ends } = link();
    await clock.run(10);
    ends[0].send(0, [encodeFrame('request', 9999, 77, {}, {})]);
    await clock.run(10);
    const last = ends[1].sent.at(-1)?.frame;
    assert.equal(last?.readUInt8(0), 2);
    assert.equal(last.readUInt32LE(3), 77);
    assert.equal(last.readUInt32LE(15), 1001);
  });
});

describe('peer channel: cancelling', () => {
  it('an aborted call rejects with EINTR at once and aborts the handler', async () => {
    let aborted = false;
    const { clock, client, link } = createChannelPair({
      lock: (_, { signal }) =>
        new Promise((_, reject) => {
          signal.addEventListener('abort', () => {
            aborted = true;
            reject(new PeerfsError('EINTR'));
          });
        }),
    });
    link();
    const controller = new AbortController();
    const outcome = watch(client.call('lock', lockRequest, { signal: controller.signal, unbounded: true }));
    await clock.run(10);
    controller.abort();
    await clock.run(0);
    assert.equal(outcome.code, 'EINTR');
    await clock.run(10);
    assert.ok(aborted);
  });

  it('what an aborted call made after all is told to `late`', async () => {
    const gate = createGate();
    const { clock, client, link } = createChannelPair({
      openDirectory: async () => {
        await gate.opened;
        return { reply: { handle: 5, count: 0, next: 0n, end: false, change: 1, leaseMs: 0 } };
      },
    });
    link();
    const controller = new AbortController();
    let handle = 0;
    const late = (result: { reply: { handle: number } }) => (handle = result.reply.handle);
    const outcome = watch(
      client.call('openDirectory', { ...rmdir, maxEntries: 0 }, { signal: controller.signal, late }),
    );
    await clock.run(10);
    controller.abort();
    gate.open();
    await clock.run(10);
    assert.equal(outcome.code, 'EINTR');
    assert.equal(handle, 5);
  });

  it('a call aborted before it could be sent is never sent', async () => {
    let runs = 0;
    const { clock, client, link } = createChannelPair({
      rmdir: async () => {
        runs += 1;
        return done;
      },
    });
    const controller = new AbortController();
    const outcome = watch(client.call('rmdir', rmdir, { signal: controller.signal }));
    controller.abort();
    link();
    await clock.run(20);
    assert.equal(outcome.code, 'EINTR');
    assert.equal(runs, 0);
  });
});

describe('peer channel: bounds', () => {
  it('1,024 calls are in flight at most, the rest wait and then run', async () => {
    const gate = createGate();
    let running = 0;
    let most = 0;
    const { clock, client, link } = createChannelPair({
      rmdir: async () => {
        most = Math.max(most, ++running);
        await gate.opened;
        running -= 1;
        return done;
      },
    });
    link();
    const calls = Array.from({ length: 3000 }, () => watch(client.call('rmdir', rmdir)));
    await clock.run(20);
    assert.equal(most, 1024);
    gate.open();
    await clock.run(50);
    assert.ok(calls.every((call) => call.result !== undefined));
  });

  it('too many waiting calls fail with OVERLOADED', async () => {
    const { clock, client } = createChannelPair({});
    const calls = Array.from({ length: 16_385 }, () => watch(client.call('rmdir', rmdir)));
    await clock.run(0);
    assert.deepEqual(new Set(calls.map((call) => call.code)), new Set([undefined, 'OVERLOADED']));
  });

  it('replies wait while a lane is full, in order, and small calls go past them', async () => {
    const { clock, client, link } = createChannelPair({
      read: async ({ offset, length }) => ({ reply: { change: offset }, payload: Buffer.alloc(length) }),
      rmdir: async () => done,
    });
    link(0, { highWaterBytes: 300_000, delayMs: 10 });
    await clock.run(30);
    const order: number[] = [];
    for (let i = 0; i < 40; i++) {
      client.call('read', { handle: 1, offset: i, length: 200_000 }).then(
        ({ reply }) => order.push(reply.change),
        () => order.push(-1),
      );
    }
    const small = watch(client.call('rmdir', rmdir));
    await clock.run(25);
    assert.ok(small.result, 'the small call was not delayed');
    assert.ok(order.length < 10);
    await clock.run(1000);
    assert.deepEqual(
      order,
      Array.from({ length: 40 }, (_, i) => i),
    );
  });
});

describe('peer channel: a peer that breaks the rules', () => {
  it('a frame that breaks the layout ends its path, not the channel', async () => {
    const { clock, client, server, link } = createChannelPair({ rmdir: async () => done });
    const first = link(0);
    await clock.run(10);
    first.ends[0].send(0, [Buffer.from('junk')]);
    await clock.run(10);
    assert.equal(server.statistics.malformed, 1);
    assert.equal(server.paths.length, 0);
    assert.equal(client.state, 'reconnecting');
    link(0);
    const again = watch(client.call('rmdir', rmdir));
    await clock.run(20);
    assert.ok(again.result);
  });

  it('a path whose first frame is not hello is closed', async () => {
    const { clock, server } = createChannelPair({});

    const pair = createMemoryPathPair({ clock });
    server.attach(pair.ends[1], 0);
    pair.ends[0].send(0, [encodeFrame('request', MESSAGES.rmdir.tag, 1, MESSAGES.rmdir.request, rmdir)]);
    await clock.run(10);
    assert.equal(server.paths.length, 0);
    assert.equal(server.statistics.malformed, 1);
  });

  it('a path that never says hello is closed after the time of patience', async () => {
    const { clock, server } = createChannelPair({});

    server.attach(createMemoryPathPair({ clock }).ends[1], 0);
    await clock.run(14_000);
    assert.equal(server.paths.length, 1);
    await clock.run(2_000);
    assert.equal(server.paths.length, 0);
  });

  it('a request whose body is malformed is answered PROTOCOL, and the path lives', async () => {
    const { clock, client, server, link } = createChannelPair({ rmdir: async () => done });
    const { ends } = link();
    await clock.run(10);
    ends[0].send(0, [encodeFrame('request', MESSAGES.rmdir.tag, 500, { a: { type: 'u8', doc: '' } }, { a: 1 })]);
    const good = watch(client.call('rmdir', rmdir));
    await clock.run(20);
    assert.equal(server.statistics.malformed, 1);
    assert.equal(ends[1].sent.find(({ frame }) => frame[0] === 2)?.frame.readUInt32LE(15), 1000);
    assert.ok(good.result);
  });
});

const lockRequest = { handle: 1, owner: 1n, kind: 0, type: 1, start: 0n, end: 9n, pid: 1, wait: true };

function handlersWithRecall() {
  return handlersOf({ recall: async () => ({ reply: {} }) });
}
