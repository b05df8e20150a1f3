import { Args } from '@oclif/core';
import { command } from '../command.ts';

export default command({
  summary: 'Revoke an open invitation, or stop accepting one.',
  examples: ['invite revoke k3x9'],
  args: { ID: Args.string({ description: 'from `peerfs invite list`', required: true }) },
  async run({ args, ask, print }) {
    const done = await ask('invite.revoke', { id: args.ID });
    print(done, `Revoked ${done.id}.`);
  },
});
