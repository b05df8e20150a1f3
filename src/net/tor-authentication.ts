/**
 * How we prove to a Tor's control port that we may use it, and it to us that it is Tor. Owns the choice of the method.
 *
 * Specification: torspec control-spec, PROTOCOLINFO, AUTHCHALLENGE, AUTHENTICATE. SAFECOOKIE comes first: a port that
 * is not Tor's learns nothing by it. Tor gets secret keys from us, and anybody can listen at its usual port: of a port
 * that was found and not named by the user, we ask for proof that it is the system's Tor or the user's own.
 */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { constants } from 'node:fs';
import { open, readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { PeerfsError } from '../errors.ts';
import { keywords, quote, type ControlConnection, type Reply } from './tor-control.ts';

/** Specification. */
const COOKIE_BYTES = 32;
const NONCE_BYTES = 32;
/** login.defs(5), UID_MIN: below it are the system's own users. */
const FIRST_USER_ID = 1000;
const SERVER_KEY = 'Tor safe cookie authentication server-to-controller hash';
const CONTROLLER_KEY = 'Tor safe cookie authentication controller-to-server hash';

export const isOk = ({ status }: Reply): boolean => status >= 200 && status < 300;

/** @throws PeerfsError EIO with what Tor said, if it refused. */
export function expectOk(reply: Reply): Reply {
  if (!isOk(reply)) throw new PeerfsError('EIO', `Tor refused: ${reply.status} ${reply.lines.at(-1)?.text ?? ''}`);
  return reply;
}

export interface AuthenticationMethods {
  readonly methods: ReadonlySet<string>;
  readonly cookieFile: string | undefined;
}

/** What a PROTOCOLINFO reply says of it. */
function authenticationMethods(reply: Reply): AuthenticationMethods {
  const line = reply.lines.find(({ text }) => text.startsWith('AUTH '))?.text ?? '';
  const words = keywords(line);
  // Tor writes the name in UTF-8; lines are read as latin1.
  const cookieFile = words.get('COOKIEFILE');
  return {
    methods: new Set((words.get('METHODS') ?? '').split(',').filter((method) => method !== '')),
    cookieFile: cookieFile === undefined ? undefined : Buffer.from(cookieFile, 'latin1').toString('utf8'),
  };
}

/** Both sides' proofs over the cookie and both nonces. */
export function safeCookieHashes(
  cookie: Uint8Array,
  clientNonce: Uint8Array,
  serverNonce: Uint8Array,
): { readonly server: Buffer; readonly controller: Buffer } {
  const over = (key: string): Buffer =>
    createHmac('sha256', key).update(cookie).update(clientNonce).update(serverNonce).digest();
  return { server: over(SERVER_KEY), controller: over(CONTROLLER_KEY) };
}

export interface AuthenticationOptions {
  readonly connection: ControlConnection;
  /** Holds the password; white space around it does not count. */
  readonly passwordFile?: string | undefined;
  /** Nobody named this port: the cookie must be the system's or ours. A password, which proves nothing, is the user's risk. */
  readonly isFound?: boolean;
}

interface Cookie {
  readonly bytes: Buffer;
  /** Written by this user, or by one of the system's. */
  readonly isTrusted: boolean;
}

/** Rejects EACCES when no method works, EIO when Tor refuses, PROTOCOL when it is not the Tor of the cookie. */
export async function authenticate({ connection, passwordFile, isFound }: AuthenticationOptions): Promise<void> {
  const information = expectOk(await connection.command('PROTOCOLINFO 1'));
  const { methods, cookieFile } = authenticationMethods(information);
  if (methods.has('NULL') && isFound !== true) return void expectOk(await connection.command('AUTHENTICATE'));
  const cookie = cookieFile === undefined ? undefined : await readCookie(cookieFile);
  if (cookie !== undefined && methods.has('SAFECOOKIE') && (isFound !== true || cookie.isTrusted)) {
    return safeCookie(connection, cookie.bytes);
  }
  if (passwordFile !== undefined && methods.has('HASHEDPASSWORD')) {
    const password = (await readFile(passwordFile, 'utf8')).trim();
    return void expectOk(await connection.command(`AUTHENTICATE ${quote(Buffer.from(password).toString('latin1'))}`));
  }
  if (cookie !== undefined && methods.has('COOKIE') && isFound !== true) {
    return void expectOk(await connection.command(`AUTHENTICATE ${cookie.bytes.toString('hex')}`));
  }
  throw new PeerfsError('EACCES', 'Tor is running, but its control port does not let this user in', {
    hint: 'Allow cookie authentication to this user, or give a password file.',
  });
}

/**
 * undefined if we may not read it, or it cannot be a cookie. Whoever listens at the port names the file, and by plain
 * COOKIE its bytes are sent there: so it must be called a cookie and be no link to something else.
 */
async function readCookie(path: string): Promise<Cookie | undefined> {
  if (!basename(path).includes('cookie')) return undefined;
  try {
    const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    try {
      const { size, uid } = await file.stat();
      if (size !== COOKIE_BYTES) return undefined;
      return { bytes: await file.readFile(), isTrusted: uid < FIRST_USER_ID || uid === process.getuid?.() };
    } finally {
      await file.close();
    }
  } catch {
    return undefined;
  }
}

async function safeCookie(connection: ControlConnection, cookie: Buffer): Promise<void> {
  const clientNonce = randomBytes(NONCE_BYTES);
  const challenge = expectOk(await connection.command(`AUTHCHALLENGE SAFECOOKIE ${clientNonce.toString('hex')}`));
  const words = keywords(challenge.lines.at(-1)?.text ?? '');
  const theirs = Buffer.from(words.get('SERVERHASH') ?? '', 'hex');
  const { server, controller } = safeCookieHashes(
    cookie,
    clientNonce,
    Buffer.from(words.get('SERVERNONCE') ?? '', 'hex'),
  );
  if (theirs.length !== server.length || !timingSafeEqual(theirs, server)) {
    throw new PeerfsError('PROTOCOL', 'the control port is not that of the Tor that wrote the cookie');
  }
  expectOk(await connection.command(`AUTHENTICATE ${controller.toString('hex')}`));
}
