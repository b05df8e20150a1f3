/**
 * The node's onion services, and the keys for those of its peers: one service for all who are known, which nobody else
 * can find (restricted discovery), and one for each open invitation, which whoever holds the invitation can. Keys come
 * from the identity, so that addresses are the same after a restart. Tor itself is src/net/tor.ts.
 */
import { onionClientKey, onionHost, onionSeed } from '../crypto/onion.ts';
import type { Identity } from '../crypto/identity.ts';
import type { OnionService, Tor } from '../net/tor.ts';
import { CANDIDATE_TRANSPORT, CANDIDATE_TYPE, type WireCandidate } from '../wire/candidate.ts';
import type { Store } from './store.ts';

/** Of every onion service of a node: nobody sees it but who has the address. */
const VIRTUAL_PORT = 4500;
/** In the list of a peer's addresses, `kind` of its onion service. */
const KIND = 'tor';

export interface OnionsOptions {
  readonly tor: Tor;
  readonly identity: Identity;
  readonly store: Pick<Store, 'peers' | 'addresses' | 'rememberAddress'>;
  /** On 127.0.0.1, where Tor hands connections over. */
  readonly targetPort: number;
}

export interface Onions {
  /** Of the service for peers. */
  readonly candidate: WireCandidate;
  /** The peers, or their secrets, are others than before. */
  refresh(): void;
  /** A peer said where its service is. */
  learn(peerId: string, candidates: readonly WireCandidate[]): void;
  /** A service for one invitation. */
  invite(token: Uint8Array): { readonly host: string; readonly port: number; close(): void };
  /** Idempotent. */
  close(): void;
}

export function createOnions({ tor, identity, store, targetPort }: OnionsOptions): Onions {
  const seedOf = (label: string, context: Uint8Array) => onionSeed(identity.secretKey, label, context);
  const seed = seedOf('peers', new Uint8Array(0));
  const host = onionHost(seed);
  let service: OnionService | undefined;
  /** By peer and address; the secret is kept to see that it changed. */
  const authorised = new Map<string, { readonly secret: Uint8Array; readonly withdraw: () => void }>();

  const serve = (): void => {
    const clients = store.peers().map(({ pairSecret }) => onionClientKey(pairSecret, host).publicKey);
    if (service === undefined) service = tor.serve({ seed, virtualPort: VIRTUAL_PORT, targetPort, clients });
    else service.allow(clients);
  };

  const authorise = (): void => {
    const wanted = new Set<string>();
    for (const { peerId, pairSecret } of store.peers()) {
      for (const address of store.addresses(peerId)) {
        if (address.kind !== KIND) continue;
        const key = `${peerId} ${address.host}`;
        wanted.add(key);
        const before = authorised.get(key);
        if (before !== undefined && Buffer.from(before.secret).equals(pairSecret)) continue;
        before?.withdraw();
        const withdraw = tor.authorise(address.host, onionClientKey(pairSecret, address.host).secretKey);
        authorised.set(key, { secret: pairSecret, withdraw });
      }
    }
    for (const [key, { withdraw }] of authorised) {
      if (wanted.has(key)) continue;
      authorised.delete(key);
      withdraw();
    }
  };

  const ownersOf = (at: string): string[] =>
    store.peers().flatMap(({ peerId }) => {
      const isOwner = store.addresses(peerId).some((address) => address.kind === KIND && address.host === at);
      return isOwner ? [peerId] : [];
    });

  return {
    candidate: { type: CANDIDATE_TYPE.onion, transports: CANDIDATE_TRANSPORT.tcp, host, port: VIRTUAL_PORT },
    refresh() {
      serve();
      authorise();
    },
    learn(peerId, candidates) {
      const told = candidates.find(({ type }) => type === CANDIDATE_TYPE.onion);
      if (told === undefined) return;
      const owners = ownersOf(told.host);
      // Tor has one key for each service: who tells of another's would take away the key that opens it.
      if (owners.some((owner) => owner !== peerId)) return;
      const known = owners.includes(peerId);
      if (!known) store.rememberAddress(peerId, KIND, told.host, told.port);
      authorise();
    },
    invite(token) {
      const made = tor.serve({ seed: seedOf('invitation', token), virtualPort: VIRTUAL_PORT, targetPort });
      return { host: made.host, port: VIRTUAL_PORT, close: () => made.close() };
    },
    close() {
      service?.close();
      for (const { withdraw } of authorised.values()) withdraw();
      authorised.clear();
    },
  };
}
