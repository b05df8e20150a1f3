/**
 * Inode numbers of the mount. One mount is one device to programs, so the number alone has to tell files of different
 * peers and shares apart (cp -a and tar take equal numbers for hard links of one file). It is a keyed hash, 64 bits, of
 * (peer, share, device, inode, birth): the same after a remount, and not to be steered by a peer that picks its inode
 * numbers.
 *
 * The hash is HalfSipHash-2-4 with 64 bits of output (Aumasson, Bernstein: SipHash, and its reference code), which
 * needs 32-bit arithmetic only.
 */
import { createHmac } from 'node:crypto';
import type { FileIdentity } from './remote-file.ts';

/** Numbers below are not given to files: 1 is the root's, 0 means none. */
const FIRST = 16n;

/** Two halves of a key for HalfSipHash. */
export type HashKey = readonly [number, number];

/** The key for the files of one share of one peer. @param homeKey random bytes of the home. */
export function shareKey(homeKey: Uint8Array, peerId: string, share: number): HashKey {
  const digest = createHmac('sha256', homeKey).update(`${peerId} ${share}`).digest();
  return [digest.readUInt32LE(0), digest.readUInt32LE(4)];
}

export function inodeNumber(key: HashKey, { device, inode, birthSec, birthNsec }: FileIdentity): bigint {
  WORDS[0] = Number(inode & 0xffff_ffffn);
  WORDS[1] = Number((inode >> 32n) & 0xffff_ffffn);
  WORDS[2] = Number(device & 0xffff_ffffn);
  WORDS[3] = Number((device >> 32n) & 0xffff_ffffn);
  WORDS[4] = birthSec >>> 0;
  WORDS[5] = Math.floor(birthSec / 2 ** 32) >>> 0;
  WORDS[6] = birthNsec;
  const [high, low] = halfSipHash(key, WORDS);
  const number = (BigInt(high) << 32n) | BigInt(low);
  return number < FIRST ? number + FIRST : number;
}

const WORDS = new Uint32Array(7);

/** HalfSipHash-2-4-64 of whole 32-bit words. @returns the output's second and first word. */
export function halfSipHash([k0, k1]: HashKey, words: Uint32Array): [number, number] {
  let v0 = k0 | 0;
  let v1 = (k1 ^ 0xee) | 0;
  let v2 = (0x6c796765 ^ k0) | 0;
  let v3 = (0x74656462 ^ k1) | 0;
  const round = () => {
    v0 = (v0 + v1) | 0;
    v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
    v0 = (v0 << 16) | (v0 >>> 16);
    v2 = (v2 + v3) | 0;
    v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
    v0 = (v0 + v3) | 0;
    v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
    v2 = (v2 + v1) | 0;
    v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
    v2 = (v2 << 16) | (v2 >>> 16);
  };
  for (const word of words) {
    v3 ^= word;
    round();
    round();
    v0 ^= word;
  }
  const last = ((words.length * 4) << 24) | 0;
  v3 ^= last;
  round();
  round();
  v0 ^= last;
  v2 ^= 0xee;
  for (let index = 0; index < 4; index++) round();
  const low = (v1 ^ v3) >>> 0;
  v1 ^= 0xdd;
  for (let index = 0; index < 4; index++) round();
  return [(v1 ^ v3) >>> 0, low];
}
