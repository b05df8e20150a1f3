/** What calls of a peer change, in the terms of leases, and what of a file a lease can cover. */
import { parentOf, type ByteString } from '../bytestring.ts';
import { RECALL, SETATTR, type Attributes, type RequestOf } from '../wire/schema.ts';
import type { AttributeChange, TreeChange } from './tree.ts';

const S_IFMT = 0o170000;
const S_IFDIR = 0o040000;

export const fileChanged = (path: ByteString): TreeChange => ({ path, what: RECALL.attributes });
export const contentsChanged = (path: ByteString): TreeChange => ({ path, what: RECALL.attributes | RECALL.contents });
export const subtreeChanged = (path: ByteString): TreeChange => ({ path, what: RECALL.subtree });
/** A name came, went or changed in the directory of `path`. */
export const namesChanged = (path: ByteString): TreeChange[] => [
  { path: parentOf(path), what: RECALL.entries | RECALL.attributes },
];

export const isDirectory = ({ mode }: Attributes): boolean => (mode & S_IFMT) === S_IFDIR;
/** Whether a lease can promise anything about the file: not if it has names elsewhere. */
export const isCovered = (attributes: Attributes): boolean => attributes.nlink <= 1 || isDirectory(attributes);

type SetattrFields = Omit<RequestOf<'setattr'>, 'share' | 'path' | 'handle'>;

/** What fields of a call ask to be set. */
export function attributeChange(fields: SetattrFields): AttributeChange {
  const { valid } = fields;
  return {
    ...(valid & SETATTR.mode ? { mode: fields.mode } : {}),
    ...(valid & SETATTR.uid ? { uid: fields.uid } : {}),
    ...(valid & SETATTR.gid ? { gid: fields.gid } : {}),
    ...(valid & SETATTR.size ? { size: fields.size } : {}),
    ...(valid & SETATTR.atimeNow
      ? { atime: 'now' as const }
      : valid & SETATTR.atime
        ? { atime: { sec: fields.atimeSec, nsec: fields.atimeNsec } }
        : {}),
    ...(valid & SETATTR.mtimeNow
      ? { mtime: 'now' as const }
      : valid & SETATTR.mtime
        ? { mtime: { sec: fields.mtimeSec, nsec: fields.mtimeNsec } }
        : {}),
  };
}
