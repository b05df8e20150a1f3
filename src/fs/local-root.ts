/**
 * The confinement of a shared folder: every path is resolved anew from the descriptor of its root, by the kernel and
 * in one call (openat2), so that nobody who swaps names for links meanwhile gets outside. Where openat2 is missing
 * the path is walked name by name, each step without following links.
 *
 * Nothing else in src/fs opens a path of a share. Names are given to the kernel only as a single component relative
 * to a directory that was resolved here.
 */
import {
  isName,
  isPath,
  NAME_MAX_BYTES,
  nameOf,
  parentOf,
  PATH_MAX_BYTES,
  SHARE_PATH_MAX_BYTES,
  type ByteString,
} from '../bytestring.ts';
import { codeOf, PeerfsError } from '../errors.ts';
import { closeDescriptor, O, openAt, openBeneath, AT_FDCWD, RESOLVE, statDescriptor } from '../sys/files.ts';

const S_IFMT = 0o170000;
const S_IFLNK = 0o120000;
/** openat2 gives EAGAIN when a rename elsewhere raced with the resolution; Linux asks callers to try again. */
const RACE_RETRIES = 64;

export class ShareRoot {
  /** O_PATH. */
  readonly descriptor: number;
  readonly #resolve: number;
  /** Whether mounts below belong to the share. */
  readonly crossMounts: boolean;
  #hasOpenat2 = true;

  /**
   * @param path absolute, the owner's own: links in it are followed.
   * @param walkOnly does without openat2, as on a kernel that lacks it.
   */
  constructor(path: ByteString, crossMounts: boolean, walkOnly = false) {
    this.descriptor = openAt(AT_FDCWD, path, O.PATH | O.DIRECTORY);
    this.#resolve = RESOLVE.BENEATH | RESOLVE.NO_SYMLINKS | RESOLVE.NO_MAGICLINKS | (crossMounts ? 0 : RESOLVE.NO_XDEV);
    this.crossMounts = crossMounts;
    this.#hasOpenat2 = !walkOnly;
  }

  /** @returns an O_PATH descriptor, of a link itself. The caller closes it. */
  openPath(path: ByteString): number {
    return this.#open(path, O.PATH | O.NOFOLLOW);
  }

  /** @returns a descriptor for listing, locking, syncing. @throws ELOOP for a link, ENOTDIR for other files. */
  openDirectory(path: ByteString): number {
    return this.#open(path, O.RDONLY | O.DIRECTORY | O.NOFOLLOW);
  }

  /** As openDirectory, for a path of any length. */
  openDeepDirectory(path: ByteString): number {
    let directory = this.descriptor;
    let rest: string = path;
    try {
      do {
        const end = rest.length <= PATH_MAX_BYTES ? rest.length : rest.lastIndexOf('/', PATH_MAX_BYTES);
        const next = this.#open(rest.slice(0, end) as ByteString, O.RDONLY | O.DIRECTORY | O.NOFOLLOW, directory);
        if (directory !== this.descriptor) closeDescriptor(directory);
        directory = next;
        rest = rest.slice(end + 1);
      } while (rest !== '');
      return directory;
    } catch (error) {
      if (directory !== this.descriptor) closeDescriptor(directory);
      throw error;
    }
  }

  /**
   * @param directory a descriptor that was resolved here.
   * @returns as openPath, of a name in it.
   */
  openChild(directory: number, name: ByteString): number {
    if (!isName(name)) throw badPath(name);
    return this.#open(name, O.PATH | O.NOFOLLOW, directory);
  }

  /** Runs `use` with an O_PATH descriptor of the file, and closes it. */
  at<T>(path: ByteString, use: (descriptor: number) => T): T {
    if (path === '') return use(this.descriptor);
    const descriptor = this.openPath(path);
    try {
      return use(descriptor);
    } finally {
      closeDescriptor(descriptor);
    }
  }

  /**
   * Runs `use` with the directory that holds the last name of the path, and that name.
   * @throws `ofRoot` if the path is the root itself.
   */
  inParent<T>(
    path: ByteString,
    ofRoot: 'EEXIST' | 'EBUSY' | 'EISDIR',
    use: (directory: number, name: ByteString) => T,
  ): T {
    if (path === '') throw new PeerfsError(ofRoot, 'the root of a share');
    const name = nameOf(path);
    if (!isName(name)) throw badPath(path);
    const parent = parentOf(path);
    if (parent === '') return use(this.descriptor, name);
    const directory = this.#open(parent, O.PATH | O.DIRECTORY | O.NOFOLLOW);
    try {
      return use(directory, name);
    } finally {
      closeDescriptor(directory);
    }
  }

  close(): void {
    closeDescriptor(this.descriptor);
  }

  #open(path: ByteString, flags: number, base = this.descriptor): number {
    if (path === '') return openAt(base, '.', flags);
    if (!isPath(path)) throw badPath(path);
    if (path.length > PATH_MAX_BYTES && this.#hasOpenat2) return this.#openLong(path, flags, base);
    for (let attempt = 0; this.#hasOpenat2; attempt++) {
      try {
        return openBeneath(base, path, flags, 0, this.#resolve);
      } catch (error) {
        const code = codeOf(error);
        if (code === 'ENOSYS') this.#hasOpenat2 = false;
        else if (code !== 'EAGAIN' || attempt >= RACE_RETRIES) throw error;
      }
    }
    return this.#walk(path, flags, base);
  }

  /** A path that is too long for one call, in parts. */
  #openLong(path: ByteString, flags: number, base: number): number {
    const at = path.lastIndexOf('/', PATH_MAX_BYTES);
    const directory = this.#open(path.slice(0, at) as ByteString, O.PATH | O.DIRECTORY | O.NOFOLLOW, base);
    try {
      return this.#open(path.slice(at + 1) as ByteString, flags, directory);
    } finally {
      closeDescriptor(directory);
    }
  }

  #walk(path: ByteString, flags: number, base: number): number {
    const names = path.split('/');
    const device = this.crossMounts ? undefined : statDescriptor(this.descriptor).device;
    let directory = base;
    try {
      for (const [index, name] of names.entries()) {
        const isLast = index === names.length - 1;
        // O_PATH without O_DIRECTORY, so that a link is told (ELOOP) from a file (ENOTDIR), as openat2 does.
        const next = openAt(directory, name, isLast ? flags : O.PATH | O.NOFOLLOW);
        if (directory !== base) closeDescriptor(directory);
        directory = next;
        const status = statDescriptor(next);
        if (device !== undefined && status.device !== device) throw new PeerfsError('EXDEV', 'another file system');
        if (!isLast && (status.mode & S_IFMT) === S_IFLNK) throw new PeerfsError('ELOOP', 'a link on the way');
      }
      return directory;
    } catch (error) {
      if (directory !== base) closeDescriptor(directory);
      throw error;
    }
  }
}

/** The caller has checked paths; this is the second lock on the door. */
function badPath(path: string): PeerfsError {
  const isLong = path.length > SHARE_PATH_MAX_BYTES || path.split('/').some((name) => name.length > NAME_MAX_BYTES);
  return new PeerfsError(isLong ? 'ENAMETOOLONG' : 'EINVAL', 'not a path within a share');
}
