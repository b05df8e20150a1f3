/**
 * The node's identity on disk, 0600, made at the first start: the 32-byte seed of its key pair, or that seed sealed under a
 * passphrase.
 */
import { closeSync, fsyncSync, fstatSync, openSync, readFileSync, renameSync, rmSync, writeSync } from 'node:fs';
import { createIdentity, identityFromSeed, SEED_BYTES, type Identity } from '../crypto/identity.ts';
import { isSealedSeed } from '../crypto/sealed-seed-format.ts';
import { openSeed, sealSeed } from '../crypto/sealed-seed.ts';
import { PeerfsError } from '../errors.ts';
import type { Home } from './home.ts';

/**
 * @param passphrase of a sealed identity; else it does not matter.
 * @throws ENVIRONMENT when the file is damaged: a new identity would be a stranger to every peer; PASSPHRASE_NEEDED,
 *   WRONG_PASSPHRASE.
 */
export async function loadIdentity(home: Home, passphrase: string | undefined): Promise<Identity> {
  const kept = readIdentity(home.identityFile);
  if (kept === undefined) return makeIdentity(home);
  const seed = await seedOf(home, kept, passphrase);
  try {
    return identityFromSeed(seed);
  } finally {
    seed.fill(0);
    kept.fill(0);
  }
}

/** @throws ENOENT, EEXIST when it is sealed already */
export function checkUnsealed(home: Home): void {
  if (isSealedSeed(existingIdentity(home))) {
    throw new PeerfsError('EEXIST', 'the identity is sealed already', {
      hint: 'To change the passphrase: peerfs id unseal, then peerfs id seal.',
    });
  }
}

/** @throws ENOENT, EINVAL when it is not sealed */
export function checkSealed(home: Home): void {
  if (isSealedSeed(existingIdentity(home))) return;
  throw new PeerfsError('EINVAL', 'the identity is not sealed', { hint: 'peerfs id seal seals it.' });
}

/** A node that runs goes on with the keys that it has. @throws as checkUnsealed; ENVIRONMENT when the file is damaged. */
export async function sealIdentity(home: Home, passphrase: string): Promise<void> {
  checkUnsealed(home);
  const seed = await seedOf(home, existingIdentity(home), undefined);
  replaceIdentity(home, await sealSeed(seed, passphrase));
  seed.fill(0);
}

/** @throws as checkSealed; WRONG_PASSPHRASE */
export async function unsealIdentity(home: Home, passphrase: string): Promise<void> {
  checkSealed(home);
  const seed = await seedOf(home, existingIdentity(home), passphrase);
  replaceIdentity(home, seed);
  seed.fill(0);
}

async function seedOf(home: Home, kept: Buffer, passphrase: string | undefined): Promise<Uint8Array> {
  if (!isSealedSeed(kept)) {
    if (kept.length === SEED_BYTES) return kept;
    throw damaged(home);
  }
  if (passphrase === undefined) {
    throw new PeerfsError('PASSPHRASE_NEEDED', 'the identity is sealed under a passphrase, and none was given', {
      hint: 'Run it in a terminal, or name a file that holds the passphrase: --passphrase-file.',
    });
  }
  const seed = await openSeed(kept, passphrase);
  if (seed === 'damaged') throw damaged(home);
  if (seed !== undefined) return seed;
  throw new PeerfsError('WRONG_PASSPHRASE', 'the passphrase is wrong', {
    hint: 'Mind capitals and the layout of the keyboard. Without it the identity cannot be had back.',
  });
}

function damaged(home: Home): PeerfsError {
  return new PeerfsError('ENVIRONMENT', `the identity ${home.identityFile} is damaged`, {
    hint: 'Restore it from a backup. (Moving it away makes a new identity, which no peer knows.)',
  });
}

function readIdentity(file: string): Buffer | undefined {
  try {
    return readFileSync(file);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}

function existingIdentity(home: Home): Buffer {
  const kept = readIdentity(home.identityFile);
  if (kept !== undefined) return kept;
  throw new PeerfsError('ENOENT', `there is no identity in ${home.directory} yet`, {
    hint: 'It is made when the node starts first: peerfs start.',
  });
}

function makeIdentity(home: Home): Identity {
  const identity = createIdentity();
  writeIdentity(home, identity.secretKey.subarray(0, SEED_BYTES));
  return identity;
}

/** The old bytes are written over where they stand, as far as the disk does that. */
function replaceIdentity(home: Home, bytes: Uint8Array): void {
  const before = openSync(home.identityFile, 'r+');
  try {
    writeIdentity(home, bytes);
    writeSync(before, Buffer.alloc(fstatSync(before).size), 0, undefined, 0);
    fsyncSync(before);
  } finally {
    closeSync(before);
  }
}

function writeIdentity(home: Home, bytes: Uint8Array): void {
  const temporary = `${home.identityFile}.new`;
  const file = openSync(temporary, 'w', 0o600);
  try {
    // A disk that is full may take some of it.
    if (writeSync(file, bytes) < bytes.length) throw new PeerfsError('ENOSPC', 'no room for the identity');
    fsyncSync(file);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  } finally {
    closeSync(file);
  }
  renameSync(temporary, home.identityFile);
}
