/**
 * A private Tor network on one address: three authorities and one relay, the least that carries onion services. Real
 * tor, nothing leaves the machine. For tests here and for end-to-end tests, which run it in a network namespace.
 *
 * Two things make it quick: the first vote is set to begin as soon as the relays are there (the voting offset is
 * computed), and clients get the directory as files (`seed`), so that they need not ask for it.
 */
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { get } from 'node:http';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';

const execute = promisify(execFile);

const AUTHORITIES = 3;
const RELAYS = 1;
/** Between votes: longer than any test. Seconds. */
const INTERVAL = 1800;
/** For a vote, and for giving the votes out. Seconds. */
const VOTE_DELAY = 2;
/** From the start to the first vote: relays upload their descriptors meanwhile. More at each attempt. Seconds. */
const MARGIN = 2.5;
const ATTEMPTS = 3;
const POLL_MS = 100;
/** What the machine's own tor is configured to is no part of it. */
const NO_DEFAULTS = ['--defaults-torrc', '/nonexistent', '--ignore-missing-torrc'];

export interface TorNetworkOptions {
  /** Address of all its nodes; the loopback one is the default. */
  readonly address?: string;
  /** Runs a command elsewhere: `['nsenter', '--net=/run/netns/X', '--']`. */
  readonly prefix?: readonly string[];
  /** Ports of the address that nobody uses, 8 of them; needed with a prefix, else found. */
  readonly ports?: readonly number[];
}

export interface TorNetwork {
  /** What a client's configuration needs to belong to it. */
  readonly configLines: readonly string[];
  /** Fills a client's data directory before its first start: it is ready a second later instead of ten. */
  seed(dataDirectory: string): Promise<void>;
  /** Idempotent. */
  stop(): Promise<void>;
}

interface Node {
  readonly nick: string;
  readonly isAuthority: boolean;
  readonly directory: string;
  readonly onionPort: number;
  readonly directoryPort: number;
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Says what to install, before something fails for want of it. */
async function findPrograms(): Promise<void> {
  try {
    for (const program of ['tor', 'tor-gencert']) await execute(program, ['--help']).catch(notMissing);
  } catch (cause) {
    throw new Error('the Tor tests need tor and tor-gencert (Debian: apt install tor)', { cause });
  }
}

/** tor-gencert has no help and ends with an error: it is there. */
function notMissing(error: unknown): void {
  if (error instanceof Error && 'code' in error && error.code === 'ENOENT') throw error;
}

/** @param directory an empty one, the caller's to remove after stop(). */
export async function startTorNetwork(directory: string, options: TorNetworkOptions = {}): Promise<TorNetwork> {
  await findPrograms();
  for (let attempt = 1; ; attempt++) {
    try {
      return await startOnce(join(directory, `attempt-${attempt}`), options, attempt);
    } catch (error) {
      // A slow machine misses the first vote; the next is half an hour away.
      if (attempt >= ATTEMPTS) throw error;
    }
  }
}

async function startOnce(directory: string, options: TorNetworkOptions, attempt: number): Promise<TorNetwork> {
  const { address = '127.0.0.1', prefix = [] } = options;
  const ports = [...(options.ports ?? (await freePorts(2 * (AUTHORITIES + RELAYS))))];
  const nodes = Array.from({ length: AUTHORITIES + RELAYS }, (_, index): Node => {
    const isAuthority = index < AUTHORITIES;
    const nick = isAuthority ? `authority${index}` : `relay${index - AUTHORITIES}`;
    const [onionPort = 0, directoryPort = 0] = ports.splice(0, 2);
    return { nick, isAuthority, directory: join(directory, nick), onionPort, directoryPort };
  });
  for (const node of nodes) await mkdir(join(node.directory, 'keys'), { recursive: true, mode: 0o700 });
  const authorities = nodes.filter(({ isAuthority }) => isAuthority);
  const authorityLines = await Promise.all(authorities.map((node) => makeAuthority(node, address)));
  const firstVote = Math.ceil(Date.now() / 1000 + 0.2 + MARGIN * attempt) + 2 * VOTE_DELAY;
  const common = [
    'TestingTorNetwork 1',
    ...authorityLines,
    'PathsNeededToBuildCircuits 0.67',
    'LearnCircuitBuildTimeout 0',
    'CircuitBuildTimeout 10',
    'TestingClientMaxIntervalWithoutRequest 1 seconds',
    'TestingDirConnectionMaxStall 5 seconds',
    `V3AuthVotingInterval ${INTERVAL}`,
  ];
  const children: ChildProcess[] = [];
  const stop = async (): Promise<void> => {
    await Promise.all(
      children.splice(0).map(async (child) => {
        if (child.exitCode !== null || child.signalCode !== null) return;
        const ended = once(child, 'exit');
        child.kill('SIGKILL');
        await ended;
      }),
    );
  };
  const [command, ...before] = [...prefix, 'tor'];
  const fetch = (path: string): Promise<string> => {
    const url = `http://${address}:${authorities[0]?.directoryPort ?? 0}${path}`;
    return prefix.length === 0 ? fetchHere(url) : fetchElsewhere(prefix, url);
  };
  try {
    for (const node of nodes) {
      const file = join(node.directory, 'torrc');
      await writeFile(file, `${[...common, ...nodeLines(node, address, firstVote)].join('\n')}\n`);
      const child = spawn(command, [...before, '--quiet', '-f', file, ...NO_DEFAULTS], {
        stdio: 'ignore',
      });
      child.on('error', () => undefined);
      children.push(child);
    }
    const consensus = await firstConsensus(fetch, nodes, children, firstVote);
    const files = await directoryFiles(fetch, consensus);
    return {
      configLines: [...common, 'ConnectionPadding 0', 'CircuitPadding 0', 'GeoIPFile', 'GeoIPv6File'],
      async seed(dataDirectory) {
        await mkdir(dataDirectory, { recursive: true, mode: 0o700 });
        for (const [name, text] of files) await writeFile(join(dataDirectory, name), text, { mode: 0o600 });
      },
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Makes its keys. @returns the line by which all know it. */
async function makeAuthority({ nick, directory, onionPort, directoryPort }: Node, address: string): Promise<string> {
  const keys = join(directory, 'keys');
  const making = execute('tor-gencert', [
    ...['--create-identity-key', '--passphrase-fd', '0', '-m', '12', '-a', `${address}:${directoryPort}`],
    ...['-i', join(keys, 'authority_identity_key'), '-s', join(keys, 'authority_signing_key')],
    ...['-c', join(keys, 'authority_certificate')],
  ]);
  making.child.stdin?.end('none\n');
  await making;
  const certificate = await readFile(join(keys, 'authority_certificate'), 'utf8');
  const [, identity = ''] = /^fingerprint (\w+)/m.exec(certificate) ?? [];
  const { stdout } = await execute('tor', [
    ...['--quiet', '--list-fingerprint', '--orport', '1', '--datadirectory', directory, '--nickname', nick],
    ...['--dirserver', `x 127.0.0.1:1 ${'f'.repeat(40)}`, '-f', '/nonexistent', ...NO_DEFAULTS],
  ]);
  const fingerprint = stdout.trim().split(/\s+/).slice(1).join('');
  return `DirAuthority ${nick} orport=${onionPort} no-v2 v3ident=${identity} ${address}:${directoryPort} ${fingerprint}`;
}

function nodeLines(node: Node, address: string, firstVote: number): readonly string[] {
  const lines = [
    `DataDirectory ${node.directory}`,
    `Nickname ${node.nick}`,
    `Log notice file ${join(node.directory, 'log')}`,
    `Address ${address}`,
    `ORPort ${address}:${node.onionPort} IPv4Only`,
    `DirPort ${address}:${node.directoryPort}`,
    `__OwningControllerProcess ${process.pid}`,
    'SocksPort 0',
    'ShutdownWaitLength 0',
    'AvoidDiskWrites 1',
    'AssumeReachable 1',
    'ExitRelay 1',
    'ExitPolicy accept *:*',
    'ExitPolicyRejectPrivate 0',
    'ContactInfo nobody@test.invalid',
    'DirCache 1',
    'ServerDNSDetectHijacking 0',
    'ServerDNSTestAddresses',
    'DirReqStatistics 0',
    'HiddenServiceStatistics 0',
    'OverloadStatistics 0',
    'ExtraInfoStatistics 0',
    'Schedulers Vanilla',
    'NumCPUs 1',
    'MaxMemInQueues 256 MB',
    'GeoIPFile',
    'GeoIPv6File',
  ];
  if (!node.isAuthority) return lines;
  return [
    ...lines,
    'AuthoritativeDirectory 1',
    'V3AuthoritativeDirectory 1',
    `TestingV3AuthInitialVotingInterval ${INTERVAL}`,
    `TestingV3AuthInitialVoteDelay ${VOTE_DELAY}`,
    `TestingV3AuthInitialDistDelay ${VOTE_DELAY}`,
    `V3AuthVoteDelay ${VOTE_DELAY}`,
    `V3AuthDistDelay ${VOTE_DELAY}`,
    'V3AuthNIntervalsValid 100',
    `TestingV3AuthVotingStartOffset ${firstVote % INTERVAL}`,
    'TestingDirAuthVoteExit *',
    'TestingDirAuthVoteHSDir *',
    'TestingDirAuthVoteGuard *',
    'TestingMinExitFlagThreshold 0',
    'MinUptimeHidServDirectoryV2 0',
  ];
}

type Fetch = (path: string) => Promise<string>;

/** Waits until the authorities agree on all nodes. */
async function firstConsensus(
  fetch: Fetch,
  nodes: readonly Node[],
  children: readonly ChildProcess[],
  firstVote: number,
): Promise<string> {
  for (;;) {
    const ended = children.findIndex(({ exitCode, signalCode }) => exitCode !== null || signalCode !== null);
    const directory = nodes[ended]?.directory;
    if (directory !== undefined) {
      const log = await readFile(join(directory, 'log'), 'utf8').catch(() => 'no log');
      throw new Error(`a node of the test's Tor network ended: ${log.split('\n').slice(-4).join(' ')}`);
    }
    const consensus = await fetch('/tor/status-vote/current/consensus-microdesc');
    if ((consensus.match(/^s .*Running/gm) ?? []).length >= nodes.length) return consensus;
    if (Date.now() / 1000 > firstVote + 4) throw new Error("the test's Tor network found no consensus");
    await pause(POLL_MS);
  }
}

/** What a client keeps of the directory, as files of its data directory. */
async function directoryFiles(fetch: Fetch, consensus: string): Promise<ReadonlyMap<string, string>> {
  const digests = [...consensus.matchAll(/^m (\S+)$/gm)].map(([, digest]) => digest);
  const [certificates, descriptors] = await Promise.all([
    fetch('/tor/keys/all'),
    fetch(`/tor/micro/d/${digests.join('-')}`),
  ]);
  // Without it tor takes them for old when it loads them.
  const listed = `@last-listed ${new Date().toISOString().slice(0, 19).replace('T', ' ')}\n`;
  return new Map([
    ['cached-microdesc-consensus', consensus],
    ['cached-certs', certificates],
    ['cached-microdescs.new', descriptors.replace(/^onion-key/gm, `${listed}onion-key`)],
  ]);
}

/** An empty text for whatever is not there yet. */
function fetchHere(url: string): Promise<string> {
  return new Promise((resolve) => {
    get(url, { timeout: 1000 }, (response) => {
      let text = '';
      response.setEncoding('latin1');
      response.on('data', (chunk: string) => (text += chunk));
      response.on('error', () => resolve(''));
      response.on('end', () => resolve(response.statusCode === 200 ? text : ''));
    }).on('error', () => resolve(''));
  });
}

/** The same from within a namespace: this program's sockets belong to its own. */
async function fetchElsewhere(prefix: readonly string[], url: string): Promise<string> {
  const script = `require('node:http').get(process.argv[1], { timeout: 1000 }, (r) => r.statusCode === 200 && r.pipe(process.stdout)).on('error', () => {})`;
  const [command, ...before] = [...prefix, process.execPath, '-e', script, url];
  try {
    return (await execute(command, before, { encoding: 'latin1', maxBuffer: 16 * 1024 * 1024 })).stdout;
  } catch {
    return '';
  }
}

async function freePorts(count: number): Promise<readonly number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer().listen(0, '127.0.0.1');
      await once(server, 'listening');
      return server;
    }),
  );
  return Promise.all(
    servers.map(async (server) => {
      const bound = server.address();
      server.close();
      await once(server, 'close');
      return bound !== null && typeof bound === 'object' ? bound.port : 0;
    }),
  );
}
