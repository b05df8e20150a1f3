import { Args } from '@oclif/core';
import { command } from '../command.ts';

export default command({
  summary: 'End a share. The folder stays as it is.',
  examples: ['unshare Photos'],
  args: { NAME: Args.string({ description: "the share's name", required: true }) },
  async run({ args, ask, print }) {
    const done = await ask('unshare', { name: args.NAME });
    print(done, `${done.name} is no longer shared.`);
  },
});
