/**
 * Contents of files whose every byte is known from a tag (which file, which version) and its position, so that what is found
 * can be told from what belongs to another file, another version or another place. No byte is 0, so holes are told, too.
 */
const RECORD_BYTES = 32;

/** The bytes from `from` to `end` of the contents with this tag (at most 20 ASCII characters). */
export function contentsOf(tag: string, from: number, end: number): Buffer {
  const first = Math.floor(from / RECORD_BYTES);
  const last = Math.ceil(end / RECORD_BYTES);
  let text = '';
  for (let record = first; record < last; record += 1) {
    text += `${tag} ${record}`.padEnd(RECORD_BYTES - 1, '.') + '\n';
  }
  return Buffer.from(text, 'latin1').subarray(from - first * RECORD_BYTES, end - first * RECORD_BYTES);
}

/** The tag that contents begin with; undefined if they do not look like any. */
export function tagOf(contents: Uint8Array): string | undefined {
  const text = Buffer.from(contents.subarray(0, RECORD_BYTES)).toString('latin1');
  return /^(\S+) 0\.*\n?$/.exec(text)?.[1];
}

/**
 * Compares what is there with what should be.
 * @param whole so many bytes must be as written; behind them each byte may also be missing (0).
 * @returns what is wrong, or undefined.
 */
export function faultOf(found: Buffer, tag: string, whole: number): string | undefined {
  if (found.length < whole) return `${found.length} bytes of ${whole}`;
  const right = contentsOf(tag, 0, found.length);
  if (found.equals(right)) return undefined;
  for (let at = 0; at < found.length; at += 1) {
    if (found[at] === right[at]) continue;
    if (at < whole) return `byte ${at} of ${whole} is ${found[at] ?? NaN}`;
    if (found[at] !== 0) return `byte ${at}, behind what was acknowledged, is foreign: ${found[at] ?? NaN}`;
  }
  return undefined;
}
