import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '../../src/clock.ts';
import { codeOf } from '../../src/errors.ts';
import { silentLogger } from '../../src/log.ts';
import type { ChannelState } from '../../src/net/channel.ts';
import type { PeerChannel } from '../../src/net/channel.ts';
import { createPeerChannel } from '../../src/net/peer-channel.ts';
import { LIMITS } from '../../src/wire/schema.ts';
import { handlersOf } from './channel-pair.ts';
import { at, KINDS, SECRET, withNodes, type Kind } from './endpoint-node.ts';

const PATIENCE_MS = 5000;
/** Reads under way at once, of LIMITS.pieceBytes each. */
const READS = 64;

async function until(what: string, holds: () => boolean): Promise<void> {
  const limit = performance.now() + PATIENCE_MS;
  while (!holds()) {
    assert.ok(performance.now() < limit, `never: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

interface Joined {
  /** The first reads from the second. */
  readonly channels: readonly [PeerChannel, PeerChannel];
  readonly states: readonly [ChannelState[], ChannelState[]];
}

/** Runs with two channels over one path of real sockets; the node that says goodbye ends right after it. */
async function withChannels(kind: Kind, run: (joined: Joined) => Promise<0 | 1>): Promise<void> {
  await withNodes(2, async (a, b) => {
    const piece = Buffer.alloc(LIMITS.pieceBytes);
    const channels = [a, b].map((node, boot) => {
      const other = node === a ? b : a;
      const bootId = Buffer.alloc(16, boot + 1);
      const name = `node ${boot}`;
      const channel = createPeerChannel({ peerId: other.peerId, bootId, name, clock: systemClock, log: silentLogger });
      channel.serve(handlersOf({ read: async () => ({ reply: { change: 1 }, payload: piece }) }), {});
      return channel;
    }) as [PeerChannel, PeerChannel];
    const states: [ChannelState[], ChannelState[]] = [[], []];
    channels.forEach((channel, side) => channel.onState((state) => states[side === 0 ? 0 : 1].push(state)));
    try {
      const { path } = await a.endpoint.connect(at(b, kind, SECRET), new AbortController().signal);
      channels[0].attach(path, 0);
      await until('b has a path', () => b.arrived.length === 1);
      if (b.arrived[0] !== undefined) channels[1].attach(b.arrived[0].path, 0);
      await until('both are live', () => channels.every(({ state }) => state === 'live'));
      const leaver = await run({ channels, states });
      channels[leaver].close('shutting-down');
      const began = performance.now();
      await [a, b][leaver]?.endpoint.close();
      assert.ok(performance.now() - began < 2000, 'the node took long to end');
      const stays = leaver === 0 ? 1 : 0;
      await until('the goodbye', () => channels[stays].state !== 'live');
      assert.deepEqual(states[stays], ['live', 'offline']);
    } finally {
      for (const channel of channels) channel.close('shutting-down');
    }
  });
}

/** Reads without end until the channel fails. @returns what the reads failed with. */
async function readMuch(channel: PeerChannel): Promise<Set<string>> {
  const codes = new Set<string>();
  const one = async (): Promise<void> => {
    try {
      for (;;) await channel.call('read', { handle: 1, offset: 0, length: LIMITS.pieceBytes });
    } catch (error) {
      codes.add(codeOf(error));
    }
  };
  await Promise.all(Array.from({ length: READS }, one));
  return codes;
}

for (const kind of KINDS) {
  test(`${kind}: a node that ends says goodbye, and its peer knows at once`, async () => {
    await withChannels(kind, async () => 1);
    await withChannels(kind, async () => 0);
  });

  test(`${kind}: the goodbye of who is sending much arrives; what was asked for fails with EHOSTDOWN`, async () => {
    let reading: Promise<Set<string>> | undefined;
    await withChannels(kind, async ({ channels }) => {
      reading = readMuch(channels[0]);
      await until('bulk', () => (channels[0].activePath?.statistics.bytesReceived ?? 0) > 8 * LIMITS.pieceBytes);
      return 1;
    });
    assert.deepEqual(await reading, new Set(['EHOSTDOWN']));
  });

  test(`${kind}: the goodbye of who is being sent much arrives`, async () => {
    let reading: Promise<Set<string>> | undefined;
    await withChannels(kind, async ({ channels }) => {
      reading = readMuch(channels[0]);
      await until('bulk', () => (channels[0].activePath?.statistics.bytesReceived ?? 0) > 8 * LIMITS.pieceBytes);
      return 0;
    });
    assert.deepEqual(await reading, new Set(['EHOSTDOWN']));
  });
}
