/**
 * Authenticated fuzzing: mallory, a peer with a valid key, sends a serving node what no peer should, by TCP and UDP. The node is to
 * live, to say nothing of failures in its log, to keep to its memory, and to serve bob meanwhile as if mallory were not there.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { introduce, openLab, sh, untilLive, type Host, type Lab } from '../e2e/lab.ts';
import { codeOf } from '../../src/errors.ts';
import { createRandom } from '../wire/samples.ts';
import { startBystander } from './bystander.ts';
import { writeFrames } from './frame-corpus.ts';
import { createFrameMaker } from './frame-maker.ts';
import { openHostileSession, type HostileSession } from './hostile-session.ts';
import { faultOf, median, residentMib } from './node-watch.ts';
import { joinRaw } from './raw-peer.ts';
import { below } from './wild-fields.ts';

/**
 * What the node has in the middle of the last tenth may be so much more than after the first tenth, and never more than the other:
 * buffers come and go (each new path has half a MiB of them), but nothing may stay. MiB.
 */
const GROWTH_MIB = 96;
const MOST_MIB = 512;
/** Bob's writes: what a node that is kept busy on two cores may cost another peer. Milliseconds. */
const MEDIAN_MS = 500;
/** Frames between two proper questions. */
const SETTLE_EVERY = 500;
/** Frames that are handed over at once, at most; and calls without an answer when the next ones are, but for floods. */
const MOST_AT_ONCE = 32;
const MOST_UNANSWERED = 32;
const FLOODS = 0.5;
/** Mallory's share is put in order again after so many frames. */
const TIDY_EVERY = 50_000;
/** What is written down of the frames before a failure. */
const LAST_FRAMES = 512;
/** Frames that change one of the corpus, of all. */
const FROM_CORPUS = 0.1;
const DISK = 'size=64m,nr_inodes=20000';
/** On a disk that is not our own these would fill it. */
const FILLING = new Set(['fallocate', 'copyRange']);
const SECRET = 'not for mallory';

export interface FuzzOptions {
  readonly frames: number;
  readonly seed: number;
  /** Frames that are sent first, and changed now and then. */
  readonly corpus: readonly Buffer[];
  /** Where the last frames before a failure are written to. */
  readonly foundFolder: string;
  readonly say: (line: string) => void;
}

interface Prey {
  readonly lab: Lab;
  readonly alice: Host;
  readonly bob: Host;
  readonly pid: number;
  /** Mallory's share, on alice's disk. */
  readonly folder: string;
  readonly isOwnDisk: boolean;
}

async function openPrey(): Promise<Prey> {
  const lab = openLab(['alice', 'bob'], true);
  try {
    const [alice, bob] = [lab.host('alice'), lab.host('bob')];
    const [folder, other] = [join(alice.files, 'for-mallory'), join(alice.files, 'for-bob')];
    for (const made of [folder, other]) mkdirSync(made);
    writeFileSync(join(other, 'secret'), SECRET);
    const isOwnDisk = spawnSync('mount', ['-t', 'tmpfs', '-o', DISK, 'peerfs-test', folder]).status === 0;
    for (const host of lab.hosts) await host.start();
    await introduce(alice, bob);
    await alice.json(['share', other, '--name', 'work', '--to', 'bob', '--write']);
    await bob.mount();
    await untilLive(bob, 'alice');
    return { lab, alice, bob, pid: await alice.pid(), folder, isOwnDisk };
  } catch (error) {
    await lab.close();
    throw error;
  }
}

async function closePrey({ lab, folder, isOwnDisk }: Prey): Promise<void> {
  // The node first: it may hold files there.
  for (const { peerfs } of lab.hosts) await peerfs(['stop'], { timeoutMs: 15_000 });
  if (isOwnDisk) spawnSync('umount', ['-l', folder]);
  await lab.close();
}

/** What mallory's frames name exists, until they remove it; while they hold the whole disk in files without a name, not all of it. */
function tidy(folder: string): void {
  for (const name of readdirSync(folder, { encoding: 'buffer' })) {
    rmSync(Buffer.concat([Buffer.from(`${folder}/`), name]), { recursive: true, force: true });
  }
  try {
    mkdirSync(join(folder, 'directory'));
    symlinkSync('file', join(folder, 'link'));
    for (const name of ['file', 'a', 'directory/a', 'directory/b'])
      writeFileSync(join(folder, name), 'contents '.repeat(900));
  } catch (error) {
    if (codeOf(error) !== 'ENOSPC') throw error;
  }
}

async function flood(session: HostileSession, options: FuzzOptions, prey: Prey): Promise<number> {
  const { frames, seed, corpus, say } = options;
  const random = createRandom(seed);
  const maker = createFrameMaker(random, prey.isOwnDisk ? undefined : FILLING);
  const last: Buffer[] = [];
  const tenth = Math.ceil(frames / 10);
  const memory: number[] = [];
  const send = async (bytes: Buffer): Promise<void> => {
    last.push(bytes);
    if (last.length > LAST_FRAMES) last.shift();
    await session.send(bytes);
  };
  const look = (sent: number): void => {
    const fault = faultOf(prey.alice, prey.pid);
    if (fault !== undefined) throw new Error(fault);
    const mib = residentMib(prey.pid);
    assert.ok(mib < MOST_MIB, `the node has ${mib.toFixed(0)} MiB`);
    memory.push(mib);
    if (sent % tenth < SETTLE_EVERY) say(`${sent} frames, ${mib.toFixed(0)} MiB, ${JSON.stringify(session.figures)}`);
  };
  try {
    await session.settle();
    for (const bytes of corpus) await send(bytes);
    await session.settle();
    let tidied = 0;
    for (let sent = 0; sent < frames;) {
      if (sent >= tidied) {
        tidy(prey.folder);
        tidied += TIDY_EVERY;
      }
      const settleAt = Math.min(frames, sent + SETTLE_EVERY);
      while (sent < settleAt) {
        for (let left = 1 + below(random, MOST_AT_ONCE); left > 0 && sent < settleAt; left -= 1, sent += 1) {
          const seedFrame = random() < FROM_CORPUS ? corpus[below(random, corpus.length)] : undefined;
          const callId = session.nextCall();
          await send(seedFrame === undefined ? maker.next(callId, session.known) : maker.change(seedFrame, callId));
        }
        // A frame that ends the path takes with it what came behind: few at once, and now and then all at once.
        await session.drain(random() < FLOODS ? Infinity : MOST_UNANSWERED);
      }
      await session.settle();
      look(sent);
    }
  } catch (error) {
    const what = `before a failure with seed ${seed}`;
    const file = writeFrames(
      options.foundFolder,
      `found-${seed}`,
      last.map((bytes) => ({ what, bytes })),
    );
    const why = error instanceof Error ? error.message : String(error);
    throw new Error(`${why} (seed ${seed}; the last frames are in ${file})`, { cause: error });
  }
  const part = memory.length / 10;
  return median(memory.slice(-part)) - median(memory.slice(part, 3 * part));
}

/** @returns what was seen. @throws when a promise was broken. */
export async function fuzz(options: FuzzOptions): Promise<string[]> {
  const prey = await openPrey();
  try {
    const { alice, bob, folder } = prey;
    const mallory = await joinRaw(alice, 'mallory');
    try {
      await alice.json(['share', folder, '--name', 'play', '--to', 'mallory', '--write']);
      const bystander = startBystander(bob, bob.at('alice', 'work'));
      const session = openHostileSession(mallory, ['udp', 'tcp'], createRandom(options.seed + 1));
      const began = performance.now();
      let growth: number;
      try {
        growth = await flood(session, options, prey);
      } catch (error) {
        await bystander.end().catch(() => undefined);
        throw error;
      } finally {
        session.close();
      }
      const seconds = (performance.now() - began) / 1000;
      const { count, medianMs, worstMs } = await bystander.end();
      const { figures } = session;
      const seen = [
        `${figures.sent} frames in ${seconds.toFixed(0)} s (seed ${options.seed}): ${figures.replies} replies, ${figures.failures} failures, ${figures.ended} paths ended, the slowest proper answer ${figures.slowestMs.toFixed(0)} ms`,
        `memory grew by ${growth.toFixed(0)} MiB; ${count} writes of another peer: ${medianMs.toFixed(0)} ms in the middle, ${worstMs.toFixed(0)} ms at most`,
      ];
      options.say(seen.join('\n'));
      assert.ok(
        figures.replies > options.frames / 25,
        `only ${figures.replies} replies: what was sent was not looked at`,
      );
      assert.ok(growth < GROWTH_MIB, `the node's memory grew by ${growth.toFixed(0)} MiB`);
      assert.ok(count > 0 && medianMs < MEDIAN_MS, `another peer's writes took ${medianMs.toFixed(0)} ms`);
      assert.equal(readFileSync(join(alice.files, 'for-bob', 'secret'), 'utf8'), SECRET);
      // And the node goes on: a new handshake, a call, an orderly end.
      await sh('echo still > "$1/there" && cat "$1/there"', [bob.at('alice', 'work')], { timeoutMs: 20_000 });
      const stopped = await alice.peerfs(['stop'], { timeoutMs: 20_000 });
      assert.equal(stopped.status, 0, stopped.stderr);
      assert.equal(faultOf(alice, process.pid), undefined);
      return seen;
    } finally {
      await mallory.close();
    }
  } finally {
    await closePrey(prey);
  }
}
