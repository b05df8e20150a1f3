/** The operations of a LocalTree on extended attributes; only user.* exist. Runs on a disk thread. */
import type { ByteString } from '../bytestring.ts';
import { PeerfsError } from '../errors.ts';
import { statDescriptor } from '../sys/files.ts';
import { getXattr, listXattrs, removeXattr, setXattr } from '../sys/xattrs.ts';
import { S_IFLNK, S_IFMT } from './local-attributes.ts';
import { changing, type LocalState } from './local-state.ts';

/** Links have no user.* attributes, and /proc would lead on to their target. */
function isLink(descriptor: number): boolean {
  return (statDescriptor(descriptor).mode & S_IFMT) === S_IFLNK;
}

export function getxattr(state: LocalState, path: ByteString, name: ByteString): Uint8Array {
  return state.root.at(path, (descriptor) => {
    if (isLink(descriptor)) throw new PeerfsError('ENODATA');
    return getXattr(descriptor, name);
  });
}

export function setxattr(
  state: LocalState,
  path: ByteString,
  name: ByteString,
  value: Uint8Array,
  flags: number,
): void {
  changing(state, [path], () =>
    state.root.at(path, (descriptor) => {
      if (!name.startsWith('user.')) throw new PeerfsError('EOPNOTSUPP');
      if (isLink(descriptor)) throw new PeerfsError('EPERM');
      const set = () => setXattr(descriptor, name, value, flags);
      if (state.quota === undefined) {
        set();
        return;
      }
      state.quota.checkBytes(value.length);
      state.quota.around(descriptor, set);
    }),
  );
}

export function listxattr(state: LocalState, path: ByteString): readonly ByteString[] {
  return state.root.at(path, (descriptor) => (isLink(descriptor) ? [] : listXattrs(descriptor)));
}

export function removexattr(state: LocalState, path: ByteString, name: ByteString): void {
  changing(state, [path], () =>
    state.root.at(path, (descriptor) => {
      if (isLink(descriptor)) throw new PeerfsError('ENODATA');
      const remove = () => removeXattr(descriptor, name);
      if (state.quota === undefined) remove();
      else state.quota.around(descriptor, remove);
    }),
  );
}
