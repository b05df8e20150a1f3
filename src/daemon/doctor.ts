/**
 * What this computer must have for peerfs, looked at one by one; each finding says how it is mended. Runs without a
 * node and changes nothing.
 */
import { spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync, readdirSync, readFileSync, statfsSync, statSync } from 'node:fs';
import { createSocket } from 'node:dgram';
import { createServer, isIPv6 } from 'node:net';
import { createRequire } from 'node:module';
import { release } from 'node:os';
import { codeOf, PeerfsError } from '../errors.ts';
import { parseHostPort } from '../host-port.ts';
import { loadConfig } from './config.ts';
import { askNode } from './control-client.ts';
import { missingLibrary } from './failure.ts';
import { homeFault, quoted, reasonOf, type Home } from './home.ts';
import { readTurnServers } from './turn-servers.ts';

export interface Finding {
  readonly check: string;
  /** fault: peerfs cannot do without it. */
  readonly result: 'ok' | 'warning' | 'fault';
  readonly detail: string;
  /** What to do. */
  readonly mend?: string;
}

const ok = (check: string, detail: string): Finding => ({ check, result: 'ok', detail });
const warning = (check: string, detail: string, mend: string): Finding => ({ check, result: 'warning', detail, mend });
const fault = (check: string, detail: string, mend: string): Finding => ({ check, result: 'fault', detail, mend });

const MIB = 1024 * 1024;
/** Less free space than this makes writing of state itself doubtful. */
const DISK_BYTES = 64 * MIB;
/** How long a node is waited for, milliseconds. */
const ANSWER_MS = 5000;
/** One watch is used for each folder that a peer has looked into. */
const WATCHES = 65_536;
/** A clock before this was never set: peerfs did not exist. Handshakes carry the time. */
const EARLIEST_MS = Date.UTC(2025, 0, 1);
const LATEST_MS = Date.UTC(2100, 0, 1);

export async function examine(home: Home): Promise<Finding[]> {
  const node = await checkNode(home);
  return [
    checkRuntime(),
    checkLibraries(),
    checkKernel(),
    checkFuseDevice(),
    checkFusermount(),
    checkAllowOther(),
    checkWatches(),
    checkHome(home),
    checkSettings(home),
    node,
    await checkPort(home, node.detail.startsWith('running') || node.result === 'fault'),
    checkClock(),
    checkDisk(home),
  ];
}

async function checkNode(home: Home): Promise<Finding> {
  const check = 'node';
  try {
    await askNode(home, 'id', {}, { limitMs: ANSWER_MS });
    return ok(check, `running for ${home.directory}`);
  } catch (error) {
    const code = codeOf(error);
    if (code === 'NODE_NOT_RUNNING') return ok(check, 'not running (peerfs start)');
    if (code !== 'ETIMEDOUT') return ok(check, `not to be asked: ${reasonOf(error)}`);
    return fault(check, reasonOf(error), `End it: kill -9 $(cat ${quoted(home.pidFile)}), then peerfs start.`);
  }
}

/** The packages with a compiled part, which is missing after an installation without scripts or for another Node.js. */
function checkLibraries(): Finding {
  const load = createRequire(import.meta.url);
  const check = 'libraries';
  try {
    load('koffi');
    // Its compiled part is loaded at the first use.
    const Database = load('better-sqlite3') as new (file: string) => { close(): void };
    new Database(':memory:').close();
    return ok(check, 'better-sqlite3 and koffi can be loaded');
  } catch (error) {
    const { message, hint } = missingLibrary(error);
    return fault(check, message, hint ?? '');
  }
}

function checkRuntime(): Finding {
  const major = Number(process.versions.node.split('.')[0]);
  const detail = `Node.js ${process.versions.node}, ${process.platform} ${process.arch}`;
  if (process.platform !== 'linux') return fault('runtime', detail, 'peerfs mounts on Linux only.');
  return major >= 20 ? ok('runtime', detail) : fault('runtime', detail, 'Install Node.js 20 or newer.');
}

/** openat2(2), without which shares are walked component by component, came with 5.6; FUSE 7.31 with 5.4. */
function checkKernel(): Finding {
  const [major = 0, minor = 0] = release().split('.').map(Number);
  const detail = `Linux ${release()}`;
  if (major < 5 || (major === 5 && minor < 4)) {
    return fault('kernel', `${detail} speaks too old a FUSE protocol`, 'Use Linux 5.4 or newer.');
  }
  if (major === 5 && minor < 6) {
    return warning('kernel', `${detail} has no openat2: sharing is slower`, 'Use Linux 5.6 or newer.');
  }
  return ok('kernel', `${detail}: openat2 and a FUSE protocol that is new enough`);
}

function checkFuseDevice(): Finding {
  const check = '/dev/fuse';
  if (!existsSync('/dev/fuse')) {
    return fault(check, 'missing', 'Run: sudo modprobe fuse. In a container: give it the device (--device /dev/fuse).');
  }
  try {
    accessSync('/dev/fuse', constants.R_OK | constants.W_OK);
    return ok(check, 'there, and may be opened');
  } catch (error) {
    // fusermount3 opens it with the rights of the user who calls it.
    const mode = (statSync('/dev/fuse').mode & 0o777).toString(8);
    return fault(
      check,
      `${reasonOf(error)} (mode ${mode}): you cannot mount`,
      'Run: sudo chmod 666 /dev/fuse (the usual mode; a udev rule for KERNEL=="fuse" keeps it).',
    );
  }
}

function checkFusermount(): Finding {
  const check = 'fusermount3';
  const path = (process.env['PATH'] ?? '')
    .split(':')
    .map((folder) => `${folder}/fusermount3`)
    .find((file) => existsSync(file));
  const root = process.getuid?.() === 0;
  if (path === undefined) {
    const mend = 'Install it: sudo apt-get install fuse3';
    return root ? ok(check, 'missing, and not needed by root') : fault(check, 'missing', mend);
  }
  const { mode, uid } = statSync(path);
  if (!root && ((mode & constants.S_IXOTH) === 0 || (mode & 0o4000) === 0 || uid !== 0)) {
    return fault(check, `${path} is not set-user-id root`, `Run: sudo chown root ${path} && sudo chmod 4755 ${path}`);
  }
  return ok(check, path);
}

function checkAllowOther(): Finding {
  const check = 'allow-other';
  if (process.getuid?.() === 0) return ok(check, 'root may use it');
  const allowed =
    existsSync('/etc/fuse.conf') && /^\s*user_allow_other\b/m.test(readFileSync('/etc/fuse.conf', 'utf8'));
  return allowed
    ? ok(check, 'allowed by /etc/fuse.conf')
    : ok(check, 'not allowed (only for mount --allow-other: put the line user_allow_other into /etc/fuse.conf)');
}

function checkWatches(): Finding {
  const check = 'inotify';
  const file = '/proc/sys/fs/inotify/max_user_watches';
  try {
    const watches = Number(readFileSync(file, 'latin1'));
    if (watches >= WATCHES) return ok(check, `${watches} watches`);
    return warning(
      check,
      `only ${watches} watches: changes in large shares are noticed by asking`,
      `Run: echo fs.inotify.max_user_watches=524288 | sudo tee /etc/sysctl.d/60-peerfs.conf && sudo sysctl --system`,
    );
  } catch {
    return warning(check, 'not available', 'Changes in shares are noticed by asking; nothing needs to be done.');
  }
}

function checkHome(home: Home): Finding {
  if (!existsSync(home.directory)) return ok('home', `${home.directory} will be made at the first start`);
  const found = homeFault(home.directory);
  if (found !== undefined) return fault('home', found.fault, found.hint);
  try {
    accessSync(home.directory, constants.W_OK | constants.X_OK);
  } catch (error) {
    return fault('home', `${home.directory}: ${reasonOf(error)}`, 'Make it writable for you.');
  }
  const open = readdirSync(home.directory, { withFileTypes: true })
    .filter((entry) => entry.isFile() && (statSync(`${home.directory}/${entry.name}`).mode & 0o077) !== 0)
    .map((entry) => entry.name);
  if (open.length > 0) {
    const files = open.map((name) => quoted(`${home.directory}/${name}`)).join(' ');
    return warning('home', `others may read ${open.join(', ')}`, `Run: chmod 600 ${files}`);
  }
  return ok('home', `${home.directory}, for you alone`);
}

function checkSettings(home: Home): Finding {
  try {
    const config = loadConfig(home.configFile);
    // What the node would stumble on at its start.
    readTurnServers(config['turn.servers']);
    return ok('settings', existsSync(home.configFile) ? home.configFile : 'all as they come');
  } catch (error) {
    const hint = error instanceof PeerfsError ? error.hint : undefined;
    return fault('settings', reasonOf(error), hint ?? `Make ${home.configFile} readable for you.`);
  }
}

async function checkPort(home: Home, running: boolean): Promise<Finding> {
  const check = 'port';
  let listen: string;
  try {
    listen = loadConfig(home.configFile).listen;
  } catch {
    return warning(check, 'not looked at: the settings are faulty', 'Mend the settings first.');
  }
  if (running) return ok(check, 'the node holds it');
  const address = parseHostPort(listen);
  if (address === undefined) return fault(check, `"${listen}" is not host:port`, 'peerfs config set listen [::]:0');
  const failure = (await tcpFailure(address)) ?? (await udpFailure(address));
  if (failure === undefined) return ok(check, `${listen} can be listened on`);
  return fault(check, `${listen}: ${reasonOf(failure)}`, 'Choose another: peerfs config set listen [::]:0');
}

interface Address {
  readonly host: string;
  readonly port: number;
}

/** @returns what kept the port from being listened on. */
function tcpFailure({ host, port }: Address): Promise<unknown> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', resolve);
    server.listen(port, host, () => server.close(() => resolve(undefined)));
  });
}

function udpFailure({ host, port }: Address): Promise<unknown> {
  return new Promise((resolve) => {
    const socket = createSocket(isIPv6(host) ? 'udp6' : 'udp4');
    socket.once('error', (error) => socket.close(() => resolve(error)));
    socket.bind(port, host, () => socket.close(() => resolve(undefined)));
  });
}

function checkClock(): Finding {
  const now = Date.now();
  if (now < EARLIEST_MS || now > LATEST_MS) {
    return fault('clock', new Date(now).toISOString(), 'Set it: sudo timedatectl set-ntp true');
  }
  const done = spawnSync('timedatectl', ['show', '--property=NTPSynchronized', '--value'], {
    encoding: 'utf8',
    timeout: 2000,
  });
  const detail = new Date(now).toISOString();
  if (done.error === undefined && done.status === 0 && done.stdout.trim() === 'no') {
    return warning(
      'clock',
      `${detail}, not synchronized`,
      'Let it be set by the network: sudo timedatectl set-ntp true',
    );
  }
  return ok('clock', detail);
}

function checkDisk(home: Home): Finding {
  if (!existsSync(home.directory)) return ok('disk', 'no home yet');
  const { bavail, bsize } = statfsSync(home.directory);
  const free = bavail * bsize;
  const detail = `${Math.floor(free / MIB)} MiB free for the home`;
  return free >= DISK_BYTES ? ok('disk', detail) : fault('disk', detail, 'Free some space.');
}
