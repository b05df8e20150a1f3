/**
 * LAN discovery: a sealed hello to everybody on the local networks that only peers who know us, and who holds an
 * invitation of ours, can open; it tells them our ports. Whoever opens one dials; there is no other answer, so that
 * strangers learn nothing but that somebody says hello.
 *
 * Owns when hellos are said and which are believed. Does not own the sockets (lan-socket.ts) or the sealing
 * (src/crypto/lan-seal.ts), and dials nobody (link.ts).
 */
import type { Clock, Timer } from '../clock.ts';
import type { Identity } from '../crypto/identity.ts';
import { HELLO_BOX_BYTES, HELLO_SLOTS, helloKey, openHello, sealHello } from '../crypto/lan-seal.ts';
import { decodeStruct, encodeStruct } from '../wire/codec.ts';
import { LAN_HELLO } from '../wire/packets.ts';
import type { LanSocket, LanSocketOptions } from './lan-socket.ts';
import type { KnownAddress, PeerBook } from './peer-book.ts';
import { createRateLimit } from './rate-limit.ts';

/** Tuning. Milliseconds. */
const HELLO_EVERY_MS = 30_000;
/** Share of the interval by which it varies. */
const JITTER = 0.25;
/** Hellos asked for in quick succession become one. */
const HELLO_PAUSE_MS = 1000;
/** Hellos looked at: a second and burst, of one source and of all. */
const HELLOS = { perSecond: 2, burst: 20, totalPerSecond: 50, totalBurst: 200 } as const;

/** An invitation that this node is accepting: its creator may be near. */
export interface AwaitedHello {
  readonly publicKey: Uint8Array;
  readonly token: Uint8Array;
  seen(addresses: readonly KnownAddress[]): void;
}

export interface LanOptions {
  readonly identity: Identity;
  readonly book: PeerBook;
  /** The ports that hellos tell; 0: not in use. */
  readonly udpPort: number;
  readonly tcpPort: number;
  readonly clock: Clock;
  /** 0 to 1. */
  readonly random: () => number;
  /** A peer is here, at these addresses. */
  readonly onSeen: (peerId: string, addresses: readonly KnownAddress[]) => void;
  /** This host's addresses have changed. */
  readonly onNetworkChange: () => void;
  readonly open: (events: Pick<LanSocketOptions, 'onDatagram' | 'onNetworkChange'>) => Promise<LanSocket>;
}

export interface LanCounters {
  readonly hellosSent: number;
  readonly hellosOpened: number;
  /** Replays, strangers' and broken ones. */
  readonly hellosDropped: number;
  readonly hellosLimited: number;
}

export interface Lan {
  readonly counters: LanCounters;
  /** Says hello soon: a peer was lost, an invitation made. */
  hello(): void;
  /** Listens for the creator of an invitation. @returns what stops it. */
  await(hello: AwaitedHello): () => void;
  /** Idempotent. */
  close(): Promise<void>;
}

/** One whose hello would open. */
interface Expected {
  readonly secret: Uint8Array;
  readonly publicKey: Uint8Array;
  readonly seen: (addresses: readonly KnownAddress[]) => void;
}

export async function openLan(options: LanOptions): Promise<Lan> {
  const { identity, book, clock, udpPort, tcpPort } = options;
  const counters = { hellosSent: 0, hellosOpened: 0, hellosDropped: 0, hellosLimited: 0 };
  const limit = createRateLimit({ clock, ...HELLOS });
  const awaited = new Set<AwaitedHello>();
  const keyOf = createKeyCache();
  /** The newest time stamp by key in hex. */
  const newest = new Map<string, number>();
  let lastHelloMs = 0;
  let closed = false;
  let timer: Timer | undefined;
  let soon: Timer | undefined;
  let saidAt = -Infinity;

  const socket = await options.open({
    onDatagram,
    onNetworkChange() {
      hello();
      options.onNetworkChange();
    },
  });

  function say(): void {
    soon = undefined;
    timer?.cancel();
    timer = clock.after(HELLO_EVERY_MS * (1 + JITTER * (2 * options.random() - 1)), say);
    saidAt = clock.now();
    lastHelloMs = Math.max(Math.floor(clock.wallMs()), lastHelloMs + 1);
    const plain = Buffer.alloc(HELLO_BOX_BYTES);
    plain.set(encodeStruct(LAN_HELLO, { timestampMs: lastHelloMs, udpPort, tcpPort }));
    const open = book.tokens().filter(({ state }) => state === 'open');
    const secrets = [...book.peers().map(({ pairSecret }) => pairSecret), ...open.map(({ token }) => token)];
    const keys = secrets.map((secret) => keyOf(secret, identity.publicKey));
    for (let at = 0; at < keys.length; at += HELLO_SLOTS) {
      socket.send(sealHello(keys.slice(at, at + HELLO_SLOTS).map((key) => ({ key, plain }))));
      counters.hellosSent += 1;
    }
  }

  function hello(): void {
    if (closed || soon !== undefined) return;
    soon = clock.after(Math.max(0, saidAt + HELLO_PAUSE_MS - clock.now()), say);
  }

  function onDatagram(datagram: Uint8Array, host: string): void {
    if (closed) return;
    if (!limit.take(host)) {
      counters.hellosLimited += 1;
      return;
    }
    const expected: Expected[] = [
      ...book.peers().map(({ peerId, publicKey, pairSecret }) => ({
        secret: pairSecret,
        publicKey,
        seen: (addresses: readonly KnownAddress[]) => options.onSeen(peerId, addresses),
      })),
      ...[...awaited].map((one) => ({
        secret: one.token,
        publicKey: one.publicKey,
        seen: (addresses: readonly KnownAddress[]) => one.seen(addresses),
      })),
    ];
    const keys = expected.map(({ secret, publicKey }) => keyOf(secret, publicKey));
    const boxes = openHello(datagram, keys);
    if (boxes.length === 0) counters.hellosDropped += 1;
    for (const { keyIndex, plain } of boxes) {
      const one = expected[keyIndex];
      const addresses = read(keys[keyIndex], plain, host);
      if (addresses === undefined || one === undefined) counters.hellosDropped += 1;
      else {
        counters.hellosOpened += 1;
        one.seen(addresses);
      }
    }
  }

  /** What the box says; undefined for a replay or nonsense. */
  function read(key: Uint8Array | undefined, plain: Uint8Array, host: string): KnownAddress[] | undefined {
    const name = Buffer.from(key ?? []).toString('hex');
    try {
      const said = decodeStruct(LAN_HELLO, plain);
      // Several come at the same time where two hosts share several networks: only older ones are replays.
      if (said.timestampMs < (newest.get(name) ?? 0)) return undefined;
      newest.set(name, said.timestampMs);
      return [
        { kind: 'tcp', host, port: said.tcpPort },
        { kind: 'udp', host, port: said.udpPort },
      ].filter(({ port }) => port !== 0);
    } catch {
      return undefined;
    }
  }

  hello();
  return {
    counters,
    hello,
    await(one) {
      awaited.add(one);
      return () => awaited.delete(one);
    },
    async close() {
      if (closed) return;
      closed = true;
      timer?.cancel();
      soon?.cancel();
      await socket.close();
    },
  };
}

/** Keys of hellos by secret and sender; forgotten all at once when there are many more than are in use. */
function createKeyCache(): (secret: Uint8Array, publicKey: Uint8Array) => Uint8Array {
  const MOST = 4096;
  const keys = new Map<string, Uint8Array>();
  return (secret, publicKey) => {
    const name = Buffer.concat([secret, publicKey]).toString('latin1');
    let key = keys.get(name);
    if (key === undefined) {
      if (keys.size >= MOST) keys.clear();
      key = helloKey(secret, publicKey);
      keys.set(name, key);
    }
    return key;
  };
}
