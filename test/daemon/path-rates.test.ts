import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createPathRates } from '../../src/daemon/path-rates.ts';
import type { Path, PathKind } from '../../src/net/path.ts';
import { createManualClock } from '../manual-clock.ts';

interface Statistics {
  rttMs: number | undefined;
  bytesSent: number;
  bytesReceived: number;
  datagramsSent: number;
  retransmissions: number;
  lastHeardAt: number;
}

function createPath(kind: PathKind): Path & { readonly statistics: Statistics } {
  return {
    kind,
    remote: '192.0.2.1:4500',
    statistics: {
      rttMs: undefined,
      bytesSent: 0,
      bytesReceived: 0,
      datagramsSent: 0,
      retransmissions: 0,
      lastHeardAt: 0,
    },
    start: () => undefined,
    send: () => true,
    probe: () => undefined,
    close: () => undefined,
  };
}

describe('what status says of paths', () => {
  it('a rate is of both directions, since the last look', () => {
    const clock = createManualClock();
    const path = createPath('udp');
    const rates = createPathRates({ paths: [path], activePath: path }, clock);
    assert.equal(rates.status()[0]?.bytesPerSecond, 0);
    path.statistics.bytesSent = 3000;
    path.statistics.bytesReceived = 1000;
    clock.advance(2000);
    assert.equal(rates.status()[0]?.bytesPerSecond, 2000);
    clock.advance(1000);
    assert.equal(rates.status()[0]?.bytesPerSecond, 0);
  });

  it('looks in quick succession see the same rate, and do not spoil it', () => {
    const clock = createManualClock();
    const path = createPath('tcp');
    const rates = createPathRates({ paths: [path], activePath: path }, clock);
    rates.status();
    path.statistics.bytesSent = 5000;
    clock.advance(999);
    assert.equal(rates.status()[0]?.bytesPerSecond, 0);
    clock.advance(1);
    assert.equal(rates.status()[0]?.bytesPerSecond, 5000);
    assert.equal(rates.status()[0]?.bytesPerSecond, 5000);
  });

  it('loss is the share of datagrams sent again, at most all, and nothing for a stream', () => {
    const [datagrams, stream] = [createPath('udp'), createPath('tcp')];
    const rates = createPathRates({ paths: [datagrams, stream], activePath: stream }, createManualClock());
    datagrams.statistics.datagramsSent = 200;
    datagrams.statistics.retransmissions = 10;
    assert.deepEqual(
      rates.status().map(({ loss }) => loss),
      [0.05, null],
    );
    datagrams.statistics.retransmissions = 300;
    assert.equal(rates.status()[0]?.loss, 1);
  });

  it('each path has a rate of its own, and one of them is in use', () => {
    const clock = createManualClock();
    const [first, second] = [createPath('udp'), createPath('tor')];
    second.statistics.rttMs = 700;
    const rates = createPathRates({ paths: [first, second], activePath: second }, clock);
    rates.status();
    first.statistics.bytesSent = 1000;
    clock.advance(1000);
    assert.deepEqual(
      rates.status().map(({ kind, active, rttMs, bytesPerSecond }) => ({ kind, active, rttMs, bytesPerSecond })),
      [
        { kind: 'udp', active: false, rttMs: null, bytesPerSecond: 1000 },
        { kind: 'tor', active: true, rttMs: 700, bytesPerSecond: 0 },
      ],
    );
  });
});
