/** In which order a program goes through the directories of a directory, told from one step. Pure. */
import type { ByteString } from '../bytestring.ts';

export const ORDERS = ['listed', 'inode', 'name'] as const;
export type WalkOrderName = (typeof ORDERS)[number];

/** A directory, among others in the order of the listing. */
export interface WalkedName {
  readonly path: ByteString;
  /** As programs see it; rounding does no harm. */
  readonly inode: number;
}

/** @returns what follows `last` in that order; undefined if nothing does. */
export function nextIn(names: readonly WalkedName[], order: WalkOrderName, last: ByteString): ByteString | undefined {
  const at = names.findIndex(({ path }) => path === last);
  const from = names[at];
  if (from === undefined) return undefined;
  if (order === 'listed') return names[at + 1]?.path;
  const isAfter = (a: WalkedName, b: WalkedName) => (order === 'inode' ? a.inode > b.inode : a.path > b.path);
  let next: WalkedName | undefined;
  for (const name of names) if (isAfter(name, from) && (next === undefined || isAfter(next, name))) next = name;
  return next?.path;
}
