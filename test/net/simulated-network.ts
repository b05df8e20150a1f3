/**
 * A network in memory: UDP ports (twins of src/net/udp-port.ts) joined by links that lose, delay, reorder, duplicate
 * and damage datagrams, by the numbers of a seed and under a manual clock: the same seed gives the same run.
 */
import type { Clock } from '../../src/clock.ts';
import type { UdpAddress, UdpPort, UdpPortOptions } from '../../src/net/udp-port.ts';
import { createRandom } from '../wire/samples.ts';

/** What the links do to datagrams. Rates are probabilities, 0 to 1. */
export interface Conditions {
  lossRate: number;
  /** Such a datagram comes up to `reorderMs` later than it would. */
  reorderRate: number;
  reorderMs: number;
  duplicateRate: number;
  /** One byte of it is another. */
  corruptRate: number;
  /** One way. */
  delayMs: number;
  /** Bytes a second of each sending port; 0: no limit. */
  bytesPerSecond: number;
  /** A datagram that would wait longer than this for the link is lost, milliseconds. */
  queueMs: number;
  /** Longer datagrams are lost, bytes. */
  mtuBytes: number;
}

export const FAULTLESS: Readonly<Conditions> = {
  lossRate: 0,
  reorderRate: 0,
  reorderMs: 0,
  duplicateRate: 0,
  corruptRate: 0,
  delayMs: 1,
  bytesPerSecond: 0,
  queueMs: 100,
  mtuBytes: 1472,
};

export interface NetworkCounters {
  sent: number;
  delivered: number;
  lost: number;
  reordered: number;
  duplicated: number;
  corrupted: number;
}

export interface SimulatedNetwork {
  /** May be changed at any time. */
  readonly conditions: Conditions;
  readonly counters: NetworkCounters;
  /** `options.port` 0 takes the next free one. */
  openPort(options: UdpPortOptions): UdpPort;
}

interface OpenPort {
  readonly address: UdpAddress;
  readonly onDatagram: UdpPortOptions['onDatagram'];
  readonly statistics: { datagramsSent: number; datagramsReceived: number; bytesSent: number; bytesReceived: number };
  /** Until when what was sent before occupies the link, Clock.now(). */
  busyUntil: number;
}

const keyOf = (address: UdpAddress): string => `${address.host} ${address.port}`;

export function createSimulatedNetwork(options: {
  readonly clock: Clock;
  readonly seed: number;
  readonly conditions?: Partial<Conditions>;
}): SimulatedNetwork {
  const { clock } = options;
  const random = createRandom(options.seed);
  const conditions: Conditions = { ...FAULTLESS, ...options.conditions };
  const counters: NetworkCounters = { sent: 0, delivered: 0, lost: 0, reordered: 0, duplicated: 0, corrupted: 0 };
  const ports = new Map<string, OpenPort>();
  let nextPort = 40_000;

  /** When the link would have taken the datagram; undefined: its queue is full. */
  function departure(from: OpenPort, bytes: number): number | undefined {
    const { bytesPerSecond, queueMs } = conditions;
    const now = clock.now();
    if (bytesPerSecond === 0) return now;
    const start = Math.max(now, from.busyUntil);
    if (start - now > queueMs) return undefined;
    from.busyUntil = start + (bytes * 1000) / bytesPerSecond;
    return from.busyUntil;
  }

  function carry(from: OpenPort, datagram: Uint8Array, to: UdpAddress): void {
    counters.sent += 1;
    from.statistics.datagramsSent += 1;
    from.statistics.bytesSent += datagram.length;
    const leaves = departure(from, datagram.length);
    if (leaves === undefined || datagram.length > conditions.mtuBytes || random() < conditions.lossRate) {
      counters.lost += 1;
      return;
    }
    const copies = random() < conditions.duplicateRate ? 2 : 1;
    counters.duplicated += copies - 1;
    for (let copy = 0; copy < copies; copy++) {
      const bytes = Uint8Array.from(datagram);
      if (random() < conditions.corruptRate) {
        const at = Math.floor(random() * bytes.length);
        bytes[at] = (bytes[at] ?? 0) ^ (1 + Math.floor(random() * 255));
        counters.corrupted += 1;
      }
      let delayMs = leaves - clock.now() + conditions.delayMs;
      if (random() < conditions.reorderRate) {
        delayMs += random() * conditions.reorderMs;
        counters.reordered += 1;
      }
      clock.after(delayMs, () => arrive(from.address, bytes, to));
    }
  }

  function arrive(from: UdpAddress, bytes: Uint8Array, to: UdpAddress): void {
    const port = ports.get(keyOf(to));
    if (port === undefined) {
      counters.lost += 1;
      return;
    }
    counters.delivered += 1;
    port.statistics.datagramsReceived += 1;
    port.statistics.bytesReceived += bytes.length;
    port.onDatagram(bytes, from);
  }

  return {
    conditions,
    counters,
    openPort({ host, port: wanted, onDatagram }) {
      const address = { host, port: wanted === 0 ? nextPort++ : wanted };
      const statistics = {
        datagramsSent: 0,
        datagramsReceived: 0,
        bytesSent: 0,
        bytesReceived: 0,
        sendsDropped: 0,
      };
      const port: OpenPort = { address, onDatagram, statistics, busyUntil: 0 };
      ports.set(keyOf(address), port);
      let closed = false;
      const send = (datagram: Uint8Array, to: UdpAddress): void => {
        if (!closed) carry(port, datagram, to);
      };
      return {
        address,
        statistics,
        batched: false,
        send,
        sendBatch(datagrams, segmentBytes, to) {
          for (let at = 0; at < datagrams.length; at += segmentBytes) {
            send(datagrams.subarray(at, Math.min(at + segmentBytes, datagrams.length)), to);
          }
        },
        async close() {
          closed = true;
          ports.delete(keyOf(address));
        },
      };
    },
  };
}
