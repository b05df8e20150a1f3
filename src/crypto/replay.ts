/**
 * Replay window: which counters of a session were seen (RFC 6479's ring of words, so that nothing is shifted).
 */

const WORD_BITS = 32;
const WORDS = 256; // a power of two
/** A counter this far below the highest seen, or farther, counts as seen. */
export const REPLAY_WINDOW = (WORDS - 1) * WORD_BITS;

export interface ReplayWindow {
  /** Whether `counter` (a whole number from 0) is new; changes nothing. */
  isNew(counter: number): boolean;
  /** Notes a counter that isNew() and whose message was authentic. */
  note(counter: number): void;
}

export function createReplayWindow(): ReplayWindow {
  const seen = new Uint32Array(WORDS);
  let highest = -1;
  const wordOf = (counter: number): number => Math.floor(counter / WORD_BITS);

  return {
    isNew(counter) {
      if (counter > highest) return true;
      if (counter + REPLAY_WINDOW <= highest) return false;
      return ((seen[wordOf(counter) % WORDS] ?? 0) & (1 << (counter % WORD_BITS))) === 0;
    },
    note(counter) {
      const word = wordOf(counter);
      if (counter > highest) {
        const from = highest < 0 ? -1 : wordOf(highest);
        for (let w = Math.max(from + 1, word - WORDS + 1); w <= word; w++) seen[w % WORDS] = 0;
        highest = counter;
      }
      seen[word % WORDS] = (seen[word % WORDS] ?? 0) | (1 << (counter % WORD_BITS));
    },
  };
}
