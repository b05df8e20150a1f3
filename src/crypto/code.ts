/**
 * The code that goes with an invitation: six words of the EFF's large list, 77.5 bits, because a sniffed invitation
 * can be attacked without its maker noticing.
 *
 * Reading is forgiving where nothing is lost by it, and names a wrong word before the slow key derivation runs.
 */
import { randomInt } from 'node:crypto';
import { PeerfsError } from '../errors.ts';
import { WORDS } from './wordlist.ts';

export const CODE_WORDS = 6;

/** Most suggestions in an error. */
const SUGGESTIONS = 3;
/** A word is suggested if so many letters were added, lost, changed or swapped, at most. */
const NEAR = 2;

const KNOWN = new Set(WORDS);

/** Six random words joined by '-'. @param pick a uniformly random whole number below its argument. */
export function generateCode(pick: (below: number) => number = randomInt): string {
  return Array.from({ length: CODE_WORDS }, () => WORDS[pick(WORDS.length)] ?? '').join('-');
}

/**
 * What a person typed, as generateCode would have written it: case, spaces and dashes do not matter, and a
 * beginning that only one word has stands for that word.
 * @throws PeerfsError INVITE_UNKNOWN_WORD naming the position of the wrong word and words near it, or the wrong
 * number of words; never the text as typed.
 */
export function parseCode(text: string): string {
  const typed = text
    .normalize('NFKC')
    .toLowerCase()
    .split(/[^\p{L}\p{N}]+/u)
    .filter((word) => word !== '');
  const words = typed.map((word, index) => completeOne(word, index + 1));
  if (words.length !== CODE_WORDS) {
    throw new PeerfsError(
      'INVITE_UNKNOWN_WORD',
      `a code has ${CODE_WORDS} words, and ${words.length === 0 ? 'none was' : `${words.length} were`} given`,
      { hint: `Type all ${CODE_WORDS} words of the code that came with the invitation.` },
    );
  }
  return words.join('-');
}

function completeOne(typed: string, position: number): string {
  if (KNOWN.has(typed)) return typed;
  const longer = completeWord(typed, SUGGESTIONS + 1);
  if (longer.length === 1 && longer[0] !== undefined) return longer[0];
  const near = longer.length > 0 ? longer : nearWords(typed);
  const problem = longer.length > 0 ? 'could be several words' : 'is not in the word list';
  const more = near.length > SUGGESTIONS ? ', ...' : '';
  const suggestion = near.length === 0 ? '' : ` (${near.slice(0, SUGGESTIONS).join(', ')}${more}?)`;
  throw new PeerfsError('INVITE_UNKNOWN_WORD', `word ${position} of the code ${problem}${suggestion}`, {
    hint: 'Compare this word with the code that came with the invitation.',
  });
}

/** Words that begin with `prefix`, for completion, in alphabetical order; at most `limit`. */
export function completeWord(prefix: string, limit: number): string[] {
  // WORDS is sorted: find the first that is not below the prefix.
  let low = 0;
  let high = WORDS.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((WORDS[middle] ?? '') < prefix) low = middle + 1;
    else high = middle;
  }
  const words: string[] = [];
  for (let i = low; words.length < limit; i++) {
    const word = WORDS[i];
    if (word?.startsWith(prefix) !== true) break;
    words.push(word);
  }
  return words;
}

function nearWords(typed: string): string[] {
  return WORDS.map((word) => ({ word, distance: distance(typed, word) }))
    .filter((near) => near.distance <= NEAR)
    .sort((a, b) => a.distance - b.distance)
    .slice(0, SUGGESTIONS)
    .map((near) => near.word);
}

/** Damerau-Levenshtein distance (adjacent swaps count one), up to NEAR + 1. */
function distance(a: string, b: string): number {
  if (Math.abs(a.length - b.length) > NEAR) return NEAR + 1;
  let before: number[] = [];
  let above = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      let least = Math.min((above[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1, (above[j - 1] ?? 0) + (same ? 0 : 1));
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      if (swapped) least = Math.min(least, (before[j - 2] ?? 0) + 1);
      row.push(least);
    }
    before = above;
    above = row;
  }
  return above[b.length] ?? 0;
}
