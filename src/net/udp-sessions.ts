/**
 * UdpSessions: the datagram sessions of an endpoint by the indices under which datagrams come, from the end of the
 * handshake to the end of the path. Owns indices, fresh keys, and the sessions that nobody has confirmed yet.
 */
import { randomInt } from 'node:crypto';
import type { Clock } from '../clock.ts';
import { createSession, indexMaskKey, unmaskIndex, type Session } from '../crypto/session.ts';
import type { SessionKeys } from '../crypto/session-keys.ts';
import { keepKeysFresh } from './fresh-keys.ts';
import type { Handshaker } from './handshaker.ts';
import { Keepalives } from './keepalive.ts';
import { createUdpPath, type UdpPath } from './udp-path.ts';
import type { UdpAddress, UdpPort } from './udp-port.ts';

/** Tuning: an answered session that nothing comes under is forgotten after this, milliseconds. */
const PROVISIONAL_MS = 10_000;

/** Where datagrams leave and arrive: the node's port, or a relay. */
export type Base = Pick<UdpPort, 'send' | 'sendBatch'>;

export interface UdpSessionsOptions {
  /** X25519 key of this node. */
  readonly dhPublicKey: Uint8Array;
  readonly handshaker: Pick<Handshaker, 'rekeying'>;
  readonly clock: Clock;
}

export interface NewUdpSession {
  readonly base: Base;
  readonly kind: 'udp' | 'turn';
  /** Ed25519 key of the peer. */
  readonly publicKey: Uint8Array;
  /** The session's from now on. */
  readonly keys: SessionKeys;
  readonly localIndex: number;
  readonly remoteIndex: number;
  readonly remote: UdpAddress;
  readonly isInitiator: boolean;
  /** When a datagram opens under an answered session: the peer has the keys, the path is real. */
  readonly onConfirmed?: (path: UdpPath) => void;
}

interface Entry {
  readonly base: Base;
  readonly session: Session;
  readonly path: UdpPath;
  provisional: boolean;
  readonly onConfirmed: ((path: UdpPath) => void) | undefined;
}

export class UdpSessions {
  readonly #options: UdpSessionsOptions;
  readonly #maskKey: Uint8Array;
  readonly #byIndex = new Map<number, Entry>();
  readonly #entries = new Set<Entry>();
  readonly #keepalives = new Keepalives();
  #provisional = 0;

  constructor(options: UdpSessionsOptions) {
    this.#options = options;
    this.#maskKey = indexMaskKey(options.dhPublicKey);
  }

  /** Sessions whose path lives. */
  get size(): number {
    return this.#entries.size;
  }

  /** Indices in use: at most three a session. */
  get indices(): number {
    return this.#byIndex.size;
  }

  /** Answered sessions that are not confirmed. */
  get provisional(): number {
    return this.#provisional;
  }

  /** An index that no session of ours has. */
  newIndex(): number {
    for (;;) {
      const index = randomInt(2 ** 32);
      if (!this.#byIndex.has(index)) return index;
    }
  }

  /**
   * Gives the datagram to the session that it opens under. The peer's address is followed only at the base that the
   * path has: what comes by another says nothing about this one.
   * @returns false if there is none.
   */
  input(datagram: Uint8Array, from: UdpAddress, base: Base): boolean {
    const index = unmaskIndex(this.#maskKey, datagram);
    const entry = index === undefined ? undefined : this.#byIndex.get(index);
    const plain = entry?.session.openDatagram(datagram);
    if (entry === undefined || plain === undefined) return false;
    if (entry.provisional) this.#confirm(entry);
    entry.path.input(plain, base === entry.base ? from : entry.path.remoteAddress);
    return true;
  }

  /** Begins a session; one that we answered is provisional. @returns its path. */
  add(made: NewUdpSession): UdpPath {
    const { clock, handshaker } = this.#options;
    const { base, kind, keys, localIndex, remoteIndex, remote, isInitiator, onConfirmed } = made;
    const session = createSession({ keys, localIndex, remoteIndex, now: clock.now() });
    const path = createUdpPath({
      port: base,
      kind,
      session,
      remote,
      clock,
      keepalive: this.#keepalives.of(`${kind} ${Buffer.from(made.publicKey).toString('hex')}`),
      onRekey: (body) => keeper.received(body),
      onEnd: () => {
        keeper.close();
        this.#remove(entry);
      },
    });
    const entry: Entry = { base, session, path, provisional: !isInitiator, onConfirmed };
    const keeper = keepKeysFresh({
      session,
      clock,
      rekeying: handshaker.rekeying(made.publicKey, isInitiator, () => this.newIndex()),
      send: (body) => path.sendRekey(body),
      onIndices: (indices) => this.#index(entry, indices),
    });
    this.#entries.add(entry);
    this.#byIndex.set(localIndex, entry);
    if (entry.provisional) {
      this.#provisional += 1;
      clock.after(PROVISIONAL_MS, () => {
        if (entry.provisional) path.close();
      });
    }
    return path;
  }

  /** Ends all paths. */
  close(): void {
    for (const { path } of [...this.#entries]) path.close();
  }

  #confirm(entry: Entry): void {
    entry.provisional = false;
    this.#provisional -= 1;
    entry.onConfirmed?.(entry.path);
  }

  #index(entry: Entry, indices: readonly number[]): void {
    for (const [index, known] of this.#byIndex) {
      if (known === entry && !indices.includes(index)) this.#byIndex.delete(index);
    }
    for (const index of indices) this.#byIndex.set(index, entry);
  }

  #remove(entry: Entry): void {
    if (!this.#entries.delete(entry)) return;
    this.#index(entry, []);
    if (entry.provisional) this.#provisional -= 1;
    entry.provisional = false;
  }
}
