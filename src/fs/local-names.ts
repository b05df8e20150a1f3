/**
 * The operations of a LocalTree on names: what exists where, what it is, and what it is called. Runs on a disk thread.
 */
import { fromBytes, PATH_MAX_BYTES, type ByteString } from '../bytestring.ts';
import { PeerfsError } from '../errors.ts';
import {
  asOwner,
  changeMode,
  changeOwner,
  changeTimes,
  closeDescriptor,
  makeDirectory,
  makeLink,
  makeLinkAt,
  makeNode,
  makeSymlink,
  O,
  openAt,
  readLink,
  removeName,
  renameName,
  reopen,
  statDescriptor,
} from '../sys/files.ts';
import { fileSystemSizes, setSize } from '../sys/file-data.ts';
import { OPEN, RENAME, type Attributes } from '../wire/schema.ts';
import { S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG } from './local-attributes.ts';
import {
  attributesOfDescriptor,
  changing,
  createsExactly,
  permitted,
  permittedDirectory,
  withFile,
  type LocalState,
} from './local-state.ts';
import type { AttributeChange, FileSystemStatus, Handle, Owner } from './tree.ts';

const S_ISGID = 0o2000;

export function statfs(state: LocalState, path: ByteString): FileSystemStatus {
  return state.root.at(path, (descriptor) => {
    const { type: _type, ...sizes } = fileSystemSizes(descriptor);
    return state.quota?.within(sizes) ?? sizes;
  });
}

export function getattr(state: LocalState, path: ByteString, handle: Handle): Attributes {
  return withFile(state, path, handle, (descriptor) => attributesOfDescriptor(state, descriptor));
}

export function setattr(state: LocalState, path: ByteString, handle: Handle, change: AttributeChange): Attributes {
  return changing(state, [path], () =>
    withFile(state, path, handle, (descriptor, open) => {
      setAttributes(state, descriptor, open?.flags, change);
      return attributesOfDescriptor(state, descriptor);
    }),
  );
}

/** @param flags by which the descriptor was opened; undefined if for its path only. */
export function setAttributes(
  state: LocalState,
  descriptor: number,
  flags: number | undefined,
  change: AttributeChange,
): void {
  const { mode, gid: currentGid, uid: currentUid } = statDescriptor(descriptor);
  const type = mode & S_IFMT;
  if (change.uid !== undefined || change.gid !== undefined) {
    const isSame = (change.uid ?? currentUid) === currentUid && (change.gid ?? currentGid) === currentGid;
    if (state.keepsIds) changeOwner(descriptor, change.uid, change.gid);
    else if (!isSame) throw new PeerfsError('EPERM', 'the share does not pass owners');
  }
  if (state.keepsIds && Object.keys(change).length === 0) changeOwner(descriptor, undefined, undefined);
  if (change.mode !== undefined) {
    if (type === S_IFLNK) throw new PeerfsError('EOPNOTSUPP', 'links have no permissions');
    // Set-id bits that are hidden from the peer stay on directories, where they mean inheritance of the group.
    const hidden = state.keepsIds || type !== S_IFDIR ? 0 : mode & 0o6000;
    const allowed = type === S_IFDIR ? permittedDirectory(state, change.mode) : permitted(state, change.mode);
    changeMode(descriptor, allowed | hidden);
  }
  if (change.size !== undefined) {
    if (flags !== undefined && (flags & OPEN.write) === 0) throw new PeerfsError('EINVAL', 'not open for writing');
    const { size } = change;
    const set = () => resize(descriptor, type, flags !== undefined, size);
    if (state.quota === undefined) set();
    else state.quota.around(descriptor, set);
  }
  if (change.atime !== undefined || change.mtime !== undefined) {
    changeTimes(descriptor, change.atime, change.mtime);
  }
}

function resize(descriptor: number, type: number, isOpen: boolean, size: number): void {
  if (type === S_IFDIR) throw new PeerfsError('EISDIR');
  if (type === S_IFLNK) throw new PeerfsError('ELOOP');
  if (type !== S_IFREG) throw new PeerfsError('EINVAL');
  if (isOpen) {
    setSize(descriptor, size);
    return;
  }
  const writable = reopen(descriptor, O.WRONLY | O.NONBLOCK | O.NOCTTY);
  try {
    setSize(writable, size);
  } finally {
    closeDescriptor(writable);
  }
}

export function readlink(state: LocalState, path: ByteString): Uint8Array {
  if (path === '') throw new PeerfsError('EINVAL', 'not a link');
  return state.root.inParent(path, 'EEXIST', readLink);
}

/** Creates a name and returns its attributes; owner and permissions are right before the peer hears of it. */
function create(
  state: LocalState,
  path: ByteString,
  owner: Owner,
  permissions: number | undefined,
  make: (directory: number, name: ByteString) => void,
): Attributes {
  return changing(state, [path], () =>
    state.root.inParent(path, 'EEXIST', (directory, name) => {
      const exactly = createsExactly();
      state.quota?.checkName();
      const asRoot = createOwned(state, owner, () => make(directory, name));
      const descriptor = openAt(directory, name, O.PATH | O.NOFOLLOW);
      try {
        const status = statDescriptor(descriptor);
        state.quota?.made(status);
        settleOwner(directory, descriptor, owner, asRoot);
        // A directory may have inherited that its group is inherited.
        const inherited = (status.mode & S_IFMT) === S_IFDIR ? status.mode & S_ISGID : 0;
        if (permissions !== undefined && (!exactly || asRoot)) changeMode(descriptor, permissions | inherited);
        return attributesOfDescriptor(state, descriptor);
      } finally {
        closeDescriptor(descriptor);
      }
    }),
  );
}

/**
 * Runs `make` under the owner's ids where ids pass. Supplementary groups and capabilities are then missing; where
 * they would be needed (the mounting kernel has judged already) it is made by root.
 * @returns whether it was made by root and has to be given away.
 */
export function createOwned(state: LocalState, owner: Owner, make: () => void): boolean {
  if (!state.keepsIds) {
    make();
    return false;
  }
  try {
    asOwner(owner.uid, owner.gid, make);
    return false;
  } catch (error) {
    if (!(error instanceof PeerfsError) || (error.code !== 'EACCES' && error.code !== 'EPERM')) throw error;
    make();
    return true;
  }
}

/** @param directory that the file was made in: it may give its own group. */
export function settleOwner(directory: number, descriptor: number, owner: Owner, asRoot: boolean): void {
  if (!asRoot) return;
  const givesGroup = (statDescriptor(directory).mode & S_ISGID) !== 0;
  changeOwner(descriptor, owner.uid, givesGroup ? undefined : owner.gid);
}

export function mkdir(state: LocalState, path: ByteString, permissions: number, owner: Owner): Attributes {
  const mode = permittedDirectory(state, permissions);
  return create(state, path, owner, mode, (directory, name) => makeDirectory(directory, name, mode));
}

export function mknod(
  state: LocalState,
  path: ByteString,
  permissions: number,
  owner: Owner,
  fifo: boolean,
): Attributes {
  const mode = permitted(state, permissions);
  const type = fifo ? S_IFIFO : S_IFREG;
  return create(state, path, owner, mode, (directory, name) => makeNode(directory, name, type | mode));
}

export function symlink(state: LocalState, path: ByteString, target: Uint8Array, owner: Owner): Attributes {
  if (target.length > PATH_MAX_BYTES) throw new PeerfsError('ENAMETOOLONG');
  if (target.includes(0)) throw new PeerfsError('EINVAL', 'NUL in the target of a link');
  return create(state, path, owner, undefined, (directory, name) => makeSymlink(directory, name, fromBytes(target)));
}

export function link(state: LocalState, path: ByteString, handle: Handle, newPath: ByteString): Attributes {
  return changing(state, [path, newPath], () =>
    state.root.inParent(newPath, 'EEXIST', (directory, name) => {
      state.quota?.checkName();
      if (handle !== 0) {
        const { descriptor } = state.handles.file(handle);
        makeLink(descriptor, directory, name);
        state.quota?.made(undefined);
        return attributesOfDescriptor(state, descriptor);
      }
      if (path === '') throw new PeerfsError('EPERM', 'a directory');
      state.root.inParent(path, 'EBUSY', (from, oldName) => makeLinkAt(from, oldName, directory, name));
      state.quota?.made(undefined);
      return getattr(state, newPath, 0);
    }),
  );
}

function remove(state: LocalState, directory: number, name: ByteString, isDirectory: boolean): void {
  const leaving = state.quota?.leaving(directory, name);
  removeName(directory, name, isDirectory);
  if (leaving !== undefined) state.quota?.left(leaving);
}

export function unlink(state: LocalState, path: ByteString): void {
  changing(state, [path], () =>
    state.root.inParent(path, 'EISDIR', (directory, name) => remove(state, directory, name, false)),
  );
}

export function rmdir(state: LocalState, path: ByteString): void {
  changing(state, [path], () =>
    state.root.inParent(path, 'EBUSY', (directory, name) => remove(state, directory, name, true)),
  );
}

export function rename(state: LocalState, path: ByteString, newPath: ByteString, flags: number): void {
  if ((flags & ~(RENAME.noReplace | RENAME.exchange)) !== 0) throw new PeerfsError('EINVAL');
  // The protocol's two flags have the numbers of renameat2(2).
  changing(state, [path, newPath], () =>
    state.root.inParent(path, 'EBUSY', (from, oldName) =>
      state.root.inParent(newPath, 'EBUSY', (to, newName) => {
        const replaced = (flags & RENAME.exchange) === 0 ? state.quota?.leaving(to, newName) : undefined;
        const isSame = replaced !== undefined && state.quota?.leaving(from, oldName)?.file === replaced.file;
        renameName(from, oldName, to, newName, flags);
        // Between two names of one file nothing is renamed.
        if (replaced !== undefined && !isSame) state.quota?.left(replaced);
      }),
    ),
  );
}
