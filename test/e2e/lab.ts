/**
 * The laboratory of the end-to-end tests: hosts (network namespaces joined by a switch, or loopback where
 * namespaces are not allowed), nodes on them run by the real command line, and an orderly end of all of it.
 *
 * No file operation on a mount is made by this process: programs run as children with a time limit, so that a hung
 * mount fails a test instead of hanging the run.
 */
import { spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Settings of a node that looks for peers on the local network and at addresses it knows alone. */
export const OFFLINE = 'tor = off\ndht = off\nstun.servers = []\nportMapping = false\n';

export const CLI = process.env['PEERFS_TEST_CLI'] ?? join(import.meta.dirname, '../../../bin/peerfs.js');

export interface Outcome {
  /** Exit code; 124 when the time limit ended it. */
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
  readonly ms: number;
}

export interface RunOptions {
  readonly input?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly timeoutMs?: number;
  readonly cwd?: string;
  /** Run as this uid and gid (root only). */
  readonly uid?: number;
}

/** Runs a program to its end, or kills it after the time limit (status 124). */
export function run(argv: readonly string[], options: RunOptions = {}): Promise<Outcome> {
  const [program = 'false', ...rest] = argv;
  const started = performance.now();
  return new Promise((resolve) => {
    const child = spawn(program, rest, {
      env: { ...process.env, ...options.env },
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      ...(options.uid === undefined ? {} : { uid: options.uid, gid: options.uid }),
      stdio: ['pipe', 'pipe', 'pipe'],
      detached: true,
    });
    let stdout = '';
    let stderr = '';
    let late = false;
    const limit = setTimeout(() => {
      late = true;
      killGroup(child.pid, 'SIGKILL');
      // A process in state D never closes its pipes: do not wait for it, nor have it keep this one alive.
      setTimeout(() => {
        finish(124);
        for (const pipe of child.stdio) pipe?.destroy();
        child.unref();
      }, 2000);
    }, options.timeoutMs ?? 60_000);
    const finish = (status: number) => {
      clearTimeout(limit);
      resolve({ status: late ? 124 : status, stdout, stderr, ms: performance.now() - started });
    };
    child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
    child.on('error', (error) => {
      stderr += error.message;
      finish(127);
    });
    child.on('close', (code, signal) => finish(code ?? (signal === null ? 1 : 128)));
    child.stdin.on('error', () => undefined);
    child.stdin.end(options.input ?? '');
  });
}

function killGroup(pid: number | undefined, signal: NodeJS.Signals): void {
  try {
    if (pid !== undefined) process.kill(-pid, signal);
  } catch {
    // It has ended.
  }
}

/** Runs a bash script; its arguments are $1, $2...; fails (with all output) unless it exits 0. */
export async function sh(script: string, args: readonly string[] = [], options: RunOptions = {}): Promise<string> {
  const outcome = await run(['bash', '-euo', 'pipefail', '-c', script, 'sh', ...args], options);
  if (outcome.status !== 0) {
    throw new Error(
      `exit ${outcome.status} after ${outcome.ms.toFixed(0)} ms\n${script}\n--- stdout\n${outcome.stdout.slice(-4000)}\n--- stderr\n${outcome.stderr.slice(-4000)}`,
    );
  }
  return outcome.stdout;
}

/** Why network namespaces cannot be made here, or undefined if they can. */
export function noNamespaces(): string | undefined {
  if (process.getuid?.() !== 0) return 'not root';
  const name = `pfs-try-${process.pid}`;
  const made = spawnSync('ip', ['netns', 'add', name]);
  if (made.error !== undefined) return 'no ip command';
  if (made.status !== 0) return made.stderr.toString().trim();
  spawnSync('ip', ['netns', 'delete', name]);
  return undefined;
}

export interface Host {
  readonly name: string;
  /** Its address in the laboratory. */
  readonly address: string;
  /** The node's home (PEERFS_HOME). */
  readonly home: string;
  /** Where `mount` mounts. */
  readonly mountpoint: string;
  /** A folder for this host's own files. */
  readonly files: string;
  /** Runs `peerfs ARGS` on this host. */
  peerfs(args: readonly string[], options?: RunOptions): Promise<Outcome>;
  /** The same with `--json`; fails unless it exits 0. */
  json(args: readonly string[], options?: RunOptions): Promise<unknown>;
  /** Starts the node (listening on its address, no discovery unless `lan`) with more flags. */
  start(flags?: readonly string[], lan?: boolean): Promise<void>;
  mount(flags?: readonly string[]): Promise<void>;
  /** The node's process id. */
  pid(): Promise<number>;
  /** The path of a peer's folder, or of something in it. */
  at(peer: string, ...rest: string[]): string;
  /** argv prefix that runs a program in this host's network. */
  readonly enter: readonly string[];
}

export interface Lab {
  readonly directory: string;
  readonly namespaces: boolean;
  readonly hosts: readonly Host[];
  readonly host: (name: string) => Host;
  /** Ends nodes, mounts, namespaces and removes all files. Idempotent. Throws when something would not go. */
  close(): Promise<void>;
}

/** @param loopback use loopback even where namespaces are possible. */
export function openLab(names: readonly string[], loopback = false): Lab {
  const reason = loopback ? 'asked for' : noNamespaces();
  if (reason !== undefined && !loopback) console.log(`# hosts share loopback: ${reason}`);
  const directory = mkdtempSync(join(tmpdir(), 'peerfs-lab-'));
  const prefix = `pf${randomBytes(3).toString('hex')}`;
  const bridge = `${prefix}-sw`;
  const ip = (...args: string[]) => {
    const done = spawnSync('ip', args);
    if (done.status !== 0) throw new Error(`ip ${args.join(' ')}: ${done.stderr.toString()}`);
  };
  const made: string[] = [];
  const namespaces = reason === undefined;
  if (namespaces) {
    // The switch is a namespace of its own, so that nothing of the machine's own network is touched.
    ip('netns', 'add', bridge);
    made.push(bridge);
    ip('-n', bridge, 'link', 'add', 'sw', 'type', 'bridge');
    ip('-n', bridge, 'link', 'set', 'sw', 'up');
  }
  const hosts = names.map((name, index): Host => {
    const address = namespaces ? `10.77.0.${index + 1}` : '127.0.0.1';
    const space = `${prefix}-${index}`;
    if (namespaces) {
      ip('netns', 'add', space);
      made.push(space);
      ip('-n', bridge, 'link', 'add', `p${index}`, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', space);
      ip('-n', bridge, 'link', 'set', `p${index}`, 'master', 'sw', 'up');
      ip('-n', space, 'link', 'set', 'lo', 'up');
      ip('-n', space, 'addr', 'add', `${address}/24`, 'brd', '+', 'dev', 'eth0');
      ip('-n', space, 'link', 'set', 'eth0', 'up');
      ip('-n', space, 'route', 'add', '224.0.0.0/4', 'dev', 'eth0');
    }
    const base = join(directory, name);
    mkdirSync(join(base, 'files'), { recursive: true });
    return createHost(name, address, base, namespaces ? ['nsenter', `--net=/run/netns/${space}`, '--'] : []);
  });
  let closed = false;
  return {
    directory,
    namespaces,
    hosts,
    host(name) {
      const found = hosts.find((host) => host.name === name);
      if (found === undefined) throw new Error(`no host ${name}`);
      return found;
    },
    async close() {
      if (closed) return;
      closed = true;
      const left = await stopHosts(hosts);
      for (const space of made) spawnSync('ip', ['netns', 'delete', space]);
      rmSync(directory, { recursive: true, force: true });
      if (left.length > 0) throw new Error(left.join('; '));
    },
  };
}

/**
 * A host whose node's home and files are in `base`.
 * @param enter runs a program in the host's network.
 * @param isKnown the home is there already, with its settings.
 */
export function createHost(
  name: string,
  address: string,
  base: string,
  enter: readonly string[],
  isKnown = false,
): Host {
  const home = join(base, 'home');
  const mountpoint = join(base, 'peers');
  // Nothing outside the laboratory is asked for anything, unless a test says so.
  if (!isKnown) {
    mkdirSync(home, { recursive: true, mode: 0o700 });
    writeFileSync(join(home, 'config'), OFFLINE, { mode: 0o600 });
  }
  const host: Host = {
    name,
    address,
    home,
    mountpoint,
    files: join(base, 'files'),
    enter,
    peerfs: (args, options = {}) =>
      run([...enter, process.execPath, CLI, ...args], {
        ...options,
        env: { PEERFS_HOME: home, ...options.env },
      }),
    async json(args, options = {}) {
      const outcome = await host.peerfs([...args, '--json'], options);
      if (outcome.status !== 0) {
        throw new Error(
          `${name}: peerfs ${args.join(' ')}: exit ${outcome.status}: ${outcome.stdout}${outcome.stderr}`,
        );
      }
      return JSON.parse(outcome.stdout) as unknown;
    },
    async start(flags = [], lan = false) {
      const outcome = await host.peerfs(['start', '--listen', `${address}:0`, ...(lan ? [] : ['--no-lan']), ...flags]);
      if (outcome.status !== 0) throw new Error(`${name}: start: exit ${outcome.status}: ${outcome.stderr}`);
    },
    async mount(flags = []) {
      const outcome = await host.peerfs(['mount', mountpoint, ...flags]);
      if (outcome.status !== 0) throw new Error(`${name}: mount: exit ${outcome.status}: ${outcome.stderr}`);
    },
    async pid() {
      const status = (await host.json(['status'])) as { pid: number };
      return status.pid;
    },
    at: (peer, ...rest) => join(mountpoint, peer, ...rest),
  };
  return host;
}

/** Stops their nodes, or kills them. @returns what did not go by itself. */
export async function stopHosts(hosts: readonly Host[]): Promise<string[]> {
  const left: string[] = [];
  for (const host of hosts) {
    const pid = lockedPid(host.home);
    await host.peerfs(['stop'], { timeoutMs: 15_000 });
    if (pid !== undefined && alive(pid)) {
      process.kill(pid, 'SIGKILL');
      left.push(`node of ${host.name} did not stop`);
    }
    if (isMounted(host.mountpoint)) {
      left.push(`${host.mountpoint} stayed mounted`);
      spawnSync('umount', ['-l', host.mountpoint]);
    }
  }
  return left;
}

/** The process that holds the home's lock, if the lock file names one. */
function lockedPid(home: string): number | undefined {
  const file = join(home, 'node.pid');
  if (!existsSync(file)) return undefined;
  const pid = Number(readFileSync(file, 'utf8'));
  return Number.isInteger(pid) && pid > 1 ? pid : undefined;
}

export function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    // A zombie counts as ended.
    return !readFileSync(`/proc/${pid}/stat`, 'latin1').includes(') Z ');
  } catch {
    return false;
  }
}

export function isMounted(mountpoint: string): boolean {
  return readFileSync('/proc/self/mountinfo', 'latin1').includes(` ${mountpoint} `);
}

interface InviteResult {
  readonly invitation: string;
  readonly code: string;
}

/** `guest` accepts an invitation of `host`; afterwards each has the other as a peer of that name. */
export async function introduce(host: Host, guest: Host, inviteFlags: readonly string[] = []): Promise<void> {
  const invite = (await host.json(['invite', '--name', guest.name, ...inviteFlags])) as InviteResult;
  await guest.json(['accept', invite.invitation, '--name', host.name], {
    env: { PEERFS_CODE: invite.code },
    timeoutMs: 30_000,
  });
}

/** Waits until `check` gives a value; fails after `limitMs`. */
export async function eventually<T>(what: string, limitMs: number, check: () => Promise<T | undefined>): Promise<T> {
  const end = performance.now() + limitMs;
  for (;;) {
    const value = await check();
    if (value !== undefined) return value;
    if (performance.now() > end) throw new Error(`${what}: not within ${limitMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

export interface PeerRow {
  readonly name: string;
  readonly id: string;
  readonly state: string;
  readonly path: string | null;
  readonly rttMs: number | null;
}

export async function peerOf(host: Host, name: string): Promise<PeerRow | undefined> {
  const rows = (await host.json(['peers'])) as PeerRow[];
  return rows.find((row) => row.name === name);
}

/** Waits until `host` sees `peer` live, on a path of this kind if one is named. */
export async function untilLive(host: Host, peer: string, path?: string, limitMs = 20_000): Promise<PeerRow> {
  return eventually(`${host.name} sees ${peer} live`, limitMs, async () => {
    const row = await peerOf(host, peer);
    return row?.state === 'live' && (path === undefined || row.path === path) ? row : undefined;
  });
}
