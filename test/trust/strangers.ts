/**
 * Strangers get silence: hostile datagrams and connections against a serving node, made of what a real peer sent and was sent,
 * while other peers work. No reply, no memory, no harm to the others.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createRandom } from '../wire/samples.ts';
import { openBesieged, type Besieged } from './besieged.ts';
import { openRelay } from './datagram-relay.ts';
import { openHostileSession } from './hostile-session.ts';
import { faultOf, residentMib } from './node-watch.ts';
import { joinRaw } from './raw-peer.ts';

const PROBER = join(import.meta.dirname, '../e2e/prober.js');
const CONNECTOR = join(import.meta.dirname, 'tcp-stranger-program.js');
/** What is promised of memory, MiB. */
const GROWTH_MIB = 32;
/** What a living session keeps of its rate while strangers send 5,000 datagrams a second from the same two cores. */
const KEPT = 0.4;
/** The prober's pace: datagrams a second. */
const PACE = 4500;
const RATE_MS = 3000;
/** Peers' datagrams that strangers have seen. */
const LEAST_KNOWN = 40;

export interface StrangersOptions {
  readonly datagrams: number;
  readonly say: (line: string) => void;
}

async function runProgram(program: string, args: readonly string[], known: readonly Buffer[]): Promise<unknown> {
  const child = spawn(process.execPath, [program, ...args], { stdio: ['pipe', 'pipe', 'inherit'] });
  let said = '';
  child.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()));
  child.stdin.end(known.map((bytes) => `${bytes.toString('hex')}\n`).join(''));
  await once(child, 'close');
  return JSON.parse(said);
}

/** @returns what was seen. @throws when a promise was broken. */
export async function strangers({ datagrams, say }: StrangersOptions): Promise<string[]> {
  const besieged = await openBesieged();
  try {
    return await besiege(besieged, datagrams, say);
  } finally {
    await besieged.lab.close();
  }
}

async function besiege(besieged: Besieged, datagrams: number, say: (line: string) => void): Promise<string[]> {
  const { alice, at, pid } = besieged;
  const carol = await joinRaw(alice, 'carol');
  const relay = await openRelay(at);
  try {
    // Both her sessions live on while what passed in them is played back.
    const session = openHostileSession(
      { ...carol, connect: () => carol.connect('udp', relay.at) },
      ['udp'],
      createRandom(1),
    );
    for (let turn = 0; turn < LEAST_KNOWN; turn += 1) await session.settle();
    const known = relay.recorded.map(({ bytes }) => bytes);
    assert.ok(known.length >= LEAST_KNOWN, `${known.length} datagrams seen`);
    // What reading alone takes at most: serving bob has its ups and downs.
    let firstMib = residentMib(pid);
    const lookBefore = setInterval(() => (firstMib = Math.max(firstMib, residentMib(pid))), 100);
    const before = await besieged.rate(RATE_MS).finally(() => clearInterval(lookBefore));
    const seconds = Math.max(6, Math.ceil(datagrams / PACE));
    const target = [at.host, String(at.port)];
    const probing = runProgram(PROBER, [...target, String(datagrams)], known) as Promise<{
      sent: Record<string, number>;
      replies: string[];
    }>;
    const connecting = runProgram(CONNECTOR, [...target, String(seconds)], known) as Promise<{
      opened: Record<string, number>;
      bytes: number;
    }>;
    const ended = Promise.all([probing, connecting]);
    let most = firstMib;
    const look = setInterval(() => (most = Math.max(most, residentMib(pid))), 500);
    let during: number;
    try {
      during = await besieged.rate(Math.min(RATE_MS, seconds * 500));
      await ended;
    } finally {
      clearInterval(look);
    }
    const [{ sent, replies }, { opened, bytes }] = await ended;
    const count = Object.values(sent).reduce((sum, one) => sum + one, 0);
    const connections = Object.values(opened).reduce((sum, one) => sum + one, 0);
    const seen = [
      `${count} datagrams, ${replies.length} replies; ${connections} connections, ${bytes} bytes back`,
      `memory ${firstMib.toFixed(0)} MiB, at most ${most.toFixed(0)}; bob reads ${before.toFixed(0)} MiB/s before, ${during.toFixed(0)} meanwhile`,
    ];
    say(seen.join('\n'));
    assert.deepEqual(replies, []);
    assert.equal(bytes, 0);
    assert.ok(most - firstMib < GROWTH_MIB, `memory grew by ${(most - firstMib).toFixed(0)} MiB`);
    assert.ok(during >= KEPT * before, `${before.toFixed(0)} MiB/s became ${during.toFixed(0)}`);
    assert.equal(faultOf(alice, pid), undefined);
    const { ended: pathsBefore } = session.figures;
    await session.settle();
    assert.deepEqual([pathsBefore, session.figures.ended], [0, 0], "carol's session lives");
    session.close();
    return seen;
  } finally {
    relay.close();
    await carol.close();
  }
}
