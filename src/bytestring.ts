/**
 * File names, paths and keys of maps as bytes. A ByteString is a JavaScript string in which every character is one byte
 * (U+0000 to U+00FF, "latin1"): it keeps any legal name, serves as a map key, and V8 stores it one byte a character.
 *
 * A path is a ByteString of names joined by '/', relative to the root of a share, without '.', '..', empty
 * names, NUL or a leading or trailing slash; the root itself is ''.
 */

export type ByteString = string & { readonly __bytes: unique symbol };

/** Linux: NAME_MAX and PATH_MAX, bytes. The second is of what one system call takes, the target of a link among it. */
export const NAME_MAX_BYTES = 255;
export const PATH_MAX_BYTES = 4095;
/** Of paths from the root of a share, bytes: one that a program names from a directory that is itself far down. */
export const SHARE_PATH_MAX_BYTES = 8191;

export const ROOT = '' as ByteString;

/** The bytes `start` to `end` of `bytes`; copies. */
export function fromBytes(bytes: Uint8Array, start = 0, end = bytes.length): ByteString {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1', start, end) as ByteString;
}

/** A fresh buffer with the bytes of `name`. */
export function toBytes(name: ByteString): Buffer {
  return Buffer.from(name, 'latin1');
}

/** The UTF-8 bytes of ordinary text. */
export function fromText(text: string): ByteString {
  return Buffer.from(text, 'utf8').toString('latin1') as ByteString;
}

/** For showing to people only: UTF-8 decoded with replacement characters. */
export function toText(name: ByteString): string {
  return Buffer.from(name, 'latin1').toString('utf8');
}

/** Whether `name` may stand as one component: 1 to 255 bytes, no '/', no NUL, not '.' or '..'. */
export function isName(name: string): name is ByteString {
  if (name.length === 0 || name.length > NAME_MAX_BYTES || name === '.' || name === '..') return false;
  return !name.includes('/') && !name.includes('\0');
}

/** Whether `path` is '' or names joined by single slashes, at most SHARE_PATH_MAX_BYTES long. */
export function isPath(path: string): path is ByteString {
  return path === '' || (path.length <= SHARE_PATH_MAX_BYTES && path.split('/').every(isName));
}

export function join(directory: ByteString, name: ByteString): ByteString {
  return (directory === '' ? name : `${directory}/${name}`) as ByteString;
}

/** Whether `path` is `top` or stands below it. */
export function isBelow(path: ByteString, top: ByteString): boolean {
  return top === '' || path === top || path.startsWith(`${top}/`);
}

/** The path without its last name; '' for a name in the root and for the root itself. */
export function parentOf(path: ByteString): ByteString {
  return path.slice(0, Math.max(0, path.lastIndexOf('/'))) as ByteString;
}

/** The last name of the path; '' for the root. */
export function nameOf(path: ByteString): ByteString {
  return path.slice(path.lastIndexOf('/') + 1) as ByteString;
}
