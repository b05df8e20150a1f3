/**
 * Tor, as the rest of the node sees it: connections to onion services, onion services of our own, and how far the
 * network's start has come. Implementation: src/net/tor-*.ts.
 */
import type { Socket } from 'node:net';

export type TorState =
  | 'off' // not wanted
  | 'starting' // bootstrapping, or looking for a control port
  | 'ready'
  | 'failed'; // tried again by itself; `detail` says why

export interface TorStatus {
  readonly state: TorState;
  /** Of the bootstrap, percent. */
  readonly progress: number;
  /** One line for people: the bootstrap's phase, or what is wrong and what to do. */
  readonly detail: string;
}

export interface OnionServiceOptions {
  /** 32 random or derived bytes from which the service's key and address come. */
  readonly seed: Uint8Array;
  /** Virtual port that clients name. */
  readonly virtualPort: number;
  /** Where Tor hands connections over: a port on 127.0.0.1. */
  readonly targetPort: number;
  /** X25519 public keys of those who may find it (restricted discovery); undefined: whoever has the address. */
  readonly clients?: readonly Uint8Array[];
}

export interface OnionService {
  /** 56 characters and `.onion`; known before it is published. */
  readonly host: string;
  readonly state: 'waiting' | 'published' | 'failed';
  /** Replaces who may find it. */
  allow(clients: readonly Uint8Array[]): void;
  /** Takes it down; connections that are open stay. Idempotent. */
  close(): void;
}

export interface Tor {
  readonly status: TorStatus;
  /** @returns a function that stops it. */
  onStatus(listener: (status: TorStatus) => void): () => void;
  /**
   * Connects to an onion service through Tor. The socket is paused and the caller's.
   * Rejects EHOSTDOWN (not published, refused, Tor not ready), ETIMEDOUT, CANCELLED.
   */
  dial(host: string, port: number, signal: AbortSignal): Promise<Socket>;
  /** Publishes a service, now or when Tor is there, and again whenever Tor was restarted, until it is closed. */
  serve(options: OnionServiceOptions): OnionService;
  /**
   * Gives Tor the key with which a restricted service can be found; kept over restarts of Tor.
   * @param secretKey X25519, 32 bytes. @returns a function that withdraws it.
   */
  authorise(host: string, secretKey: Uint8Array): () => void;
  /** Ends what was started. Idempotent. */
  close(): Promise<void>;
}
