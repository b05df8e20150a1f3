/**
 * The home of a node: one folder, for its user alone, that holds all its state. Owns where it is, what its files are
 * called, and that nobody else can enter it. Does not own what stands in the files.
 *
 * Light on purpose: every command of the CLI loads this file.
 */
import { chmodSync, existsSync, lstatSync, mkdirSync, readdirSync, realpathSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { PeerfsError } from '../errors.ts';

export interface Home {
  /** Absolute, links resolved where it exists. */
  readonly directory: string;
  /** The identity: the seed of the node's key pair. */
  readonly identityFile: string;
  readonly database: string;
  readonly configFile: string;
  readonly socket: string;
  /** Locked by the running node. */
  readonly lockFile: string;
  /** The running node's process id, for people and scripts. */
  readonly pidFile: string;
  readonly logFile: string;
  /** Where peers' inboxes are unless the settings say otherwise. */
  readonly inbox: string;
  /** Copies of what could not be written to a peer any more. */
  readonly conflicts: string;
}

/** What `--home`, `PEERFS_HOME` and the XDG base directory specification say, in this order. */
export function homeDirectory(flag: string | undefined, environment: NodeJS.ProcessEnv = process.env): string {
  if (flag !== undefined && flag !== '') return resolve(flag);
  const own = environment['PEERFS_HOME'];
  if (own !== undefined && own !== '') return resolve(own);
  const data = environment['XDG_DATA_HOME'];
  // The specification: a relative path is invalid and to be ignored.
  if (data?.startsWith('/') === true) return join(data, 'peerfs');
  return join(homedir(), '.local', 'share', 'peerfs');
}

export function homeAt(directory: string): Home {
  const real = realOrGiven(directory);
  return {
    directory: real,
    identityFile: join(real, 'identity.key'),
    database: join(real, 'state.sqlite'),
    configFile: join(real, 'config'),
    socket: join(real, 'control.sock'),
    lockFile: join(real, 'node.lock'),
    pidFile: join(real, 'node.pid'),
    logFile: join(real, 'node.log'),
    inbox: join(real, 'inbox'),
    conflicts: join(real, 'conflicts'),
  };
}

/**
 * Makes the home if there is none (0700 whatever the umask), and checks one that is there.
 * @throws HOME_INSECURE when others own it or can enter it; ENVIRONMENT when it cannot be made.
 */
export function prepareHome(directory: string): Home {
  try {
    makePrivateDirectory(directory);
  } catch (error) {
    if (error instanceof PeerfsError) throw error;
    throw new PeerfsError('ENVIRONMENT', `the home ${directory} cannot be made: ${reasonOf(error)}`, {
      hint: 'Name another place with --home or PEERFS_HOME.',
      cause: error,
    });
  }
  return homeAt(directory);
}

/** Why the folder is not safe to keep keys in; undefined when it is. */
export function homeFault(directory: string): { readonly fault: string; readonly hint: string } | undefined {
  const stats = lstatSync(realOrGiven(directory));
  if (!stats.isDirectory()) {
    return { fault: `${directory} is not a folder`, hint: 'Name another place with --home or PEERFS_HOME.' };
  }
  const own = process.getuid?.();
  if (own !== undefined && stats.uid !== own) {
    return {
      fault: `${directory} belongs to another user (uid ${stats.uid})`,
      hint: 'Run peerfs as that user, or name another place with --home or PEERFS_HOME.',
    };
  }
  const open = stats.mode & 0o077;
  if (open === 0) return undefined;
  return {
    fault: `${directory} can be entered by others (mode ${(stats.mode & 0o7777).toString(8)})`,
    hint: `Run: chmod 700 ${quoted(directory)} (and think about who may have read the keys in it).`,
  };
}

/**
 * Makes a folder that only its owner can enter, and its parents as mkdir(1) would. One that is there must be safe
 * already, unless it is empty: then it is closed.
 */
export function makePrivateDirectory(directory: string): void {
  makeFolders(dirname(resolve(directory)));
  try {
    mkdirSync(directory, { mode: 0o700 });
    return;
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
  }
  const found = homeFault(directory);
  if (found === undefined) return;
  const stats = lstatSync(realOrGiven(directory));
  if (stats.isDirectory() && stats.uid === process.getuid?.() && readdirSync(directory).length === 0) {
    chmodSync(directory, 0o700);
    return;
  }
  throw new PeerfsError('HOME_INSECURE', found.fault, { hint: found.hint });
}

/** As mkdir -p. (Node's own way does not come to an end where the system lets nothing be made, as in /proc.) */
function makeFolders(directory: string): void {
  if (existsSync(directory)) return;
  makeFolders(dirname(directory));
  mkdirSync(directory);
}

function realOrGiven(directory: string): string {
  try {
    return realpathSync(directory);
  } catch {
    return resolve(directory);
  }
}

/** For a command that the user is to copy into a shell. */
export function quoted(path: string): string {
  return /^[\w./~+-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`;
}

/** The reason in a thrown value, as short as a person wants it. */
export function reasonOf(error: unknown): string {
  if (error instanceof PeerfsError && error.cause instanceof Error && 'code' in error.cause)
    return reasonOf(error.cause);
  if (error instanceof Error && 'code' in error && typeof error.code === 'string') {
    return REASONS[error.code] ?? error.message;
  }
  return error instanceof Error ? error.message : String(error);
}

const REASONS: Readonly<Record<string, string>> = {
  EACCES: 'permission denied',
  EPERM: 'not permitted',
  ENOENT: 'no such file or folder',
  ENOTDIR: 'not a folder',
  EROFS: 'read-only file system',
  EIO: 'the disk failed',
  EISDIR: 'it is a folder',
  ELOOP: 'too many symbolic links',
  EMFILE: 'too many open files',
  EDQUOT: 'the quota of the disk is used up',
  ENOTFOUND: 'no such host',
  EAI_AGAIN: 'the name of the host cannot be looked up now',
  ENOSPC: 'no space left on the disk',
  ENAMETOOLONG: 'the name is too long',
  EEXIST: 'it exists already',
  EADDRINUSE: 'the port is in use',
  EADDRNOTAVAIL: 'this computer has no such address',
};
