/**
 * Two whole nodes less FUSE, in one process under one manual clock: each serves a tree in memory to the other and has
 * a RemoteTree over the other's. Between them: serving, channel, and whatever path is attached.
 */
import { silentLogger } from '../../src/log.ts';
import { LeaseTable } from '../../src/fs/leases.ts';
import { createRemotePeer } from '../../src/fs/remote-peer.ts';
import type { RemotePeer } from '../../src/fs/remote-peer.ts';
import type { RemoteTree } from '../../src/fs/remote-tree.ts';
import { createServing } from '../../src/fs/serve.ts';
import type { Serving } from '../../src/fs/serve.ts';
import type { ByteString } from '../../src/bytestring.ts';
import { createPeerChannel } from '../../src/net/peer-channel.ts';
import type { PeerChannel } from '../../src/net/channel.ts';
import { createMemoryTree } from '../fs/memory-tree.ts';
import type { MemoryTree } from '../fs/memory-tree.ts';
import { handlersOf } from './channel-pair.ts';
import { settle } from '../manual-clock.ts';
import type { ManualClock } from '../manual-clock.ts';

export interface TestNode {
  readonly channel: PeerChannel;
  /** What it gives to the other. */
  readonly served: MemoryTree;
  /** What the other gives to it. */
  readonly remote: RemoteTree;
  readonly remotePeer: RemotePeer;
  readonly serving: Serving;
  close(): void;
}

export function createTestNode(clock: ManualClock, boot: number, served = createMemoryTree({ clock })): TestNode {
  const channel = createPeerChannel({
    peerId: `peer-of-${boot}`,
    bootId: Buffer.alloc(16, boot),
    name: `node-${boot}`,
    clock,
    log: silentLogger,
  });
  const folder = { share: 0, name: '' as ByteString, writable: true, idmap: 'user', tree: served } as const;
  const serving = createServing({
    channel,
    shares: { list: () => [folder], onChange: () => () => undefined },
    leases: new LeaseTable({ clock }),
    clock,
    log: silentLogger,
  });
  const remotePeer = createRemotePeer({ channel, clock, log: silentLogger });
  channel.serve({ ...handlersOf({}), ...serving.handlers, ...remotePeer.handlers }, remotePeer.pushHandlers);
  return {
    channel,
    served,
    remote: remotePeer.tree(0),
    remotePeer,
    serving,
    close() {
      channel.close('shutting-down');
      serving.close();
      remotePeer.close();
    },
  };
}

/** Lets time pass until the promise settles, at most `limitMs` of it. */
export async function drive<T>(clock: ManualClock, promise: Promise<T>, limitMs = 600_000): Promise<T> {
  const state = { settled: false };
  const done = () => (state.settled = true);
  promise.then(done, done);
  const until = clock.now() + limitMs;
  for (;;) {
    await settle();
    if (state.settled) return promise;
    if (clock.now() > until) throw new Error('no end within the time given');
    if (!clock.step(until - clock.now())) throw new Error('waits for something that no timer will bring');
  }
}
