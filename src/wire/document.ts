/**
 * Renders docs/protocol.md from the protocol as data: src/wire/schema.ts, packets.ts, frame.ts, src/errors.ts, and the
 * prose of document-prose.ts. Pure; scripts/protocol-document writes the file.
 */
import { ERROR_CODES } from '../errors.ts';
import { CANDIDATE, SIGNAL } from './candidate.ts';
import { DATAGRAM_TYPES, FRAGMENT_HEADER_BYTES, MAX_DATAGRAM_FRAGMENTS } from './datagram.ts';
import * as prose from './document-prose.ts';
import { FAILURE, FRAME_HEADER_BYTES, FRAME_KINDS } from './frame.ts';
import { ADDRESS, HANDSHAKE_ANSWER, HANDSHAKE_REQUEST, INVITATION, LAN_HELLO } from './packets.ts';
import {
  ATTRIBUTES,
  FEATURES,
  FILE_NAME,
  HANDLE,
  LEFT_SIGNAL,
  LIMITS,
  MESSAGES,
  PLACE,
  PROTOCOL_VERSION,
  READ_FILE,
  SHARE_INFO,
  SIGNAL_AT_PLACE,
} from './schema.ts';
import type { Field, Fields, FieldType, Message, Struct } from './types.ts';

/** What a specification constant of schema.ts is measured in. */
const LIMIT_DOCS: Readonly<Record<keyof typeof LIMITS, string>> = {
  frameBytes: 'a whole frame, header and payload included, bytes',
  pieceBytes: 'data of one read or write, bytes',
  copyBytes: 'one copyRange, bytes',
  releasedHandles: 'handles in one release',
  filesPerCall: 'files in one readFiles',
  xattrBytes: 'value of an extended attribute, or the list of their names, bytes',
  entriesPerReply: 'entries in one page of a directory',
  shares: 'shares that a peer may see',
  petnameBytes: 'what a peer calls itself, bytes',
  leftSignalBytes: 'what lies at one place of a mailbox, bytes',
  watchedPlaces: 'places that a peer watches in one mailbox',
};

/** Bodies of the packets of a datagram. */
const DATAGRAM_DOCS: Readonly<Record<keyof typeof DATAGRAM_TYPES, string>> = {
  kcp: 'whole KCP segments, one behind the other',
  ping: 'token u32; answered by a pong',
  pong: "the ping's token u32",
  challenge: 'token of 8 bytes, sent to an address from which the peer was heard for the first time',
  response: "the challenge's token, sent back from that address: the path moves there",
  close: 'no body: the sender has closed the path',
  rekey: 'a message of a new handshake, disguised as any, for new session keys; at most 1,024 bytes',
  mtuProbe: 'padding; answered by mtuAnswer if it arrives',
  mtuAnswer: 'length u16 of the probe packet that arrived, type byte included',
  fragment: `part of a kcp packet that became too long for the path, after a header of ${FRAGMENT_HEADER_BYTES} bytes with the type: id u16, index u8 from 0, count u8 from 2 to ${MAX_DATAGRAM_FRAGMENTS}`,
};

/** All structs, in the order of the document. */
const STRUCTS: readonly Struct[] = [
  ATTRIBUTES,
  HANDLE,
  FILE_NAME,
  READ_FILE,
  SHARE_INFO,
  CANDIDATE,
  SIGNAL,
  PLACE,
  SIGNAL_AT_PLACE,
  LEFT_SIGNAL,
  HANDSHAKE_REQUEST,
  HANDSHAKE_ANSWER,
  INVITATION,
  ADDRESS,
  LAN_HELLO,
];

const NAME_RULES = { name: '', nameOrEmpty: ', or empty', opaque: ', opaque' } as const;

function typeText(type: FieldType): string {
  if (typeof type === 'string') return type;
  if ('fixed' in type) return `bytes[${type.fixed}]`;
  if ('bytes' in type) return `bytes ≤ ${type.bytes}`;
  if ('name' in type) return `name ≤ ${type.name}${NAME_RULES[type.rule ?? 'name']}`;
  if ('path' in type) return `path ≤ ${type.path}`;
  if ('text' in type) return `text ≤ ${type.text}`;
  if ('list' in type) return `list of ${type.list.name} ≤ ${type.max}`;
  return `struct ${type.struct.name}`;
}

function fieldDoc(field: Field): string {
  const limit = field.limit === undefined ? '' : `; at most ${field.limit}`;
  const fallback = field.default === undefined ? '' : `; ${String(field.default)} where an older peer leaves it out`;
  return `${field.doc}${limit}${fallback}`.replaceAll('|', '\\|');
}

function fieldTable(fields: Fields): string {
  const rows = Object.entries(fields).map(
    ([name, field]) => `| ${name} | ${typeText(field.type)} | ${fieldDoc(field)} |`,
  );
  return ['| field | type | meaning |', '| --- | --- | --- |', ...rows].join('\n');
}

function fieldsOrNone(title: string, fields: Fields, payload: number): string {
  const payloadText = payload > 0 ? `, then a payload of at most ${payload} bytes` : '';
  if (Object.keys(fields).length === 0) return `${title}: no fields${payloadText}.`;
  return `${title}${payloadText}:\n\n${fieldTable(fields)}`;
}

const SENDER = {
  client: 'the side that mounts',
  server: 'the side that shares',
  either: 'either side',
} as const;

function messageSection([name, message]: [string, Message]): string {
  const kind = message.kind === 'call' ? 'Call' : 'Push';
  const again = message.kind === 'push' ? '' : message.idempotent ? ' Idempotent.' : ' Runs exactly once.';
  const parts = [`### ${name} (${message.tag})`, `${kind}, from ${SENDER[message.from]}.${again} ${message.doc}`];
  parts.push(fieldsOrNone(message.kind === 'call' ? 'Request' : 'Fields', message.request, message.requestPayload));
  if (message.kind === 'call') parts.push(fieldsOrNone('Reply', message.reply, message.replyPayload));
  return parts.join('\n\n');
}

function structSection(struct: Struct): string {
  return `### ${struct.name}\n\n${struct.doc}\n\n${fieldTable(struct.fields)}`;
}

function frames(): string {
  const kinds = Object.entries(FRAME_KINDS).map(([name, { number, doc }]) => `| ${number} | ${name} | ${doc} |`);
  return [
    `A frame is a header of ${FRAME_HEADER_BYTES} bytes, a body of fields, and a payload that fills the rest:`,
    '    kind u8 | tag u16 | callId u64 | bodyLength u32 | body | payload',
    ['| kind | name | meaning |', '| --- | --- | --- |', ...kinds].join('\n'),
    `The body of a failure:\n\n${fieldTable(FAILURE)}`,
  ].join('\n\n');
}

function datagrams(): string {
  const rows = Object.entries(DATAGRAM_TYPES).map(
    ([name, type]) => `| ${type} | ${name} | ${DATAGRAM_DOCS[name as keyof typeof DATAGRAM_TYPES]} |`,
  );
  return [
    'What a datagram seals is a packet: a type byte and a body. A packet that is not known, or too short, is dropped.',
    ['| type | name | body |', '| --- | --- | --- |', ...rows].join('\n'),
  ].join('\n\n');
}

function limits(): string {
  const rows = Object.entries(LIMITS).map(
    ([name, value]) => `| ${name} | ${value} | ${LIMIT_DOCS[name as keyof typeof LIMITS]} |`,
  );
  return ['| limit | value | of what |', '| --- | --- | --- |', ...rows].join('\n');
}

function errors(): string {
  const rows = Object.entries(ERROR_CODES)
    .sort(([, a], [, b]) => a.wire - b.wire)
    .map(([code, { wire }]) => `| ${wire} | ${code} |`);
  return ['| number | code |', '| --- | --- |', ...rows].join('\n');
}

/** The whole of docs/protocol.md. */
export function protocolDocument(): string {
  const messages = Object.entries(MESSAGES) as [string, Message][];
  const sections: readonly (readonly [string, string])[] = [
    ['Conventions', prose.CONVENTIONS],
    ['Identity', prose.IDENTITY],
    ['Invitation', prose.INVITATION],
    ['Handshake', prose.HANDSHAKE],
    ['UDP: sealed datagrams', prose.DATAGRAM],
    ['UDP: packets', datagrams()],
    ['UDP: KCP', prose.KCP],
    ['TCP: sealed frames', prose.STREAM],
    ['LAN hello', prose.LAN],
    ['Meeting places', prose.MEETING],
    ['Frames', frames()],
    ['Rules of the channel', prose.CHANNEL],
    ['Limits', `Version ${PROTOCOL_VERSION}; features that may stand in hello: ${FEATURES.join(', ')}.\n\n${limits()}`],
    ['Messages', messages.map(messageSection).join('\n\n')],
    ['Listings', prose.LISTING],
    ['Structs', STRUCTS.map(structSection).join('\n\n')],
    [
      'Errors',
      `POSIX errors have the numbers of Linux' asm-generic/errno.h; a number that is not known counts as EIO.\n\n${errors()}`,
    ],
  ];
  const text = sections.map(([title, body]) => `## ${title}\n\n${body.trim()}`).join('\n\n');
  return `<!-- Made by scripts/protocol-document from src/wire. Do not edit. -->\n\n# The protocol of peerfs\n\n${prose.INTRODUCTION.trim()}\n\n${text}\n`;
}
