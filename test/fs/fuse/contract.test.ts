/** The contract of FUSE bindings, held against ours over /dev/fuse. */
import { kernelContract } from '../kernel-contract.ts';
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { python, startMounted } from '../mounted-process.ts';

kernelContract('/dev/fuse', {
  start: (validMs) => startMounted(new URL('./memory-node.js', import.meta.url), { setting: { validMs } }),
  except: {},
});

test('contents that were stored are read without asking, whether or not they fill a page, until they are stale', async () => {
  const mounted = await startMounted(new URL('./memory-node.js', import.meta.url), { setting: { validMs: 600_000 } });
  try {
    const { directory } = mounted;
    const reads = async () => ((await mounted.ask({ do: 'counts' })) as { reads: number }).reads;
    const large = 'x'.repeat(100_000);
    for (const [name, text] of [
      ['small', 'of the peer'],
      ['page', 'y'.repeat(8192)],
      ['large', large],
    ] as const) {
      const look = () => python(`import sys; print(open(sys.argv[1]).read(), end='')`, `${directory}/${name}`);
      await python(`import sys; open(sys.argv[1], 'w').write('')`, `${directory}/${name}`);
      await mounted.ask({ do: 'change', name, text, notify: true });
      // Now the kernel knows how long it is.
      assert.equal(await look(), text);
      await mounted.ask({ do: 'change', name, text: text.toUpperCase(), notify: true });
      const before = await reads();
      assert.equal(await mounted.ask({ do: 'store', name, text: text.toUpperCase() }), true);
      assert.equal(await look(), text.toUpperCase());
      assert.equal(await reads(), before, 'the kernel did not ask');
      await mounted.ask({ do: 'change', name, text, notify: true });
      assert.equal(await look(), text);
    }
    assert.equal(await mounted.ask({ do: 'store', name: 'none', text: 'x' }), false);
  } finally {
    await mounted.close();
  }
});
