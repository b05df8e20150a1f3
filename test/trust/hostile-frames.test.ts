/** Frames that no honest server sends: each call ends with an error, and the session goes on. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { codeOf } from '../../src/errors.ts';
import { silentLogger as log } from '../../src/log.ts';
import type { PeerChannel } from '../../src/net/channel.ts';
import { createRemotePeer, type RemotePeer } from '../../src/fs/remote-peer.ts';
import { encodeFields } from '../../src/wire/codec.ts';
import { decodeFrame, encodeEmptyFrame, encodeFailure, encodeFrame, type Frame } from '../../src/wire/frame.ts';
import { encodePush } from '../../src/net/channel-push.ts';
import { MESSAGES } from '../../src/wire/schema.ts';
import { createManualClock, type ManualClock } from '../manual-clock.ts';
import { createChannel } from '../net/channel-pair.ts';
import { createMemoryPathPair } from '../net/memory-path.ts';

interface Raw {
  readonly clock: ManualClock;
  readonly channel: PeerChannel;
  readonly remote: RemotePeer;
  /** What to send back for each request, as frames. */
  answer: (request: Frame) => readonly Uint8Array[];
}

function meetRawServer(): Raw {
  const clock = createManualClock();
  const channel = createChannel(clock, 1, {});
  const remote = createRemotePeer({ channel, clock, log });
  const { ends } = createMemoryPathPair({ clock });
  const raw: Raw = { clock, channel, remote, answer: () => [] };
  ends[1].start({
    frame(lane, bytes) {
      const frame = decodeFrame(bytes);
      if (frame === undefined || frame === 'unknown' || frame.kind !== 'request') return;
      for (const answer of raw.answer(frame)) ends[1].send(lane, [answer]);
    },
    writable: () => undefined,
    end: () => undefined,
  });
  channel.attach(ends[0], 0);
  ends[1].send(0, [encodePush('hello', { version: 1, features: '', bootId: Buffer.alloc(16, 9), name: 'raw' })]);
  return raw;
}

async function outcome(raw: Raw, call: Promise<unknown>): Promise<string> {
  const settled = call.then(
    () => 'answered',
    (error: unknown) => codeOf(error),
  );
  await raw.clock.run(50);
  return Promise.race([settled, Promise.resolve('open')]);
}

const listed = encodeFields(MESSAGES.listShares.reply, {
  shares: [{ share: 1, name: 'work' as never, writable: true, idmap: 0 }],
});

const reply = ({ tag, callId }: Frame, body: Uint8Array): Buffer => {
  const head = encodeEmptyFrame('reply', tag, callId);
  head.writeUInt32LE(body.length, head.length - 4);
  return Buffer.concat([head, body]);
};

test('an honest answer is one', async () => {
  const raw = meetRawServer();
  raw.answer = (request) => [reply(request, listed)];
  assert.equal(await outcome(raw, raw.remote.shares()), 'answered');
});

test('names of shares that lead elsewhere are no names', async () => {
  for (const name of ['../x', 'a/bc', '..\0\0', './..', '////'] as const) {
    const raw = meetRawServer();
    const bad = Buffer.from(listed);
    bad.write(name, bad.indexOf('work'), 'latin1');
    raw.answer = (request) => [reply(request, bad)];
    assert.equal(await outcome(raw, raw.remote.shares()), 'PROTOCOL', name);
    raw.answer = (request) => [reply(request, listed)];
    assert.equal(await outcome(raw, raw.remote.shares()), 'answered', 'the session goes on');
  }
});

test('answers that are too short, garbage, of another call, or of no call', async () => {
  const bodies = [
    Buffer.alloc(0),
    listed.subarray(0, -1),
    Buffer.alloc(200, 0xff),
    encodeFields(MESSAGES.renewLeases.reply, { leaseMs: 1 }),
  ];
  for (const body of bodies) {
    const raw = meetRawServer();
    raw.answer = (request) => [reply(request, body)];
    const said = await outcome(raw, raw.remote.shares());
    assert.ok(said === 'PROTOCOL' || said === 'EIO', `${body.length} bytes: ${said}`);
  }
  const raw = meetRawServer();
  const late = encodeFailure(MESSAGES.listShares.tag, 1, 'EIO');
  raw.answer = (request) => [
    reply({ ...request, callId: request.callId + 77 }, listed),
    encodeFrame('failure', request.tag, request.callId + 78, {}, {}),
    encodeEmptyFrame('working', request.tag, 2 ** 40),
    encodeEmptyFrame('cancel', 0xffff, 2 ** 41),
    reply(request, listed),
    reply(request, listed),
    late,
  ];
  assert.equal(await outcome(raw, raw.remote.shares()), 'answered');
  assert.equal(raw.channel.state, 'live');
});

test('an answer with a payload that its call does not have is none', async () => {
  const raw = meetRawServer();
  raw.answer = (request) => [Buffer.concat([reply(request, listed), Buffer.alloc(1000)])];
  assert.equal(await outcome(raw, raw.remote.shares()), 'PROTOCOL');
});
