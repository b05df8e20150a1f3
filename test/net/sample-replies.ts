/** Replies of calls that channels are tried with. */

/** Of rmdir and unlink, which run once. */
export const REMOVED = { change: 1, directories: [], order: 0, sole: 0, soleMs: 0 };
