/**
 * The one error type of peerfs, and the table of all its codes.
 *
 * Owns: the code's name, the number it has on the wire, the exit code of a command that ends with it.
 * Does not own: the platform's errno numbers (src/sys/errno.ts) or how an error is printed (src/cli).
 *
 * Numbers cross the wire and are stored: append, never renumber. POSIX errors have the numbers of Linux'
 * asm-generic/errno.h; errors of peerfs itself begin at 1000.
 */

/** Exit codes of the command line, after sysexits(3) where it has one. */
export const EXIT = {
  ok: 0,
  failed: 1,
  usage: 2,
  nodeNotRunning: 3,
  nodeAlreadyRunning: 4,
  notFound: 5,
  invitationRefused: 6,
  wrongCode: 7,
  peerUnreachable: 8,
  environment: 9,
  timeout: 10,
  nameClash: 11,
  interrupted: 130,
} as const;

interface CodeInfo {
  /** Number on the wire. */
  readonly wire: number;
  /** Exit code of a command that fails with it. */
  readonly exit: number;
}

const posix = (wire: number): CodeInfo => ({ wire, exit: EXIT.failed });

export const ERROR_CODES = {
  EPERM: posix(1),
  ENOENT: { wire: 2, exit: EXIT.notFound },
  EINTR: posix(4),
  EIO: posix(5),
  ENXIO: posix(6),
  E2BIG: posix(7),
  EBADF: posix(9),
  EAGAIN: posix(11),
  ENOMEM: posix(12),
  EACCES: posix(13),
  EBUSY: posix(16),
  EEXIST: posix(17),
  EXDEV: posix(18),
  ENODEV: posix(19),
  ENOTDIR: posix(20),
  EISDIR: posix(21),
  EINVAL: posix(22),
  ENFILE: posix(23),
  EMFILE: posix(24),
  ENOTTY: posix(25),
  ETXTBSY: posix(26),
  EFBIG: posix(27),
  ENOSPC: posix(28),
  ESPIPE: posix(29),
  EROFS: posix(30),
  EMLINK: posix(31),
  ERANGE: posix(34),
  EDEADLK: posix(35),
  ENAMETOOLONG: posix(36),
  ENOLCK: posix(37),
  ENOSYS: posix(38),
  ENOTEMPTY: posix(39),
  ELOOP: posix(40),
  ENODATA: posix(61),
  EOVERFLOW: posix(75),
  ENOTCONN: posix(107),
  EOPNOTSUPP: posix(95),
  ETIMEDOUT: { wire: 110, exit: EXIT.timeout },
  EHOSTDOWN: { wire: 112, exit: EXIT.peerUnreachable },
  ESTALE: posix(116),
  EDQUOT: posix(122),

  /** A frame or call that breaks the protocol. */
  PROTOCOL: { wire: 1000, exit: EXIT.failed },
  /** A call this version does not know. */
  UNSUPPORTED: { wire: 1001, exit: EXIT.failed },
  /** The call was cancelled by its caller. */
  CANCELLED: { wire: 1002, exit: EXIT.interrupted },
  /** The server restarted while the call was in flight and what became of it cannot be told. */
  OUTCOME_UNKNOWN: { wire: 1003, exit: EXIT.failed },
  /** Too many calls, handles or bytes outstanding. */
  OVERLOADED: { wire: 1004, exit: EXIT.failed },

  INVITE_MALFORMED: { wire: 1100, exit: EXIT.invitationRefused },
  INVITE_WRONG_CODE: { wire: 1101, exit: EXIT.wrongCode },
  INVITE_UNKNOWN_WORD: { wire: 1102, exit: EXIT.wrongCode },
  INVITE_EXPIRED: { wire: 1103, exit: EXIT.invitationRefused },
  INVITE_USED: { wire: 1104, exit: EXIT.invitationRefused },
  INVITE_REVOKED: { wire: 1105, exit: EXIT.invitationRefused },
  INVITE_OWN: { wire: 1106, exit: EXIT.invitationRefused },
  INVITE_UNREACHABLE: { wire: 1107, exit: EXIT.peerUnreachable },
  INVITE_VERSION: { wire: 1108, exit: EXIT.invitationRefused },

  NODE_NOT_RUNNING: { wire: 1200, exit: EXIT.nodeNotRunning },
  NODE_ALREADY_RUNNING: { wire: 1201, exit: EXIT.nodeAlreadyRunning },
  NODE_START_FAILED: { wire: 1202, exit: EXIT.environment },
  USAGE: { wire: 1203, exit: EXIT.usage },
  ENVIRONMENT: { wire: 1204, exit: EXIT.environment },
  UNKNOWN_PEER: { wire: 1205, exit: EXIT.notFound },
  UNKNOWN_SHARE: { wire: 1206, exit: EXIT.notFound },
  NAME_CLASH: { wire: 1207, exit: EXIT.nameClash },
  BAD_NAME: { wire: 1208, exit: EXIT.usage },
  SHARE_CONTAINS_MOUNT: { wire: 1209, exit: EXIT.usage },
  MOUNT_FAILED: { wire: 1210, exit: EXIT.environment },
  MOUNT_BUSY: { wire: 1211, exit: EXIT.failed },
  NOT_MOUNTED: { wire: 1212, exit: EXIT.notFound },
  CONFIG_INVALID: { wire: 1213, exit: EXIT.usage },
  HOME_INSECURE: { wire: 1214, exit: EXIT.environment },
  UNKNOWN_INVITE: { wire: 1215, exit: EXIT.notFound },
  WRONG_PASSPHRASE: { wire: 1216, exit: EXIT.wrongCode },
  PASSPHRASE_NEEDED: { wire: 1217, exit: EXIT.usage },
} as const satisfies Record<string, CodeInfo>;

export type ErrorCode = keyof typeof ERROR_CODES;

const BY_WIRE = new Map<number, ErrorCode>(
  Object.entries(ERROR_CODES).map(([code, info]) => [info.wire, code as ErrorCode]),
);

/** The code with this wire number; EIO for a number of a newer peer. */
export function codeOfWire(wire: number): ErrorCode {
  return BY_WIRE.get(wire) ?? 'EIO';
}

export function isErrorCode(text: string): text is ErrorCode {
  return Object.hasOwn(ERROR_CODES, text);
}

interface ErrorDetails {
  /** What to do about it, one sentence for the user. */
  readonly hint?: string;
  readonly cause?: unknown;
}

/** Every failure that peerfs raises on purpose. `message` says what and why and never holds a secret. */
export class PeerfsError extends Error {
  readonly code: ErrorCode;
  readonly hint: string | undefined;

  constructor(code: ErrorCode, message: string = code, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = 'PeerfsError';
    this.code = code;
    this.hint = details.hint;
  }
}

/** The code of any thrown value: a PeerfsError's own, a Node error's if its name or number is in the table, else EIO. */
export function codeOf(error: unknown): ErrorCode {
  if (error instanceof PeerfsError) return error.code;
  if (error instanceof Error && 'code' in error && typeof error.code === 'string' && isErrorCode(error.code)) {
    return error.code;
  }
  // libuv has no names for some (EDQUOT among them), but tells the number.
  if (error instanceof Error && 'errno' in error && typeof error.errno === 'number') return codeOfWire(-error.errno);
  return 'EIO';
}
