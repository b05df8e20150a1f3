import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { env, execPath, getuid } from 'node:process';
import { createInterface } from 'node:readline';
import test, { type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { startUpnpRouter, type UpnpRouter } from './upnp-router.ts';

const PROGRAM = fileURLToPath(import.meta.resolve('./port-mapping-program.js'));
const PORT = 4100;
const INSIDE = '192.168.77';
/** Of nobody in this closed network; miniupnpd takes no address that is private or for documentation. */
const OUTSIDE = '11.77.0';
const PATIENCE_MS = 20_000;

interface Said {
  readonly event: string;
  readonly value: unknown;
}

interface Computer {
  /** At once, as in a crash. */
  kill(): Promise<void>;
  /** The first thing not yet read that fits. */
  heard(fits: (said: Said) => boolean): Promise<Said>;
  tell(command: string): void;
}

interface Household {
  readonly router: UpnpRouter;
  readonly computer: Computer;
  /** The node on the same computer, started again. */
  startAgain(): Computer;
  /** From outside to the router. */
  send(port: number, text: string): void;
}

function cannotRun(): string | undefined {
  if (getuid?.() !== 0) return 'needs root, for network namespaces';
  if (!existsSync('/usr/sbin/miniupnpd')) return 'needs miniupnpd (miniupnpd-nftables)';
  return spawnSync('nft', ['--version']).status === 0 ? undefined : 'needs nft (nftables)';
}

function ip(...args: string[]): void {
  const done = spawnSync('ip', args, { encoding: 'utf8' });
  assert.equal(done.status, 0, `ip ${args.join(' ')}: ${done.stderr}`);
}

const enter = (space: string): readonly [string, ...string[]] => ['nsenter', `--net=/run/netns/${space}`, '--'];

/** A computer, its router with miniupnpd, and somebody outside. */
async function household(t: TestContext, protocols: readonly ('pmp' | 'upnp')[]): Promise<Household> {
  const id = `pf${randomBytes(3).toString('hex')}`;
  const [inside, gate, outside] = [`${id}-in`, `${id}-gate`, `${id}-out`];
  const ends: (() => unknown)[] = [];
  t.after(async () => {
    for (const end of ends.reverse()) await end();
  });
  for (const space of [inside, gate, outside]) {
    ip('netns', 'add', space);
    ends.push(() => spawnSync('ip', ['netns', 'delete', space]));
    ip('-n', space, 'link', 'set', 'lo', 'up');
  }
  ip('-n', gate, 'link', 'add', 'lan', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', inside);
  ip('-n', gate, 'link', 'add', 'wan', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', outside);
  for (const [space, device, address] of [
    [gate, 'lan', `${INSIDE}.1/24`],
    [gate, 'wan', `${OUTSIDE}.1/24`],
    [inside, 'eth0', `${INSIDE}.2/24`],
    [outside, 'eth0', `${OUTSIDE}.9/24`],
  ] as const) {
    ip('-n', space, 'addr', 'add', address, 'dev', device);
    ip('-n', space, 'link', 'set', device, 'up');
  }
  ip('-n', inside, 'route', 'add', 'default', 'via', `${INSIDE}.1`);
  const [command, ...args] = enter(gate);
  spawnSync(command, [...args, 'sh', '-c', 'echo 1 > /proc/sys/net/ipv4/ip_forward']);

  const router = await startUpnpRouter({
    enter: enter(gate),
    wan: 'wan',
    lan: 'lan',
    externalAddress: `${OUTSIDE}.1`,
    protocols,
  });
  ends.push(() => router.close());
  return {
    router,
    computer: startComputer(inside, ends),
    startAgain: () => startComputer(inside, ends),
    send(port, text) {
      const [program, ...rest] = enter(outside);
      const script = `const s = require('dgram').createSocket('udp4');
        s.send(process.argv[1], ${port}, '${OUTSIDE}.1', () => s.close())`;
      spawnSync(program, [...rest, execPath, '-e', script, text]);
    },
  };
}

function startComputer(space: string, ends: (() => unknown)[]): Computer {
  const [command, ...args] = enter(space);
  const child = spawn(command, [...args, execPath, PROGRAM, `${PORT}`], { stdio: ['pipe', 'pipe', 'inherit'] });
  const kill = async (): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
  };
  ends.push(kill);
  const unread: Said[] = [];
  let news: () => void = () => undefined;
  createInterface({ input: child.stdout }).on('line', (line) => {
    unread.push(JSON.parse(line) as Said);
    news();
  });
  return {
    kill,
    async heard(fits) {
      const deadline = performance.now() + PATIENCE_MS;
      for (;;) {
        const at = unread.findIndex(fits);
        const [said] = at < 0 ? [] : unread.splice(0, at + 1).slice(-1);
        if (said !== undefined) return said;
        const left = deadline - performance.now();
        assert.ok(left > 0, 'what was waited for was not said');
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, left);
          news = () => {
            clearTimeout(timer);
            resolve();
          };
        });
      }
    },
    tell: (line) => void child.stdin.write(`${line}\n`),
  };
}

/** @returns whether the test can be run; where it must be, it fails if not. */
function isAble(t: TestContext): boolean {
  const reason = cannotRun();
  if (reason === undefined) return true;
  assert.equal(env.CI, undefined, reason);
  t.skip(reason);
  return false;
}

const isMapped = ({ event, value }: Said): boolean =>
  event === 'status' && typeof value === 'object' && value !== null && 'external' in value;

for (const [protocol, by] of [
  ['pmp', 'pcp'],
  ['upnp', 'upnp'],
] as const) {
  test(`a real router opens the port by ${by}, keeps it, opens it again after a restart, and closes it in the end`, async (t) => {
    if (!isAble(t)) return;
    const { router, computer, send } = await household(t, [protocol]);

    const mapped = await computer.heard(isMapped);
    const external = { host: `${OUTSIDE}.1`, port: PORT };
    assert.deepEqual(mapped.value, { by, external, protocols: ['udp', 'tcp'] });
    assert.deepEqual(router.openPorts().sort(), [`tcp ${PORT}`, `udp ${PORT}`]);
    send(PORT, 'from outside');
    const { value } = await computer.heard(({ event }) => event === 'datagram');
    assert.deepEqual(value, { text: 'from outside', host: `${OUTSIDE}.9` });

    computer.tell('check');
    const { value: answers } = await computer.heard(({ event }) => event === 'check');
    assert.ok(Array.isArray(answers));
    const working = answers.filter((answer: { readonly works: boolean }) => answer.works);
    assert.deepEqual(
      working.map((answer: { readonly by: string }) => answer.by),
      protocol === 'pmp' ? ['pcp', 'nat-pmp'] : ['upnp'],
    );

    await router.restart();
    assert.deepEqual(router.openPorts(), []);
    const deadline = performance.now() + PATIENCE_MS;
    while (router.openPorts().length < 2) {
      assert.ok(performance.now() < deadline, 'not mapped again');
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    send(PORT, 'once more');
    await computer.heard(({ event }) => event === 'datagram');

    computer.tell('close');
    await computer.heard(({ event }) => event === 'closed');
    assert.deepEqual(router.openPorts(), []);
  });
}

test('of a router that speaks all protocols one mapping is asked for, by PCP', async (t) => {
  if (!isAble(t)) return;
  const { router, computer } = await household(t, ['pmp', 'upnp']);
  const mapped = await computer.heard(isMapped);
  assert.ok(typeof mapped.value === 'object' && mapped.value !== null && 'by' in mapped.value);
  assert.equal(mapped.value.by, 'pcp');
  assert.equal(router.openPorts().length, 2);
});

test('after a crash the node gets the same port again', async (t) => {
  if (!isAble(t)) return;
  const { computer, startAgain } = await household(t, ['pmp', 'upnp']);
  const before = await computer.heard(isMapped);
  await computer.kill();
  const after = await startAgain().heard(isMapped);
  assert.deepEqual(after.value, before.value);
});
