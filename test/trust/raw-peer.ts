/**
 * A peer of a node that keeps to no rules: it has a valid key and our own endpoint, and nothing above that, so that a test
 * sends whatever it likes on paths that the node trusts.
 */
import { peerIdOf, type Identity } from '../../src/crypto/identity.ts';
import { pairSecret } from '../../src/crypto/handshake.ts';
import { openInvitation } from '../../src/crypto/invitation.ts';
import { parseHostPort } from '../../src/host-port.ts';
import type { Endpoint } from '../../src/net/endpoint.ts';
import type { Path } from '../../src/net/path.ts';
import { decodeStruct } from '../../src/wire/codec.ts';
import { INVITATION } from '../../src/wire/packets.ts';
import type { Host } from '../e2e/lab.ts';
import { openEndpointNode, type Kind } from '../net/endpoint-node.ts';

export interface Address {
  readonly host: string;
  readonly port: number;
}

export interface RawPeer {
  readonly identity: Identity;
  readonly endpoint: Endpoint;
  /** Where the node listens. */
  readonly node: Address;
  /** Of the node, Ed25519. */
  readonly publicKey: Uint8Array;
  readonly pairSecret: Uint8Array;
  /** Rejects as Endpoint.connect does. @param at another address than the node's own: a proxy's. */
  connect(kind: Kind, at?: Address): Promise<Path>;
  close(): Promise<void>;
}

const NEVER = new AbortController().signal;

export interface Invited {
  readonly publicKey: Uint8Array;
  readonly token: Uint8Array;
}

/** What an invitation of this node holds. */
export async function inviteRaw(host: Host, name: string): Promise<Invited> {
  const made = (await host.json(['invite', '--name', name])) as { invitation: string; code: string };
  return decodeStruct(INVITATION, await openInvitation(made.invitation, made.code));
}

export async function addressOf(host: Host): Promise<Address> {
  const { listening } = (await host.json(['status'])) as { listening: string[] };
  const address = parseHostPort(listening[0] ?? '');
  if (address === undefined) throw new Error(`${host.name} listens at ${listening.join()}`);
  return address;
}

/** Joins a running node as a peer of this name. @param from the address that it calls from, numeric. */
export async function joinRaw(host: Host, name: string, from = '127.0.0.1'): Promise<RawPeer> {
  const { publicKey, token } = await inviteRaw(host, name);
  const node = await addressOf(host);
  const own = await openEndpointNode(from);
  try {
    const { endpoint, identity, book } = own;
    const { path } = await endpoint.connect(
      { publicKey, psk: token, purpose: 'invitation', kind: 'tcp', ...node },
      NEVER,
    );
    path.close();
    const secret = pairSecret(token, identity, publicKey);
    book.put({ peerId: peerIdOf(publicKey), publicKey, pairSecret: secret });
    return {
      identity,
      endpoint,
      node,
      publicKey,
      pairSecret: secret,
      async connect(kind, at = node) {
        const target = { publicKey, psk: secret, purpose: 'known', kind, ...at } as const;
        return (await endpoint.connect(target, NEVER)).path;
      },
      close: () => endpoint.close(),
    };
  } catch (error) {
    await own.endpoint.close();
    throw error;
  }
}
