/**
 * Nodes killed under load, again and again: alice's programs write into bob's folder, and at a random moment bob's node
 * (the serving one) or alice's own is killed. Afterwards bob's disk is held against what alice's programs were told.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { readMounts } from '../../src/sys/mount.ts';
import { introduce, openLab, run, sh, untilLive, type Host, type Lab } from '../e2e/lab.ts';
import { createRandom } from '../net/simulated-link.ts';
import { sleep } from './freeze-lab.ts';
import { slackMs } from './slack.ts';
import { StreamFacts } from './stream-facts.ts';

/** Promised, milliseconds. */
const ERROR_MS = 1000;
const USABLE_MS = 3000;
/** Several programs, two nodes and a command start or end at once on what may be two busy cores. */
const BUSY_MS = 1000;
/** The kill comes so long after the first acknowledgement. */
const KILL_WITHIN_MS = 1500;
/** How long programs go on when a killed peer is back. */
const AFTERWARDS_MS = 700;
/** A peer that is away is waited for at most so long (patience), and an operation may need that several times. */
const PROGRAM_LIMIT_MS = 40_000;
const WRITERS = 2;
const BIG_BYTES = 8 * 1024 * 1024;

/** What programs may be told. EEXIST or ENOENT would be the outcome of a call that was made twice. */
const HONEST = { peer: ['EIO', 'ESTALE', 'ETIMEDOUT', 'EHOSTDOWN'], own: ['EIO', 'ENOTCONN', 'ECONNABORTED'] } as const;

const STREAM_PROGRAM = join(import.meta.dirname, 'stream-program.js');

export interface KillLab {
  readonly lab: Lab;
  readonly alice: Host;
  readonly bob: Host;
  /** Of rounds so far. */
  rounds: number;
}

export async function openKillLab(): Promise<KillLab> {
  const lab = openLab(['alice', 'bob'], true);
  try {
    const [alice, bob] = [lab.host('alice'), lab.host('bob')];
    for (const host of lab.hosts) await host.start();
    await introduce(bob, alice);
    await alice.mount();
    await untilLive(alice, 'bob');
    return { lab, alice, bob, rounds: 0 };
  } catch (error) {
    await lab.close();
    throw error;
  }
}

export interface RoundResult {
  readonly acknowledged: number;
  readonly failures: readonly string[];
  /** Until the last program had its error, milliseconds; of the mounting side only. */
  readonly errorMs: number;
  /** From the start of `peerfs mount` until something was written and synced, milliseconds; of the mounting side only. */
  readonly usableMs: number;
}

/** @throws when something promised is not so; the message names the seed. */
export async function killRound(lab: KillLab, side: 'peer' | 'own', seed: number): Promise<RoundResult> {
  lab.rounds += 1;
  const folder = `round${lab.rounds}`;
  const inbox = join(lab.bob.home, 'inbox', 'alice');
  const shared = join(inbox, folder);
  const stopFile = join(lab.lab.directory, `stop${lab.rounds}`);
  const random = createRandom(seed);
  const programs: Program[] = [];
  const places: string[] = [];
  for (let index = 0; index < WRITERS; index += 1) {
    const place = join(shared, `writer${index}`);
    mkdirSync(place, { recursive: true });
    places.push(place);
    const inMount = lab.alice.at('bob', folder, `writer${index}`);
    programs.push(startStream([inMount, String(seed * WRITERS + index), stopFile, side === 'peer' ? '1' : '0']));
  }
  writeFileSync(join(shared, 'big'), Buffer.alloc(BIG_BYTES, 'big '));
  const reader = side === 'own' ? startReader(lab.alice.at('bob', folder)) : undefined;
  try {
    await Promise.all(programs.map(({ first }) => first));
    await sleep(random() * KILL_WITHIN_MS);
    const times = await (side === 'peer'
      ? killPeer(lab, stopFile)
      : killOwn(lab, [...programs, ...(reader ? [reader] : [])]));
    for (const { ended } of programs) await within(ended, PROGRAM_LIMIT_MS, 'a program ends');
    const faults = programs.flatMap(({ facts }, index) => facts.faults(places[index] ?? ''));
    const strangers = readdirSync(inbox).filter((name) => !/^(round\d+|usable\d*)$/.test(name));
    const expected = ['big', ...places.map((_place, index) => `writer${index}`)];
    strangers.push(...readdirSync(shared).filter((name) => !expected.includes(name)));
    assert.deepEqual([...faults, ...strangers], [], `${side} killed, seed ${seed}`);
    const failures = programs.flatMap(({ facts }) => facts.failures);
    for (const failure of failures) {
      assert.ok(
        HONEST[side].some((code) => failure.endsWith(` ${code}`)),
        `${side} killed, told ${failure}`,
      );
    }
    await checkState(lab.alice);
    await checkState(lab.bob);
    rmSync(shared, { recursive: true });
    return {
      acknowledged: programs.reduce((sum, { facts }) => sum + facts.acknowledged, 0),
      failures,
      ...times,
    };
  } catch (error) {
    const said = error instanceof Error ? error.message : String(error);
    throw new Error(`round ${lab.rounds}, ${side} killed, seed ${seed}: ${said}`, { cause: error });
  } finally {
    for (const { kill } of [...programs, ...(reader ? [reader] : [])]) kill();
    rmSync(stopFile, { force: true });
  }
}

interface Times {
  readonly errorMs: number;
  readonly usableMs: number;
}

/** The serving node dies and comes back; programs of the other side go on for a while, with or without errors. */
async function killPeer({ bob, alice }: KillLab, stopFile: string): Promise<Times> {
  process.kill(await bob.pid(), 'SIGKILL');
  await bob.start();
  await untilLive(alice, 'bob');
  await sleep(AFTERWARDS_MS);
  writeFileSync(stopFile, '');
  return { errorMs: 0, usableMs: 0 };
}

/** The mounting node dies: all programs have an error at once; one mount entry and work again soon after. */
async function killOwn({ alice, rounds }: KillLab, programs: readonly Program[]): Promise<Times> {
  process.kill(await alice.pid(), 'SIGKILL');
  const killedAt = performance.now();
  for (const { ended } of programs) await within(ended, ERROR_MS + slackMs(BUSY_MS), 'the programs have their errors');
  const errorMs = performance.now() - killedAt;
  const mountedAt = performance.now();
  await alice.mount();
  await sh('until echo usable > "$1/usable$2" && sync "$1/usable$2"; do sleep 0.05; done 2>/dev/null', [
    alice.at('bob'),
    String(rounds),
  ]);
  const usableMs = performance.now() - mountedAt;
  assert.ok(usableMs <= USABLE_MS + slackMs(BUSY_MS), `usable after ${usableMs} ms`);
  const entries = readMounts().filter(({ mountpoint }) => mountpoint === alice.mountpoint);
  assert.equal(entries.length, 1, 'one mount entry');
  return { errorMs, usableMs };
}

/** A copy of the state is whole: with what stands in the log beside it, as the next start would find it. */
async function checkState({ home }: Host): Promise<void> {
  const copy = mkdtempSync(join(home, '..', 'state-'));
  try {
    for (const suffix of ['', '-wal']) {
      const from = join(home, `state.sqlite${suffix}`);
      if (existsSync(from)) copyFileSync(from, join(copy, `state.sqlite${suffix}`));
    }
    const outcome = await run(['sqlite3', join(copy, 'state.sqlite'), 'PRAGMA integrity_check']);
    assert.equal(outcome.stdout.trim(), 'ok', `the state: ${outcome.stdout}${outcome.stderr}`);
  } finally {
    rmSync(copy, { recursive: true });
  }
}

interface Program {
  readonly facts: StreamFacts;
  /** Settles when something was acknowledged, or it has ended. */
  readonly first: Promise<void>;
  readonly ended: Promise<void>;
  kill(): void;
}

function startStream(args: readonly string[]): Program {
  const child = spawn(process.execPath, [STREAM_PROGRAM, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  const facts = new StreamFacts();
  let onFirst: () => void = () => undefined;
  const first = new Promise<void>((resolve) => (onFirst = resolve));
  const lines = createInterface({ input: child.stdout });
  lines.on('line', (line) => {
    facts.add(line);
    if (facts.acknowledged > 0 || facts.hasEnded) onFirst();
  });
  const ended = Promise.all([once(child, 'exit'), once(lines, 'close')]).then(() => undefined);
  return { facts, first, ended, kill: () => void child.kill('SIGKILL') };
}

/** Reads, lists and looks until something fails. */
const READER = `
import os, sys
fd = os.open(sys.argv[1] + '/big', os.O_RDONLY)
while True:
    for at in range(0, 8 << 20, 1 << 20):
        os.pread(fd, 65536, at)
    os.listdir(sys.argv[1])
    os.stat(sys.argv[1] + '/writer0')
    os.statvfs(sys.argv[1])
`;

function startReader(folder: string): Program {
  const child = spawn('python3', ['-c', READER, folder], { stdio: 'ignore' });
  const ended = new Promise<void>((resolve) => child.on('exit', () => resolve()));
  return { facts: new StreamFacts(), first: Promise.resolve(), ended, kill: () => void child.kill('SIGKILL') };
}

async function within(promise: Promise<void>, limitMs: number, what: string): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: not within ${limitMs} ms`)), limitMs);
  });
  await Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Rounds with seeds that follow each other. @returns what was seen, a line each. */
export async function killRounds(
  lab: KillLab,
  sides: readonly ('peer' | 'own')[],
  seed: number,
  say: (line: string) => void = () => undefined,
): Promise<readonly string[]> {
  const results: (RoundResult & { readonly side: 'peer' | 'own' })[] = [];
  for (const [index, side] of sides.entries()) {
    const result = await killRound(lab, side, seed + index);
    results.push({ ...result, side });
    say(`${index + 1} of ${sides.length}: ${side} killed, ${result.acknowledged} acknowledged, ${describe(result)}`);
  }
  const lines = [`seed ${seed}`];
  for (const side of new Set(sides)) {
    const ofSide = results.filter((result) => result.side === side);
    const acknowledged = ofSide.reduce((sum, result) => sum + result.acknowledged, 0);
    const errors = ofSide.reduce((sum, result) => sum + result.failures.length, 0);
    const worst = (of: (result: RoundResult) => number) => Math.max(...ofSide.map(of)).toFixed(0);
    lines.push(
      `${side} killed ${ofSide.length} times: ${acknowledged} acknowledgements kept, ${errors} errors told` +
        (side === 'own'
          ? `; errors after at most ${worst(({ errorMs }) => errorMs)} ms, usable after at most ${worst(({ usableMs }) => usableMs)} ms`
          : ''),
    );
  }
  return lines;
}

function describe({ failures, errorMs, usableMs }: RoundResult): string {
  const times = usableMs === 0 ? '' : `, errors after ${errorMs.toFixed(0)} ms, usable after ${usableMs.toFixed(0)} ms`;
  return `told: ${failures.length === 0 ? 'no error' : failures.join(', ')}${times}`;
}
