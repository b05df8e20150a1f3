/**
 * The laboratory of networks for end-to-end tests: scripts/natlab with real nodes in it, and the servers that they may
 * use: STUN, TURN (coturn), a DHT, a private Tor network, a router daemon. Two hosts, alice at home 1 and bob at home 2,
 * know each other when it opens, by addresses that lead nowhere in it; carol, if wanted, is at the server.
 */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { appendFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { TestContext } from 'node:test';
import type { PeerStatus, WatchEvent } from '../../src/daemon/control-protocol.ts';
import { startCoturn } from '../net/coturn.ts';
import { startDhtNetwork } from '../net/dht-network.ts';
import { startTorNetwork, type TorNetwork } from '../net/tor-network.ts';
import { CLI, createHost, eventually, introduce, noNamespaces, stopHosts, type Host } from './lab.ts';

const NATLAB = join(import.meta.dirname, '../../../scripts/natlab');
const STUN_SERVER = join(import.meta.dirname, 'stun-server.js');

/** Where the servers are. */
export const SERVER = '11.77.0.10';
export const STUN_SERVERS = ['11.77.0.10:3478', '11.77.0.11:3478'] as const;
const TURN_PORT = 3479;
const TOR_PORTS = [9101, 9102, 9103, 9104, 9105, 9106, 9107, 9108] as const;
const DHT_NODES = 20;
const LIBTORRENT_NODES = 4;

export type Nat = 'cone' | 'symmetric' | 'fullcone' | 'open' | 'noudp' | 'toronly';

export interface NatLabOptions {
  readonly nats?: readonly [Nat, Nat];
  readonly stun?: boolean;
  readonly dht?: boolean;
  /** How the nodes reach coturn. */
  readonly turn?: readonly ('udp' | 'tcp')[];
  /** One network for several laboratories: it takes seconds to begin. */
  readonly tor?: boolean;
  /** A third host at the server, known to the other two. */
  readonly carol?: boolean;
  /** Whether alice and bob know each other; true unless told. */
  readonly acquainted?: boolean;
}

export interface NatLab {
  readonly directory: string;
  readonly alice: Host;
  readonly bob: Host;
  readonly carol: Host;
  /** Runs `scripts/natlab COMMAND NAME ARGS`. */
  natlab(command: string, ...args: string[]): void;
  /** argv that runs a program in the network of h1, h2, nat1, nat2, inet or srv. */
  enter(host: string): readonly string[];
  /** Starts a node of this host, with a mount. */
  mount(host: Host): Promise<void>;
  /** Runs when the laboratory closes, before the networks go. */
  atEnd(end: () => Promise<void> | void): void;
  close(): Promise<void>;
}

/** Opens a laboratory for one test, which is skipped where it cannot be had (and fails there in CI). */
export async function withNatLab(
  t: TestContext,
  options: NatLabOptions,
  run: (lab: NatLab) => Promise<void>,
): Promise<void> {
  const reason = noNamespaces();
  if (reason !== undefined) {
    if (process.env['CI'] !== undefined) throw new Error(`no network namespaces: ${reason}`);
    t.skip(`no network namespaces: ${reason}`);
    return;
  }
  const lab = await openNatLab(options);
  try {
    await run(lab);
  } finally {
    await lab.close();
  }
}

export async function openNatLab(options: NatLabOptions): Promise<NatLab> {
  const name = `pf${randomBytes(3).toString('hex')}`;
  const directory = mkdtempSync(join(tmpdir(), 'peerfs-nat-'));
  const ends: (() => Promise<void> | void)[] = [];
  const natlab = (command: string, ...args: string[]): void => {
    const done = spawnSync(NATLAB, [command, name, ...args], { encoding: 'utf8' });
    if (done.status !== 0) throw new Error(`natlab ${command} ${args.join(' ')}: ${done.stderr}`);
  };
  const enter = (host: string): readonly string[] => ['nsenter', `--net=/run/netns/${name}-${host}`, '--'];
  const hostIn = (who: string, network: readonly string[]): Host => {
    const base = join(directory, who);
    mkdirSync(join(base, 'files'), { recursive: true });
    return createHost(who, '0.0.0.0', base, network);
  };
  const inside = [hostIn('alice', enter('h1')), hostIn('bob', enter('h2')), hostIn('carol', enter('srv'))] as const;
  const [alice, bob, carol] = inside;
  let closed = false;

  const lab: NatLab = {
    directory,
    alice,
    bob,
    carol,
    natlab,
    enter,
    async mount(host) {
      await host.mount(['--listen', '[::]:0', '--no-lan']);
    },
    atEnd: (end) => ends.push(end),
    async close() {
      if (closed) return;
      closed = true;
      const left = await stopHosts(inside);
      for (const end of ends.reverse()) await end();
      spawnSync(NATLAB, ['destroy', name]);
      rmSync(directory, { recursive: true, force: true });
      if (left.length > 0) throw new Error(left.join('; '));
    },
  };

  try {
    natlab('create', ...(options.nats ?? []));
    await acquaint(lab, options);
    const settings = await startServers(options, lab);
    for (const host of inside) writeFileSync(join(host.home, 'config'), settings, { mode: 0o600 });
    return lab;
  } catch (error) {
    await lab.close();
    throw error;
  }
}

/** @returns the settings with which nodes use them. */
async function startServers(options: NatLabOptions, lab: NatLab): Promise<string> {
  const enter = lab.enter('srv');
  const lines = ['portMapping = false'];
  if (options.stun === true) {
    const [program, ...args] = [...enter, process.execPath, STUN_SERVER, ...STUN_SERVERS];
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    lab.atEnd(() => endOf(child));
    await once(child.stdout, 'data');
  }
  lines.push(`stun.servers = ${JSON.stringify(options.stun === true ? STUN_SERVERS : [])}`);
  if (options.turn !== undefined) {
    const coturn = await startCoturn({ listen: SERVER, port: TURN_PORT, enter });
    lab.atEnd(() => coturn.close());
    const credentialFile = join(lab.directory, 'turn-password');
    writeFileSync(credentialFile, `${coturn.password}\n`, { mode: 0o600 });
    const servers = options.turn.map((transport) => ({
      url: `turn:${SERVER}:${TURN_PORT}?transport=${transport}`,
      username: coturn.user,
      credentialFile,
    }));
    lines.push(`turn.servers = ${JSON.stringify(servers)}`);
  }
  if (options.dht === true) {
    const dht = await startDhtNetwork({ host: SERVER, nodes: DHT_NODES, libtorrent: LIBTORRENT_NODES, enter });
    lab.atEnd(() => dht.close());
    lines.push('dht = on', `dht.bootstrap = ${JSON.stringify(dht.bootstrap)}`);
  } else lines.push('dht = off');
  if (options.tor === true) {
    const tor = await startTorNetwork(join(lab.directory, 'tor'), { address: SERVER, prefix: enter, ports: TOR_PORTS });
    lab.atEnd(() => tor.stop());
    lines.push('tor = auto', `tor.config = ${JSON.stringify(tor.configLines)}`);
    await seed(tor, lab);
  } else lines.push('tor = off');
  return `${lines.join('\n')}\n`;
}

async function seed(tor: TorNetwork, { alice, bob, carol }: NatLab): Promise<void> {
  for (const { home } of [alice, bob, carol]) await tor.seed(join(home, 'tor'));
}

async function endOf(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill();
  await once(child, 'exit');
}

/** On loopback, outside the laboratory: the nodes know each other afterwards, and no address that is good in it. */
async function acquaint({ alice, bob, carol }: NatLab, options: NatLabOptions): Promise<void> {
  const outside = ([alice, bob, carol] as const).map((host) =>
    createHost(host.name, '127.0.0.1', join(host.home, '..'), [], true),
  );
  const [a, b, c] = outside;
  if (a === undefined || b === undefined || c === undefined) return;
  const pairs: (readonly [Host, Host])[] = [];
  if (options.acquainted !== false) pairs.push([a, b]);
  if (options.carol === true) pairs.push([c, a], [c, b]);
  const started = new Set(pairs.flat());
  try {
    // Without a Tor that is there they know all the same where their onion services will be.
    const flags = options.tor === true ? ['--tor', 'control:127.0.0.1:1'] : [];
    for (const host of started) await host.start(flags);
    for (const [host, guest] of pairs) await introduce(host, guest);
  } finally {
    const left = await stopHosts([...started]);
    if (left.length > 0) throw new Error(left.join('; '));
  }
}

/** What `status` says of a peer. */
export async function statusOf(host: Host, peer: string): Promise<PeerStatus | undefined> {
  const { peers } = (await host.json(['status'])) as { peers: PeerStatus[] };
  return peers.find(({ name }) => name === peer);
}

export interface Watching {
  readonly events: readonly WatchEvent[];
  /** The first that fits, now or later. */
  until(what: string, limitMs: number, fits: (event: WatchEvent) => boolean): Promise<WatchEvent>;
  close(): Promise<void>;
}

/** `peerfs watch --json` on this host. */
export function watch(host: Host): Watching {
  const [program, ...args] = [...host.enter, process.execPath, CLI, 'watch', '--json'];
  const child = spawn(program, args, {
    env: { ...process.env, PEERFS_HOME: host.home },
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const events: WatchEvent[] = [];
  createInterface({ input: child.stdout }).on('line', (line) => events.push(JSON.parse(line) as WatchEvent));
  return {
    events,
    until: (what, limitMs, fits) => eventually(what, limitMs, async () => events.find(fits)),
    close: () => endOf(child),
  };
}

/** Milliseconds until the first byte of a file can be read, by programs that try again while the peer is away. */
export async function firstByte(path: string, limitMs: number): Promise<number> {
  const started = performance.now();
  await eventually(`the first byte of ${path}`, limitMs, async () => {
    const child = spawn('head', ['-c1', path], { stdio: ['ignore', 'pipe', 'ignore'] });
    let bytes = 0;
    child.stdout.on('data', (chunk: Buffer) => (bytes += chunk.length));
    await once(child, 'close');
    return bytes === 1 ? true : undefined;
  });
  return performance.now() - started;
}

/** Adds lines to the settings of a host whose node does not run. */
export function configure(host: Host, ...lines: string[]): void {
  appendFileSync(join(host.home, 'config'), `${lines.join('\n')}\n`);
}
