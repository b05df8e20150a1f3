import { Args } from '@oclif/core';
import { resolve } from 'node:path';
import { codeOf } from '../../errors.ts';
import { escapeControls } from '../../log.ts';
import { command } from '../command.ts';

/** Longer than a node takes for it, whatever its peers do. */
const LIMIT_MS = 4000;

// Loaded by those who need it. (Within `export default` TypeScript 6.0 leaves the .ts of an import() as it is.)
const loadAbandonedMount = () => import('../../daemon/abandoned-mount.ts');

export default command({
  summary: 'Take the mount down; the node keeps running.',
  description: 'What a node left behind that was killed, or that does not answer, is taken down without it.',
  examples: ['unmount', 'unmount ~/friends'],
  args: { DIR: Args.string({ description: 'what to unmount; all there is if left out' }) },
  async run({ args, ask, home, print }) {
    const directory = args.DIR === undefined ? undefined : resolve(args.DIR);
    const done = await ask('unmount', { directory }, { limitMs: LIMIT_MS }).catch(async (error: unknown) => {
      const code = codeOf(error);
      if (code !== 'NODE_NOT_RUNNING' && code !== 'ETIMEDOUT') throw error;
      const { takeDownAbandoned } = await loadAbandonedMount();
      const freed = await takeDownAbandoned(home, directory, code === 'NODE_NOT_RUNNING');
      if (freed === undefined) throw error;
      return { directory: freed };
    });
    print(done, `Unmounted ${escapeControls(done.directory)}`);
  },
});
