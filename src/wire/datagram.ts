/**
 * What a sealed datagram of a session carries: one type byte and a body. Integers are little-endian. A packet of an
 * unknown type, or one too short for its type, is dropped. Behind the bodies of ping, pong, challenge, response, close and
 * mtuAnswer come 0 to 63 bytes that mean nothing, so that their lengths tell nothing.
 */
export const DATAGRAM_TYPES = {
  /**
   * Whole KCP segments, one behind the other. Conversation 1 is lane 0 (calls and replies), 2 is lane 1 (file
   * contents). Each conversation is a stream of frames, each after its length (u32).
   */
  kcp: 1,
  /** Token u32. Answered by a pong. */
  ping: 2,
  /** The ping's token u32. */
  pong: 3,
  /** Token of 8 bytes, sent to an address from which the peer was heard for the first time. */
  challenge: 4,
  /** The challenge's token, sent back from that address: the path moves there. */
  response: 5,
  /** No body. The sender has closed the path. */
  close: 6,
  /** A message of a new handshake, for new session keys. */
  rekey: 7,
  /** Padding. Answered by mtuAnswer if it arrives. */
  mtuProbe: 8,
  /** Length u16 of the plain probe packet that arrived, type byte included. */
  mtuAnswer: 9,
  /**
   * Part of a packet that became too long for the path: id u16, index u8 (from 0), count u8 (2 to 4), bytes. All
   * parts joined are the packet with its type byte, which must be kcp or rekey.
   */
  fragment: 10,
} as const;

export const FRAGMENT_HEADER_BYTES = 5;
export const MAX_DATAGRAM_FRAGMENTS = 4;
