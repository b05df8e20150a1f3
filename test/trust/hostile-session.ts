/**
 * One hostile peer's conversation with a node, over as many paths as it takes: says hello, sends frames as fast as the node
 * takes them, learns handles and shares from replies, answers some of the node's own calls, and makes sure now and then
 * that the node still answers what is asked properly.
 */
import { randomFillSync } from 'node:crypto';
import { decodeFields, encodeFields } from '../../src/wire/codec.ts';
import {
  decodeFrame,
  encodeEmptyFrame,
  encodeFrame,
  FRAME_HEADER_BYTES,
  FRAME_KINDS,
  type Frame,
} from '../../src/wire/frame.ts';
import { LIMITS, MESSAGES, PROTOCOL_VERSION } from '../../src/wire/schema.ts';
import { codeOf } from '../../src/errors.ts';
import type { Lane, Path } from '../../src/net/path.ts';
import type { Kind } from '../net/endpoint-node.ts';
import { frame } from './frame-maker.ts';
import type { RawPeer } from './raw-peer.ts';

/** A proper question is answered within this while nonsense comes with it, or the node counts as stalled. Milliseconds. */
const ANSWER_MS = 15_000;
/** The node looks at ten handshakes a second of one address. Milliseconds. */
const REDIAL_MS = 150;
const DIALS = 40;
/** A call that waits for a lock, or that the node has dropped, has no answer. Milliseconds. */
const DRAIN_MS = 100;
const KEPT_HANDLES = 32;
const KEPT_CALLS = 256;
/** Larger frames ride the lane of bulk. */
const SMALL_BYTES = 8192;
const OPENING = new Set<number>([MESSAGES.open.tag, MESSAGES.createFile.tag, MESSAGES.openDirectory.tag]);

export interface SessionFigures {
  sent: number;
  replies: number;
  failures: number;
  /** Calls of the node to us. */
  asked: number;
  /** Paths that the node ended, mostly for a frame that broke the layout. */
  ended: number;
  /** Longest wait for a proper answer, milliseconds. */
  slowestMs: number;
}

export interface HostileSession {
  readonly figures: Readonly<SessionFigures>;
  readonly known: { handles: number[]; shares: number[]; calls: number[]; theirCalls: number[] };
  /** The number that the next call is to have. */
  nextCall(): number;
  /** Sends a frame on the path there is, or on a new one. */
  send(bytes: Buffer): Promise<void>;
  /** Waits a moment for answers, if more calls than this have none. */
  drain(most: number): Promise<void>;
  /** Asks a proper question, cancels and acknowledges what came before. @throws Error when it is not answered. */
  settle(): Promise<void>;
  close(): void;
}

const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

export function openHostileSession(peer: RawPeer, kinds: readonly Kind[], random: () => number): HostileSession {
  const figures: SessionFigures = { sent: 0, replies: 0, failures: 0, asked: 0, ended: 0, slowestMs: 0 };
  const known: HostileSession['known'] = { handles: [], shares: [], calls: [], theirCalls: [] };
  const bootId = randomFillSync(new Uint8Array(16));
  const hello = { version: PROTOCOL_VERSION, features: 'leases locks', bootId, name: 'mallory' };
  /** Calls that have no answer yet. */
  const open = new Set<number>();
  /** Answers that were not given yet may have been acknowledged: those calls would never run. */
  let hasMuddled = false;
  /** Calls may be without an answer when the next frame is sent. */
  let window = 0;
  let drained: (() => void) | undefined;
  let path: Path | undefined;
  let callId = 0;
  let dialled = 0;
  let acknowledged = 0;
  let awaited: { readonly callId: number; readonly answered: (tag: number) => void } | undefined;
  let writable: (() => void) | undefined;
  let isFull = false;
  let closed = false;

  const keep = (list: number[], value: number, most: number): void => {
    list.push(value);
    if (list.length > most) list.shift();
  };

  const learn = ({ tag, bytes, bodyStart, bodyEnd }: Frame): void => {
    if (OPENING.has(tag)) {
      const handle = Buffer.from(bytes.buffer, bytes.byteOffset + bodyStart, bodyEnd - bodyStart).readUInt32LE(0);
      if (handle !== 0) keep(known.handles, handle, KEPT_HANDLES);
    }
    if (tag !== MESSAGES.listShares.tag) return;
    const { shares } = decodeFields(MESSAGES.listShares.reply, bytes, bodyStart, bodyEnd);
    known.shares = shares.map(({ share }) => share);
  };

  const take = (on: Path, bytes: Uint8Array): void => {
    const came = decodeFrame(bytes);
    if (came === undefined || came === 'unknown') return;
    if (came.kind === 'request') {
      figures.asked += 1;
      keep(known.theirCalls, came.callId, KEPT_CALLS);
      // Some are left to wait, as by a peer that has gone to sleep.
      if (random() < 0.7) on.send(0, [encodeEmptyFrame('reply', came.tag, came.callId)]);
      return;
    }
    if (came.kind !== 'reply' && came.kind !== 'failure') return;
    if (came.kind === 'reply') {
      figures.replies += 1;
      learn(came);
    } else figures.failures += 1;
    open.delete(came.callId);
    if (open.size <= window) drained?.();
    if (awaited?.callId === came.callId) awaited.answered(came.tag);
  };

  const dial = async (): Promise<Path> => {
    for (let attempt = 1; ; attempt += 1) {
      const kind = kinds[dialled++ % kinds.length] ?? 'tcp';
      try {
        const made = await peer.connect(kind);
        isFull = false;
        made.start({
          frame: (_lane, bytes) => take(made, bytes),
          writable: () => {
            isFull = false;
            writable?.();
          },
          end: () => {
            figures.ended += 1;
            if (path === made) path = undefined;
            open.clear();
            writable?.();
            drained?.();
          },
        });
        made.send(0, [encodeFrame('push', MESSAGES.hello.tag, 0, MESSAGES.hello.request, hello)]);
        return made;
      } catch (error) {
        if (attempt >= DIALS || closed) throw new Error(`the node cannot be reached any more: ${codeOf(error)}`);
        await pause(REDIAL_MS);
      }
    }
  };

  /** Asked anew after each wait, which the compiler cannot see. */
  const current = (): Path | undefined => path;

  const onPath = async (): Promise<Path> => {
    if (isFull && path !== undefined) await new Promise<void>((resolve) => (writable = resolve));
    writable = undefined;
    const usable = current();
    if (usable !== undefined) return usable;
    return (path = await dial());
  };

  /** Waits until few enough calls are without an answer, but not long: some never have one. */
  const drain = async (most: number): Promise<void> => {
    window = most;
    if (open.size <= most || path === undefined) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, DRAIN_MS);
      drained = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    drained = undefined;
  };

  const send = async (bytes: Buffer): Promise<void> => {
    const on = await onPath();
    if (bytes[0] === FRAME_KINDS.request.number && bytes.length >= FRAME_HEADER_BYTES) {
      open.add(Number(bytes.readBigUInt64LE(3)));
    }
    const lane: Lane = bytes.length > SMALL_BYTES ? 1 : 0;
    const tag = bytes.length < FRAME_HEADER_BYTES ? undefined : bytes.readUInt16LE(1);
    hasMuddled ||= bytes[0] === FRAME_KINDS.push.number && tag === MESSAGES.acknowledge.tag;
    isFull = !on.send(lane, [bytes.subarray(0, LIMITS.frameBytes + 1)]) && path === on;
    figures.sent += 1;
  };

  /** @returns false when the path ended before there was an answer. */
  const ask = async (): Promise<boolean> => {
    const on = await onPath();
    const id = ++callId;
    const startedAt = performance.now();
    return new Promise<boolean>((resolve, reject) => {
      const look = setInterval(() => {
        if (path !== on) finish(() => resolve(false));
        else if (performance.now() - startedAt > ANSWER_MS)
          finish(() => reject(new Error(`a proper call was not answered within ${ANSWER_MS} ms`)));
      }, 20);
      const finish = (act: () => void): void => {
        clearInterval(look);
        awaited = undefined;
        act();
      };
      awaited = {
        callId: id,
        answered: () => {
          figures.slowestMs = Math.max(figures.slowestMs, performance.now() - startedAt);
          finish(() => resolve(true));
        },
      };
      on.send(0, [encodeFrame('request', MESSAGES.listShares.tag, id, {}, {})]);
    });
  };

  /** As if we had been started anew: the node forgets the calls of before. */
  const restart = (): void => {
    randomFillSync(bootId);
    path?.close();
    path = undefined;
    open.clear();
    known.handles.length = 0;
    hasMuddled = false;
  };

  return {
    figures,
    known,
    nextCall() {
      callId += 1;
      keep(known.calls, callId, KEPT_CALLS);
      return callId;
    },
    send,
    drain,
    async settle() {
      if (hasMuddled) restart();
      await drain(0);
      // Locks that are waited for, and whatever else would last.
      for (const call of open) path?.send(0, [encodeEmptyFrame('cancel', MESSAGES.lock.tag, call)]);
      open.clear();
      while (!(await ask()));
      const fields = encodeFields(MESSAGES.acknowledge.request, { fromCall: acknowledged, belowCall: callId });
      path?.send(0, [frame(FRAME_KINDS.push.number, MESSAGES.acknowledge.tag, 0, fields)]);
      acknowledged = callId;
    },
    close() {
      closed = true;
      path?.close();
      path = undefined;
    },
  };
}
