import { Flags } from '@oclif/core';
import { checkAddress, parseDuration } from '../arguments.ts';
import { command } from '../command.ts';

export default command({
  summary: 'Invite someone: prints an invitation and, apart from it, a code.',
  description:
    'Send the invitation any way you like and tell the code by another way (aloud, say): each is worthless without the other. It can be accepted once. Naming a known peer that is offline lets it come back after it lost its home: it takes its old place.',
  examples: ['invite --name bob', 'invite --name bob --expires 7d', 'invite --address 203.0.113.7:41000'],
  flags: {
    name: Flags.string({ summary: 'What the new peer will be called here.', helpValue: '<petname>' }),
    expires: Flags.string({ summary: 'How long it can be accepted: 90s, 30m, 24h, 7d.', default: '24h' }),
    address: Flags.string({
      summary: "Addresses to put in, instead of the node's own (a forwarded port, a proxy).",
      helpValue: '<host:port>',
      multiple: true,
    }),
  },
  async run({ flags, ask, print }) {
    const invite = await ask('invite', {
      name: flags.name,
      lifeMs: parseDuration(flags.expires),
      addresses: flags.address?.map(checkAddress),
    });
    const until = new Date(invite.expiresAt).toLocaleString();
    print(
      invite,
      `The invitation, to send (valid once, until ${until}):\n\n${invite.invitation}\n\n` +
        `The code, to tell by another way:\n\n    ${invite.code}\n\nYour guest runs: peerfs accept <invitation>`,
    );
  },
});
