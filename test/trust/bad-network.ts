/**
 * Two nodes with a bad network between them, by UDP alone: files go both ways under each kind of trouble, no byte is
 * wrong, no operation fails, and neither ever counts the other as gone.
 */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { appendFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createHost, introduce, run, stopHosts, untilLive, type Host } from '../e2e/lab.ts';
import { addressOf } from './raw-peer.ts';
import { startChaos, type Chaos, type Troubles } from './udp-chaos.ts';

const MIB = 2 ** 20;
/** Alone on these, so that neither finds the other past the proxy. */
const ALICE = '127.0.0.2';
const BOB = '127.0.0.3';
const SETTINGS = `logLevel = debug\npaths = udp\naddresses.deny = ["${ALICE}/32","${BOB}/32"]\n`;
/** The slowest that a copy may be, MiB a second: it must not hang. */
const SLOWEST = 0.1;
const MID_SESSION_MS = 300;
/** Of a run that lasts for minutes. */
const LONG_MIB = 32;

/** What issue and users mean by a bad network. The last stays until the end: the MTU does not come back. */
export const TROUBLES: readonly (readonly [string, Partial<Troubles>])[] = [
  ['20 % lost', { lossRate: 0.2 }],
  ['20 % twice, 20 % late', { duplicateRate: 0.2, reorderRate: 0.2 }],
  ['1 % with a flipped bit, 1 % cut', { corruptRate: 0.01, cutRate: 0.01 }],
  ['30 % lost, 20 in a row', { burstRate: 0.3 }],
  ['20 % lost to the server alone', { lossRate: 0.2, only: 0 }],
  ['20 % lost from the server alone', { lossRate: 0.2, only: 1 }],
  [
    'of all a part, and an MTU of 600 from the middle on',
    { lossRate: 0.05, duplicateRate: 0.05, reorderRate: 0.05, corruptRate: 0.01, cutRate: 0.01, mtuBytes: 600 },
  ],
];

export interface BadNetworkOptions {
  /** Of each kind of trouble, each way. */
  readonly mib: number;
  readonly seed: number;
  readonly say: (line: string) => void;
}

const digest = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** One file each way. @returns MiB a second, to the server and from it. */
async function carry(bob: Host, shared: string, mib: number, change: () => void): Promise<readonly [number, number]> {
  const timeoutMs = 10_000 + (mib / SLOWEST) * 1000;
  const up = randomBytes(mib * MIB);
  const down = randomBytes(mib * MIB);
  const source = join(bob.files, 'up');
  writeFileSync(source, up);
  writeFileSync(join(shared, 'down'), down);
  const timer = setTimeout(change, MID_SESSION_MS);
  try {
    const script = 'cp "$1" "$2/up" && sync "$2/up"';
    const copied = await run(['bash', '-c', script, 'sh', source, bob.at('alice', 'work')], { timeoutMs });
    assert.equal(copied.status, 0, `after ${copied.ms.toFixed(0)} ms: ${copied.stderr}`);
    assert.ok(digest(readFileSync(join(shared, 'up'))) === digest(up), 'wrong bytes arrived at the server');
    const summed = await run(['sha256sum', bob.at('alice', 'work', 'down')], { timeoutMs });
    assert.equal(summed.status, 0, `after ${summed.ms.toFixed(0)} ms: ${summed.stderr}`);
    assert.equal(summed.stdout.split(' ')[0], digest(down), 'wrong bytes came from the server');
    return [mib / (copied.ms / 1000), mib / (summed.ms / 1000)];
  } finally {
    clearTimeout(timer);
    for (const file of ['up', 'down']) unlinkSync(join(shared, file));
  }
}

/** What this host's node says of its one peer: every state that it was seen in, and how many paths ended in silence. */
function lifeOf(host: Host): { readonly states: ReadonlySet<string>; readonly silent: number } {
  const lines = readFileSync(join(host.home, 'node.log'), 'utf8').split('\n');
  const states = lines
    .filter((line) => line.includes('peer.state'))
    .map((line) => /state=(\w+)/.exec(line)?.[1] ?? line);
  const silent = lines.filter((line) => line.includes('channel.pathEnd') && line.includes('timeout')).length;
  return { states: new Set(states), silent };
}

/** @returns what was seen. @throws when a promise was broken. */
export async function badNetwork({ mib, seed, say }: BadNetworkOptions): Promise<string[]> {
  const directory = mkdtempSync(join(tmpdir(), 'peerfs-bad-network-'));
  const hosts = [
    createHost('alice', ALICE, join(directory, 'alice'), []),
    createHost('bob', BOB, join(directory, 'bob'), []),
  ] as const;
  const [alice, bob] = hosts;
  let chaos: Chaos | undefined;
  try {
    const shared = join(alice.files, 'work');
    for (const host of hosts) {
      mkdirSync(host.files, { recursive: true });
      appendFileSync(join(host.home, 'config'), SETTINGS);
      await host.start();
    }
    mkdirSync(shared);
    chaos = await startChaos(await addressOf(alice), seed);
    await introduce(alice, bob, ['--address', `${chaos.at.host}:${chaos.at.port}`]);
    await alice.json(['share', shared, '--name', 'work', '--to', 'bob', '--write']);
    await bob.mount();
    await untilLive(bob, 'alice', 'udp');
    await untilLive(alice, 'bob', 'udp');
    const seen: string[] = [];
    for (const [name, { mtuBytes, ...troubles }] of TROUBLES) {
      chaos.set(troubles);
      const [up, down] = await carry(bob, shared, mib, () => {
        if (mtuBytes !== undefined) chaos?.set({ ...troubles, mtuBytes });
      });
      seen.push(`${name}: ${mib} MiB each way, ${up.toFixed(1)} MiB/s there, ${down.toFixed(1)} back`);
      say(seen.at(-1) ?? '');
    }
    for (const host of hosts) {
      const { states, silent } = lifeOf(host);
      // Silence of seconds, when whole runs are lost, may cost a path; what is under way goes on, on the next.
      assert.ok(states.has('live') && !states.has('offline'), `${host.name}'s session: ${[...states].join()}`);
      seen.push(`${host.name}: ${[...states].join()}, ${silent} paths ended in silence`);
    }
    const spoilt = await chaos.close();
    seen.push(`the proxy: ${JSON.stringify(spoilt)}`);
    // After bursts of losses datagrams are short already when the MTU is cut, and a short run may see no attempt at longer ones.
    const { tooLong, ...others } = spoilt;
    assert.ok(tooLong > 0 || mib < LONG_MIB, seen.at(-1));
    assert.ok(
      Object.values(others).every((count) => count > 0),
      seen.at(-1),
    );
    return seen;
  } finally {
    const left = await stopHosts(hosts);
    await chaos?.close();
    rmSync(directory, { recursive: true, force: true });
    assert.deepEqual(left, []);
  }
}
