/**
 * An allocation at a TURN server (RFC 8656): getting it, keeping it, who may send to it, and what passes by it. Pure:
 * bytes from the server and the time go in, bytes for the server and datagrams come out. The connection to the server
 * is turn.ts's affair, asking until there is an answer turn-requests.ts's.
 */
import { decodeStun, encodeStun, STUN_TRANSACTION_BYTES, type StunAddress, type StunMessage } from '../wire/stun.ts';
import { NO_ANSWER, TurnRequests, UNAUTHORIZED, type TurnReplies } from './turn-requests.ts';
import type { UdpAddress } from './udp-port.ts';

/** Specification: RFC 8656 section 12. */
const CHANNEL_FIRST = 0x4000;
const CHANNEL_LAST = 0x4fff;
const CHANNEL_HEADER_BYTES = 4;
/** How long a channel lives without renewal, and after that must not be another peer's. Milliseconds. */
const CHANNEL_MS = 600_000;
const CHANNEL_REST_MS = 300_000;
/** Seconds an allocation lives if the server does not say (section 7.2). */
const LIFETIME = 600;
/** Errors: section 18. */
const ALLOCATION_MISMATCH = 437;
const FAMILY_UNSUPPORTED = 440;
const QUOTA_REACHED = 486;
const NO_CAPACITY = 508;

/** Tuning. */
/** Permissions live 5 minutes, channels 10: what is in use is renewed together, with time to spare. Milliseconds. */
const RENEW_MS = 240_000;
/**
 * The allocation is refreshed far more often than it must be: it keeps the router's mapping to the server open, and tells
 * soon that the server has forgotten us. Milliseconds.
 */
const REFRESH_MS = 25_000;
/** The server is asked at once when it was sent data for so long and said nothing. Milliseconds. */
const SILENCE_MS = 2_000;
const MAX_PERMISSIONS = 64;
const MAX_CHANNELS = 64;
/** A peer that gets so many datagrams gets a channel. */
const CHANNEL_AFTER = 3;
/** Peers without a channel whose datagrams are counted. */
const MAX_COUNTED = 256;
/** A channel that the server refused is asked for again after this. Milliseconds. */
const REFUSED_MS = 60_000;

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

interface Permission {
  usedAt: number;
}

interface Channel {
  readonly number: number;
  readonly peer: UdpAddress;
  readonly permission: Permission;
  /** Data goes by it until then. */
  boundUntil: number;
  /** The server is not asked for it before that. */
  askAt: number;
  usedAt: number;
}

export class TurnAllocation {
  readonly #options: TurnAllocationOptions;
  readonly #requests: TurnRequests;
  readonly #permissions = new Map<string, Permission>();
  readonly #channels = new Map<string, Channel>();
  readonly #byNumber = new Map<number, Channel>();
  readonly #counts = new Map<string, number>();
  #nextNumber = CHANNEL_FIRST;
  #relayed: UdpAddress | undefined;
  #refreshAt = Infinity;
  #renewAt = Infinity;
  #heardAt = -Infinity;
  /** Since when data is sent and nothing comes. */
  #silentSince: number | undefined;
  #ended = false;

  constructor(options: TurnAllocationOptions) {
    this.#options = options;
    this.#requests = new TurnRequests(options);
  }

  get relayed(): UdpAddress | undefined {
    return this.#relayed;
  }

  /** When tick() is due; Infinity: not before something comes. */
  get dueAt(): number {
    return this.#ended ? Infinity : Math.min(this.#refreshAt, this.#renewAt, this.#requests.dueAt);
  }

  start(now: number): void {
    this.#allocate(now, {});
  }

  /** Lets datagrams of this host through from now on. Over the bound, whoever was not heard of for longest is forgotten. */
  permit(host: string, now: number): void {
    if (!this.#ended) this.#permit(host, now);
  }

  /** Hands a datagram to the server for a peer, if there is an allocation. */
  sendTo(datagram: Uint8Array, to: UdpAddress, now: number): void {
    if (this.#relayed === undefined) return;
    this.#silentSince ??= now;
    if (now - this.#silentSince > SILENCE_MS) this.check(now);
    const key = keyOf(to);
    const channel = this.#channels.get(key);
    if (channel !== undefined) {
      channel.usedAt = now;
      channel.permission.usedAt = now;
      if (channel.boundUntil > now) return this.#options.send(channelData(channel.number, datagram));
    }
    this.#permit(to.host, now);
    const transaction = this.#options.randomBytes(STUN_TRANSACTION_BYTES);
    this.#options.send(
      encodeStun({ method: 'send', class: 'indication', transaction, xorPeerAddresses: [to], data: datagram }),
    );
    if (channel !== undefined) {
      if (channel.askAt <= now) this.#bind(channel, now);
    } else if (this.#countedEnough(key)) this.#open({ ...to }, now);
  }

  /** Asks the server whether the allocation still is, unless it is being asked. */
  check(now: number): void {
    if (this.#ended || this.#relayed === undefined || this.#refreshAt === Infinity) return;
    this.#refreshAt = Infinity;
    this.#requests.ask({ method: 'refresh' }, now, {
      success: (message, at) => this.#keepUntil(message, at),
      error: (code, reason) => this.#fail(inWords(code, reason)),
    });
  }

  /** One whole message or ChannelData of the server. @returns whether it made sense. */
  input(bytes: Uint8Array, now: number): boolean {
    if (this.#ended) return false;
    const first = bytes[0] ?? 0xff;
    if (first >= 0x40 && first < 0x50) return this.#inputChannel(bytes, now);
    const decoded = decodeStun(bytes);
    if (decoded === undefined) return false;
    const { message } = decoded;
    if (message.method !== 'data' || message.class !== 'indication') {
      const isAnswer = this.#requests.input(decoded, now);
      if (isAnswer) this.#heard(now);
      return isAnswer;
    }
    const from = message.xorPeerAddresses?.[0];
    if (from === undefined || message.data === undefined) return false;
    this.#heard(now);
    this.#options.onData(message.data, from);
    return true;
  }

  tick(now: number): void {
    if (this.#ended) return;
    this.#requests.tick(now, this.#heardAt);
    if (this.#refreshAt <= now) this.check(now);
    if (this.#renewAt <= now) this.#renew(now);
  }

  /** Gives the allocation back; nothing is sent or taken afterwards. Idempotent. */
  close(now: number): void {
    if (this.#ended) return;
    if (this.#relayed !== undefined) this.#requests.ask({ method: 'refresh', lifetime: 0 }, now, IGNORED);
    this.#end();
  }

  // ---- the allocation -------------------------------------------------------------------------------------------

  /** @param tried what was done about refusals of before. */
  #allocate(now: number, tried: { readonly released?: boolean; readonly ipv6?: boolean }): void {
    const family = tried.ipv6 === true ? { addressFamily: 6 as const } : {};
    this.#requests.ask({ method: 'allocate', requestsUdp: true, ...family }, now, {
      success: (message, at) => this.#allocated(message, at),
      error: (code, reason, at) => {
        if (code === ALLOCATION_MISMATCH && tried.released !== true) {
          // Of this very port the server has one of before, whose end it was not told, or did not hear.
          const again = () => this.#allocate(at, { ...tried, released: true });
          this.#requests.ask({ method: 'refresh', lifetime: 0 }, at, { success: again, error: again });
        } else if (code === FAMILY_UNSUPPORTED && tried.ipv6 !== true) this.#allocate(at, { ...tried, ipv6: true });
        else if (code === ALLOCATION_MISMATCH) this.#fail('it still holds an allocation of before');
        else this.#fail(inWords(code, reason));
      },
    });
  }

  #allocated(message: StunMessage, now: number): void {
    const { xorRelayedAddress: relayed } = message;
    if (relayed === undefined) return this.#fail('it gives no address');
    this.#relayed = { ...relayed };
    this.#keepUntil(message, now);
    this.#renewAt = now + RENEW_MS;
    for (const host of this.#permissions.keys()) this.#askPermission(host, now);
    this.#options.onAllocated(this.#relayed);
  }

  #keepUntil({ lifetime = LIFETIME }: StunMessage, now: number): void {
    if (lifetime === 0) return this.#fail(inWords(ALLOCATION_MISMATCH, ''));
    this.#refreshAt = now + Math.min(REFRESH_MS, lifetime * 500);
  }

  #heard(now: number): void {
    this.#heardAt = now;
    this.#silentSince = undefined;
  }

  /** What every request but the first may learn. @returns whether all is over. */
  #isLost(code: number, now: number): boolean {
    if (code === ALLOCATION_MISMATCH) this.#fail(inWords(code, ''));
    else if (code === NO_ANSWER) this.check(now);
    return this.#ended;
  }

  #fail(reason: string): void {
    if (this.#ended) return;
    this.#end();
    this.#options.onFailed(reason);
  }

  #end(): void {
    this.#ended = true;
    this.#requests.clear();
    this.#relayed = undefined;
  }

  // ---- permissions ----------------------------------------------------------------------------------------------

  #permit(host: string, now: number): Permission {
    const known = this.#permissions.get(host);
    if (known !== undefined) {
      known.usedAt = now;
      return known;
    }
    if (this.#permissions.size >= MAX_PERMISSIONS) this.#permissions.delete(oldestOf(this.#permissions));
    const permission: Permission = { usedAt: now };
    this.#permissions.set(host, permission);
    if (this.#relayed !== undefined) this.#askPermission(host, now);
    return permission;
  }

  #askPermission(host: string, now: number): void {
    this.#requests.ask({ method: 'createPermission', xorPeerAddresses: [{ host, port: 0 }] }, now, {
      success: IGNORED.success,
      // Else the server does not relay to there, and would not if it were asked for each datagram.
      error: (code, _reason, at) => void this.#isLost(code, at),
    });
  }

  #renew(now: number): void {
    this.#renewAt = now + RENEW_MS;
    for (const host of this.#permissions.keys()) this.#askPermission(host, now);
    for (const channel of this.#channels.values()) {
      if (now - channel.usedAt <= RENEW_MS) {
        if (channel.boundUntil > now) this.#bind(channel, now);
      } else if (now - channel.usedAt > CHANNEL_MS + CHANNEL_REST_MS + RENEW_MS) {
        this.#channels.delete(keyOf(channel.peer));
        this.#byNumber.delete(channel.number);
      }
    }
  }

  // ---- channels -------------------------------------------------------------------------------------------------

  /** Counts a datagram to a peer without a channel. @returns whether it shall have one. */
  #countedEnough(key: string): boolean {
    if (this.#channels.size >= MAX_CHANNELS) return false;
    const count = (this.#counts.get(key) ?? 0) + 1;
    if (count >= CHANNEL_AFTER) return true;
    if (this.#counts.size >= MAX_COUNTED) this.#counts.clear();
    this.#counts.set(key, count);
    return false;
  }

  #open(peer: UdpAddress, now: number): void {
    this.#counts.delete(keyOf(peer));
    while (this.#byNumber.has(this.#nextNumber)) this.#nextNumber = numberAfter(this.#nextNumber);
    const number = this.#nextNumber;
    this.#nextNumber = numberAfter(number);
    const permission = this.#permit(peer.host, now);
    const channel: Channel = { number, peer, permission, boundUntil: -Infinity, askAt: now, usedAt: now };
    this.#channels.set(keyOf(peer), channel);
    this.#byNumber.set(number, channel);
    this.#bind(channel, now);
  }

  #bind(channel: Channel, now: number): void {
    channel.askAt = now + REFUSED_MS;
    const { number, peer } = channel;
    this.#requests.ask({ method: 'channelBind', channelNumber: number, xorPeerAddresses: [peer] }, now, {
      success: () => (channel.boundUntil = now + CHANNEL_MS),
      error: (code, _reason, at) => {
        if (!this.#isLost(code, at)) channel.boundUntil = -Infinity;
      },
    });
  }

  #inputChannel(bytes: Uint8Array, now: number): boolean {
    const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    if (view.length < CHANNEL_HEADER_BYTES) return false;
    const channel = this.#byNumber.get(view.readUInt16BE(0));
    const length = view.readUInt16BE(2);
    const data = view.subarray(CHANNEL_HEADER_BYTES, CHANNEL_HEADER_BYTES + length);
    if (channel === undefined || data.length !== length) return false;
    this.#heard(now);
    channel.usedAt = now;
    channel.permission.usedAt = now;
    this.#options.onData(data, channel.peer);
    return true;
  }
}

const IGNORED: TurnReplies = { success: () => undefined, error: () => undefined };

/** [number u16][length u16][data]; connections pad it to a multiple of 4 (turn.ts): section 12.4. */
function channelData(number: number, data: Uint8Array): Uint8Array {
  const bytes = Buffer.allocUnsafe(CHANNEL_HEADER_BYTES + data.length);
  bytes.writeUInt16BE(number, 0);
  bytes.writeUInt16BE(data.length, 2);
  bytes.set(data, CHANNEL_HEADER_BYTES);
  return bytes;
}

function numberAfter(number: number): number {
  return number === CHANNEL_LAST ? CHANNEL_FIRST : number + 1;
}

/** The host whose permission was of no use for longest. */
function oldestOf(permissions: ReadonlyMap<string, Permission>): string {
  let [oldest, since] = ['', Infinity];
  for (const [host, { usedAt }] of permissions) if (usedAt < since) [oldest, since] = [host, usedAt];
  return oldest;
}

function keyOf({ host, port }: StunAddress): string {
  return `${host} ${port}`;
}

function inWords(code: number, reason: string): string {
  switch (code) {
    case NO_ANSWER:
      return 'it does not answer';
    case UNAUTHORIZED:
      return 'it refuses the user name or the password';
    case ALLOCATION_MISMATCH:
      return 'it has lost the allocation';
    case QUOTA_REACHED:
      return 'it allows this user no more allocations';
    case NO_CAPACITY:
      return 'it has no address free';
    default:
      return `it refuses (${code} ${reason.replace(/[^\x20-\x7e]/g, '').slice(0, 60)})`;
  }
}
