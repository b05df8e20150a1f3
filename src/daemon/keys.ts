/** The node's identity on disk: the 32-byte seed of its key pair, 0600, made at the first start. */
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, rmSync, writeSync } from 'node:fs';
import { createIdentity, identityFromSeed, type Identity } from '../crypto/identity.ts';
import { PeerfsError } from '../errors.ts';
import type { Home } from './home.ts';

const SEED_BYTES = 32;

/** @throws ENVIRONMENT when the file is damaged: a new identity would be a stranger to every peer. */
export function loadIdentity(home: Home): Identity {
  const seed = readSeed(home.identityFile);
  if (seed === undefined) return makeIdentity(home);
  try {
    if (seed.length !== SEED_BYTES) {
      throw new PeerfsError('ENVIRONMENT', `the identity ${home.identityFile} is damaged`, {
        hint: 'Restore it from a backup. (Moving it away makes a new identity, which no peer knows.)',
      });
    }
    return identityFromSeed(seed);
  } finally {
    seed.fill(0);
  }
}

function readSeed(file: string): Buffer | undefined {
  try {
    return readFileSync(file);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}

function makeIdentity(home: Home): Identity {
  const identity = createIdentity();
  const temporary = `${home.identityFile}.new`;
  const file = openSync(temporary, 'w', 0o600);
  try {
    writeSync(file, identity.secretKey, 0, SEED_BYTES);
    fsyncSync(file);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  } finally {
    closeSync(file);
  }
  renameSync(temporary, home.identityFile);
  return identity;
}
