import { EXIT, PeerfsError } from '../../errors.ts';
import { isAlive } from '../../daemon/process-state.ts';
import { command } from '../command.ts';

/** Longer than the node gives its open files to reach their peers. */
const LIMIT_MS = 30_000;
const LOOK_MS = 20;

export default command({
  summary: 'Stop the node: what was written is sent, folders are unmounted, peers are told.',
  examples: ['stop'],
  async run({ ask, print }) {
    const { pid } = await ask('stop', {});
    for (const end = performance.now() + LIMIT_MS; isAlive(pid);) {
      if (performance.now() > end) {
        throw new PeerfsError('ETIMEDOUT', `the node (process ${pid}) does not end`, {
          hint: `Its mounts are gone with it: kill -9 ${pid}`,
        });
      }
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    }
    print({ pid }, 'The node has stopped.');
    process.exitCode = EXIT.ok;
  },
});
