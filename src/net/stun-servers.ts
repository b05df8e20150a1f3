/**
 * The STUN servers that the user named: asked now and again how they see this node's port, which also keeps the router's
 * mapping open. Owns when; the questions are stun.ts.
 */
import { isIPv6 } from 'node:net';
import { parseHostPort } from '../host-port.ts';
import type { Clock, Timer } from '../clock.ts';
import type { StunClient } from './stun.ts';
import type { UdpAddress } from './udp-port.ts';

/** Routers forget a mapping that is not used, some after 30 seconds (RFC 4787 section 4.3 wants 2 minutes). Milliseconds. */
const EVERY_MS = 25_000;
/** A server that did not answer. */
const AGAIN_MS = 10_000;
/** Addresses of one name that are asked. */
const MAX_ADDRESSES = 4;
/** Share of the interval by which it varies. */
const JITTER = 0.2;

export interface ReflexiveOptions {
  readonly client: StunClient;
  /** host:port, names or numeric. */
  readonly servers: readonly string[];
  /** Numeric addresses of a name. */
  readonly resolve: (host: string) => Promise<readonly string[]>;
  readonly clock: Clock;
  /** 0 to 1. */
  readonly random: () => number;
  /** A server answered; undefined: it did not. */
  readonly onSeen: (server: string, seen: UdpAddress | undefined) => void;
}

export interface ReflexiveWatch {
  /** What was seen counts no longer: asks all at once. */
  networkChanged(): void;
  /** Idempotent. */
  close(): void;
}

export function watchReflexive(options: ReflexiveOptions): ReflexiveWatch {
  const { client, servers, resolve, clock, random, onSeen } = options;
  const timers = new Map<string, Timer>();
  let closed = false;
  let round = 0;

  const ask = async (server: string): Promise<void> => {
    const asked = round;
    const seen = await askOnce(server);
    if (closed || asked !== round) return;
    onSeen(server, seen);
    const delayMs = (seen === undefined ? AGAIN_MS : EVERY_MS) * (1 - JITTER * random());
    timers.set(
      server,
      clock.after(delayMs, () => void ask(server)),
    );
  };

  /** Addresses of one name one after the other, until one answers; IPv4 first: there are the routers that translate. */
  const askOnce = async (server: string): Promise<UdpAddress | undefined> => {
    const { host: name, port } = parseHostPort(server) ?? { host: server, port: 0 };
    const hosts = (await resolve(name).catch(() => [])).filter((host) => client.reaches(host));
    hosts.sort((a, b) => Number(isIPv6(a)) - Number(isIPv6(b)));
    for (const host of hosts.slice(0, MAX_ADDRESSES)) {
      try {
        return await client.ask({ host, port });
      } catch {
        // The next may answer; that none did is said by onSeen.
      }
    }
    return undefined;
  };

  const start = (): void => {
    round += 1;
    for (const timer of timers.values()) timer.cancel();
    timers.clear();
    for (const server of servers) void ask(server);
  };
  start();
  return {
    networkChanged() {
      if (!closed) start();
    },
    close() {
      closed = true;
      for (const timer of timers.values()) timer.cancel();
      client.close();
    },
  };
}
