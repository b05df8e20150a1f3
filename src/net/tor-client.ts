/**
 * The node's Tor: finds one that runs or starts one, watches how far it is, and finds the next one when it is lost.
 * Owns the state; does not own what is published or how connections are made (tor-services.ts, tor-dial.ts).
 *
 *     starting ---bootstrapped---> ready
 *      ^    \------ fails ------> failed      and from each of them, when Tor or its control connection is lost:
 *      +--- after 5 seconds to 5 minutes ---+ starting, at once the first time
 */
import { randomBytes } from 'node:crypto';
import { parseHostPort } from '../host-port.ts';
import type { Clock } from '../clock.ts';
import { onionPublicKey } from '../crypto/onion.ts';
import { PeerfsError } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { Tor, TorStatus } from './tor.ts';
import { authenticate, expectOk } from './tor-authentication.ts';
import { connectControl, keywords, type ControlConnection, type TorAddress } from './tor-control.ts';
import { dialOnion } from './tor-dial.ts';
import { findProgram, startTorProcess, type TorProcess } from './tor-process.ts';
import { createTorServices } from './tor-services.ts';

/** Where a Tor that runs already is looked for: Tor Browser, a system's, Debian's. */
const USUAL: readonly TorAddress[] = [
  { host: '127.0.0.1', port: 9151 },
  { host: '127.0.0.1', port: 9051 },
  { path: '/run/tor/control' },
];
/** Tuning. Milliseconds. */
/** After a Tor that worked was lost. */
const LOST_MS = 500;
const FIRST_RETRY_MS = 5_000;
const LAST_RETRY_MS = 300_000;
/** For taking our keys out of another's Tor. */
const LEAVE_MS = 1_000;
/** Of the name under which our streams share circuits with nobody else's. */
const ISOLATION_BYTES = 16;

/**
 * auto: one that runs and lets us in, else the `tor` of PATH; where lines or bridges are given, the latter, because
 * they could not be given to another's. control: `host:port` or the path of a Unix socket.
 */
export type TorMode = 'auto' | 'off' | { readonly program: string } | { readonly control: string };

export interface TorOptions {
  readonly mode: TorMode;
  /** Of a tor that we start; made with mode 0700 when it is. */
  readonly dataDirectory: string;
  /** Lines for its configuration. */
  readonly configLines?: readonly string[];
  /** Bridges, as they are given out. */
  readonly bridges?: readonly string[];
  /** Holds the password of another's control port; read at each attempt. */
  readonly passwordFile?: string | undefined;
  readonly clock: Clock;
  readonly log: Logger;
}

interface Session {
  readonly connection: ControlConnection;
  /** The connection's end. */
  readonly ended: Promise<void>;
  /** Which Tor it is, for people. */
  readonly description: string;
  readonly process: TorProcess | undefined;
}

/** Returns at once and never fails; `status` tells how it goes. */
export function openTor(options: TorOptions): Tor {
  const { mode, clock, log } = options;
  const configLines = options.configLines ?? [];
  const bridges = options.bridges ?? [];
  const listeners = new Set<(status: TorStatus) => void>();
  const stopping = new AbortController();
  const isolation = randomBytes(ISOLATION_BYTES).toString('hex');
  const isStopped = (): boolean => stopping.signal.aborted;
  const services = createTorServices({ clock, log });
  let status: TorStatus =
    mode === 'off'
      ? { state: 'off', progress: 0, detail: 'switched off' }
      : { state: 'starting', progress: 0, detail: 'looking for Tor' };
  let socks: TorAddress | undefined;

  function enter(next: TorStatus): void {
    const { state, progress, detail } = status;
    if (stopping.signal.aborted || (next.state === state && next.progress === progress && next.detail === detail)) {
      return;
    }
    status = next;
    if (next.state !== state) log.info('tor', { state: next.state, progress: next.progress });
    log.debug('tor', { progress: next.progress, detail: next.detail });
    for (const listener of [...listeners]) listener(status);
  }

  const begin = (detail: string): void => enter({ state: 'starting', progress: 0, detail });

  /** Connects to a control port and is let in; everything wanted is then asked of it. */
  async function enterSession(address: TorAddress, process?: TorProcess, isFound = false): Promise<Session> {
    let end: () => void = () => undefined;
    const ended = new Promise<void>((resolve) => (end = resolve));
    const connection = await connectControl({
      address,
      clock,
      onEvent: ({ lines }) => {
        const text = lines[0]?.text ?? '';
        services.heard(text);
        if (text.startsWith('STATUS_CLIENT ')) progressed(text);
      },
      onClose: () => end(),
    });
    // A port that does not answer is not waited for.
    const giveUp = (): void => connection.close();
    stopping.signal.addEventListener('abort', giveUp);
    try {
      stopping.signal.throwIfAborted();
      const passwordFile = process === undefined ? options.passwordFile : undefined;
      await authenticate({ connection, passwordFile, isFound });
      if (process !== undefined) expectOk(await connection.command('TAKEOWNERSHIP'));
      expectOk(await connection.command('SETEVENTS STATUS_CLIENT HS_DESC'));
      stopping.signal.throwIfAborted();
      const where = 'path' in address ? address.path : `${address.host}:${address.port}`;
      const description = process === undefined ? `the Tor that runs at ${where}` : 'a tor of our own';
      return { connection, ended, process, description };
    } catch (error) {
      connection.close();
      throw error;
    } finally {
      stopping.signal.removeEventListener('abort', giveUp);
    }
  }

  /** A bootstrap event, or what GETINFO says of it. */
  function progressed(text: string): void {
    if (!text.includes(' BOOTSTRAP ')) return;
    const words = keywords(text);
    const progress = Math.min(100, Number(words.get('PROGRESS') ?? 0) || 0);
    const warning = words.get('WARNING');
    const detail = [words.get('SUMMARY') ?? 'starting', ...(warning === undefined ? [] : [warning])].join(': ');
    if (progress === 100) void becomeReady();
    else if (status.state !== 'ready') enter({ state: 'starting', progress, detail });
  }

  async function becomeReady(): Promise<void> {
    const current = session;
    // Not let in yet: how far it is will be asked then.
    if (current === undefined) return;
    try {
      const reply = expectOk(await current.connection.command('GETINFO net/listeners/socks'));
      if (session !== current) return;
      socks = socksAddress(reply.lines[0]?.text ?? '');
      if (socks === undefined) {
        enter({ state: 'failed', progress: 100, detail: 'the running Tor has no SOCKS port (SocksPort)' });
      } else enter({ state: 'ready', progress: 100, detail: current.description });
    } catch (error) {
      // The connection is lost: who waits for its end goes on.
      log.debug('tor', { detail: describe(error) });
    }
  }

  async function startOwn(program: string): Promise<Session> {
    const path = await findProgram(program);
    if (path === undefined) {
      throw new PeerfsError('ENVIRONMENT', 'tor is not installed', {
        hint: 'Install it (Debian: apt install tor; macOS: brew install tor), or start Tor Browser.',
      });
    }
    begin('starting tor');
    const { dataDirectory } = options;
    const started = { program: path, dataDirectory, configLines, bridges, clock, log, signal: stopping.signal };
    const process = await startTorProcess(started);
    try {
      return await enterSession(process.control, process);
    } catch (error) {
      await process.stop();
      throw error;
    }
  }

  async function find(): Promise<Session> {
    if (mode === 'off') throw new PeerfsError('CONFIG_INVALID', 'switched off');
    if (mode !== 'auto' && 'program' in mode) return startOwn(mode.program);
    if (mode !== 'auto') {
      const address = mode.control.startsWith('/') ? { path: mode.control } : parseHostPort(mode.control);
      if (address === undefined) {
        throw new PeerfsError('CONFIG_INVALID', "Tor's control port is neither host:port nor the path of a socket");
      }
      return enterSession(address);
    }
    if (configLines.length === 0 && bridges.length === 0) {
      for (const address of USUAL) {
        try {
          return await enterSession(address, undefined, true);
        } catch (error) {
          stopping.signal.throwIfAborted();
          log.debug('no use of a Tor that runs', { detail: describe(error) });
        }
      }
    }
    return startOwn('tor');
  }

  /** One Tor, from its beginning to its end. @returns whether it was ready at some time. */
  async function live(): Promise<boolean> {
    begin('looking for Tor');
    session = await find();
    const { connection, ended, process } = session;
    try {
      services.attach(connection);
      const reply = expectOk(await connection.command('GETINFO status/bootstrap-phase'));
      progressed(reply.lines[0]?.text ?? '');
      await ended;
      return socks !== undefined;
    } finally {
      session = undefined;
      socks = undefined;
      services.detach();
      connection.close();
      await process?.stop();
    }
  }

  async function run(): Promise<void> {
    let delayMs = FIRST_RETRY_MS;
    while (!isStopped()) {
      try {
        const wasReady = await live();
        if (wasReady) delayMs = LOST_MS;
        begin('lost Tor');
      } catch (error) {
        if (isStopped()) return;
        enter({ state: 'failed', progress: 0, detail: describe(error) });
        // What the user wrote does not change by itself.
        if (error instanceof PeerfsError && error.code === 'CONFIG_INVALID') return;
      }
      await pause(delayMs, stopping.signal);
      delayMs = Math.min(LAST_RETRY_MS, Math.max(FIRST_RETRY_MS, 2 * delayMs));
    }
  }

  function pause(ms: number, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const done = (): void => {
        timer.cancel();
        signal.removeEventListener('abort', done);
        resolve();
      };
      const timer = clock.after(ms, done);
      signal.addEventListener('abort', done);
    });
  }

  /** Another's Tor lives on: our keys do not stay in it. */
  async function leave(): Promise<void> {
    if (session === undefined || session.process !== undefined) return;
    const done = new AbortController();
    await Promise.race([services.leave(), pause(LEAVE_MS, done.signal)]);
    done.abort();
  }

  let session: Session | undefined;
  const running = mode === 'off' ? Promise.resolve() : run();

  return {
    get status() {
      return status;
    },
    onStatus(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    async dial(host, port, signal) {
      if (onionPublicKey(host) === undefined) throw new PeerfsError('EHOSTDOWN', 'this is no onion address');
      if (status.state !== 'ready' || socks === undefined) throw new PeerfsError('EHOSTDOWN', 'Tor is not ready');
      return dialOnion({ socks, host, port, isolation, clock, signal });
    },
    serve: (wanted) => services.serve(wanted),
    authorise: (host, secretKey) => services.authorise(host, secretKey),
    async close() {
      if (!stopping.signal.aborted) {
        enter({ state: 'off', progress: 0, detail: 'closed' });
        listeners.clear();
        stopping.abort();
        await leave();
        session?.connection.close();
      }
      await running;
    },
  };
}

/** One line for people. */
function describe(error: unknown): string {
  if (error instanceof PeerfsError) return error.hint === undefined ? error.message : `${error.message}. ${error.hint}`;
  return error instanceof Error ? error.message : String(error);
}

/** The first listener that `net/listeners/socks` names. */
function socksAddress(text: string): TorAddress | undefined {
  for (const [, where = ''] of text.matchAll(/"((?:[^"\\]|\\.)*)"/g)) {
    if (where.startsWith('unix:')) return { path: Buffer.from(where.slice(5), 'latin1').toString('utf8') };
    const address = parseHostPort(where);
    if (address !== undefined) {
      // Any address of the machine: the loopback one is among them.
      const host = { '0.0.0.0': '127.0.0.1', '::': '::1' }[address.host] ?? address.host;
      return { host, port: address.port };
    }
  }
  return undefined;
}
