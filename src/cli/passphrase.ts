/** The passphrase of a sealed identity: from a file, or asked on the terminal; never from argv or the environment. */
import { resolve } from 'node:path';
import type { Home } from '../daemon/home.ts';
import { isIdentitySealed } from '../daemon/sealed-identity.ts';
import { readSecret } from '../daemon/turn-servers.ts';
import { PeerfsError } from '../errors.ts';
import { askSecret } from './prompt.ts';

/** @returns undefined where the identity is not sealed. @throws PASSPHRASE_NEEDED, CONFIG_INVALID */
export function passphraseFor(home: Home, file: string | undefined): string | undefined {
  return isIdentitySealed(home) ? givenPassphrase(file, 'Passphrase of the identity (not shown): ') : undefined;
}

/** @throws PASSPHRASE_NEEDED, CONFIG_INVALID */
export function givenPassphrase(file: string | undefined, question: string): string {
  const given = file === undefined ? askSecret(question) : readSecret(resolve(file));
  if (given !== undefined && given !== '') return given;
  throw new PeerfsError('PASSPHRASE_NEEDED', 'no passphrase was given', {
    hint: 'Run it in a terminal, or name a file that holds the passphrase: --passphrase-file.',
  });
}

/** Asked twice, because it is not shown. @throws PASSPHRASE_NEEDED, CONFIG_INVALID, USAGE */
export function newPassphrase(file: string | undefined): string {
  const first = givenPassphrase(file, 'New passphrase (not shown): ');
  if (file !== undefined || askSecret('The same once more: ') === first) return first;
  throw new PeerfsError('USAGE', 'the two are not the same', { hint: 'Nothing was changed. Try again.' });
}
