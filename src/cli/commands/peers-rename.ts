import { Args } from '@oclif/core';
import { command } from '../command.ts';

export default command({
  summary: 'Give a peer another name here.',
  examples: ['peers rename bob robert'],
  args: {
    NAME: Args.string({ description: 'its name now', required: true }),
    NEW: Args.string({ description: 'its new name', required: true }),
  },
  async run({ args, ask, print }) {
    const done = await ask('peers.rename', { name: args.NAME, newName: args.NEW });
    print(done, `${args.NAME} is now called ${done.name}.`);
  },
});
