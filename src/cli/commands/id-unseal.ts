import { Flags } from '@oclif/core';
import { command } from '../command.ts';
import { givenPassphrase } from '../passphrase.ts';

export default command({
  summary: 'Take the passphrase off the identity.',
  examples: ['id unseal', 'id unseal --passphrase-file ~/passphrase'],
  flags: {
    'passphrase-file': Flags.string({ summary: 'A file (0600) that holds the passphrase.', helpValue: '<file>' }),
  },
  async run({ flags, home, print }) {
    const { checkSealed, unsealIdentity } = await import('../../daemon/keys.ts');
    checkSealed(home);
    const passphrase = givenPassphrase(flags['passphrase-file'], 'Passphrase of the identity (not shown): ');
    await unsealIdentity(home, passphrase);
    print({ sealed: false }, 'The identity is no longer sealed.');
  },
});
