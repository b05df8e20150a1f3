import assert from 'node:assert/strict';
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { localAddresses, type Interfaces } from '../../src/net/local-addresses.ts';

const PROGRAM = join(import.meta.dirname, 'lan-program.js');
/** Hears are waited for this long, milliseconds. */
const PATIENCE_MS = 8000;

const prefix = `pl${randomBytes(3).toString('hex')}`;
const hosts = [`${prefix}a`, `${prefix}b`] as const;
const children: ChildProcess[] = [];

function ip(...args: string[]): string | undefined {
  const done = spawnSync('ip', args, { encoding: 'utf8' });
  return done.error === undefined && done.status === 0 ? undefined : (done.error?.message ?? done.stderr.trim());
}

/** Why two hosts joined by a cable cannot be made here; undefined when they are there. */
function cable(): string | undefined {
  if (process.getuid?.() !== 0) return 'not root';
  const [a, b] = hosts;
  return (
    ip('netns', 'add', a) ??
    ip('netns', 'add', b) ??
    ip('-n', a, 'link', 'add', 'cable', 'type', 'veth', 'peer', 'name', 'cable', 'netns', b) ??
    ip('-n', a, 'address', 'add', '10.77.0.1/24', 'dev', 'cable') ??
    ip('-n', a, 'link', 'set', 'cable', 'up') ??
    ip('-n', b, 'link', 'set', 'cable', 'up')
  );
}

interface Listener {
  say(text: string): void;
  /** The first line that matches, also one that came before. */
  line(pattern: RegExp): Promise<string>;
  readonly lines: readonly string[];
}

function listen(enter: readonly string[], listenHost: string): Listener {
  const argv = [...enter, process.execPath, PROGRAM, listenHost];
  const child = spawn(argv[0] ?? '', argv.slice(1), { stdio: ['pipe', 'pipe', 'inherit'] });
  children.push(child);
  const lines: string[] = [];
  const waiting = new Set<() => void>();
  let rest = '';
  child.stdout.on('data', (chunk: Buffer) => {
    const parts = (rest + chunk.toString()).split('\n');
    rest = parts.pop() ?? '';
    lines.push(...parts);
    for (const look of [...waiting]) look();
  });
  return {
    lines,
    say: (text) => child.stdin.write(`${text}\n`),
    line: (pattern) =>
      new Promise((resolve, reject) => {
        const limit = setTimeout(() => {
          waiting.delete(look);
          reject(new Error(`no ${String(pattern)} in ${JSON.stringify(lines)}`));
        }, PATIENCE_MS);
        const look = (): void => {
          const found = lines.find((line) => pattern.test(line));
          if (found === undefined) return;
          clearTimeout(limit);
          waiting.delete(look);
          resolve(found);
        };
        waiting.add(look);
        look();
      }),
  };
}

let reason: string | undefined;

before(() => {
  reason = cable();
  if (reason !== undefined) console.log(`# hosts share this machine's network: ${reason}`);
});

after(async () => {
  for (const child of children) {
    const ended = new Promise((resolve) => child.once('exit', resolve));
    if (child.exitCode === null && child.kill('SIGKILL')) await ended;
  }
  for (const host of hosts) ip('netns', 'delete', host);
});

test('hosts on a network hear each other, and an address that appears later is used', async () => {
  if (reason !== undefined) {
    const address = Object.values(networkInterfaces()).flat()[0]?.address ?? '127.0.0.1';
    const [a, b] = [listen([], address), listen([], address)];
    await Promise.all([a.line(/^ready$/), b.line(/^ready$/)]);
    a.say('one');
    await b.line(/ one$/);
    return;
  }
  const enter = (host: string) => ['nsenter', `--net=/run/netns/${host}`, '--'];
  const [a, b] = [listen(enter(hosts[0]), '::'), listen(enter(hosts[1]), '::')];
  await Promise.all([a.line(/^ready$/), b.line(/^ready$/)]);
  b.say('nobody has an address yet');
  assert.equal(ip('-n', hosts[1], 'address', 'add', '10.77.0.2/24', 'dev', 'cable'), undefined);
  await b.line(/^changed$/);
  a.say('from a');
  b.say('from b');
  assert.equal(await b.line(/ from a$/), '10.77.0.1 from a');
  assert.equal(await a.line(/ from b$/), '10.77.0.2 from b');
  // The interface goes and comes back.
  assert.equal(ip('-n', hosts[1], 'address', 'delete', '10.77.0.2/24', 'dev', 'cable'), undefined);
  await b.line(/^changed$/);
  const changes = () => b.lines.filter((line) => line === 'changed').length;
  const before = changes();
  assert.equal(ip('-n', hosts[1], 'address', 'add', '10.77.0.9/24', 'dev', 'cable'), undefined);
  const limit = performance.now() + PATIENCE_MS;
  while (changes() === before && performance.now() < limit) await new Promise((resolve) => setTimeout(resolve, 50));
  a.say('again from a');
  b.say('again from b');
  assert.equal(await b.line(/ again from a$/), '10.77.0.1 again from a');
  assert.equal(await a.line(/ again from b$/), '10.77.0.9 again from b');
});

test('addresses to be reached at are those that the node listens on', () => {
  const info = (address: string, family: 'IPv4' | 'IPv6', internal = false) =>
    ({ address, family, internal, netmask: '', mac: '', cidr: null, scopeid: 0 }) as const;
  const interfaces: Interfaces = {
    lo: [info('127.0.0.1', 'IPv4', true), info('::1', 'IPv6', true)],
    eth0: [info('2001:db8::1', 'IPv6'), info('fe80::1', 'IPv6'), info('192.0.2.1', 'IPv4')],
  };
  const of = (host: string) => localAddresses(host, interfaces).map((address) => address.host);
  assert.deepEqual(of('::'), ['192.0.2.1', '2001:db8::1']);
  assert.deepEqual(of('0.0.0.0'), ['192.0.2.1']);
  assert.deepEqual(of('127.0.0.1'), ['127.0.0.1']);
  assert.deepEqual(of('2001:db8::1'), ['2001:db8::1']);
  assert.deepEqual(of('198.51.100.1'), []);
});
