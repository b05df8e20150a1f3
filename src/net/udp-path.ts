/**
 * UdpPath: frames over KCP over sealed datagrams to one peer. Composes lanes (kcp.ts), the batch (datagram-batch.ts),
 * liveness, roaming and the path's MTU, and owns the timer that drives them. Does not own the socket (udp-port.ts)
 * or the handshake, and sees only datagrams that opened. src/wire/datagram.ts has the packets.
 */
import { randomFillSync } from 'node:crypto';
import { formatHostPort } from '../host-port.ts';
import type { Clock, Timer } from '../clock.ts';
import { DATAGRAM_OVERHEAD_BYTES, type Session } from '../crypto/session.ts';
import { DATAGRAM_TYPES } from '../wire/datagram.ts';
import { DatagramBatch, FragmentJoiner } from './datagram-batch.ts';
import { Flight } from './flight.ts';
import type { Keepalive } from './keepalive.ts';
import { Lanes } from './lanes.ts';
import { Liveness } from './liveness.ts';
import { PathMtu } from './path-mtu.ts';
import type { Lane, Path, PathEnd, PathEvents, PathStatistics } from './path.ts';
import { Roaming } from './roaming.ts';
import type { UdpAddress, UdpPort } from './udp-port.ts';

/** Longest message of a handshake inside the session, bytes. */
const REKEY_MAX_BYTES = 1_024;
const TOKEN_BYTES = 4;
const CHALLENGE_BYTES = 8;
/** A few segments in order wait so long for more, to be acknowledged together: each datagram costs as much. Tuning. */
const ACKNOWLEDGEMENT_DELAY_MS = 1;
/** Small packets get so many bytes of padding at most, or their lengths would tell what they are. Tuning. */
const MAX_PADDING_BYTES = 63;
const PADDED: ReadonlySet<number> = new Set([
  DATAGRAM_TYPES.ping,
  DATAGRAM_TYPES.pong,
  DATAGRAM_TYPES.challenge,
  DATAGRAM_TYPES.response,
  DATAGRAM_TYPES.close,
  DATAGRAM_TYPES.mtuAnswer,
]);

export interface UdpPathOptions {
  /** turn: by way of a relay, ours or the peer's. */
  readonly kind?: 'udp' | 'turn';
  readonly port: Pick<UdpPort, 'send' | 'sendBatch'>;
  /** The path's from now on: closed when the path ends. */
  readonly session: Session;
  readonly remote: UdpAddress;
  readonly clock: Clock;
  /** What was learned with this peer before; absent: nothing. */
  readonly keepalive?: Keepalive;
  /** A packet of a new handshake inside the session came (what sendRekey sent at the far end). The listener's to keep. */
  readonly onRekey?: (body: Uint8Array) => void;
  /** Once, whatever ended the path, close() too: its session indices are free. Before PathEvents.end. */
  readonly onEnd?: (reason: PathEnd) => void;
  /** Runs a function soon, before waiting for events (setImmediate). For tests. */
  readonly defer?: (run: () => void) => void;
  /** Fills with unpredictable bytes (node:crypto). For tests. */
  readonly random?: (bytes: Uint8Array) => void;
}

export interface UdpPath extends Path {
  readonly kind: 'udp' | 'turn';
  readonly session: Session;
  readonly remoteAddress: UdpAddress;
  /** Packets that opened and made no sense. */
  readonly malformed: number;
  /** What session.openDatagram gave for a datagram from `from`; looked at during the call only. */
  input(plain: Uint8Array, from: UdpAddress): void;
  /** Sends one packet of a new handshake inside the session, at most 1,024 bytes; it may be lost. */
  sendRekey(body: Uint8Array): void;
}

export function createUdpPath(options: UdpPathOptions): UdpPath {
  return new KcpPath(options);
}

class KcpPath implements UdpPath {
  readonly kind: 'udp' | 'turn';
  readonly session: Session;
  malformed = 0;
  readonly #options: UdpPathOptions;
  readonly #clock: Clock;
  readonly #random: (bytes: Uint8Array) => void;
  readonly #defer: (run: () => void) => void;
  readonly #flight = new Flight();
  readonly #batch: DatagramBatch;
  readonly #lanes: Lanes;
  readonly #liveness: Liveness;
  readonly #mtu: PathMtu;
  readonly #roaming: Roaming;
  readonly #joiner = new FragmentJoiner();
  readonly #flush = (): void => this.#flushNow();
  #events: PathEvents | undefined;
  #ended = false;
  #flushScheduled = false;
  #timer: Timer | undefined;
  #timerAt = Infinity;
  #bytesReceived = 0;
  #pingToken = 0;
  #pingSentAt: number | undefined;

  constructor(options: UdpPathOptions) {
    const { clock, session, port } = options;
    const random = options.random ?? ((bytes: Uint8Array) => void randomFillSync(bytes));
    const now = clock.now();
    this.#options = options;
    this.kind = options.kind ?? 'udp';
    this.#clock = clock;
    this.#random = random;
    this.session = session;
    this.#defer = options.defer ?? ((run) => void setImmediate(run));
    this.#liveness = new Liveness(now, options.keepalive);
    options.keepalive?.reached(now);
    this.#mtu = new PathMtu(now);
    this.#roaming = new Roaming(options.remote, random);
    this.#batch = new DatagramBatch(port, session, options.remote, this.#mtu.bytes - DATAGRAM_OVERHEAD_BYTES);
    this.#lanes = new Lanes(this.#flight, this.#batch);
  }

  get remoteAddress(): UdpAddress {
    return this.#roaming.remote;
  }

  get remote(): string {
    const { host, port } = this.#roaming.remote;
    return formatHostPort(host, port);
  }

  get statistics(): PathStatistics {
    return {
      rttMs: this.#flight.rttMs,
      bytesSent: this.#batch.bytesSent,
      bytesReceived: this.#bytesReceived,
      datagramsSent: this.#batch.datagramsSent,
      retransmissions: this.#flight.retransmissions,
      lastHeardAt: this.#liveness.lastHeardAt,
    };
  }

  start(events: PathEvents): void {
    this.#events = events;
    this.#deliver();
    this.#schedule();
  }

  send(lane: Lane, pieces: readonly Uint8Array[]): boolean {
    if (this.#ended) return true;
    this.#schedule();
    return this.#lanes.queue(lane, pieces);
  }

  probe(): void {
    if (this.#ended) return;
    this.#ping(this.#clock.now());
    this.#schedule();
  }

  sendRekey(body: Uint8Array): void {
    if (this.#ended || body.length > REKEY_MAX_BYTES) return;
    this.#sendPacket(DATAGRAM_TYPES.rekey, body);
    this.#batch.flush();
  }

  close(): void {
    if (this.#ended) return;
    this.#flushNow();
    this.#lanes.flushLast(this.#clock.now());
    this.#sendPacket(DATAGRAM_TYPES.close, new Uint8Array(0));
    this.#batch.flush();
    this.#end('closed');
  }

  input(plain: Uint8Array, from: UdpAddress): void {
    if (this.#ended || plain.length === 0) return;
    const now = this.#clock.now();
    this.#bytesReceived += plain.length + DATAGRAM_OVERHEAD_BYTES;
    if (plain[0] === DATAGRAM_TYPES.challenge) this.#liveness.challenged(now);
    else this.#liveness.heard(now, plain[0] === DATAGRAM_TYPES.kcp || plain[0] === DATAGRAM_TYPES.fragment);
    if (from !== this.#roaming.remote) this.#heardFrom(from, now);
    if (plain[0] === DATAGRAM_TYPES.kcp) {
      this.#inputSegments(plain);
      if (this.#flight.hasNews || this.#lanes.acknowledgementUrgent) this.#schedule();
      else this.#wakeAt(now + ACKNOWLEDGEMENT_DELAY_MS, now);
    } else {
      this.#inputControl(plain, from, now);
      this.#schedule();
    }
  }

  #inputSegments(plain: Uint8Array): void {
    if (!this.#lanes.input(plain)) this.malformed++;
    this.#deliver();
    this.#lanes.own();
  }

  #deliver(): void {
    const events = this.#events;
    if (events === undefined) return;
    const sound = this.#lanes.deliver((lane, frame) => {
      if (!this.#ended) events.frame(lane, frame);
    });
    if (!sound) this.#end('broken');
  }

  #inputControl(plain: Uint8Array, from: UdpAddress, now: number): void {
    const body = plain.subarray(1);
    switch (plain[0]) {
      case DATAGRAM_TYPES.ping:
        if (body.length >= TOKEN_BYTES) this.#sendPacket(DATAGRAM_TYPES.pong, body.subarray(0, TOKEN_BYTES));
        break;
      case DATAGRAM_TYPES.pong:
        this.#inputPong(body, now);
        break;
      case DATAGRAM_TYPES.challenge:
        this.#sendTo(from, DATAGRAM_TYPES.response, body.subarray(0, CHALLENGE_BYTES));
        break;
      case DATAGRAM_TYPES.response:
        if (this.#roaming.answered(body.subarray(0, CHALLENGE_BYTES), from)) this.#moved(now);
        break;
      case DATAGRAM_TYPES.close:
        this.#end('closed-by-peer');
        break;
      case DATAGRAM_TYPES.rekey:
        this.#options.onRekey?.(Uint8Array.from(body));
        break;
      case DATAGRAM_TYPES.mtuProbe:
        this.#sendPacket(DATAGRAM_TYPES.mtuAnswer, new Uint8Array([plain.length, plain.length >>> 8]));
        break;
      case DATAGRAM_TYPES.mtuAnswer:
        if (this.#mtu.answered((body[0] ?? 0) + ((body[1] ?? 0) << 8) + DATAGRAM_OVERHEAD_BYTES)) this.#useMtu();
        break;
      case DATAGRAM_TYPES.fragment: {
        const whole = this.#joiner.push(Uint8Array.from(plain));
        if (whole?.[0] === DATAGRAM_TYPES.kcp) this.#inputSegments(whole);
        else if (whole?.[0] === DATAGRAM_TYPES.rekey) this.#options.onRekey?.(whole.subarray(1));
        break;
      }
      default:
        this.malformed++;
    }
  }

  #inputPong(body: Uint8Array, now: number): void {
    const [a = 0, b = 0, c = 0, d = 0] = body;
    if (this.#pingSentAt === undefined || (a | (b << 8) | (c << 16) | (d << 24)) >>> 0 !== this.#pingToken) return;
    this.#flight.measured(Math.max(now - this.#pingSentAt, 0.01));
    this.#pingSentAt = undefined;
  }

  #heardFrom(from: UdpAddress, now: number): void {
    const challenge = this.#roaming.heardFrom(from, now);
    if (challenge !== undefined) this.#sendTo(from, DATAGRAM_TYPES.challenge, challenge);
  }

  #moved(now: number): void {
    this.#batch.flush();
    this.#batch.remote = this.#roaming.remote;
    this.#mtu.moved(now);
    this.#useMtu();
  }

  #useMtu(): void {
    this.#batch.limitBytes = this.#mtu.bytes - DATAGRAM_OVERHEAD_BYTES;
    this.#lanes.setPacketBytes(this.#batch.limitBytes);
  }

  #ping(now: number): void {
    const token = (this.#pingToken = (this.#pingToken + 1) >>> 0);
    this.#pingSentAt = now;
    const body = new Uint8Array([token, token >>> 8, token >>> 16, token >>> 24]);
    for (let left = this.#liveness.pingsAtOnce; left > 0; left -= 1) this.#sendPacket(DATAGRAM_TYPES.ping, body);
    this.#liveness.asked(now);
  }

  #sendPacket(type: number, body: Uint8Array): void {
    if (this.#ended) return;
    this.#batch.add(this.#packet(type, body));
    this.#schedule();
  }

  /** To an address that is not, or not yet, the path's. */
  #sendTo(to: UdpAddress, type: number, body: Uint8Array): void {
    if (this.#ended) return;
    const packet = this.#packet(type, body);
    const sealed = new Uint8Array(packet.length + DATAGRAM_OVERHEAD_BYTES);
    this.session.sealDatagram(packet, sealed, 0);
    this.#options.port.send(sealed, to);
  }

  #packet(type: number, body: Uint8Array): Uint8Array {
    const packet = new Uint8Array(1 + body.length + (PADDED.has(type) ? this.#paddingBytes() : 0));
    packet[0] = type;
    packet.set(body, 1);
    return packet;
  }

  #paddingBytes(): number {
    const byte = new Uint8Array(1);
    this.#random(byte);
    return (byte[0] ?? 0) & MAX_PADDING_BYTES;
  }

  #schedule(): void {
    if (this.#flushScheduled || this.#ended) return;
    this.#flushScheduled = true;
    this.#defer(this.#flush);
  }

  #flushNow(): void {
    this.#flushScheduled = false;
    if (this.#ended) return;
    const now = this.#clock.now();
    this.#flight.settle(now);
    this.#flight.expire(now);
    if (this.#mtu.suspect(this.#flight.timeouts, now)) this.#useMtu();
    this.#lanes.flush(now);
    if (this.#events !== undefined) this.#keepUp(now);
    this.#batch.flush();
    if (this.#flight.outstanding) this.#liveness.waiting(now);
    this.#arm(now);
    const events = this.#events;
    if (events !== undefined) this.#lanes.tellWritable((lane) => events.writable(lane));
  }

  /** What is due without traffic: probes of the MTU and of the peer's life. */
  #keepUp(now: number): void {
    for (const bytes of this.#mtu.probes(now)) {
      const probe = new Uint8Array(bytes - DATAGRAM_OVERHEAD_BYTES);
      probe[0] = DATAGRAM_TYPES.mtuProbe;
      this.#batch.addWhole(probe);
    }
    const verdict = this.#liveness.judge(now);
    if (verdict === 'ask') this.#ping(now);
    else if (verdict === 'dead') this.#end('timeout');
  }

  #arm(now: number): void {
    if (this.#ended) return;
    // Before start() nothing is kept up: its time would come again and again.
    const keepUpAt = this.#events === undefined ? Infinity : Math.min(this.#liveness.dueAt, this.#mtu.probeAt);
    const due = Math.min(this.#lanes.check(now), keepUpAt);
    this.#wakeAt(due, now);
  }

  #wakeAt(due: number, now: number): void {
    if (this.#flushScheduled || this.#ended) return;
    // An earlier timer stays: it will find nothing to do, which is cheaper than a new one each time.
    if (this.#timer !== undefined && this.#timerAt <= due && this.#timerAt > now) return;
    this.#timer?.cancel();
    this.#timer = undefined;
    if (due === Infinity) return;
    this.#timerAt = due;
    this.#timer = this.#clock.after(Math.max(due - now, 0), () => {
      this.#timer = undefined;
      this.#flushNow();
    });
  }

  #end(reason: PathEnd): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#timer?.cancel();
    this.session.close();
    this.#options.onEnd?.(reason);
    if (reason !== 'closed') this.#events?.end(reason);
  }
}
