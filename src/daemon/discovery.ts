/**
 * The local network and this node: says hello when it helps, and has links dial who was heard. src/net/lan.ts is what
 * speaks; a network that does not allow it costs a warning and nothing else.
 */
import type { Clock, Timer } from '../clock.ts';
import type { Identity } from '../crypto/identity.ts';
import { codeOf } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { Endpoint } from '../net/endpoint.ts';
import { openLan, type AwaitedHello, type LanCounters } from '../net/lan.ts';
import { openLanSocket } from '../net/lan-socket.ts';
import type { PeerBook } from '../net/peer-book.ts';
import type { Peers } from './peers.ts';
import type { Store } from './store.ts';

/** Tuning. Milliseconds. */
/** While an invitation is young its guest may begin to listen at any moment. */
const INVITING_EVERY_MS = 4000;
const YOUNG_MS = 15 * 60_000;

export interface DiscoveryOptions {
  readonly identity: Identity;
  readonly book: PeerBook;
  readonly endpoint: Endpoint;
  readonly peers: Peers;
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface Discovery {
  readonly counters: LanCounters;
  hello(): void;
  /** Listens for the creator of an invitation. @returns what stops it. */
  await(hello: AwaitedHello): () => void;
  close(): Promise<void>;
}

/** @returns undefined where the network does not allow it. */
export async function startDiscovery(
  options: DiscoveryOptions,
  warn: (warning: string) => void,
): Promise<Discovery | undefined> {
  const { identity, book, endpoint, peers, store, clock, log } = options;
  const { host, port } = endpoint.address;
  try {
    const lan = await openLan({
      identity,
      book,
      udpPort: endpoint.paths.includes('udp') ? port : 0,
      tcpPort: endpoint.paths.includes('tcp') ? port : 0,
      clock,
      random: Math.random,
      onSeen(peerId, addresses) {
        for (const address of addresses) {
          const kind = endpoint.paths.find((path) => path === address.kind);
          if (kind !== undefined && !peers.isOnline(peerId)) peers.link(peerId)?.hint(kind, address.host, address.port);
        }
      },
      onNetworkChange: () => peers.networkChanged(),
      open: (events) => openLanSocket({ ...events, listenHost: host, clock }),
    });
    let timer: Timer = clock.after(INVITING_EVERY_MS, expiredInviting);
    function expiredInviting(): void {
      const now = clock.wallMs();
      if (store.invitations().some((row) => row.state === 'open' && row.createdAt > now - YOUNG_MS)) lan.hello();
      timer = clock.after(INVITING_EVERY_MS, expiredInviting);
    }
    const stopListening = peers.onChange(() => lan.hello());
    return {
      counters: lan.counters,
      hello: () => lan.hello(),
      await: (hello) => lan.await(hello),
      close() {
        timer.cancel();
        stopListening();
        return lan.close();
      },
    };
  } catch (error) {
    log.warn('lan.unavailable', { code: codeOf(error) });
    warn('peers on the local network cannot be looked for: its port cannot be opened');
    return undefined;
  }
}
