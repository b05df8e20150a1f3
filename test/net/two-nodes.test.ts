import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Path } from '../../src/net/path.ts';
import { createMemoryTree } from '../fs/memory-tree.ts';
import { createRandomOperations, snapshot } from '../fs/random-operations.ts';
import { createManualClock } from '../manual-clock.ts';
import { createRandom } from '../wire/samples.ts';
import { createMemoryPathPair } from './memory-path.ts';
import { createTestNode, drive } from './node-pair.ts';
import { createSimulatedNetwork } from './simulated-network.ts';
import type { SimulatedNetwork } from './simulated-network.ts';
import { createUdpLink } from './udp-link.ts';

describe('two nodes', () => {
  it('3,000 random operations over paths in memory that break now and then: the trees are equal', async () => {
    const clock = createManualClock();
    const [alice, bob] = [createTestNode(clock, 1), createTestNode(clock, 2)];
    const attach = () => {
      const pair = createMemoryPathPair({ clock, delayMs: 3 });
      alice.channel.attach(pair.ends[0], 0);
      bob.channel.attach(pair.ends[1], 0);
      return pair;
    };
    let path = attach();
    const random = createRandom(11);
    const model = createMemoryTree({ clock });
    const operations = createRandomOperations({
      model,
      tried: alice.remote,
      random,
      wait: (promise) => drive(clock, promise),
    });
    for (let i = 0; i < 3000; i++) {
      if (i % 250 === 249) {
        const old = path;
        clock.after(random() * 20, () => {
          old.cut();
          path = attach();
        });
      }
      await operations.step();
    }
    await operations.finish();
    assert.deepEqual(await snapshot(bob.served), await snapshot(model));
    alice.close();
    bob.close();
  });

  it('10,000 random operations over UDP with loss, reordering, duplicates and damage: the trees are equal', async (t) => {
    const clock = createManualClock();
    const network = createSimulatedNetwork({
      clock,
      seed: 5,
      conditions: {
        lossRate: 0.05,
        reorderRate: 0.1,
        reorderMs: 15,
        duplicateRate: 0.02,
        corruptRate: 0.005,
        delayMs: 5,
      },
    });
    const [alice, bob] = [createTestNode(clock, 1), createTestNode(clock, 2)];
    const [there, here] = createUdpLink(network, clock, 7);
    alice.channel.attach(there, 0);
    bob.channel.attach(here, 0);
    const sides = [alice, bob].map((node, side) => {
      const model = createMemoryTree({ clock });
      const operations = createRandomOperations({
        model,
        tried: node.remote,
        random: createRandom(40 + side),
        wait: (promise) => drive(clock, promise),
      });
      return { model, operations, served: node === alice ? bob.served : alice.served };
    });
    for (let i = 0; i < 5_000; i++) for (const { operations } of sides) await operations.step();
    for (const { model, operations, served } of sides) {
      await operations.finish();
      assert.deepEqual(await snapshot(served), await snapshot(model));
    }
    const { lost, reordered, duplicated, corrupted, sent } = network.counters;
    t.diagnostic(`${sent} datagrams: ${lost} lost, ${reordered} late, ${duplicated} twice, ${corrupted} damaged`);
    assert.ok(lost > 500 && reordered > 500 && duplicated > 100 && corrupted > 50);
    assert.equal(alice.channel.statistics.malformed + bob.channel.statistics.malformed, 0);
    alice.close();
    bob.close();
  });

  it('12,000 random operations over two bad networks of which one goes dark now and then: the trees are equal', async () => {
    const clock = createManualClock();
    const conditions = { lossRate: 0.05, reorderRate: 0.1, reorderMs: 15, duplicateRate: 0.02, corruptRate: 0.005 };
    const networks = [5, 15].map((delayMs, seed) =>
      createSimulatedNetwork({ clock, seed, conditions: { ...conditions, delayMs } }),
    );
    const [alice, bob] = [createTestNode(clock, 1), createTestNode(clock, 2)];
    const model = createMemoryTree({ clock });
    const random = createRandom(6);
    const dialled = new Map<SimulatedNetwork, Path>();
    const redial = (): void => {
      networks.forEach((network, preference) => {
        const path = dialled.get(network);
        const lives = path !== undefined && alice.channel.paths.includes(path);
        if (lives || network.conditions.lossRate === 1 || alice.channel.state === 'offline') return;
        const [there, here] = createUdpLink(network, clock, preference);
        alice.channel.attach(there, preference);
        bob.channel.attach(here, preference);
        dialled.set(network, there);
      });
      dialling = clock.after(500, redial);
    };
    let dialling = clock.after(0, redial);
    const operations = createRandomOperations({
      model,
      tried: alice.remote,
      random,
      wait: (promise) => drive(clock, promise),
    });
    let darknesses = 0;
    for (let i = 0; i < 12_000; i++) {
      const allLight = networks.every((network) => network.conditions.lossRate < 1);
      const network = networks[Math.floor(random() * networks.length)];
      if (i % 50 === 25 && allLight && network !== undefined) {
        darknesses += 1;
        clock.after(random() * 20, () => (network.conditions.lossRate = 1));
        clock.after(3_000 + random() * 20_000, () => (network.conditions.lossRate = conditions.lossRate));
      }
      await operations.step();
    }
    await operations.finish();
    assert.deepEqual(await snapshot(bob.served), await snapshot(model));
    const { callsResent } = alice.channel.statistics;
    assert.ok(darknesses >= 3 && callsResent > 0, `${darknesses} darknesses, ${callsResent} calls sent again`);
    dialling.cancel();
    alice.close();
    bob.close();
  });
});
