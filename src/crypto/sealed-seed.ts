/**
 * The seed of an identity sealed under a passphrase:
 *
 *     peerfs-identity-1: [salt 16][nonce 24][XChaCha20-Poly1305(seed 32) + tag 16]
 *
 * The key is Argon2id of the passphrase (NFC, UTF-8) and the salt, with the parameters of code-key.ts.
 */
import { randomBytes } from 'node:crypto';
import { codeKey } from './code-key.ts';
import { SEED_BYTES } from './identity.ts';
import { isSealedSeed, SEALED_SEED_PREFIX } from './sealed-seed-format.ts';
import { TAG_BYTES, xchachaOpen, xchachaSeal, XNONCE_BYTES } from './sodium.ts';

const SALT_BYTES = 16;
const PREFIX_BYTES = SEALED_SEED_PREFIX.length;

/** Takes a quarter of a second, in a thread of its own. */
export async function sealSeed(seed: Uint8Array, passphrase: string): Promise<Uint8Array> {
  if (seed.length !== SEED_BYTES) throw new RangeError('not a seed');
  const salt = randomBytes(SALT_BYTES);
  const nonce = randomBytes(XNONCE_BYTES);
  const key = await codeKey(passphrase.normalize('NFC'), salt);
  const sealed = xchachaSeal(seed, nonce, key);
  key.fill(0);
  return Buffer.concat([Buffer.from(SEALED_SEED_PREFIX), salt, nonce, sealed]);
}

/** @returns 'damaged' for what is no sealed seed; undefined when the passphrase is not the one (or a byte was changed). */
export async function openSeed(bytes: Uint8Array, passphrase: string): Promise<Uint8Array | 'damaged' | undefined> {
  const nonceAt = PREFIX_BYTES + SALT_BYTES;
  const sealedAt = nonceAt + XNONCE_BYTES;
  if (!isSealedSeed(bytes) || bytes.length !== sealedAt + SEED_BYTES + TAG_BYTES) return 'damaged';
  const key = await codeKey(passphrase.normalize('NFC'), bytes.subarray(PREFIX_BYTES, nonceAt));
  const seed = xchachaOpen(bytes.subarray(sealedAt), bytes.subarray(nonceAt, sealedAt), key);
  key.fill(0);
  return seed;
}
