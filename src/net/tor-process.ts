/**
 * A tor program of our own: its configuration, its start and its end. Owns the child process and the data directory;
 * does not own what is said over the control port.
 *
 * The program ends with us in three ways: it is told to when we close; the control connection takes ownership of it
 * (TAKEOWNERSHIP, tor-client.ts), so that it ends with the connection; and it looks every 15 seconds whether our
 * process lives (__OwningControllerProcess). Nothing secret is in its arguments: the configuration goes by its input.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { access, constants, mkdir, readFile, rm } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { createInterface } from 'node:readline';
import { parseHostPort } from '../host-port.ts';
import type { Clock } from '../clock.ts';
import { PeerfsError } from '../errors.ts';
import { escapeControls, type Logger } from '../log.ts';
import { quote, type TorAddress } from './tor-control.ts';

/** The longest path that a Unix socket's address takes (unix(7): 108 with the zero). Bytes. */
const MAX_SOCKET_PATH_BYTES = 107;
/** Tuning. Milliseconds. */
/** Tor's own wait for another one that holds the data directory is 5 seconds. */
const START_MS = 20_000;
const LOOK_MS = 50;
/** Between being asked to end and being killed. */
const STOP_MS = 3_000;

const CONTROL_PORT_FILE = 'control-port';

/** Programs that speak the transports of bridges, likeliest first; from PATH. */
const TRANSPORT_PROGRAMS: Readonly<Record<string, readonly string[]>> = {
  obfs4: ['lyrebird', 'obfs4proxy'],
  meek_lite: ['lyrebird', 'obfs4proxy'],
  webtunnel: ['lyrebird', 'webtunnel-client'],
  snowflake: ['snowflake-client'],
};

export interface TorConfiguration {
  /** Created with mode 0700. */
  readonly dataDirectory: string;
  /** Lines of the user's, before ours. */
  readonly configLines: readonly string[];
  /** `[transport] address:port [fingerprint] [arguments]`, with or without `Bridge` before it. */
  readonly bridges: readonly string[];
}

export interface TorProcessOptions extends TorConfiguration {
  readonly program: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

export interface TorProcess {
  readonly pid: number;
  readonly control: TorAddress;
  /** Settles when it has ended, with the last complaint it wrote. */
  readonly ended: Promise<string>;
  /** Asks it to end, insists after 3 seconds. Idempotent. */
  stop(): Promise<void>;
}

/** The file's path, if a program of this name is in PATH; a name with a slash is a path already. */
export async function findProgram(name: string): Promise<string | undefined> {
  const paths = name.includes('/')
    ? [name]
    : // Debian keeps tor in /usr/sbin, which a plain user's PATH often lacks.
      [...(process.env['PATH'] ?? '').split(delimiter), '/usr/local/sbin', '/usr/sbin']
        .filter((directory) => directory.startsWith('/'))
        .map((directory) => join(directory, name));
  for (const path of paths) {
    try {
      await access(path, constants.X_OK);
      return path;
    } catch {
      continue;
    }
  }
  return undefined;
}

/** @throws PeerfsError CONFIG_INVALID for a line that would be read as something else than one line. */
function checkLine(line: string): void {
  // A backslash at its end would join it to the next one.
  if (/[\x00-\x08\x0a-\x1f\x7f]|\\\s*$/.test(line)) {
    throw new PeerfsError(
      'CONFIG_INVALID',
      'a line of the Tor configuration holds a line break or ends in a backslash',
    );
  }
}

const withoutKeyword = (bridge: string): string => bridge.trim().replace(/^bridge\s+/i, '');

/** The transports that bridges need and no line configures. */
function transportsOf({ bridges, configLines }: TorConfiguration): readonly string[] {
  const configured = new Set(
    configLines.flatMap((line) => /^\s*ClientTransportPlugin\s+(\S+)/i.exec(line)?.[1]?.split(',') ?? []),
  );
  const wanted = bridges.flatMap((bridge) => /^([A-Za-z_]\w*)\s/.exec(withoutKeyword(bridge))?.[1] ?? []);
  return [...new Set(wanted)].filter((transport) => !configured.has(transport));
}

/**
 * The whole configuration, as tor reads it.
 * @param find finds a transport's program.
 * @throws PeerfsError CONFIG_INVALID for a line with a line break in it, ENVIRONMENT when a transport's program is
 * missing or a path has a character that tor's configuration cannot express.
 */
export async function torConfiguration(
  configuration: TorConfiguration,
  find: (name: string) => Promise<string | undefined> = findProgram,
): Promise<string> {
  const { dataDirectory, configLines, bridges } = configuration;
  for (const line of [dataDirectory, ...configLines, ...bridges]) checkLine(line);
  const path = (name: string): string => join(dataDirectory, name);
  const socket = (name: string): string =>
    Buffer.byteLength(path(name)) > MAX_SOCKET_PATH_BYTES ? 'auto' : `unix:${quote(path(name))}`;
  const plugins: string[] = [];
  for (const transport of transportsOf(configuration)) {
    const names = TRANSPORT_PROGRAMS[transport] ?? [];
    const program = (await Promise.all(names.map(find))).find((found) => found !== undefined);
    if (program === undefined) {
      throw new PeerfsError('ENVIRONMENT', `no program for bridges of kind ${escapeControls(transport)}`, {
        hint: names.length > 0 ? `Install ${names.join(' or ')}.` : 'Add a ClientTransportPlugin line.',
      });
    }
    checkLine(program);
    plugins.push(`ClientTransportPlugin ${transport} exec ${program}`);
  }
  const lines = [
    'AvoidDiskWrites 1',
    ...configLines,
    `DataDirectory ${quote(dataDirectory)}`,
    `ControlPort ${socket('control')}`,
    `ControlPortWriteToFile ${quote(path(CONTROL_PORT_FILE))}`,
    'CookieAuthentication 1',
    `CookieAuthFile ${quote(path('control_auth_cookie'))}`,
    `SocksPort ${socket('socks')} ExtendedErrors`,
    'ClientOnly 1',
    'RunAsDaemon 0',
    'Log notice stdout',
    `__OwningControllerProcess ${process.pid}`,
    ...plugins,
    ...(bridges.length > 0 ? ['UseBridges 1'] : []),
    ...bridges.map((bridge) => `Bridge ${withoutKeyword(bridge)}`),
  ];
  return `${lines.join('\n')}\n`;
}

/**
 * Starts it and waits until its control port is there.
 * Rejects ENVIRONMENT when it does not start, CONFIG_INVALID as torConfiguration does, CANCELLED.
 */
export async function startTorProcess(options: TorProcessOptions): Promise<TorProcess> {
  const { program, dataDirectory, clock, log, signal } = options;
  const configuration = await torConfiguration(options);
  await mkdir(dataDirectory, { recursive: true, mode: 0o700 });
  const portFile = join(dataDirectory, CONTROL_PORT_FILE);
  // What an earlier one wrote would lead nowhere, or to a stranger.
  await rm(portFile, { force: true });
  if (signal.aborted) throw new PeerfsError('CANCELLED', 'no longer wanted');
  const child = spawn(program, ['-f', '-', '--defaults-torrc', '/dev/null'], {
    stdio: ['pipe', 'pipe', 'ignore'],
    cwd: '/',
  });
  const ended = watch(child, log);
  const isRunning = (): boolean => child.pid !== undefined && child.exitCode === null && child.signalCode === null;
  const isAborted = (): boolean => signal.aborted;
  const stop = (): Promise<void> => stopChild(child, ended, clock);
  child.stdin.on('error', () => undefined);
  child.stdin.end(configuration);
  const deadline = clock.now() + START_MS;
  for (;;) {
    const control = await readPortFile(portFile);
    if (control !== undefined && isRunning()) return { pid: child.pid ?? 0, control, ended, stop };
    if (!isRunning()) throw new PeerfsError('ENVIRONMENT', `tor did not start: ${await ended}`);
    if (isAborted() || clock.now() > deadline) {
      await stop();
      if (isAborted()) throw new PeerfsError('CANCELLED', 'no longer wanted');
      throw new PeerfsError('ENVIRONMENT', 'tor does not open its control port');
    }
    await new Promise<void>((resolve) => clock.after(LOOK_MS, resolve));
  }
}

/** Reads what it writes; @returns its last complaint once it has ended. */
function watch(child: ChildProcess, log: Logger): Promise<string> {
  let complaint = '';
  if (child.stdout !== null) {
    createInterface({ input: child.stdout }).on('line', (line) => {
      log.debug('tor says', { line });
      const [, severity, text = ''] = /\[(warn|err)\] (.*)/.exec(line) ?? [];
      // The last words of a failing start only say that it fails; why stands before them.
      if (severity !== undefined && !(severity === 'err' && complaint !== '')) complaint = text;
    });
  }
  return new Promise((resolve) => {
    const settle = (otherwise: string): void => resolve(escapeControls(complaint === '' ? otherwise : complaint));
    child.on('error', (error: NodeJS.ErrnoException) => settle(error.code ?? error.message));
    child.on('close', (code, signal) => settle(signal ?? `exit code ${code ?? 0}`));
  });
}

async function stopChild(child: ChildProcess, ended: Promise<unknown>, clock: Clock): Promise<void> {
  child.kill('SIGTERM');
  const timer = clock.after(STOP_MS, () => child.kill('SIGKILL'));
  await ended;
  timer.cancel();
}

/** Where tor wrote that its control port is; undefined while it has not. */
async function readPortFile(path: string): Promise<TorAddress | undefined> {
  const text = await readFile(path, 'utf8').catch(() => '');
  const [, kind, where = ''] = /^(PORT|UNIX_PORT)=(.+)\n/.exec(text) ?? [];
  if (kind === undefined) return undefined;
  return kind === 'PORT' ? parseHostPort(where) : { path: where };
}
