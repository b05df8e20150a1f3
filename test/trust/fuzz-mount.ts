/**
 * The mounting side under a hostile server: mallory answers what bob's node asks with frames that no server should send, while
 * programs work in the folder. Programs may fail; they end in time, bob's node lives within its memory, and what another peer
 * gives is there as ever.
 */
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ListingWriter } from '../../src/wire/listing.ts';
import { decodeFrame, encodeFailure, encodeFrame, FRAME_KINDS, type Frame } from '../../src/wire/frame.ts';
import { MESSAGES, PROTOCOL_VERSION, type DirectoryEntry } from '../../src/wire/schema.ts';
import { ERROR_CODES, type ErrorCode } from '../../src/errors.ts';
import type { Message } from '../../src/wire/types.ts';
import type { Path } from '../../src/net/path.ts';
import { introduce, openLab, run, sh, untilLive, type Host } from '../e2e/lab.ts';
import { createRandom, sampleValues } from '../wire/samples.ts';
import { createFrameMaker, frame } from './frame-maker.ts';
import { faultOf, residentMib } from './node-watch.ts';
import { joinRaw, type RawPeer } from './raw-peer.ts';
import { below, NAMES, pick, wildFields } from './wild-fields.ts';

/** What programs do there; every one may fail. */
const PROGRAMS = [
  'ls -laR "$1" | head -c 100000',
  'cat "$1"/*/* | head -c 1000000',
  'stat "$1"/*/*',
  'find "$1" -maxdepth 4 | head -n 2000',
  'echo x > "$1/a/new"; cp "$0" "$1/a/copy"; mv "$1/a/new" "$1/a/old"; rm -f "$1/a/old"',
  'readlink -f "$1"/*/link; getfattr -d "$1"/*/file; df "$1"',
  'mkdir -p "$1/a/b/c"; rmdir "$1/a/b/c"; truncate -s 1000 "$1/a/file"',
];
/** A program that still runs then has been held up, though the peer is alive: milliseconds. */
const LIMIT_MS = 60_000;
const GROWTH_MIB = 128;
/** Of replies: those that are as they should be, but for what they say; unasked frames besides. */
const SOUND = 0.8;
const UNASKED = 0.1;
const PAGE_BYTES = 4096;
const REDIAL_MS = 300;

const TAGS = new Map<number, Message>(Object.values(MESSAGES).map((message) => [message.tag, message]));
const CODES = Object.keys(ERROR_CODES) as ErrorCode[];
/** Types of files, legal or not: directory, file, link, setuid, device, none. (A FIFO holds up whoever opens it, as on any disk.) */
const MODES = [0o40755, 0o40755, 0o100644, 0o100644, 0o120777, 0o104755, 0o20666, 0];

export interface FuzzMountOptions {
  readonly rounds: number;
  readonly seed: number;
  readonly say: (line: string) => void;
}

function createAnswers(random: () => number) {
  const maker = createFrameMaker(random);
  const attributes = () => ({
    ...sampleValues(MESSAGES.getattr.reply.attributes.type.struct.fields, random),
    mode: pick(random, MODES, 0),
    size: pick(random, [0, 9, 4096, 2 ** 40, Number.MAX_SAFE_INTEGER], 0),
  });

  const listing = (): { readonly page: Uint8Array; readonly count: number } => {
    const writer = new ListingWriter(PAGE_BYTES);
    writer.begin(PAGE_BYTES);
    let count = 0;
    for (; count < 12; count += 1) {
      const entry = { name: pick(random, NAMES, 'a'), cursor: BigInt(below(random, 50)), attributes: attributes() };
      if (!writer.add(entry as unknown as DirectoryEntry)) break;
    }
    return { page: Uint8Array.from(writer.page()), count };
  };

  /** A frame that the caller takes for an answer. */
  const sound = (message: Message, { tag, callId }: Frame): Buffer => {
    if (random() < 0.05) return encodeFailure(tag, callId, pick(random, CODES, 'EIO'));
    const values: Record<string, unknown> = sampleValues(message.reply, random);
    if ('attributes' in values) values['attributes'] = attributes();
    if ('leaseMs' in values) values['leaseMs'] = pick(random, [0, 1, 15_000, 2 ** 32 - 1], 0);
    if ('shares' in values) {
      values['shares'] = NAMES.slice(0, 4).map((name, share) => ({
        share,
        name: share === 0 ? '' : name,
        writable: true,
        idmap: 0,
      }));
    }
    let payload = Buffer.alloc(message.replyPayload > 0 ? below(random, 9000) : 0, 'x');
    if ('count' in values && random() < 0.8) {
      const { page, count } = listing();
      payload = Buffer.from(page);
      values['count'] = count;
      values['end'] = random() < 0.7;
    }
    return Buffer.concat([encodeFrame('reply', tag, callId, message.reply, values as Record<string, never>), payload]);
  };

  return {
    /** What mallory says to a call: mostly an answer, of some kind. */
    to(asked: Frame): Buffer[] {
      const message = TAGS.get(asked.tag);
      if (message === undefined) return [];
      const unasked =
        random() < UNASKED
          ? [maker.next(1 + below(random, 1000), { handles: [1], shares: [1], calls: [1], theirCalls: [asked.callId] })]
          : [];
      const answer =
        random() < SOUND
          ? sound(message, asked)
          : frame(
              FRAME_KINDS.reply.number,
              asked.tag,
              asked.callId,
              wildFields(message.reply, { random, wild: pick(random, [0, 0.1, 0.5], 0), handles: [1], shares: [1] }),
              Buffer.alloc(below(random, 3) * 500, 255),
            );
      return [answer, ...(random() < 0.05 ? [answer] : []), ...unasked];
    },
  };
}

/** Is there, by one path or another, until it is closed. @returns how to close it, and how many calls it has answered. */
function serveNonsense(mallory: RawPeer, random: () => number): { close(): Promise<void>; answered(): number } {
  const answers = createAnswers(random);
  const bootId = new Uint8Array(16).fill(below(random, 256));
  let closed = false;
  let answered = 0;
  let path: Path | undefined;
  const isClosed = (): boolean => closed;
  const stay = async (): Promise<void> => {
    while (!isClosed()) {
      try {
        const made = (path = await mallory.connect('tcp'));
        await new Promise<void>((resolve) => {
          made.start({
            frame: (_lane, bytes) => {
              const asked = decodeFrame(bytes);
              if (asked === undefined || asked === 'unknown' || asked.kind !== 'request') return;
              answered += 1;
              for (const said of answers.to(asked)) made.send(0, [said]);
            },
            writable: () => undefined,
            end: () => resolve(),
          });
          const hello = { version: PROTOCOL_VERSION, features: 'leases locks', bootId, name: 'mallory' };
          made.send(0, [encodeFrame('push', MESSAGES.hello.tag, 0, MESSAGES.hello.request, hello)]);
          if (isClosed()) resolve();
        });
      } catch {
        // Too soon, or too often: again.
      }
      await new Promise((resolve) => setTimeout(resolve, REDIAL_MS));
    }
  };
  const staying = stay();
  return {
    answered: () => answered,
    async close() {
      closed = true;
      path?.close();
      await Promise.race([staying, new Promise((resolve) => setTimeout(resolve, 2000))]);
    },
  };
}

async function work(bob: Host, rounds: number, random: () => number): Promise<number> {
  let slowestMs = 0;
  for (let round = 0; round < rounds; round += 1) {
    const script = pick(random, PROGRAMS, 'true');
    const { status, ms } = await run([...bob.enter, 'bash', '-c', script, '/bin/true', bob.at('mallory')], {
      timeoutMs: LIMIT_MS,
    });
    assert.notEqual(status, 124, `${script} was not done within ${LIMIT_MS} ms`);
    slowestMs = Math.max(slowestMs, ms);
  }
  return slowestMs;
}

/** @returns what was seen. @throws when a promise was broken. */
export async function fuzzMount({ rounds, seed, say }: FuzzMountOptions): Promise<string[]> {
  const lab = openLab(['alice', 'bob'], true);
  try {
    const [alice, bob] = [lab.host('alice'), lab.host('bob')];
    const folder = join(alice.files, 'work');
    mkdirSync(folder);
    writeFileSync(join(folder, 'note'), 'as ever\n');
    for (const host of lab.hosts) await host.start();
    await introduce(alice, bob);
    await alice.json(['share', folder, '--name', 'work', '--to', 'bob']);
    await bob.mount();
    await untilLive(bob, 'alice');
    const pid = await bob.pid();
    const firstMib = residentMib(pid);
    const mallory = await joinRaw(bob, 'mallory');
    const random = createRandom(seed);
    const serving = serveNonsense(mallory, random);
    let slowestMs: number;
    try {
      slowestMs = await work(bob, rounds, createRandom(seed + 1));
    } finally {
      await serving.close();
      await mallory.close();
    }
    assert.equal(faultOf(bob, pid), undefined, `seed ${seed}`);
    const growth = residentMib(pid) - firstMib;
    const seen = [
      `${rounds} programs, ${serving.answered()} calls answered with nonsense (seed ${seed}); the slowest took ${slowestMs.toFixed(0)} ms; memory grew by ${growth.toFixed(0)} MiB`,
    ];
    say(seen.join('\n'));
    assert.ok(serving.answered() > rounds, 'nobody was asked');
    assert.ok(growth < GROWTH_MIB, `memory grew by ${growth.toFixed(0)} MiB`);
    assert.equal(await sh('cat "$1"', [bob.at('alice', 'work', 'note')], { timeoutMs: 10_000 }), 'as ever\n');
    return seen;
  } finally {
    await lab.close();
  }
}
