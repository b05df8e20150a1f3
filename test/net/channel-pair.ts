/** Two channels under one manual clock, joined by paths in memory: `client` mounts, `server` shares. */
import { PeerfsError } from '../../src/errors.ts';
import { silentLogger } from '../../src/log.ts';
import type { CallResult, Handlers } from '../../src/net/channel.ts';
import { createPeerChannel } from '../../src/net/peer-channel.ts';
import type { PeerChannel } from '../../src/net/channel.ts';
import { MESSAGES } from '../../src/wire/schema.ts';
import type { CallName } from '../../src/wire/schema.ts';
import { createManualClock } from '../manual-clock.ts';
import type { ManualClock } from '../manual-clock.ts';
import { createMemoryPathPair } from './memory-path.ts';
import type { MemoryPathOptions, MemoryPathPair } from './memory-path.ts';

/** Handlers that answer ENOSYS but for those given. */
export function handlersOf(some: Partial<Handlers>): Handlers {
  const all = Object.entries(MESSAGES)
    .filter(([, message]) => message.kind === 'call')
    .map(([name]) => [name, () => Promise.reject(new PeerfsError('ENOSYS'))] as const);
  return { ...Object.fromEntries(all), ...some } as Handlers;
}

export interface ChannelPair {
  readonly clock: ManualClock;
  readonly client: PeerChannel;
  readonly server: PeerChannel;
  /** Attaches a pair of paths to both. */
  link(preference?: number, options?: Partial<MemoryPathOptions>): MemoryPathPair;
  /** Another boot of the server: a new channel under a new boot id. */
  restartServer(some: Partial<Handlers>): PeerChannel;
  /** As link, between the client and this server. */
  linkTo(server: PeerChannel, preference?: number): MemoryPathPair;
}

export function createChannel(
  clock: ManualClock,
  boot: number,
  some: Partial<Handlers>,
  log = silentLogger,
): PeerChannel {
  const channel = createPeerChannel({
    peerId: `peer-of-${boot}`,
    bootId: Buffer.alloc(16, boot),
    name: `node-${boot}`,
    clock,
    log,
  });
  channel.serve(handlersOf(some), {});
  return channel;
}

/** @param log the server's. */
export function createChannelPair(some: Partial<Handlers>, log = silentLogger): ChannelPair {
  const clock = createManualClock();
  const client = createChannel(clock, 1, {});
  const server = createChannel(clock, 2, some, log);
  let boots = 2;
  const join = (other: PeerChannel, preference: number, options: Partial<MemoryPathOptions>) => {
    const pair = createMemoryPathPair({ clock, ...options });
    client.attach(pair.ends[0], preference);
    other.attach(pair.ends[1], preference);
    return pair;
  };
  return {
    clock,
    client,
    server,
    link: (preference = 0, options = {}) => join(server, preference, options),
    restartServer: (handlers) => createChannel(clock, (boots += 1), handlers),
    linkTo: (other, preference = 0) => join(other, preference, {}),
  };
}

/** What became of a call, to look at without waiting for it. */
export interface Outcome<M extends CallName> {
  result: CallResult<M> | undefined;
  /** Its error's code. */
  code: string | undefined;
  readonly settled: boolean;
}

export function watch<M extends CallName>(promise: Promise<CallResult<M>>): Outcome<M> {
  const outcome = {
    result: undefined as CallResult<M> | undefined,
    code: undefined as string | undefined,
    get settled() {
      return outcome.result !== undefined || outcome.code !== undefined;
    },
  };
  promise.then(
    (result) => (outcome.result = result),
    (error: unknown) => (outcome.code = error instanceof PeerfsError ? error.code : String(error)),
  );
  return outcome;
}

/** A promise to be settled by hand. */
export interface Gate {
  readonly opened: Promise<void>;
  open(): void;
}

export function createGate(): Gate {
  let open = (): void => undefined;
  const opened = new Promise<void>((resolve) => (open = resolve));
  return { opened, open: () => open() };
}
