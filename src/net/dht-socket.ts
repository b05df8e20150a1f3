/**
 * The DHT library's socket, over the node's shared port. Owns which answers were asked for: only those to a query of
 * ours, from where it went and under its transaction (32 random bits), reach the library; queries of others are nothing
 * to us, so that we answer none (BEP 43: read-only). Reading and writing of messages is dht-message.ts.
 */
import { EventEmitter } from 'node:events';
import type { DhtSocketFacade } from 'bittorrent-dht';
import type { Clock } from '../clock.ts';
import { readAnswer, readQuery } from './dht-message.ts';
import type { SharedPort } from './shared-port.ts';
import type { UdpAddress } from './udp-port.ts';

/** Tuning. */
/** Queries under way; the oldest are forgotten. */
const MAX_QUERIES = 1024;
/** An answer is taken this long. Milliseconds. */
const ANSWER_MS = 5000;
const TRANSACTION_BYTES = 4;

export interface DhtSocketOptions {
  readonly port: SharedPort;
  readonly clock: Clock;
  /** How long the library waits for an answer. Milliseconds. */
  readonly timeoutMs: number;
  /** Fresh random bytes. */
  readonly randomBytes: (length: number) => Uint8Array;
  /** A node that we asked said from where our query came to it. */
  readonly onVote: (voter: UdpAddress, seen: UdpAddress) => void;
}

export interface DhtSocketCounters {
  readonly queries: number;
  readonly answers: number;
  /** Of those, the ones for which the library had given up waiting. */
  readonly late: number;
  /** Answers to nothing, from elsewhere, too late. */
  readonly unsolicited: number;
}

export interface DhtSocket extends DhtSocketFacade {
  readonly counters: DhtSocketCounters;
}

interface Query {
  readonly to: UdpAddress;
  /** The library's name for it. */
  readonly transaction: Uint8Array;
  readonly at: number;
}

/** Takes part in the port from the beginning until close(), which is idempotent. */
export function createDhtSocket({ port, clock, timeoutMs, randomBytes, onVote }: DhtSocketOptions): DhtSocket {
  const counters = { queries: 0, answers: 0, late: 0, unsolicited: 0 };
  /** By transaction in hex, oldest first. */
  const queries = new Map<string, Query>();
  const events = new EventEmitter();
  let closed = false;

  const leave = port.admit({
    input(datagram, from) {
      const answer = readAnswer(datagram, from.host);
      if (answer === undefined) return false;
      const name = answer.transaction.toString('hex');
      const query = queries.get(name);
      if (query?.to.host !== from.host || query.to.port !== from.port || clock.now() - query.at > ANSWER_MS) {
        counters.unsolicited += 1;
        return false;
      }
      queries.delete(name);
      counters.answers += 1;
      if (clock.now() - query.at > timeoutMs) counters.late += 1;
      if (answer.seen !== undefined) onVote({ ...from }, answer.seen);
      if (!closed) socket.emit('message', answer.encode(query.transaction), { address: from.host, port: from.port });
      return true;
    },
  });

  const socket: DhtSocket = Object.assign(events, {
    counters,

    bind(): void {
      queueMicrotask(() => socket.emit('listening'));
    },

    address: () => ({ address: port.address.host, port: port.address.port }),

    send(
      bytes: Uint8Array,
      offset: number,
      length: number,
      toPort: number,
      toHost: string,
      done?: (error: Error | null) => void,
    ): void {
      const query = closed ? undefined : readQuery(bytes.subarray(offset, offset + length));
      if (query !== undefined) {
        const transaction = randomBytes(TRANSACTION_BYTES);
        const [oldest] = queries.keys();
        if (queries.size >= MAX_QUERIES && oldest !== undefined) queries.delete(oldest);
        const to = { host: toHost, port: toPort };
        queries.set(Buffer.from(transaction).toString('hex'), {
          to,
          transaction: Uint8Array.from(query.transaction),
          at: clock.now(),
        });
        counters.queries += 1;
        port.send(query.encode(transaction), to);
      }
      if (done !== undefined) queueMicrotask(() => done(null));
    },

    close(): void {
      if (closed) return;
      closed = true;
      leave();
      queries.clear();
      queueMicrotask(() => socket.emit('close'));
    },
  });
  return socket;
}
