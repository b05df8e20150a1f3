/**
 * What stands inside handshakes, invitations and LAN hellos: structs in the vocabulary of src/wire/types.ts, encoded
 * by src/wire/codec.ts and sealed by src/crypto. docs/protocol.md prints them.
 */
import { LIMITS } from './schema.ts';
import type { Struct, ValuesOf } from './types.ts';

/** Why a handshake is made. */
export const PURPOSE = {
  /** The two know each other: the psk is their pair secret. */
  known: 0,
  /** First contact: the psk is an invitation's token. */
  invitation: 1,
  /** New keys for the session that carries this handshake; the psk is the pair secret. */
  rekey: 2,
} as const;

/** What the responder makes of a handshake that proved itself. */
export const HANDSHAKE_RESULT = { welcome: 0, used: 1, revoked: 2, expired: 3 } as const;

export const HANDSHAKE_REQUEST = {
  name: 'HandshakeRequest',
  doc: 'Payload of handshake message 1.',
  fields: {
    timestampMs: {
      type: 'u64',
      doc: 'max(clock in milliseconds since the epoch, last one sent to this peer + 1): one not above the last accepted is a replay. Purpose 2: the number of the request within its session, from 1; one not above the last answered is dropped',
    },
    publicKey: {
      type: { fixed: 32 },
      doc: "the initiator's Ed25519 key; its X25519 form must be the handshake's static key",
    },
    purpose: { type: 'u8', doc: '0: known peer; 1: invitation; 2: new keys for a running session' },
    index: { type: 'u32', doc: "the initiator's session index (datagrams to it carry it); 0 on streams" },
    name: { type: { text: LIMITS.petnameBytes }, doc: 'what the initiator calls itself; a suggestion only' },
    port: {
      type: 'u16',
      doc: 'where the initiator takes datagrams and connections, at the address that this comes from; 0: it does not say',
    },
  },
} as const satisfies Struct;

export const HANDSHAKE_ANSWER = {
  name: 'HandshakeAnswer',
  doc: 'Payload of handshake message 2.',
  fields: {
    result: {
      type: 'u8',
      doc: '0: welcome; 1: the invitation was used; 2: it was revoked; 3: it has expired. Other than 0: there is no session',
    },
    index: { type: 'u32', doc: "the responder's session index; 0 on streams" },
    name: { type: { text: LIMITS.petnameBytes }, doc: 'what the responder calls itself; a suggestion only' },
  },
} as const satisfies Struct;

export const ADDRESS = {
  name: 'Address',
  doc: 'Where a node may be reached, over UDP and TCP alike.',
  fields: {
    host: { type: { text: 255 }, doc: 'numeric address or host name' },
    port: { type: 'u16', doc: 'port' },
  },
} as const satisfies Struct;

export const INVITATION = {
  name: 'Invitation',
  doc: 'What an invitation holds under its code.',
  fields: {
    publicKey: { type: { fixed: 32 }, doc: "the creator's Ed25519 key" },
    token: { type: { fixed: 16 }, doc: 'psk of the first contact, good for one peer' },
    expiresAtMs: { type: 'u64', doc: 'milliseconds since the epoch' },
    name: { type: { text: LIMITS.petnameBytes }, doc: 'what the creator calls itself; a suggestion only' },
    addresses: { type: { list: ADDRESS, max: 16 }, doc: 'in the order in which to try them' },
  },
} as const satisfies Struct;

export const LAN_HELLO = {
  name: 'LanHello',
  doc: 'What a box of a LAN hello says; padded with zeros to the length of a box.',
  fields: {
    timestampMs: { type: 'u64', doc: 'clock, milliseconds since the epoch: an old hello is a replay' },
    udpPort: { type: 'u16', doc: 'where the sender takes datagrams, at the address this came from; 0: it does not' },
    tcpPort: { type: 'u16', doc: 'where it takes connections; 0: it does not' },
  },
} as const satisfies Struct;

export type HandshakeRequest = ValuesOf<typeof HANDSHAKE_REQUEST.fields>;
export type HandshakeAnswer = ValuesOf<typeof HANDSHAKE_ANSWER.fields>;
export type NetAddress = ValuesOf<typeof ADDRESS.fields>;
export type Invitation = ValuesOf<typeof INVITATION.fields>;
