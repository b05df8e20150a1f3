import { Flags } from '@oclif/core';
import { command } from '../command.ts';
import { givenPassphrase } from '../passphrase.ts';

// Loaded by those who need it. (Within `export default` TypeScript 6.0 leaves the .ts of an import() as it is.)
const loadKeys = () => import('../../daemon/keys.ts');

export default command({
  summary: 'Take the passphrase off the identity.',
  examples: ['id unseal', 'id unseal --passphrase-file ~/passphrase'],
  flags: {
    'passphrase-file': Flags.string({ summary: 'A file (0600) that holds the passphrase.', helpValue: '<file>' }),
  },
  async run({ flags, home, print }) {
    const { checkSealed, unsealIdentity } = await loadKeys();
    checkSealed(home);
    const passphrase = givenPassphrase(flags['passphrase-file'], 'Passphrase of the identity (not shown): ');
    await unsealIdentity(home, passphrase);
    print({ sealed: false }, 'The identity is no longer sealed.');
  },
});
