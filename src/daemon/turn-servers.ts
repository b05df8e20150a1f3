/** The user's TURN servers with their passwords, each read from a file that nobody else can read. */
import { closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { PeerfsError } from '../errors.ts';
import { reasonOf } from './home.ts';
import type { TurnServerSetting } from './setting-values.ts';

/** Longest password file. Bytes. */
const MAX_BYTES = 4096;

export interface TurnServer {
  readonly url: string;
  readonly username: string;
  readonly password: string;
}

/** @throws CONFIG_INVALID naming the file and what is wrong with it. */
export function readTurnServers(settings: readonly TurnServerSetting[]): TurnServer[] {
  return settings.map(({ url, username, credentialFile }) => ({ url, username, password: readSecret(credentialFile) }));
}

/** The first line of a file of mode 0600 or stricter. @throws CONFIG_INVALID */
export function readSecret(file: string): string {
  const path = file.startsWith('~/') ? join(homedir(), file.slice(2)) : file;
  const refuse = (why: string, hint: string, cause?: unknown) =>
    new PeerfsError('CONFIG_INVALID', `the credential file ${path} ${why}`, { hint, cause });
  let descriptor: number;
  try {
    // Not to wait for a writer, should it be a FIFO.
    descriptor = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    throw refuse(`cannot be read: ${reasonOf(error)}`, 'Write the password into it, on one line.', error);
  }
  try {
    const { mode, size } = fstatSync(descriptor);
    if ((mode & constants.S_IFMT) !== constants.S_IFREG)
      throw refuse('is no regular file', 'Name a file with the password.');
    if ((mode & 0o077) !== 0) throw refuse('can be read by others', `Run: chmod 600 ${path}`);
    if (size > MAX_BYTES) throw refuse('is too long', 'It should hold the password alone, on one line.');
    const [password = ''] = readFileSync(descriptor, 'utf8').split(/\r?\n/);
    if (password === '') throw refuse('is empty', 'Write the password into it, on one line.');
    return password;
  } finally {
    closeSync(descriptor);
  }
}
