/**
 * An allocation at a TURN server (RFC 8656): getting it, keeping it, who may send to it, and what passes by it. Pure:
 * bytes from the server and the time go in, bytes for the server and datagrams come out. The connection to the server
 * is turn.ts's affair.
 *
 *     idle --start--> challenged --401--> allocating --success--> allocated --refused, no answer--> failed
 *                        any other refusal, no answer ------------------------------------------------^
 */
import { turnIntegrity, turnKey } from '../crypto/turn-credentials.ts';
import {
  decodeStun,
  encodeStun,
  STUN_TRANSACTION_BYTES,
  type StunAddress,
  type StunIntegrity,
  type StunMessage,
} from '../wire/stun.ts';
import type { UdpAddress } from './udp-port.ts';

/** Specification: RFC 8656 sections 12 and 9. */
const CHANNEL_FIRST = 0x4000;
const CHANNEL_LAST = 0x4fff;
const CHANNEL_HEADER_BYTES = 4;
/** Of a permission 5 minutes, of a channel 10: both are renewed with time to spare. Milliseconds. */
const RENEW_PERMISSION_MS = 240_000;
const RENEW_CHANNEL_MS = 240_000;
/** Errors that mean: once more, with what the server said. */
const UNAUTHORIZED = 401;
const STALE_NONCE = 438;

/** Tuning. */
/** Pauses between sending a request and sending it again; the last is how long to wait in vain. Milliseconds. */
const RETRY_MS = [250, 500, 1000, 2000, 2000] as const;
/** Over a connection a request is sent once. Milliseconds. */
const PATIENCE_MS = 8_000;
const MAX_PERMISSIONS = 64;
const MAX_CHANNELS = 64;
/** A peer that gets so many datagrams gets a channel. */
const CHANNEL_AFTER = 3;
/** The longest lifetime that is believed, seconds. */
const MAX_LIFETIME = 3600;
/** A request is answered with a new nonce, and so on: at most so often. */
const MAX_CHALLENGES = 3;

export interface TurnAllocationOptions {
  readonly username: string;
  readonly password: string;
  /** Whether the server is reached by datagrams, which get lost. */
  readonly isLossy: boolean;
  readonly randomBytes: (length: number) => Uint8Array;
  /** For the server. The bytes are the receiver's. */
  readonly send: (bytes: Uint8Array) => void;
  /** A datagram came from `from`; valid only during the call. */
  readonly onData: (datagram: Uint8Array, from: UdpAddress) => void;
  /** The relayed address is there. */
  readonly onAllocated: (relayed: UdpAddress) => void;
  /** It will not be, or is no longer. Once; nothing more is sent. */
  readonly onFailed: (reason: string) => void;
}

interface Transaction {
  readonly request: Omit<StunMessage, 'class' | 'transaction'>;
  readonly bytes: Uint8Array;
  tries: number;
  dueAt: number;
  challenges: number;
  readonly onSuccess: (message: StunMessage, now: number) => void;
  readonly onError: (code: number, reason: string, now: number) => void;
}

interface Channel {
  readonly number: number;
  readonly peer: UdpAddress;
  isBound: boolean;
  renewAt: number;
}

export class TurnAllocation {
  readonly #options: TurnAllocationOptions;
  readonly #transactions = new Map<string, Transaction>();
  /** Host -> when to renew. */
  readonly #permissions = new Map<string, number>();
  readonly #channels = new Map<string, Channel>();
  readonly #byNumber = new Map<number, Channel>();
  readonly #sent = new Map<string, number>();
  #realm: string | undefined;
  #nonce: string | undefined;
  #integrity: StunIntegrity | undefined;
  #relayed: UdpAddress | undefined;
  #refreshAt = Infinity;
  #ended = false;

  constructor(options: TurnAllocationOptions) {
    this.#options = options;
  }

  get relayed(): UdpAddress | undefined {
    return this.#relayed;
  }

  /** When tick() is due; Infinity: not before something comes. */
  get dueAt(): number {
    if (this.#ended) return Infinity;
    let due = this.#refreshAt;
    for (const transaction of this.#transactions.values()) due = Math.min(due, transaction.dueAt);
    if (this.#relayed === undefined) return due;
    for (const renewAt of this.#permissions.values()) due = Math.min(due, renewAt);
    for (const { renewAt } of this.#channels.values()) due = Math.min(due, renewAt);
    return due;
  }

  start(now: number): void {
    this.#request({ method: 'allocate', requestsUdp: true }, now, {
      onSuccess: (message, at) => this.#allocated(message, at),
      onError: (code, reason) => this.#fail(inWords(code, reason)),
    });
  }

  /** Lets datagrams of this host through from now on. */
  permit(host: string, now: number): void {
    if (this.#ended || this.#permissions.has(host) || this.#permissions.size >= MAX_PERMISSIONS) return;
    this.#permissions.set(host, now);
    if (this.#relayed !== undefined) this.#renewPermission(host, now);
  }

  /** Hands a datagram to the server for a peer, if there is an allocation. */
  sendTo(datagram: Uint8Array, to: UdpAddress, now: number): void {
    if (this.#relayed === undefined) return;
    const key = keyOf(to);
    const channel = this.#channels.get(key);
    if (channel?.isBound === true) return this.#options.send(channelData(channel.number, datagram));
    this.permit(to.host, now);
    const transaction = this.#options.randomBytes(STUN_TRANSACTION_BYTES);
    this.#options.send(
      encodeStun({ method: 'send', class: 'indication', transaction, xorPeerAddresses: [to], data: datagram }),
    );
    if (channel !== undefined || this.#channels.size >= MAX_CHANNELS) return;
    const sent = (this.#sent.get(key) ?? 0) + 1;
    if (this.#sent.size > MAX_CHANNELS * 4) this.#sent.clear();
    this.#sent.set(key, sent);
    if (sent >= CHANNEL_AFTER) this.#bind({ ...to }, now);
  }

  /** One whole message or ChannelData of the server. @returns whether it made sense. */
  input(bytes: Uint8Array, now: number): boolean {
    if (this.#ended) return false;
    const first = bytes[0] ?? 0xff;
    if (first >= 0x40 && first < 0x50) return this.#inputChannel(bytes);
    const decoded = decodeStun(bytes);
    if (decoded === undefined) return false;
    const { message } = decoded;
    if (message.method === 'data' && message.class === 'indication') {
      const from = message.xorPeerAddresses?.[0];
      if (from === undefined || message.data === undefined) return false;
      this.#options.onData(message.data, from);
      return true;
    }
    const id = idOf(message.transaction);
    const transaction = this.#transactions.get(id);
    if (transaction === undefined || message.method !== transaction.request.method) return false;
    if (message.class === 'success') {
      if (this.#integrity !== undefined && !decoded.checkIntegrity(this.#integrity)) return false;
      this.#transactions.delete(id);
      transaction.onSuccess(message, now);
      return true;
    }
    if (message.class !== 'error' || message.errorCode === undefined) return false;
    this.#transactions.delete(id);
    const { code, reason } = message.errorCode;
    if (!this.#challenged(transaction, message, code, now)) transaction.onError(code, reason, now);
    return true;
  }

  tick(now: number): void {
    for (const [id, transaction] of this.#transactions) {
      if (this.#ended || transaction.dueAt > now) continue;
      const pauseMs = this.#options.isLossy ? RETRY_MS[transaction.tries] : undefined;
      transaction.tries += 1;
      if (pauseMs === undefined) {
        this.#transactions.delete(id);
        transaction.onError(0, 'no answer', now);
      } else {
        transaction.dueAt = now + pauseMs;
        this.#options.send(transaction.bytes);
      }
    }
    if (this.#ended || this.#relayed === undefined) return;
    if (this.#refreshAt <= now) this.#refresh(now);
    for (const [host, renewAt] of this.#permissions) if (renewAt <= now) this.#renewPermission(host, now);
    for (const channel of this.#channels.values()) if (channel.renewAt <= now) this.#renewChannel(channel, now);
  }

  /** Gives the allocation back; nothing is sent or taken afterwards. Idempotent. */
  close(now: number): void {
    if (this.#ended) return;
    if (this.#relayed !== undefined) {
      this.#request({ method: 'refresh', lifetime: 0 }, now, { onSuccess: ignore, onError: ignore });
    }
    this.#ended = true;
    this.#transactions.clear();
  }

  #inputChannel(bytes: Uint8Array): boolean {
    const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    if (view.length < CHANNEL_HEADER_BYTES) return false;
    const channel = this.#byNumber.get(view.readUInt16BE(0));
    const length = view.readUInt16BE(2);
    const data = view.subarray(CHANNEL_HEADER_BYTES, CHANNEL_HEADER_BYTES + length);
    if (channel === undefined || data.length !== length) return false;
    this.#options.onData(data, channel.peer);
    return true;
  }

  /** The server wants proof, or a newer nonce. @returns whether the request was sent anew. */
  #challenged(transaction: Transaction, message: StunMessage, code: number, now: number): boolean {
    const wantsProof = code === UNAUTHORIZED && this.#integrity === undefined;
    if (!wantsProof && code !== STALE_NONCE) return false;
    if (message.nonce === undefined || transaction.challenges >= MAX_CHALLENGES) return false;
    this.#nonce = message.nonce;
    if (message.realm !== undefined && message.realm !== this.#realm) {
      this.#realm = message.realm;
      this.#integrity = turnIntegrity(turnKey(this.#options.username, message.realm, this.#options.password));
    }
    if (this.#integrity === undefined) return false;
    this.#request(transaction.request, now, transaction, transaction.challenges + 1);
    return true;
  }

  #allocated(message: StunMessage, now: number): void {
    const { xorRelayedAddress: relayed } = message;
    if (relayed === undefined) return this.#fail('it gives no address');
    this.#relayed = { ...relayed };
    this.#keepUntil(message, now);
    for (const host of this.#permissions.keys()) this.#renewPermission(host, now);
    this.#options.onAllocated(this.#relayed);
  }

  #keepUntil({ lifetime = 600 }: StunMessage, now: number): void {
    const ms = Math.min(lifetime, MAX_LIFETIME) * 1000;
    this.#refreshAt = now + Math.max(ms / 2, ms - 60_000);
  }

  #refresh(now: number): void {
    this.#refreshAt = Infinity;
    this.#request({ method: 'refresh' }, now, {
      onSuccess: (message, at) => this.#keepUntil(message, at),
      onError: (code, reason) => this.#fail(inWords(code, reason)),
    });
  }

  #renewPermission(host: string, now: number): void {
    this.#permissions.set(host, now + RENEW_PERMISSION_MS);
    this.#request({ method: 'createPermission', xorPeerAddresses: [{ host, port: 0 }] }, now, {
      onSuccess: ignore,
      // The server does not relay to there, and would not if it were asked for each datagram.
      onError: ignore,
    });
  }

  #bind(peer: UdpAddress, now: number): void {
    const number = this.#freeNumber();
    if (number === undefined) return;
    const channel: Channel = { number, peer, isBound: false, renewAt: Infinity };
    this.#channels.set(keyOf(peer), channel);
    this.#byNumber.set(number, channel);
    this.#renewChannel(channel, now);
  }

  #freeNumber(): number | undefined {
    for (let number = CHANNEL_FIRST; number <= CHANNEL_LAST; number++) if (!this.#byNumber.has(number)) return number;
    return undefined;
  }

  #renewChannel(channel: Channel, now: number): void {
    channel.renewAt = now + RENEW_CHANNEL_MS;
    const { number, peer } = channel;
    this.#request({ method: 'channelBind', channelNumber: number, xorPeerAddresses: [peer] }, now, {
      onSuccess: () => (channel.isBound = true),
      onError: (code) => {
        if (code === 0) return;
        this.#channels.delete(keyOf(peer));
        this.#byNumber.delete(number);
      },
    });
  }

  #request(
    request: Transaction['request'],
    now: number,
    { onSuccess, onError }: Pick<Transaction, 'onSuccess' | 'onError'>,
    challenges = 0,
  ): void {
    const id = Uint8Array.from(this.#options.randomBytes(STUN_TRANSACTION_BYTES));
    const integrity = this.#integrity;
    const { username } = this.#options;
    const proof =
      integrity === undefined || this.#realm === undefined || this.#nonce === undefined
        ? {}
        : { username, realm: this.#realm, nonce: this.#nonce };
    const bytes = encodeStun({ ...request, ...proof, class: 'request', transaction: id }, integrity);
    const dueAt = now + (this.#options.isLossy ? RETRY_MS[0] : PATIENCE_MS);
    this.#transactions.set(idOf(id), { request, bytes, tries: 1, dueAt, challenges, onSuccess, onError });
    this.#options.send(bytes);
  }

  #fail(reason: string): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#transactions.clear();
    this.#relayed = undefined;
    this.#options.onFailed(reason);
  }
}

const ignore = (): void => undefined;

/** [number u16][length u16][data, over connections padded to a multiple of 4, which datagrams bear too]: section 12.4. */
function channelData(number: number, data: Uint8Array): Uint8Array {
  const bytes = Buffer.allocUnsafe(CHANNEL_HEADER_BYTES + data.length);
  bytes.writeUInt16BE(number, 0);
  bytes.writeUInt16BE(data.length, 2);
  bytes.set(data, CHANNEL_HEADER_BYTES);
  return bytes;
}

function keyOf({ host, port }: StunAddress): string {
  return `${host} ${port}`;
}

function idOf(transaction: Uint8Array): string {
  return Buffer.from(transaction.buffer, transaction.byteOffset, transaction.length).toString('latin1');
}

function inWords(code: number, reason: string): string {
  switch (code) {
    case 0:
      return 'it does not answer';
    case UNAUTHORIZED:
      return 'it refuses the user name or the password';
    case 437:
      return 'it has lost the allocation';
    case 486:
      return 'it allows this user no more allocations';
    case 508:
      return 'it has no address free';
    default:
      return `it refuses (${code} ${reason.replace(/[^\x20-\x7e]/g, '').slice(0, 60)})`;
  }
}
