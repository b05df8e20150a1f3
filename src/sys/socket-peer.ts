/** Who is at the other end of a Unix socket: SO_PEERCRED of unix(7). */
import { declare, errno } from './libc.ts';
import { systemError } from './errno.ts';

/** asm-generic/socket.h. */
const SOL_SOCKET = 1;
const SO_PEERCRED = 17;
/** struct ucred: pid, uid, gid of 32 bits each. */
const UCRED_BYTES = 12;

const getsockopt = declare('getsockopt', 'int', ['int', 'int', 'int', 'buffer', 'buffer']);

export interface SocketPeer {
  readonly pid: number;
  readonly uid: number;
}

/** @param descriptor of a connected Unix socket. */
export function socketPeer(descriptor: number): SocketPeer {
  const credentials = new Uint32Array(3);
  const length = new Uint32Array([UCRED_BYTES]);
  const done = getsockopt(
    descriptor,
    SOL_SOCKET,
    SO_PEERCRED,
    new Uint8Array(credentials.buffer),
    new Uint8Array(length.buffer),
  );
  if (done < 0) throw systemError(errno(), 'getsockopt');
  return { pid: credentials[0] ?? 0, uid: credentials[1] ?? 0xffffffff };
}
