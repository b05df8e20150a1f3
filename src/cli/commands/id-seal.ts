import { Flags } from '@oclif/core';
import { command } from '../command.ts';
import { newPassphrase } from '../passphrase.ts';

// Loaded by those who need it. (Within `export default` TypeScript 6.0 leaves the .ts of an import() as it is.)
const loadKeys = () => import('../../daemon/keys.ts');

export default command({
  summary: 'Seal the identity under a passphrase, which the node then asks for when it starts.',
  description:
    'Whoever copies the home then has the secrets that peers share with you, but cannot be you. There is no way back without the passphrase.',
  examples: ['id seal', 'id seal --passphrase-file ~/passphrase'],
  flags: {
    'passphrase-file': Flags.string({ summary: 'A file (0600) that holds the passphrase.', helpValue: '<file>' }),
  },
  async run({ flags, home, print }) {
    const { checkUnsealed, sealIdentity } = await loadKeys();
    checkUnsealed(home);
    await sealIdentity(home, newPassphrase(flags['passphrase-file']));
    print({ sealed: true }, 'The identity is sealed. The passphrase is asked for when the node starts next.');
  },
});
