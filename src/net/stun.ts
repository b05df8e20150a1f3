/**
 * The STUN client (RFC 8489) on the node's own UDP port: asks a server at which address it sees the port. Owns the
 * transactions; which servers are asked when is stun-servers.ts.
 */
import { fromBytes } from '../bytestring.ts';
import type { Clock, Timer } from '../clock.ts';
import { PeerfsError } from '../errors.ts';
import { decodeStun, encodeStun, STUN_TRANSACTION_BYTES } from '../wire/stun.ts';
import type { PortGuest, SharedPort } from './shared-port.ts';
import { reaches } from './targets.ts';
import { plainHost } from './tcp-port.ts';
import { sameAddress, type UdpAddress } from './udp-port.ts';

/** A question is asked again after these pauses, then given up. Tuning after RFC 8489 section 6.2.1, milliseconds. */
const RETRY_MS = [250, 500, 1000, 2000] as const;
/** Questions under way at once. */
const MAX_TRANSACTIONS = 64;

export interface StunClientOptions {
  readonly port: SharedPort;
  readonly clock: Clock;
  /** `length` unpredictable bytes. */
  readonly randomBytes: (length: number) => Uint8Array;
}

export interface StunClient {
  /** @returns where the server sees this node's port. Rejects ETIMEDOUT, EHOSTDOWN (it answers with an error), CANCELLED. */
  ask(server: UdpAddress): Promise<UdpAddress>;
  /** Whether the port can send to this numeric address at all. */
  reaches(host: string): boolean;
  /** Idempotent. */
  close(): void;
}

interface Transaction {
  readonly server: UdpAddress;
  settle(act: () => void): void;
  resolve(seen: UdpAddress): void;
  reject(error: PeerfsError): void;
}

export function createStunClient({ port, clock, randomBytes }: StunClientOptions): StunClient {
  const open = new Map<string, Transaction>();
  const guest: PortGuest = {
    input(datagram, from) {
      const message = decodeStun(datagram)?.message;
      if (message?.method !== 'binding') return false;
      const transaction = open.get(fromBytes(message.transaction));
      if (transaction === undefined || !sameAddress(transaction.server, from)) return false;
      const seen = message.xorMappedAddress;
      if (message.class === 'success' && seen !== undefined) {
        transaction.settle(() => transaction.resolve({ host: plainHost(seen.host), port: seen.port }));
        return true;
      }
      if (message.class !== 'error') return false;
      transaction.settle(() => transaction.reject(new PeerfsError('EHOSTDOWN', 'the STUN server refuses')));
      return true;
    },
  };
  const leave = port.admit(guest);

  return {
    ask: (server) =>
      new Promise((resolve, reject) => {
        if (open.size >= MAX_TRANSACTIONS) return reject(new PeerfsError('EHOSTDOWN', 'too many questions at once'));
        const id = Uint8Array.from(randomBytes(STUN_TRANSACTION_BYTES));
        const request = encodeStun({ method: 'binding', class: 'request', transaction: id });
        let timer: Timer | undefined;
        let tries = 0;
        const transaction: Transaction = {
          server: { ...server },
          settle(act) {
            timer?.cancel();
            open.delete(fromBytes(id));
            act();
          },
          resolve,
          reject,
        };
        const expired = (): void => {
          const pauseMs = RETRY_MS[tries++];
          if (pauseMs === undefined) return transaction.settle(() => reject(new PeerfsError('ETIMEDOUT', 'no answer')));
          port.send(request, server);
          timer = clock.after(pauseMs, expired);
        };
        open.set(fromBytes(id), transaction);
        expired();
      }),
    reaches: (host) => reaches(port.address.host, host),
    close() {
      leave();
      for (const transaction of open.values()) {
        transaction.settle(() => transaction.reject(new PeerfsError('CANCELLED', 'the node is stopping')));
      }
    },
  };
}
