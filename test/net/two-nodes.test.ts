import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createMemoryTree } from '../fs/memory-tree.ts';
import { createRandomOperations, snapshot } from '../fs/random-operations.ts';
import { createManualClock } from '../manual-clock.ts';
import { createRandom } from '../wire/samples.ts';
import { createMemoryPathPair } from './memory-path.ts';
import { createTestNode, drive } from './node-pair.ts';

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
});
