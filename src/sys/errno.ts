/** The one file that knows the platform's errno numbers: numbers to codes of peerfs and back. */
import { constants } from 'node:os';
import { codeOf, isErrorCode, PeerfsError, type ErrorCode } from '../errors.ts';

const BY_NUMBER = new Map<number, string>(Object.entries(constants.errno).map(([name, number]) => [number, name]));
// Node's table lacks these; the numbers are Linux' (asm-generic/errno.h).
const EXTRA: Readonly<Record<string, number>> = { ENODATA: 61, EHOSTDOWN: 112, ENOLCK: 37, EDQUOT: 122, ESTALE: 116 };
for (const [name, number] of Object.entries(EXTRA)) BY_NUMBER.set(number, name);
// Not BY_NUMBER turned round: where two names share a number (EAGAIN and EWOULDBLOCK) it has one of them.
const BY_CODE = new Map<string, number>(Object.entries({ ...constants.errno, ...EXTRA }));

/** Codes that no kernel knows, as the nearest errno. */
const NEAREST: Partial<Record<ErrorCode, string>> = {
  OVERLOADED: 'EAGAIN',
  CANCELLED: 'EINTR',
  UNSUPPORTED: 'EOPNOTSUPP',
};

/** The name of an errno number; EIO for one that the table of codes lacks. */
export function codeOfErrno(number: number): ErrorCode {
  const name = BY_NUMBER.get(number) ?? 'EIO';
  if (name === 'EWOULDBLOCK') return 'EAGAIN';
  if (name === 'ENOTSUP') return 'EOPNOTSUPP';
  return isErrorCode(name) ? name : 'EIO';
}

/** The positive errno number to give to a program for a thrown value. */
export function errnoOf(error: unknown): number {
  const code = codeOf(error);
  return BY_CODE.get(NEAREST[code] ?? code) ?? constants.errno.EIO;
}

/** @param call name of the system call, for the message. */
export function systemError(number: number, call: string): PeerfsError {
  const code = codeOfErrno(number);
  return new PeerfsError(code, `${call}: ${code}`);
}
