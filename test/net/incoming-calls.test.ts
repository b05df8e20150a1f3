import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ByteString } from '../../src/bytestring.ts';
import { encodePush } from '../../src/net/channel-push.ts';
import type { Handlers, PeerChannel } from '../../src/net/channel.ts';
import type { Lane, Path, PathEvents } from '../../src/net/path.ts';
import { encodeFrame } from '../../src/wire/frame.ts';
import { LIMITS, MESSAGES } from '../../src/wire/schema.ts';
import { createManualClock, settle } from '../manual-clock.ts';
import { createChannel } from './channel-pair.ts';

const MIB = 1024 * 1024;
const FAILURE = 2;

interface DeafPeer {
  readonly server: PeerChannel;
  /** Bytes that the server gave to the path. */
  sentBytes(): number;
  kinds(): number[];
  closed(): boolean;
  say(lane: Lane, frame: Uint8Array): void;
  /** Takes one frame more of each lane. */
  take(): void;
}

/** A peer that says what it likes and takes nothing but the first frame of each lane. */
function meetDeafPeer(handlers: Partial<Handlers>): DeafPeer {
  const clock = createManualClock();
  const server = createChannel(clock, 2, handlers);
  let events: PathEvents | undefined;
  let closed = false;
  const sent: Uint8Array[] = [];
  const path: Path = {
    kind: 'tcp',
    remote: 'nowhere',
    statistics: {
      rttMs: 1,
      datagramsSent: 0,
      bytesSent: 0,
      bytesReceived: 0,
      retransmissions: 0,
      lastHeardAt: clock.now(),
    },
    start: (given) => (events = given),
    send(_lane, pieces) {
      sent.push(Buffer.concat(pieces));
      return false;
    },
    probe: () => undefined,
    close: () => (closed = true),
  };
  server.attach(path, 0);
  events?.frame(0, encodePush('hello', { version: 1, features: '', bootId: Buffer.alloc(16, 1), name: 'deaf' }));
  return {
    server,
    sentBytes: () => sent.reduce((sum, frame) => sum + frame.length, 0),
    kinds: () => sent.map((frame) => frame[0] ?? 0),
    closed: () => closed,
    say: (lane, frame) => events?.frame(lane, frame),
    take() {
      events?.writable(0);
      events?.writable(1);
    },
  };
}

const root = { share: 0, path: '' as ByteString };
const listing = (callId: number) =>
  encodeFrame('request', MESSAGES.getxattr.tag, callId, MESSAGES.getxattr.request, {
    ...root,
    name: 'user.a' as ByteString,
  });

test('calls of a peer that takes no answers stop running, and go on when it does', async () => {
  let ran = 0;
  const value = Buffer.alloc(LIMITS.xattrBytes);
  const peer = meetDeafPeer({
    getxattr: async () => {
      ran += 1;
      return { reply: { value } };
    },
  });
  const asked = 4000;
  for (let callId = 1; callId <= asked; callId++) {
    peer.say(0, listing(callId));
    if (callId % 100 === 0) await settle();
  }
  await settle();
  const before = ran;
  assert.ok(before * LIMITS.xattrBytes < 160 * MIB, `${before} answers wait`);
  assert.ok(!peer.closed());
  for (let i = 0; i < 1700; i++) peer.take();
  await settle();
  assert.ok(ran > before);
});

test('a peer that makes refusals without end and takes none loses its path', async () => {
  const peer = meetDeafPeer({});
  const unknown = encodeFrame('request', 9999, 1, {}, {});
  for (let i = 0; i < 1_000_000 && !peer.closed(); i++) peer.say(0, unknown);
  assert.ok(peer.closed());
  assert.equal(peer.server.paths.length, 0);
  assert.equal(peer.server.statistics.malformed, 1);
});

test('what a request is padded with counts in the bound of running calls', async () => {
  let running = 0;
  const peer = meetDeafPeer({
    lock: () => {
      running += 1;
      return new Promise(() => undefined);
    },
  });
  const request = { handle: 1, owner: 1n, kind: 0, type: 1, start: 0n, end: 0n, pid: 1, wait: true };
  const padding = Buffer.alloc(256 * 1024);
  for (let callId = 1; callId <= 1000; callId++) {
    const head = encodeFrame('request', MESSAGES.lock.tag, callId, MESSAGES.lock.request, request);
    // Fields of a newer version: the body is longer than ours.
    const frame = Buffer.concat([head, padding]);
    frame.writeUInt32LE(head.readUInt32LE(11) + padding.length, 11);
    peer.say(1, frame);
  }
  await settle();
  assert.ok(running > 0 && running * padding.length <= 64 * MIB, `${running} are kept`);
  peer.take();
  assert.ok(peer.kinds().includes(FAILURE));
});
