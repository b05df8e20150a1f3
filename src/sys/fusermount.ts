/**
 * Mounting and unmounting as a plain user, by fusermount3, which is set-user-id root and hands the opened device
 * over a socket (libfuse, lib/mount.c). The path goes into argv, never through a shell.
 */
import { spawn } from 'node:child_process';
import { closeSync } from 'node:fs';
import { declare, errno, addressOf } from './libc.ts';
import { systemError } from './errno.ts';
import { PeerfsError } from '../errors.ts';

/** sys/socket.h */
const AF_UNIX = 1;
const SOCK_STREAM = 1;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;
const MSG_DONTWAIT = 0x40;
const MSG_CMSG_CLOEXEC = 0x40000000;

/** Mounting takes milliseconds; a helper that hangs longer will not come back. */
const HELPER_LIMIT_MS = 10_000;
const STDERR_BYTES = 4096;

const socketpair = declare('socketpair', 'int', ['int', 'int', 'int', 'buffer']);
const recvmsg = declare('recvmsg', 'long', ['int', 'pointer', 'int']);

interface HelperResult {
  /** 0 when it succeeded. */
  readonly exitCode: number;
  readonly stderr: string;
}

/**
 * Runs fusermount3.
 * @param extra a descriptor that becomes its descriptor 3.
 * @throws PeerfsError ENOENT when it is not installed, ETIMEDOUT
 */
function runHelper(argv: readonly string[], extra?: number): Promise<HelperResult> {
  return new Promise((resolve, reject) => {
    const child = spawn('fusermount3', argv, {
      stdio: ['ignore', 'ignore', 'pipe', ...(extra === undefined ? [] : [extra])],
      env: { ...process.env, LC_ALL: 'C', ...(extra === undefined ? {} : { _FUSE_COMMFD: '3' }) },
    });
    let stderr = '';
    const limit = setTimeout(() => {
      child.kill('SIGKILL');
      reject(new PeerfsError('ETIMEDOUT', 'fusermount3 did not finish'));
    }, HELPER_LIMIT_MS);
    child.stderr?.on('data', (chunk: Buffer) => {
      if (stderr.length < STDERR_BYTES) stderr += chunk.toString('utf8');
    });
    child.on('error', (cause) => {
      clearTimeout(limit);
      const missing = 'code' in cause && cause.code === 'ENOENT';
      reject(new PeerfsError(missing ? 'ENOENT' : 'EIO', 'fusermount3 cannot be started', { cause }));
    });
    child.on('close', (exitCode) => {
      clearTimeout(limit);
      resolve({ exitCode: exitCode ?? 1, stderr: stderr.trim() });
    });
  });
}

/**
 * @param options as for mount -o.
 * @returns the descriptor of the device, close-on-exec, the caller's to close.
 * @throws PeerfsError EPERM with what fusermount3 said, ENOENT when it is not installed, ETIMEDOUT
 */
export async function mountByHelper(mountpoint: string, options: string): Promise<number> {
  const pair = new Int32Array(2);
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, new Uint8Array(pair.buffer)) < 0) {
    throw systemError(errno(), 'socketpair');
  }
  const [ours, theirs] = [pair[0] ?? -1, pair[1] ?? -1];
  try {
    // It sends the descriptor before it exits, and the socket keeps it: so nobody waits in recvmsg.
    const { exitCode, stderr } = await runHelper(['-o', options, '--', mountpoint], theirs);
    if (exitCode !== 0) throw new PeerfsError('EPERM', stderr === '' ? `fusermount3: exit code ${exitCode}` : stderr);
    return receiveDescriptor(ours);
  } finally {
    closeSync(ours);
    closeSync(theirs);
  }
}

/** @param lazily detach at once although it is busy. @throws PeerfsError EBUSY or EPERM with what fusermount3 said */
export async function unmountByHelper(mountpoint: string, lazily: boolean): Promise<void> {
  const { exitCode, stderr } = await runHelper(['-u', ...(lazily ? ['-z'] : []), '--', mountpoint]);
  if (exitCode === 0) return;
  const busy = stderr.includes('busy');
  const absent = stderr.includes('not found') || stderr.includes('Invalid argument');
  throw new PeerfsError(busy ? 'EBUSY' : absent ? 'EINVAL' : 'EPERM', stderr);
}

/** struct msghdr, struct iovec and struct cmsghdr of recvmsg(2), 64 bits. */
function receiveDescriptor(socket: number): number {
  const data = Buffer.alloc(8);
  const control = Buffer.alloc(64);
  const vector = Buffer.alloc(16);
  vector.writeBigUInt64LE(BigInt(addressOf(data)), 0);
  vector.writeBigUInt64LE(BigInt(data.length), 8);
  const message = Buffer.alloc(56);
  message.writeBigUInt64LE(BigInt(addressOf(vector)), 16);
  message.writeBigUInt64LE(1n, 24);
  message.writeBigUInt64LE(BigInt(addressOf(control)), 32);
  message.writeBigUInt64LE(BigInt(control.length), 40);
  const received = recvmsg(socket, addressOf(message), MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (received < 0) throw systemError(errno(), 'recvmsg');
  const isDescriptor = control.readInt32LE(8) === SOL_SOCKET && control.readInt32LE(12) === SCM_RIGHTS;
  if (received === 0 || message.readBigUInt64LE(40) < 20n || !isDescriptor) {
    throw new PeerfsError('EIO', 'fusermount3 sent no descriptor');
  }
  return control.readInt32LE(16);
}
