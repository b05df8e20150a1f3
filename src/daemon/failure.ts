/**
 * What a thrown value means to a person: system calls, the database and libraries that cannot be loaded get a message
 * of ours. Owns the words; where they are shown is the caller's.
 *
 * Light on purpose: every command of the CLI loads this file.
 */
import { codeOf, PeerfsError, type ErrorCode } from '../errors.ts';
import type { ControlError } from './control-protocol.ts';
import { reasonOf } from './home.ts';

const REINSTALL = 'Install its packages again: ./scripts/setup, or npm ci. peerfs doctor looks at them.';

const FULL = [
  'ENOSPC',
  'there is no space left for the state of the node',
  'Free some space on the disk of the home.',
] as const;
const DAMAGED = ['ENVIRONMENT', 'the state of the node is damaged', 'Restore state.sqlite from a backup.'] as const;

/** sqlite.org/rescode.html: what a user can do something about; the first that fits counts. */
const SQLITE: readonly (readonly [string, readonly [ErrorCode, string, string]])[] = [
  ['SQLITE_FULL', FULL],
  ['SQLITE_IOERR_SHMSIZE', FULL],
  [
    'SQLITE_IOERR',
    ['EIO', 'the disk failed under the state of the node', 'Look at the disk of the home (sudo dmesg).'],
  ],
  ['SQLITE_READONLY', ['EROFS', 'the state of the node cannot be written', 'Make the home writable for you.']],
  ['SQLITE_CANTOPEN', ['EACCES', 'the state of the node cannot be opened', 'Make the home and its files yours.']],
  ['SQLITE_CORRUPT', DAMAGED],
  ['SQLITE_NOTADB', DAMAGED],
  ['SQLITE_BUSY', ['EBUSY', 'another program holds the state of the node', 'Close what has state.sqlite open.']],
];

/** @returns undefined for a fault of the program itself. */
export function understand(error: unknown): PeerfsError | undefined {
  if (error instanceof PeerfsError) return error;
  if (!(error instanceof Error) || !('code' in error) || typeof error.code !== 'string') return undefined;
  const { code } = error;
  const found = SQLITE.find(([known]) => code === known || code.startsWith(`${known}_`));
  if (found !== undefined) {
    const [meaning, message, hint] = found[1];
    return new PeerfsError(meaning, message, { hint, cause: error });
  }
  if (isLoadFailure(error)) return missingLibrary(error);
  if (!('syscall' in error)) return undefined;
  const place = 'path' in error && typeof error.path === 'string' ? `${error.path}: ` : '';
  const hint = HINTS[code];
  return new PeerfsError(codeOf(error), `${place}${reasonOf(error)}`, {
    ...(hint === undefined ? {} : { hint }),
    cause: error,
  });
}

/** A package that is not there, or a compiled library that is not fit for this Node.js. */
export function missingLibrary(cause: unknown): PeerfsError {
  const said = cause instanceof Error ? (cause.message.split('\n')[0] ?? '').replace(/\.? Tried:$/, '') : String(cause);
  return new PeerfsError('ENVIRONMENT', `a library that peerfs needs cannot be loaded: ${said}`, {
    hint: REINSTALL,
    cause,
  });
}

const LOAD_FAILURES = new Set(['ERR_MODULE_NOT_FOUND', 'MODULE_NOT_FOUND', 'ERR_DLOPEN_FAILED']);

function isLoadFailure(error: Error & { code?: unknown }): boolean {
  return typeof error.code === 'string' && LOAD_FAILURES.has(error.code);
}

const HINTS: Readonly<Record<string, string>> = {
  ENOSPC: 'Free some space on that disk.',
  EACCES: 'Run peerfs as the user to whom it belongs.',
  EPERM: 'Run peerfs as the user to whom it belongs.',
  EROFS: 'Name a place that can be written.',
};

/** What the command line is told of a thrown value. */
export function toControlError(error: unknown): ControlError {
  const known = understand(error);
  if (known !== undefined) {
    return { code: known.code, message: known.message, ...(known.hint === undefined ? {} : { hint: known.hint }) };
  }
  const message = error instanceof Error ? error.message : String(error);
  return { code: 'EIO', message: `unexpected: ${message}`, hint: 'This is a fault of peerfs; please report it.' };
}

/** For the log: where it happened and of which kind; its message could name a file. */
export function traceOf(error: unknown): string {
  if (!(error instanceof Error)) return typeof error;
  const kind = 'code' in error ? `${error.name} ${String(error.code)}` : error.name;
  const frames = (error.stack ?? '').split('\n').filter((line) => /^ +at /.test(line));
  return [kind, ...frames.map((line) => line.trim())].join(' ');
}
