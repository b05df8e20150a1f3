import { Args } from '@oclif/core';
import { command } from '../command.ts';

export default command({
  summary: 'Forget a peer: its session ends, its secrets are deleted, it gets no answer any more.',
  description: 'Its inbox stays on the disk. A new invitation is needed to meet again.',
  examples: ['peers remove bob'],
  args: { NAME: Args.string({ description: "the peer's name", required: true }) },
  async run({ args, ask, print }) {
    const done = await ask('peers.remove', { name: args.NAME });
    print(done, `${done.name} is no longer a peer.`);
  },
});
