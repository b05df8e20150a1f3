/**
 * What becomes of directories whose names a call changes: their attributes go with its reply, so that the caller, whose
 * kernel looks at them again after each change, need not ask.
 */
import { nameOf, parentOf, type ByteString } from '../bytestring.ts';
import { SOLE, type Attributes } from '../wire/schema.ts';
import type { ServedFolder } from './served-handles.ts';

export interface ChangedDirectories {
  readonly directories: readonly Attributes[];
  readonly order: number;
}

/** Where the peer is alone. */
export interface SoleDirectories {
  readonly sole: number;
  readonly soleMs: number;
}

/**
 * To be called when a change of names was answered by all whom it concerns.
 * @param path whose directory was changed. @param made a directory that was made.
 */
export function soleAfter({ leases, holder }: ServedFolder, path: ByteString, made?: ByteString): SoleDirectories {
  const parentMs = leases.grantSole(holder, parentOf(path));
  const madeMs = made === undefined ? 0 : leases.grantSole(holder, made);
  return { sole: (parentMs > 0 ? SOLE.parent : 0) | (madeMs > 0 ? SOLE.made : 0), soleMs: Math.max(parentMs, madeMs) };
}

/** Of a call that changed no names. */
export const NO_NAMES: ChangedDirectories & SoleDirectories = { directories: [], order: 0, sole: 0, soleMs: 0 };

/** Whether a lease of the peer covers the attributes of the directory of `path`; it is told of the next change, too. */
export function coversDirectory({ leases, holder }: ServedFolder, path: ByteString): boolean {
  const directory = parentOf(path);
  return leases.rearm(holder, parentOf(directory), nameOf(directory));
}

/**
 * To be called right after the change has been asked of the tree, before any await: trees keep the order of calls.
 * @param paths whose names change; never rejects.
 */
export async function directoriesAfter(served: ServedFolder, ...paths: ByteString[]): Promise<ChangedDirectories> {
  const { leases, holder, tree } = served;
  const order = leases.nextOrder();
  const changed = new Set(paths.map(parentOf));
  for (const directory of changed) {
    if (!leases.rearm(holder, parentOf(directory), nameOf(directory))) return { directories: [], order };
  }
  try {
    return { directories: await Promise.all([...changed].map((directory) => tree.getattr(directory, 0))), order };
  } catch {
    return { directories: [], order };
  }
}
