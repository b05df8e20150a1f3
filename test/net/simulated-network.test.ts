import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createManualClock } from '../manual-clock.ts';
import { createSimulatedNetwork } from './simulated-network.ts';
import type { Conditions } from './simulated-network.ts';

/** Sends 10,000 numbered datagrams and tells what came. */
function run(seed: number, conditions: Partial<Conditions>) {
  const clock = createManualClock();
  const network = createSimulatedNetwork({ clock, seed, conditions });
  const came: number[] = [];
  const a = network.openPort({ host: '10.0.0.1', port: 0, onDatagram: () => undefined });
  const b = network.openPort({
    host: '10.0.0.2',
    port: 7,
    onDatagram: (datagram, from) => {
      assert.deepEqual(from, a.address);
      came.push(Buffer.from(datagram).readUInt32LE(0));
    },
  });
  const datagram = Buffer.alloc(1000);
  for (let i = 0; i < 10_000; i++) {
    datagram.writeUInt32LE(i);
    a.send(datagram, b.address);
    clock.advance(1);
  }
  clock.advance(1000);
  return { came, counters: network.counters, clock, a, b, network };
}

describe('simulated network', () => {
  it('is faultless unless told otherwise', () => {
    const { came } = run(1, {});
    assert.deepEqual(
      came,
      Array.from({ length: 10_000 }, (_, i) => i),
    );
  });

  it('gives the same run for the same seed and another for another', () => {
    const faults = { lossRate: 0.05, reorderRate: 0.1, reorderMs: 20, duplicateRate: 0.02, corruptRate: 0.01 };
    assert.deepEqual(run(5, faults).came, run(5, faults).came);
    assert.notDeepEqual(run(5, faults).came, run(6, faults).came);
  });

  it('loses, reorders, duplicates and damages about as often as told', () => {
    const { counters } = run(2, {
      lossRate: 0.05,
      reorderRate: 0.1,
      reorderMs: 20,
      duplicateRate: 0.02,
      corruptRate: 0.01,
    });
    const near = (count: number, expected: number) => assert.ok(Math.abs(count - expected) < expected / 3, `${count}`);
    near(counters.lost, 500);
    near(counters.reordered, 950);
    near(counters.duplicated, 190);
    near(counters.corrupted, 95);
  });

  it('carries no more than its rate and loses what its queue cannot hold', () => {
    const { came, counters } = run(3, { bytesPerSecond: 500_000, queueMs: 50 });
    assert.ok(came.length > 4900 && came.length < 5200, `${came.length}`);
    assert.equal(counters.lost + came.length, 10_000);
  });

  it('cuts a batch into its datagrams; a closed port gets nothing', async () => {
    const { network, a, clock } = run(4, {});
    const lengths: number[] = [];
    const c = network.openPort({ host: '10.0.0.3', port: 0, onDatagram: ({ length }) => lengths.push(length) });
    a.sendBatch(Buffer.alloc(2500), 1000, c.address);
    clock.advance(10);
    assert.deepEqual(lengths, [1000, 1000, 500]);
    await c.close();
    a.send(Buffer.alloc(10), c.address);
    clock.advance(10);
    assert.equal(lengths.length, 3);
  });
});
