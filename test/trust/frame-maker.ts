/**
 * Makes the frames that a hostile peer sends, from the protocol's own description: legal ones, ones with fields at their
 * limits and beyond, replies that nobody asked for, cut, lengthened, flipped; the same for the same seed. And it changes
 * frames of a corpus.
 */
import { FRAME_HEADER_BYTES, FRAME_KINDS, FAILURE, type FrameKind } from '../../src/wire/frame.ts';
import { LIMITS, MESSAGES } from '../../src/wire/schema.ts';
import type { Message } from '../../src/wire/types.ts';
import { below, pick, wildFields, type Choices } from './wild-fields.ts';

/** What frames name that may exist: the maker of frames learns it from replies. */
export interface Known {
  readonly handles: readonly number[];
  readonly shares: readonly number[];
  /** Numbers of calls that were made, some of them answered. */
  readonly calls: readonly number[];
  /** Numbers of the peer's own calls. */
  readonly theirCalls: readonly number[];
}

export interface FrameMaker {
  /** @param callId the number that comes next. */
  next(callId: number, known: Known): Buffer;
  /** The frame with some bytes or its length changed, under this number if it has one. */
  change(frame: Uint8Array, callId: number): Buffer;
}

const ALL: readonly (readonly [string, Message])[] = Object.entries(MESSAGES);
/** Pushes that end everything until the next handshake: seldom, or nothing else would be tried. */
const SELDOM = new Set(['hello', 'goodbye', 'acknowledge']);
const CALLS = ALL.filter(([, message]) => message.kind === 'call');
const PUSHES = ALL.filter(([name, message]) => message.kind === 'push' && !SELDOM.has(name));
const RARE_PUSHES = ALL.filter(([name]) => SELDOM.has(name));

/** How often, of all frames. */
const SHARE = {
  reply: 0.06,
  failure: 0.04,
  cancel: 0.05,
  working: 0.02,
  push: 0.08,
  rarePush: 0.001,
  /** Of frames: those that are changed once made. */
  changed: 0.02,
  /** Of changed frames: those whose header is, which mostly ends the path. */
  header: 0.05,
} as const;
/** Most frames are legal throughout: they reach what lies behind the codec. */
const WILD = [0, 0, 0, 0, 0, 0.02, 0.1, 0.5];
/** Numbers that no call should have. */
const STRANGE_CALLS = [0, 1, 2 ** 32, Number.MAX_SAFE_INTEGER - 1, Number.MAX_SAFE_INTEGER] as const;

export function frame(kind: number, tag: number, callId: number, body: Uint8Array, payload?: Uint8Array): Buffer {
  const header = Buffer.alloc(FRAME_HEADER_BYTES);
  header[0] = kind;
  header.writeUInt16LE(tag, 1);
  header.writeBigUInt64LE(BigInt(callId), 3);
  header.writeUInt32LE(body.length, 11);
  return Buffer.concat(payload === undefined ? [header, body] : [header, body, payload]);
}

/** @param refuses messages that are not to be sent, by name. */
export function createFrameMaker(random: () => number, refuses: ReadonlySet<string> = new Set()): FrameMaker {
  const calls = CALLS.filter(([name]) => !refuses.has(name));
  const number = (kind: FrameKind): number => FRAME_KINDS[kind].number;
  const anyMessage = (from: typeof ALL): Message => pick<(typeof ALL)[number]>(random, from, ['', MESSAGES.hello])[1];

  const payload = (most: number, wild: number): Buffer | undefined => {
    const breaks = random() < wild / 2;
    if (most === 0) return breaks ? Buffer.alloc(1 + below(random, 100)) : undefined;
    const length = breaks ? most + 1 : random() < 0.03 ? most : below(random, 300);
    return Buffer.alloc(length, below(random, 256));
  };

  const made = (callId: number, known: Known, choices: Choices): Buffer => {
    const { wild } = choices;
    let chance = random();
    const falls = (share: number): boolean => (chance -= share) < 0;
    const theirs = (): number => pick(random, known.theirCalls, callId);
    const ours = (): number => (random() < 0.8 ? pick(random, known.calls, 0) : callId);
    if (falls(SHARE.reply)) {
      const message = anyMessage(CALLS);
      const body = wildFields(message.reply, choices);
      return frame(number('reply'), message.tag, theirs(), body, payload(message.replyPayload, wild));
    }
    if (falls(SHARE.failure))
      return frame(number('failure'), anyMessage(CALLS).tag, theirs(), wildFields(FAILURE, choices));
    if (falls(SHARE.cancel)) return frame(number('cancel'), anyMessage(CALLS).tag, ours(), Buffer.alloc(0));
    if (falls(SHARE.working)) return frame(number('working'), anyMessage(CALLS).tag, theirs(), Buffer.alloc(0));
    if (falls(SHARE.push)) {
      const message = anyMessage(PUSHES);
      return frame(number('push'), message.tag, 0, wildFields(message.request, choices));
    }
    if (falls(SHARE.rarePush)) {
      const message = anyMessage(RARE_PUSHES);
      return frame(number('push'), message.tag, 0, wildFields(message.request, choices));
    }
    const message = anyMessage(calls);
    const tag = random() < wild / 10 ? below(random, 65_536) : message.tag;
    const id = random() < 0.02 ? ours() : random() < wild / 20 ? pick(random, STRANGE_CALLS, 0) : callId;
    return frame(
      number('request'),
      tag,
      id,
      wildFields(message.request, choices),
      payload(message.requestPayload, wild),
    );
  };

  const change = (given: Uint8Array, callId: number): Buffer => {
    const bytes = Buffer.from(given);
    const from = random() < SHARE.header ? 0 : FRAME_HEADER_BYTES;
    if (bytes.length >= FRAME_HEADER_BYTES && bytes[0] === number('request')) bytes.writeBigUInt64LE(BigInt(callId), 3);
    const way = below(random, 4);
    if (bytes.length <= from) return bytes;
    if (way === 0) {
      // The body's length is what is left, or the frame would end at once.
      const cut = Buffer.from(bytes.subarray(0, from + below(random, bytes.length - from)));
      if (from > 0) cut.writeUInt32LE(Math.min(bytes.readUInt32LE(11), cut.length - FRAME_HEADER_BYTES), 11);
      return cut;
    }
    if (way === 1) {
      const longer = Buffer.concat([bytes, Buffer.alloc(1 + below(random, 64), below(random, 256))]);
      if (from > 0 && random() < 0.5) longer.writeUInt32LE(longer.length - FRAME_HEADER_BYTES, 11);
      return longer.subarray(0, LIMITS.frameBytes + below(random, 2));
    }
    for (let left = pick(random, [1, 1, 4, 32], 1); left > 0; left -= 1) {
      const at = from + below(random, bytes.length - from);
      bytes[at] = (bytes[at] ?? 0) ^ (way === 2 ? 1 << below(random, 8) : 1 + below(random, 255));
    }
    return bytes;
  };

  return {
    next(callId, known) {
      const { handles, shares } = known;
      const whole = made(callId, known, { random, wild: pick(random, WILD, 0), handles, shares });
      return random() < SHARE.changed ? change(whole, callId) : whole;
    },
    change,
  };
}

/** Every message as it should be, at its limits and past them, under calls 1, 2, 3...: seeds for a corpus. */
export function seedFrames(name: string, message: Message, random: () => number): { what: string; bytes: Buffer }[] {
  const frames: { what: string; bytes: Buffer }[] = [];
  const isCall = message.kind === 'call';
  const add = (what: string, kind: FrameKind, body: Buffer, payload?: Buffer): void => {
    const callId = kind === 'push' ? 0 : frames.length + 1;
    frames.push({
      what: `${name}: ${what}`,
      bytes: frame(FRAME_KINDS[kind].number, message.tag, callId, body, payload),
    });
  };
  const choices = (wild: number): Choices => ({ random, wild, handles: [1], shares: [1] });
  const asks: FrameKind = isCall ? 'request' : 'push';
  const some = Buffer.from('contents');
  for (const turn of [1, 2, 3]) {
    add(`legal ${turn}`, asks, wildFields(message.request, choices(0)), message.requestPayload > 0 ? some : undefined);
  }
  for (const turn of [1, 2, 3])
    add(`all fields past their limits ${turn}`, asks, wildFields(message.request, choices(1)));
  for (const turn of [1, 2])
    add(`some fields past their limits ${turn}`, asks, wildFields(message.request, choices(0.3)));
  add('no body', asks, Buffer.alloc(0));
  add('ones alone', asks, Buffer.alloc(80, 0xff));
  if (!isCall) return frames;
  add('a payload that it does not have', 'request', wildFields(message.request, choices(0)), Buffer.alloc(33));
  add('a reply that nobody asked for', 'reply', wildFields(message.reply, choices(0)));
  add('a reply with fields past their limits', 'reply', wildFields(message.reply, choices(1)));
  add('a failure that nobody asked for', 'failure', wildFields(FAILURE, choices(0.5)));
  add('a cancelling of nothing', 'cancel', Buffer.alloc(0));
  add('work that nobody does', 'working', Buffer.alloc(0));
  return frames;
}
