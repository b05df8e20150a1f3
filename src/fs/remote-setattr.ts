/** Changes of attributes as calls carry them. */
import { SETATTR, type RequestOf } from '../wire/schema.ts';
import type { AttributeChange, FileTime } from './tree.ts';

type SetattrFields = Omit<RequestOf<'setattr'>, 'share' | 'path' | 'handle'>;

export function setattrFields(change: AttributeChange): SetattrFields {
  const { mode, uid, gid, size, atime, mtime } = change;
  let valid = 0;
  if (mode !== undefined) valid |= SETATTR.mode;
  if (uid !== undefined) valid |= SETATTR.uid;
  if (gid !== undefined) valid |= SETATTR.gid;
  if (size !== undefined) valid |= SETATTR.size;
  if (atime !== undefined) valid |= atime === 'now' ? SETATTR.atimeNow : SETATTR.atime;
  if (mtime !== undefined) valid |= mtime === 'now' ? SETATTR.mtimeNow : SETATTR.mtime;
  const timeOf = (time: FileTime | 'now' | undefined) =>
    time === undefined || time === 'now' ? { sec: 0, nsec: 0 } : time;
  return {
    valid,
    mode: mode ?? 0,
    uid: uid ?? 0,
    gid: gid ?? 0,
    size: size ?? 0,
    atimeSec: timeOf(atime).sec,
    atimeNsec: timeOf(atime).nsec,
    mtimeSec: timeOf(mtime).sec,
    mtimeNsec: timeOf(mtime).nsec,
  };
}
