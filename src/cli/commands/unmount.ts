import { Args } from '@oclif/core';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { codeOf } from '../../errors.ts';
import { isStopped } from '../../daemon/process-state.ts';
import { escapeControls } from '../../log.ts';
import { command } from '../command.ts';

/** Longer than a node takes for it, whatever its peers do. */
const LIMIT_MS = 4000;
/** One that was stopped (Ctrl-Z, SIGSTOP) answers only if it goes on just now. */
const STOPPED_LIMIT_MS = 300;

// Loaded by those who need it. (Within `export default` TypeScript 6.0 leaves the .ts of an import() as it is.)
const loadAbandonedMount = () => import('../../daemon/abandoned-mount.ts');

export default command({
  summary: 'Take the mount down; the node keeps running.',
  description: 'What a node left behind that was killed, or that does not answer, is taken down without it.',
  examples: ['unmount', 'unmount ~/friends'],
  args: { DIR: Args.string({ description: 'what to unmount; all there is if left out' }) },
  async run({ args, ask, home, print }) {
    const directory = args.DIR === undefined ? undefined : resolve(args.DIR);
    const limitMs = isNodeStopped(home.pidFile) ? STOPPED_LIMIT_MS : LIMIT_MS;
    const done = await ask('unmount', { directory }, { limitMs }).catch(async (error: unknown) => {
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

function isNodeStopped(pidFile: string): boolean {
  try {
    return isStopped(Number(readFileSync(pidFile, 'latin1')));
  } catch {
    return false;
  }
}
