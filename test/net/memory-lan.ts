/** A local network in memory: what one socket sends, all open ones hear at once, the sender too, as by multicast. */
import type { LanSocket, LanSocketOptions } from '../../src/net/lan-socket.ts';

type Events = Pick<LanSocketOptions, 'onDatagram' | 'onNetworkChange'>;

export interface MemoryLan {
  /** All datagrams so far, oldest first. */
  readonly heard: readonly { readonly host: string; readonly datagram: Uint8Array }[];
  /** Opens the socket of the host with this address. */
  open(host: string): (events: Events) => Promise<LanSocket>;
  /** As if `host` had sent it. */
  inject(host: string, datagram: Uint8Array): void;
  /** As if the interfaces of `host` had changed. */
  change(host: string): void;
}

export function createMemoryLan(): MemoryLan {
  const sockets = new Map<string, Events>();
  const heard: { host: string; datagram: Uint8Array }[] = [];
  const deliver = (host: string, datagram: Uint8Array): void => {
    heard.push({ host, datagram: Uint8Array.from(datagram) });
    for (const events of [...sockets.values()]) events.onDatagram(Uint8Array.from(datagram), host);
  };
  return {
    heard,
    open: (host) => async (events) => {
      sockets.set(host, events);
      return {
        send: (datagram) => deliver(host, datagram),
        close: async () => void sockets.delete(host),
      };
    },
    inject: deliver,
    change: (host) => sockets.get(host)?.onNetworkChange(),
  };
}
