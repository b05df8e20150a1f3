/**
 * Candidates: where a node may be reached, as two nodes tell each other, sealed, before they are connected (rendezvous)
 * and while they are (the push `signal`). ICE's words (RFC 8445 section 5.1.1), our encoding.
 */
import type { Struct, ValuesOf } from './types.ts';

/** Specification of version 1. */
export const CANDIDATE_TYPE = {
  /** An address of an interface. */
  host: 0,
  /** As servers and peers outside see the node's port. */
  reflexive: 1,
  /** A port that the router was asked to open. */
  mapped: 2,
  /** At a TURN server: datagrams only. */
  relayed: 3,
  /** An onion service: a stream through Tor only. */
  onion: 4,
} as const;

/** Which transports lead to a candidate. */
export const CANDIDATE_TRANSPORT = { udp: 1, tcp: 2 } as const;

export const MAX_CANDIDATES = 16;

export const CANDIDATE = {
  name: 'Candidate',
  doc: 'One place at which a node may be reached.',
  fields: {
    type: { type: 'u8', doc: '0 host; 1 reflexive; 2 mapped; 3 relayed; 4 onion. Others are ignored' },
    transports: { type: 'u8', doc: 'bit 0: datagrams; bit 1: connections (at onion: through Tor)' },
    host: { type: { text: 64 }, doc: 'numeric address, or 56 characters and `.onion`' },
    port: { type: 'u16', doc: 'port' },
  },
} as const satisfies Struct;

const candidates = {
  type: { list: CANDIDATE, max: MAX_CANDIDATES },
  doc: 'where the sender can be reached, the best first; all there are: those of before no longer count',
} as const;

export const SIGNAL = {
  name: 'Signal',
  doc: 'What a node tells another at a rendezvous. At most 900 bytes: the sender leaves out its last candidates to get there.',
  fields: {
    timestampMs: {
      type: 'u64',
      doc: "the sender's clock, milliseconds since the epoch: one not above the last from there is old",
    },
    wanted: { type: 'bool', doc: 'the sender has no path to the receiver and is trying now: try at the same time' },
    candidates,
  },
} as const satisfies Struct;

/** Specification: an encoded Signal, bytes. */
export const SIGNAL_BYTES = 900;

export const SIGNAL_PUSH = {
  candidates,
  observedHost: {
    type: { text: 64 },
    doc: 'where the sender sees the receiver on the path that this comes on, numeric; empty where that says nothing',
  },
  observedPort: { type: 'u16', doc: 'and its port' },
} as const;

export type WireCandidate = ValuesOf<typeof CANDIDATE.fields>;
export type Signal = ValuesOf<typeof SIGNAL.fields>;
