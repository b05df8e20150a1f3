/**
 * One who sits between a peer and a node: every datagram between them passes here, is written down, and is handed to
 * whatever a test has in mind with it. For one peer at a time.
 */
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import type { Address } from './raw-peer.ts';

export interface PassingDatagram {
  readonly toNode: boolean;
  readonly bytes: Buffer;
}

export interface DatagramRelay {
  /** Where the peer finds the node. */
  readonly at: Address;
  /** The first ones that passed, at most KEPT. */
  readonly recorded: readonly PassingDatagram[];
  /** Sends on, to the node or to the peer. */
  send(toNode: boolean, bytes: Uint8Array): void;
  close(): void;
}

const KEPT = 4000;

async function open(): Promise<Socket> {
  const socket = createSocket('udp4');
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  return socket;
}

/** @param pass what becomes of a datagram; without it, it goes on as it is. */
export async function openRelay(
  node: Address,
  pass?: (datagram: PassingDatagram, relay: DatagramRelay) => void,
): Promise<DatagramRelay> {
  const [toPeer, toNode] = [await open(), await open()];
  const recorded: PassingDatagram[] = [];
  let peer: Address | undefined;
  const relay: DatagramRelay = {
    at: { host: '127.0.0.1', port: toPeer.address().port },
    recorded,
    send(isToNode, bytes) {
      const to = isToNode ? node : peer;
      if (to !== undefined) (isToNode ? toNode : toPeer).send(bytes, to.port, to.host);
    },
    close() {
      toPeer.close();
      toNode.close();
    },
  };
  const take = (datagram: PassingDatagram): void => {
    if (recorded.length < KEPT) recorded.push(datagram);
    if (pass === undefined) relay.send(datagram.toNode, datagram.bytes);
    else pass(datagram, relay);
  };
  toPeer.on('message', (bytes, from) => {
    peer = { host: from.address, port: from.port };
    take({ toNode: true, bytes });
  });
  toNode.on('message', (bytes) => take({ toNode: false, bytes }));
  return relay;
}
