/** The UDP socket on which the gateway is spoken with; the system delivers only what comes from there. */
import { createSocket } from 'node:dgram';
import type { Gateway } from './gateway.ts';
import type { RouterSocket, RouterSocketEvents } from './pcp.ts';

/** Tuning: what is sent before the socket is connected. */
const MAX_EARLY = 8;

/** @param port at the gateway. */
export function openRouterSocket(place: Gateway, port: number, events: RouterSocketEvents): RouterSocket {
  const socket = createSocket('udp4');
  let early: Uint8Array[] | undefined = [];
  let closed = false;
  // A refused datagram (ICMP) is reported at the next call: it says that nobody listens there.
  socket.on('error', () => {
    if (!closed) events.refused();
  });
  socket.on('message', (datagram) => {
    if (!closed) events.input(datagram);
  });
  socket.unref();

  function sendNow(datagram: Uint8Array): void {
    socket.send(datagram, (error) => {
      if (error !== null && !closed) events.refused();
    });
  }

  socket.bind({ address: place.local, port: 0 }, () => {
    if (closed) return;
    socket.connect(port, place.gateway, (error?: Error) => {
      if (closed) return;
      if (error !== undefined) return events.refused();
      const waiting = early ?? [];
      early = undefined;
      for (const datagram of waiting) sendNow(datagram);
    });
  });

  return {
    send(datagram) {
      if (closed) return;
      if (early === undefined) return sendNow(datagram);
      if (early.length < MAX_EARLY) early.push(Uint8Array.from(datagram));
    },
    close() {
      if (closed) return;
      closed = true;
      socket.close();
    },
  };
}
