/** Real tor programs on a private network of the test's own; the network is started once. */
import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { randomBytes } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { systemClock } from '../../src/clock.ts';
import { onionClientKey, onionHost } from '../../src/crypto/onion.ts';
import { codeOf, type ErrorCode } from '../../src/errors.ts';
import { createLogger, silentLogger } from '../../src/log.ts';
import type { OnionService, Tor, TorState } from '../../src/net/tor.ts';
import { openTor, type TorMode } from '../../src/net/tor-client.ts';
import { createManualClock } from '../manual-clock.ts';
import { startTorNetwork, type TorNetwork } from './tor-network.ts';

/** Too long for a Unix socket in it: ports take their place. */
const CLIENT = `client-${'x'.repeat(100)}`;
const PORT = 7;
const PATIENCE_MS = 45_000;
const LOOK_MS = 50;
const DIAL_MS = 10_000;
const GONE_MS = 2_000;

let directory: string;
let network: TorNetwork;
let echo: Server;
let echoPort = 0;
/** The node that serves and the one that dials. */
let server: Tor;
let client: Tor;
/** What was begun, to be ended also when the beginning failed. */
const begun: (() => unknown)[] = [];
const logged: string[] = [];
const log = createLogger('info', (line) => logged.push(line));

const open = (name: string, mode: TorMode = { program: 'tor' }): Tor =>
  openTor({
    mode,
    dataDirectory: join(directory, name),
    configLines: [...network.configLines, `PidFile ${join(directory, `${name}.pid`)}`],
    clock: systemClock,
    log: process.env['TOR_DEBUG'] === undefined ? log : createLogger('debug', (line) => console.error(name, line)),
  });

async function until(what: string, isSo: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = Date.now() + PATIENCE_MS;
  while (!(await isSo())) {
    assert.ok(Date.now() < deadline, `${what}: not within ${PATIENCE_MS} ms`);
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}

const reach = (tor: Tor, state: TorState): Promise<void> => until(`Tor ${state}`, () => tor.status.state === state);
const published = (service: OnionService): Promise<void> => until('published', () => service.state === 'published');

/** Tries until it is there: a client may hold what was published before. */
async function dialUntilThere(host: string, tor = client): Promise<Socket> {
  const found: { socket?: Socket | undefined } = {};
  await until('dial', async () => {
    found.socket = await tor.dial(host, PORT, AbortSignal.timeout(DIAL_MS)).catch(() => undefined);
    return found.socket !== undefined;
  });
  assert.ok(found.socket !== undefined);
  return found.socket;
}

async function answers(socket: Socket, text = 'hello'): Promise<boolean> {
  socket.write(text);
  let heard = '';
  socket.setEncoding('utf8');
  const listen = (chunk: string): void => void (heard += chunk);
  socket.on('data', listen);
  socket.resume();
  await until('echo', () => heard.length >= text.length);
  socket.off('data', listen);
  return heard === text;
}

/** A service that went away without a word is looked for until somebody is tired of it. */
const isGone = (host: string) => async (): Promise<boolean> => {
  const outcome = await client.dial(host, PORT, AbortSignal.timeout(GONE_MS)).catch(codeOf);
  if (typeof outcome === 'string') return true;
  outcome.destroy();
  return false;
};

/** How one dial is refused; undefined if it is not. */
async function refusal(host: string): Promise<ErrorCode | undefined> {
  const outcome = await client.dial(host, PORT, new AbortController().signal).catch(codeOf);
  if (typeof outcome === 'string') return outcome;
  outcome.destroy();
  return undefined;
}

const serve = (clients?: readonly Uint8Array[]): OnionService =>
  server.serve({
    seed: randomBytes(32),
    virtualPort: PORT,
    targetPort: echoPort,
    ...(clients === undefined ? {} : { clients }),
  });

async function pidOf(name: string): Promise<number> {
  const file = join(directory, `${name}.pid`);
  const read = async (): Promise<string> => readFile(file, 'utf8').catch(() => '');
  await until(`tor of ${name}`, async () => (await read()).endsWith('\n'));
  return Number(await read());
}

before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'peerfs-tor-'));
  begun.push(() => rm(directory, { recursive: true, force: true }));
  network = await startTorNetwork(join(directory, 'network'));
  begun.push(() => network.stop());
  for (const name of ['server', CLIENT]) await network.seed(join(directory, name));
  echo = createServer((socket) => {
    socket.on('error', () => socket.destroy());
    socket.pipe(socket);
  }).listen(0, '127.0.0.1');
  begun.push(() => echo.close());
  await once(echo, 'listening');
  const bound = echo.address();
  echoPort = bound !== null && typeof bound === 'object' ? bound.port : 0;
  server = open('server');
  client = open(CLIENT);
  begun.push(() => Promise.all([server, client].map((tor) => tor.close())));
  await Promise.all([reach(server, 'ready'), reach(client, 'ready')]);
});

after(async () => {
  for (const end of begun.reverse()) await end();
});

test('a service is published, dialled, and carries bytes both ways', async () => {
  const service = serve();
  assert.equal(service.state, 'waiting');
  await published(service);
  const socket = await dialUntilThere(service.host);
  assert.equal(socket.isPaused(), true);
  assert.ok(await answers(socket));
  assert.ok(await answers(socket, 'x'.repeat(200_000)));

  service.close();
  service.close();
  assert.ok(await answers(socket, 'still here'), 'an open connection stays');
  socket.destroy();
  await until('gone', isGone(service.host));
});

test('a service that did not exist when it was first dialled is found later', async () => {
  const seed = randomBytes(32);
  assert.equal(await refusal(onionHost(seed)), 'EHOSTDOWN');
  const service = server.serve({ seed, virtualPort: PORT, targetPort: echoPort });
  assert.equal(service.host, onionHost(seed));
  assert.throws(() => server.serve({ seed, virtualPort: PORT, targetPort: echoPort }), { code: 'EEXIST' });
  await published(service);
  const socket = await dialUntilThere(service.host);
  assert.ok(await answers(socket));
  socket.destroy();
  service.close();
});

test('a restricted service is found by those whose keys it was given, and by nobody else', async () => {
  const own = onionClientKey(randomBytes(32), 'peer');
  const other = onionClientKey(randomBytes(32), 'peer');
  const service = serve([]);
  assert.equal(service.state, 'waiting');
  service.allow([other.publicKey]);
  await published(service);
  assert.equal(await refusal(service.host), 'EHOSTDOWN');
  const withdraw = client.authorise(service.host, own.secretKey);
  assert.equal(await refusal(service.host), 'EHOSTDOWN');

  service.allow([own.publicKey, other.publicKey]);
  assert.equal(service.state, 'waiting');
  await published(service);
  service.allow([other.publicKey, own.publicKey]);
  assert.equal(service.state, 'published', 'the same clients in another order are no change');
  const socket = await dialUntilThere(service.host);
  assert.ok(await answers(socket));
  socket.destroy();
  withdraw();
  withdraw();
  service.close();
});

test('a dial that is not wanted any more ends, and so does one of no onion address', async () => {
  const aborted = new AbortController();
  const dialling = client.dial(onionHost(randomBytes(32)), PORT, aborted.signal);
  aborted.abort();
  await assert.rejects(dialling, { code: 'CANCELLED' });
  await assert.rejects(client.dial(onionHost(randomBytes(32)), PORT, aborted.signal), { code: 'CANCELLED' });
  await assert.rejects(client.dial('example.com', 80, new AbortController().signal), { code: 'EHOSTDOWN' });
});

test('tor killed: it is started again, and service and key are given to it', async () => {
  const key = onionClientKey(randomBytes(32), 'peer');
  const service = serve([key.publicKey]);
  await published(service);
  client.authorise(service.host, key.secretKey);
  const [serving, dialling] = await Promise.all([pidOf('server'), pidOf(CLIENT)]);
  process.kill(serving, 'SIGKILL');
  process.kill(dialling, 'SIGKILL');
  await until('noticed', () => server.status.state !== 'ready' && client.status.state !== 'ready');
  assert.equal(service.state, 'waiting');
  assert.equal(await refusal(service.host), 'EHOSTDOWN');
  await Promise.all([reach(server, 'ready'), reach(client, 'ready'), published(service)]);
  const socket = await dialUntilThere(service.host);
  assert.ok(await answers(socket));
  socket.destroy();
  service.close();
});

test('a Tor that runs already is used through its control port, with its cookie, and lives on', async () => {
  const guest = open('guest', { control: join(directory, 'server', 'control') });
  const states: string[] = [];
  guest.onStatus(({ state, progress }) => states.push(`${state} ${progress}`));
  await reach(guest, 'ready');
  assert.equal(states.at(-1), 'ready 100');
  assert.match(guest.status.detail, /the Tor that runs at .*control$/);
  assert.equal(server.status.detail, 'a tor of our own');
  const service = guest.serve({ seed: randomBytes(32), virtualPort: PORT, targetPort: echoPort });
  await published(service);
  const ports = await readFile(join(directory, CLIENT, 'control-port'), 'utf8');
  const [, port = ''] = /^PORT=127\.0\.0\.1:(\d+)$/m.exec(ports) ?? [];
  const other = open('other', { control: `127.0.0.1:${port}` });
  await reach(other, 'ready');
  for (const tor of [guest, other]) {
    const socket = await dialUntilThere(service.host, tor);
    assert.ok(await answers(socket));
    socket.destroy();
  }
  await Promise.all([guest.close(), other.close()]);
  assert.equal(guest.status.state, 'off');
  await until('gone with its control connection', isGone(service.host));
  assert.deepEqual([server.status.state, client.status.state], ['ready', 'ready']);
  await assert.rejects(stat(join(directory, 'guest')), { code: 'ENOENT' });
});

test('the data directory is private, tor ends with close(), and nothing of it stands in the log', async () => {
  const extra = open('extra');
  const pid = await pidOf('extra');
  await extra.close();
  await extra.close();
  assert.throws(() => process.kill(pid, 0), { code: 'ESRCH' });
  assert.equal((await stat(join(directory, 'extra'))).mode & 0o777, 0o700);
  assert.ok(logged.length > 0);
  assert.doesNotMatch(logged.join('\n'), /[a-z2-7]{56}|onion/);
});

test('a tor whose controller was killed ends, and its data directory is free for the next one', async () => {
  await network.seed(join(directory, 'orphan'));
  const script = `
    import { openTor } from ${JSON.stringify(new URL('../../src/net/tor-client.js', import.meta.url).href)};
    import { systemClock } from ${JSON.stringify(new URL('../../src/clock.js', import.meta.url).href)};
    import { silentLogger } from ${JSON.stringify(new URL('../../src/log.js', import.meta.url).href)};
    const [dataDirectory, ...configLines] = JSON.parse(process.argv[1]);
    const tor = openTor({ mode: { program: 'tor' }, dataDirectory, configLines, clock: systemClock, log: silentLogger });
    tor.onStatus(({ state }) => state === 'ready' && console.log('ready'));
    setInterval(() => {}, 1000);`;
  const orphan = join(directory, 'orphan');
  const child: ChildProcess = spawn(
    process.execPath,
    ['--input-type=module', '-e', script, JSON.stringify([orphan, ...network.configLines])],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  assert.ok(child.stdout !== null);
  await once(child.stdout, 'data');
  child.kill('SIGKILL');
  await once(child, 'exit');
  const next = open('orphan');
  await reach(next, 'ready');
  await next.close();
});

test('without a tor to start, or with a line that is two, it fails and says why', async () => {
  const missing = open('missing', { program: '/nonexistent/tor' });
  assert.equal(missing.status.state, 'starting');
  await reach(missing, 'failed');
  assert.match(missing.status.detail, /not installed.*apt install tor/);
  await assert.rejects(missing.dial(onionHost(randomBytes(32)), PORT, new AbortController().signal), {
    code: 'EHOSTDOWN',
  });
  await missing.close();
  const options = { dataDirectory: join(directory, 'bad'), clock: systemClock, log: silentLogger };
  const bad = openTor({ ...options, mode: { program: 'tor' }, configLines: ['Log notice stdout\nSocksPort 1'] });
  await reach(bad, 'failed');
  assert.match(bad.status.detail, /line break/);
  await bad.close();
  const unknown = openTor({ ...options, mode: { program: 'tor' }, configLines: ['NoSuchOption 1'] });
  await reach(unknown, 'failed');
  assert.match(unknown.status.detail, /NoSuchOption/);
  await unknown.close();
  const off = openTor({ ...options, mode: 'off' });
  assert.equal(off.status.state, 'off');
  await off.close();
});

test('a control port that is not there is tried again after 5 seconds, then less and less often', async (t) => {
  const path = join(directory, 'nobody');
  let attempts = 0;
  const nobody = createServer((socket) => {
    attempts++;
    socket.destroy();
  }).listen(path);
  t.after(() => nobody.close());
  await once(nobody, 'listening');
  const clock = createManualClock();
  const tor = openTor({ mode: { control: path }, dataDirectory: directory, clock, log: silentLogger });
  for (const [attempt, delayMs] of [5_000, 10_000, 20_000, 40_000, 80_000, 160_000, 300_000, 300_000].entries()) {
    await until('an attempt', () => attempts === attempt + 1 && tor.status.state === 'failed');
    await clock.run(delayMs - 1);
    assert.equal(attempts, attempt + 1);
    await clock.run(1);
  }
  await tor.close();
  assert.equal(clock.pending, 0);
});
