/** Pushes of a channel as frames: one way, without an answer. */
import { decodeFields } from '../wire/codec.ts';
import { encodeFrame } from '../wire/frame.ts';
import type { Frame } from '../wire/frame.ts';
import { MESSAGES } from '../wire/schema.ts';
import type { PushName, RequestOf } from '../wire/schema.ts';
import type { Message } from '../wire/types.ts';

const PUSHES = new Map<number, { readonly name: PushName; readonly message: Message }>(
  Object.entries(MESSAGES).flatMap(([name, message]) =>
    message.kind === 'push' ? [[message.tag, { name: name as PushName, message }]] : [],
  ),
);

export interface Push {
  readonly name: PushName;
  /** RequestOf<name>. */
  readonly request: unknown;
}

export function encodePush<M extends PushName>(name: M, request: RequestOf<M>): Uint8Array {
  const message = MESSAGES[name];
  return encodeFrame('push', message.tag, 0, message.request, request);
}

/** Reads a frame of kind push. 'unknown': of a newer version; 'malformed': it breaks the protocol. */
export function decodePush(frame: Frame): Push | 'unknown' | 'malformed' {
  const push = PUSHES.get(frame.tag);
  if (push === undefined) return 'unknown';
  try {
    const request = decodeFields(push.message.request, frame.bytes, frame.bodyStart, frame.bodyEnd);
    return { name: push.name, request };
  } catch {
    return 'malformed';
  }
}
