/**
 * TcpPath: frames over one TCP connection (or any other reliable stream, such as Tor's) after its handshake. Owns the
 * socket, the order of the lanes, keepalive and the change of keys; sealing is src/crypto/stream.ts.
 *
 * A sealed frame begins with one byte:
 *     0, 1  a frame of that lane      4  close
 *     2     ping                      5  message 1 of a handshake for new keys
 *     3     pong                      6  message 2 of it
 *                                     7  the initiator switches to the new keys
 *
 * Frames of lane 0 overtake waiting ones of lane 1. Little is handed to the socket ahead of time, so that the
 * overtaking has an effect.
 */
import type { Socket } from 'node:net';
import { formatHostPort } from '../host-port.ts';
import type { Clock, Timer } from '../clock.ts';
import { recycle } from '../frame-pool.ts';
import type { SealedStream } from '../crypto/stream.ts';
import { acknowledgedBytes, limitUnsentBytes } from '../sys/tcp-info.ts';
import { LANES, SLOW_PATHS, type Lane, type Path, type PathEnd, type PathEvents } from './path.ts';
import type { Rekeying } from './rekeying.ts';
import { plainHost } from './tcp-port.ts';

/** Packet types, specification. */
const TYPE = { ping: 2, pong: 3, close: 4, rekeyRequest: 5, rekeyAnswer: 6, rekeySwitch: 7 } as const;

/** In front of each frame. */
export const PACKET_TYPE_BYTES = 1;

/** Tuning. Bytes. */
const SOCKET_AHEAD_BYTES = { fast: 512 * 1024, slow: 64 * 1024 } as const;
/** What the kernel may hold unsent; by itself it takes megabytes, and all that comes after waits for them. */
const KERNEL_AHEAD_BYTES = { fast: 256 * 1024, slow: 64 * 1024 } as const;
const LANE_HIGH_WATER_BYTES = 4 * 1024 * 1024;
/** A ping is not answered by a socket with so much in hand: who asks and never reads would fill the memory. */
const PONG_LIMIT_BYTES = 2 * 1024 * 1024;
/** Tuning. Milliseconds. */
const TICK_MS = 1000;
const KEEPALIVE_MS = 20_000;
/** A peer that was at work and falls silent is asked once, this much later (liveness.ts says why). */
const QUIET_MS = 2_000;
/** The path ends when a ping is not answered and nothing else shows life for so long. */
const PING_PATIENCE_MS = { fast: 5_000, slow: 20_000 } as const;
/** Ticks that come so much too late: the process did not run, and silence counts anew. */
const SLEPT_MS = 3_000;
/** What the far end takes, or says of an unfinished packet, in a tick, if it is to count as a sign of life. Bytes. */
const TRICKLE_BYTES = 1024;
/** What was sent before close() has so long to get there. */
const CLOSE_PATIENCE_MS = 1000;

export interface TcpPathOptions {
  /** tor: over a stream of Tor's, with its round trips and queues of seconds. */
  readonly kind?: 'tcp' | 'tor';
  /** Connected; the path's from now on. */
  readonly socket: Socket;
  /** The path's from now on. */
  readonly stream: SealedStream;
  /** Bytes that came behind the handshake. */
  readonly head?: Uint8Array;
  readonly clock: Clock;
  /** Makes handshakes for new keys; absent: the keys stay. */
  readonly rekeying?: Rekeying;
  /** The first frame opened under the session's keys: the peer has them. */
  readonly onConfirmed?: () => void;
  /** Once, whatever ended the path, close() too. Before PathEvents.end. */
  readonly onEnd?: () => void;
}

export interface TcpPath extends Path {
  /** Whether anything has come under the session's keys. */
  isConfirmed(): boolean;
}

const LANE_BYTE: readonly Uint8Array[] = [Uint8Array.of(0), Uint8Array.of(1)];

export function createTcpPath(options: TcpPathOptions): TcpPath {
  const { socket, stream, clock, rekeying, kind = 'tcp' } = options;
  const pace = SLOW_PATHS.has(kind) ? 'slow' : 'fast';
  const waiting: Uint8Array[][][] = Array.from({ length: LANES }, () => []);
  const waitingBytes = Array.from({ length: LANES }, () => 0);
  const bytesWaiting = (lane: Lane): number => waitingBytes[lane] ?? 0;
  const full = Array.from({ length: LANES }, () => false);
  const early: [Lane, Uint8Array][] = [];
  const statistics = {
    rttMs: undefined as number | undefined,
    bytesSent: 0,
    datagramsSent: 0,
    bytesReceived: 0,
    retransmissions: 0,
    lastHeardAt: clock.now(),
    isOverdue: false,
  };
  let events: PathEvents | undefined;
  let earlyEnd: PathEnd | undefined;
  let isConfirmed = false;
  let hasEnded = false;
  let isPumpDue = false;
  let pingSentAt: number | undefined;
  /** Bytes handed to the socket, up to the ping. */
  let pingEnd = Infinity;
  let lastSentAt = clock.now();
  /** A whole packet. */
  let packetAt = clock.now();
  /** What was heard last was a frame. */
  let isBusy = false;
  /** Silence before this does not count. */
  let countedFrom = -Infinity;
  /** Of what was sent, as far as is known. */
  let taken = 0;
  /** What came since the last tick, or packet that was whole. */
  let unfinished = 0;
  let tickedAt = clock.now();
  let timer: Timer = clock.after(TICK_MS, expiredTick);

  function expiredTick(): void {
    if (hasEnded) return;
    timer = clock.after(TICK_MS, expiredTick);
    const now = clock.now();
    notice(now);
    if (now - tickedAt > TICK_MS + SLEPT_MS) countedFrom = now;
    tickedAt = now;
    const askedAt = pingSentAt === undefined ? Infinity : Math.max(pingSentAt, statistics.lastHeardAt, countedFrom);
    if (now - askedAt > PING_PATIENCE_MS[pace]) return end('timeout');
    const isQuiet = (isBusy || lastSentAt > packetAt) && now - packetAt >= QUIET_MS;
    const isIdle = now - Math.max(lastSentAt, statistics.lastHeardAt) >= KEEPALIVE_MS;
    if (pingSentAt === undefined && (isQuiet || isIdle)) ping();
    if (rekeying?.isInitiator === true && !rekeying.isUnderWay() && stream.needsRekey(now)) {
      const message = rekeying.begin();
      if (message !== undefined) write([Uint8Array.of(TYPE.rekeyRequest), message]);
    }
  }

  /**
   * A ping waits behind all the bulk that was handed over before it, which may take minutes on a slow line: that the
   * far end takes bytes is a sign of life too. Less than a trickle is not: the far end's kernel also takes what a
   * process that hangs will never read.
   */
  function notice(now: number): void {
    const before = taken;
    const acknowledged = acknowledgedBytes(socket);
    taken = acknowledged ?? socket.bytesWritten - socket.writableLength;
    if (taken - before >= TRICKLE_BYTES) statistics.lastHeardAt = now;
    // The first byte that the far end's kernel acknowledges is none of ours. Tor's own process acknowledges for Tor.
    statistics.isOverdue = kind === 'tcp' && (acknowledged ?? 0) > pingEnd && now - packetAt >= QUIET_MS;
    unfinished = 0;
  }

  function ping(): void {
    pingSentAt = clock.now();
    write([Uint8Array.of(TYPE.ping)]);
    pingEnd = socket.bytesWritten;
  }

  /** Seals and hands over one packet at once: only what may overtake everything comes here. */
  function write(pieces: readonly Uint8Array[]): void {
    if (hasEnded) return;
    lastSentAt = clock.now();
    const sealed = stream.sealFrame(pieces);
    statistics.bytesSent += sealed.length;
    socket.write(sealed, () => recycle(sealed));
  }

  /** What one event has us send goes out by one system call. */
  function pumpSoon(): void {
    if (isPumpDue) return;
    isPumpDue = true;
    process.nextTick(pump);
  }

  /** Hands waiting frames to the socket, lane 0 first, as long as it has little in hand. */
  function pump(): void {
    isPumpDue = false;
    if (hasEnded) return;
    socket.cork();
    while (socket.writableLength < SOCKET_AHEAD_BYTES[pace]) {
      const lane = (waiting[0]?.length ?? 0) > 0 ? 0 : 1;
      const pieces = waiting[lane]?.shift();
      if (pieces === undefined) break;
      waitingBytes[lane] = bytesWaiting(lane) - lengthOf(pieces);
      write(pieces);
      for (const piece of pieces) recycle(piece);
    }
    socket.uncork();
    for (const lane of [0, 1] as const) {
      if (full[lane] === true && bytesWaiting(lane) <= LANE_HIGH_WATER_BYTES / 2) {
        full[lane] = false;
        events?.writable(lane);
      }
    }
  }

  function receive(frame: Uint8Array): void {
    if (hasEnded) return;
    packetAt = clock.now();
    statistics.lastHeardAt = packetAt;
    unfinished = 0;
    if (!isConfirmed) {
      isConfirmed = true;
      options.onConfirmed?.();
    }
    const type = frame[0];
    isBusy = type === 0 || type === 1;
    const body = frame.subarray(1);
    switch (type) {
      case 0:
      case 1:
        if (events === undefined) early.push([type, body]);
        else events.frame(type, body);
        return;
      case TYPE.ping:
        if (socket.writableLength < PONG_LIMIT_BYTES) write([Uint8Array.of(TYPE.pong)]);
        return;
      case TYPE.pong:
        if (pingSentAt === undefined) return;
        statistics.rttMs = smooth(statistics.rttMs, clock.now() - pingSentAt);
        pingSentAt = undefined;
        pingEnd = Infinity;
        return;
      case TYPE.close:
        return end('closed-by-peer');
      case TYPE.rekeyRequest: {
        const answered = rekeying?.answer(body);
        if (answered === undefined) return;
        write([Uint8Array.of(TYPE.rekeyAnswer), answered.message]);
        stream.rekey(answered.keys, clock.now());
        return stream.switchSending();
      }
      case TYPE.rekeyAnswer: {
        const keys = rekeying?.finish(body);
        if (keys === undefined) return end('broken');
        stream.rekey(keys, clock.now());
        stream.switchReceiving();
        write([Uint8Array.of(TYPE.rekeySwitch)]);
        return stream.switchSending();
      }
      case TYPE.rekeySwitch:
        return stream.switchReceiving();
      default: // A newer peer's packet: skipped.
    }
  }

  function take(chunk: Uint8Array): void {
    if (hasEnded) return;
    unfinished += chunk.length;
    if (unfinished >= TRICKLE_BYTES) statistics.lastHeardAt = clock.now();
    statistics.bytesReceived += chunk.length;
    if (!stream.push(chunk, receive)) end('broken');
  }

  function end(reason: PathEnd): void {
    if (hasEnded) return;
    dispose();
    socket.destroySoon();
    clock.after(CLOSE_PATIENCE_MS, () => socket.destroy());
    if (events === undefined) earlyEnd = reason;
    else events.end(reason);
  }

  function dispose(): void {
    hasEnded = true;
    options.onEnd?.();
    timer.cancel();
    rekeying?.close();
    stream.close();
    for (const lane of waiting) lane.length = 0;
  }

  socket.setNoDelay(true);
  limitUnsentBytes(socket, KERNEL_AHEAD_BYTES[pace]);
  socket.setTimeout(0);
  socket.on('data', take);
  socket.on('drain', pump);
  socket.on('error', () => end('broken'));
  socket.on('close', () => end('broken'));
  if (options.head !== undefined && options.head.length > 0) take(options.head);
  socket.resume();

  return {
    kind,
    remote: formatHostPort(plainHost(socket.remoteAddress ?? ''), socket.remotePort ?? 0),
    statistics,
    isConfirmed: () => isConfirmed,
    start(given) {
      events = given;
      for (const [lane, frame] of early.splice(0)) events.frame(lane, frame);
      if (earlyEnd !== undefined) events.end(earlyEnd);
      else ping();
    },
    send(lane, pieces) {
      if (hasEnded) return true;
      const laneByte = LANE_BYTE[lane];
      if (laneByte === undefined) throw new RangeError(`no lane ${lane}`);
      const packet = [laneByte, ...pieces];
      waiting[lane]?.push(packet);
      waitingBytes[lane] = bytesWaiting(lane) + lengthOf(packet);
      pumpSoon();
      if (bytesWaiting(lane) > LANE_HIGH_WATER_BYTES) full[lane] = true;
      return full[lane] !== true;
    },
    probe() {
      if (!hasEnded && pingSentAt === undefined) ping();
    },
    close() {
      if (hasEnded) return;
      // Small frames still go out, a goodbye among them; bulk does not.
      for (const pieces of waiting[0]?.splice(0) ?? []) write(pieces);
      write([Uint8Array.of(TYPE.close)]);
      dispose();
      // What comes is read until the far end closes: a socket closed with bytes unread resets the connection, and
      // what we said last could be lost with it. A far end that never closes is not waited for.
      socket.end();
      clock.after(CLOSE_PATIENCE_MS, () => socket.destroy());
    },
  };
}

function lengthOf(pieces: readonly Uint8Array[]): number {
  let length = 0;
  for (const piece of pieces) length += piece.length;
  return length;
}

/** RFC 6298, section 2: gain of 1/8. */
function smooth(before: number | undefined, sample: number): number {
  return before === undefined ? sample : before + (sample - before) / 8;
}
