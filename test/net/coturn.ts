/** A real TURN server (coturn) for tests: a child process with a configuration of its own in a temporary folder. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const START_MS = 10_000;

export interface CoturnOptions {
  /** Numeric address to listen on and to relay from. */
  readonly listen: string;
  readonly port?: number;
  /** Command and arguments that run a program in the server's network. */
  readonly enter?: readonly string[];
  readonly user?: string;
  readonly password?: string;
  /** Further lines of its configuration. */
  readonly lines?: readonly string[];
}

export interface Coturn {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  /** Ends it at once, as a crash would. */
  kill(): Promise<void>;
  close(): Promise<void>;
}

export async function startCoturn(options: CoturnOptions): Promise<Coturn> {
  const { listen, enter = [], user = 'user', password = 'a password', lines = [] } = options;
  const folder = mkdtempSync(join(tmpdir(), 'peerfs-coturn-'));
  const port = options.port ?? (enter.length === 0 ? await freePort(listen) : 3478);
  const file = join(folder, 'turnserver.conf');
  const settings = [
    `listening-ip=${listen}`,
    `relay-ip=${listen}`,
    `listening-port=${port}`,
    'realm=peerfs.test',
    'lt-cred-mech',
    `user=${user}:${password}`,
    'no-tls',
    'no-dtls',
    'no-cli',
    'allow-loopback-peers',
    'no-stdout-log',
    'simple-log',
    `log-file=${join(folder, 'log')}`,
    `pidfile=${join(folder, 'pid')}`,
    `userdb=${join(folder, 'db')}`,
    ...lines,
  ];
  writeFileSync(file, `${settings.join('\n')}\n`, { mode: 0o600 });
  const command: readonly string[] = [...enter, 'turnserver', '-c', file];
  const [program = '', ...rest] = command;
  const child = spawn(program, rest, {
    stdio: 'ignore',
    env: { ...process.env, PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/usr/local/sbin` },
  });
  const ended = once(child, 'exit');
  const kill = async (): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
    await ended;
  };
  const close = async (): Promise<void> => {
    await kill();
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    await Promise.race([
      untilListening(listen, port, enter),
      ended.then(() => Promise.reject(new Error('coturn ended'))),
    ]);
  } catch (error) {
    await close();
    throw error;
  }
  return { host: listen, port, user, password, kill, close };
}

async function freePort(host: string): Promise<number> {
  const server = createServer().listen(0, host);
  await once(server, 'listening');
  const address = server.address();
  server.close();
  return typeof address === 'object' && address !== null ? address.port : 0;
}

/** Until it takes connections there; asked from its own network. */
async function untilListening(host: string, port: number, enter: readonly string[]): Promise<void> {
  const script = `require('net').connect(${port}, '${host}').on('connect', () => process.exit(0)).on('error', () => process.exit(1))`;
  const command: readonly string[] = [...enter, process.execPath, '-e', script];
  for (const end = performance.now() + START_MS; performance.now() < end;) {
    const [program = '', ...rest] = command;
    const [code] = (await once(spawn(program, rest, { stdio: 'ignore' }), 'exit')) as [number | null];
    if (code === 0) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error('coturn does not listen');
}
