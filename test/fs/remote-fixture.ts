/** One serving node with a tree in memory, and peers that look at it through RemotePeers. */
import { fromText, ROOT, type ByteString } from '../../src/bytestring.ts';
import { silentLogger as log } from '../../src/log.ts';
import { LeaseTable } from '../../src/fs/leases.ts';
import { createRemotePeer, type RemotePeer } from '../../src/fs/remote-peer.ts';
import type { RefusedWrite } from '../../src/fs/remote-share.ts';
import type { RemoteTree } from '../../src/fs/remote-tree.ts';
import { createServing, type Serving } from '../../src/fs/serve.ts';
import { HandleBudget } from '../../src/fs/served-handles.ts';
import type { SharedFolder } from '../../src/fs/shared-folder.ts';
import { handlersOf } from '../net/channel-pair.ts';
import { createManualClock, type ManualClock } from '../manual-clock.ts';
import { createMemoryChannels, type MemoryChannel } from './memory-channel.ts';
import { createMemoryTree, type MemoryTree } from './memory-tree.ts';

export interface Client {
  readonly remote: RemotePeer;
  readonly tree: RemoteTree;
  /** The client's end. */
  readonly channel: MemoryChannel;
  /** The server's end. */
  readonly serverChannel: MemoryChannel;
  readonly serving: Serving;
  /** What the server could not take any more. */
  readonly refused: RefusedWrite[];
}

export interface Server {
  readonly clock: ManualClock;
  readonly memory: MemoryTree;
  readonly leases: LeaseTable;
  /** What is shared with everybody; change it and call `sharesChanged`. */
  folders: SharedFolder[];
  /** Of handles, for those who connect from now on. */
  budget: HandleBudget;
  sharesChanged(): void;
  connect(): Client;
  close(): Promise<void>;
}

export function createServer(memory?: MemoryTree): Server {
  const clock = createManualClock();
  const tree = memory ?? createMemoryTree({ clock });
  const leases = new LeaseTable({ clock });
  const listeners = new Set<() => void>();
  const clients: Client[] = [];
  const server: Server = {
    clock,
    memory: tree,
    leases,
    folders: [folder(0, '', tree)],
    budget: new HandleBudget(Number.MAX_SAFE_INTEGER),
    sharesChanged: () => listeners.forEach((listener) => listener()),
    connect: () => {
      const [channel, serverChannel] = createMemoryChannels();
      const shares = {
        list: () => server.folders,
        onChange: (listener: () => void) => {
          listeners.add(listener);
          return () => listeners.delete(listener);
        },
      };
      const { budget } = server;
      const serving = createServing({ channel: serverChannel, shares, leases, budget, clock, log });
      const back = createRemotePeer({ channel: serverChannel, clock, log });
      serverChannel.serve({ ...handlersOf({}), ...serving.handlers, ...back.handlers }, back.pushHandlers);
      const refused: RefusedWrite[] = [];
      const remote = createRemotePeer({ channel, refused: (write) => void refused.push(write), clock, log });
      const own = createServing({
        channel,
        shares: { list: () => [], onChange: () => () => undefined },
        leases,
        clock,
        log,
      });
      channel.serve({ ...handlersOf({}), ...own.handlers, ...remote.handlers }, remote.pushHandlers);
      const client = { remote, tree: remote.tree(0), channel, serverChannel, serving, refused };
      clients.push(client);
      return client;
    },
    close: async () => {
      for (const { serving, remote } of clients) {
        remote.close();
        serving.close();
      }
      await tree.close();
    },
  };
  return server;
}

export function folder(share: number, name: string, tree: MemoryTree, writable = true): SharedFolder {
  return { share, name: name === '' ? ROOT : fromText(name), writable, idmap: 'user', tree };
}

export const p = (path: string): ByteString => fromText(path);
