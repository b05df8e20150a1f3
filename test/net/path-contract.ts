/**
 * What every Path holds to (src/net/path.ts), run by each implementation: memory, tcp, udp. An implementation brings
 * pairs of ends that are joined; the contract does the rest, in real time or, for paths under a manual clock, in the
 * time that the pair's `pass` lets go by.
 */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { test } from 'node:test';
import type { Lane, Path, PathEnd } from '../../src/net/path.ts';
import { LIMITS } from '../../src/wire/schema.ts';

export interface ContractPair {
  readonly ends: readonly [Path, Path];
  /** Lets time go by until something has had time to happen; called again and again. */
  pass(): Promise<void>;
  /** Ends both and all that belongs to them. */
  close(): Promise<void>;
}

/** Passes before a test gives up. */
const MOST_PASSES = 5000;

interface End {
  readonly path: Path;
  readonly frames: { readonly lane: Lane; readonly bytes: Buffer }[];
  readonly ends: PathEnd[];
  readonly writable: Lane[];
}

function start(path: Path): End {
  const end: End = { path, frames: [], ends: [], writable: [] };
  path.start({
    frame(lane, frame) {
      assert.deepEqual(end.ends, [], 'no frame after the end');
      end.frames.push({ lane, bytes: Buffer.from(frame) });
    },
    writable: (lane) => end.writable.push(lane),
    end: (reason) => end.ends.push(reason),
  });
  return end;
}

const digest = (frames: readonly Uint8Array[]): string[] =>
  frames.map((frame) => createHash('sha256').update(frame).digest('hex'));

/** Defines the tests of the contract for paths that `make` makes. */
export function testPathContract(name: string, make: () => Promise<ContractPair>): void {
  const check = (does: string, run: (a: End, b: End, until: Until, pair: ContractPair) => Promise<void>) =>
    test(`${name}: ${does}`, async () => {
      const pair = await make();
      const until: Until = async (what, holds) => {
        for (let pass = 0; !holds(); pass++) {
          assert.ok(pass < MOST_PASSES, `never: ${what}`);
          await pair.pass();
        }
      };
      try {
        await run(start(pair.ends[0]), start(pair.ends[1]), until, pair);
      } finally {
        await pair.close();
      }
    });

  check('frames arrive whole and in order, both ways, of any size', async (a, b, until) => {
    const sizes = [0, 1, 2, 100, 1199, 1200, 1201, 65_535, 65_536, 262_144, LIMITS.frameBytes];
    for (const [from, to] of [
      [a, b],
      [b, a],
    ] as const) {
      const sent = sizes.map((size) => randomBytes(size));
      for (const frame of sent) from.path.send(0, [frame]);
      await until('all frames', () => to.frames.length >= sizes.length);
      assert.deepEqual(digest(to.frames.map(({ bytes }) => bytes)), digest(sent));
    }
  });

  check('a frame given in pieces arrives as one', async (a, b, until) => {
    const pieces = [randomBytes(15), new Uint8Array(0), randomBytes(100_000), randomBytes(1)];
    a.path.send(1, pieces);
    await until('the frame', () => b.frames.length > 0);
    assert.deepEqual(b.frames, [{ lane: 1, bytes: Buffer.concat(pieces) }]);
  });

  check('each lane keeps its own order and loses nothing', async (a, b, until) => {
    const sent: Record<Lane, Buffer[]> = { 0: [], 1: [] };
    for (let i = 0; i < 300; i++) {
      const lane: Lane = i % 3 === 0 ? 1 : 0;
      const frame = randomBytes(lane === 1 ? 20_000 : 200);
      sent[lane].push(frame);
      a.path.send(lane, [frame]);
    }
    await until('300 frames', () => b.frames.length === 300);
    for (const lane of [0, 1] as const) {
      const got = b.frames.filter((one) => one.lane === lane).map(({ bytes }) => bytes);
      assert.deepEqual(digest(got), digest(sent[lane]));
    }
  });

  check('a full lane says so, has room again, and does not stop the other', async (a, b, until) => {
    let sent = 0;
    let room = true;
    while (room && sent < 1000) {
      room = a.path.send(1, [Buffer.alloc(LIMITS.frameBytes)]);
      sent += 1;
    }
    assert.equal(room, false);
    a.path.send(0, [Buffer.from('small')]);
    await until('the small frame', () => b.frames.some(({ lane }) => lane === 0));
    await until('room', () => a.writable.includes(1));
    await until('all frames', () => b.frames.length === sent + 1);
    assert.ok(!a.writable.includes(0));
  });

  check('close tells the peer after what was sent before, and nothing to its own side', async (a, b, until) => {
    a.path.send(0, [Buffer.from('last words')]);
    await until('the frame', () => b.frames.length === 1);
    a.path.close();
    a.path.close();
    await until('the end', () => b.ends.length > 0);
    assert.deepEqual(b.ends, ['closed-by-peer']);
    assert.deepEqual(a.ends, []);
  });

  check('what is sent after the end is dropped without a complaint', async (a, b, until) => {
    a.path.close();
    await until('the end', () => b.ends.length > 0);
    for (const { path } of [a, b]) {
      path.send(0, [Buffer.from('too late')]);
      path.probe();
      path.close();
    }
    assert.deepEqual([...a.frames, ...b.frames], []);
    assert.deepEqual(b.ends, ['closed-by-peer']);
  });

  check('a probe is answered: the peer was heard', async (a, b, until, pair) => {
    b.path.send(0, [Buffer.from('here')]);
    await until('the frame', () => a.frames.length === 1);
    for (let pass = 0; pass < 3; pass++) await pair.pass();
    const { lastHeardAt } = a.path.statistics;
    a.path.probe();
    await until('an answer', () => a.path.statistics.lastHeardAt > lastHeardAt);
    assert.deepEqual(a.ends, []);
  });

  check('statistics count what went both ways', async (a, b, until) => {
    a.path.send(0, [Buffer.alloc(100_000)]);
    await until('the frame', () => b.frames.length === 1);
    assert.ok(a.path.statistics.bytesSent >= 100_000);
    assert.ok(b.path.statistics.bytesReceived >= 100_000);
  });
}

type Until = (what: string, holds: () => boolean) => Promise<void>;
