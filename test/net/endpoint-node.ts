/** An endpoint over real sockets on loopback with a peer book in memory, and what came to it. */
import { randomBytes } from 'node:crypto';
import { systemClock, type Clock } from '../../src/clock.ts';
import { createIdentity, peerIdOf, type Identity } from '../../src/crypto/identity.ts';
import { silentLogger } from '../../src/log.ts';
import { openEndpoint, type Endpoint } from '../../src/net/endpoint.ts';
import type { DialTarget } from '../../src/net/handshaker.ts';
import type { Path } from '../../src/net/path.ts';
import { createMemoryPeerBook, type MemoryPeerBook } from './memory-peer-book.ts';

export const KINDS = ['udp', 'tcp'] as const;
export type Kind = (typeof KINDS)[number];

export interface EndpointNode {
  readonly identity: Identity;
  readonly peerId: string;
  readonly book: MemoryPeerBook;
  readonly endpoint: Endpoint;
  readonly arrived: { readonly peerId: string; readonly path: Path }[];
  readonly joined: string[];
}

export async function openEndpointNode(
  host: string,
  paths: readonly Kind[] = KINDS,
  clock: Clock = systemClock,
): Promise<EndpointNode> {
  const identity = createIdentity();
  const book = createMemoryPeerBook();
  const arrived: EndpointNode['arrived'] = [];
  const joined: string[] = [];
  const endpoint = await openEndpoint({
    identity,
    book,
    name: `node at ${host}`,
    listen: { host, port: 0 },
    paths,
    clock,
    log: silentLogger,
    onPath: (peerId, path) => arrived.push({ peerId, path }),
    onJoined: (peerId) => joined.push(peerId),
  });
  return { identity, peerId: peerIdOf(identity.publicKey), book, endpoint, arrived, joined };
}

/** Of the first two nodes of withNodes. */
export const SECRET = randomBytes(32);

/** Runs with nodes, the first two of which know each other, and closes them whatever happens. */
export async function withNodes(count: number, run: (...nodes: EndpointNode[]) => Promise<void>): Promise<void> {
  const nodes = await Promise.all(Array.from({ length: count }, (_, i) => openEndpointNode(`127.0.0.${i + 1}`)));
  const [a, b] = nodes;
  if (a !== undefined && b !== undefined) {
    a.book.put({ peerId: b.peerId, publicKey: b.identity.publicKey, pairSecret: SECRET });
    b.book.put({ peerId: a.peerId, publicKey: a.identity.publicKey, pairSecret: SECRET });
  }
  try {
    await run(...nodes);
  } finally {
    await Promise.all(nodes.map(({ endpoint }) => endpoint.close()));
  }
}

export const at = (
  node: EndpointNode,
  kind: Kind,
  psk: Uint8Array,
  purpose: DialTarget['purpose'] = 'known',
): DialTarget => ({
  publicKey: node.identity.publicKey,
  psk,
  purpose,
  kind,
  host: node.endpoint.address.host,
  port: node.endpoint.address.port,
});
