/** Whether the identity waits for a passphrase. Light on purpose: the CLI loads this file. */
import { readFileSync } from 'node:fs';
import { isSealedSeed } from '../crypto/sealed-seed-format.ts';
import type { Home } from './home.ts';

export function isIdentitySealed(home: Home): boolean {
  try {
    return isSealedSeed(readFileSync(home.identityFile));
  } catch {
    // There is none yet, or the node will say what is wrong with it.
    return false;
  }
}
