/**
 * What a peer that freezes may do to those who work in its folder: the checks of frozen-peer.test.ts (a short patience) and
 * of its soak (the default). Alice mounts; bob freezes; carol stays well.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { eventually, run } from '../e2e/lab.ts';
import { createRandom } from '../net/simulated-link.ts';
import { needsPeer } from './caller-program.ts';
import { startCallers, type CallerEnd, type Handling } from './callers.ts';
import { sleep, type FreezeLab } from './freeze-lab.ts';
import { slackMs } from './slack.ts';

/** Promised, milliseconds: an operation's end is patience and what finding out takes; 20 s with the default of 15. */
const OVER_PATIENCE_MS = 5000;
const SIGNALLED_MS = 1000;
const BACK_MS = 2000;
/** The same of a way that was all but closed: connections that were begun meanwhile stand in its way. */
const BACK_AFTER_TRICKLE_MS = 12_000;
const KNOWN_OFFLINE_MS = 50;
/** Of other peers' folders: a stall, and not a slow disk, is what is looked for. */
const UNAFFECTED_MS = 1000;
/** A machine with two cores that runs 24 programs at once gives one of them its turn late by so much. */
const BUSY_MS = 500;

/** What an operation may end with while its peer is silent. A page that cannot be read is a SIGBUS. */
const MAY_END_WITH = ['ETIMEDOUT', 'EHOSTDOWN', 'SIGBUS'];

/** Works in a folder and asks for the size of the whole mount, until its input ends; says what took longest. */
const NEIGHBOUR = `
import os, select, sys, time
folder, mount = sys.argv[1:3]
longest, count = 0, 0
while not select.select([sys.stdin], [], [], 0.02)[0]:
    begun = time.monotonic()
    path = folder + '/n%d' % (count % 50)
    fd = os.open(path, os.O_CREAT | os.O_RDWR)
    os.write(fd, b'n' * 5000)
    os.fsync(fd)
    assert os.pread(fd, 5000, 0) == b'n' * 5000
    os.close(fd)
    os.stat(path)
    assert len(os.listdir(folder)) >= 1
    os.statvfs(mount)
    os.statvfs(folder)
    os.listdir(mount)
    longest, count = max(longest, time.monotonic() - begun), count + 1
print(count, longest * 1000, flush=True)
os._exit(0)
`;

interface Neighbour {
  /** Ends it. @returns how often it went round, and what the longest time took. */
  end(): Promise<{ readonly rounds: number; readonly longestMs: number }>;
}

function startNeighbour({ alice }: FreezeLab): Neighbour {
  const child = spawn('python3', ['-c', NEIGHBOUR, alice.at('carol'), alice.mountpoint], { stdio: 'pipe' });
  let said = '';
  let wrong = '';
  child.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (wrong += chunk.toString()));
  const closed = new Promise<number | null>((resolve) => child.on('close', resolve));
  return {
    async end() {
      child.stdin.end();
      const limit = setTimeout(() => child.kill('SIGKILL'), 5000);
      const status = await closed;
      clearTimeout(limit);
      assert.equal(status, 0, `work in another peer's folder: ${wrong}`);
      const [rounds = 0, longestMs = NaN] = said.trim().split(' ').map(Number);
      return { rounds, longestMs };
    },
  };
}

/** Writes and syncs until it is killed, so that the peer is at work when it freezes. */
const BUSY = `
import os, select, sys
while not select.select([sys.stdin], [], [], 0.02)[0]:
    try:
        fd = os.open(sys.argv[1] + '/busy', os.O_CREAT | os.O_RDWR)
        os.write(fd, b'b')
        os.fsync(fd)
        os.close(fd)
    except OSError:
        pass
os._exit(0)
`;

/** @param folder the peer's own, in the mount. @returns ends it. */
export function startWork(folder: string): () => void {
  const child = spawn('python3', ['-c', BUSY, folder], { stdio: ['pipe', 'ignore', 'inherit'] });
  return () => void child.kill('SIGKILL');
}

/** Writes a little all the time, and asks for nothing. */
const WRITING = `
import os, select, sys
fd = os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY)
while not select.select([sys.stdin], [], [], 0.05)[0]:
    try:
        os.write(fd, b'w' * 500)
    except OSError:
        pass
os._exit(0)
`;

/** That a frozen peer's kernel goes on taking what somebody writes is no sign of the peer. */
export async function aWriterHidesNothing(lab: FreezeLab): Promise<string> {
  const folder = lab.folder();
  const child = spawn('python3', ['-c', WRITING, `${folder}/written`], { stdio: ['pipe', 'ignore', 'inherit'] });
  const limitMs = lab.patienceMs + OVER_PATIENCE_MS;
  let waitedMs = NaN;
  try {
    await sleep(800);
    lab.freeze();
    const { status, ms } = await run(['stat', `${folder}/not asked for before`], { timeoutMs: 4 * limitMs });
    assert.equal(status, 1);
    assert.ok(ms <= limitMs + slackMs(BUSY_MS), `stat beside a writer: ${ms} ms`);
    waitedMs = ms;
  } finally {
    child.kill('SIGKILL');
    lab.thaw();
  }
  const backMs = await isBack(lab);
  return `stat beside a writer, at a peer ${lab.means}: ${waitedMs.toFixed(0)} ms; back after ${backMs.toFixed(0)} ms`;
}

/** All operations at once at a peer that froze: each returns in time with what is so, nobody else is kept waiting. */
export async function everyOperationReturns(lab: FreezeLab, wasAtWork: boolean): Promise<string> {
  const callers = await startCallers(lab.folder());
  const neighbour = startNeighbour(lab);
  const endWork = wasAtWork ? startWork(lab.alice.at('bob')) : () => undefined;
  const limitMs = lab.patienceMs + OVER_PATIENCE_MS;
  let ends: readonly CallerEnd[] = [];
  let df = 0;
  try {
    // Long enough that the peer counts as idle when nobody works there.
    await sleep(800);
    lab.freeze();
    for (const caller of callers) caller.go();
    const shown = run(['df', '-a', lab.alice.mountpoint], { timeoutMs: limitMs }).then(({ status, ms }) => {
      assert.equal(status, 0, 'df of the mount');
      df = ms;
    });
    ends = await Promise.all(callers.map((caller) => caller.ended(limitMs + slackMs(BUSY_MS))));
    await shown;
    await knownOfflineCostsNothing(lab);
  } finally {
    endWork();
    lab.thaw();
  }
  const { rounds, longestMs } = await neighbour.end();
  const all = ends.map(({ operation, result, ms }) => `${operation} ${result} ${ms.toFixed(0)} ms`).join(', ');
  for (const { operation, result, goneMs } of ends) {
    const isRight = MAY_END_WITH.includes(result) || (result === 'ok' && !needsPeer(operation));
    assert.ok(isRight, `${operation} at a frozen peer: ${result}; ${all}`);
    assert.ok(goneMs <= limitMs + slackMs(BUSY_MS), `${operation}: ${goneMs} ms`);
  }
  assert.ok(
    rounds > 10 && longestMs < UNAFFECTED_MS + slackMs(BUSY_MS),
    `elsewhere: ${rounds} rounds, longest ${longestMs} ms`,
  );
  assert.ok(df < UNAFFECTED_MS + slackMs(BUSY_MS), `df: ${df} ms`);
  const slowest = Math.max(...ends.map(({ goneMs }) => goneMs));
  const failed = ends.filter(({ result }) => result !== 'ok').length;
  const backMs = await isBack(lab);
  return (
    `${ends.length} operations at a peer ${lab.means} ${wasAtWork ? 'at work' : 'idle'}: ${failed} failed, slowest ${slowest.toFixed(0)} ms; ` +
    `elsewhere longest ${longestMs.toFixed(0)} ms of ${rounds} rounds, df ${df.toFixed(0)} ms; back after ${backMs.toFixed(0)} ms`
  );
}

async function knownOfflineCostsNothing(lab: FreezeLab): Promise<void> {
  await eventually('the peer is known to be offline', lab.patienceMs + OVER_PATIENCE_MS, async () => {
    const rows = (await lab.alice.json(['peers'])) as readonly { readonly name: string; readonly state: string }[];
    return rows.find(({ name }) => name === 'bob')?.state === 'offline' ? true : undefined;
  });
  // One after the other: what is measured is an operation, not the queue for two cores.
  const program = `
import os, sys, time
worst = 0
for count in range(20):
    for call in (os.stat, os.listdir, os.mkdir, os.statvfs):
        begun = time.monotonic()
        try:
            call(sys.argv[1] + '/none%d' % count)
        except OSError:
            pass
        worst = max(worst, time.monotonic() - begun)
print(worst * 1000)
`;
  const outcome = await run(['python3', '-c', program, lab.alice.at('bob')], { timeoutMs: 20_000 });
  const worstMs = Number(outcome.stdout);
  assert.ok(outcome.status === 0 && worstMs < KNOWN_OFFLINE_MS, `at a peer known to be offline: ${worstMs} ms`);
}

/** After the thaw: the peer answers within 2 s, and then every operation succeeds. @returns when it answered. */
export async function isBack(lab: FreezeLab): Promise<number> {
  const begun = performance.now();
  // Asked by one process that is there already: starting one takes longer than what is measured.
  const program = `
import os, sys, time
while True:
    try:
        os.mkdir(sys.argv[1])
        break
    except OSError:
        time.sleep(0.02)
os.rmdir(sys.argv[1])
`;
  const outcome = await run(['python3', '-c', program, lab.alice.at('bob', 'back')], { timeoutMs: 30_000 });
  const backMs = performance.now() - begun;
  assert.equal(outcome.status, 0, `the peer is back: ${outcome.stderr}`);
  const mostMs = lab.means === 'trickling' ? BACK_AFTER_TRICKLE_MS : BACK_MS;
  assert.ok(backMs <= mostMs + slackMs(BUSY_MS), `back after ${backMs} ms`);
  const callers = await startCallers(lab.folder());
  for (const caller of callers) caller.go();
  const ends = await Promise.all(callers.map((caller) => caller.ended(10_000)));
  for (const { operation, result } of ends) assert.equal(result, 'ok', `${operation} after the thaw`);
  return backMs;
}

/**
 * Each operation's caller is ended by a signal: it is gone within a second.
 * @param moments at a random one, each in a folder of its own; or all in one folder, at the same one. (Behind one that changes
 * a folder and is not ended, the kernel has others wait that no signal reaches.)
 */
export async function signalEndsTheCaller(
  lab: FreezeLab,
  signal: 'SIGKILL' | 'SIGINT',
  moments: 'random' | 'same',
  seed: number,
): Promise<string> {
  const random = createRandom(seed);
  const isApart = moments === 'random';
  const callers = await startCallers(lab.folder(isApart), { stays: true, isApart });
  const latestMs = Math.min(3000, lab.patienceMs / 2);
  const common = random() * latestMs;
  let slowest = 0;
  let slowestOperation = '';
  lab.freeze();
  try {
    await Promise.all(
      callers.map(async (caller) => {
        caller.go();
        await sleep(isApart ? random() * latestMs : common);
        caller.signal(signal);
        const sentAt = performance.now();
        const { result } = await caller.ended(lab.patienceMs + OVER_PATIENCE_MS);
        const tookMs = performance.now() - sentAt;
        if (tookMs > slowest) [slowest, slowestOperation] = [tookMs, caller.operation];
        assert.ok(
          result !== 'hung' && tookMs <= SIGNALLED_MS + slackMs(BUSY_MS),
          `${caller.operation}: ${result}, ${tookMs} ms after ${signal} (seed ${seed})`,
        );
      }),
    );
  } finally {
    lab.thaw();
  }
  await isBack(lab);
  return `${callers.length} callers ended by ${signal} at ${isApart ? 'random moments' : 'the same moment'}: slowest ${slowest.toFixed(0)} ms (${slowestOperation})`;
}

/** A signal that a caller handles comes while its operation waits for a peer that is frozen for a moment. */
export async function handledSignalDisturbsNothing(lab: FreezeLab, handling: Handling): Promise<string> {
  const callers = await startCallers(lab.folder(), { handling });
  lab.freeze();
  try {
    for (const caller of callers) caller.go();
    for (let count = 0; count < 5; count += 1) {
      await sleep(150);
      for (const caller of callers) caller.signal('SIGUSR1');
    }
  } finally {
    lab.thaw();
  }
  const ends = await Promise.all(callers.map((caller) => caller.ended(lab.patienceMs + OVER_PATIENCE_MS)));
  for (const { operation, result } of ends) assert.equal(result, 'ok', `${operation} with SIGUSR1 (${handling})`);
  const met = ends.filter(({ signals }) => signals > 0).length;
  assert.ok(met >= ends.length / 2, `only ${met} of ${ends.length} calls met a signal`);
  return `${met} of ${ends.length} operations met SIGUSR1 (${handling}): none failed`;
}
