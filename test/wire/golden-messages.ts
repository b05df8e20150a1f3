/** One fixed frame for each direction of each message. golden-bytes.ts holds their bytes, for ever. */
import { encodeFailure, encodeEmptyFrame, encodeFrame } from '../../src/wire/frame.ts';
import { MESSAGES } from '../../src/wire/schema.ts';
import type { Fields, FieldType, Message } from '../../src/wire/types.ts';

/** Values that depend on nothing but the field's type and place. */
function goldenValue(type: FieldType, limit: number, place: number): unknown {
  switch (type) {
    case 'u8':
    case 'u16':
    case 'u32':
      return Math.min(limit, place + 1);
    case 'u64':
      return Math.min(limit, 2 ** 40 + place);
    case 'i64':
      return -(2 ** 33) - place;
    case 'id64':
      return 0xfedc_ba98_7654_3210n + BigInt(place);
    case 'bool':
      return place % 2 === 0;
    default:
      if ('fixed' in type) return Uint8Array.from({ length: type.fixed }, (_, i) => i + place);
      if ('bytes' in type) return Uint8Array.of(0, place, 255);
      if ('name' in type) return `name-\xe4-${place}`;
      if ('path' in type) return `folder/\xe4/file-${place}`;
      if ('text' in type) return `text-ä-${place}`;
      if ('list' in type) return [goldenValues(type.list.fields), goldenValues(type.list.fields)];
      return goldenValues(type.struct.fields);
  }
}

function goldenValues(fields: Fields): Record<string, never> {
  return Object.fromEntries(
    Object.entries(fields).map(([key, field], place) => [
      key,
      goldenValue(field.type, field.limit ?? Number.MAX_SAFE_INTEGER, place),
    ]),
  ) as Record<string, never>;
}

/** Name of the frame -> hexadecimal bytes, without a payload. */
export function goldenFrames(): Record<string, string> {
  const frames: Record<string, string> = {
    'failure of read': encodeFailure(MESSAGES.read.tag, 258, 'ENOENT', 'no such file').toString('hex'),
    'cancel of lock': encodeEmptyFrame('cancel', MESSAGES.lock.tag, 2 ** 32 + 1).toString('hex'),
    'working of fsync': encodeEmptyFrame('working', MESSAGES.fsync.tag, 7).toString('hex'),
  };
  for (const [name, message] of Object.entries(MESSAGES) as [string, Message][]) {
    const { tag, request, reply } = message;
    if (message.kind === 'push') {
      frames[`${name} push`] = encodeFrame('push', tag, 0, request, goldenValues(request)).toString('hex');
      continue;
    }
    frames[`${name} request`] = encodeFrame('request', tag, 1, request, goldenValues(request)).toString('hex');
    frames[`${name} reply`] = encodeFrame('reply', tag, 1, reply, goldenValues(reply)).toString('hex');
  }
  return frames;
}
