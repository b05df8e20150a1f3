/**
 * What becomes of directories whose names a call changes: their attributes go with its reply, so that the caller, whose
 * kernel looks at them again after each change, need not ask.
 */
import { nameOf, parentOf, type ByteString } from '../bytestring.ts';
import type { Attributes } from '../wire/schema.ts';
import type { ServedFolder } from './served-handles.ts';

export interface ChangedDirectories {
  readonly directories: readonly Attributes[];
  readonly order: number;
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
