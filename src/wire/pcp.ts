/**
 * The messages with which a router is asked to open a port: MAP and ANNOUNCE of the Port Control Protocol (RFC 6887),
 * and all of NAT-PMP (RFC 6886), which PCP grew out of and shares its port with. Owns the bytes; who asks what and when
 * is src/net/pcp.ts. Numbers are big-endian.
 */

/** Specification. */
export const PCP_PORT = 5351;
export const PCP_NONCE_BYTES = 12;
/** RFC 6887 section 7: no message is longer. */
const MAX_BYTES = 1100;
const PCP_VERSION = 2;
const NAT_PMP_VERSION = 0;
const PCP_HEADER_BYTES = 24;
const PCP_MAP_BYTES = 36;
const OPCODE_ANNOUNCE = 0;
const OPCODE_MAP = 1;
const RESPONSE_BIT = 0x80;
const NAT_PMP_OPCODE = { address: 0, udp: 1, tcp: 2 } as const;
/** IANA's protocol numbers. */
const PROTOCOL_NUMBER = { udp: 17, tcp: 6 } as const;

/** RFC 6887 section 7.4: those that are told apart here. */
export const PCP_RESULT = {
  success: 0,
  unsupportedVersion: 1,
  notAuthorized: 2,
  unsupportedOpcode: 4,
  networkFailure: 7,
  noResources: 8,
  unsupportedProtocol: 9,
  quotaExceeded: 10,
  cannotProvideExternal: 11,
  addressMismatch: 12,
} as const;

/** RFC 6886 section 3.5. */
export const NAT_PMP_RESULT = {
  success: 0,
  unsupportedVersion: 1,
  notAuthorized: 2,
  networkFailure: 3,
  noResources: 4,
  unsupportedOpcode: 5,
} as const;

export type MappedProtocol = 'udp' | 'tcp';

export interface PcpMapRequest {
  readonly protocol: MappedProtocol;
  /** PCP_NONCE_BYTES that only the owner of the mapping knows. */
  readonly nonce: Uint8Array;
  /** IPv4 address of the sender. */
  readonly client: string;
  readonly internalPort: number;
  /** 0: none in particular. */
  readonly suggestedPort: number;
  /** 0 deletes. */
  readonly lifetimeSeconds: number;
}

export interface NatPmpMapRequest {
  readonly protocol: MappedProtocol;
  readonly internalPort: number;
  readonly suggestedPort: number;
  /** 0 deletes. */
  readonly lifetimeSeconds: number;
}

interface MapAnswer {
  readonly result: number;
  /** Seconds since the router forgot all mappings. */
  readonly epoch: number;
  readonly protocol: MappedProtocol | undefined;
  readonly internalPort: number;
  readonly externalPort: number;
  /** At a failure of PCP: how long it is likely to last. */
  readonly lifetimeSeconds: number;
}

export type RouterResponse =
  | (MapAnswer & { readonly kind: 'pcp-map'; readonly nonce: Uint8Array; readonly externalHost: string })
  /** To ANNOUNCE; and what tells a failure without repeating the request. */
  | { readonly kind: 'pcp-other'; readonly opcode: number; readonly result: number; readonly epoch: number }
  | (MapAnswer & { readonly kind: 'nat-pmp-map' })
  | { readonly kind: 'nat-pmp-address'; readonly result: number; readonly epoch: number; readonly host: string }
  /** As a NAT-PMP router answers a version that it does not know. */
  | { readonly kind: 'nat-pmp-other'; readonly result: number; readonly epoch: number };

/** RFC 4291 section 2.5.5.2: IPv4 in the form of IPv6. */
function writeMapped(bytes: Buffer, at: number, host: string): void {
  bytes.fill(0, at, at + 10);
  bytes.writeUInt16BE(0xffff, at + 10);
  bytes.set(host.split('.', 4).map(Number), at + 12);
}

/** IPv4 where it is IPv4 in the form of IPv6. */
function readHost(bytes: Buffer, at: number): string {
  const isIPv4 = bytes.readUInt16BE(at + 10) === 0xffff && bytes.subarray(at, at + 10).every((byte) => byte === 0);
  if (isIPv4) return bytes.subarray(at + 12, at + 16).join('.');
  const groups = Array.from({ length: 8 }, (_, group) => bytes.readUInt16BE(at + 2 * group).toString(16));
  return groups.join(':');
}

function pcpRequest(opcode: number, lifetimeSeconds: number, client: string, payloadBytes: number): Buffer {
  const bytes = Buffer.alloc(PCP_HEADER_BYTES + payloadBytes);
  bytes.writeUInt8(PCP_VERSION, 0);
  bytes.writeUInt8(opcode, 1);
  bytes.writeUInt32BE(lifetimeSeconds, 4);
  writeMapped(bytes, 8, client);
  return bytes;
}

/** RFC 6887 section 11.1. The suggested external address is always "any IPv4". */
export function encodePcpMap(request: PcpMapRequest): Buffer {
  const bytes = pcpRequest(OPCODE_MAP, request.lifetimeSeconds, request.client, PCP_MAP_BYTES);
  bytes.set(request.nonce.subarray(0, PCP_NONCE_BYTES), PCP_HEADER_BYTES);
  bytes.writeUInt8(PROTOCOL_NUMBER[request.protocol], PCP_HEADER_BYTES + 12);
  bytes.writeUInt16BE(request.internalPort, PCP_HEADER_BYTES + 16);
  bytes.writeUInt16BE(request.suggestedPort, PCP_HEADER_BYTES + 18);
  writeMapped(bytes, PCP_HEADER_BYTES + 20, '0.0.0.0');
  return bytes;
}

/** RFC 6887 section 14.1: asks nothing but for an answer, in which the epoch stands. */
export function encodePcpAnnounce(client: string): Buffer {
  return pcpRequest(OPCODE_ANNOUNCE, 0, client, 0);
}

/** RFC 6886 section 3.3. */
export function encodeNatPmpMap({ protocol, internalPort, suggestedPort, lifetimeSeconds }: NatPmpMapRequest): Buffer {
  const bytes = Buffer.alloc(12);
  bytes.writeUInt8(NAT_PMP_OPCODE[protocol], 1);
  bytes.writeUInt16BE(internalPort, 4);
  bytes.writeUInt16BE(suggestedPort, 6);
  bytes.writeUInt32BE(lifetimeSeconds, 8);
  return bytes;
}

/** RFC 6886 section 3.2. */
export function encodeNatPmpAddress(): Buffer {
  return Buffer.alloc(2);
}

/** @returns undefined for what is no response of either protocol. Byte fields are copies. */
export function decodeRouterResponse(datagram: Uint8Array): RouterResponse | undefined {
  const bytes = Buffer.from(datagram.buffer, datagram.byteOffset, datagram.byteLength);
  if (bytes.length < 8 || bytes.length > MAX_BYTES || (bytes.readUInt8(1) & RESPONSE_BIT) === 0) return undefined;
  const version = bytes.readUInt8(0);
  if (version === NAT_PMP_VERSION) return decodeNatPmp(bytes);
  // A router that knows another version than ours says so under its own number.
  return version === PCP_VERSION ? decodePcp(bytes) : undefined;
}

function decodePcp(bytes: Buffer): RouterResponse | undefined {
  if (bytes.length < PCP_HEADER_BYTES || bytes.length % 4 !== 0) return undefined;
  const opcode = bytes.readUInt8(1) & ~RESPONSE_BIT;
  const result = bytes.readUInt8(3);
  const lifetimeSeconds = bytes.readUInt32BE(4);
  const epoch = bytes.readUInt32BE(8);
  if (opcode !== OPCODE_MAP || bytes.length < PCP_HEADER_BYTES + PCP_MAP_BYTES) {
    return opcode === OPCODE_MAP && result === PCP_RESULT.success
      ? undefined
      : { kind: 'pcp-other', opcode, result, epoch };
  }
  const at = PCP_HEADER_BYTES;
  const number = bytes.readUInt8(at + 12);
  return {
    kind: 'pcp-map',
    result,
    epoch,
    lifetimeSeconds,
    nonce: Uint8Array.from(bytes.subarray(at, at + PCP_NONCE_BYTES)),
    protocol: number === PROTOCOL_NUMBER.udp ? 'udp' : number === PROTOCOL_NUMBER.tcp ? 'tcp' : undefined,
    internalPort: bytes.readUInt16BE(at + 16),
    externalPort: bytes.readUInt16BE(at + 18),
    externalHost: readHost(bytes, at + 20),
  };
}

function decodeNatPmp(bytes: Buffer): RouterResponse | undefined {
  const opcode = bytes.readUInt8(1) & ~RESPONSE_BIT;
  const result = bytes.readUInt16BE(2);
  const epoch = bytes.readUInt32BE(4);
  if (opcode === NAT_PMP_OPCODE.address && bytes.length >= 12) {
    return { kind: 'nat-pmp-address', result, epoch, host: bytes.subarray(8, 12).join('.') };
  }
  if ((opcode === NAT_PMP_OPCODE.udp || opcode === NAT_PMP_OPCODE.tcp) && bytes.length >= 16) {
    return {
      kind: 'nat-pmp-map',
      result,
      epoch,
      protocol: opcode === NAT_PMP_OPCODE.udp ? 'udp' : 'tcp',
      internalPort: bytes.readUInt16BE(8),
      externalPort: bytes.readUInt16BE(10),
      lifetimeSeconds: bytes.readUInt32BE(12),
    };
  }
  return result === NAT_PMP_RESULT.success ? undefined : { kind: 'nat-pmp-other', result, epoch };
}
