/** How a sealed seed is told from a plain one: by what it begins with. Light on purpose: the CLI looks, too. */

/** Specification of version 1. */
export const SEALED_SEED_PREFIX = 'peerfs-identity-1:';

export function isSealedSeed(bytes: Uint8Array): boolean {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    .toString('latin1')
    .startsWith(SEALED_SEED_PREFIX);
}
