/**
 * The sealed text of an invitation: opaque bytes (src/wire describes them) under a code of words.
 *
 *     peerfs-invite-1: and base64url of
 *     [salt 16][nonce 24][XChaCha20-Poly1305([length u16][content][zeros up to a multiple of 64]) + tag 16][checksum 8]
 *
 * The key is Argon2id of the code and the salt. The checksum is BLAKE2b of all before it, the prefix included: it
 * tells damage, at no cost, from a wrong code. Nothing of the content is visible but its length in steps of 64.
 */
import { randomBytes } from 'node:crypto';
import { PeerfsError } from '../errors.ts';
import { codeKey } from './code-key.ts';
import { blake2b, TAG_BYTES, xchachaOpen, xchachaSeal, XNONCE_BYTES } from './sodium.ts';

/** Longest content. Bytes. */
export const INVITATION_MAX_BYTES = 4096;

/** Specification of version 1. Bytes. */
const PREFIX = 'peerfs-invite-1:';
const SALT_BYTES = 16;
const LENGTH_BYTES = 2;
const STEP_BYTES = 64;
const CHECKSUM_BYTES = 8;
const LEAST_BYTES = SALT_BYTES + XNONCE_BYTES + LENGTH_BYTES + TAG_BYTES + CHECKSUM_BYTES;
/** Longest text that is looked at, white space included. Characters. */
const TEXT_MAX = 16_384;

/** The shortest hash of libsodium's is 16 bytes; the first 8 serve. */
function checksum(bytes: Uint8Array): Uint8Array {
  return blake2b(16, Buffer.concat([Buffer.from(PREFIX), bytes])).subarray(0, CHECKSUM_BYTES);
}

/**
 * Takes a quarter of a second, in a thread of its own.
 * @param code as generateCode or parseCode gives it.
 * @throws RangeError if the content is longer than INVITATION_MAX_BYTES.
 */
export async function sealInvitation(content: Uint8Array, code: string): Promise<string> {
  if (content.length > INVITATION_MAX_BYTES) throw new RangeError('invitation too long');
  const salt = randomBytes(SALT_BYTES);
  const nonce = randomBytes(XNONCE_BYTES);
  const padded = Buffer.alloc(Math.ceil((LENGTH_BYTES + content.length) / STEP_BYTES) * STEP_BYTES);
  padded.writeUInt16LE(content.length);
  padded.set(content, LENGTH_BYTES);
  const key = await codeKey(code, salt);
  const sealed = Buffer.concat([salt, nonce, xchachaSeal(padded, nonce, key)]);
  key.fill(0);
  padded.fill(0);
  return PREFIX + Buffer.concat([sealed, checksum(sealed)]).toString('base64url');
}

/**
 * The sealed bytes without their checksum.
 * @throws PeerfsError INVITE_MALFORMED, INVITE_VERSION.
 */
function sealedBytes(text: string): Buffer {
  const damaged = (problem: string): PeerfsError =>
    new PeerfsError('INVITE_MALFORMED', problem, { hint: 'Copy the whole invitation again, or ask for a new one.' });
  if (text.length > TEXT_MAX) throw damaged('this is too long for an invitation');
  // Mail programs break lines, quote them with '>', and add invisible characters.
  const compact = text.replace(/[\s>\u200b-\u200d\u2060\ufeff]/g, '');
  const version = /^peerfs-invite-(\d{1,9}):/.exec(compact)?.[1];
  if (version === undefined) throw damaged('this is not an invitation');
  if (version !== '1') {
    throw new PeerfsError('INVITE_VERSION', `the invitation has format ${version}, which this version does not know`, {
      hint: 'Update peerfs.',
    });
  }
  const encoded = compact.slice(PREFIX.length);
  const bytes = Buffer.from(encoded, 'base64url');
  if (bytes.length < LEAST_BYTES || bytes.toString('base64url') !== encoded) {
    throw damaged('the invitation is damaged or incomplete');
  }
  const sealed = bytes.subarray(0, -CHECKSUM_BYTES);
  if (!bytes.subarray(-CHECKSUM_BYTES).equals(checksum(sealed))) {
    throw damaged('the invitation is damaged or incomplete');
  }
  return sealed;
}

/**
 * Checks all that can be checked without the code.
 * @throws PeerfsError INVITE_MALFORMED, INVITE_VERSION.
 */
export function checkInvitation(text: string): void {
  sealedBytes(text);
}

/**
 * Takes a quarter of a second, in a thread of its own.
 * @param text the invitation; white space and line breaks anywhere in it do not matter.
 * @param code from parseCode.
 * @throws PeerfsError INVITE_MALFORMED (damaged or not an invitation), INVITE_VERSION, INVITE_WRONG_CODE.
 */
export async function openInvitation(text: string, code: string): Promise<Uint8Array> {
  const sealed = sealedBytes(text);
  const key = await codeKey(code, sealed.subarray(0, SALT_BYTES));
  const nonceEnd = SALT_BYTES + XNONCE_BYTES;
  const padded = xchachaOpen(sealed.subarray(nonceEnd), sealed.subarray(SALT_BYTES, nonceEnd), key);
  key.fill(0);
  if (padded === undefined) {
    throw new PeerfsError('INVITE_WRONG_CODE', 'the code does not belong to this invitation', {
      hint: 'Compare the words with the code that came with this invitation.',
    });
  }
  const length = (padded[0] ?? 0) | ((padded[1] ?? 0) << 8);
  if (LENGTH_BYTES + length > padded.length)
    throw new PeerfsError('INVITE_MALFORMED', 'the invitation is inconsistent');
  return padded.subarray(LENGTH_BYTES, LENGTH_BYTES + length);
}
