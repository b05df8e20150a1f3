import { Args } from '@oclif/core';
import { resolve } from 'node:path';
import { escapeControls } from '../../log.ts';
import { command } from '../command.ts';

export default command({
  summary: 'Take the mount down; the node keeps running.',
  examples: ['unmount', 'unmount ~/friends'],
  args: { DIR: Args.string({ description: 'what to unmount; all there is if left out' }) },
  async run({ args, ask, print }) {
    const done = await ask('unmount', { directory: args.DIR === undefined ? undefined : resolve(args.DIR) });
    print(done, `Unmounted ${escapeControls(done.directory)}`);
  },
});
