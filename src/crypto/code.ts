/**
 * The code that goes with an invitation: six words of the EFF's large list, 77.5 bits.
 */

export const CODE_WORDS = 6;

/** Six random words joined by '-'. */
export function generateCode(): string {
  throw new Error('not built yet');
}

/**
 * What a person typed, as generateCode would have written it: case, spaces and dashes do not matter, and a
 * beginning that only one word has stands for that word.
 * @throws PeerfsError INVITE_UNKNOWN_WORD naming the position of the wrong word and words near it (not the word
 * as typed), or the wrong number of words.
 */
export function parseCode(text: string): string {
  void text;
  throw new Error('not built yet');
}

/** Words that begin with `prefix`, for completion; at most `limit`. */
export function completeWord(prefix: string, limit: number): string[] {
  void prefix;
  void limit;
  throw new Error('not built yet');
}
