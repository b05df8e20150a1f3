/**
 * LanSocket: datagrams to and from everybody on the local networks, by IPv4 multicast. Owns its sockets, one for each
 * address of this host to send from and one to receive, and follows the interfaces as they come and go. Knows nothing
 * of what the datagrams hold. In memory for tests: test/net/memory-lan.ts.
 */
import { createSocket, type Socket } from 'node:dgram';
import type { Clock, Timer } from '../clock.ts';
import { PeerfsError } from '../errors.ts';
import { localAddresses } from './local-addresses.ts';

/** Specification: administratively scoped (RFC 2365), not routed off the site. */
export const LAN_GROUP = '239.80.70.83';
export const LAN_PORT = 43_781;

/** Tuning: how often the interfaces are looked at, milliseconds. */
const INTERFACES_MS = 3000;

export interface LanSocketOptions {
  /** The address that the node listens on; '::' and '0.0.0.0': all networks, others only that one's. */
  readonly listenHost: string;
  readonly clock: Clock;
  /** `datagram` is the listener's to keep. Our own datagrams come back too. */
  readonly onDatagram: (datagram: Uint8Array, fromHost: string) => void;
  /** The host's addresses are not what they were. */
  readonly onNetworkChange: () => void;
}

export interface LanSocket {
  /** To everybody, on every network. Never throws for the network's sake. */
  send(datagram: Uint8Array): void;
  /** Idempotent. */
  close(): Promise<void>;
}

/** @throws PeerfsError ENVIRONMENT when the port of hellos cannot be shared. */
export async function openLanSocket(options: LanSocketOptions): Promise<LanSocket> {
  const { listenHost, clock } = options;
  const receiver = createSocket({ type: 'udp4', reuseAddr: true });
  await bind(receiver, '0.0.0.0', LAN_PORT);
  receiver.on('message', (datagram, { address }) => options.onDatagram(datagram, address));
  receiver.on('error', () => undefined);
  const senders = new Map<string, Socket>();
  let before = '';
  let closed = false;
  let timer: Timer = clock.after(INTERFACES_MS, expiredLook);

  /** @returns whether anything changed. */
  function follow(): boolean {
    const local = localAddresses(listenHost);
    const hosts = new Set(local.filter(({ family }) => family === 4).map(({ host }) => host));
    for (const [host, socket] of senders) {
      if (hosts.has(host)) continue;
      senders.delete(host);
      // The kernel has left the group already where the interface is gone.
      attempt(() => receiver.dropMembership(LAN_GROUP, host));
      socket.close();
    }
    for (const host of hosts) if (!senders.has(host)) join(host);
    const now = local.map(({ host }) => host).join();
    const changed = now !== before;
    before = now;
    return changed;
  }

  function join(host: string): void {
    // An interface without multicast is none of ours; it is tried again at the next look.
    if (!attempt(() => receiver.addMembership(LAN_GROUP, host))) return;
    const socket = createSocket('udp4');
    senders.set(host, socket);
    socket.on('error', () => {
      if (senders.get(host) !== socket) return;
      senders.delete(host);
      attempt(() => receiver.dropMembership(LAN_GROUP, host));
      attempt(() => socket.close());
    });
    socket.bind({ address: host, port: 0 }, () => {
      attempt(() => {
        socket.setMulticastInterface(host);
        socket.setMulticastTTL(1);
        socket.setMulticastLoopback(true);
      });
    });
  }

  function expiredLook(): void {
    if (closed) return;
    timer = clock.after(INTERFACES_MS, expiredLook);
    try {
      if (!follow()) return;
    } catch {
      return; // the system has no descriptor free to tell its interfaces by: they are as they were, then
    }
    options.onNetworkChange();
  }

  follow();
  receiver.unref();
  return {
    send(datagram) {
      if (closed) return;
      // dgram queues what is sent before the socket is bound.
      for (const socket of senders.values()) attempt(() => socket.send(datagram, LAN_PORT, LAN_GROUP, () => undefined));
    },
    async close() {
      if (closed) return;
      closed = true;
      timer.cancel();
      const sockets = [receiver, ...senders.values()];
      senders.clear();
      await Promise.all(sockets.map((socket) => new Promise<void>((resolve) => socket.close(() => resolve()))));
    },
  };
}

function bind(socket: Socket, address: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once('error', (cause: NodeJS.ErrnoException) =>
      reject(new PeerfsError('ENVIRONMENT', `cannot listen for hellos of the LAN: ${cause.code ?? ''}`, { cause })),
    );
    socket.bind({ address, port }, resolve);
  });
}

/** @returns whether it went well. */
function attempt(act: () => void): boolean {
  try {
    act();
    return true;
  } catch {
    return false;
  }
}
